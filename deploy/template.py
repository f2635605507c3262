"""`make template`: write the view and the queries of deploy/athena into cloudformation.yaml.

A template cannot include files, so it carries a copy, between two marks. Terraform reads the files.
"""

import json
from pathlib import Path
from textwrap import indent

DEPLOY = Path(__file__).resolve().parent
TEMPLATE = DEPLOY / "cloudformation.yaml"
ATHENA = DEPLOY / "athena"

CREATE_VIEW = "CREATE OR REPLACE VIEW stripe_events AS\n"

#: Hive's names of Athena's types, where they differ.
HIVE_TYPES = {"varchar": "string", "timestamp(3)": "timestamp"}

_BEGIN = "  # begin: written by `make template` from deploy/athena\n"
_END = "  # end\n"

# A view of Athena is a Glue table with its SQL, and the types that Athena gives its columns, in a
# comment. If Athena ever calls it stale, the saved query stripe_events makes it anew.
_VIEW = """\
  EventsView:
    Type: AWS::Glue::Table
    DependsOn: WebhooksTable
    Properties:
      CatalogId: !Ref AWS::AccountId
      DatabaseName: !Ref Database
      TableInput:
        Name: stripe_events
        Description: One row an event, with the fields that everybody wants.
        TableType: VIRTUAL_VIEW
        Parameters: {{ presto_view: "true", comment: Presto View }}
        ViewExpandedText: /* Presto View */
        ViewOriginalText: !Join
          - ""
          - - "/* Presto View: "
            - Fn::Base64: !Sub |-
                {definition}
            - " */"
        StorageDescriptor:
          SerdeInfo: {{}}
          Columns:
{columns}
"""

_QUERY = """
  {resource}:
    Type: AWS::Athena::NamedQuery
    Properties:
      Name: {name}
      Description: {description}
      Database: !Ref Database
      WorkGroup: !Ref Workgroup
      QueryString: |-
{sql}
"""


def query_files() -> list[Path]:
    """Return the queries that are saved in the workgroup, and the one that makes the view."""
    return [*sorted((ATHENA / "queries").glob("*.sql")), ATHENA / "stripe_events.sql"]


def view_columns() -> list[tuple[str, str]]:
    """Return the names and Athena's types of the view's columns, in their order."""
    columns = json.loads((ATHENA / "stripe_events.columns.json").read_text())
    return [(name, kind) for name, kind in columns]


def rendered() -> str:
    """Return the template as it should be, out of the one that is there and deploy/athena."""
    before, rest = TEMPLATE.read_text().split(_BEGIN)
    _, after = rest.split(_END)
    return before + _BEGIN + _view() + "".join(map(_query, query_files())) + _END + after


def _view() -> str:
    sql = (ATHENA / "stripe_events.sql").read_text().split(CREATE_VIEW)[1].strip()
    definition = {
        "originalSql": sql,
        "catalog": "awsdatacatalog",
        "schema": "${DatabaseName}",
        "columns": [{"name": name, "type": kind} for name, kind in view_columns()],
    }
    columns = "\n".join(
        f"            - {{ Name: {name}, Type: {json.dumps(HIVE_TYPES.get(kind, kind))} }}"
        for name, kind in view_columns()
    )
    return _VIEW.format(definition=json.dumps(definition), columns=columns)


def _query(file: Path) -> str:
    sql = file.read_text().strip()
    return _QUERY.format(
        resource="".join(map(str.capitalize, file.stem.split("_"))) + "Query",
        name=file.stem,
        description=json.dumps(sql.splitlines()[0].removeprefix("-- ")),
        sql=indent(sql, " " * 8),
    )


if __name__ == "__main__":
    TEMPLATE.write_text(rendered())

"""`make template`: write what deploy/athena gives to CloudFormation and IAM.

A template cannot include files. So cloudformation.yaml carries a copy of the view, between two
marks, and athena/queries.yaml is made of the queries: both together would be over the 51,200 bytes
that a template may have that is not in S3. Terraform reads the files. iam/models.json names the
models, for whoever makes them in Athena.
"""

import json
import sys
from pathlib import Path
from textwrap import indent

DEPLOY = Path(__file__).resolve().parent
TEMPLATE = DEPLOY / "cloudformation.yaml"
ATHENA = DEPLOY / "athena"
QUERIES = ATHENA / "queries.yaml"
MODELS_POLICY = DEPLOY / "iam/models.json"

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

_QUERIES = """\
AWSTemplateFormatVersion: "2010-09-09"
Description: The saved queries of Stripe Analytics Backend, in a workgroup that is there.
# written by `make template` from deploy/athena

Parameters:
  DatabaseName:
    Type: String
    Description: The Glue database, and the Athena workgroup of the same name.
    Default: stripe_analytics
    AllowedPattern: "[a-z0-9_]{1,128}"
    ConstraintDescription: lower-case letters, digits and '_'.

Resources:
"""

_QUERY = """\
  {resource}:
    Type: AWS::Athena::NamedQuery
    Properties:
      Name: {name}
      Description: {description}
      Database: !Ref DatabaseName
      WorkGroup: !Ref DatabaseName
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


def rendered() -> dict[Path, str]:
    """Return the templates and the policy as they should be, out of what is there and the SQL."""
    before, rest = TEMPLATE.read_text().split(_BEGIN)
    _, after = rest.split(_END)
    return {
        TEMPLATE: before + _BEGIN + _view() + _END + after,
        QUERIES: _QUERIES + "\n".join(map(_query, query_files())),
        MODELS_POLICY: json.dumps(models_policy(), indent=2) + "\n",
    }


def models_policy() -> dict[str, object]:
    """Return what `flask archive build` needs in Athena besides the policy of analysts.

    It may create and replace the models alone: no table, and no view of somebody else's.
    """
    glue = "arn:aws:glue:us-east-1:123456789012"
    views = sorted(path.stem for path in (ATHENA / "models").glob("*.sql"))
    statement = {
        "Sid": "Models",
        "Effect": "Allow",
        "Action": ["glue:CreateTable", "glue:UpdateTable"],
        "Resource": [
            f"{glue}:catalog",
            f"{glue}:database/stripe_analytics",
            *(f"{glue}:table/stripe_analytics/{name}" for name in views),
        ],
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def import_template() -> str:
    """Return the template with the bucket and its policy alone, to bring an old bucket back by.

    The role that the policy names is not made yet: its ARN is written out.
    """
    text = TEMPLATE.read_text()
    head, rest = text.split("\nResources:\n")
    kept = rest[rest.index("  Bucket:\n") : rest.index("  # kept with its role")]
    role = "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/${StreamName}-${AWS::Region}-delivery"
    kept = kept.replace("!GetAtt DeliveryRole.Arn", f'!Sub "{role}"').rstrip()
    return f"{head}\nResources:\n{kept}\n"


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
    if sys.argv[1:] == ["import"]:
        sys.stdout.write(import_template())
        sys.exit()
    for path, text in rendered().items():
        path.write_text(text)

"""The models as the sources of a dbt project: `python -m examples.sources`.

It writes deploy/dbt/models/sources.yml: each model that `build` makes, and what its columns mean.
"""

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from archive_tools.querying.building import built_by_default
from archive_tools.querying.models import Model, model

SOURCES = Path(__file__).resolve().parent.parent / "deploy/dbt/models/sources.yml"

_HEAD = "# written by `python -m examples.sources` from deploy/athena/models\n"


def text() -> str:
    """Return the file. The variables of deploy/dbt/dbt_project.yml say where the models are."""
    source = {
        "name": "stripe",
        "database": "{{ 'archive' if target.type == 'duckdb' else target.database }}",
        "schema": "{{ 'main' if target.type == 'duckdb' else var('stripe_schema') }}",
        "tables": [_table(model(name)) for name in built_by_default()],
    }
    document = {"version": 2, "sources": [source]}
    return _HEAD + str(yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True))


def _table(found: Model) -> dict[str, Any]:
    columns = [
        {"name": name, "data_type": str(type_), **_description(found.meanings.get(name))}
        for name, type_ in found.columns.items()
    ]
    return {"name": found.name, **_description(found.question), "columns": columns}


def _description(words: str | None) -> dict[str, str]:
    return {"description": words} if words else {}


if __name__ == "__main__":
    SOURCES.write_text(text())

"""The table of the DDL in normal form, as sqlglot reads Athena's dialect."""

from pathlib import Path

import sqlglot
from sqlglot import exp

from .normal import Document

_TYPES = {"TEXT": "string", "BIGINT": "bigint", "BOOLEAN": "boolean"}


def table(path: Path) -> Document:
    """Return what the CREATE TABLE would make; its description is left out, DDL has none."""
    tree = sqlglot.parse_one(path.read_text(), read="athena")
    # sqlglot is lenient: what it cannot read becomes a command
    assert isinstance(tree, exp.Create), type(tree)
    assert not list(tree.find_all(exp.Command))
    properties = tree.args["properties"].expressions
    by_kind = {type(one): one for one in properties if type(one) is not exp.Property}
    assert set(by_kind) == {
        exp.ExternalProperty,
        exp.PartitionedByProperty,
        exp.RowFormatSerdeProperty,
        exp.FileFormatProperty,
        exp.LocationProperty,
    }
    serde = by_kind[exp.RowFormatSerdeProperty]
    formats = by_kind[exp.FileFormatProperty].this
    return {
        "database": tree.this.this.db,
        "name": tree.this.this.name,
        "kind": "EXTERNAL_TABLE",
        "columns": _columns(tree.this),
        "partitions": [
            (name, kind) for name, kind, _ in _columns(by_kind[exp.PartitionedByProperty].this)
        ],
        "parameters": {
            "EXTERNAL": "TRUE",
            **_pairs([one for one in properties if type(one) is exp.Property]),
        },
        "location": by_kind[exp.LocationProperty].name,
        "formats": (formats.args["input_format"].name, formats.args["output_format"].name),
        "serde": (serde.name, _pairs(serde.args["serde_properties"].expressions)),
    }


def _columns(schema: exp.Schema) -> list[tuple[str, str, str]]:
    return [
        (
            column.name,
            _TYPES[column.kind.this.name],
            "".join(constraint.kind.this.name for constraint in column.constraints),
        )
        for column in schema.expressions
    ]


def _pairs(properties: list[exp.Property]) -> dict[str, str]:
    return {one.this.name: one.args["value"].name for one in properties}

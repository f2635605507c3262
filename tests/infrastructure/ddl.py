"""The table of the DDL in normal form, as sqlglot reads Athena's dialect."""

from pathlib import Path

import sqlglot
from sqlglot import exp

from .normal import Document

_TYPES = {"TEXT": "string", "BIGINT": "bigint", "BOOLEAN": "boolean"}


def table(path: Path, bucket: str) -> Document:
    """Return the CREATE TABLE as Glue's TableInput, with a bucket in place of the example's."""
    text = path.read_text().replace("your-company-stripe-webhooks", bucket)
    tree = sqlglot.parse_one(text, read="athena")
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
        "Name": tree.this.this.name,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": _columns(by_kind[exp.PartitionedByProperty].this),
        "Parameters": {
            "EXTERNAL": "TRUE",
            **_pairs([one for one in properties if type(one) is exp.Property]),
        },
        "StorageDescriptor": {
            "Columns": _columns(tree.this),
            "Location": by_kind[exp.LocationProperty].name,
            "InputFormat": formats.args["input_format"].name,
            "OutputFormat": formats.args["output_format"].name,
            "SerdeInfo": {
                "SerializationLibrary": serde.name,
                "Parameters": _pairs(serde.args["serde_properties"].expressions),
            },
        },
    }


def _columns(schema: exp.Schema) -> list[Document]:
    return [
        {
            "Name": column.name,
            "Type": _TYPES[column.kind.this.name],
            "Comment": "".join(constraint.kind.this.name for constraint in column.constraints),
        }
        for column in schema.expressions
    ]


def _pairs(properties: list[exp.Property]) -> dict[str, str]:
    return {one.this.name: one.args["value"].name for one in properties}

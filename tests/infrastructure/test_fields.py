"""The record, the table, both templates and the guide name the same fields, with their types."""

import re
from datetime import UTC, datetime
from types import UnionType
from typing import get_args, get_type_hints

import pytest

from archive_tools.snapshotting.writing import SnapshotRecord
from archive_tools.storage import folder_of
from tests.support.service import PROJECT
from webhook_app.events.record import Record, webhook_record
from webhook_app.storage.archive import object_key

from . import ddl

_TYPES = {str: "string", int: "bigint", bool: "boolean"}
_TABLE = PROJECT / "deploy/athena/stripe_webhooks.sql"
_SNAPSHOTS = PROJECT / "deploy/athena/stripe_snapshots.sql"


def fields_of(record: type) -> list[tuple[str, str]]:
    """Name and Athena's type of each field of a record, in its order."""
    hints = get_type_hints(record)
    kinds = {
        name: get_args(hints[name])[0] if isinstance(hints[name], UnionType) else hints[name]
        for name in record.__struct_fields__  # type: ignore[attr-defined]
    }
    return [(name, _TYPES[kind]) for name, kind in kinds.items()]


@pytest.fixture
def fields() -> list[tuple[str, str]]:
    return fields_of(Record)


def test_the_table_has_the_fields_of_the_record(fields: list[tuple[str, str]]) -> None:
    # test_expected holds this table against those of both templates
    columns = ddl.table(_TABLE, "bucket")["StorageDescriptor"]["Columns"]
    assert [(column["Name"], column["Type"]) for column in columns] == fields


def test_the_table_of_snapshots_has_the_fields_of_theirs() -> None:
    columns = ddl.table(_SNAPSHOTS, "bucket")["StorageDescriptor"]["Columns"]
    assert [(c["Name"], c["Type"]) for c in columns] == fields_of(SnapshotRecord)


def test_the_guide_has_the_fields_of_the_record(fields: list[tuple[str, str]]) -> None:
    text = (PROJECT / "docs/ARCHIVE_TOOLS.md").read_text()
    described = re.findall(r"^\| `(\w+)` \| (string|bigint|boolean) \|", text, re.MULTILINE)
    assert described == fields


def test_what_is_written_lies_where_the_table_looks_for_it() -> None:
    template: str = ddl.table(_TABLE, "bucket")["Parameters"]["storage.location.template"]
    _, _, layout = template.removeprefix("s3://").partition("/")
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    for name, value in (("year", "2026"), ("month", "01"), ("day", "02")):
        layout = layout.replace(f"${{{name}}}", value)
    assert folder_of(moment.date()) == layout
    assert object_key(webhook_record(b"{}", "", moment)).startswith(layout)

"""Archives of Stripe's objects: events, snapshots, and what the models say of them."""

import json
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from archive_tools.querying.duckdb_engine import open_duckdb
from archive_tools.storage import FolderStorage
from tests.archive_tools.conftest import store
from tests.archive_tools.engines import folder_name, line

DAY = "2026-11-23"
TODAY = date(2026, 11, 24)

#: 2026-11-23 10:00:00 UTC
TEN = 1_795_428_000

Row = dict[str, Any]


def event(
    id_: str,
    type_: str,
    object_: dict[str, Any],
    previous: dict[str, Any] | None = None,
    *,
    created: int = TEN,
    arrived: str = "10:00:05",
    account: str | None = None,
    livemode: bool = True,
    api_version: str = "2025-09-30.clover",
    source: str = "webhook",
) -> bytes:
    """One delivery of an event, as a line of the archive; `arrived` is a time of the day."""
    body: dict[str, Any] = {"id": id_, "object": "event", "type": type_, "created": created}
    body |= {"api_version": api_version, "livemode": livemode, "data": {"object": object_}}
    if previous is not None:
        body["data"]["previous_attributes"] = previous
    columns = {"type": type_, "created": created, "livemode": livemode, "account": account}
    columns |= {"api_version": api_version, "source": source}
    return line(id_, body, received_at=f"{DAY}T{arrived}.000000Z", **columns)


def snapshot(
    object_: dict[str, Any], at: str, *, account: str | None = None, livemode: bool = True
) -> bytes:
    """An object as a list of the API's has it, as a line; `at` is a time of the day."""
    row = {"snapshot_at": f"{DAY}T{at}Z", "object": object_["object"], "id": object_["id"]}
    row |= {"livemode": livemode, "account": account, "api_version": "2025-09-30.clover"}
    return json.dumps({**row, "payload": json.dumps(object_)}).encode() + b"\n"


def archive(folder: Path, events: Iterable[bytes], snapshots: Iterable[bytes] = ()) -> Path:
    """Write an archive of one day, and return its folder."""
    for prefix, lines in (("webhooks", list(events)), ("snapshots", list(snapshots))):
        if lines:
            day = folder_name(DAY).replace("webhooks", prefix, 1)
            store(folder, *lines, name="objects.json.gz", day=day)
    return folder


def rows(folder: Path, *queries: str) -> Sequence[list[Row]]:
    """Return the rows of each query, as `flask archive query` gives them."""
    found = []
    with open_duckdb(FolderStorage(folder, "archive"), TODAY) as engine:
        for query in queries:
            result = engine.run(query)
            assert result.faults == []
            found.append([dict(zip(result.names, row, strict=True)) for row in result.rows])
    return found

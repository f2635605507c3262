"""The making of a plan: the archive is read once, over all cores, for what is meant.

Knows what a record's columns are; no payload leaves this module.
"""

import sqlite3
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial

import msgspec

from webhook_app.events.record import Record

from ..days import Days
from ..errors import ToolError
from ..output import progress
from ..parallel import batches, over_cores
from ..reading import DamageError, Fault, lines
from ..storage import Storage, StoredObject
from .plan import Plan, Row
from .selection import Selection

_decode = msgspec.json.Decoder(Record).decode

Arrivals = Container[tuple[str, str | None]]
"""`(received_at, id)` of records."""


@dataclass(frozen=True)
class _Task:
    day: date
    objects: list[StoredObject]


@dataclass(frozen=True)
class _Found:
    day: date
    rows: dict[str, list[Row]]
    """By the object's key."""
    faults: list[Fault]


@contextmanager
def plan_of(
    storage: Storage, days: Days, selection: Selection, order: str, among: Arrivals | None = None
) -> Iterator[Plan]:
    """Read the archive and make the plan, which is gone when the block ends.

    Args:
        storage: the archive.
        days: whose folders are read.
        selection: which records are meant.
        order: one of `plan.ORDERS`.
        among: the only records that can be meant; None for all.

    Raises:
        ToolError: the place cannot be listed, or there is no room for the plan.
    """
    plan = Plan()
    try:
        _fill(plan, storage, days, selection, among)
        plan.arrange(order, duplicates=selection.duplicates)
        yield plan
    except sqlite3.Error as error:
        raise ToolError(
            f"The plan could not be kept in a temporary file: {error}",
            "make room for 500 bytes an event, or name a larger folder with SQLITE_TMPDIR",
        ) from error
    finally:
        plan.close()


def _fill(
    plan: Plan, storage: Storage, days: Days, selection: Selection, among: Arrivals | None
) -> None:
    within = [day for day in storage.days() if day in days]
    tasks = (_Task(day, batch) for day in within for batch in batches(storage.objects(day)))
    with progress("Reading the archive, day by day", len(within)) as bar:
        done = 0
        for found in over_cores(partial(_found, storage=storage, selection=selection), tasks):
            for key, rows in found.rows.items():
                if meant := [row for row in rows if among is None or row[:2] in among]:
                    plan.add(key, meant)
            plan.faults += found.faults
            bar.update(within.index(found.day) - done)
            done = within.index(found.day)
        bar.update(len(within) - done)


def _found(task: _Task, *, storage: Storage, selection: Selection) -> _Found:
    found = _Found(task.day, {}, [])
    for stored in task.objects:
        rows: list[Row] = []
        try:
            for number, line in lines(storage, stored.key):
                if (record := _record(line)) is None:
                    found.faults.append(Fault(stored.key, number, "not a record"))
                elif record in selection:
                    rows.append(
                        (record.received_at, record.id, record.type, record.created, number)
                    )
        except DamageError as damage:
            found.faults.append(Fault(stored.key, damage.line, damage.what))
        if rows:
            found.rows[stored.key] = rows
    return found


def _record(line: bytes) -> Record | None:
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None

"""What has been counted since the boot, by all processes of the service together.

A row of numbers for each worker, in memory that they share. A worker writes into its own row alone,
so none waits for another, and who is asked adds the rows up. Knows nothing of HTTP or Prometheus.
"""

import ctypes
import itertools
import mmap
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..events.signature import Refusal

#: Upper ends of the buckets of a duration, in seconds; the archive answers or fails within 10.
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
#: What stands for all types and reasons that have no number of their own.
OTHER = "other"
#: Types that a process counts apart. Stripe has some 300; only who signs can make one up.
MAX_TYPES = 200
#: Why a delivery is refused: for its signature, or for its body.
REASONS = (
    *Refusal,
    "body over MAX_BODY_BYTES",
    "body shorter than its Content-Length",
    "malformed body",
    OTHER,
)

# the most WEB_WORKERS, twice: while gunicorn reloads, the old ones end beside the new
_ROWS = 1025
_NAME_BYTES = 88
_REASON_NUMBERS = {str(reason): number for number, reason in enumerate(REASONS)}

# what stands in place of a worker's number
_NEVER_USED, _ENDED, _MAKER = 0, -1, -2


class _Durations(ctypes.Structure):
    sum_s: float
    buckets: ctypes.Array[ctypes.c_int64]
    _fields_ = (("sum_s", ctypes.c_double), ("buckets", ctypes.c_int64 * (len(BUCKETS_S) + 1)))

    def observe(self, milliseconds: float) -> None:
        seconds = milliseconds / 1000
        self.sum_s += seconds
        self.buckets[bisect_left(BUCKETS_S, seconds)] += 1


class _Type(ctypes.Structure):
    count: int
    name: bytes
    _fields_ = (("count", ctypes.c_int64), ("name", ctypes.c_char * _NAME_BYTES))


class _Row(ctypes.Structure):
    """One worker's numbers. Each is a word of memory, so it is read as a whole."""

    worker: int
    busy: int
    failed: int
    retries: int
    archived_bytes: int
    reasons: ctypes.Array[ctypes.c_int64]
    archive: _Durations
    delivery: _Durations
    types: ctypes.Array[_Type]
    _fields_ = (
        ("worker", ctypes.c_int64),
        ("busy", ctypes.c_int64),
        ("failed", ctypes.c_int64),
        ("retries", ctypes.c_int64),
        ("archived_bytes", ctypes.c_int64),
        ("reasons", ctypes.c_int64 * len(REASONS)),
        ("archive", _Durations),
        ("delivery", _Durations),
        ("types", _Type * (1 + MAX_TYPES)),
    )

    def named_types(self) -> dict[str, _Type]:
        """Return the types that are counted apart, and before them `OTHER`."""
        return {entry.name.decode(): entry for entry in itertools.takewhile(_is_named, self.types)}


def _is_named(entry: _Type) -> bool:
    return bool(entry.name)


@dataclass(frozen=True)
class Durations:
    """How long something took."""

    sum_s: float
    buckets: list[int]
    """How many took no longer than each of `BUCKETS_S` and longer than the one before; then the
    rest."""


@dataclass(frozen=True, kw_only=True)
class Totals:
    """All rows added up."""

    refused: dict[str, int]
    """By reason; all of them."""
    archived: dict[str, int]
    """By type; those that there were."""
    failed: int
    retries: int
    archived_bytes: int
    archive: Durations
    delivery: Durations
    workers: int
    busy: int


class Counters:
    """The rows, and the one that this process writes into."""

    def __init__(self) -> None:
        """Begin at zero. A process that is forked from here shares the rows."""
        self.since = datetime.now(UTC)
        # anonymous: there is no file to protect or to clean up, also after a kill -9 of all;
        # unused rows take no memory
        memory = mmap.mmap(-1, ctypes.sizeof(_Row) * _ROWS)
        self._rows = (_Row * _ROWS).from_buffer(memory)
        self._lock = threading.Lock()
        # what `flask run` counts in, which has no workers
        self._rows[0].worker = _MAKER
        self._write_into(self._rows[0])

    def open_row(self, worker: int) -> None:
        """Let the worker of this number, from 1, that is forked next count in a row of its own.

        An ended worker's numbers are counted on from, so that no total ever falls.
        """
        free = (row for row in self._rows if row.worker in (_NEVER_USED, _ENDED))
        if row := next(free, None):
            row.worker = worker
        # those that find none share a row: they may lose a count to each other, and nothing else
        self._write_into(row or self._rows[0])

    def close_row(self, worker: int) -> None:
        """Note that a worker has ended, however it did: what it was at work on has failed."""
        for row in self._used_rows():
            if row.worker == worker:
                row.failed += row.busy
                row.busy = 0
                row.worker = _ENDED

    def begin_delivery(self) -> None:
        """Count a delivery as being worked on, until `end_delivery`."""
        with self._lock:
            self._row.busy += 1

    def end_delivery(self, fields: Mapping[str, Any]) -> None:
        """Count a delivery by the fields of its log line."""
        outcome = fields["outcome"]
        with self._lock:
            row = self._row
            row.busy -= 1
            if outcome == "archived":
                row.archived_bytes += fields["bytes"]
                self._type(fields["event_type"] or "null").count += 1
            elif outcome == "failed":
                row.failed += 1
            else:
                # where it is not among them, the last one
                row.reasons[_REASON_NUMBERS.get(fields["reason"], -1)] += 1
            if "archive_ms" in fields:
                row.archive.observe(fields["archive_ms"])
            if "total_ms" in fields:
                row.delivery.observe(fields["total_ms"])

    def count_retries(self, number: int) -> None:
        """Count tries of a write beyond its first."""
        with self._lock:
            self._row.retries += number

    def totals(self) -> Totals:
        """Return what all processes have counted until now."""
        rows = list(self._used_rows())
        archived: Counter[str] = Counter()
        for row in rows:
            for name, entry in row.named_types().items():
                # a name gets its first count once it is written
                if entry.count:
                    archived[name] += entry.count
        return Totals(
            refused=dict(zip(_REASON_NUMBERS, _sums(row.reasons for row in rows), strict=True)),
            archived=dict(sorted(archived.items())),
            failed=sum(row.failed for row in rows),
            retries=sum(row.retries for row in rows),
            archived_bytes=sum(row.archived_bytes for row in rows),
            archive=_added_up(row.archive for row in rows),
            delivery=_added_up(row.delivery for row in rows),
            workers=sum(row.worker > 0 for row in rows) or 1,
            busy=sum(row.busy for row in rows),
        )

    def _used_rows(self) -> Iterator[_Row]:
        return itertools.takewhile(lambda row: row.worker != _NEVER_USED, self._rows)

    def _write_into(self, row: _Row) -> None:
        row.types[0].name = OTHER.encode()
        self._row = row
        self._types = row.named_types()

    def _type(self, name: str) -> _Type:
        entry = self._types.get(name)
        if entry is None:
            encoded = name.encode()
            full = len(self._types) == len(self._row.types)
            if full or len(encoded) > _NAME_BYTES or not name.isprintable():
                return self._types[OTHER]
            entry = self._row.types[len(self._types)]
            entry.name = encoded
            self._types[name] = entry
        return entry


def _added_up(durations: Iterator[_Durations]) -> Durations:
    all_of_them = list(durations)
    sum_s = sum(each.sum_s for each in all_of_them)
    return Durations(sum_s, _sums(each.buckets for each in all_of_them))


def _sums(arrays: Iterator[ctypes.Array[ctypes.c_int64]]) -> list[int]:
    return [sum(column) for column in zip(*arrays, strict=True)]

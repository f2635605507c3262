"""Each event once, in an Iceberg table of Athena's: deploy/athena/compact, filled in and in order.

Knows which days have to be merged, and in which steps; needs neither DuckDB nor sqlglot, as the
daily job has neither.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Protocol

from webhook_app.environ import PROJECT

from ..errors import ToolError
from ..output import progress
from ..storage import Storage

FOLDER = PROJECT / "deploy/athena/compact"

_BUCKET = "your-company-stripe-webhooks"

#: Days before the newest that has been merged that are merged again, for objects that came late:
#: Firehose retries S3 for 24 hours, and names an object by the arrival of its first record.
#: https://docs.aws.amazon.com/firehose/latest/dev/retry.html
LATE_DAYS = 2

#: How old an event can be when it arrives. Stripe has events for 30 days.
_OLDEST_DAYS = 45

#: Compressed bytes of the objects that one MERGE reads: Athena ends a statement after 30 minutes,
#: and the workgroup one that scans more than its limit.
_MERGED_BYTES = 10 * 10**9

_LAST_DAY = "SELECT max(year || '-' || month || '-' || day) FROM stripe_events_compacted"


class Athena(Protocol):
    """What runs the statements: `AthenaEngine`, or a test."""

    def execute(self, statement: str) -> int:
        """Run a statement, and return the bytes that it scanned."""

    def fetch(self, select: str) -> tuple[list[tuple[Any, ...]], int]:
        """Return the rows of a SELECT, and the bytes that it scanned."""


@dataclass
class Summary:
    """What compacting has done."""

    first_day: date | None = None
    """Of arrival, of those that were merged."""
    last_day: date | None = None
    merges: int = 0
    months_rewritten: list[str] = field(default_factory=list)
    """Those that are over, whose small files were put together."""
    bytes_scanned: int = 0


def compact(
    athena: Athena,
    storage: Storage,
    bucket: str,
    now: datetime,
    first: date | None = None,
    expire_days: int | None = None,
) -> Summary:
    """Merge into the table what has arrived since the last time, and make the view over both.

    Args:
        athena: runs the statements.
        storage: the archive.
        bucket: that gets the table.
        now: the current time, UTC, before anything of the archive was looked at.
        first: the first day to merge; left out, some days before the newest in the table.
        expire_days: after how many days events are deleted from the table; left out, never.

    Raises:
        ToolError: Athena refused a statement, or it failed.
    """
    summary = Summary()
    summary.bytes_scanned += athena.execute(table_statement(bucket))
    newest = _fetched(athena, _LAST_DAY, summary)
    newest_day = date.fromisoformat(newest) if newest else None
    if first is None:
        first = newest_day - timedelta(days=LATE_DAYS) if newest_day else date.min
    sizes = {
        day: sum(found.size for found in storage.objects(day))
        for day in storage.days()
        if day >= first
    }
    with progress("Merging", len(sizes)) as bar:
        for chunk in chunks(sizes):
            oldest = _fetched(athena, oldest_statement(chunk[0], chunk[-1]), summary)
            if oldest is not None:
                merge = merge_statement(chunk[0], chunk[-1], oldest)
                summary.bytes_scanned += athena.execute(merge)
                summary.merges += 1
            bar.update(len(chunk))
    if expire_days is not None:
        summary.bytes_scanned += athena.execute(expire_statement(now, expire_days))
    summary.bytes_scanned += athena.execute(view_statement(now))
    if sizes:
        summary.first_day, summary.last_day = min(sizes), max(sizes)
    for year, month in _months_over(sizes, newest_day, now.date()):
        summary.bytes_scanned += athena.execute(optimize_statement(year, month))
        summary.months_rewritten.append(f"{year:04}-{month:02}")
    _vacuum(athena)
    return summary


def _fetched(athena: Athena, select: str, summary: Summary) -> Any:
    ((value,),), scanned = athena.fetch(select)
    summary.bytes_scanned += scanned
    return value


def _months_over(
    days: Iterable[date], newest: date | None, today: date
) -> Iterator[tuple[int, int]]:
    """Yield each month once: in the first run after it was over and what came late was in.

    Args:
        days: that were merged now.
        newest: the newest day that was merged before.
        today: the day of this run.
    """
    touched = set(days)
    if newest:
        touched |= {newest, newest.replace(day=1) - timedelta(days=1)}
    for year, month in sorted({(day.year, day.month) for day in touched}):
        over = date(year + month // 12, month % 12 + 1, 1) + timedelta(days=LATE_DAYS)
        if over <= today and (not newest or newest < over):
            yield year, month


def chunks(sizes: dict[date, int]) -> list[list[date]]:
    """Return days in runs that one MERGE takes: of one month, and not of too many bytes.

    A month at a time also keeps it from the 100 partitions that a statement may write to.
    https://docs.aws.amazon.com/athena/latest/ug/ctas-insert-into.html

    Args:
        sizes: bytes of the objects of each day.
    """
    found: list[list[date]] = []
    for day in sorted(sizes):
        last = found[-1] if found else []
        is_same_month = bool(last) and (last[0].year, last[0].month) == (day.year, day.month)
        if is_same_month and sum(sizes[one] for one in [*last, day]) <= _MERGED_BYTES:
            last.append(day)
        else:
            found.append([day])
    return found


def table_statement(bucket: str) -> str:
    """Return the statement that makes the table, if it is not there."""
    return _statement("table").replace(_BUCKET, bucket)


def oldest_statement(first: date, last: date) -> str:
    """Return the query for when the oldest event was made that has arrived on some days."""
    return _filled(_statement("oldest"), _arrivals(first, last))


def merge_statement(first: date, last: date, oldest: datetime) -> str:
    """Return the statement that merges the arrivals of some days.

    Args:
        first: of the days.
        last: of the days.
        oldest: when the oldest of the events was made, or arrived if that is earlier.
    """
    # the clocks of two machines can differ
    before = oldest - min(timedelta(days=1), oldest - datetime.min)
    return _filled(_statement("merge"), _arrivals(first, last), before)


def view_statement(now: datetime) -> str:
    """Return the statement that makes the view `stripe_events`.

    Args:
        now: a time before which the merge began to read; what lies there from a day and an hour
            before on can have come after it.
    """
    first = (now - timedelta(hours=25)).date()
    oldest = datetime.combine(first - timedelta(days=_OLDEST_DAYS), time())
    return _filled(_statement("view"), _arrivals(first), oldest)


def expire_statement(now: datetime, days: int) -> str:
    """Return the statement that deletes what arrived more than so many days ago.

    A rule of the bucket would take files out of the table that it still names.
    """
    before = datetime.combine((now - timedelta(days=days)).date(), time())
    return f"DELETE FROM stripe_events_compacted WHERE received_at < TIMESTAMP '{_text(before)}'"  # noqa: S608


def optimize_statement(year: int, month: int) -> str:
    """Return the statement that puts the small files of a month together.

    https://docs.aws.amazon.com/athena/latest/ug/optimize-statement.html
    """
    return (
        "OPTIMIZE stripe_events_compacted REWRITE DATA USING BIN_PACK "
        f"WHERE year = '{year:04}' AND month = '{month:02}'"
    )


def _vacuum(athena: Athena) -> None:
    """Remove the files of what the table was more than five days ago, Athena's default.

    https://docs.aws.amazon.com/athena/latest/ug/vacuum-statement.html
    """
    try:
        athena.execute("VACUUM stripe_events_compacted")
    except ToolError as error:
        # it removes so many files a time; the next run goes on
        if "ICEBERG_VACUUM_MORE_RUNS_NEEDED" not in error.message:
            raise


def _arrivals(first: date, last: date | None = None) -> str:
    """Return the query of `stripe_events` over the objects of some days."""
    sql = (PROJECT / "deploy/athena/stripe_events.sql").read_text()
    query = _without_comments(sql).partition("VIEW stripe_events AS\n")[2].strip()
    day = "year || '-' || month || '-' || day"
    # a projected year costs a request for each of its days
    condition = f"year >= '{first:%Y}' AND {day} >= '{first.isoformat()}'"
    if last:
        condition += f" AND year <= '{last:%Y}' AND {day} <= '{last.isoformat()}'"
    found, count = re.subn(
        r"\bWHERE id IS NOT NULL\b", f"WHERE id IS NOT NULL AND {condition}", query
    )
    if count != 1:
        raise ToolError("deploy/athena/stripe_events.sql is not as compact knows it")
    return found


def _statement(name: str) -> str:
    return _without_comments((FOLDER / f"{name}.sql").read_text())


def _without_comments(sql: str) -> str:
    # a statement has 262,144 bytes at most
    return re.sub(r"^\s*--[^\n]*\n", "", sql, flags=re.MULTILINE)


def _filled(statement: str, arrivals: str, oldest: datetime | None = None) -> str:
    if oldest:
        statement = statement.replace("oldest_replace_me", _text(oldest))
    return statement.replace("arrivals_replace_me", f"\n{arrivals}\n")


def _text(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="milliseconds")

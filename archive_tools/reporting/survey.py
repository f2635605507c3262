"""How the figures of a report are found: five queries, and a look at the folders of the days.

Knows queries and places; not how a figure is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta

from ..days import Days
from ..output import progress
from ..querying.engine import Engine
from ..reading import Fault
from ..storage import Storage
from . import figure_rows
from .figure_rows import Row
from .figures import Arrivals, Figures, Origin, Stored
from .outlook import outlook
from .queries import NAMED, day_queries
from .silence import silences

#: A silence of a day is compared with other days; with two or three that says little.
_COMPARED_DAYS = 4


@dataclass
class _Answers:
    """The rows of each query, what could not be read, and what was scanned."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    faults: dict[Fault, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def survey(storage: Storage, engine: Engine, days: Days, origin: Origin) -> Figures:
    """Return the figures of a range of days.

    Args:
        storage: the archive.
        engine: that reads the same archive.
        days: with both ends.
        origin: what is known before; what was scanned is added to it.

    Raises:
        ToolError: a query could not be run, or the archive not be listed.
    """
    answers = _answers(engine, days)
    rows = answers.rows
    present = storage.days()
    stored = _stored(storage, days, set(present))
    arrived = {row["day"]: figure_rows.arrivals(row) for row in rows["days"]}
    hours = figure_rows.by_hour(rows["hours"])
    begin, end = _watched(days, origin.today, present, hours)
    found = [figure_rows.day_figures(day, arrived, stored, hours) for day in days]
    total = arrived.get(None, Arrivals())
    return Figures(
        origin=replace(origin, notes=tuple(answers.notes)),
        total=total,
        days=found,
        kinds=figure_rows.kinds(rows["kinds"], days),
        kinds_in_all=max((row["last_place"] for row in rows["kinds"]), default=0),
        silences=silences(hours, begin, end),
        silence_known=(end - begin).days >= _COMPARED_DAYS,
        repeated=[figure_rows.unusual(row) for row in rows["unusual"] if row["arrivals"] > 1][
            :NAMED
        ],
        late=sorted(
            (figure_rows.unusual(row) for row in rows["unusual"] if row["is_late"]),
            key=lambda event: -(event.delay or 0),
        )[:NAMED],
        currencies=figure_rows.currencies(rows["money"], days),
        outlook=outlook(
            [day.arrivals.deliveries for day in found if begin.date() <= day.day < end.date()],
            total.payload_bytes / max(1, total.deliveries),
            1 + (origin.today - min(present, default=origin.today)).days // 30,
        ),
        faults=list(answers.faults),
    )


def _answers(engine: Engine, days: Days) -> _Answers:
    answers = _Answers()
    queries = day_queries(days)
    with progress("Asking the archive", 100 * len(queries)) as bar:
        for name, sql in queries.items():
            result = engine.run(sql, bar.update)
            answers.rows[name] = [dict(zip(result.names, row, strict=True)) for row in result.rows]
            answers.faults |= dict.fromkeys(result.faults)
            answers.notes += [f"{name}: {note}" for note in result.notes]
    return answers


def _stored(storage: Storage, days: Days, present: set[date]) -> dict[date, Stored]:
    listed = [day for day in days if day in present]
    stored = {}
    with progress("Listing the days", len(listed)) as bar:
        for day in listed:
            sizes = [found.size for found in storage.objects(day)]
            stored[day] = Stored(len(sizes), sum(sizes))
            bar.update(1)
    return stored


def _watched(
    days: Days, today: date, present: list[date], hours: Mapping[datetime, int]
) -> tuple[datetime, datetime]:
    """Return the hours between which a silence means something: start and end.

    Today is left out, and a young archive is not silent before its first event.
    """
    first, last = days.first or today, days.last or today
    end = datetime.combine(min(last + timedelta(days=1), today), time())
    begin = datetime.combine(first, time())
    if not present or present[0] >= first:
        begin = min(hours, default=end)
    return min(begin, end), end

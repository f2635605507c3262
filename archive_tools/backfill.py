"""`flask archive backfill`: all that Stripe still has goes into the archive, in one run or more.

Knows the order of the steps, and what makes an interruption harmless: a page is noted as done only
when the archive has confirmed its events.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click

from webhook_app.events.record import Record, events_api_record

from .cli import archive_option, json_option
from .days import Days, days_options
from .output import as_json as json_text
from .output import count_text, note, progress
from .reconciling.arrivals import Arrivals, arrivals
from .reconciling.backfill_state import State, Task, interrupted
from .reconciling.batch import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, Writer, open_writer
from .reconciling.guard import anyway_option, guard
from .reconciling.listing import Fetched, Window, listing, windows
from .reconciling.on_the_way import journal_of, on_the_way_option
from .reconciling.pace import Pace
from .reconciling.span import KEPT_S, Span, span, span_options
from .reconciling.stripe_api import PAGE_EVENTS, StripeApi
from .settings import ToolSettings
from .storage import Storage

_STATE = Path("stripe-backfill.json")

# so that the file of a range with little to archive is written, too
_MOST_PAGES = 20


@click.command("backfill")
@archive_option
@days_options(30, of="the events")
@span_options
@click.option("--dry-run", is_flag=True, help="Count, and archive nothing.")
@click.option(
    "--state",
    "state_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=_STATE,
    metavar="FILE",
    show_default=True,
    help="Keeps how far it has come, until it is done.",
)
@on_the_way_option
@anyway_option
@json_option
def command(
    storage: Storage,
    settings: ToolSettings,
    days: Days,
    types: tuple[str, ...],
    rate: float,
    dry_run: bool,
    state_file: Path,
    on_the_way: Path,
    anyway: bool,
    as_json: bool,
) -> None:
    """Archive what Stripe still has: the events of the last 30 days that are not there yet.

    The days are those on which the events were created. STRIPE_API_KEY must be able to read Events,
    and nothing else: a restricted key. Into a bucket they go through the stream. They have the
    source events_api and no signature, and lie in the folder of today.

    Interrupted, it goes on where it was when it is called in the same way: nothing is lost, and
    what may be archived twice is a page of each window of time at work, 100 events.

    \b
    Example, for a first look at how many there are:
        flask archive backfill --dry-run
    """  # noqa: D301 - click wants the character itself
    api = StripeApi(settings, Pace(rate))
    now = int(time.time())
    task = Task(storage.name, str(days), api.livemode, types)
    state = None if dry_run else interrupted(state_file, task, now - KEPT_S)
    of_time = span(days, state.now if state else now)
    if state is None:
        state = State(state_file, task, now, windows(of_time.first, of_time.last))
    journal = journal_of(storage, on_the_way)
    target = (
        _Nowhere() if dry_run else _Archive(open_writer(storage, settings, journal.note), state)
    )
    archived = arrivals(storage, of_time.first, of_time.last)
    for text in _notes(of_time, archived):
        note(text)
    if not (dry_run or anyway):
        guard(api, of_time, archived)
    counts = _Counts(new=state.archived)
    sifter = _Sifter(archived, journal.ids(), types, counts)
    todo = list(state.left)
    label = "Counting Stripe's events" if dry_run else "Archiving Stripe's events"
    with (
        progress(label, sum(window.seconds for window in todo)) as bar,
        listing(api, todo, types) as pages,
    ):
        for chunk in _chunks(pages, sifter):
            target.put(chunk)
            bar.update(sum(fetched.seconds for fetched in chunk.pages))
    if dry_run:
        told = counts.as_json(of_time.name, "to_archive")
        line = f"{count_text(counts.new, 'event')} of {of_time.name} would be archived"
    else:
        state.remove()
        told = counts.as_json(of_time.name, "archived")
        line = f"Archived {count_text(counts.new, 'event')} of {of_time.name}"
    click.echo(json_text(told) if as_json else f"{line}; {counts.rest()}.")


@dataclass
class _Counts:
    """Events, each counted once."""

    new: int
    there: int = 0
    skipped: int = 0

    def rest(self) -> str:
        """Return in words what has become of those that are not new."""
        words = f"{self.there:,} were there already"
        return f"{words}; {self.skipped:,} skipped, of other types" if self.skipped else words

    def as_json(self, days: str, new: str) -> dict[str, object]:
        """Return what scripts read, the new ones under that name."""
        return {"days": days, new: self.new, "already_there": self.there, "skipped": self.skipped}


@dataclass(frozen=True)
class _Chunk:
    """Pages, and the records of their events that the archive lacks."""

    pages: list[Fetched] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def has_room_for(self, window: Window) -> bool:
        """Whether a page of a window may come in, too.

        An interruption may repeat what is in here: never two pages of a window.
        """
        size = sum(len(record.payload) for record in self.records)
        return (
            len(self.pages) < _MOST_PAGES
            and len(self.records) + PAGE_EVENTS <= MAX_BATCH_RECORDS
            and size < MAX_BATCH_BYTES
            and not any(window in fetched.rest for fetched in self.pages)
        )


class _Nowhere:
    """Where nothing is written to."""

    def put(self, chunk: _Chunk) -> None:
        """Let it go."""


class _Archive:
    """The archive, and how far it has come."""

    def __init__(self, writer: Writer, state: State) -> None:
        self._writer = writer
        self._state = state
        self._begun = False

    def put(self, chunk: _Chunk) -> None:
        """Archive a chunk, and only then note it as done."""
        if not self._begun:
            # where the file cannot be written, that shows before the archive has anything
            self._state.save()
            self._begun = True
        self._writer.put(chunk.records)
        self._state.done(chunk.pages, len(chunk.records))


class _Sifter:
    """Makes records of the events that the archive lacks, and counts the others."""

    def __init__(
        self,
        archived: Arrivals,
        on_the_way: frozenset[str],
        types: tuple[str, ...],
        counts: _Counts,
    ) -> None:
        self._archived = archived
        self._on_the_way = on_the_way
        self._types = types
        self._counts = counts

    def records(self, fetched: Fetched) -> Iterator[Record]:
        """Yield the records of a page."""
        for event, payload in fetched.listed:
            if self._types and event.type not in self._types:
                self._counts.skipped += 1
            elif event.id in self._archived or event.id in self._on_the_way:
                self._counts.there += 1
            else:
                self._counts.new += 1
                yield events_api_record(payload, datetime.now(UTC))


def _chunks(pages: Iterable[Fetched], sifter: _Sifter) -> Iterator[_Chunk]:
    chunk = _Chunk()
    for fetched in pages:
        if not chunk.has_room_for(fetched.window):
            yield chunk
            chunk = _Chunk()
        chunk.pages.append(fetched)
        chunk.records.extend(sifter.records(fetched))
    if chunk.pages:
        yield chunk


def _notes(of_time: Span, archived: Arrivals) -> Iterator[str]:
    if of_time.note:
        yield of_time.note
    if archived.faults:
        count = count_text(len(archived.faults), "place")
        yield (
            f"{count} of the archive cannot be read, and what is there may be archived again: "
            "`flask archive verify` names them"
        )

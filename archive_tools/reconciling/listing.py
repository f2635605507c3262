"""All of Stripe's events of a time range, by pages of several windows of it at once.

Knows how a range is cut so that no event is lost or met twice; not what becomes of them.
"""

import queue
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

from ..errors import ToolError
from .options import matches
from .stripe_api import MAX_TYPES, ListedEvent, Page, StripeApi
from .time_range import day_of

#: Stripe takes some 300 ms for a page, so so many threads reach its 25 requests a second.
_THREADS = 8

_DAY_S = 86_400


@dataclass(frozen=True)
class Window:
    """Seconds of one UTC day, both ends included. Some of its newest events may be listed."""

    first: int
    """Unix seconds."""
    last: int
    """Unix seconds."""
    after: str | None = None
    """The id of the last event that has been listed; None at the beginning."""

    @property
    def day(self) -> date:
        """The UTC day."""
        return day_of(self.first)

    @property
    def seconds(self) -> int:
        """How long it is."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Fetched:
    """The events of a page, and how far the listing has come with it."""

    events: list[ListedEvent]
    seconds: int
    """Of the range that are listed with this page."""
    finished: date | None
    """Its day, where nothing is left of that."""


def windows(first: int, last: int) -> list[Window]:
    """Return a range of Unix seconds cut at midnight, oldest first: Stripe deletes that first."""
    starts = [first, *range(first - first % _DAY_S + _DAY_S, last + 1, _DAY_S)]
    return [Window(start, min(start - start % _DAY_S + _DAY_S - 1, last)) for start in starts]


def listing(api: StripeApi, todo: Sequence[Window], types: tuple[str, ...]) -> Iterator[Fetched]:
    """Yield the pages of windows as they come, the oldest windows first.

    A window with more events than the others is cut in two where a thread would be idle. Stripe is
    asked for the events of `types` alone where they are few enough for it.

    Raises:
        ToolError: Stripe refused or did not answer.
    """
    asked = types if len(types) <= MAX_TYPES and not any("*" in name for name in types) else ()
    tasks: queue.SimpleQueue[Window | None] = queue.SimpleQueue()
    results: queue.SimpleQueue[tuple[Window, Page] | BaseException] = queue.SimpleQueue()

    def work() -> None:
        while window := tasks.get():
            try:
                page = api.events(window.first, window.last, asked, window.after)
                results.put((window, page))
            except BaseException as error:
                # raised again where the pages are read
                results.put(error)

    for _ in range(_THREADS):
        # a daemon: the end of the process does not wait for Stripe's answer
        threading.Thread(target=work, name="stripe", daemon=True).start()
    waiting, running = deque(todo), 0

    def submit() -> None:
        nonlocal running
        # at most one for each thread, so that few pages wait in memory to be read
        while waiting and running < _THREADS:
            tasks.put(waiting.popleft())
            running += 1

    parts = Counter(window.day for window in todo)
    try:
        submit()
        while running:
            result = results.get()
            running -= 1
            if isinstance(result, BaseException):
                raise result
            window, page = result
            rest = _rest(window, page, idle=running + len(waiting) < _THREADS - 1)
            # to the front: what has begun is finished before the next day begins
            waiting.extendleft(reversed(rest))
            parts[window.day] += len(rest) - 1
            submit()
            yield Fetched(
                # a stand-in for Stripe may ignore `created` and `types`
                [
                    one
                    for one in page.events
                    if window.first <= one.event.created <= window.last
                    and matches(one.event.type, types)
                ],
                window.seconds - sum(part.seconds for part in rest),
                None if parts[window.day] else window.day,
            )
    finally:
        for _ in range(_THREADS):
            tasks.put(None)


def _rest(window: Window, page: Page, *, idle: bool) -> list[Window]:
    """Return what is left of a window after a page, in two where a thread is idle.

    Raises:
        ToolError: what answers does not page as Stripe does.
    """
    if any(event.id == window.after for event, _ in page.events):
        raise ToolError(
            "Stripe sent the same page twice",
            "what answers at STRIPE_API_BASE does not know `starting_after`: use another",
        )
    if not page.has_more:
        return []
    if not page.events:
        raise ToolError(
            "Stripe sent an empty page and said that there are more",
            "look at what answers at STRIPE_API_BASE, and run this again",
        )
    rest = replace(window, after=page.events[-1].event.id)
    created = [event.created for event, _ in page.events]
    # a stand-in may list the oldest first, and then nothing is known of what is to come
    newest_first = created[0] > created[-1] and created == sorted(created, reverse=True)
    if not newest_first or created[-1] < window.first:
        return [rest]
    rest = replace(rest, last=min(created[-1], window.last))
    middle = (rest.first + rest.last) // 2
    if not idle or middle == rest.last:
        return [rest]
    return [Window(rest.first, middle), replace(rest, first=middle + 1)]

"""All objects of a list of Stripe's and a time range, by pages of several windows of it at once.

Knows how a range is cut so that none is lost or met twice; not what becomes of them.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Generic

from ..errors import ToolError
from .pages import C, Event, Page
from .stripe_api import MAX_TYPES, StripeApi
from .time_range import day_of

#: Stripe takes some 300 ms for a page, so so many threads reach its 25 requests a second.
_THREADS = 8

_DAY_S = 86_400

#: While no page comes, somebody is told that it is waited for.
_TICK_S = 1.0


@dataclass(frozen=True)
class Window:
    """A range of seconds, both ends included. Some of its newest objects may be listed."""

    first: int
    """Unix seconds."""
    last: int
    """Unix seconds."""
    after: str | None = None
    """The id of the last object that has been listed; None at the beginning."""

    @property
    def day(self) -> date:
        """The UTC day in which it begins."""
        return day_of(self.first)

    @property
    def seconds(self) -> int:
        """How long it is."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Fetched(Generic[C]):
    """The objects of a page that are in its window, and how far the listing has come with it."""

    page: Page[C]
    finished: Window
    """The seconds of which nothing is left to be listed; its length can be 0."""


def windows(first: int, last: int) -> list[Window]:
    """Return a range of Unix seconds cut at midnight, oldest first: Stripe deletes that first."""
    starts = [first, *range(first - first % _DAY_S + _DAY_S, last + 1, _DAY_S)]
    return [Window(start, min(start - start % _DAY_S + _DAY_S - 1, last)) for start in starts]


def events_of(api: StripeApi, types: tuple[str, ...] = ()) -> Callable[[Window], Page[Event]]:
    """Return what fetches a page of events; of `types` alone where they are few enough."""
    asked = types if len(types) <= MAX_TYPES and not any("*" in name for name in types) else ()
    return lambda window: api.events(window.first, window.last, asked, window.after)


def listing(
    fetch: Callable[[Window], Page[C]],
    todo: Sequence[Window],
    tick: Callable[[], object] = lambda: None,
) -> Iterator[Fetched[C]]:
    """Yield the pages of windows as they come, the windows in their order.

    A window with more objects than the others is cut in two where a thread would be idle. `fetch`
    returns the next page of a window, and is called by several threads at once; `tick` is called
    each second in which no page comes, so that a bar of progress can be seen.

    Raises:
        ToolError: Stripe refused or did not answer.
    """
    tasks: queue.SimpleQueue[Window | None] = queue.SimpleQueue()
    results: queue.SimpleQueue[tuple[Window, Page[C]] | BaseException] = queue.SimpleQueue()

    def work() -> None:
        while window := tasks.get():
            try:
                results.put((window, fetch(window)))
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

    try:
        submit()
        while running:
            try:
                result = results.get(timeout=_TICK_S)
            except queue.Empty:
                tick()
                continue
            running -= 1
            if isinstance(result, BaseException):
                raise result
            window, page = result
            rest = _rest(window, page, idle=running + len(waiting) < _THREADS - 1)
            # to the front: what has begun is finished before the next window begins
            waiting.extendleft(reversed(rest))
            submit()
            # a stand-in for Stripe may ignore `created`
            inside = [one for one in page.items if _is_in(one.columns.created, window)]
            first = max((part.last + 1 for part in rest), default=window.first)
            yield Fetched(page._replace(items=inside), Window(first, window.last))
    finally:
        for _ in range(_THREADS):
            tasks.put(None)


def _is_in(created: int, window: Window) -> bool:
    return window.first <= created <= window.last


def _rest(window: Window, page: Page[C], *, idle: bool) -> list[Window]:
    """Return what is left of a window after a page, in two where a thread is idle.

    Raises:
        ToolError: what answers does not page as Stripe does.
    """
    if any(one.columns.id == window.after for one in page.items):
        raise ToolError(
            "Stripe sent the same page twice",
            "what answers at STRIPE_API_BASE does not know `starting_after`: use another",
        )
    if not page.has_more:
        return []
    if not page.items:
        raise ToolError(
            "Stripe sent an empty page and said that there are more",
            "look at what answers at STRIPE_API_BASE, and run this again",
        )
    rest = replace(window, after=page.items[-1].columns.id)
    created = [one.columns.created for one in page.items]
    # a stand-in may list the oldest first, and then nothing is known of what is to come
    newest_first = created[0] > created[-1] and created == sorted(created, reverse=True)
    if not newest_first or created[-1] < window.first:
        return [rest]
    rest = replace(rest, last=min(created[-1], window.last))
    middle = (rest.first + rest.last) // 2
    if not idle or middle == rest.last:
        return [rest]
    return [Window(rest.first, middle), replace(rest, first=middle + 1)]

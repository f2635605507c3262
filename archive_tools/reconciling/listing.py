"""All of Stripe's events of a range, by pages of several windows of time at once.

Knows how a range is cut so that no event is lost or met twice; not what becomes of them.
"""

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from ..errors import ToolError
from .event_pages import Listed, Page
from .stripe_api import MAX_TYPES, StripeApi

#: Stripe takes some 300 ms for a page, so so many threads reach its 25 requests a second.
_THREADS = 8

_DAY_S = 86_400


@dataclass(frozen=True)
class Window:
    """Seconds of `created`, both ends included. Some of its newest may have been listed."""

    first: int
    """Unix seconds."""
    last: int
    """Unix seconds."""
    after: str | None = None
    """The id of the last event that has been listed; None at the beginning."""

    @property
    def seconds(self) -> int:
        """How long it is."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Fetched:
    """A page of a window, and what is left of the window after it."""

    window: Window
    listed: list[Listed]
    rest: list[Window] = field(default_factory=list)

    @property
    def seconds(self) -> int:
        """How many seconds of the range are done with this page."""
        return self.window.seconds - sum(window.seconds for window in self.rest)


def windows(first: int, last: int) -> list[Window]:
    """Return a range of Unix seconds in days, the one that Stripe forgets first at the front."""
    starts = range(first, last + 1, _DAY_S)
    return [Window(start, min(start + _DAY_S - 1, last)) for start in starts]


@contextmanager
def listing(
    api: StripeApi, todo: Sequence[Window], types: Sequence[str] = ()
) -> Iterator[Iterator[Fetched]]:
    """Give the pages of windows as they come, the oldest window first.

    What is left of a window comes after the page that says so. A window with more events than the
    others is cut in two when a thread has nothing else to do. Only the events of `types` are asked
    for where they are few enough for Stripe.

    Raises:
        ToolError: when the pages are asked for, as `StripeApi.events` does.
    """
    crew = _Crew(api, todo, types if len(types) <= MAX_TYPES else ())
    try:
        yield crew.pages()
    finally:
        crew.stop()


class _Crew:
    """Threads that take windows from a queue and hand pages over, a few ahead of who reads them."""

    def __init__(self, api: StripeApi, todo: Sequence[Window], types: Sequence[str]) -> None:
        self._api = api
        self._types = types
        self._todo = deque(todo)
        self._unfinished = len(todo)
        self._idle = 0
        self._stopped = False
        self._changed = threading.Condition()
        self._ready: queue.Queue[Fetched | BaseException] = queue.Queue(_THREADS)

    def pages(self) -> Iterator[Fetched]:
        left = self._unfinished
        for _ in range(_THREADS):
            # a daemon: nobody who wants to stop waits for Stripe's answer
            threading.Thread(target=self._work, name="stripe", daemon=True).start()
        while left:
            fetched = self._ready.get()
            if isinstance(fetched, BaseException):
                raise fetched
            left += len(fetched.rest) - 1
            yield fetched

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _work(self) -> None:
        while window := self._next():
            try:
                fetched = self._fetch(window)
            except BaseException as error:
                # raised again where the pages are read
                self._hand_over(error)
                return
            # first the page: who reads it is to know of the rest before the rest comes
            self._hand_over(fetched)
            self._add(fetched.rest)

    def _hand_over(self, fetched: Fetched | BaseException) -> None:
        while not self._stopped:
            with contextlib.suppress(queue.Full):
                self._ready.put(fetched, timeout=0.1)
                return

    def _next(self) -> Window | None:
        with self._changed:
            self._idle += 1
            while not self._todo and self._unfinished and not self._stopped:
                self._changed.wait()
            self._idle -= 1
            return self._todo.popleft() if self._todo and not self._stopped else None

    def _add(self, rest: list[Window]) -> None:
        with self._changed:
            # to the front, in order: what has begun is finished before the next day begins
            self._todo.extendleft(reversed(rest))
            self._unfinished += len(rest) - 1
            self._changed.notify_all()

    def _fetch(self, window: Window) -> Fetched:
        page = self._api.events(window.first, window.last, self._types, window.after)
        if any(event.id == window.after for event, _ in page.listed):
            raise ToolError(
                "Stripe sent the same page twice",
                "what answers at STRIPE_API_BASE does not know `starting_after`: use another",
            )
        if page.has_more and not page.listed:
            raise ToolError(
                "Stripe sent an empty page and said that there are more",
                "look at what answers at STRIPE_API_BASE, and run this again",
            )
        if not page.has_more:
            return Fetched(window, _within(window, page))
        return Fetched(window, _within(window, page), self._rest(window, page))

    def _rest(self, window: Window, page: Page) -> list[Window]:
        """Return what is left of a window, in two if somebody is idle."""
        rest = replace(window, after=page.listed[-1].event.id)
        created = [event.created for event, _ in page.listed]
        # a stand-in may list the oldest first, and then nothing is known of what is to come
        newest_first = created[0] > created[-1] and created == sorted(created, reverse=True)
        if not newest_first or created[-1] < window.first:
            return [rest]
        rest = replace(rest, last=min(created[-1], window.last))
        middle = (rest.first + rest.last) // 2
        if not self._idle or middle == rest.last:
            return [rest]
        return [Window(rest.first, middle), replace(rest, first=middle + 1)]


def _within(window: Window, page: Page) -> list[Listed]:
    """Return the page's events that are the window's: a stand-in may not know `created`."""
    return [one for one in page.listed if window.first <= one.event.created <= window.last]

"""Stripe's events, one by one, with those that the archive lacks written into it."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

from webhook_app.events.record import events_api_record

from ..erasing.erased import Erased
from ..output import progress
from .listing import Window, events_of, listing
from .options import matches
from .pages import Event
from .stripe_api import StripeApi
from .writing import Writer


def transfer(
    api: StripeApi,
    todo: Sequence[Window],
    types: tuple[str, ...],
    is_missing: Callable[[Event], bool],
    writer: Writer | None,
    erased: Erased,
    finished: Callable[[date], object] = lambda _: None,
) -> int:
    """List the events of windows, and write those that are missing; return how many were erased.

    Args:
        api: Stripe.
        todo: what is listed.
        types: as `--type` names them; none for all.
        is_missing: called with each event once, but for those that were erased.
        writer: of the archive; None where nothing is to be written.
        erased: what was erased, and what is left out.
        finished: called with each day whose missing events are all confirmed.

    Raises:
        ToolError: Stripe refused or did not answer, or the archive did not take an event.
    """
    left_out = 0
    left = Counter({window.day: window.seconds for window in todo})
    with progress("Listing Stripe's events", left.total()) as bar:
        for fetched in listing(events_of(api, types), todo, lambda: bar.update(0)):
            for event, payload in fetched.page.items:
                # Stripe is asked for a few types alone, and a stand-in may ignore that
                if not matches(event.type, types):
                    continue
                if erased.has_event(event.id) or erased.covers(payload, event.created):
                    left_out += 1
                elif is_missing(event) and writer:
                    now = datetime.fromtimestamp(time.time(), UTC)
                    writer.add(events_api_record(payload, now))
            done = fetched.finished
            left[done.day] -= done.seconds
            if done.seconds and not left[done.day]:
                if writer:
                    writer.flush()
                finished(done.day)
            bar.update(done.seconds)
    return left_out

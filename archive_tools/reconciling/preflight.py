"""Checks before anything is written: is it this archive that the key's events belong into?

An archive that only grows would keep the events of another account.
"""

from collections import Counter
from itertools import islice

from ..errors import ToolError
from ..output import cell, count_text
from .index import Index, Visibility
from .stripe_api import StripeApi
from .subscription import Subscription

#: Spread over the archive, so that a few events made by hand do not decide.
_SAMPLES = 5

_FORCE = "--force writes all the same"


def preflight(api: StripeApi, index: Index, expected: Subscription) -> None:
    """Return where nothing speaks against writing what the key sees into an archive.

    Raises:
        ToolError: it is not known what the endpoint receives; the archive cannot be read as a
            whole; or it is of the other mode or of an account that the key does not know.
    """
    if expected.unknown:
        raise ToolError(
            f"{expected.unknown}, so it is not known which types the archive should have; "
            "nothing is written",
            f"let the key read Webhook Endpoints, or give --endpoint or --type. {_FORCE}",
        )
    if index.faults.unreachable:
        raise ToolError(
            f"{count_text(index.faults.unreachable, 'object')} of the archive cannot be opened, "
            "and what is in there would be written again; nothing is written",
            f"give these credentials the right to read it: `flask archive verify` names each. "
            f"{_FORCE}",
        )
    check_owner(api, index)


def check_owner(api: StripeApi, index: Index) -> None:
    """Return where the archive has no events, or some that the key knows.

    Raises:
        RefusedError: the key may not read Events.
        ToolError: the archive is of the other mode, or of an account that the key does not know.
    """
    counts = Counter(entry.visibility for entry in index.entries.values())
    visible = [Visibility.LISTED, Visibility.OTHER_TYPE]
    hidden = counts[Visibility.OTHER_MODE] + counts[Visibility.CONNECTED_ACCOUNT]
    if hidden and not any(counts[one] for one in (*visible, Visibility.MAYBE_DELETED)):
        here, there = ("live", "test") if api.livemode else ("test", "live")
        raise ToolError(
            f"On these days the archive has only events of {there} mode or of connected accounts, "
            f"and STRIPE_API_KEY sees its own account's of {here} mode; nothing is written",
            f"use a key of the archive's mode, or another --archive. {_FORCE}",
        )
    own = (name for name, entry in index.entries.items() if entry.visibility in visible)
    step = max(1, sum(counts[one] for one in visible) // _SAMPLES)
    samples = list(islice(own, 0, _SAMPLES * step, step))
    if samples and not any(map(api.has_event, samples)):
        raise ToolError(
            f"Stripe does not know what the archive has, {cell(samples[0])} for one: "
            "STRIPE_API_KEY is of another account; nothing is written",
            f"use a key of the account whose events these are, or another --archive. {_FORCE}",
        )

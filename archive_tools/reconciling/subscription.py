"""Which types of events the service's endpoint receives, as Stripe has it written down.

Knows endpoints, not events.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..errors import ToolError
from .stripe_api import Endpoint, RefusedError, StripeApi

_PATH = "/webhook/stripe"


@dataclass(frozen=True)
class Subscription:
    """The types that are to be in the archive."""

    types: frozenset[str] | None = None
    """None for all."""
    notes: list[str] = field(default_factory=list)
    """For people: why it is these."""
    known: bool = True
    """Whether Stripe has said so, or somebody who should know."""

    def __contains__(self, event_type: str) -> bool:
        """Whether an event of a type is to be in the archive."""
        return self.types is None or event_type in self.types


def subscription(api: StripeApi, endpoint: str | None) -> Subscription:
    """Return what the service's endpoint receives; the union where it has several.

    Args:
        api: Stripe.
        endpoint: the endpoint's id or address; None for those whose path is /webhook/stripe.

    Raises:
        ToolError: there is no such endpoint, or Stripe did not answer.
    """
    try:
        known = api.endpoints()
    except RefusedError as refused:
        if endpoint or refused.status == 401:
            raise
        return _anything(f"The endpoints cannot be read ({refused.status})")
    ours = [one for one in known if _is(one, endpoint)]
    if not ours and endpoint:
        raise ToolError(
            "Stripe has no such endpoint",
            "give one of these, by id or address: "
            + (", ".join(f"{one.id} {one.url}" for one in known) or "there is none in this mode"),
        )
    if not ours:
        return _anything(f"The address of no endpoint at Stripe ends in {_PATH}")
    # what a platform hears of connected accounts is not in its own list of events; but an endpoint
    # that an application has made for an account looks the same, and may be the only one
    own = [one for one in ours if not one.application] or ours
    types = frozenset(name for one in own for name in one.enabled_events)
    return Subscription(
        None if "*" in types else types, [*_off(ours), *_connect(ours, own), *_several(own)]
    )


def _is(endpoint: Endpoint, wanted: str | None) -> bool:
    if wanted:
        return wanted in (endpoint.id, endpoint.url)
    return urlsplit(endpoint.url).path.rstrip("/").endswith(_PATH)


def _anything(why: str) -> Subscription:
    said = f"{why}: events of all types are expected. --types says which."
    return Subscription(notes=[said], known=False)


def _connect(endpoints: Sequence[Endpoint], own: Sequence[Endpoint]) -> Iterable[str]:
    for endpoint in endpoints:
        if endpoint not in own:
            yield f"{endpoint.id} is for connected accounts: what it alone receives is not expected"


def _several(endpoints: Sequence[Endpoint]) -> Iterable[str]:
    if len({frozenset(endpoint.enabled_events) for endpoint in endpoints}) > 1:
        names = " and ".join(endpoint.id for endpoint in endpoints)
        yield f"{names} differ, and what any of them receives is expected: --endpoint chooses"


def _off(endpoints: Iterable[Endpoint]) -> Iterable[str]:
    for endpoint in endpoints:
        if endpoint.status != "enabled":
            yield f"{endpoint.id} is {endpoint.status}: Stripe delivers nothing to it"

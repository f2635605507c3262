"""Which types of events the service's endpoint receives, as Stripe has it written down.

Knows endpoints, not events.
"""

from collections.abc import Iterable
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
        return Subscription(notes=[_all(f"The endpoints cannot be read ({refused.status})")])
    ours = [one for one in known if _is(one, endpoint)]
    if not ours and endpoint:
        raise ToolError(
            "Stripe has no such endpoint",
            "give one of these, by id or address: "
            + (", ".join(f"{one.id} {one.url}" for one in known) or "there is none in this mode"),
        )
    if not ours:
        return Subscription(notes=[_all(f"No endpoint at Stripe has the path {_PATH}")])
    types = frozenset(name for one in ours for name in one.enabled_events)
    return Subscription(None if "*" in types else types, list(_off(ours)))


def _is(endpoint: Endpoint, wanted: str | None) -> bool:
    if wanted:
        return wanted in (endpoint.id, endpoint.url)
    return urlsplit(endpoint.url).path.rstrip("/") == _PATH


def _all(why: str) -> str:
    return f"{why}: events of all types are expected. --types says which."


def _off(endpoints: Iterable[Endpoint]) -> Iterable[str]:
    for endpoint in endpoints:
        if endpoint.status != "enabled":
            yield f"{endpoint.id} is {endpoint.status}: Stripe delivers nothing to it"

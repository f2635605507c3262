"""Which types of events the service's endpoint receives, and in which API version, by Stripe."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import ToolError
from ..output import cell
from .options import matches
from .stripe_api import Endpoint, RefusedError, StripeApi

_PATH = "/webhook/stripe"

#: The newest of Stripe's API versions that the models of deploy/athena/models were tried with.
NEWEST_VERSION = "2026-10-28.endive"

#: `*` leaves these out: an endpoint receives them only where it names them. They are the types that
#: https://docs.stripe.com/api/events/types marks "Selection required", read on 2026-11-24 as it
#: was with API version 2026-02-25.clover.
SELECTION_REQUIRED = frozenset(
    {
        "identity.verification_session.redacted",
        "issuing_authorization.request",
        "reporting.report_type.updated",
    }
)

#: The resources whose types that page lists. Of the types of others, as `treasury` and `apps`, it
#: does not say whether `*` is enough.
_RESOURCES = frozenset(
    """
    account application_fee balance balance_settings billing billing_portal capability cash_balance
    charge checkout climate coupon credit_note customer customer_cash_balance_transaction
    entitlements file financial_connections identity invoice invoice_payment invoiceitem
    issuing_authorization issuing_card issuing_cardholder issuing_dispute
    issuing_personalization_design issuing_token issuing_transaction mandate payment_intent
    payment_link payment_method payout person plan price product promotion_code quote radar refund
    reporting reserve review setup_intent sigma source subscription_schedule tax tax_rate terminal
    test_helpers topup transfer
    """.split()  # noqa: SIM905 - words are read more easily than 55 quoted strings
)


@dataclass(frozen=True)
class Subscription:
    """The types that the archive should have."""

    types: tuple[str, ...] = ()
    """As `--type` names them; none where the endpoint decides."""
    enabled_events: frozenset[str] = frozenset()
    """Of the endpoint."""
    notes: tuple[str, ...] = ()
    """For people: why it is these."""
    findings: tuple[str, ...] = ()
    """What somebody should change at the endpoint, each with the fix."""
    unknown: str = ""
    """Why the types cannot be known; empty where Stripe or an option names them."""

    def includes(self, event_type: str) -> bool | None:
        """Return whether events of a type should be there; None where it cannot be known."""
        if self.types:
            return matches(event_type, self.types)
        if event_type in self.enabled_events:
            return True
        if "*" not in self.enabled_events or event_type in SELECTION_REQUIRED:
            return False
        return True if event_type.partition(".")[0] in _RESOURCES else None


def subscription(api: StripeApi, endpoint: str | None) -> Subscription:
    """Return what the service's endpoint receives; the union where it has several.

    Args:
        api: Stripe.
        endpoint: the endpoint's id or address; None for those whose path is /webhook/stripe.

    Raises:
        ToolError: there is no such endpoint, or Stripe did not answer.
    """
    try:
        existing = api.endpoints()
    except RefusedError as refused:
        if endpoint or refused.status == 401:
            raise
        return _unknown(f"The endpoints cannot be read ({refused.status})")
    ours = [one for one in existing if _is(one, endpoint)]
    if not ours and endpoint:
        names = ", ".join(cell(f"{one.id} {one.url}") for one in existing)
        raise ToolError(
            "Stripe has no such endpoint",
            f"give one of these, by id or address: {names or 'there is none in this mode'}",
        )
    if not ours:
        return _unknown(f"The address of no endpoint at Stripe ends in {_PATH}")
    # what a platform hears of connected accounts is not in its own list of events; but an endpoint
    # that an application has made for an account looks the same, and may be the only one
    own = [one for one in ours if not one.application] or ours
    enabled = frozenset(name for one in own for name in one.enabled_events)
    notes, findings = tuple(map(cell, _notes(ours, own))), tuple(map(cell, _findings(ours)))
    return Subscription((), enabled, notes, findings)


def _is(endpoint: Endpoint, wanted: str | None) -> bool:
    if wanted:
        return wanted in (endpoint.id, endpoint.url)
    return urlsplit(endpoint.url).path.rstrip("/").endswith(_PATH)


def _unknown(why: str) -> Subscription:
    note = f"{why}: events of all types are expected. --type says which."
    return Subscription((), frozenset("*"), (note,), unknown=why)


def _notes(ours: Sequence[Endpoint], own: Sequence[Endpoint]) -> Iterator[str]:
    for endpoint in ours:
        if endpoint.status != "enabled":
            yield f"{endpoint.id} is {endpoint.status}: Stripe delivers nothing to it"
        if endpoint not in own:
            yield f"{endpoint.id} is for connected accounts: what it alone receives is not expected"
    if len({frozenset(endpoint.enabled_events) for endpoint in own}) > 1:
        names = " and ".join(endpoint.id for endpoint in own)
        yield f"{names} differ, and what any of them receives is expected: --endpoint chooses"


def _findings(ours: Sequence[Endpoint]) -> Iterator[str]:
    """Yield what is wrong with the API versions: Stripe takes one only for a new endpoint.

    https://docs.stripe.com/webhooks/versioning
    """
    anew = f"make the endpoint anew with api_version={NEWEST_VERSION}: docs/OPERATIONS.md has how"
    for endpoint in ours:
        if endpoint.api_version is None:
            yield (
                f"{endpoint.id} has no API version of its own: its events change when the "
                f"account's default does. Fix: {anew}"
            )
        # each begins with its date
        elif endpoint.api_version[:10] > NEWEST_VERSION[:10]:
            yield (
                f"{endpoint.id} has API version {endpoint.api_version}, and the models know none "
                f"newer than {NEWEST_VERSION}. Fix: update this software, or {anew}"
            )

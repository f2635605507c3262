"""Stripe's API, as far as the tools need it: lists by page, events by id, and webhook endpoints.

The only module that talks to Stripe. It knows requests, retries and refusals, and no archive.
"""

import http.client
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec
import stripe

from ..errors import ToolError
from ..output import note
from ..settings import ToolSettings
from .pages import C, Event, Page, StripeObject, decoder
from .rate_limiter import RateLimiter, backoff_s

T = TypeVar("T")

#: The most objects that a page has. https://docs.stripe.com/api/pagination
PAGE_LIMIT = 100
#: The most types that a request can name. https://docs.stripe.com/api/events/list
MAX_TYPES = 20

_ATTEMPTS = 8
_TIMEOUT_S = (10.0, 60.0)
#: The longest Retry-After that is waited for.
_LONGEST_WAIT_S = 60.0

_KEY_FIX = (
    "make a restricted key in the Stripe Dashboard (Developers, API keys) that may read what "
    "docs/ARCHIVE_TOOLS.md names for this command, and set STRIPE_API_KEY to it"
)

#: What a restricted key must be allowed to read for each list, in the words of the Dashboard.
PERMISSIONS = {
    "/v1/balance_transactions": "Balance",
    "/v1/coupons": "Coupons",
    "/v1/customers": "Customers",
    "/v1/prices": "Prices",
    "/v1/products": "Products",
    "/v1/subscription_items": "Subscriptions",
    "/v1/subscriptions": "Subscriptions",
    "/v1/webhook_endpoints": "Webhook Endpoints",
}


class RefusedError(ToolError):
    """Stripe refused a request, and would refuse it again."""

    def __init__(self, status: int, wrong: str, fix: str = "") -> None:
        """Take the HTTP status of the answer, what is wrong, and how to fix it."""
        super().__init__(wrong, fix)
        self.status = status


class Endpoint(msgspec.Struct, frozen=True):
    """The columns of a webhook endpoint that the tools need.

    https://docs.stripe.com/api/webhook_endpoints/object
    """

    id: str
    url: str
    enabled_events: list[str]
    api_version: str | None = None
    """In which its events are rendered; None for the account's default, whatever that becomes."""
    status: str = "enabled"
    application: str | None = None
    """Set where it is for connected accounts, or was made by an application."""


class _EndpointList(msgspec.Struct):
    data: list[Endpoint]
    has_more: bool


_decode_endpoints = msgspec.json.Decoder(_EndpointList).decode
_decode_events = decoder(Event)
_decode_items = decoder(StripeObject)


class _Answer(NamedTuple, Generic[T]):
    value: T
    asked_at: float
    api_version: str | None


class StripeApi:
    """Reads from Stripe with a restricted key; safe for any number of threads at once.

    TLS, proxies and connections are those of the `stripe` library's HTTP client. Its `raw_request`
    would decode each page into dictionaries that are not needed: 20 s for 300,000 events.
    """

    def __init__(self, settings: ToolSettings, limiter: RateLimiter) -> None:
        """Use the key and the address of the settings; nothing is sent yet.

        Raises:
            ToolError: there is no key.
        """
        if not settings.stripe_api_key:
            raise ToolError("STRIPE_API_KEY is not set", _KEY_FIX)
        self._base = settings.stripe_api_base
        self._limiter = limiter
        self._headers = {
            "Authorization": f"Bearer {settings.stripe_api_key}",
            "Stripe-Version": stripe.api_version,
            "User-Agent": "stripe-analytics-backend",
        }
        self._client = stripe.RequestsClient(timeout=_TIMEOUT_S)
        self.livemode = "_live_" in settings.stripe_api_key
        """Whether the key sees the live mode's events, or those of test mode."""

    def events(
        self, first: int, last: int, types: Sequence[str] = (), after: str | None = None
    ) -> Page[Event]:
        """Return a page of the events created in a range of Unix seconds, both ends included.

        Stripe gives the newest first, of the last 30 days. `after` is the id of the last event of
        the page before; `types` are at most `MAX_TYPES`, none of them means all.

        Raises:
            RefusedError: Stripe refused.
            ToolError: it did not answer after several attempts.
        """
        named = [("types[]", name) for name in types]
        return self.objects("/v1/events", _decode_events, first, last, after, named)

    def objects(
        self,
        path: str,
        decode: Callable[[bytes], Page[C]],
        first: int,
        last: int,
        after: str | None = None,
        besides: Iterable[tuple[str, str]] = (),
    ) -> Page[C]:
        """Return a page of the objects of a list that were created in a range of Unix seconds.

        Both ends are included, the newest come first. `after` is the id of the last object of the
        page before; `besides` are parameters of the list's own.

        Raises:
            RefusedError: Stripe refused.
            ToolError: it did not answer after several attempts.
        """
        query = [("created[gte]", str(first)), ("created[lte]", str(last))]
        query += [("limit", str(PAGE_LIMIT)), *besides]
        if after:
            query.append(("starting_after", after))
        answer = self._ask(path, query, decode)
        return answer.value._replace(asked_at=answer.asked_at, api_version=answer.api_version)

    def subscription_items(self, subscription: str) -> list[bytes]:
        """Return the JSON of all items of a subscription, each as it stood in the list.

        Raises:
            RefusedError: Stripe refused; with status 404, there is no such subscription.
            ToolError: it did not answer after several attempts.
        """
        found: list[bytes] = []
        query = [("subscription", subscription), ("limit", str(PAGE_LIMIT))]
        more = [*query]
        while more:
            page = self._get("/v1/subscription_items", more, _decode_items)
            found += [payload for _, payload in page.items]
            turned = page.has_more and page.items
            after = [*query, ("starting_after", page.items[-1].columns.id)] if turned else []
            # not for ever, where a stand-in does not know `starting_after`
            more = after if after != more else []
        return found

    def has_event(self, event_id: str) -> bool:
        """Return whether Stripe knows an event of the key's account and mode.

        Raises:
            RefusedError: Stripe refused to say.
            ToolError: it did not answer after several attempts.
        """
        try:
            return self._get(f"/v1/events/{quote(event_id, safe='')}", (), bool)
        except RefusedError as refused:
            if refused.status == http.client.NOT_FOUND:
                return False
            raise

    def endpoints(self) -> list[Endpoint]:
        """Return all webhook endpoints of the key's mode.

        Raises:
            RefusedError: with status 403, the key may not read them.
            ToolError: Stripe did not answer after several attempts.
        """
        found: list[Endpoint] = []
        more = True
        while more:
            query = [("limit", "100")] + ([("starting_after", found[-1].id)] if found else [])
            answer = self._get("/v1/webhook_endpoints", query, _decode_endpoints)
            found += answer.data
            more = answer.has_more and bool(answer.data)
        return found

    def _get(self, path: str, query: Iterable[tuple[str, str]], decode: Callable[[bytes], T]) -> T:
        return self._ask(path, query, decode).value

    def _ask(
        self, path: str, query: Iterable[tuple[str, str]], decode: Callable[[bytes], T]
    ) -> _Answer[T]:
        url = f"{self._base}{path}?{urlencode(list(query))}"
        for attempt in range(1, _ATTEMPTS + 1):
            self._limiter.wait()
            wait_s = backoff_s(attempt)
            asked_at = time.time()
            try:
                body, status, headers = self._client.request("get", url, self._headers)
                if status == http.client.OK:
                    return _Answer(decode(body), asked_at, headers.get("Stripe-Version"))
            except stripe.APIConnectionError:
                problem = "no answer"
            except (ValueError, msgspec.MsgspecError):
                problem = "an answer that is no list"
            else:
                problem = f"status {status}"
                if not _is_transient(status, headers):
                    raise _refusal(path, status, body)
                wait_s = max(wait_s, _retry_after_s(headers))
            if attempt < _ATTEMPTS and self._limiter.hold(wait_s):
                note(
                    f"Stripe gave {problem} to GET {path}, attempt {attempt} of {_ATTEMPTS}; "
                    f"the next is in {wait_s:.1f} s"
                )
        raise ToolError(
            f"Stripe gave {problem} to GET {path}, {_ATTEMPTS} times",
            "look at https://status.stripe.com, at STRIPE_API_BASE, and for a proxy that opens "
            "TLS; where the status is 429, try again with a lower --rate",
        )


def _is_transient(status: int, headers: Mapping[str, str]) -> bool:
    """Return whether the request may succeed later; Stripe's own word on it comes first.

    https://docs.stripe.com/error-low-level#should-retry-header
    """
    should_retry = headers.get("Stripe-Should-Retry")
    if should_retry in ("true", "false"):
        return should_retry == "true"
    return status in (409, http.client.TOO_MANY_REQUESTS) or status >= 500


def _retry_after_s(headers: Mapping[str, str]) -> float:
    seconds = headers.get("Retry-After", "")
    return min(float(seconds), _LONGEST_WAIT_S) if re.fullmatch(r"\d{1,6}", seconds) else 0.0


def _refusal(path: str, status: int, body: bytes) -> RefusedError:
    what = PERMISSIONS.get(path, "Events")
    if status == http.client.UNAUTHORIZED:
        return RefusedError(status, "Stripe does not accept STRIPE_API_KEY (401)", _KEY_FIX)
    if status == http.client.FORBIDDEN:
        fix = f"give the restricted key the permission to read {what} in the Stripe Dashboard"
        # Stripe's own name for it, which no message can make a secret of
        if found := re.search(rb"\brak_[a-z_]{1,60}", body):
            fix += f", which Stripe's answer calls {found[0].decode()}"
        return RefusedError(status, f"STRIPE_API_KEY may not read {what} (403)", fix)
    # the code alone: a message quotes what was sent
    found = re.search(rb'"code"\s*:\s*"([a-z0-9_]{1,60})"', body)
    code = f" {found[1].decode()}" if found else ""
    fix = "look at STRIPE_API_BASE: it should be https://api.stripe.com, or a stand-in for that"
    return RefusedError(status, f"Stripe refused GET {path}: {status}{code}", fix)

"""Stripe's API, as far as the tools need it: events by page, and the webhook endpoints.

The only module that talks to Stripe. It knows requests, their pace and their refusals; it knows
nothing of archives.
"""

import http.client
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlencode

import msgspec
import stripe

from ..errors import ToolError
from ..settings import ToolSettings
from .event_pages import Page, page
from .pace import Pace, backoff_s

T = TypeVar("T")

#: The most that Stripe gives at a time. https://docs.stripe.com/api/events/list
PAGE_EVENTS = 100

#: The most types that one request can ask for. https://docs.stripe.com/api/events/list
MAX_TYPES = 20

#: Requests a second. An endpoint of the API takes 25, of everybody who has keys of this account.
#: https://docs.stripe.com/rate-limits
DEFAULT_RATE = 20.0

_TRIES = 8
_TIMEOUT_S = (10.0, 60.0)
#: What a server may ask for; who wants to be left alone for longer is to be asked another day.
_LONGEST_WAIT_S = 60.0

_KEY_CURE = (
    "make a restricted key in the Stripe Dashboard (Developers, API keys) that may read Events "
    "and Webhook Endpoints, and set STRIPE_API_KEY to it"
)


class RefusedError(ToolError):
    """Stripe refused a request, and would refuse it again."""

    def __init__(self, status: int, wrong: str, cure: str = "") -> None:
        """Take the status of the answer, what is wrong, and what heals it."""
        super().__init__(wrong, cure)
        self.status = status


class Endpoint(msgspec.Struct, frozen=True):
    """A webhook endpoint, as far as it matters here.

    https://docs.stripe.com/api/webhook_endpoints/object
    """

    id: str
    url: str
    enabled_events: list[str]
    status: str = "enabled"
    application: str | None = None
    """Set where it is for connected accounts, or was made by an application."""


class _Endpoints(msgspec.Struct):
    data: list[Endpoint]
    has_more: bool


_decode_endpoints = msgspec.json.Decoder(_Endpoints).decode


class StripeApi:
    """Reads from Stripe with a restricted key; safe for any number of threads at once.

    TLS, proxies and connections are those of the `stripe` library's HTTP client. Its `raw_request`
    would decode each page into dictionaries that nobody looks at: 20 s of 300,000 events.
    """

    def __init__(self, settings: ToolSettings, pace: Pace) -> None:
        """Use the key and the address of the settings; nothing is sent yet.

        Raises:
            ToolError: there is no key.
        """
        if not settings.stripe_api_key:
            raise ToolError("STRIPE_API_KEY is not set", _KEY_CURE)
        self._base = settings.stripe_api_base
        self._pace = pace
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
    ) -> Page:
        """Return a page of the events created in a range of Unix seconds, both ends included.

        Stripe gives the newest first, of the last 30 days. `after` is the id of the last event of
        the page before; `types` are at most `MAX_TYPES`, none of them means all.

        Raises:
            RefusedError: Stripe refused.
            ToolError: it did not answer after several tries.
        """
        query = [("created[gte]", str(first)), ("created[lte]", str(last))]
        query += [("limit", str(PAGE_EVENTS)), *(("types[]", name) for name in types)]
        if after:
            query.append(("starting_after", after))
        return self._get("/v1/events", query, page)

    def endpoints(self) -> list[Endpoint]:
        """Return all webhook endpoints of the key's mode.

        Raises:
            RefusedError: with status 403, the key may not read them.
            ToolError: Stripe did not answer after several tries.
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
        url = f"{self._base}{path}?{urlencode(list(query))}"
        for tries in range(1, _TRIES + 1):
            self._pace.wait()
            wait_s = backoff_s(tries)
            try:
                body, status, headers = self._client.request("get", url, self._headers)
                if status == http.client.OK:
                    return decode(body)
            except stripe.APIConnectionError:
                problem = "no answer"
            except (ValueError, msgspec.MsgspecError):
                problem = "an answer that is no list"
            else:
                problem = f"status {status}"
                if not _passes(status, headers):
                    raise _refusal(path, status, body)
                wait_s = max(wait_s, _asked_for_s(headers))
            if tries < _TRIES:
                self._pace.hold(wait_s)
        raise ToolError(
            f"Stripe gave {problem} to GET {path}, {_TRIES} times",
            "look at https://status.stripe.com, at STRIPE_API_BASE, and for a proxy that opens "
            "TLS; where the status is 429, try again with a lower --rate",
        )


def _passes(status: int, headers: Mapping[str, str]) -> bool:
    """Whether the same request may succeed later. Stripe says so itself where it knows better."""
    said = headers.get("Stripe-Should-Retry")
    if said in ("true", "false"):
        return said == "true"
    return status in (409, http.client.TOO_MANY_REQUESTS) or status >= 500


def _asked_for_s(headers: Mapping[str, str]) -> float:
    """Return the seconds that the server wants to be left alone for, within reason."""
    asked = headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_WAIT_S) if re.fullmatch(r"\d{1,6}", asked) else 0.0


def _refusal(path: str, status: int, body: bytes) -> RefusedError:
    what = "Events" if path == "/v1/events" else "Webhook Endpoints"
    if status == http.client.UNAUTHORIZED:
        return RefusedError(status, "Stripe does not accept STRIPE_API_KEY (401)", _KEY_CURE)
    if status == http.client.FORBIDDEN:
        cure = f"give the restricted key the permission to read {what} in the Stripe Dashboard"
        return RefusedError(status, f"STRIPE_API_KEY may not read {what} (403)", cure)
    # the code alone: a message quotes what was sent
    code = re.search(rb'"code"\s*:\s*"([a-z0-9_]{1,60})"', body)
    said = f" {code[1].decode()}" if code else ""
    cure = "look at STRIPE_API_BASE: it should be https://api.stripe.com, or a stand-in for that"
    return RefusedError(status, f"Stripe refused GET {path}: {status}{said}", cure)

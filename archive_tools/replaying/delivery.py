"""The delivery of one event: signed now, tried again where that can help, and what came of it.

Speaks to the endpoint as Stripe does. Nothing of a payload, a secret or an answer's body is kept.
"""

import http.client
import itertools
import random
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from webhook_app.events.signature import sign

from .connection import Connection, cause
from .destination import Destination
from .payloads import PayloadError, Payloads
from .plan import Planned

#: No longer between two tries, whatever Retry-After says.
LONGEST_WAIT_S = 60.0

_FIRST_WAIT_S = 0.5
_HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
}


@dataclass(frozen=True)
class Outcome:
    """What became of an event."""

    event: Planned
    status: int | None
    """Of the last answer; None where none came."""
    cause: str
    """Why there is no answer; empty where there is one."""
    seconds: float
    """What the last try took."""

    @property
    def accepted(self) -> bool:
        """Whether the endpoint has taken it, as Stripe sees it: any 2xx."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def passing(self) -> bool:
        """Whether another try may end otherwise."""
        return self.status is None or self.status == 429 or self.status >= 500


class Deliverer:
    """Delivers events, one at a time, over one connection."""

    def __init__(
        self,
        to: Destination,
        secret: str,
        payloads: Payloads,
        timeout_s: float,
        retries: int,
        stopped: threading.Event,
    ) -> None:
        """Take what a delivery needs; once `stopped` is set, no try follows another."""
        self._connection = Connection(to, timeout_s)
        self._target = to.target
        self._secret = secret
        self._payloads = payloads
        self._retries = retries
        self._stopped = stopped

    def deliver(self, event: Planned) -> Outcome:
        """Return what became of an event, after the last try."""
        try:
            body = self._payloads.body(event.key, event.line)
        except PayloadError as error:
            return Outcome(event, None, str(error), 0.0)
        for tried in itertools.count():
            outcome, asked_s = self._try(event, body)
            if not outcome.passing or tried >= self._retries:
                break
            if self._stopped.wait(max(_backoff_s(tried), asked_s)):
                break
        return outcome

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _try(self, event: Planned, body: bytes) -> tuple[Outcome, float]:
        """Return what one request gave, and the seconds that the endpoint wants to be left alone.

        Each is signed anew: a signature is too old after some minutes.
        """
        headers = {**_HEADERS, "Stripe-Signature": sign(body, self._secret)}
        began = time.perf_counter()
        try:
            answer = self._connection.ask("POST", self._target, body, headers)
        except (OSError, http.client.HTTPException) as error:
            return Outcome(event, None, cause(error), time.perf_counter() - began), 0.0
        outcome = Outcome(event, answer.status, "", time.perf_counter() - began)
        return outcome, wait_s(answer.retry_after)


def wait_s(retry_after: str | None) -> float:
    """Return the seconds of a `Retry-After` header, 0 for none, never more than a minute.

    It is a number of seconds or a date: https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
    """
    if not retry_after:
        return 0.0
    if retry_after.isascii() and retry_after.isdigit():
        # more digits are more than a minute too, and int() has a limit
        return min(LONGEST_WAIT_S, float(retry_after[:9]))
    try:
        until = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(LONGEST_WAIT_S, max(0.0, (until - datetime.now(UTC)).total_seconds()))


def _backoff_s(tried: int) -> float:
    longest = min(LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0**tried)
    return longest * random.uniform(0.5, 1)  # noqa: S311 # nosec B311 - spreads load

"""Sends events to an endpoint as Stripe does: signed, at a rate, in a thread pool, with retries.

Refuses an unencrypted network, and an archive, which would store every event again.
"""

import contextlib
import itertools
import queue
import random
import re
import threading
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from multiprocessing.pool import ThreadPool
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter

from webhook_app.events.signature import sign

from ..errors import ToolError
from .selection import Event

RETRIES = 5
TIMEOUT_S = 30.0
FIRST_WAIT_S = 0.5

#: Between two tries, whatever Retry-After says.
MAX_WAIT_S = 60.0

_HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
}
_LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|0\.0\.0\.0|::1", re.ASCII)


class _Health(msgspec.Struct, forbid_unknown_fields=True):
    """What `GET /health` of this service answers."""

    status: str
    version: str
    timestamp: str


def destination(url: str) -> SplitResult:
    """Return the parts of an http or https URL, in ASCII.

    Raises:
        ToolError: it is none, or holds a user name or a password.
    """
    try:
        to = urlsplit(requests.Request("POST", url).prepare().url or "")
    except (requests.RequestException, ValueError):
        to = urlsplit("")
    if to.scheme not in ("http", "https") or not to.hostname:
        raise ToolError("The URL cannot be used", "give it in full, as https://host/path")
    if "@" in to.netloc:
        raise ToolError(
            "There is a user name or a password in the URL, which `ps` shows to everybody",
            "leave it out: the signature proves where an event comes from",
        )
    return to


def without_query(to: SplitResult) -> str:
    """Return a URL for people and files: its query can hold a token."""
    return to._replace(query="", fragment="").geturl()


def refuse_unsafe(to: SplitResult, service_port: int) -> None:
    """Refuse an unencrypted network, and the endpoint of this machine's service, running or not.

    Raises:
        ToolError: it is one of them.
    """
    loopback = _LOOPBACK.fullmatch(to.hostname or "")
    if to.scheme == "http" and not loopback:
        raise ToolError(
            f"{without_query(to)} is not encrypted: the network could read the events",
            "give an https:// URL, or --force where the network is yours",
        )
    port = to.port or (443 if to.scheme == "https" else 80)
    if loopback and port == service_port and to.path.rstrip("/").endswith("/webhook/stripe"):
        raise _archive_error(to)


def http_session(connections: int) -> requests.Session:
    """Return a session for so many threads. It keeps no cookies, so they change nothing in it."""
    session = requests.Session()
    session.headers.update(_HEADERS)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=connections))
    return session


def check_health(session: requests.Session, to: SplitResult, *, refuse_archive: bool) -> None:
    """Ask for /health at the origin and below each folder of the URL's path.

    A proxy can have an archive behind a prefix, as in https://host/prefix/webhook/stripe.

    Raises:
        ToolError: nothing answers, or it is an archive that answers.
    """
    folders = to.path.split("/")[:-1]
    for depth in range(1, len(folders) + 1):
        path = "/".join([*folders[:depth], "health"])
        try:
            _, body = _answer(session, "GET", to._replace(path=path, query="").geturl(), timeout=5)
        except requests.ReadTimeout:
            continue
        except requests.RequestException as error:
            raise ToolError(
                f"{without_query(to)} cannot be reached: {_reason(error)}",
                "check the URL, and that the endpoint is up",
            ) from None
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            health = msgspec.json.decode(body, type=_Health)
            if refuse_archive and health.status == "ok":
                raise _archive_error(to)


def _archive_error(to: SplitResult) -> ToolError:
    return ToolError(
        f"{without_query(to)} is an archive's own endpoint, which would store every event again",
        "give the endpoint of the service that processes the events, or --force to copy them",
    )


@dataclass(frozen=True)
class Outcome:
    """What became of an event."""

    event: Event
    answer: int | str
    """The status of the last answer, or why there was none."""

    @property
    def accepted(self) -> bool:
        """Whether it is a 2xx, as Stripe asks for."""
        return isinstance(self.answer, int) and 200 <= self.answer < 300

    @property
    def retryable(self) -> bool:
        """Whether another try may have another answer."""
        return isinstance(self.answer, str) or self.answer == 429 or self.answer >= 500


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Sends events to one URL. `concurrency` is the number of threads."""

    session: requests.Session
    url: str
    secret: str
    """Which the endpoint checks signatures with."""
    rate: float
    """Events a second at most; 0 for no limit."""
    concurrency: int

    def outcomes(self, events: Iterable[tuple[Event, bytes | None]]) -> Generator[Outcome]:
        """Send events with their payloads, and yield what became of each as it is known.

        An event is asked for when a thread is free. Where the caller ends early, what is on its
        way has no outcome.
        """
        done: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        stopped = threading.Event()
        running, due = 0, time.monotonic()

        def finished() -> Outcome:
            outcome = done.get()
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        # its threads are daemons: a request that hangs does not hold up the end of the process
        with ThreadPool(self.concurrency) as pool:
            try:
                for event, payload in events:
                    time.sleep(min(max(0.0, due - time.monotonic()), 3600))
                    # lost time is not caught up on: the endpoint has to bear the rate
                    due = time.monotonic() + 1 / self.rate if self.rate else due
                    job = (event, payload, stopped)
                    pool.apply_async(self._deliver, job, {}, done.put, done.put)
                    running += 1
                    while running == self.concurrency or not done.empty():
                        running -= 1
                        yield finished()
                for _ in range(running):
                    yield finished()
            finally:
                stopped.set()

    def _deliver(self, event: Event, payload: bytes | None, stopped: threading.Event) -> Outcome:
        if payload is None:
            return Outcome(event, "its object can no longer be read")
        for tried in itertools.count():
            outcome, retry_after_s = self._post(event, payload)
            # jitter spreads the retries of several threads
            backoff_s = FIRST_WAIT_S * 2.0**tried * random.uniform(0.5, 1)  # noqa: S311 # nosec B311
            wait_s = min(MAX_WAIT_S, max(backoff_s, retry_after_s))
            if not outcome.retryable or tried == RETRIES or stopped.wait(wait_s):
                break
        return outcome

    def _post(self, event: Event, payload: bytes) -> tuple[Outcome, float]:
        # signed for each try: an endpoint accepts a signature for five minutes
        headers = {"Stripe-Signature": sign(payload, self.secret)}
        try:
            answer, _ = _answer(
                self.session, "POST", self.url, data=payload, headers=headers, timeout=TIMEOUT_S
            )
        except requests.RequestException as error:
            return Outcome(event, _reason(error)), 0.0
        after = answer.headers.get("Retry-After", "")
        seconds = float(after) if after.isascii() and after.isdigit() else 0.0
        return Outcome(event, answer.status_code), seconds


def _answer(
    session: requests.Session, method: str, url: str, **options: Any
) -> tuple[requests.Response, bytes]:
    """Return an answer and the first 64 KiB of its body; redirects are not followed."""
    host = urlsplit(url).hostname or ""
    # what stays on this machine is not for a proxy of the environment
    proxies = {"no_proxy": host} if _LOOPBACK.fullmatch(host) else None
    options |= {"allow_redirects": False, "stream": True, "proxies": proxies}
    with session.request(method, url, **options) as answer:
        body = b""
        # the status counts, also where the body breaks off
        with contextlib.suppress(requests.RequestException):
            # its connection is used again once the body is read, if that has an end
            for part in itertools.islice(answer.iter_content(8192), 8):
                body += part
        return answer, body


def _reason(error: requests.RequestException) -> str:
    """Return why there was no answer. The libraries' own messages quote the URL and its query."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    cause: BaseException = error
    while following := cause.__cause__ or cause.__context__:
        cause = following
    return (cause.strerror if isinstance(cause, OSError) else None) or type(cause).__name__

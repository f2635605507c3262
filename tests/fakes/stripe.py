"""Stripe's API on loopback: events and objects by page as Stripe lists them, and faults."""

import contextlib
import json
import socket
import struct
import threading
import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from webhook_app.events.record import Record, webhook_record

KEY = "rk_test_reader"

#: In which it renders what is asked for, where the test does not say.
VERSION = "2026-10-28.endive"

#: The items of a subscription that Stripe embeds.
EMBEDDED_ITEMS = 10

#: The service's, which receives all types.
ENDPOINT: dict[str, Any] = {
    "id": "we_1",
    "url": "https://example.com/webhook/stripe",
    "api_version": VERSION,
    "enabled_events": ["*"],
    "status": "enabled",
    "application": None,
}

#: The lists of objects, by the last word of the path.
OBJECT_LISTS = (
    "balance_transactions",
    "coupons",
    "customers",
    "prices",
    "products",
    "subscription_items",
    "subscriptions",
)

#: What a fault answers; `reset`, `truncated` and `hang` do something else.
FAULTS: dict[str, tuple[int, dict[str, str]]] = {
    "429": (429, {}),
    "429_after_1_s": (429, {"Retry-After": "1"}),
    "429_for_good": (429, {"Stripe-Should-Retry": "false"}),
    "400_for_now": (400, {"Stripe-Should-Retry": "true"}),
    "409": (409, {}),
    "500": (500, {}),
    "503": (503, {}),
    "401": (401, {}),
    "403": (403, {}),
    "400": (400, {}),
    "html": (200, {}),
    "endless": (200, {}),
    "no_end": (200, {}),
}


def event(
    number: int, created: int, kind: str = "charge.succeeded", **fields: Any
) -> dict[str, Any]:
    """An event as Stripe makes it, small."""
    return {
        "id": f"evt_{number:06d}",
        "object": "event",
        "api_version": VERSION,
        "created": created,
        "data": {"object": {"id": f"ch_{number}", "object": "charge", "name": "Zoë", "amount": 1}},
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
        **fields,
    }


def rendered(event: dict[str, Any]) -> bytes:
    """An event's bytes in a list of events: not those of its webhook."""
    return json.dumps(event, indent=2).replace("\n", "\n    ").encode()


def embedded(one: dict[str, Any]) -> dict[str, Any]:
    """An object as it stands in a list: of a subscription's items, the first ten."""
    if one.get("object") != "subscription":
        return one
    return one | {
        "items": {
            "object": "list",
            "data": one["items"][:EMBEDDED_ITEMS],
            "has_more": len(one["items"]) > EMBEDDED_ITEMS,
            "url": f"/v1/subscription_items?subscription={one['id']}",
        }
    }


def delivered(event: dict[str, Any], after_s: float = 2.0) -> Record:
    """The record of an event's webhook, archived so long after it happened."""
    received_at = datetime.fromtimestamp(event["created"] + after_s, UTC)
    return webhook_record(json.dumps(event).encode(), "t=1,v1=00", received_at)


class Shelf:
    """Events in the order of the list, newest first."""

    def __init__(self, events: Sequence[dict[str, Any]] = ()) -> None:
        self.events = sorted(events, key=lambda event: -event["created"])
        self.created = [-event["created"] for event in self.events]
        self.ids = {event["id"]: n for n, event in enumerate(self.events)}

    def between(self, first: int, last: int) -> range:
        return range(bisect_left(self.created, -last), bisect_right(self.created, -first))

    def place_of(self, event_id: str) -> int | None:
        return self.ids.get(event_id)

    def id(self, n: int) -> str:
        found: str = self.events[n]["id"]
        return found

    def type(self, n: int) -> str:
        found: str = self.events[n]["type"]
        return found

    def rendered(self, n: int) -> bytes:
        return rendered(self.events[n])


class FakeStripe:
    """What the server knows, and how a test steers it."""

    def __init__(self, events: Sequence[dict[str, Any]] | Shelf = ()) -> None:
        self.shelf = events if isinstance(events, Shelf) else Shelf(events)
        self.endpoints: list[dict[str, Any]] = []
        self.objects: dict[str, list[dict[str, Any]]] = {}
        """By the last word of the path, as in `customers`."""
        self.version: str | None = VERSION
        self.key = KEY
        self.forbidden: set[str] = set()
        """Paths that the key may not read."""
        self.script: deque[str] = deque()
        """Faults of the next requests, one each; `ok` for none."""
        self.fault = "ok"
        """What every request gets, once `script` is used up."""
        self.asked: list[str] = []
        """The requests, path and query."""
        self.latency_s = 0.0
        self.oldest_first = False
        self.deaf = False
        """Does not know `starting_after`."""
        self.url = ""
        self._stopped = threading.Event()

    def hold(self, *events: dict[str, Any]) -> None:
        """Have these events from now on, beside those that are there."""
        self.shelf = Shelf([*self.shelf.events, *events])

    @contextlib.contextmanager
    def serving(self, port: int = 0) -> Iterator["FakeStripe"]:
        """Serve until the block ends, on a free port unless one is given."""
        server = _Server(("127.0.0.1", port), _Handler)
        server.fake = self
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            server.shutdown()
            thread.join()
            server.server_close()

    def variables(self) -> dict[str, str]:
        """What sends the tools here."""
        return {"STRIPE_API_KEY": self.key, "STRIPE_API_BASE": self.url}

    def hang(self) -> None:
        """Wait for the end of the test."""
        self._stopped.wait(30)

    def object_page(self, name: str, query: dict[str, list[str]]) -> tuple[int, bytes]:
        """A page of a list of objects, with status, as Stripe answers."""
        if name == "subscription_items":
            (of,) = query["subscription"]
            parents = [one for one in self.objects["subscriptions"] if one["id"] == of]
            if not parents:
                return 404, b'{"error": {"code": "resource_missing", "message": "No such one"}}'
            found = parents[0]["items"]
        else:
            listed = sorted(self.objects.get(name, []), key=lambda one: -one["created"])
            first = int(query.get("created[gte]", ["0"])[0])
            last = int(query.get("created[lte]", ["9" * 12])[0])
            # without it, the list is documented to have the active ones
            active = name != "prices" or query.get("active", ["true"]) == ["true"]
            found = [
                one
                for one in listed
                if first <= one["created"] <= last
                and (name != "prices" or one["active"] is active)
                and (query.get("status") == ["all"] or one.get("status") != "canceled")
            ]
        if after := query.get("starting_after"):
            ids = [one["id"] for one in found]
            if after[0] not in ids:
                return 400, b'{"error": {"code": "resource_missing", "message": "No such one"}}'
            found = found[ids.index(after[0]) + 1 :]
        limit = int(query.get("limit", ["10"])[0])
        items = b",\n    ".join(rendered(embedded(one)) for one in found[:limit])
        return 200, _list(f"/v1/{name}", items, len(found) > limit)

    def page(self, query: dict[str, list[str]]) -> bytes:
        """A page of events."""
        shelf = self.shelf
        between = shelf.between(
            int(query.get("created[gte]", ["0"])[0]), int(query.get("created[lte]", ["9" * 12])[0])
        )
        found: Sequence[int] = between
        if types := query.get("types[]"):
            assert len(types) <= 20
            found = [n for n in between if shelf.type(n) in types]
        if self.oldest_first:
            found = found[::-1]
        after = query.get("starting_after")
        if after and not self.deaf:
            place = shelf.place_of(after[0])
            assert place is not None
            step = -1 if self.oldest_first else 1
            found = (
                [n for n in found if n * step > place * step]
                if types
                else _rest(found, place, step)
            )
        limit = int(query.get("limit", ["10"])[0])
        events = b",\n    ".join(shelf.rendered(n) for n in found[:limit])
        return _list("/v1/events", events, len(found) > limit)


def _rest(found: Sequence[int], place: int, step: int) -> Sequence[int]:
    start = place - found[0] if step > 0 else found[0] - place
    return found[max(0, start + 1) :] if found else found


def _list(url: str, items: bytes, more: bool) -> bytes:
    head = b'{\n  "object": "list",\n  "data": [\n    '
    return (
        head
        + items
        + b'\n  ],\n  "has_more": %s,\n  "url": "%s"\n}\n'
        % (
            b"true" if more else b"false",
            url.encode(),
        )
    )


class _Server(ThreadingHTTPServer):
    fake: FakeStripe
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what half of the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        fake = self.server.fake
        fake.asked.append(self.path)
        time.sleep(fake.latency_s)
        parts = urlsplit(self.path)
        fault = fake.script.popleft() if fake.script else fake.fault
        if fault != "ok":
            self._misbehave(fault)
        elif self.headers["Authorization"] != f"Bearer {fake.key}":
            self._answer(401, b'{"error": {"code": "api_key_invalid", "message": "No such key."}}')
        elif parts.path in fake.forbidden:
            name = parts.path.rpartition("/")[2].removesuffix("s")
            text = f"{KEY} does not do. Having the 'rak_{name}_read' permission would."
            refusal = {"error": {"type": "invalid_request_error", "message": text}}
            self._answer(403, json.dumps(refusal).encode())
        elif parts.path == "/v1/events":
            self._answer(200, fake.page(parse_qs(parts.query)))
        elif parts.path == "/v1/webhook_endpoints":
            self._answer(200, self._endpoints(parse_qs(parts.query)))
        elif (name := parts.path.removeprefix("/v1/")) in OBJECT_LISTS:
            self._answer(*fake.object_page(name, parse_qs(parts.query)))
        elif (n := fake.shelf.place_of(parts.path.removeprefix("/v1/events/"))) is not None:
            self._answer(200, fake.shelf.rendered(n))
        else:
            self._answer(404, b'{"error": {"code": "url_unknown", "message": "What?"}}')

    def _endpoints(self, query: dict[str, list[str]]) -> bytes:
        endpoints = self.server.fake.endpoints
        ids = [endpoint["id"] for endpoint in endpoints]
        start = ids.index(query["starting_after"][0]) + 1 if "starting_after" in query else 0
        end = start + int(query.get("limit", ["10"])[0])
        items = ",\n".join(json.dumps(endpoint) for endpoint in endpoints[start:end])
        return _list("/v1/webhook_endpoints", items.encode(), end < len(endpoints))

    def _misbehave(self, fault: str) -> None:
        if fault == "hang":
            self.server.fake.hang()
            self.close_connection = True
        elif fault == "reset":
            linger_off = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_off)
            self.close_connection = True
        elif fault == "truncated":
            self._answer(200, b'{"data": [', announced=1000)
            self.close_connection = True
        elif fault == "html":
            self._answer(200, b"<html>a proxy's page</html>")
        elif fault == "endless":
            self._answer(200, _list("/v1/events", b"", True))
        elif fault == "no_end":
            self._answer(200, b'{"data": []}')
        else:
            status, headers = FAULTS[fault]
            # what Stripe says quotes what it was asked
            told = {"error": {"code": "told_by_the_test", "message": f"With {KEY}: {self.path}"}}
            self._answer(status, json.dumps(told).encode(), headers=headers)

    def _answer(
        self,
        status: int,
        body: bytes,
        announced: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(announced or len(body)))
        if version := self.server.fake.version:
            self.send_header("Stripe-Version", version)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Keep the tests' output to the tests."""

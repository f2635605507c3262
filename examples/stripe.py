"""Plays Stripe's API on this machine, with the events of a folder, for trying the tools.

`python -m examples.stripe FOLDER COMMAND…` runs a command that takes it for Stripe. It knows what
the tools ask for: the list of events, one event, the webhook endpoints, and lists of objects.
https://docs.stripe.com/api/events
"""

import bisect
import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import click

from tests.support.service import listening

KEY = "rk_live_demo"
_TEST_KEY = "rk_test_demo"

#: The last words of the paths of the lists of objects.
_OBJECT_LISTS = (
    "balance_transactions",
    "coupons",
    "customers",
    "prices",
    "products",
    "subscriptions",
)

#: Of every answer.
VERSION = "2026-10-28.endive"

_ENDPOINT = {
    "id": "we_demo",
    "object": "webhook_endpoint",
    "api_version": VERSION,
    "enabled_events": ["*"],
    "livemode": True,
    "status": "enabled",
    "url": "https://example.com/webhook/stripe",
}


@dataclass(frozen=True)
class Event:
    """An event as Stripe keeps it for 30 days."""

    id: str
    type: str
    created: int
    body: bytes | Callable[[], bytes]
    """Itself, or what makes it when it is asked for."""
    livemode: bool = True

    def rendered(self) -> bytes:
        """Return the body."""
        return self.body if isinstance(self.body, bytes) else self.body()


class Stripe:
    """The answers to GET requests."""

    def __init__(self, events: Iterable[Event], objects: Iterable[dict[str, Any]] = ()) -> None:
        """Keep the events and the objects, the newest first, as the API lists them."""
        self._objects = sorted(objects, key=lambda one: (one["created"], one["id"]), reverse=True)
        self._events = sorted(events, key=lambda event: (event.created, event.id), reverse=True)
        self._by_id = {event.id: n for n, event in enumerate(self._events)}
        self._ages = [-event.created for event in self._events]

    def answer(self, address: str) -> tuple[int, bytes]:
        """Return status and JSON for a path with its query."""
        parts = urlsplit(address)
        if parts.path == "/v1/events":
            return 200, self._page(parse_qs(parts.query))
        if parts.path == "/v1/webhook_endpoints":
            listed = {"object": "list", "has_more": False, "data": [_ENDPOINT]}
            return 200, json.dumps(listed).encode()
        if (name := parts.path.removeprefix("/v1/")) in _OBJECT_LISTS:
            return 200, self._object_page(name, parse_qs(parts.query))
        position = self._by_id.get(parts.path.removeprefix("/v1/events/"))
        if position is None:
            return 404, b'{"error": {"type": "invalid_request_error", "message": "Not here"}}'
        return 200, self._events[position].rendered()

    def _object_page(self, name: str, query: dict[str, list[str]]) -> bytes:
        first, last = (int(query[f"created[{end}]"][0]) for end in ("gte", "lte"))
        found = [
            one
            for one in self._objects
            if f"{one['object']}s" == name
            and first <= one["created"] <= last
            # the list of prices has the active ones, or the others
            and ("active" not in query or query["active"] == [json.dumps(one["active"])])
        ]
        after = [n for n, one in enumerate(found, 1) if [one["id"]] == query.get("starting_after")]
        rest = found[after[0] :] if after else found
        limit = int(query["limit"][0])
        page = {"object": "list", "data": rest[:limit], "has_more": len(rest) > limit}
        return json.dumps(page | {"url": f"/v1/{name}"}).encode()

    def _page(self, query: dict[str, list[str]]) -> bytes:
        def number(name: str, default: int) -> int:
            return int(query.get(name, [str(default)])[0])

        first = bisect.bisect_left(self._ages, -number("created[lte]", sys.maxsize))
        end = bisect.bisect_right(self._ages, -number("created[gte]", 0))
        if after := query.get("starting_after"):
            first = max(first, self._by_id[after[0]] + 1)
        types = {name for key, names in query.items() if key.startswith("types") for name in names}
        wanted = (
            event
            for event in itertools.islice(self._events, first, end)
            if not types or event.type in types
        )
        found = [event.rendered() for event in itertools.islice(wanted, number("limit", 10))]
        more = next(wanted, None) is not None
        head = f'{{"object": "list", "url": "/v1/events", "has_more": {json.dumps(more)}, "data": ['
        return head.encode() + b",\n".join(found) + b"]}"


@contextlib.contextmanager
def serving(stripe: Stripe) -> Iterator[str]:
    """Serve on a free port of this machine until the block ends; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            status, body = 401, b'{"error": {"message": "No API key"}}'
            if self.headers.get("Authorization", "").startswith("Bearer "):
                status, body = stripe.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Stripe-Version", VERSION)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler) as address:
        yield address


def events_of(folder: Path) -> Iterator[Event]:
    """Yield the snapshot events of a folder of bodies; thin ones are not in this API."""
    for path in sorted(folder.glob("*.json")):
        body = path.read_bytes()
        event = json.loads(body)
        if isinstance(event, dict) and event.get("object") == "event":
            yield Event(event["id"], event["type"], event["created"], body, event["livemode"])


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def main(folder: Path, command: tuple[str, ...]) -> None:
    """Run COMMAND with the events in FOLDER as what Stripe has."""
    events = list(events_of(folder))
    key = KEY if any(event.livemode for event in events) else _TEST_KEY
    with serving(Stripe(events)) as address:
        environment = {**os.environ, "STRIPE_API_BASE": address, "STRIPE_API_KEY": key}
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)  # noqa: S603


if __name__ == "__main__":
    main()

"""The terminal sessions of docs/ARCHIVE_TOOLS.md, run again: `python -m examples.sessions`.

Every `$ flask archive …` of the document's console blocks runs on the sample month, at the time at
which it ends, with a Stripe and a receiver on this machine; what it prints takes the place of what
stands there. Names with random characters and durations are made the same each time.
"""

import contextlib
import gzip
import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from unittest import mock

import click
from click.testing import CliRunner

from archive_tools import days
from archive_tools.cli import archive
from archive_tools.querying import duckdb_engine
from examples import month, stripe
from tests.support.service import PROJECT, listening

DOCUMENT = PROJECT / "docs/ARCHIVE_TOOLS.md"

#: When the sessions are: the end of the sample month.
NOW = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)

#: Where the document's receiver listens; here it has another port.
_RECEIVER = "http://localhost:9000"

#: Two events of which no delivery is in the archive, as after a loss.
LOST = ("evt_Month0184", "evt_Month0185")

_DURATIONS = (
    (r"(rows?) in [\d.]+ s", r"\1 in 0.1 s"),
    (r" in [\d.]+ s, [\d.]+ a second", " in 0.4 s, 11.9 a second"),
    (r"p50 [\d.]+ ms, p99 [\d.]+ ms", "p50 1.5 ms, p99 3.9 ms"),
)

_BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)


def renewed(text: str) -> str:
    """Return a document with the output of its sessions as it is now."""
    with _workspace() as receiver:
        status = [0]
        return _BLOCK.sub(lambda block: _session(block[0], receiver, status), text)


def _session(block: str, receiver: str, status: list[int]) -> str:
    """Return a block with its commands' outputs renewed; `status` is the last one's."""
    lines = []
    for command in _commands(block):
        lines.append(f"$ {command}")
        words = shlex.split(command)
        if words == ["echo", "$?"]:
            lines.append(str(status[0]))
            continue
        if words[:2] != ["flask", "archive"]:
            raise click.ClickException(f"{command} is not a command of the archive's tools")
        words = [word.replace(_RECEIVER, receiver) for word in words[2:]]
        done = CliRunner().invoke(archive, words, prog_name="flask archive")
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        status[0] = done.exit_code
        lines += [line.rstrip() for line in _steady(done.output, receiver).splitlines()]
    return "\n".join(lines) + "\n"


def _commands(block: str) -> Iterator[str]:
    """Yield what stands behind a `$ `, up to the end of its last quotation."""
    lines = iter(block.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.count('"') % 2 or command.endswith("\\"):
                command += f"\n{next(lines)}"
            yield command


def _steady(output: str, receiver: str) -> str:
    """Return an output without what differs from run to run."""
    # a temporary folder
    output = re.sub(r"^Archive: .*\n", "", output, flags=re.MULTILINE)
    output = output.replace(receiver, _RECEIVER)
    output = re.sub(r"-[0-9a-f]{16}\.json\.gz", "-….json.gz", output)
    # manifests hold the names of objects
    output = re.sub(r"^head [0-9a-f]{64} ", "head 5be1… ", output, flags=re.MULTILINE)
    for pattern, replacement in _DURATIONS:
        output = re.sub(pattern, replacement, output)
    return output


@contextlib.contextmanager
def _workspace() -> Iterator[str]:
    """Go to a folder with what the document speaks of, at its time; yield a receiver's address."""
    events = month.deliveries()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(contextlib.chdir(folder))
        month.archive(Path("archive"), (d for d in events if not _is_lost(d.body)))
        _damage(Path("archive"), Path("damaged"))
        Path("new").mkdir()
        address = stack.enter_context(stripe.serving(_stripe(events)))
        receiver = stack.enter_context(_receiving())
        variables = {
            "PYTHON_DOTENV_DISABLED": "1",
            "ARCHIVE_DIR": "archive",
            "STRIPE_WEBHOOK_SECRET": "whsec_month",
            "STRIPE_API_KEY": stripe.KEY,
            "STRIPE_API_BASE": address,
            "REPLAY_SECRET": "whsec_replay",
        }
        stack.enter_context(mock.patch.dict(os.environ, variables))
        stack.enter_context(mock.patch("time.time", NOW.timestamp))
        for module in (days, duckdb_engine):
            stack.enter_context(mock.patch.object(module, "today", NOW.date))
        yield receiver


def _is_lost(body: bytes) -> bool:
    return any(event_id.encode() in body for event_id in LOST)


def _stripe(deliveries: list[month.Delivery]) -> stripe.Stripe:
    """Return the Stripe that made these deliveries, with what its events tell of its objects."""
    events = list(_stripes_events(deliveries))
    objects = {}
    for event in sorted(events, key=lambda event: event.created):
        one = json.loads(event.rendered())["data"]["object"]
        items = one["items"]["data"] if one["object"] == "subscription" else []
        for found in (one, *(item["price"] for item in items)):
            if "created" in found and "id" in found:
                objects[found["id"]] = found
    return stripe.Stripe(events, objects.values())


def _stripes_events(deliveries: list[month.Delivery]) -> Iterator[stripe.Event]:
    """Yield each snapshot event once."""
    seen = set()
    for delivery in deliveries:
        event = json.loads(delivery.body)
        if isinstance(event, dict) and event["object"] == "event" and event["id"] not in seen:
            seen.add(event["id"])
            event["pending_webhooks"] = 0
            # the API renders events anew
            body = json.dumps(event, indent=4, ensure_ascii=False).encode()
            yield stripe.Event(event["id"], event["type"], event["created"], body)


def _damage(whole: Path, damaged: Path) -> None:
    """Copy an archive, and damage the copy in four ways."""
    shutil.copytree(whole, damaged)
    first, second, third, *_ = sorted(damaged.glob("webhooks/*/*/day=20/*"))
    text = gzip.decompress(first.read_bytes())
    first.write_bytes(gzip.compress(text.replace(b'\\"amount\\": ', b'\\"amount\\": 9', 1)))
    second.write_bytes(second.read_bytes()[:-200])
    third.write_bytes(gzip.compress(text.rstrip(b"\n") + gzip.decompress(third.read_bytes())))
    (damaged / "webhooks/notes.txt").write_text("Do not touch!\n")


@contextlib.contextmanager
def _receiving() -> Iterator[str]:
    """Answer every POST with 200 until the block ends; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_error(404)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler) as address:
        yield address


@click.command()
@click.argument("document", type=click.Path(exists=True, path_type=Path), default=DOCUMENT)
def main(document: Path) -> None:
    """Renew the sessions in DOCUMENT."""
    document.write_text(renewed(document.read_text()))


if __name__ == "__main__":
    main()

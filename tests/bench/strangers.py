"""Slow and hostile clients against the service: do Stripe's events still get through, how fast?

`python -m tests.bench.strangers` starts the real service with four workers in front of a Firehose
that takes 100 ms, sends it 20 genuine events a second, and lets one kind of client after the other
at it, with `WEB_THREADS` of 1 and of 8. It prints a table and fails unless every genuine event was
acknowledged and archived, the 99th percentile and /health stayed under a second, and memory stayed
flat. The last rows have the workers that the service chooses by itself in a small container, and
fail if one of them is killed. `--publish` puts the table into docs/RELIABILITY.md.
"""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

import click

from tests.fakes.firehose import FakeFirehose
from tests.support import stripe_client
from tests.support.memory_limit import memory_limit
from tests.support.service import Service
from webhook_app.serving.capacity import worker_count

from . import processes
from .deliveries import event_body, request
from .faults import DOCUMENT
from .load import Load, deliver, open_loop
from .rows import publisher, report
from .service import service, variables

WORKERS, THREADS = 4, (1, 8)
#: Memory limits with the threads of each worker.
LIMITS_MB = ((256, 1), (512, 1), (256, 8))
EVENTS_A_SECOND = 20
HEALTHS_A_SECOND = 2
CLIENTS = 200
JUNK_A_SECOND = 500
FIREHOSE_LATENCY_S = 0.1
#: What unfinished requests may take: 400 in each worker would not take this much.
MEMORY_MB = 30

CHUNKED = stripe_client.head("Transfer-Encoding: chunked")

Client = Callable[[int], Awaitable[None]]


class Case(NamedTuple):
    """What is measured in a row."""

    kind: str
    threads: int
    limit_mb: int | None = None
    """The memory limit of the service; with one it has the workers that it chooses itself."""

    @property
    def workers(self) -> int:
        """How many there are."""
        return worker_count(self.limit_mb * 2**20) if self.limit_mb else WORKERS


@dataclass(frozen=True)
class Row:
    """What was seen beside one kind of client; memory in MB."""

    case: Case
    events: Load
    healths: Load
    archived: int
    memory: tuple[float, float]
    """PSS before and after; with a limit, the most there was."""
    kills: int = 0
    """Processes that the kernel killed for want of memory."""

    @property
    def acknowledged(self) -> int:
        """How many genuine events were."""
        return len(self.events.took_s)

    @property
    def holds(self) -> bool:
        """Whether the service kept its word."""
        return (
            self.events.errors == self.healths.errors == 0
            and self.acknowledged == self.archived
            and self.events.ms(0.99) < 1000
            and self.healths.ms(1) < 1000
            and self.memory[1] < (self.case.limit_mb or self.memory[0] + MEMORY_MB)
            and self.kills == 0
        )

    def __str__(self) -> str:
        """Return the row of the table."""
        before, after = self.memory
        sent = self.acknowledged + self.events.errors
        return (
            f"{self.case.kind:<40} {self.case.workers:>3} x {self.case.threads} "
            f"{self.acknowledged:>5} of {sent:<5} "
            f"{self.events.ms(0.5):>6.0f} {self.events.ms(0.99):>6.0f} {self.healths.ms(1):>7.0f} "
            f"{before:>7.0f} {after:>6.0f}   {'holds' if self.holds else 'BROKEN'}"
        )


HEADING = (
    f"{'slow and hostile clients':<40} workers acknowledged   p50 ms p99 ms health ms PSS MB  after"
)


async def _drip(port: int, head: bytes, drop: bytes, pause_s: float = 0.2) -> None:
    """Send a beginning, then a byte a second, until the service has had enough; again and again."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(head)
                while not reader.at_eof():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(1000), 1)
                    if drop:
                        writer.write(drop)
            finally:
                writer.close()
        await asyncio.sleep(pause_s)


async def nobody(_: int) -> None:
    """Leave the service alone."""


async def idle(port: int) -> None:
    """Connect and say nothing."""
    await _drip(port, b"", b"")


async def half_idle(port: int) -> None:
    """Connect, begin to speak, and fall silent."""
    await _drip(port, b"POST /webhook", b"")


async def dripping_header(port: int) -> None:
    """Send a header that never ends, a byte a second."""
    await _drip(port, b"POST /webhook/stripe HTTP/1.1\r\nHost: x\r\nX-Long: ", b"a")


async def dripping_body(port: int) -> None:
    """Send a body a byte a second."""
    await _drip(port, b"POST /webhook/stripe HTTP/1.1\r\nContent-Length: 9000\r\n\r\n", b"{")


async def never_reading(port: int) -> None:
    """Send a request, and neither read the answer nor close."""
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(b"POST /webhook/stripe HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
            try:
                await asyncio.sleep(5)
            finally:
                writer.transport.abort()


async def flooding(port: int, head: bytes, piece: bytes) -> None:
    """Send a beginning, then the same piece, some 10 MB a second of it; again and again.

    Faster ones take the machine from the other senders, who run in this process too.
    """
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(head)
                while True:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(len(piece) / 10e6)
            finally:
                writer.transport.abort()
        await asyncio.sleep(0.01)


async def tiny_chunks(port: int) -> None:
    """Send a body in chunks of a byte."""
    await flooding(port, CHUNKED, b"1\r\nx\r\n" * 10_000)


async def endless_trailer(port: int) -> None:
    """Send a trailer that never ends, behind a large body."""
    await flooding(port, CHUNKED + b"100000\r\n%s\r\n0\r\nX: " % (b"x" * 2**20), b"a" * 5_000)


async def endless_chunk_size(port: int) -> None:
    """Send the line of a chunk's size without an end."""
    await flooding(port, CHUNKED + b"1;", b"a" * 5_000)


async def large_bodies(port: int) -> None:
    """Post bodies of the largest size; the one character takes most memory when decoded."""
    body = "\N{GRINNING FACE}".encode().ljust(4 * 2**20, b"x")
    lines = f"Stripe-Signature: t={int(time.time())},v1={'0' * 64}", f"Content-Length: {len(body)}"
    while True:
        await deliver(port, stripe_client.head(*lines) + body)
        await asyncio.sleep(0.1)


async def slow_large_bodies(port: int) -> None:
    """Send most of a large body, and the rest a byte a second."""
    body = stripe_client.head("Content-Length: 4000001") + b"x" * 4_000_000
    # 100 MB a second from all of them
    await _drip(port, body, b"x", pause_s=10)


async def any_kind(port: int) -> None:
    """Be one of those that take memory."""
    kind = next(_TURN) % 50
    if kind == 0:
        await large_bodies(port)
    elif kind < 25:
        await slow_large_bodies(port)
    else:
        # as much as is read without a part of the budget
        await _drip(port, stripe_client.head("Content-Length: 32768") + b"x" * 32_000, b"x")


_TURN = itertools.count()


async def junk(port: int) -> None:
    """Post a body that nobody signed, at a share of the whole rate."""
    body = b'{"id": "evt_junk"}' * 60
    head = b"POST /webhook/stripe HTTP/1.1\r\nStripe-Signature: t=1,v1=00\r\nContent-Length: "
    unsigned, connection = head + b"%d\r\n\r\n%s" % (len(body), body), None
    for turn in itertools.count(1):
        started = time.monotonic()
        _, connection = await deliver(port, unsigned, connection)
        pause = CLIENTS / JUNK_A_SECOND - (time.monotonic() - started)
        # each starts at its own moment
        await asyncio.sleep(max(0.0, pause * (0.5 if turn == 1 else 1)))


#: What each kind does, and how many there are of it.
WORST = "500 of the largest bodies"
KINDS: dict[str, tuple[Client, int]] = {
    "none": (nobody, 0),
    f"{CLIENTS} connections, idle": (idle, CLIENTS),
    f"{CLIENTS} connections, idle after half a line": (half_idle, CLIENTS),
    f"{CLIENTS} headers, a byte a second": (dripping_header, CLIENTS),
    f"{CLIENTS} bodies, a byte a second": (dripping_body, CLIENTS),
    f"{CLIENTS} that neither read nor close": (never_reading, CLIENTS),
    f"{JUNK_A_SECOND} unsigned posts a second": (junk, CLIENTS),
    "4 bodies in chunks of a byte, fast": (tiny_chunks, 4),
    "4 trailers without an end, fast": (endless_trailer, 4),
    "4 chunk sizes without an end, fast": (endless_chunk_size, 4),
    "6 unsigned posts of 4 MiB each, always": (large_bodies, 6),
    "250 bodies of 4 MB, slow at the end": (slow_large_bodies, 250),
    WORST: (any_kind, 500),
}


async def _deliver_among(port: int, kind: str, seconds: float) -> tuple[Load, Load]:
    """Deliver for that long among many of these clients, and ask for /health all the while."""
    client, count = KINDS[kind]
    clients = [asyncio.ensure_future(client(port)) for _ in range(count)]
    await asyncio.sleep(1)
    count = round(EVENTS_A_SECOND * seconds)
    events = [request(event_body(number)) for number in range(count)]
    health = [b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"]
    try:
        return await asyncio.gather(
            open_loop(port, events, EVENTS_A_SECOND, seconds),
            open_loop(port, health, HEALTHS_A_SECOND, seconds),
        )
    finally:
        running = set(clients)
        while running:
            # again and again: a wait that ends in the same moment swallows the cancellation
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=1)


async def _warm_up(port: int) -> None:
    """Let every worker and thread deliver, before memory is looked at."""
    await asyncio.gather(*(deliver(port, request(event_body(number))) for number in range(64)))


def memory_mb(one: Service) -> float:
    """Return what the service's processes take together (PSS)."""
    return processes.pss_mb(one.process.pid)


def measure(case: Case, seconds: float) -> Row:
    """Let one of KINDS at a service of its own for that long and return what was seen."""
    with ExitStack() as stack:
        firehose = stack.enter_context(FakeFirehose().serving())
        firehose.latency_s = FIREHOSE_LATENCY_S
        environ = variables(firehose.url, case.workers, case.threads) | {"LOG_LEVEL": "ERROR"}
        limit = stack.enter_context(memory_limit(case.limit_mb)) if case.limit_mb else None
        one = stack.enter_context(service(environ, limit.wrapper if limit else ()))
        asyncio.run(_warm_up(one.port))
        firehose.records.clear()
        before = memory_mb(one)
        events, healths = asyncio.run(_deliver_among(one.port, case.kind, seconds))
        after = limit.most_mb if limit else memory_mb(one)
        kills = limit.kills if limit else 0
        archived = {json.loads(payload)["id"] for payload in firehose.payloads()}
    return Row(case, events, healths, len(archived), (before, after), kills)


@click.command()
@click.option(
    "--seconds",
    # a signature is valid for 300 s
    type=click.FloatRange(0.5, 240),
    default=30,
    show_default=True,
    help="For each kind of client.",
)
@click.option("--publish", is_flag=True, help="Put the table into docs/RELIABILITY.md.")
def main(seconds: float, publish: bool) -> None:
    """Print the table, a row for each kind of client and number of threads."""
    cases = [Case(kind, threads) for threads in THREADS for kind in KINDS if kind != WORST]
    cases += [Case(WORST, threads, limit) for limit, threads in LIMITS_MB]
    into = publisher(DOCUMENT, "clients", "python -m tests.bench.strangers --publish")
    report(
        HEADING,
        cases,
        lambda case: measure(case, seconds),
        seconds,
        into if publish else None,
        alone=lambda case: case.limit_mb is not None,
    )


if __name__ == "__main__":
    main()

"""Strangers against the service: do Stripe's events still get through, and how fast?

`python -m tests.bench.strangers` starts the real service with four sync workers in front of a
Firehose that takes 100 ms, sends it 20 genuine events a second, and lets one kind of stranger
after the other at it. It prints a table and fails unless every genuine event was acknowledged and
archived, the 99th percentile and /health stayed under a second, and memory stayed flat.
"""

import asyncio
import contextlib
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import click

from tests.bench import processes
from tests.fakes.firehose import FakeFirehose
from tests.support.service import Service, running
from tests.support.stripe_client import head, signature

SECRET = "whsec_strangers"
EVENTS_A_SECOND = 20
STRANGERS = 200
JUNK_A_SECOND = 500
FIREHOSE_LATENCY_S = 0.1

Stranger = Callable[[int], Awaitable[None]]


@dataclass(frozen=True)
class Row:
    """What was seen beside one kind of stranger; times in milliseconds, memory (PSS) in MB."""

    kind: str
    sent: int
    acknowledged: int
    archived: int
    p50_ms: float
    p99_ms: float
    health_ms: float
    memory: tuple[float, float]

    @property
    def holds(self) -> bool:
        """Whether the service kept its word."""
        return (
            self.sent == self.acknowledged == self.archived
            and self.p99_ms < 1000
            and self.health_ms < 1000
            # 400 half-sent requests in each worker would not take this much
            and self.memory[1] - self.memory[0] < 30
        )

    def __str__(self) -> str:
        """Return the row of the table."""
        before, after = self.memory
        return (
            f"{self.kind:<44} {self.acknowledged:>5} of {self.sent:<5} {self.p50_ms:>6.0f} "
            f"{self.p99_ms:>6.0f} {self.health_ms:>7.0f} {before:>7.0f} {after:>6.0f}   "
            f"{'holds' if self.holds else 'BROKEN'}"
        )


HEADING = f"{'strangers':<44} {'acknowledged':<14} p50 ms p99 ms health ms PSS MB  after"


async def _drip(port: int, head: bytes, drop: bytes) -> None:
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
        await asyncio.sleep(0.2)


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


async def junk(port: int) -> None:
    """Post a body that nobody signed, at a share of the whole rate."""
    body = b'{"id": "evt_junk"}' * 60
    head = b"POST /webhook/stripe HTTP/1.1\r\nStripe-Signature: t=1,v1=00\r\nContent-Length: "
    for turn in itertools.count(1):
        started = time.monotonic()
        with contextlib.suppress(OSError, ValueError):
            await _exchange(port, head + b"%d\r\n\r\n%s" % (len(body), body))
        pause = STRANGERS / JUNK_A_SECOND - (time.monotonic() - started)
        # each starts at its own moment
        await asyncio.sleep(max(0.0, pause * (0.5 if turn == 1 else 1)))


KINDS: dict[str, Stranger] = {
    "nobody": nobody,
    f"{STRANGERS} connections, idle": idle,
    f"{STRANGERS} connections, idle after half a line": half_idle,
    f"{STRANGERS} headers, a byte a second": dripping_header,
    f"{STRANGERS} bodies, a byte a second": dripping_body,
    f"{STRANGERS} that neither read nor close": never_reading,
    f"{JUNK_A_SECOND} unsigned posts a second": junk,
}


async def _exchange(port: int, request: bytes) -> int:
    """Send a request and return the status of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        answer = await reader.read()
    finally:
        writer.close()
    return int(answer[9:12])


def _signed(body: bytes) -> bytes:
    lines = [f"Stripe-Signature: {signature(body, SECRET)}", f"Content-Length: {len(body)}"]
    return head(*lines) + body


async def _timed(port: int, request: bytes) -> float | None:
    """Return the milliseconds until a 200, or None for anything else."""
    started = time.monotonic()
    try:
        status = await asyncio.wait_for(_exchange(port, request), 15)
    except (OSError, ValueError, TimeoutError):
        return None
    return (time.monotonic() - started) * 1000 if status == 200 else None


async def _every(
    interval_s: float, count: int, call: Callable[[int], Awaitable[float | None]]
) -> list[float | None]:
    """Make calls at fixed times, whether or not the ones before have ended."""
    started = time.monotonic()
    tasks = []
    for number in range(count):
        await asyncio.sleep(started + number * interval_s - time.monotonic())
        tasks.append(asyncio.ensure_future(call(number)))
    return list(await asyncio.gather(*tasks))


async def _siege(port: int, stranger: Stranger, seconds: int) -> tuple[list[float | None], ...]:
    strangers = [asyncio.ensure_future(stranger(port)) for _ in range(STRANGERS)]
    await asyncio.sleep(1)

    def event(number: int) -> Awaitable[float | None]:
        return _timed(port, _signed(json.dumps({"id": f"evt_{number}", "x": "y" * 4000}).encode()))

    def health(_: int) -> Awaitable[float | None]:
        return _timed(port, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")

    try:
        return await asyncio.gather(
            _every(1 / EVENTS_A_SECOND, EVENTS_A_SECOND * seconds, event),
            _every(0.5, 2 * seconds, health),
        )
    finally:
        for task in strangers:
            task.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)


def memory_mb(service: Service) -> float:
    """Return what the service's processes take together (PSS)."""
    return processes.pss_mb(service.process.pid)


def measure(kind: str, seconds: int, extra: dict[str, str] | None = None) -> Row:
    """Let one of KINDS at a service of its own for that long and return what was seen."""
    with tempfile.TemporaryDirectory() as folder, FakeFirehose().serving() as firehose:
        firehose.latency_s = FIREHOSE_LATENCY_S
        variables = {
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "FIREHOSE_DELIVERY_STREAM_NAME": "strangers",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_ENDPOINT_URL_FIREHOSE": firehose.url,
            "WEB_WORKERS": "4",
            "LOG_LEVEL": "ERROR",
        }
        with running(variables | (extra or {}), Path(folder) / "log") as service:
            # each worker has worked once before memory is looked at
            asyncio.run(_siege(service.port, nobody, 2))
            firehose.records.clear()
            before = memory_mb(service)
            events, healths = asyncio.run(_siege(service.port, KINDS[kind], seconds))
            after = memory_mb(service)
    times = sorted(took for took in events if took is not None) or [float("inf")]
    return Row(
        kind=kind,
        sent=len(events),
        acknowledged=sum(took is not None for took in events),
        archived=len(set(firehose.payloads())),
        p50_ms=times[len(times) // 2],
        p99_ms=times[int(len(times) * 0.99)],
        health_ms=max(float("inf") if took is None else took for took in healths),
        memory=(before, after),
    )


@click.command()
@click.option("--seconds", default=60, show_default=True, help="For each kind of stranger.")
def main(seconds: int) -> None:
    """Print the table, a row for each kind of stranger."""
    click.echo(HEADING)
    rows = []
    for kind in KINDS:
        rows.append(measure(kind, seconds))
        click.echo(str(rows[-1]))
    sys.exit(not all(row.holds for row in rows))


if __name__ == "__main__":
    main()

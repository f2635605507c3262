"""Deliveries in numbers: as fast as so many clients go, or so many a second whatever happens.

Knows HTTP as far as it needs to. A connection is kept wherever the service lets it, as Stripe does.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

#: Seconds after which a delivery has failed, well above the service's own budget.
_TIMEOUT_S = 30


@dataclass
class Load:
    """What became of the deliveries of one measurement."""

    seconds: float = 0.0
    took_s: list[float] = field(default_factory=list)
    """Seconds of each acknowledged delivery, until its answer was there."""
    errors: int = 0
    """Anything but a 200."""

    @property
    def events_per_s(self) -> float:
        """Return how many were acknowledged a second."""
        return len(self.took_s) / self.seconds

    def ms(self, share: float) -> float:
        """Return the milliseconds within which that share of the acknowledged was answered.

        Infinite where none was.
        """
        if not self.took_s:
            return math.inf
        ordered = sorted(self.took_s)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000

    def note(self, status: int, took_s: float) -> None:
        """Count one delivery."""
        if status == 200:
            self.took_s.append(took_s)
        else:
            self.errors += 1


async def closed_loop(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    """Let that many clients deliver for that long, each its next event after its last answer."""
    load = Load()
    began = time.perf_counter()
    turn = 0

    async def client() -> None:
        nonlocal turn
        connection: Connection | None = None
        while (started := time.perf_counter()) < began + seconds:
            turn += 1
            status, connection = await deliver(port, requests[turn % len(requests)], connection)
            load.note(status, time.perf_counter() - started)
        if connection:
            connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    load.seconds = time.perf_counter() - began
    return load


async def open_loop(port: int, requests: Sequence[bytes], rate: float, seconds: float) -> Load:
    """Deliver at fixed times, whether or not the ones before have been answered.

    Latency counts from the intended time, so a service that stands still cannot hide it by slowing
    its clients down.
    """
    load = Load()
    idle: list[Connection] = []
    began = time.perf_counter()

    async def one(intended: float, request: bytes) -> None:
        kept = next((idle.pop() for _ in range(len(idle)) if idle[-1].is_open), None)
        status, kept = await deliver(port, request, kept)
        load.note(status, time.perf_counter() - intended)
        if kept:
            idle.append(kept)

    tasks = []
    for number in range(max(1, round(rate * seconds))):
        intended = began + number / rate
        await asyncio.sleep(max(0.0, intended - time.perf_counter()))
        tasks.append(asyncio.ensure_future(one(intended, requests[number % len(requests)])))
    await asyncio.gather(*tasks)
    load.seconds = time.perf_counter() - began
    for connection in idle:
        connection.close()
    return load


async def deliver(
    port: int, request: bytes, kept: "Connection | None" = None
) -> "tuple[int, Connection | None]":
    """Return the status of a delivery, 0 without one, and its connection if it can be kept."""
    with contextlib.suppress(OSError, TimeoutError):
        connection = kept if kept and kept.is_open else await _connected(port)
        try:
            status = await asyncio.wait_for(connection.deliver(request), _TIMEOUT_S)
        except BaseException:
            connection.close()
            raise
        if status and connection.is_open:
            return status, connection
        connection.close()
        return status, None
    return 0, None


async def _connected(port: int) -> "Connection":
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    return connection


class Connection(asyncio.Protocol):
    """One connection: a request, its answer, and the next."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self.is_open = True
        self._received = b""
        self._answered: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def deliver(self, request: bytes) -> int:
        """Send a request and return the status of its answer, 0 if the connection ends first."""
        self._received = b""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        lines = head.lower()
        if not end or len(body) < int(lines.partition(b"\r\ncontent-length:")[2].split(None, 1)[0]):
            return
        if b"\r\nconnection: close" in lines:
            self.close()
        self._resolve(int(lines[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._resolve(0)

    def close(self) -> None:
        self.is_open = False
        self._transport.close()

    def _resolve(self, status: int) -> None:
        if self._answered and not self._answered.done():
            self._answered.set_result(status)

"""A Firehose on loopback that takes a chosen time for each answer, as a process of its own.

It answers every PutRecord with a RecordId and keeps nothing: it is there to be cheaper than what
is measured in front of it. `tests/fakes/firehose.py` is the one that keeps records and misbehaves.

Its process prints its port, reads a new latency from each line of standard input, and ends with it:
when whoever started it is gone, however that went.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, cast

from tests.support.service import PROJECT

_BODY = json.dumps({"RecordId": "r" * 224, "Encrypted": False}).encode()
_ANSWER = (
    b"HTTP/1.1 200 OK\r\n"
    b"x-amzn-RequestId: 00000000-0000-0000-0000-000000000000\r\n"
    b"Content-Type: application/x-amz-json-1.1\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


@dataclass(frozen=True)
class StandIn:
    """A running stand-in."""

    url: str
    process: subprocess.Popen[bytes]

    def take(self, latency_s: float) -> None:
        """Answer each call after that long from now on."""
        asking, answers = (
            cast(IO[bytes], pipe) for pipe in (self.process.stdin, self.process.stdout)
        )
        asking.write(b"%f\n" % latency_s)
        asking.flush()
        answers.readline()


@contextlib.contextmanager
def stand_in(latency_s: float = 0.0) -> Iterator[StandIn]:
    """Run one until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    # whose end closes its standard input
    with process:
        port = int(cast(IO[bytes], process.stdout).readline())
        firehose = StandIn(f"http://127.0.0.1:{port}", process)
        firehose.take(latency_s)
        yield firehose


class _State:
    latency_s = 0.0


class _Connection(asyncio.Protocol):
    """Finds the ends of requests, and nothing else of them."""

    _transport: asyncio.Transport

    def __init__(self, state: _State) -> None:
        self._state = state
        self._received = bytearray()
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        # most of a long record is only waited for
        while len(self._received) >= self._missing:
            head_end = self._received.find(b"\r\n\r\n")
            if head_end < 0:
                return
            head = bytes(self._received[:head_end]).lower()
            length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
            self._missing = head_end + 4 + length
            if len(self._received) < self._missing:
                return
            del self._received[: self._missing]
            self._missing = 0
            self._answer()

    def _answer(self) -> None:
        if self._state.latency_s:
            asyncio.get_running_loop().call_later(self._state.latency_s, self._write)
        else:
            self._write()

    def _write(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_ANSWER)


async def _serve() -> None:
    state = _State()
    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def on_line() -> None:
        line = sys.stdin.buffer.readline()
        if line:
            state.latency_s = float(line)
            print(flush=True)  # noqa: T201 - taken
        elif not over.done():
            over.set_result(None)

    loop.add_reader(sys.stdin, on_line)
    server = await loop.create_server(lambda: _Connection(state), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await over


if __name__ == "__main__":
    asyncio.run(_serve())

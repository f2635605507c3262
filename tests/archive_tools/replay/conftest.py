"""Events to be replayed, and the command that does it, for the tests of `replay`."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from archive_tools import parallel
from archive_tools.replaying import delivery
from tests.archive_tools.conftest import ARRIVED, Run, signed_record, store
from tests.fakes.receiver import SECRET, Receiver

Replay = Callable[..., Result]


def body_of(
    number: int, kind: str = "charge.succeeded", arrived: datetime = ARRIVED, **fields: Any
) -> bytes:
    event = {"id": f"evt_{number}", "object": "event", "type": kind, "livemode": True}
    event |= {"created": int(arrived.timestamp()) - 1, "name": "Zoë", **fields}
    return json.dumps(event, indent=2, ensure_ascii=False).encode()


def line_of(
    number: int, kind: str = "charge.succeeded", arrived: datetime = ARRIVED, **fields: Any
) -> bytes:
    return signed_record(body_of(number, kind, arrived, **fields), arrived=arrived).line()


def store_events(folder: Path, count: int, objects: int = 1) -> list[bytes]:
    """Store events, a second between them, and return their bodies, oldest first."""
    arrivals = [ARRIVED + timedelta(seconds=n) for n in range(count)]
    lines = [line_of(n, arrived=arrivals[n]) for n in range(count)]
    each = -(-count // objects)
    for n in range(objects):
        store(folder, *lines[n * each : (n + 1) * each], name=f"{n:03}.json.gz")
    return [body_of(n, arrived=arrivals[n]) for n in range(count)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as receiver:
        yield receiver


@pytest.fixture
def replay(run: Run, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replay:
    """Replay to the receiver, at once and with short waits between the tries."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(delivery, "_FIRST_WAIT_S", 0.02)
    # a process for each core takes longer to start than these archives to read
    monkeypatch.setattr(parallel, "cores", lambda: 1)

    def call(*arguments: str, **variables: str) -> Result:
        variables = {"REPLAY_SECRET": SECRET, **variables}
        return run("replay", receiver.url, "--rate", "0", *arguments, **variables)

    return call

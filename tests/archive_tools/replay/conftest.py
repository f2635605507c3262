"""Events to be replayed, and the command that does it, for the tests of `replay`."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from archive_tools.cli import archive
from archive_tools.replaying import sending
from tests.archive_tools.conftest import ARRIVED, signed_record, store
from tests.fakes.receiver import SECRET, Receiver

Replay = Callable[..., Result]

PROJECT = Path(__file__).resolve().parents[3]


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


def started(
    folder: Path, url: str, where: Path, *options: str, limit: tuple[int, int] | None = None
) -> subprocess.Popen[str]:
    """Start the command as a process, as from a shell; a limit is one of `resource` in bytes."""
    kind, most = limit or (resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
    script = Path(sys.executable).parent / "stripe-archive"
    environment = {"PATH": os.environ["PATH"], "REPLAY_SECRET": SECRET, "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(
        [script, "replay", url, "--rate", "0", "--archive", str(folder), *options],
        cwd=where,
        env=environment | {"PYTHON_DOTENV_DISABLED": "1", "LANG": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(kind, (most, resource.RLIM_INFINITY)),
    )


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as receiver:
        yield receiver


@pytest.fixture
def replay(
    folder: Path, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Replay:
    """Replay to the receiver without a rate limit and with short waits between the tries."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sending, "FIRST_WAIT_S", 0.02)

    def call(
        *options: str, url: str = receiver.url, stdin: str | None = None, **variables: str
    ) -> Result:
        environment = {"ARCHIVE_DIR": str(folder), "REPLAY_SECRET": SECRET, **variables}
        arguments = ["replay", url, "--rate", "0", *options]
        result = CliRunner().invoke(archive, arguments, env=environment, input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call

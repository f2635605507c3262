"""Where a delivery's CPU goes: each stage by itself, on the clock of the process that runs it.

As the workers do, several processes run side by side, each takes one event after the other through
all stages, and waits for the stand-in: a stage in a tight loop of its own would find everything in
the processor's caches and look half as dear. It uses what each stage offers to the others and
nothing of its inside.
"""

import gc
import io
import logging
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import msgspec

from tests.support.service import PROJECT, environment
from webhook_app import create_app
from webhook_app.events.record import Record, webhook_record
from webhook_app.events.signature import verify
from webhook_app.monitoring import logs
from webhook_app.settings import Settings
from webhook_app.storage.firehose import FirehoseArchive

from .deliveries import EVENT_BYTES, event_body, headers

#: In the order of a delivery's way. The first is what is left of the service's CPU without the
#: others: gunicorn and the worker, its sockets, and the kernel's part in them.
NAMES = ("receive and answer", "Flask", "verify", "record", "PutRecord", "log")

_ROUNDS = 15


def measure(variables: dict[str, str], processes: int, seconds: float) -> dict[str, float]:
    """Return microseconds of CPU for each of NAMES but the first.

    Args:
        variables: the service's environment, with a Firehose that answers at once.
        processes: how many do it side by side, as workers do; their mean counts.
        seconds: how long it may take.
    """
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        results = [Path(folder) / f"{number}.json" for number in range(processes)]
        running = [
            subprocess.Popen(
                [sys.executable, "-m", __name__, str(path), str(seconds)],
                cwd=PROJECT,
                env=environment(1, variables),
                stdout=log,
            )
            for path in results
        ]
        # all of them, before the folder goes
        statuses = [one.wait() for one in running]
        if any(statuses):
            raise RuntimeError("the stages could not be measured, for the reason above")
        parts = [msgspec.json.decode(path.read_bytes(), type=dict[str, float]) for path in results]
    return {name: mean(part[name] for part in parts) for name in parts[0]}


class NoArchive:
    """Takes no time."""

    def put(self, record: Record, deadline: float) -> None:
        """Forget the record."""


@dataclass(frozen=True)
class Work:
    """One delivery, ready for each stage."""

    body: bytes
    headers: dict[str, str]
    settings: Settings

    @property
    def signature(self) -> str:
        """Return its signature."""
        return self.headers["Stripe-Signature"]

    def verify(self) -> None:
        """Check the signature."""
        settings = self.settings
        secrets, tolerance_s = settings.webhook_secrets, settings.signature_tolerance_s
        verify(self.body, self.signature, secrets, tolerance_s)

    def record(self) -> Record:
        """Make the record."""
        return webhook_record(self.body, self.signature, datetime.now(UTC))

    def line(self) -> bytes:
        """Make the record and its line."""
        return self.record().line()

    @cached_property
    def environ(self) -> dict[str, Any]:
        """Return its WSGI environ without the body."""
        fields = {f"HTTP_{key.upper().replace('-', '_')}": v for key, v in self.headers.items()}
        return {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/webhook/stripe",
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": fields.pop("HTTP_CONTENT_TYPE"),
            "CONTENT_LENGTH": str(len(self.body)),
            "HTTP_HOST": "localhost",
            **fields,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }

    def call(self, app: Callable[..., Any]) -> None:
        """Hand the delivery to a WSGI application and read its answer."""
        environ = {**self.environ, "wsgi.input": io.BytesIO(self.body)}
        statuses: list[str] = []
        answer = app(environ, lambda status, headers: statuses.append(status))
        b"".join(answer)
        answer.close()
        if not statuses[0].startswith("200"):
            raise RuntimeError(f"the application answered {statuses[0]}")


def work(settings: Settings, number: int = 1, size: int = EVENT_BYTES) -> Work:
    """Return a delivery of an event of that many bytes, signed now."""
    body = event_body(number, size)
    return Work(body, headers(body), settings)


def cpu_us(stage: Callable[[], object], seconds: float) -> float:
    """Return the CPU microseconds that a stage takes, from running it for about that long."""
    calls, cpu_started, started = 0, time.process_time(), time.perf_counter()
    # a stage that waits, as for an answer, is given up by the clock on the wall
    while not calls or (
        time.process_time() < cpu_started + seconds and time.perf_counter() < started + 3 * seconds
    ):
        for _ in range(20):
            stage()
        calls += 20
    return (time.process_time() - cpu_started) / calls * 1e6


def _stages(seconds: float) -> dict[str, float]:
    settings = Settings.from_environ()
    logs.configure(settings)
    app = create_app(settings, NoArchive())
    archive = FirehoseArchive(settings)
    # one event again and again would lie in the processor's nearest cache
    events = [(one, one.record()) for one in (work(settings, number) for number in range(100))]

    def turn() -> dict[str, float]:
        """Return the mean microseconds of each stage, taken in the order of a delivery's way."""
        spent = dict.fromkeys(("clock", "app", "verify", "record", "line", "put"), 0)
        calls, ends = 0, time.perf_counter() + seconds / (2 * _ROUNDS + 2)
        while not calls or time.perf_counter() < ends:
            for one, record in events:
                call, put = partial(one.call, app), partial(archive.put, record, math.inf)
                timed = (None, call, one.verify, one.record, record.line, put)
                for name, stage in zip(spent, timed, strict=True):
                    started = time.process_time_ns()
                    if stage:
                        stage()
                    spent[name] += time.process_time_ns() - started
            calls += len(events)
        return {name: (ns - spent["clock"]) / calls / 1000 for name, ns in spent.items()}

    def silent_turn() -> dict[str, float]:
        logging.disable()
        try:
            return turn()
        finally:
            logging.disable(logging.NOTSET)

    turn()
    gc.collect()
    gc.freeze()
    # in turns, so that a noisy minute falls upon all of them
    turns = [(turn(), silent_turn()) for _ in range(_ROUNDS)]
    us = {name: median(one[name] for one, _ in turns) for name in turns[0][0]}
    silent_us = median(silent["app"] for _, silent in turns)
    parts = {
        "Flask": silent_us - us["verify"] - us["record"],
        "verify": us["verify"],
        "record": us["record"] + us["line"],
        "PutRecord": us["put"] - us["line"],
        "log": us["app"] - silent_us,
    }
    return {name: max(0.0, part) for name, part in parts.items()}


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(msgspec.json.encode(_stages(float(sys.argv[2]))))

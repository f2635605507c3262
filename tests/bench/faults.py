"""Faults against the service: is everything that it acknowledged in the archive?

`python -m tests.bench.faults` starts the real service for each fault, delivers signed events to
it all the while, switches the fault on and off again, and compares what was acknowledged with what
the archive holds. It prints a table and fails unless every row kept the promise.
"""

import contextlib
import http.client
import itertools
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click

from examples import archive
from tests.fakes.firehose import ANSWERS, BREAKS, FakeFirehose
from tests.support.service import Service, running
from tests.support.stripe_client import signature

SECRET = "whsec_faults"
SENDERS = 4
BUDGET_MS = 10_000
#: What became of a delivery without a status: its connection ended, or was refused at once.
NO_ANSWER, REFUSED = 0, -1


@dataclass
class Scene:
    """The service and its archive, for a fault to break."""

    service: Service
    folder: Path
    firehose: FakeFirehose
    stack: ExitStack
    """Ends with the scene; a firehose that was stopped is started again in it."""


Fault = Callable[[Scene], AbstractContextManager[None]]


@dataclass
class Row:
    """What was seen of one fault."""

    name: str
    may_break: bool
    """Whether connections may end without an answer: where processes die."""
    statuses: Counter[int] = field(default_factory=Counter)
    acknowledged: set[bytes] = field(default_factory=set)
    archived: Counter[bytes] = field(default_factory=Counter)
    slowest_ms: float = 0
    after: int = NO_ANSWER
    """The status of the first delivery after the fault."""

    @property
    def lost(self) -> int:
        """Events that were acknowledged and are not in the archive."""
        return len(self.acknowledged - set(self.archived))

    @property
    def duplicates(self) -> int:
        """Records beyond the first of an event."""
        return self.archived.total() - len(self.archived)

    @property
    def holds(self) -> bool:
        """Whether the service kept its word."""
        allowed = {200, 500} | ({NO_ANSWER, REFUSED} if self.may_break else set())
        return (
            not self.lost
            and set(self.statuses) <= allowed
            and self.slowest_ms < BUDGET_MS
            and self.after == 200
        )

    def __str__(self) -> str:
        """Return the row of the table."""
        verdict = "holds" if self.holds else "BROKEN"
        return (
            f"{self.name:<44} {self.statuses[200]:>5} {self.statuses[500]:>5} "
            f"{self.statuses[NO_ANSWER]:>9} {self.statuses[REFUSED]:>7} {self.lost:>5} "
            f"{self.duplicates:>10} {self.slowest_ms:>10.0f} {self.after:>6}   {verdict}"
        )


HEADING = (
    f"{'fault':<44} {'200':>5} {'500':>5} {'no answer':>9} {'refused':>7} {'lost':>5} "
    f"{'duplicates':>10} {'slowest ms':>10} {'after':>6}"
)


def _behaving(behaviour: str) -> Fault:
    @contextlib.contextmanager
    def fault(scene: Scene) -> Iterator[None]:
        scene.firehose.behaviour = behaviour
        yield
        scene.firehose.behaviour = "ok"

    return fault


def _every_other(behaviour: str) -> Fault:
    @contextlib.contextmanager
    def fault(scene: Scene) -> Iterator[None]:
        scene.firehose.script.extend(itertools.chain(*([(behaviour, "ok")] * 10_000)))
        yield
        scene.firehose.script.clear()

    return fault


@contextlib.contextmanager
def _nobody_listening(scene: Scene) -> Iterator[None]:
    port = int(scene.firehose.url.rsplit(":", 1)[1])
    # connections that are open already end with their next request
    scene.firehose.behaviour = "reset"
    scene.stack.pop_all().close()
    yield
    scene.firehose.behaviour = "ok"
    scene.stack.enter_context(scene.firehose.serving(port))


@contextlib.contextmanager
def _folder_away(scene: Scene) -> Iterator[None]:
    away = scene.folder.with_name("away")
    scene.folder.rename(away)
    yield
    away.rename(scene.folder)


def _workers(service: Service) -> list[int]:
    pid = service.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in children.split()]


def _repeatedly(act: Callable[[Service], None], interval_s: float) -> Fault:
    @contextlib.contextmanager
    def fault(scene: Scene) -> Iterator[None]:
        over = threading.Event()

        def loop() -> None:
            while not over.wait(interval_s):
                act(scene.service)

        thread = threading.Thread(target=loop)
        thread.start()
        yield
        over.set()
        thread.join()

    return fault


def _kill_a_worker(service: Service) -> None:
    for worker in _workers(service)[:1]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


def _reload(service: Service) -> None:
    service.process.send_signal(signal.SIGHUP)


@contextlib.contextmanager
def _stopped(scene: Scene) -> Iterator[None]:
    scene.service.process.terminate()
    yield


FIREHOSE_FAULTS: dict[str, Fault] = {
    "throttled every other call": _every_other("ThrottlingException"),
    "503 every other call": _every_other("ServiceUnavailableException"),
    "stored, answer lost, every other call": _every_other("hang_after_store"),
    **{name: _behaving(name) for name in [*ANSWERS, *BREAKS] if name != "ok"},
    "nobody listening": _nobody_listening,
}
LOCAL_FAULTS: dict[str, Fault] = {
    "archive folder moved away": _folder_away,
    "kill -9 of a worker at a local write": _repeatedly(_kill_a_worker, 0.33),
    "SIGTERM to the master, then a new start": _stopped,
}
PROCESS_FAULTS: dict[str, Fault] = {
    **{name: LOCAL_FAULTS[name] for name in list(LOCAL_FAULTS)[1:]},
    "kill -9 of a worker, 3 a second": _repeatedly(_kill_a_worker, 0.33),
    "SIGHUP to the master, each second": _repeatedly(_reload, 1),
}
FAULTS = FIREHOSE_FAULTS | LOCAL_FAULTS | PROCESS_FAULTS


def _deliver(port: int, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(
            "POST", "/webhook/stripe", body, {"Stripe-Signature": signature(body, SECRET)}
        )
        return connection.getresponse().status
    except ConnectionRefusedError:
        return REFUSED
    except (OSError, http.client.HTTPException):
        return NO_ANSWER
    finally:
        connection.close()


@contextlib.contextmanager
def _deliveries(port: int, row: Row) -> Iterator[None]:
    """Deliver events without a pause until the block ends, and note what became of each."""
    over = threading.Event()

    def send(sender: int) -> None:
        for number in itertools.count():
            if over.is_set():
                return
            body = json.dumps({"id": f"evt_{sender}_{number}", "x": "y" * 3000}).encode()
            started = time.monotonic()
            status = _deliver(port, body)
            row.slowest_ms = max(row.slowest_ms, (time.monotonic() - started) * 1000)
            row.statuses[status] += 1
            if status == 200:
                row.acknowledged.add(body)
            time.sleep(0.02)

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(SENDERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def measure(name: str, seconds: float) -> Row:
    """Let one of FAULTS last for that long, with the service at work, and return what was seen."""
    row = Row(name, may_break=name in PROCESS_FAULTS)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        firehose, folder = FakeFirehose(), Path(temporary) / "archive"
        stack.enter_context(firehose.serving())
        variables = {"STRIPE_WEBHOOK_SECRET": SECRET, "WEB_WORKERS": "4", "LOG_LEVEL": "CRITICAL"}
        if name in LOCAL_FAULTS:
            variables["ARCHIVE_DIR"] = str(folder)
        else:
            variables |= {
                "FIREHOSE_DELIVERY_STREAM_NAME": "faults",
                "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_ENDPOINT_URL_FIREHOSE": firehose.url,
            }
        with running(variables, Path(temporary) / "log") as service:
            scene = Scene(service, folder, firehose, stack)
            with _deliveries(service.port, row):
                time.sleep(0.5)
                with FAULTS[name](scene):
                    time.sleep(seconds)
            if name in PROCESS_FAULTS:
                time.sleep(0.5)  # the last of the killed has a successor
            after = b'{"id": "evt_after"}'
            if service.process.poll() is None:
                row.after = _deliver(service.port, after)
        if service.process.returncode == 0 and row.after == NO_ANSWER:
            with running(variables, Path(temporary) / "log") as service:
                row.after = _deliver(service.port, after)
        if name in LOCAL_FAULTS:
            payloads = [record["payload"].encode() for record in archive.records(folder)]
        else:
            payloads = firehose.payloads()
    row.archived = Counter(payload for payload in payloads if payload != after)
    return row


@click.command()
@click.option("--seconds", default=5.0, show_default=True, help="How long each fault lasts.")
@click.option("--outage-seconds", default=30.0, show_default=True, help="How long the longest.")
def main(seconds: float, outage_seconds: float) -> None:
    """Print the table, a row for each fault."""
    click.echo(HEADING)
    rows = []
    for name in FAULTS:
        lasting = outage_seconds if name == "nobody listening" else seconds
        rows.append(measure(name, lasting))
        click.echo(str(rows[-1]))
    sys.exit(not all(row.holds for row in rows))


if __name__ == "__main__":
    main()

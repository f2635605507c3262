"""Faults against the service: is everything that it acknowledged in the archive?

`python -m tests.bench.faults` starts the real service for each fault, delivers signed events to
it all the while, switches the fault on and off again, and compares what was acknowledged with what
the archive holds. It prints a table and fails unless every row kept the promise; `--publish` puts
the table into docs/RELIABILITY.md.
"""

import contextlib
import http.client
import itertools
import json
import os
import signal
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
from tests.fakes.credentials import FakeCredentials
from tests.fakes.firehose import ANSWERS, BREAKS, CONFIRMATIONS, FakeFirehose
from tests.support import certificates
from tests.support.service import PROJECT, Service, running

from .deliveries import headers
from .rows import publisher, report
from .service import variables

DOCUMENT = PROJECT / "docs/RELIABILITY.md"
BUDGET_MS = 10_000
#: What became of a delivery without a status: its connection ended, or was refused at once.
NO_ANSWER, REFUSED = 0, -1


@dataclass
class Scene:
    """What a fault is made in."""

    folder: Path
    stack: ExitStack
    """Ends with the row."""
    environ: dict[str, str]
    """The service's, and a fault's to change before the service starts."""
    firehose: FakeFirehose = field(default_factory=FakeFirehose)
    outage: ExitStack = field(default_factory=ExitStack)
    """Ends when nobody is to listen in Firehose's place."""
    credentials: FakeCredentials | None = None
    service: Service | None = None

    @property
    def archive(self) -> Path:
        """Return the local archive."""
        return self.folder / "archive"

    def serve(self, certificate: certificates.Certificate | None = None, port: int = 0) -> None:
        """Start Firehose."""
        self.outage = self.stack.enter_context(ExitStack())
        self.outage.enter_context(self.firehose.serving(port, certificate))
        self.environ["AWS_ENDPOINT_URL_FIREHOSE"] = self.firehose.url

    @property
    def process(self) -> int:
        """Return the id of the service's master."""
        if self.service is None:
            raise RuntimeError("the service has not been started")
        return self.service.process.pid


Switch = Callable[[Scene], AbstractContextManager[None]]


@contextlib.contextmanager
def _nothing(_: Scene) -> Iterator[None]:
    yield


@dataclass(frozen=True)
class Fault:
    """A fault and what it may lead to."""

    switch: Switch = _nothing
    """Switches the fault on, and off again."""
    prepare: Callable[[Scene], None] = Scene.serve
    """Starts what the service needs: Firehose as it should be."""
    local: bool = False
    """Whether the archive is a folder."""
    may_break: bool = False
    """Whether connections may end without an answer: where processes die."""
    only_200: bool = False
    """Whether the service has to archive everything all the same."""
    only_once: bool = False
    """Whether nothing may be archived twice."""
    environ: dict[str, str] = field(default_factory=dict)
    senders: int = 4
    at_least_s: float = 0
    at_least_events: int = 0


@dataclass
class Row:
    """What was seen of one fault."""

    name: str
    fault: Fault
    statuses: Counter[int] = field(default_factory=Counter)
    acknowledged: set[bytes] = field(default_factory=set)
    archived: Counter[bytes] = field(default_factory=Counter)
    slowest_ms: float = 0
    after: int = NO_ANSWER
    """The status of the first delivery after the fault."""
    asked: int | None = None
    """How often the service asked for credentials."""
    lines: int = 0
    """What it logged of that."""
    bound: float = 0
    """What either of them may be."""

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
        allowed = {200} if self.fault.only_200 else {200, 500}
        allowed |= {NO_ANSWER, REFUSED} if self.fault.may_break else set()
        return (
            not self.lost
            and not (self.fault.only_once and self.duplicates)
            and set(self.statuses) <= allowed
            and self.statuses.total() >= self.fault.at_least_events
            and self.slowest_ms < BUDGET_MS
            and self.after == 200
            and max(self.asked or 0, self.lines) <= self.bound
        )

    def __str__(self) -> str:
        """Return the row of the table."""
        line = (
            f"{self.name:<44} {self.statuses[200]:>5} {self.statuses[500]:>5} "
            f"{self.statuses[NO_ANSWER]:>9} {self.statuses[REFUSED]:>7} {self.lost:>5} "
            f"{self.duplicates:>10} {self.slowest_ms:>10.0f} {self.after:>6}   "
            f"{'holds' if self.holds else 'BROKEN'}"
        )
        if self.asked is None:
            return line
        return f"{line}\n    credentials asked for {self.asked} times, {self.lines} log lines"


HEADING = (
    f"{'fault':<44} {'200':>5} {'500':>5} {'no answer':>9} {'refused':>7} {'lost':>5} "
    f"{'duplicates':>10} {'slowest ms':>10} {'after':>6}"
)


def _behaving(behaviour: str) -> Switch:
    @contextlib.contextmanager
    def switch(scene: Scene) -> Iterator[None]:
        scene.firehose.behaviour = behaviour
        yield
        scene.firehose.behaviour = "ok"

    return switch


def _every_other(behaviour: str) -> Switch:
    @contextlib.contextmanager
    def switch(scene: Scene) -> Iterator[None]:
        scene.firehose.script.extend(itertools.chain(*([(behaviour, "ok")] * 10_000)))
        yield
        scene.firehose.script.clear()

    return switch


@contextlib.contextmanager
def _nobody_listening(scene: Scene) -> Iterator[None]:
    port = int(scene.firehose.url.rsplit(":", 1)[1])
    # connections that are open already end with their next request
    scene.firehose.behaviour = "reset"
    scene.outage.close()
    yield
    scene.firehose.behaviour = "ok"
    scene.serve(port=port)


@contextlib.contextmanager
def _folder_away(scene: Scene) -> Iterator[None]:
    away = scene.folder / "away"
    scene.archive.rename(away)
    yield
    away.rename(scene.archive)


def _repeatedly(act: Callable[[int], None], interval_s: float) -> Switch:
    @contextlib.contextmanager
    def switch(scene: Scene) -> Iterator[None]:
        over = threading.Event()

        def loop() -> None:
            while not over.wait(interval_s):
                act(scene.process)

        thread = threading.Thread(target=loop)
        thread.start()
        yield
        over.set()
        thread.join()
        time.sleep(0.5)  # the last of the killed has a successor

    return switch


def _kill_a_worker(master: int) -> None:
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    for worker in children[:1]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(worker), signal.SIGKILL)


def _reload(master: int) -> None:
    os.kill(master, signal.SIGHUP)


@contextlib.contextmanager
def _stopped(scene: Scene) -> Iterator[None]:
    os.kill(scene.process, signal.SIGTERM)
    yield
    # another SIGTERM in its last moments would end it with another status
    while scene.service and scene.service.process.poll() is None:
        time.sleep(0.05)


def _own_authority(scene: Scene) -> None:
    """Serve Firehose by HTTPS, with a certificate that botocore believes and others do not."""
    certificate = certificates.self_signed(scene.folder)
    scene.serve(certificate)
    scene.environ["REQUESTS_CA_BUNDLE"] = str(certificate.path)


def _role(after_first: str) -> Callable[[Scene], None]:
    """Give the service a role's credentials, which expire as early as a role's can."""

    def prepare(scene: Scene) -> None:
        scene.serve()
        scene.credentials = FakeCredentials(lifetime_s=900)
        scene.credentials.after_first = after_first
        scene.stack.enter_context(scene.credentials.serving())
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del scene.environ[name]
        scene.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = scene.credentials.url
        scene.environ["LOG_LEVEL"] = "WARNING"

    return prepare


_KILLED, _RELOADED = _repeatedly(_kill_a_worker, 0.33), _repeatedly(_reload, 1)
#: One process, so that whatever it remembers of its failures comes together.
_ONE_WORKER = {"WEB_WORKERS": "1", "WEB_THREADS": "8"}
FAULTS = {
    "throttled every other call": Fault(_every_other("ThrottlingException")),
    "503 every other call": Fault(_every_other("ServiceUnavailableException")),
    "stored, answer lost, every other call": Fault(_every_other("hang_after_store")),
    **{name: Fault(_behaving(name)) for name in [*ANSWERS, *BREAKS] if name != "ok"},
    "hang, for 20 s": Fault(_behaving("hang"), at_least_s=20),
    # side by side: the direct request may fail no more often than boto3 alone, and store no more
    **{
        name + suffix: Fault(
            _behaving(name),
            environ={"FIREHOSE_TRANSPORT": transport, "ARCHIVE_READ_TIMEOUT": "1"},
            only_200=transport == "direct",
            only_once=transport == "direct",
        )
        for name in CONFIRMATIONS
        for suffix, transport in (("", "direct"), (", boto3 alone", "boto3"))
    },
    "answers in chunks": Fault(
        _behaving("ok_chunked"),
        environ=_ONE_WORKER,
        only_200=True,
        senders=8,
        at_least_events=100,
    ),
    "HTTPS, its CA in REQUESTS_CA_BUNDLE only": Fault(
        prepare=_own_authority,
        environ=_ONE_WORKER,
        only_200=True,
        senders=8,
        at_least_events=100,
    ),
    "credentials that expire in 900 s": Fault(prepare=_role("ok"), only_200=True, at_least_s=3),
    "the same, and none after the first": Fault(prepare=_role("fail"), only_200=True, at_least_s=7),
    "nobody listening": Fault(_nobody_listening),
    "archive folder moved away": Fault(_folder_away, local=True),
    "kill -9 of a worker at a local write": Fault(_KILLED, local=True, may_break=True),
    "SIGTERM to the master, then a new start": Fault(_stopped, local=True, may_break=True),
    "kill -9 of a worker, 3 a second": Fault(_KILLED, may_break=True),
    "SIGHUP to the master, each second": Fault(_RELOADED, may_break=True),
}


def _deliver(port: int, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/webhook/stripe", body, headers(body))
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

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(row.fault.senders)]
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
    fault = FAULTS[name]
    row = Row(name, fault)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        environ = variables("", workers=4) | {"LOG_LEVEL": "CRITICAL"} | fault.environ
        scene = Scene(Path(temporary), stack, environ)
        fault.prepare(scene)
        if fault.local:
            environ["ARCHIVE_DIR"] = str(scene.archive)
            del environ["FIREHOSE_DELIVERY_STREAM_NAME"]
        log = scene.folder / "log"
        with running(environ, log) as scene.service:
            with _deliveries(scene.service.port, row):
                time.sleep(0.5)
                with fault.switch(scene):
                    _last(row, max(seconds, fault.at_least_s))
            after = b'{"id": "evt_after"}'
            if scene.service.process.poll() is None:
                row.after = _deliver(scene.service.port, after)
        if scene.credentials:
            # of all workers: 3 a minute, and 3 at the start; and the master's first
            minutes = max(1.0, seconds / 60)
            row.asked, row.bound = scene.credentials.calls, 1 + 4 * 3 * minutes
            row.lines = log.read_text().count("\n")
        if row.after in (NO_ANSWER, REFUSED) and scene.service.process.returncode == 0:
            with running(environ, log) as service:
                row.after = _deliver(service.port, after)
        if fault.local:
            payloads = [record["payload"].encode() for record in archive.records(scene.archive)]
        else:
            payloads = scene.firehose.payloads()
    row.archived = Counter(payload for payload in payloads if payload != after)
    return row


def _last(row: Row, seconds: float) -> None:
    """Wait that long, and a minute at most for the events that a row needs."""
    started = time.monotonic()
    time.sleep(seconds)
    while row.statuses.total() < row.fault.at_least_events and time.monotonic() < started + 60:
        time.sleep(0.1)


@click.command()
@click.option("--seconds", default=5.0, show_default=True, help="How long each fault lasts.")
@click.option("--outage-seconds", default=30.0, show_default=True, help="How long the longest.")
@click.option("--publish", is_flag=True, help="Put the table into docs/RELIABILITY.md.")
def main(seconds: float, outage_seconds: float, publish: bool) -> None:
    """Print the table, a row for each fault."""

    def lasting(name: str) -> Row:
        return measure(name, outage_seconds if name == "nobody listening" else seconds)

    into = publisher(DOCUMENT, "faults", "python -m tests.bench.faults --publish")
    # most of them wait
    report(HEADING, FAULTS, lasting, seconds, into if publish else None, at_a_time=5)


if __name__ == "__main__":
    main()

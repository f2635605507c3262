"""The figures of one run of `make bench`: what they are called, and how they are kept as JSON."""

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What it was measured on; absolute times mean nothing without it."""

    cores: int
    python: str
    load_before: float
    """How many processes wanted to run already, on average over the last minute."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """How the deliveries of one measurement were answered."""

    acknowledged: int
    errors: int
    """Anything but a 200."""
    events_per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    """Of fewer than 1,000 deliveries, the slowest."""


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """CPU of the service's processes, user and system, with a Firehose that answers at once."""

    workers: int
    clients: int
    rounds_us: list[float]
    us_per_event: float
    """The median of the rounds."""
    system_us_per_event: float
    """What of it was spent in the kernel, by Linux's own estimate, over all rounds."""
    harness_us_per_event: float
    """What the load and the stand-in took beside it, of the same cores."""
    served: Served


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of a delivery's way and its CPU."""

    name: str
    us_per_event: float


@dataclass(frozen=True, kw_only=True)
class Latency:
    """What the service adds to Firehose's own time, at a rate that leaves it idle."""

    firehose_ms: float
    events_per_s: float
    added_p50_ms: float
    added_p99_ms: float
    served: Served


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """What so many workers acknowledge, with more clients than they can take at a time."""

    workers: int
    threads: int
    firehose_ms: float
    clients: int
    pss_mb: float
    """Memory of all processes together, after load."""
    served: Served

    @property
    def name(self) -> str:
        """Return the numbers of workers and threads."""
        return f"{self.workers} x {self.threads}"

    @property
    def ideal_per_s(self) -> float:
        """Return events a second if nothing but Firehose took time."""
        return self.workers * self.threads / self.firehose_ms * 1000

    @property
    def per_512_mb(self) -> float:
        """Return events a second for each 512 MB of memory."""
        return self.served.events_per_s / self.pss_mb * 512


@dataclass(frozen=True, kw_only=True)
class Results:
    """One run."""

    measured_on: str
    """The date, UTC."""
    seconds: float
    """How long each measurement lasted; under 1, a run shows that all works, and little more."""
    event_bytes: int
    machine: Machine
    boot_s: list[float]
    """From the start of the command to the first answer, each time."""
    cpu: Cpu
    stages: list[Stage]
    """In the order of a delivery's way; they add up to the CPU per event."""
    latency: Latency
    throughput: list[Throughput]
    """Of sync workers, at each of several latencies of Firehose."""
    first_worker_mb: float
    """Memory of the master and one worker, by a straight line through `throughput`."""
    next_worker_mb: float
    """Memory of each further one, by the same line."""
    threads: list[Throughput]
    """Of as many sync workers as a machine of 512 MB gets, and of fewer with threads."""

    @property
    def errors(self) -> int:
        """Return how many deliveries of all measurements were not acknowledged."""
        rows = [row.served for row in [*self.throughput, *self.threads]]
        return sum(one.errors for one in [self.cpu.served, self.latency.served, *rows])


def this_machine() -> Machine:
    """Return what is measured on, without anything that names it."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        load_before=round(os.getloadavg()[0], 2),
    )


def today() -> str:
    """Return the date in UTC."""
    return datetime.now(UTC).date().isoformat()


def write(results: Results, path: Path) -> None:
    """Keep results as JSON, in a form that a diff shows well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")


def read(path: Path) -> Results:
    """Return the results that a file holds.

    Raises:
        OSError: there is no such file.
        msgspec.ValidationError: it holds something else.
    """
    return msgspec.json.decode(path.read_bytes(), type=Results)

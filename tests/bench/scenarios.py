"""What is measured of the running service, and how: one function for each figure.

Every one starts a service of its own with the Procfile's line, warms it up, and measures after.
"""

import contextlib
import http.client
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import linear_regression, median

from tests.support.service import Service, running
from webhook_app.serving.capacity import worker_count

from . import processes, stages
from .deliveries import EVENT_BYTES, SECRET, event_body, request
from .load import Load, closed_loop, open_loop
from .results import (
    Capacity,
    Cpu,
    Latency,
    Memory,
    Results,
    Served,
    Stage,
    Throughput,
    this_machine,
    today,
)
from .stand_in import StandIn, stand_in

WORKERS = (1, 2, 4, 8, 16, 32)
LATENCIES_MS = (50, 100, 200)
#: The same 32 deliveries in flight, in so many workers x threads.
THREADS = ((32, 1), (4, 8), (2, 16))

CPU_WORKERS, CPU_CLIENTS = 2, 16
LATENCY_MS, LATENCY_EVENTS_PER_S = 50, 20
CAPACITY_MB, CAPACITY_LATENCY_MS = 512, 100

#: Clients for each delivery that a service can have in hand, so that none of its workers waits for
#: work while an answer is on its way back.
_CLIENTS_EACH = 4
_BODIES = [event_body(number) for number in range(200)]


def measured(
    seconds: float, note: Callable[[str], None], workers: Sequence[int] = WORKERS
) -> Results:
    """Measure everything and return it.

    Args:
        seconds: how long each measurement lasts, after its warm-up.
        note: gets a word on what is measured next.
        workers: the numbers of workers to measure throughput and memory with, two at least.
    """
    machine, date = this_machine(), today()
    with stand_in() as firehose:
        note("boot to the first answer")
        boot = boot_s(firehose)
        note(f"CPU an event, {CPU_WORKERS} workers, {CPU_CLIENTS} clients")
        cpu = cpu_per_event(firehose, seconds)
        note("CPU of each stage")
        parts = stage_breakdown(firehose, seconds, cpu.us_per_event)
        note(f"latency at {LATENCY_EVENTS_PER_S} events/s, Firehose {LATENCY_MS} ms")
        latency = added_latency(firehose, seconds)
        throughput, memory = [], []
        for count in workers:
            note(f"throughput and memory, {count} workers")
            rows, taken = workers_and_latencies(firehose, count, seconds)
            throughput += rows
            memory.append(taken)
        first, further = memory_line(memory)
        threads, threads_memory = [], []
        for count, each in THREADS:
            note(f"{count} workers x {each} threads")
            row, taken = one_service(firehose, count, each, CAPACITY_LATENCY_MS, seconds)
            threads.append(row)
            threads_memory.append(taken)
        count = worker_count(CAPACITY_MB * 2**20)
        note(f"the {count} workers of a machine with {CAPACITY_MB} MB")
        row, taken = one_service(firehose, count, 1, CAPACITY_LATENCY_MS, seconds)
    return Results(
        measured_on=date,
        seconds=seconds,
        event_bytes=EVENT_BYTES,
        machine=machine,
        boot_s=boot,
        cpu=cpu,
        stages=parts,
        latency=latency,
        throughput=throughput,
        memory=memory,
        first_worker_mb=first,
        next_worker_mb=further,
        threads=threads,
        threads_memory=threads_memory,
        capacity=Capacity(memory_mb=CAPACITY_MB, throughput=row, pss_mb=taken.pss_mb),
    )


def boot_s(firehose: StandIn, times: int = 3) -> list[float]:
    """Return the seconds from the start of the command to an answer of /health, each time."""
    took = []
    for _ in range(times):
        started = time.perf_counter()
        with service(firehose, workers=2) as one:
            connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=20)
            connection.request("GET", "/health")
            connection.getresponse().read()
            took.append(round(time.perf_counter() - started, 3))
            connection.close()
    return took


def cpu_per_event(firehose: StandIn, seconds: float, rounds: int = 5) -> Cpu:
    """Return the CPU that the service's processes take for an event, Firehose taking no time."""
    firehose.take(0)
    ours_us, harness_us, loads, system_s = [], [], [], 0.0
    with service(firehose, workers=CPU_WORKERS) as one:
        closed_loop(one.port, _requests(), CPU_CLIENTS, _warm_up_s(seconds))
        for _ in range(rounds):
            requests = _requests()
            ours, beside_s = processes.cpu(one.process.pid), _harness_s(firehose)
            load = closed_loop(one.port, requests, CPU_CLIENTS, seconds)
            ours_after, beside_after_s = processes.cpu(one.process.pid), _harness_s(firehose)
            us = 1e6 / max(1, len(load.took_s))
            ours_us.append(round((ours_after.s - ours.s) * us, 1))
            system_s += ours_after.system_s - ours.system_s
            harness_us.append((beside_after_s - beside_s) * us)
            loads.append(load)
    of_all = served(*loads)
    return Cpu(
        workers=CPU_WORKERS,
        clients=CPU_CLIENTS,
        rounds_us=ours_us,
        us_per_event=median(ours_us),
        system_us_per_event=round(system_s / of_all.acknowledged * 1e6, 1),
        harness_us_per_event=round(median(harness_us), 1),
        served=of_all,
    )


def stage_breakdown(firehose: StandIn, seconds: float, total_us: float) -> list[Stage]:
    """Return the CPU of each stage; the first gets what the others leave of the total."""
    firehose.take(0)
    parts = stages.measure(variables(firehose, 1), CPU_WORKERS, 3 * seconds)
    rest_us = total_us - sum(parts.values())
    return [
        Stage(name=name, us_per_event=round(parts.get(name, rest_us), 1)) for name in stages.NAMES
    ]


def added_latency(firehose: StandIn, seconds: float) -> Latency:
    """Return what the service adds to Firehose's time for an event that comes alone."""
    firehose.take(LATENCY_MS / 1000)
    # its own number of workers would warm up for long on a large machine
    with service(firehose, workers=8) as one:
        closed_loop(one.port, _requests(), 16, _warm_up_s(seconds))
        load = open_loop(one.port, _requests(), LATENCY_EVENTS_PER_S, 10 * seconds)
    return Latency(
        firehose_ms=LATENCY_MS,
        events_per_s=LATENCY_EVENTS_PER_S,
        added_p50_ms=round(load.ms(0.5) - LATENCY_MS, 2),
        added_p99_ms=round(load.ms(0.99) - LATENCY_MS, 2),
        served=served(load),
    )


def workers_and_latencies(
    firehose: StandIn, workers: int, seconds: float
) -> tuple[list[Throughput], Memory]:
    """Return the throughput at each of LATENCIES_MS, and the memory after it."""
    with service(firehose, workers) as one:
        _warm_up(firehose, one, _clients(workers))
        rows = [
            throughput(firehose, one, workers, 1, latency_ms, seconds)
            for latency_ms in LATENCIES_MS
        ]
        return rows, memory(one, workers, 1)


def one_service(
    firehose: StandIn, workers: int, threads: int, latency_ms: float, seconds: float
) -> tuple[Throughput, Memory]:
    """Return the throughput of that many workers and threads at one latency, and their memory."""
    with service(firehose, workers, threads) as one:
        _warm_up(firehose, one, _clients(workers * threads))
        row = throughput(firehose, one, workers, threads, latency_ms, 2 * seconds)
        return row, memory(one, workers, threads)


def throughput(
    firehose: StandIn, one: Service, workers: int, threads: int, latency_ms: float, seconds: float
) -> Throughput:
    """Return what a warm service acknowledges."""
    firehose.take(latency_ms / 1000)
    clients = _clients(workers * threads)
    return Throughput(
        workers=workers,
        threads=threads,
        firehose_ms=latency_ms,
        clients=clients,
        served=served(closed_loop(one.port, _requests(), clients, seconds)),
    )


def memory(one: Service, workers: int, threads: int) -> Memory:
    """Return what a service takes that has worked."""
    pss_mb = round(processes.pss_mb(one.process.pid), 1)
    return Memory(workers=workers, threads=threads, pss_mb=pss_mb)


def memory_line(rows: Sequence[Memory]) -> tuple[float, float]:
    """Return what one worker takes with its master, and each further one."""
    line = linear_regression([row.workers for row in rows], [row.pss_mb for row in rows])
    return round(line.intercept + line.slope, 1), round(line.slope, 2)


def served(*loads: Load) -> Served:
    """Return the figures of one or more measurements, as of one."""
    one = Load(
        sum(load.seconds for load in loads),
        [took_s for load in loads for took_s in load.took_s],
        sum(load.errors for load in loads),
    )
    if not one.took_s:
        raise RuntimeError(f"not one delivery was acknowledged, {one.errors} were not")
    return Served(
        acknowledged=len(one.took_s),
        errors=one.errors,
        events_per_s=round(one.events_per_s, 1),
        p50_ms=round(one.ms(0.5), 2),
        p99_ms=round(one.ms(0.99), 2),
        p999_ms=round(one.ms(0.999), 2),
    )


def variables(firehose: StandIn, workers: int, threads: int = 1) -> dict[str, str]:
    """Return the environment of a service in front of a stand-in; all else is as it comes."""
    return {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "FIREHOSE_DELIVERY_STREAM_NAME": "bench",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_ENDPOINT_URL_FIREHOSE": firehose.url,
        "WEB_WORKERS": str(workers),
        "WEB_THREADS": str(threads),
    }


@contextlib.contextmanager
def service(firehose: StandIn, workers: int, threads: int = 1) -> Iterator[Service]:
    """Run a service until the block ends."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(variables(firehose, workers, threads), Path(folder) / "log") as one,
    ):
        yield one


def _requests() -> list[bytes]:
    """Return deliveries that are signed now; a signature gets too old in 5 minutes."""
    return [request(body) for body in _BODIES]


def _clients(in_hand: int) -> int:
    return _CLIENTS_EACH * in_hand


def _harness_s(firehose: StandIn) -> float:
    return processes.cpu(firehose.process.pid).s + time.process_time()


def _warm_up_s(seconds: float) -> float:
    return min(1.0, seconds)


def _warm_up(firehose: StandIn, one: Service, clients: int) -> None:
    """Let every worker deliver some: a slow Firehose spreads the deliveries over all of them."""
    firehose.take(0.05)
    closed_loop(one.port, _requests(), clients, 0.5)

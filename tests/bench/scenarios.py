"""What is measured of the running service, and how: one function for each figure.

Every one starts a service of its own with the Procfile's line, warms it up, and measures after.
"""

import asyncio
import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import linear_regression, median

from tests.support.service import Service
from webhook_app.serving.capacity import worker_count

from . import processes, stages
from .deliveries import EVENT_BYTES, event_body, request
from .load import Load, closed_loop, open_loop
from .results import Cpu, Latency, Results, Served, Stage, Throughput, this_machine, today
from .service import service, variables
from .stand_in import StandIn, stand_in

WORKERS = (1, 2, 4, 8, 16, 32)
LATENCIES_MS = (50, 100, 200)
#: Workers x threads: what a machine of 512 MB gets by itself, and fewer workers with threads.
THREADS = ((worker_count(512 * 2**20), 1), (8, 8), (3, 64))
THREADS_LATENCY_MS = 100

CPU_WORKERS, CPU_CLIENTS = 2, 16
LATENCY_MS, LATENCY_EVENTS_PER_S = 50, 20

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
        by_workers: list[Throughput] = []
        for count in workers:
            note(f"throughput and memory, {count} workers")
            by_workers += throughput(firehose, count, 1, LATENCIES_MS, seconds)
        by_threads: list[Throughput] = []
        for count, each in THREADS:
            note(f"{count} workers x {each} threads")
            by_threads += throughput(firehose, count, each, [THREADS_LATENCY_MS], 2 * seconds)
    first, further = memory_line(by_workers[len(LATENCIES_MS) - 1 :: len(LATENCIES_MS)])
    return Results(
        measured_on=date,
        seconds=seconds,
        event_bytes=EVENT_BYTES,
        machine=machine,
        boot_s=boot,
        cpu=cpu,
        stages=parts,
        latency=latency,
        throughput=by_workers,
        first_worker_mb=first,
        next_worker_mb=further,
        threads=by_threads,
    )


def boot_s(firehose: StandIn, times: int = 3) -> list[float]:
    """Return the seconds from the start of the command to an answer of /health, each time."""
    took = []
    for _ in range(times):
        started = time.perf_counter()
        with service(variables(firehose.url, workers=2)) as one:
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
    with service(variables(firehose.url, CPU_WORKERS)) as one:
        _load(one, CPU_CLIENTS, _warm_up_s(seconds))
        for _ in range(rounds):
            requests = _requests()
            ours, beside_s = processes.cpu(one.process.pid), _harness_s(firehose)
            load = asyncio.run(closed_loop(one.port, requests, CPU_CLIENTS, seconds))
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
    parts = stages.measure(variables(firehose.url, 1), CPU_WORKERS, 3 * seconds)
    rest_us = total_us - sum(parts.values())
    return [
        Stage(name=name, us_per_event=round(parts.get(name, rest_us), 1)) for name in stages.NAMES
    ]


def added_latency(firehose: StandIn, seconds: float) -> Latency:
    """Return what the service adds to Firehose's time for an event that comes alone."""
    firehose.take(LATENCY_MS / 1000)
    # its own number of workers would warm up for long on a large machine
    with service(variables(firehose.url, workers=8)) as one:
        _load(one, 16, _warm_up_s(seconds))
        load = asyncio.run(open_loop(one.port, _requests(), LATENCY_EVENTS_PER_S, 10 * seconds))
    return Latency(
        firehose_ms=LATENCY_MS,
        events_per_s=LATENCY_EVENTS_PER_S,
        added_p50_ms=round(load.ms(0.5) - LATENCY_MS, 2),
        added_p99_ms=round(load.ms(0.99) - LATENCY_MS, 2),
        served=served(load),
    )


def throughput(
    firehose: StandIn, workers: int, threads: int, latencies_ms: Sequence[float], seconds: float
) -> Iterator[Throughput]:
    """Yield what one warm service acknowledges at each latency of Firehose."""
    at_a_time = workers * threads
    # more than can be in hand, so that no worker waits while an answer is on its way back
    clients = min(4 * at_a_time, at_a_time + 100)
    with service(variables(firehose.url, workers, threads)) as one:
        # a slow Firehose spreads the deliveries over all workers
        firehose.take(0.05)
        _load(one, clients, 0.5)
        for latency_ms in latencies_ms:
            firehose.take(latency_ms / 1000)
            load = _load(one, clients, seconds)
            yield Throughput(
                workers=workers,
                threads=threads,
                firehose_ms=latency_ms,
                clients=clients,
                pss_mb=round(processes.pss_mb(one.process.pid), 1),
                served=served(load),
            )


def memory_line(rows: Sequence[Throughput]) -> tuple[float, float]:
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


def _load(one: Service, clients: int, seconds: float) -> Load:
    return asyncio.run(closed_loop(one.port, _requests(), clients, seconds))


def _requests() -> list[bytes]:
    """Return deliveries that are signed now; a signature gets too old in 5 minutes."""
    return [request(body) for body in _BODIES]


def _harness_s(firehose: StandIn) -> float:
    return processes.cpu(firehose.process.pid).s + time.process_time()


def _warm_up_s(seconds: float) -> float:
    return min(1.0, seconds)

"""The figures of a run as tables, for the terminal and for docs/PERFORMANCE.md alike."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from statistics import median

from webhook_app.serving.capacity import FEWEST, FIRST_WORKER_BYTES, MOST, NEXT_WORKER_BYTES

from .results import Results, Throughput
from .rows import with_block
from .sizing import PLATFORM_SIZES, STREAM_REQUESTS_PER_S, Rate, by_cores, by_workers, rate


def summary(results: Results) -> str:
    """Return the figures that everybody asks for first."""
    cpu, latency = results.cpu, results.latency
    rows = [
        (
            "CPU an event",
            f"{cpu.us_per_event:.0f} µs",
            f"Firehose answering at once, {cpu.workers} workers, {cpu.clients} clients; "
            f"rounds from {min(cpu.rounds_us):.0f} to {max(cpu.rounds_us):.0f}",
        ),
        ("of that in the kernel", f"{cpu.system_us_per_event:.0f} µs", "as Linux estimates it"),
        (
            "events/s of the same",
            f"{cpu.served.events_per_s:,.0f}",
            f"beside load and stand-in, which took {cpu.harness_us_per_event:.0f} µs an event",
        ),
        (
            "latency added, p50",
            f"{latency.added_p50_ms:.1f} ms",
            f"{latency.served.acknowledged} events, {latency.events_per_s:.0f} a second, "
            f"to a Firehose of {latency.firehose_ms:.0f} ms",
        ),
        (
            "latency added, p99",
            f"{latency.added_p99_ms:.1f} ms",
            f"the slowest in 1,000: {latency.served.p999_ms - latency.firehose_ms:.1f} ms",
        ),
        *(
            (
                f"events/s for each 512 MB, {row.name}",
                f"{row.per_512_mb:,.0f}",
                f"{row.served.events_per_s:,.0f} in {row.pss_mb:.0f} MB, "
                f"Firehose {row.firehose_ms:.0f} ms",
            )
            for row in (results.threads[0], results.threads[-1])
        ),
        (
            "memory, first worker",
            f"{results.first_worker_mb:.0f} MB",
            "with the master; PSS after load, by a straight line through the measurements",
        ),
        ("memory, each further one", f"{results.next_worker_mb:.1f} MB", "by the same line"),
        ("boot", f"{median(results.boot_s):.2f} s", "from the command to the first answer"),
        ("not acknowledged", f"{results.errors}", "deliveries, in all measurements"),
    ]
    return table(["", "measured", "how"], rows)


def stages(results: Results) -> str:
    """Return the CPU of each stage."""
    total_us = results.cpu.us_per_event
    rows = [
        (stage.name, f"{stage.us_per_event:.0f}", f"{stage.us_per_event / total_us:.0%}")
        for stage in results.stages
    ]
    return table(["stage", "µs", "share"], [*rows, ("together", f"{total_us:.0f}", "100%")])


def throughput(results: Results) -> str:
    """Return events a second for each number of workers and each latency."""
    latencies = sorted({row.firehose_ms for row in results.throughput})
    rows = []
    for workers in sorted({row.workers for row in results.throughput}):
        of_workers = [row for row in results.throughput if row.workers == workers]
        cells = [_of_ideal(row) for ms in latencies for row in of_workers if row.firehose_ms == ms]
        rows.append((f"{workers}", *cells, f"{of_workers[-1].pss_mb:.0f}"))
    heading = [f"events/s at {ms:.0f} ms" for ms in latencies]
    return table(["workers", *heading, "PSS MB"], rows)


def threads(results: Results) -> str:
    """Return sync workers beside fewer workers with threads."""
    rows = [
        (
            row.name,
            _of_ideal(row),
            f"{row.served.p99_ms:,.0f}",
            f"{row.pss_mb:.0f}",
            f"{row.per_512_mb:,.0f}",
            f"{row.served.errors}",
        )
        for row in results.threads
    ]
    latency = f"events/s at {results.threads[0].firehose_ms:.0f} ms"
    heading = ["workers x threads", latency, "p99 ms", "PSS MB", "events/s each 512 MB", "errors"]
    return table(heading, rows)


def sizes(results: Results) -> str:
    """Return what each platform's sizes take."""
    rows = []
    for size in PLATFORM_SIZES:
        if size.cores is None:
            cores, allow = "shared", "?"
        else:
            cores, allow = str(Fraction(size.cores)), f"{by_cores(results, size.cores):,.0f}"
        cells = [_rate(rate(results, size, latency_ms)) for latency_ms in (50, 100)]
        rows.append((size.name, f"{size.memory_mb:,}", cores, f"{size.workers}", allow, *cells))
    heading = ["size", "MB", "cores", "workers", "cores allow", "events/s at 50 ms", "at 100 ms"]
    return table(heading, rows)


def limits(results: Results) -> str:
    """Return what no change of the service can move, and what it takes to get there."""
    stream = STREAM_REQUESTS_PER_S
    cores = stream / by_cores(results, 1)
    rows = [
        ("the round trip", "a worker at 50 ms", f"{by_workers(1, 50):,.0f}"),
        ("the round trip", "a worker at 100 ms", f"{by_workers(1, 100):,.0f}"),
        ("the cores", "one core", f"{by_cores(results, 1):,.0f}"),
        (
            "the stream",
            f"its requests; {cores:.1f} cores and {stream * 50 // 1000} workers at 50 ms reach it",
            f"{stream:,}",
        ),
    ]
    return table(["limit", "of", "events/s"], rows)


def machine(results: Results) -> str:
    """Return what was measured on, and when."""
    one = results.machine
    return (
        f"Measured on {results.measured_on} with Python {one.python} on {one.cores} cores under a "
        f"load of {one.load_before:.1f} by others, {results.seconds:g} s each, events of "
        f"{results.event_bytes:,} bytes."
    )


def formula(results: Results) -> str:
    """Return how to size, with what was measured beside what the service reckons with."""
    first, further = FIRST_WORKER_BYTES / 2**20, NEXT_WORKER_BYTES / 2**20
    return "\n".join(
        [
            "```text",
            f"workers  = 1 + (memory - {first:.0f} MB) / {further:.0f} MB, from {FEWEST} to {MOST}",
            f"           measured: {results.first_worker_mb:.0f} MB and "
            f"{results.next_worker_mb:.1f} MB, the rest is reserve",
            "events/s = the lesser of  workers / seconds that a PutRecord takes",
            f"                     and  cores x {by_cores(results, 1):,.0f}",
            "```",
        ]
    )


TABLES: dict[str, Callable[[Results], str]] = {
    "machine": machine,
    "summary": summary,
    "stages": stages,
    "throughput": throughput,
    "threads": threads,
    "formula": formula,
    "sizes": sizes,
    "limits": limits,
}


def renewed(text: str, results: Results) -> str:
    """Return a document with each table between its marks as it should be now.

    Raises:
        ValueError: a mark is missing, or there twice.
    """
    for name, made in TABLES.items():
        command = "python -m tests.bench.performance --document"
        text = with_block(text, name, made(results), command)
    return text


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns stand under each other on a terminal too."""
    columns = list(zip(heading, *rows, strict=True))
    # figures end at the same size, words begin there; the last column ends where it ends
    figures = [all(cell[:1].isdigit() or cell == "?" for cell in cells) for _, *cells in columns]
    widths = [max(map(len, column)) for column in columns]
    if not figures[-1]:
        widths[-1] = 3
    rule = [
        "-" * (width - 1) + (":" if right else "-")
        for width, right in zip(widths, figures, strict=True)
    ]
    lines = [
        [
            f"{cell:>{width}}" if right else f"{cell:<{width}}"
            for cell, width, right in zip(cells, widths, figures, strict=True)
        ]
        for cells in (heading, rule, *rows)
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _rate(one: Rate) -> str:
    return f"{one.events_per_s:,.0f} ({one.ends_at})"


def _of_ideal(row: Throughput) -> str:
    of_ideal = row.served.events_per_s / row.ideal_per_s
    return f"{row.served.events_per_s:,.0f} ({of_ideal:.0%})"

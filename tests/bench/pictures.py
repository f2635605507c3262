"""The figures of a run as pictures. Knows how they look and nothing of how they were measured.

Colours are those of Okabe and Ito, told apart by colour-blind readers too: https://jfly.uni-koeln.de/color/
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .results import Results

BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#9AA0A6", "#333333"

_STYLE: Any = {
    "figure.dpi": 150,
    "figure.facecolor": "white",
    "figure.constrained_layout.h_pad": 0.12,
    "figure.constrained_layout.w_pad": 0.15,
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 14,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E3E5E8",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def stages(results: Results) -> Figure:
    """Draw the CPU of each stage."""
    figure, axes = _axes(4.2)
    parts = list(reversed(results.stages))
    total_us = results.cpu.us_per_event
    # the first is a difference, not a measurement of its own
    colours = [BLUE] * (len(parts) - 1) + [GREY]
    bars = axes.barh([part.name for part in parts], [p.us_per_event for p in parts], color=colours)
    axes.bar_label(
        bars,
        [f"{p.us_per_event:.0f} µs   {p.us_per_event / total_us:.0%}" for p in parts],
        padding=6,
    )
    axes.set_title(f"{total_us:.0f} µs of CPU an event, by stage")
    words = "user and system; grey: what the others leave of the whole"
    axes.set_xlabel(words, loc="left")
    axes.set_xlim(0, max(part.us_per_event for part in parts) * 1.25)
    _bare(axes)
    return figure


def throughput(results: Results) -> Figure:
    """Draw events a second against workers, and what they would be if only Firehose took time."""
    figure, axes = _axes(5.0)
    latencies = sorted({row.firehose_ms for row in results.throughput})
    for latency_ms, colour, marker in zip(latencies, (BLUE, ORANGE, GREEN), "osD", strict=False):
        rows = [row for row in results.throughput if row.firehose_ms == latency_ms]
        workers = [row.workers for row in rows]
        axes.plot(workers, [row.ideal_per_s for row in rows], ":", color=colour, linewidth=1.5)
        measured = [row.served.events_per_s for row in rows]
        axes.plot(workers, measured, marker=marker, color=colour, linewidth=2)
        axes.annotate(
            f"{latency_ms:.0f} ms",
            (workers[-1], measured[-1]),
            xytext=(10, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            weight="bold",
        )
    axes.set_title("Events a second against workers, by Firehose's latency")
    axes.set_xlabel("workers; dotted: workers / latency")
    axes.set_ylabel("events/s acknowledged")
    _doubling(axes, [row.workers for row in results.throughput])
    axes.set_yscale("log")
    axes.set_yticks([5, 10, 20, 50, 100, 200, 500, 1000])
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()
    axes.set_ylim(min(row.ideal_per_s for row in results.throughput) * 0.8, None)
    axes.grid(visible=True)
    return figure


def memory(results: Results) -> Figure:
    """Draw PSS against workers."""
    figure, axes = _axes(4.2)
    last_ms = results.throughput[-1].firehose_ms
    rows = [row for row in results.throughput if row.firehose_ms == last_ms]
    workers = [row.workers for row in rows]
    first, further = results.first_worker_mb, results.next_worker_mb
    line = [first + further * (count - 1) for count in workers]
    axes.plot(workers, line, ":", color=GREY, linewidth=1.5)
    axes.plot(workers, [row.pss_mb for row in rows], "o", color=BLUE, markersize=8)
    labelled = 0
    for row in rows:
        # labels of points that lie close together would cover each other
        if labelled and row.workers - labelled < max(workers) / 12:
            continue
        labelled = row.workers
        axes.annotate(
            f"{row.pss_mb:.0f}",
            (row.workers, row.pss_mb),
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
        )
    axes.set_title(f"Memory: {first:.0f} MB with one worker, {further:.1f} MB for each further one")
    axes.set_xlabel("workers")
    axes.set_ylabel("PSS of all processes, MB")
    axes.set_xticks(workers)
    axes.set_xlim(0, max(workers) * 1.06)
    axes.set_ylim(0, max(row.pss_mb for row in rows) * 1.15)
    axes.grid(visible=True, axis="y")
    return figure


def threads(results: Results) -> Figure:
    """Draw sync workers beside fewer with threads: throughput and memory, side by side."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
    rows = results.threads
    for axes, values, title in (
        (left, [row.per_512_mb for row in rows], "events/s for each 512 MB"),
        (right, [row.pss_mb for row in rows], "PSS, MB"),
    ):
        colours = [BLUE if row.threads == 1 else ORANGE for row in rows]
        bars = axes.barh([row.name for row in rows], values, color=colours, height=0.6)
        axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=6)
        axes.set_title(title)
        axes.set_xlim(0, max(values) * 1.2)
        _bare(axes)
    left.set_ylabel("workers x threads")
    left.set_xlabel(f"Firehose {rows[0].firehose_ms:.0f} ms", loc="left")
    left.invert_yaxis()
    return figure


PICTURES: dict[str, Callable[[Results], Figure]] = {
    "stages": stages,
    "throughput": throughput,
    "memory": memory,
    "threads": threads,
}


def draw(results: Results, folder: Path, source: str) -> None:
    """Draw every picture into a folder, each with the word in it on what it was drawn from."""
    for name, drawn in PICTURES.items():
        with rc_context(_STYLE):
            figure = drawn(results)
            figure.savefig(folder / f"{name}.png", metadata={"Software": None, "Source": source})


def _axes(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, height), layout="constrained")
    return figure, figure.add_subplot()


def _bare(axes: Axes) -> None:
    """Leave the bars and what is written beside them."""
    axes.tick_params(length=0)
    axes.set_xticks([])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _doubling(axes: Axes, ticks: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(set(ticks)))
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlim(min(ticks) * 0.85, max(ticks) * 1.5)

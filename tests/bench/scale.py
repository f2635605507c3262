"""The archive's tools on a million events: `make scale`, or `python -m tests.bench.scale`.

Each tool runs as a process of its own, on an archive of so many events and on a tenth of it: what
it takes, and how that grows. `--publish` puts the last run into docs/ARCHIVE_TOOLS.md.
"""

import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, cast

import click
import msgspec

from examples.stripe import KEY
from tests.support.service import PROJECT

from . import sample
from .processes import pss_mb

LATEST = PROJECT / ".bench/scale.json"
DOCUMENT = PROJECT / "docs/ARCHIVE_TOOLS.md"
MARKERS = "<!-- scale: generated -->", "<!-- end of scale -->"

#: The last day of the sample: all of it is older than what can be on its way.
LAST = datetime.now(UTC).date() - timedelta(days=1)

_BY_TYPE = "SELECT type, COUNT(*) AS count FROM stripe_webhooks {}GROUP BY type ORDER BY count DESC"
_ONE_DAY = f"WHERE year = '{LAST:%Y}' AND month = '{LAST:%m}' AND day = '{LAST:%d}' "


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one run of a tool took."""

    what: str
    events: int
    """In the archive."""
    seconds: float
    peak_mb: float
    """PSS of all its processes, looked at 20 times a second."""


@dataclass(frozen=True)
class Tool:
    """A tool and what it is asked to do with an archive."""

    what: str
    arguments: tuple[str, ...]
    share: float = 1.0
    """Of the events; Stripe lists those of 30 days only."""


TOOLS = (
    Tool("query one day, by type", ("query", _BY_TYPE.format(_ONE_DAY))),
    Tool("query all days, by type", ("query", _BY_TYPE.format(""))),
    Tool("query revenue_by_day, over the view", ("query", "revenue_by_day")),
    Tool("verify", ("verify",)),
    # before what checks it; the sample's last day has just ended
    Tool("seal", ("seal", "--wait", "0")),
    Tool("verify --sealed", ("verify", "--sealed")),
    # Stripe's own limit is below what this asks for; here it is the tool that is measured
    Tool("reconcile --rate 100", ("reconcile", "--rate", "100"), share=0.3),
    Tool("export to Parquet", ("export", "--output", "{scratch}/export")),
    Tool("report", ("report", "--output", "{scratch}/report.html")),
    Tool("replay --dry-run", ("replay", "https://example.com/", "--dry-run")),
)


def measured(tool: Tool, folder: Path, events: int, address: str) -> Measured:
    """Run a tool on an archive and return what it took.

    Raises:
        ClickException: it did not end as it should.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        words = [word.format(scratch=scratch) for word in tool.arguments]
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "wsgi", "archive", *words],
            cwd=PROJECT,
            env=_environment(folder, address),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        began, peaks = time.perf_counter(), [0.0]
        watcher = threading.Thread(target=_watch, args=(process, peaks))
        watcher.start()
        _, errors = process.communicate()
        seconds = time.perf_counter() - began
        watcher.join()
    if process.returncode:
        raise click.ClickException(f"{tool.what} ended with {process.returncode}: {errors}")
    return Measured(what=tool.what, events=events, seconds=seconds, peak_mb=max(peaks))


def _environment(folder: Path, address: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ}
    return kept | {
        "PYTHON_DOTENV_DISABLED": "1",
        "FLASK_SKIP_DOTENV": "1",
        "ARCHIVE_DIR": str(folder),
        "STRIPE_WEBHOOK_SECRET": sample.SECRET,
        "STRIPE_API_KEY": KEY,
        "STRIPE_API_BASE": address,
        "REPLAY_SECRET": sample.SECRET,
    }


def _watch(process: subprocess.Popen[str], peaks: list[float]) -> None:
    while process.poll() is None:
        peaks.append(pss_mb(process.pid))
        time.sleep(0.05)


@contextlib.contextmanager
def stripe_with(events: int) -> Iterator[str]:
    """Run a process that plays Stripe with so many events; yield its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.sample", str(events), str(LAST)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield cast("IO[str]", process.stdout).readline().strip()
        finally:
            cast("IO[str]", process.stdin).close()


def run(events: int, scratch: Path) -> Iterator[Measured]:
    """Yield what every tool takes with a tenth of the events, and then with all of them."""
    sizes = {tool: [max(1, int(events * tool.share * part)) for part in (0.1, 1)] for tool in TOOLS}
    folders = {size: scratch / str(size) for size in sorted({*itertools.chain(*sizes.values())})}
    for size, folder in folders.items():
        sample.archive(folder, size, LAST)
    for tool in TOOLS:
        for size in sizes[tool]:
            played = tool.arguments[0] == "reconcile"
            with stripe_with(size) if played else contextlib.nullcontext("") as address:
                yield measured(tool, folders[size], size, address)


def table(results: Sequence[Measured]) -> str:
    """Return the results as a table, each tool with its two sizes in one row."""
    lines = [
        "| tool | events | time | of them a second | memory | time of a tenth | its memory |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for small, large in zip(results[::2], results[1::2], strict=True):
        lines.append(
            f"| {large.what} | {large.events:,} | {large.seconds:.1f} s "
            f"| {large.events / large.seconds:,.0f} | {large.peak_mb:.0f} MB "
            f"| {small.seconds:.1f} s | {small.peak_mb:.0f} MB |"
        )
    return "\n".join(lines)


def published(results: Sequence[Measured], text: str) -> str:
    """Return a document's text with the table of these results between its markers."""
    before, _, rest = text.partition(MARKERS[0])
    return (
        f"{before}{MARKERS[0]}\n\n{table(results)}\n\n{MARKERS[1]}{rest.partition(MARKERS[1])[2]}"
    )


@click.command()
@click.option("--events", default=1_000_000, show_default=True, help="In the archive.")
@click.option("--publish", is_flag=True, help="Put the last run into the document instead.")
def main(events: int, publish: bool) -> None:
    """Measure the archive's tools and print what they took."""
    if publish:
        results = msgspec.json.decode(LATEST.read_bytes(), type=list[Measured])
        DOCUMENT.write_text(published(results, DOCUMENT.read_text()))
        return
    LATEST.parent.mkdir(exist_ok=True)
    results = []
    with tempfile.TemporaryDirectory(dir=LATEST.parent) as scratch:
        for one in run(events, Path(scratch)):
            results.append(one)
            click.echo(
                f"{one.what:<40} {one.events:>9,}  {one.seconds:6.1f} s  {one.peak_mb:4.0f} MB"
            )
    LATEST.write_bytes(msgspec.json.encode(results))
    click.echo(f"\n{table(results)}")


if __name__ == "__main__":
    main()

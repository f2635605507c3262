"""What the service takes and gives, measured: `make bench`, or `python -m tests.bench.performance`.

Prints tables, and keeps the figures and their pictures in `.bench`. With `--publish` they go into
docs/ as well: results, pictures and the tables of docs/PERFORMANCE.md.
"""

import hashlib
import sys
import time
from pathlib import Path

import click

from tests.support.service import PROJECT

from . import pictures, scenarios
from .results import Results, read, write
from .tables import TABLES, renewed

LATEST = PROJECT / ".bench"
PUBLISHED = PROJECT / "docs/performance"
DOCUMENT = PROJECT / "docs/PERFORMANCE.md"
RESULTS = "results.json"


def digest(results_file: Path) -> str:
    """Return what pictures carry to say which results they show."""
    return hashlib.sha256(results_file.read_bytes()).hexdigest()


def keep(results: Results, folder: Path) -> None:
    """Write results and their pictures into a folder."""
    write(results, folder / RESULTS)
    pictures.draw(results, folder, digest(folder / RESULTS))


def renew_document() -> None:
    """Make the document's tables and pictures anew from its results."""
    results = read(PUBLISHED / RESULTS)
    keep(results, PUBLISHED)
    DOCUMENT.write_text(renewed(DOCUMENT.read_text(), results))


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0.05),
    default=3.0,
    show_default=True,
    help="How long each measurement lasts; under 1, fewer numbers of workers are measured.",
)
@click.option("--publish", is_flag=True, help="Put what is measured into docs/ too.")
@click.option("--document", is_flag=True, help="Measure nothing: renew docs/ from its results.")
def main(seconds: float, publish: bool, document: bool) -> None:
    """Measure the service, print what was measured, and fail if a delivery did."""
    if document:
        renew_document()
        return
    began = time.monotonic()

    def note(words: str) -> None:
        click.echo(f"{time.monotonic() - began:5.0f} s   {words}")

    workers = scenarios.WORKERS if seconds >= 1 else scenarios.WORKERS[::2]
    results = scenarios.measured(seconds, note, workers)
    keep(results, LATEST)
    note("done")
    for made in TABLES.values():
        click.echo(f"\n{made(results)}")
    click.echo(f"\nfigures and pictures: {LATEST.relative_to(PROJECT)}")
    if results.errors:
        sys.exit(1)
    if publish:
        write(results, PUBLISHED / RESULTS)
        renew_document()


if __name__ == "__main__":
    main()

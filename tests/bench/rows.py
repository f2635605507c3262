"""Tables of rows that hold or do not: printed as they are measured, and put into a document.

What `make faults` and `make strangers` have in common.
"""

import itertools
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

import click

#: Shorter rows show that it works; figures for a document are measured one row at a time.
_SHORT_S = 5
_AT_A_TIME = 3

Key = TypeVar("Key")


class Row(Protocol):
    """What was seen of one case; `str()` is its line of the table."""

    @property
    def holds(self) -> bool:
        """Whether the service kept its word."""


def report(
    heading: str,
    keys: Iterable[Key],
    measure: Callable[[Key], Row],
    seconds: float,
    publish: Callable[[str], None] | None,
    alone: Callable[[Key], bool] = lambda _: False,
    at_a_time: int = _AT_A_TIME,
) -> None:
    """Measure and print a row for each key; exit with 1 unless all of them hold.

    Args:
        heading: the line above the rows.
        keys: what is measured.
        measure: returns the row of a key.
        seconds: how long each lasts; short ones are measured several at a time.
        publish: gets the whole table at the end, if it holds.
        alone: whether a row needs the machine for itself; these come last.
        at_a_time: how many short rows are measured together.
    """
    click.echo(heading)
    rows = []
    ordered = sorted(keys, key=alone)
    with ThreadPoolExecutor(at_a_time if seconds < _SHORT_S else 1) as pool:
        together = pool.map(measure, (key for key in ordered if not alone(key)))
        for row in itertools.chain(together, map(measure, filter(alone, ordered))):
            rows.append(row)
            click.echo(str(row))
    if not all(row.holds for row in rows):
        sys.exit(1)
    if publish:
        publish("\n".join([heading, *map(str, rows)]))


def with_block(text: str, name: str, content: str, command: str) -> str:
    """Return a document with the content between the marks of that name.

    Raises:
        ValueError: a mark is missing, or there twice.
    """
    begin, end = f"<!-- {name}: {command} -->\n", f"<!-- /{name} -->"
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}{content}\n{end}{after}"


def publisher(document: Path, name: str, command: str) -> Callable[[str], None]:
    """Return what puts a table into a document as text."""

    def publish(table: str) -> None:
        content = f"```text\n{table}\n```"
        document.write_text(with_block(document.read_text(), name, content, command))

    return publish

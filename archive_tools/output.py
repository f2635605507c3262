"""How results are shown: tables for people, JSON for scripts, and progress where there is waiting.

Results go to standard output; progress and notes to standard error.
"""

import json
import re
import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

import click

#: A bar appears after so long.
_DELAY_S = 1.0

# what JSON need not escape, and a terminal could act on: controls, marks of direction, and the
# surrogates with which Python keeps the bytes of a file's name that are not UTF-8
_UNSAFE = re.compile("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Progress(Protocol):
    """How far something has come."""

    def update(self, n_steps: int) -> None:
        """Tell that so many more steps are done."""


@contextmanager
def progress(label: str, length: int) -> Iterator[Progress]:
    """Show a bar on a terminal's standard error, once the waiting has taken a second."""
    with click.progressbar(length=length, label=label, file=sys.stderr, hidden=True) as bar:
        yield _DelayedBar(bar, sys.stderr.isatty())


class _DelayedBar:
    def __init__(self, bar: Any, seen: bool) -> None:
        self._bar = bar
        self._seen = seen
        self._began = time.monotonic()

    def update(self, n_steps: int) -> None:
        if self._seen and time.monotonic() - self._began > _DELAY_S:
            self._bar.hidden = False
        self._bar.update(n_steps)


def note(text: str) -> None:
    """Say something beside the result."""
    click.echo(printable(text), err=True)


def printable(text: str) -> str:
    """Return a text of any lines with nothing in it that moves a cursor or has no UTF-8."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if c not in "\n\t" and _controls(c) else c for c in text
    )


def table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as an aligned table, numbers to the right, without control characters."""
    names = [cell(name) for name in names]
    texts = [[cell(value) for value in row] for row in rows]
    widths = [max(map(_width, (name, *(row[n] for row in texts)))) for n, name in enumerate(names)]
    right = [
        bool(rows) and all(isinstance(row[n], int | float | Decimal | None) for row in rows)
        for n in range(len(names))
    ]
    out = []
    for row in [names, *texts]:
        cells = [
            " " * (width - _width(text)) + text if at_right else text + " " * (width - _width(text))
            for text, width, at_right in zip(row, widths, right, strict=True)
        ]
        out.append("  ".join(cells).rstrip())
    out.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(out)


def cell(value: object) -> str:
    """Return a value as it stands in a table: one line, nothing that moves a cursor."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, bytes):
        return value.hex()
    return printable(" ".join(str(value).split()))


def _controls(character: str) -> bool:
    return unicodedata.category(character).startswith("C")


def as_json(value: object) -> str:
    """Return a value as indented JSON; money stays exact as a string, times are ISO 8601."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=_plain)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def bytes_text(size: float) -> str:
    """Return a number of bytes for people, in powers of 1000."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def count_text(number: int, noun: str) -> str:
    """Return a number with its noun: `1 event`, `2,000 events`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)

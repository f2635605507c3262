"""What lies in a local archive: its files as a tree, its days, and its records."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield every record below the folder, a line each."""
    for path in sorted(folder.rglob("*.json.gz")):
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
            yield from map(json.loads, lines)


def tree(folder: Path) -> list[str]:
    """Return the folders below as lines of a tree, the innermost with their number of files."""
    lines = [f"{folder}/"]
    for path in sorted(path for path in folder.rglob("*") if path.is_dir()):
        depth = len(path.relative_to(folder).parts)
        line = f"{'    ' * (depth - 1)}└── {path.name}/"
        files = [file for file in path.iterdir() if file.is_file()]
        if files:
            kilobytes = sum(file.stat().st_size for file in files) / 1000
            line += f"   {len(files)} files .json.gz, {kilobytes:.1f} KB"
        lines.append(line)
    return lines


def partitions(folder: Path) -> list[tuple[str, str, str]]:
    """Return year, month and day of every day's folder, oldest first."""
    days = sorted(folder.glob("webhooks/year=*/month=*/day=*"))
    return [
        (year.split("=")[1], month.split("=")[1], day.split("=")[1])
        for year, month, day in (path.parts[-3:] for path in days)
    ]

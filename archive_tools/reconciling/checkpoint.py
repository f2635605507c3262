"""How far a backfill has come: a file with a line for each day whose events are all archived."""

import contextlib
import os
from datetime import date
from pathlib import Path

from ..errors import ToolError


class Checkpoint:
    """The days that are done, in a file that is there until the backfill is."""

    def __init__(self, path: Path, task: str) -> None:
        """Go on from a file, or make it. `task` says what is backfilled, as its first line.

        Raises:
            ToolError: the file is of another task or of something else, or cannot be written.
        """
        self._path = path
        self.done: set[date] = set()
        try:
            text = path.read_text() if path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable(path, str(error)) from error
        if not text:
            self._append(task)
        elif not text.startswith(f"{task}\n"):
            raise _unusable(path, f"its first line is {text.partition(chr(10))[0][:200]!r}")
        # an interrupted run can have left half a line at the end
        for line in text.splitlines()[1:]:
            with contextlib.suppress(ValueError):
                self.done.add(date.fromisoformat(line))

    def add(self, day: date) -> None:
        """Note a day whose events are all archived; durable when this returns.

        Raises:
            ToolError: the file cannot be written.
        """
        self._append(day.isoformat())

    def remove(self) -> None:
        """Remove the file: there is nothing left to go on with."""
        self._path.unlink(missing_ok=True)

    def _append(self, line: str) -> None:
        try:
            with self._path.open("a") as file:
                file.write(f"{line}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unusable(self._path, error.strerror or str(error)) from error


def _unusable(path: Path, reason: str) -> ToolError:
    return ToolError(
        f"{path} cannot be the checkpoint of this backfill: {reason}",
        "finish the backfill that it is of with its own options, or name another file with "
        "--checkpoint, in a folder that can be written to",
    )

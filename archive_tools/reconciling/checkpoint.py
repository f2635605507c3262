"""How far a backfill has come: a file with a line for each day whose events are all archived."""

import contextlib
import os
from datetime import date
from pathlib import Path

from ..errors import ToolError


class Checkpoint:
    """The days that are done, in a file that is there until the backfill is."""

    def __init__(self, path: Path, task: str) -> None:
        """Go on from a file, or make it.

        Args:
            path: the file. An interrupted run can have left half a line at its end.
            task: what is backfilled, in one line; the first one of the file.

        Raises:
            ToolError: the file is of another task or of something else, or cannot be written.
        """
        self._path = path
        self.done: set[date] = set()
        try:
            text = path.read_text() if path.exists() else ""
            if not text:
                self._append(task)
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable(path, error) from error
        if text and not text.startswith(f"{task}\n"):
            first = text.partition("\n")[0]
            raise ToolError(
                f"{path} is not of this backfill; its first line is {first[:200]!r}",
                "finish that backfill with its own options, remove the file to give it up, or "
                "name another file with --checkpoint",
            )
        for line in text.splitlines()[1:]:
            with contextlib.suppress(ValueError):
                self.done.add(date.fromisoformat(line))

    def add(self, day: date) -> None:
        """Note a day whose events are all archived; durable when this returns.

        Raises:
            ToolError: the file cannot be written.
        """
        try:
            self._append(day.isoformat())
        except OSError as error:
            raise _unusable(self._path, error) from error

    def remove(self) -> None:
        """Remove the file: there is nothing left to go on with."""
        self._path.unlink(missing_ok=True)

    def _append(self, line: str) -> None:
        with self._path.open("a") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())


def _unusable(path: Path, error: OSError | UnicodeDecodeError) -> ToolError:
    reason = error.strerror if isinstance(error, OSError) else "it is not a file of a backfill"
    return ToolError(
        f"{path} cannot be used: {reason}",
        "run it in a folder that can be written to, or name another file with --checkpoint",
    )

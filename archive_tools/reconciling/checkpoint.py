"""How far a command has come: a file with a line for each part that is all in the archive."""

import os
from pathlib import Path

from ..errors import ToolError


class Checkpoint:
    """The parts that are done, in a file that is there until all are."""

    def __init__(self, path: Path, task: str) -> None:
        """Go on from a file, or make it.

        `task` says what is done to which archive, as the file's first line: `backfill of …`.

        Raises:
            ToolError: the file is of another task or of something else, or cannot be written.
        """
        self._path = path
        self._command = task.partition(" ")[0]
        try:
            text = path.read_text() if path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise self._unusable(str(error)) from error
        if not text:
            self.add(task)
        elif not text.startswith(f"{task}\n"):
            raise self._unusable(f"its first line is {text.partition(chr(10))[0][:200]!r}")
        self.done = set(text.splitlines()[1:])
        """The lines; an interrupted run can have left half a one at the end."""

    def add(self, *parts: str) -> None:
        """Note parts that are all in the archive, a line each; durable when this returns.

        Raises:
            ToolError: the file cannot be written.
        """
        try:
            with self._path.open("a") as file:
                file.writelines(f"{part}\n" for part in parts)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error

    def remove(self) -> None:
        """Remove the file: there is nothing left to go on with."""
        self._path.unlink(missing_ok=True)

    def _unusable(self, reason: str) -> ToolError:
        return ToolError(
            f"{self._path} cannot be the checkpoint of this {self._command}: {reason}",
            f"finish the {self._command} that it is of with its own options, or name another file "
            "with --checkpoint, in a folder that can be written to",
        )

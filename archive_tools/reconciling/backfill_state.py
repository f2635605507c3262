"""How far a backfill has come, in a file: what it is of, and the windows that are left of it.

Knows nothing of events but the id at which each window goes on; there is no secret in it.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ..errors import ToolError
from .listing import Fetched, Window


class Task(msgspec.Struct, frozen=True):
    """What a backfill is of. One that was interrupted can only be gone on with as the same."""

    archive: str
    days: str
    livemode: bool
    types: tuple[str, ...]

    def __str__(self) -> str:
        """Return it in words."""
        types = f", {', '.join(self.types)}" if self.types else ""
        mode = "live mode" if self.livemode else "test mode"
        return f"{self.days} into {self.archive}, {mode}{types}"


class _Stored(msgspec.Struct):
    task: Task
    now: int
    left: list[Window]
    archived: int


@dataclass
class State:
    """A backfill at work, and its file; the file is there from the first page to the last."""

    path: Path
    task: Task
    now: int
    """Unix seconds at which it began first: the end of what it asks for."""
    left: list[Window] = field(default_factory=list)
    archived: int = 0
    """Events, over all runs."""

    def done(self, pages: list[Fetched], archived: int) -> None:
        """Note pages whose events are all in the archive, so many of them new; durable after this.

        Raises:
            ToolError: the file cannot be written.
        """
        for fetched in pages:
            self.left.remove(fetched.window)
            self.left += fetched.rest
        self.archived += archived
        self.save()

    def save(self) -> None:
        """Write the file; it is durable when this returns.

        Raises:
            ToolError: the file cannot be written.
        """
        stored = _Stored(self.task, self.now, sorted(self.left, key=_oldest), self.archived)
        try:
            _replace(self.path, msgspec.json.format(msgspec.json.encode(stored)))
        except OSError as error:
            raise _unusable(self.path, error) from error

    def remove(self) -> None:
        """Remove the file: there is nothing left to go on with."""
        self.path.unlink(missing_ok=True)


def interrupted(path: Path, task: Task, kept: int) -> State | None:
    """Return the state that an interrupted backfill left, None where there is no file.

    Args:
        path: the file.
        task: what is to be done now.
        kept: Unix seconds since which Stripe keeps events; windows before that are left out.

    Raises:
        ToolError: the file is of another backfill, or cannot be read.
    """
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=_Stored)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _unusable(path, error) from error
    if stored.task != task:
        raise ToolError(
            f"{path} is of a backfill that was interrupted: {stored.task}",
            "finish that one with its own options, remove the file to give it up, or name "
            "another file with --state",
        )
    left = [window for window in stored.left if window.last >= kept]
    return State(path, task, stored.now, left, stored.archived)


def _oldest(window: Window) -> int:
    return window.first


def _replace(path: Path, text: bytes) -> None:
    """Replace a file as a whole: whoever reads it finds the old one or the new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _unusable(path: Path, error: Exception) -> ToolError:
    reason = error.strerror if isinstance(error, OSError) else "it is not a file of a backfill"
    return ToolError(
        f"{path} cannot be used: {reason}",
        "run it in a folder that can be written to, or name another file with --state",
    )

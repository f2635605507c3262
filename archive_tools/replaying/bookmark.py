"""How far a replay has come, in a small file: the same command goes on from there.

Knows positions of a plan, and which plan it was; nothing of events. What was handed out and not
accepted is kept by position, so the file stays small for any number of events.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import ToolError
from .plan import Plan, Planned

#: A process that is killed outright has this much to send again.
_EVERY_S = 1.0


class Bookmark:
    """Which positions of a plan have been accepted: those before `upto` that are not `left`."""

    def __init__(self, path: Path, replay: dict[str, Any], found: dict[str, Any] | None) -> None:
        """Take the file, what is replayed, and what the file holds."""
        found = found or {"plan": None, "upto": 0, "left": []}
        self._path = path
        self._replay = replay
        self._plan: dict[str, Any] | None = found["plan"]
        self._saved_at = 0.0
        self.upto: int = found["upto"]
        self.left: set[int] = set(found["left"])

    @property
    def newest(self) -> str | None:
        """The last arrival in the plan that was begun; what came since is not part of it."""
        return self._plan["newest"] if self._plan else None

    @property
    def accepted(self) -> int:
        """How many events have been."""
        return self.upto - len(self.left)

    def mark_plan(self, plan: Plan) -> None:
        """Note which plan it is; positions mean nothing in another.

        Raises:
            ToolError: it is not the one that was begun.
        """
        now = {"newest": plan.newest, "events": len(plan), "digest": plan.digest()}
        if self._plan and self._plan != now:
            raise ToolError(
                f"The archive has changed in this range: there were {self._plan['events']:,} "
                f"events when the replay began, there are {len(plan):,} now",
                f"remove {self._path} to begin anew, or narrow the range to what is left",
            )
        self._plan = now

    def handed_out(self, plan: Plan) -> Iterator[Planned]:
        """Yield what is not accepted yet, each noted as left."""
        for event in plan.events(self.upto, tuple(self.left)):
            self.left.add(event.position)
            self.upto = max(self.upto, event.position + 1)
            yield event

    def accept(self, position: int) -> None:
        """Note that an event has been accepted."""
        self.left.discard(position)

    def save_now_and_then(self) -> None:
        """Write the file if that has not been done for a second."""
        if time.monotonic() - self._saved_at > _EVERY_S:
            self.save()

    def save(self) -> None:
        """Write the file, for this user alone: as a whole, or not at all.

        Raises:
            ToolError: it cannot be written.
        """
        content = {
            "replay": self._replay,
            "plan": self._plan,
            "upto": self.upto,
            "left": sorted(self.left),
        }
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(content, file, indent=1)
            temporary.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise _unusable(self._path, f"cannot be written: {error.strerror}") from error
        self._saved_at = time.monotonic()

    def remove(self) -> None:
        """Remove the file: everything has been accepted."""
        self._path.unlink(missing_ok=True)


def bookmark(path: Path, replay: dict[str, Any]) -> Bookmark:
    """Return the bookmark that a file holds, or a new one.

    Args:
        path: the file.
        replay: what was asked for; what JSON can hold.

    Raises:
        ToolError: the file cannot be read, or belongs to another replay.
    """
    try:
        found = json.loads(path.read_bytes())
        begun, made = found["replay"], Bookmark(path, replay, found)
    except FileNotFoundError:
        return Bookmark(path, replay, None)
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError):
        raise _unusable(path, "is not the bookmark of a replay") from None
    if begun != replay:
        names = ", ".join(name for name in replay if begun.get(name) != replay[name])
        raise _unusable(path, f"belongs to a replay that was not finished, with another {names}")
    return made


def _unusable(path: Path, wrong: str) -> ToolError:
    return ToolError(f"{path} {wrong}", "name another file with --state, or remove that one")

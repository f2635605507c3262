"""The file of accepted events, from which a replay that ended early goes on."""

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import ToolError


class Checkpoint:
    """A JSON Lines file: the destination, then the name of each event that was accepted there.

    Each method raises ToolError where the file cannot be used.
    """

    def __init__(self, path: Path, url: str) -> None:
        """Take a file that may not exist yet."""
        self._path = path
        # the URL's query can hold a token
        digest = hashlib.sha256(url.encode()).hexdigest()[:16]
        self._header = json.dumps({"replay_to": url.partition("?")[0], "url_sha256": digest})
        self._file: io.FileIO | None = None

    def names(self) -> Iterator[str]:
        """Yield the names of the events that were accepted."""
        if not self._path.exists():
            return
        with self._errors("read"), self._path.open(encoding="utf-8", errors="replace") as file:
            header = file.readline().rstrip("\n")
            if header != self._header:
                known = header.startswith('{"replay_to": ')
                raise self._error("is of another URL" if known else "is not of a replay")
            for line in file:
                # a full disk can have cut a line short: its event is sent again
                with contextlib.suppress(ValueError):
                    yield json.loads(line)

    def open(self) -> None:
        """Make the file, for this user alone, or go on with it."""
        with self._errors("written"):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._file = io.FileIO(os.open(self._path, flags, 0o600), "a")
            if not self._path.stat().st_size:
                self._file.write(self._header.encode())

    def add(self, name: str) -> None:
        """Write down an accepted event at once, so that a killed process leaves it there."""
        with self._errors("written"):
            if self._file:
                # the newline goes first, so that a line that was cut short ends there
                self._file.write(f"\n{json.dumps(name)}".encode())

    def close(self, *, remove: bool) -> None:
        """Close the file, and remove it where nothing is left to send."""
        with self._errors("removed"):
            if self._file:
                self._file.close()
            if remove:
                self._path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _errors(self, how: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._error(f"cannot be {how}: {error.strerror}") from error

    def _error(self, wrong: str) -> ToolError:
        return ToolError(f"{self._path} {wrong}", "name another file with --state, or remove it")

"""What was put into the stream a short while ago, and need not be in the bucket yet.

A file of ids and times, so that the next run does not put the same events in again.
"""

import contextlib
import itertools
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

import click

from ..errors import ToolError
from ..output import note
from ..storage import FolderStorage, Storage

#: Firehose keeps records for up to the stream's buffer, 300 s as we make it and 900 at most.
#: https://docs.aws.amazon.com/firehose/latest/dev/create-configure.html
BUFFER_S = 900

DEFAULT_FILE = Path("stripe-on-the-way.txt")

_LINE = re.compile(r"(?P<at>\d{1,12}) (?P<id>\S+) (?P<archive>.+)\n", re.ASCII)


class OnTheWay:
    """The ids of a file, each a line with the Unix seconds of its confirmation before it."""

    def __init__(self, path: Path, archive: str) -> None:
        """Use a file, for the archive of a name; it is made when something is noted."""
        self._path = path
        self._archive = archive
        self._usable = True

    def ids(self) -> frozenset[str]:
        """Return the ids of the last `BUFFER_S` seconds; a file without any is removed.

        Raises:
            ToolError: the file is somebody else's.
        """
        now = time.time()
        noted: re.Match[str] | None = None
        fresh: list[re.Match[str]] = []
        try:
            with self._path.open() as file:
                # an interrupted run can have left half a line at the end
                for line in itertools.takewhile(_is_whole, file):
                    noted = _LINE.fullmatch(line)
                    if not noted:
                        raise self._not_ours()
                    # a clock that was put back leaves times that are still to come
                    if abs(now - int(noted["at"])) < BUFFER_S:
                        fresh.append(noted)
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            self._do_without(error)
            return frozenset()
        except UnicodeDecodeError as error:
            raise self._not_ours() from error
        if noted and not fresh:
            with contextlib.suppress(OSError):
                self._path.unlink()
        return frozenset(one["id"] for one in fresh if one["archive"] == self._archive)

    def note(self, ids: Iterable[str]) -> None:
        """Add ids that have been confirmed now.

        Nothing fails here: the events are in the stream already, and what a next run can do is to
        put them in twice.
        """
        now = int(time.time())
        text = "".join(f"{now} {event_id} {self._archive}\n" for event_id in ids)
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "a") as file:
                file.write(text)
        except OSError as error:
            self._do_without(error)

    def _not_ours(self) -> ToolError:
        return ToolError(
            f"{self._path} cannot be used: it is not a file of ours",
            "name another file with --on-the-way",
        )

    def _do_without(self, error: OSError) -> None:
        if self._usable:
            note(
                f"{self._path} cannot be used: {error.strerror}. A run within {BUFFER_S // 60} "
                "minutes may put the same events in again; --on-the-way names another file"
            )
        self._usable = False


class AtOnce:
    """Nothing is ever on the way: a folder has what it has confirmed."""

    def ids(self) -> frozenset[str]:
        """Return none."""
        return frozenset()

    def note(self, ids: Iterable[str]) -> None:
        """Leave them be."""


def _is_whole(line: str) -> bool:
    return line.endswith("\n")


def journal_of(storage: Storage, path: Path) -> OnTheWay | AtOnce:
    """Return what remembers the events on their way into an archive, in a file where it has to."""
    return AtOnce() if isinstance(storage, FolderStorage) else OnTheWay(path, storage.name)


def on_the_way_option(command: click.decorators.FC) -> click.decorators.FC:
    """Give a command `--on-the-way`, passed on as a path."""
    return click.option(
        "--on-the-way",
        type=click.Path(dir_okay=False, path_type=Path),
        default=DEFAULT_FILE,
        metavar="FILE",
        show_default=True,
        help="With a bucket: keeps what Firehose holds in its buffer, for the next run.",
    )(command)

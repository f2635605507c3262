"""What was put into the stream a short while ago, and need not be in the bucket yet.

A file of ids and times, so that the next run does not put the same events in again.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path

import click

from ..errors import ToolError
from ..places import FolderPlace, Place

#: Firehose keeps records for up to the stream's buffer, 300 s as we make it and 900 at most.
#: https://docs.aws.amazon.com/firehose/latest/dev/create-configure.html
BUFFER_S = 900

DEFAULT_FILE = Path("stripe-on-the-way.txt")


class OnTheWay:
    """The ids of a file, each a line with the Unix seconds of its confirmation before it."""

    def __init__(self, path: Path, archive: str) -> None:
        """Use a file, for the archive of a name; it is made when something is noted."""
        self._path = path
        self._archive = archive

    def ids(self) -> frozenset[str]:
        """Return the ids of the last `BUFFER_S` seconds; a file without any is removed.

        Raises:
            ToolError: the file cannot be read, or removed.
        """
        try:
            # an interrupted run can have left half a line at the end
            lines = [line.split(" ", 2) for line in self._path.read_text().split("\n")[:-1]]
            since = time.time() - BUFFER_S
            fresh = [line for line in lines if len(line) == 3 and float(line[0]) > since]
            if not fresh:
                self._path.unlink()
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError) as error:
            raise self._unusable(error) from error
        return frozenset(event_id for _, event_id, archive in fresh if archive == self._archive)

    def note(self, ids: Iterable[str]) -> None:
        """Add ids that have been confirmed now.

        Raises:
            ToolError: the file cannot be written.
        """
        now = int(time.time())
        text = "".join(f"{now} {event_id} {self._archive}\n" for event_id in ids)
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "a") as file:
                file.write(text)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> ToolError:
        reason = error.strerror if isinstance(error, OSError) else "it is not a file of ours"
        return ToolError(
            f"{self._path} cannot be used: {reason}",
            "run it in a folder that can be written to, or name a file with --on-the-way",
        )


class AtOnce:
    """Nothing is ever on the way: a folder has what it has confirmed."""

    def ids(self) -> frozenset[str]:
        """Return none."""
        return frozenset()

    def note(self, ids: Iterable[str]) -> None:
        """Leave them be."""


def journal_of(place: Place, path: Path) -> OnTheWay | AtOnce:
    """Return what remembers the events on their way into an archive, in a file where it has to."""
    return AtOnce() if isinstance(place, FolderPlace) else OnTheWay(path, place.name)


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

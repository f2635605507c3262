"""`flask archive`, which is also the script `stripe-archive`: one command a module.

A command is imported when it is called, so a tool needs only what it uses itself.
"""

import functools
import importlib
import signal
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import click

from webhook_app.environ import SettingsError

from .errors import ToolError
from .output import note
from .settings import ToolSettings
from .storage import open_storage

_F = TypeVar("_F", bound=Callable[..., Any])

#: Each is `command` in a module of this package.
COMMANDS = (
    "query",
    "verify",
    "reconcile",
    "backfill",
    "snapshot",
    "replay",
    "export",
    "compact",
    "build",
    "seal",
    "report",
    "erase",
    "subject",
)


class Commands(click.Group):
    """The commands by name, and what ends each of them, as an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they are met."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing its module."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"archive_tools.{cmd_name}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command.

        Raises:
            ToolError: it could not be done, also because somebody has ended it, or by our fault.
        """
        previous = signal.signal(signal.SIGTERM, _interrupt)
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise ToolError(str(error)) from error
        except ModuleNotFoundError as error:
            raise ToolError(
                f"{error.name} is not installed, and this command needs it",
                "install requirements/tools.txt, as `make tools` does; verify, reconcile, "
                "backfill, snapshot, seal, replay and erase run without, as in the Docker image",
            ) from error
        except (KeyboardInterrupt, click.Abort):
            raise ToolError("Interrupted. Nothing is left half-done.") from None
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            # the frames alone: what an unforeseen error says can quote a payload
            frames = "".join(traceback.format_tb(error.__traceback__))
            raise ToolError(f"{type(error).__name__}, a fault of this tool:\n{frames}") from error
        finally:
            signal.signal(signal.SIGTERM, previous)


def _interrupt(*_: object) -> None:
    """End on SIGTERM as on Ctrl-C: a scheduler's time-out is not to leave more behind."""
    raise KeyboardInterrupt


@click.group("archive", cls=Commands)
def archive() -> None:
    """Query, prove, complete and use the archive.

    The archive is the one that ARCHIVE_DIR or ARCHIVE_BUCKET names, or --archive. Each command says
    first, on standard error, which one that is.

    \b
    The exit status says how it ended:
        0  fine
        1  it found something that somebody should look at
        2  it could not be done
    """  # noqa: D301 - click wants the character itself


def archive_option(command: _F) -> _F:
    """Give a command `--archive`, and pass it `storage: Storage` and `settings: ToolSettings`.

    Before anything else the command says which archive it is: what it proves is proved of that one.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, archive: str | None, **rest: Any) -> Any:
        settings = ToolSettings.from_environ()
        storage = open_storage(archive, settings)
        named_by = settings.archive_origin if archive is None else "--archive"
        note(f"Archive: {storage.location} ({named_by})")
        return command(*args, storage=storage, settings=settings, **rest)

    return click.option(
        "--archive",
        metavar="WHERE",
        help="A folder, or s3://bucket. Left out: ARCHIVE_DIR, or ARCHIVE_BUCKET.",
    )(wrapped)  # type: ignore[return-value]


def json_option(command: _F) -> _F:
    """Give a command `--json`, passed on as `as_json`."""
    option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    return option(command)

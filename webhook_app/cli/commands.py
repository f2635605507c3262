"""The `flask` commands. A serving process does not import them.

`flask send-event` delivers a signed event by hand; `flask doctor` looks for what would keep the
next one from being archived; `flask archive` are the tools of the package archive_tools.
"""

import http.client
import sys
from functools import cached_property
from typing import Any, BinaryIO

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from ..events.signature import sign
from ..settings import Settings
from .doctor import examine, summary
from .sender import body_of, deliver


@click.command("send-event")
@click.argument("file", type=click.File("rb"))
@click.option("--url", help="Where to; by default this service's own endpoint on this machine.")
@with_appcontext
def send_event(file: BinaryIO, url: str | None) -> None:
    """Sign FILE, a JSON event (- for standard input), and deliver it as Stripe would.

    It is signed with the first secret of STRIPE_WEBHOOK_SECRET and sent byte for byte. Only the
    samples in examples/events get a new id and the current time, as if they had happened now; to
    send one as it stands, give it with < on standard input.

    \b
    Example:
        flask send-event examples/events/invoice.paid.json
    """  # noqa: D301 - click wants the character itself
    settings: Settings = current_app.extensions["settings"]
    url = url or f"{settings.local_url}/webhook/stripe"
    body = body_of(getattr(file, "name", ""), file.read())
    try:
        delivered = deliver(body, sign(body, settings.webhook_secrets[0]), url)
    except UnicodeDecodeError:
        raise click.ClickException("The event is not UTF-8, and Stripe sends no other") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        hint = "Is the service running? `make run` starts it."
        raise click.ClickException(f"No answer from {url}: {error}. {hint}") from error
    click.echo(f"{delivered.status} {delivered.body}  ({delivered.milliseconds:.0f} ms)")
    if delivered.status != http.client.OK:
        raise click.exceptions.Exit(1)


@click.command("doctor")
def doctor() -> None:
    """Check the configuration, the archive and all between, and name the fix of each fault.

    Sends no event and changes nothing. With Firehose it asks AWS, for 20 seconds at most.

    \b
    The exit status says how it ended:
        0  all fine
        1  at least one fault
        2  no fault, but something could not be determined from here

    \b
    Example, for a release that goes on unless there is a fault:
        flask doctor || [ $? -eq 2 ]
    """  # noqa: D301 - click wants the character itself
    results = []
    for result in examine():
        click.echo(result)
        results.append(result)
    last_line, status = summary(results)
    click.echo(f"\n{last_line}")
    raise click.exceptions.Exit(status)


class _ArchiveTools(click.Group):
    """`flask archive`; the tools are imported when they are called, and never by the service."""

    @cached_property
    def _group(self) -> click.Group:
        from archive_tools.cli import archive

        return archive

    def get_help(self, ctx: click.Context) -> str:
        return self._group.get_help(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self._group.list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._group.get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        return self._group.invoke(ctx)


archive = _ArchiveTools("archive", short_help="Query, prove, complete and use the archive.")


def register(app: Flask) -> None:
    """Give the application the commands."""
    for command in (send_event, doctor, archive):
        app.cli.add_command(command)


def commands_app() -> Flask | None:
    """Return an application without the service for a command that needs none, else None.

    `flask` looks for a command in the application, and with a configuration that the service
    refuses there would be none: the doctor has to come up all the same, and the archive's tools
    also where there is no service.
    """
    if command_name(sys.argv[1:]) not in (doctor.name, archive.name):
        return None
    return Flask(__name__, static_folder=None)


def command_name(words: list[str]) -> str | None:
    """Return the first word that is neither an option of `flask` nor its value."""
    remaining = iter(words)
    for word in remaining:
        if word in ("-A", "--app", "-e", "--env-file"):
            next(remaining, None)
        elif not word.startswith("-"):
            return word
    return None

"""What `flask` can do beside serving: `flask send-event` delivers a signed event by hand."""

import http.client
from typing import BinaryIO

import click
from flask import current_app
from flask.cli import with_appcontext

from .sender import deliver, sign
from .settings import Settings


@click.command("send-event")
@click.argument("file", type=click.File("rb"))
@click.option("--url", help="Where to; by default this service's own endpoint on this machine.")
@with_appcontext
def send_event(file: BinaryIO, url: str | None) -> None:
    r"""Sign FILE, a JSON event (- for standard input), and deliver it as Stripe would.

    It is signed with the first secret of STRIPE_WEBHOOK_SECRET and sent byte for byte.

    \b
    Example:
        flask send-event demo/events/invoice.paid.json
    """
    settings: Settings = current_app.extensions["settings"]
    url = url or f"http://localhost:{settings.port}/webhook/stripe"
    body = file.read()
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

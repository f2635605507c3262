"""The entry point of gunicorn and of the `flask` command."""

import sys

import click
from flask import Flask

from webhook_app import create_app
from webhook_app.cli import commands
from webhook_app.monitoring import logs
from webhook_app.settings import Settings, SettingsError


def _service() -> Flask:
    try:
        settings = Settings.from_environ()
    except SettingsError as error:
        sys.exit(str(error))
    logs.configure(settings)
    app = create_app(settings)
    if click.get_current_context(silent=True):
        app.cli.add_command(commands.send_event)
        app.cli.add_command(commands.doctor)
        app.cli.add_command(commands.archive)
    return app


app = commands.commands_app() or _service()

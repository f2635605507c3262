"""The entry point of gunicorn and of the `flask` command."""

import sys

import click
from flask import Flask

from webhook_app import create_app
from webhook_app.environ import SettingsError
from webhook_app.monitoring import logs
from webhook_app.settings import Settings


def _service() -> Flask:
    try:
        settings = Settings.from_environ()
    except SettingsError as error:
        sys.exit(str(error))
    logs.configure(settings)
    return create_app(settings)


def _with_commands() -> Flask:
    # imported here: a serving process has no use for the doctor and the archive's tools
    from webhook_app.cli import commands

    app = commands.commands_app() or _service()
    commands.register(app)
    return app


app = _with_commands() if click.get_current_context(silent=True) else _service()

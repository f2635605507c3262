"""The entry point of gunicorn and of the `flask` command."""

import sys

from webhook_app import create_app, logs
from webhook_app.settings import Settings, SettingsError

try:
    settings = Settings.from_environ()
except SettingsError as error:
    sys.exit(str(error))
logs.configure(settings)
app = create_app(settings)

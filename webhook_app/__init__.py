"""Receives Stripe's webhooks and archives each before it answers. `create_app` wires the parts."""

from flask import Flask

from .monitoring.counters import Counters
from .settings import Settings
from .storage.archive import Archive
from .storage.firehose import FirehoseArchive
from .storage.local import LocalArchive
from .web import errors, health, webhook


def create_app(settings: Settings | None = None, archive: Archive | None = None) -> Flask:
    """Return the application.

    Args:
        settings: what to run with; read from the environment when left out.
        archive: where records go; the one that the settings name when left out.

    Raises:
        SettingsError: the environment is not fit to start with.
    """
    settings = settings or Settings.from_environ()
    app = Flask(__name__, static_folder=None)
    # OPTIONS is a wrong method like any other and a doubled slash a wrong path: left to Flask,
    # the one gets an empty page and the other a redirect
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    app.extensions["settings"] = settings
    counters = Counters() if settings.counts else None
    app.extensions["counters"] = counters
    app.extensions["archive"] = archive or open_archive(settings, counters)
    app.register_blueprint(health.bp)
    app.register_blueprint(webhook.bp)
    if counters:
        # imported here: where nobody can ask, Prometheus's client is not even loaded
        from .monitoring.metrics import bp

        app.register_blueprint(bp)
    app.register_error_handler(Exception, errors.from_exception)
    return app


def open_archive(settings: Settings, counters: Counters | None = None) -> Archive:
    """Return the archive that the settings name; `counters` are told of its retries."""
    if settings.archive_dir:
        return LocalArchive(settings.archive_dir)
    return FirehoseArchive(settings, counters.count_retries if counters else lambda _: None)

"""Receives Stripe's webhooks and archives each before it answers. `create_app` wires the parts.

Flask and boto3 are imported when the application is made, not with the package: the archive's
tools use `webhook_app.events` in many processes, and need neither.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from .monitoring.counters import Counters
    from .settings import Settings
    from .storage.archive import Archive


def create_app(settings: "Settings | None" = None, archive: "Archive | None" = None) -> "Flask":
    """Return the application.

    Args:
        settings: what to run with; read from the environment when left out.
        archive: where records go; the one that the settings name when left out.

    Raises:
        SettingsError: the environment is not fit to start with.
    """
    from .monitoring.counters import Counters
    from .settings import Settings
    from .web import health, responses, webhook
    from .web.application import Application

    settings = settings or Settings.from_environ()
    app = Application(__name__, static_folder=None)
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
        # Prometheus's client is loaded only where its endpoint is served
        from .web import metrics

        app.register_blueprint(metrics.bp)
    app.register_error_handler(Exception, responses.from_exception)
    return app


def open_archive(settings: "Settings", counters: "Counters | None" = None) -> "Archive":
    """Return the archive that the settings name; `counters` are told of its retries."""
    if settings.archive_dir:
        from .storage.local import LocalArchive

        return LocalArchive(settings.archive_dir)
    from .storage.firehose import FirehoseArchive

    return FirehoseArchive(settings, counters.count_retries if counters else lambda _: None)

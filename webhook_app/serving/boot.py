"""The checks of gunicorn's own settings before it listens, and the line that says it is ready.

`Settings` has checked the environment by then. gunicorn's command line and GUNICORN_CMD_ARGS can
still replace what gunicorn.conf.py sets, and the port can be taken.
"""

import errno
import logging
import os
import socket
import sys
import time
from typing import Any

from gunicorn import util

from ..environ import SettingsError
from ..settings import Settings

log = logging.getLogger(__name__)

# after a restart the workers of the server before may hold the port a little longer
_PORT_WAIT_S = 2.0


_settings: Settings | None = None


def read_settings() -> Settings:
    """Return the settings; at a reload, those that are in use where the new ones are unfit.

    gunicorn reads its configuration again at a SIGHUP, and ends the service if that fails.

    Raises:
        SettingsError: at the boot.
    """
    global _settings
    try:
        _settings = Settings.from_environ()
    except SettingsError as error:
        if _settings is None:
            raise
        problems = [f"{variable} {wrong}" for variable, wrong, _ in error.problems]
        fields = {"problems": problems, "fix": "correct them and reload again"}
        log.exception("Reload without the new configuration", extra={"fields": fields})
    return _settings


def check(server: Any) -> None:
    """End the process with one message if gunicorn cannot serve as it was told to.

    Raises:
        SystemExit: with the message, so that the exit status is 1.
    """
    problems = _setting_problems(server.cfg)
    if not problems and not _inherits_sockets(server.cfg):
        problems = [text for address in server.cfg.address if (text := _address_problem(address))]
    if problems:
        sys.exit("\n\n".join(["The service cannot start.", *problems]))


def announce(server: Any) -> None:
    """Log that the service is ready; in development, print how to try it."""
    settings: Settings = server.app.wsgi().extensions["settings"]
    # with reuse_port each worker makes its own
    urls = [str(listener) for listener in server.LISTENERS] or server.cfg.bind
    fields = {
        "url": ", ".join(urls),
        "archive": settings.archive_name,
        "archive_from": settings.archive_origin,
        "workers": server.cfg.workers,
        "threads": server.cfg.threads,
    }
    server.log.info("Ready", extra={"fields": fields})
    if settings.log_format == "text" and settings.archive_dir:
        port = next((a[1] for a in server.cfg.address if isinstance(a, tuple)), settings.port)
        sys.stdout.write(_hints(port, settings))
        sys.stdout.flush()


def _setting_problems(config: Any) -> list[str]:
    """Return what gunicorn was told, and its worker here cannot do, each with the fix."""
    problems = []
    if not config.worker_class.__module__.startswith("webhook_app."):
        problems.append(
            f"worker_class is {config.worker_class_str}: it would lose the limits on slow clients"
            " and the answers in JSON.\n"
            "      Fix: remove -k or --worker-class; WEB_THREADS sets the deliveries at a time."
        )
    if config.workers < 1:
        problems.append(
            f"workers is {config.workers}: nothing would be served.\n"
            "      Fix: remove -w or --workers; WEB_WORKERS sets the processes."
        )
    if config.certfile or config.keyfile:
        problems.append(
            "certfile or keyfile is set: the worker speaks plain HTTP.\n"
            "      Fix: remove --certfile and --keyfile; end TLS in the platform's router or nginx."
        )
    if config.proxy_protocol != "off":
        problems.append(
            f"proxy_protocol is {config.proxy_protocol}: the worker does not speak it.\n"
            "      Fix: remove --proxy-protocol, and switch it off in the load balancer too."
        )
    return [f"  {problem}" for problem in problems]


def _inherits_sockets(config: Any) -> bool:
    """Whether somebody else has bound the sockets: systemd, or the master before a USR2."""
    return (
        "GUNICORN_FD" in os.environ
        or os.environ.get("LISTEN_PID") == str(os.getpid())
        or any(isinstance(address, int) for address in config.address)
        or config.reuse_port
    )


def _address_problem(address: Any) -> str:
    """Return why an address cannot be listened on, with the fix; empty if it is free."""
    if not isinstance(address, tuple):
        return ""
    host, port = address
    deadline = time.monotonic() + _PORT_WAIT_S
    while error := _bind_error(host, port):
        if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    if error is None:
        return ""
    if error.errno == errno.EADDRINUSE:
        wrong = f"Port {port} is in use on {host}."
        fix = f"choose another, as in PORT={port % 65_535 + 1}, or stop what uses this one."
    elif error.errno == errno.EACCES:
        wrong = f"Port {port} is not for this user."
        fix = "choose one above 1023, as in PORT=3001."
    else:
        wrong = f"{host} is not an address to listen on: {error.strerror}."
        fix = "set BIND_HOST to an address of this machine, as 0.0.0.0 for all of them."
    return f"  {wrong}\n      Fix: {fix}"


def _bind_error(host: str, port: int) -> OSError | None:
    family = socket.AF_INET6 if util.is_ipv6(host) else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # as gunicorn does: connections of the server before may still be closing
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return error
    return None


def _hints(port: int, settings: Settings) -> str:
    other_port = "" if port == Settings.port else f"PORT={port} "
    return f"""
  The service is ready on http://localhost:{port}; Ctrl-C stops it. In another terminal, try

      {other_port}.venv/bin/flask send-event examples/events/invoice.paid.json
      curl http://localhost:{port}/health

  Events go to the folder '{settings.archive_dir}'. With Stripe's CLI, real ones do:

      stripe listen --forward-to localhost:{port}/webhook/stripe

  The secret that it prints goes into .env as STRIPE_WEBHOOK_SECRET; then start this again.

"""

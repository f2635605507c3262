"""How gunicorn runs the service.

https://docs.gunicorn.org/en/stable/settings.html
"""

import gc
import sys
from typing import Any

from webhook_app.environ import SettingsError
from webhook_app.monitoring.logs import configuration
from webhook_app.serving import boot
from webhook_app.serving.capacity import memory_limit_bytes, worker_count
from webhook_app.serving.prewarm import prewarm
from webhook_app.serving.signals import hold_stop_signals

try:
    _settings = boot.read_settings()
except SettingsError as _error:
    # here, in the master: in a worker it would be started again and again
    sys.exit(str(_error))

bind = _settings.bind
workers = _settings.workers or worker_count(memory_limit_bytes())
threads = _settings.threads
worker_class = "webhook_app.serving.worker.BufferingWorker"
# one copy of the code and of the AWS clients, shared by all workers: 7 MB each instead of 45
preload_app = True

# one request a connection, with threads as with sync workers: nothing can hide behind a request
keepalive = 0

# above the archive's whole budget, which is below 10 s: no worker is ended while it waits for it
timeout = 30
# what is in flight finishes, and all is over before Heroku and Render kill, 30 s after SIGTERM
graceful_timeout = 20

# nothing here uses it
control_socket_disable = True

# every delivery logs a line of its own; gunicorn's lines come out in the same form
accesslog = None
logconfig_dict = configuration(_settings)


def on_starting(server: Any) -> None:
    """Before it listens: refuse what the command line asks for and the worker cannot do."""
    boot.check(server)


def when_ready(server: Any) -> None:
    """Before the first fork: prewarm, and keep the garbage collector off what all workers share.

    Its first full run, after some thousand deliveries, would write into every object's header and
    so give each worker a copy of its own: 18 MB, measured.
    https://docs.python.org/3/library/gc.html#gc.freeze
    """
    prewarm(server.app.wsgi())
    gc.collect()
    gc.freeze()
    boot.announce(server)


def pre_fork(server: Any, worker: Any) -> None:
    """In the master: give the next worker its own row to count in, and lose no signal to it."""
    if counters := server.app.wsgi().extensions["counters"]:
        counters.open_row(worker.age)
    hold_stop_signals()


def child_exit(server: Any, worker: Any) -> None:
    """In the master, however a worker ended: it is busy no more."""
    if counters := server.app.wsgi().extensions["counters"]:
        counters.close_row(worker.age)

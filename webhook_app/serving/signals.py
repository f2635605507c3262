"""No signal is lost between the fork of a worker and the moment it has handlers of its own.

A worker starts with the master's handlers, until gunicorn calls its `init_signals`. A SIGTERM
between the two would only reach the copy of the master's queue, and the worker would serve on until
it is killed. So the signals are blocked around the fork, and wait for the worker's handlers.
"""

import os
import signal

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def hold_stop_signals() -> None:
    """Block the signals that stop a worker: for gunicorn's `pre_fork` hook, in the master."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)


def release_stop_signals() -> None:
    """Let them through: in the worker once it is ready; in the master after the fork."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)


os.register_at_fork(after_in_parent=release_stop_signals)

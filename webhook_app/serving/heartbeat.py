"""The sign of life that a worker gives and gunicorn's master looks at, in memory that they share.

gunicorn uses a temporary file. A full or vanished folder, or a process without a free descriptor,
would then keep a new worker from starting, and gunicorn ends the service with it.
"""

import mmap
import os
import struct
import time
from typing import Any

_SECONDS = struct.Struct("d")


class Heartbeat:
    """Takes the place of gunicorn.workers.workertmp.WorkerTmp, with the same methods."""

    def __init__(self, cfg: Any) -> None:
        """Begin in the master, before the fork: it counts as a first sign of life."""
        self._memory = mmap.mmap(-1, _SECONDS.size)
        self.notify()

    def notify(self) -> None:
        """Give a sign of life."""
        _SECONDS.pack_into(self._memory, 0, time.monotonic())

    def last_update(self) -> float:
        """Return when the last one was given, of `time.monotonic`."""
        return float(_SECONDS.unpack_from(self._memory)[0])

    def fileno(self) -> int:
        """Return a descriptor for gunicorn to mark; there is none to protect."""
        return os.open(os.devnull, os.O_RDONLY)

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()

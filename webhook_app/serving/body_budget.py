"""How many bytes of large bodies all workers together hold, so that no client decides their memory.

Each slot is a byte of a file that exists in memory alone, and is taken by locking it. The kernel
gives the locks of a worker back when it ends, also after a kill -9. A lock belongs to a process
and is not inherited, so the file is opened before the fork.
https://man7.org/linux/man-pages/man2/fcntl.2.html (advisory record locking)
"""

import ctypes
import fcntl
import os
import tempfile
from collections.abc import Iterator

#: Bodies up to this size need no slot. Most events of Stripe's are smaller.
SMALL_BODY_BYTES = 32_768
SLOT_BYTES = 131_072
#: What all workers hold together, in bodies of the largest size. The application takes four times
#: as much for a body that it works on, and the sizing in `capacity` leaves room for that.
LARGEST_BODIES = 2

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


class BodyBudget:
    """The slots, as one worker sees them. Safe for threads of the worker that give slots back."""

    def __init__(self, max_body_bytes: int) -> None:
        """Take part in the budget of all workers, for bodies of up to that size."""
        self._slots = LARGEST_BODIES * max(1, slots_for(max_body_bytes))
        self._own: set[int] = set()

    def take(self, slots: list[int], body_bytes: int) -> bool:
        """Add to `slots` what a body of that size needs; take none where some are missing."""
        missing = slots_for(body_bytes) - len(slots)
        taken: list[int] = []
        if missing > 0:
            for slot in self._free():
                taken.append(slot)
                if len(taken) == missing:
                    break
            else:
                self.give_back(taken)
                return False
        slots += taken
        return True

    def give_back(self, slots: list[int]) -> None:
        """Let others have these slots."""
        while slots:
            slot = slots.pop()
            fcntl.lockf(_FILE, fcntl.LOCK_UN, 1, slot)
            self._own.discard(slot)

    def _free(self) -> Iterator[int]:
        """Take and yield one free slot after the other."""
        for slot in range(self._slots):
            # to lock what the process has locked already would succeed
            if slot in self._own:
                continue
            try:
                fcntl.lockf(_FILE, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
            except OSError:
                continue
            self._own.add(slot)
            yield slot


def slots_for(body_bytes: int) -> int:
    """Return how many slots a body of that size needs."""
    return 0 if body_bytes <= SMALL_BODY_BYTES else -(-body_bytes // SLOT_BYTES)


def _file_in_memory() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("body-budget")
    return os.dup(tempfile.TemporaryFile().fileno())


_FILE = _file_in_memory()


def return_large_blocks() -> None:
    """Have the C library give large blocks back to the system as soon as they are free.

    glibc learns from a freed block of 4 MB to keep the next ones: each worker that has once had a
    large body would keep its memory. Elsewhere this does nothing.
    https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, SLOT_BYTES)
        # set with it, or each event would give its memory back and fetch it again
        mallopt(_M_TRIM_THRESHOLD, 2 * SLOT_BYTES)
        # threads share one heap: only one of them runs Python at a time
        mallopt(_M_ARENA_MAX, 1)

"""A circuit breaker that all workers share: an archive that hangs is not waited for by each."""

import ctypes
import logging
import mmap
import time

from .archive import ArchiveError

log = logging.getLogger(__name__)

#: Writes in a row that have to time out for the breaker to open.
MAX_TIMEOUTS = 2
#: A write that failed sooner held nobody up. It is above the longest wait between two tries.
SLOW_S = 1.2


class _State(ctypes.Structure):
    timeouts: int
    probe_ends: float
    _fields_ = (("timeouts", ctypes.c_int64), ("probe_ends", ctypes.c_double))


class Breaker:
    """Open after `MAX_TIMEOUTS` writes in a row, of any worker; closed by the next answer.

    While it is open one write at a time, of all workers, tries the archive, and the others fail at
    once. Nothing is locked. Two workers at the same microsecond can count one time-out instead of
    two, try both, or log twice; a wrong count costs a delivery that Stripe repeats.
    """

    def __init__(self, probe_s: float) -> None:
        """Begin closed. A process that is forked from here shares the state.

        `probe_s` is how long a write may take that tries the archive.
        """
        self._probe_s = probe_s
        self._state = _State.from_buffer(mmap.mmap(-1, ctypes.sizeof(_State)))

    def admit(self, deadline: float) -> float:
        """Return the deadline of a write that may begin: an earlier one while this is open.

        Raises:
            ArchiveError: another write is trying the archive.
        """
        state = self._state
        if state.timeouts < MAX_TIMEOUTS:
            return deadline
        now = time.monotonic()
        # the time also ends the try of a worker that was killed; it is the clock of the machine
        if now < state.probe_ends:
            raise ArchiveError("the archive does not answer; one delivery at a time tries it")
        state.probe_ends = min(deadline, now + self._probe_s)
        return state.probe_ends

    def answered(self) -> None:
        """Note that the archive has answered, whatever it said."""
        state = self._state
        if state.timeouts:
            was_open = state.timeouts >= MAX_TIMEOUTS
            state.timeouts, state.probe_ends = 0, 0.0
            if was_open:
                log.warning("The archive answers again: all deliveries are written")

    def unanswered(self, started: float, deadline: float) -> None:
        """Note that a write has ended without an answer, and the deadline that it had."""
        state, now = self._state, time.monotonic()
        # a write that had little time from the beginning says nothing about the archive
        cut_short = now >= deadline and deadline - started < 0.9 * self._probe_s
        if now - started > SLOW_S and not cut_short:
            timeouts = state.timeouts + 1
            state.timeouts = timeouts
            if timeouts == MAX_TIMEOUTS:
                log.error("The archive does not answer: one delivery at a time tries it")
        if state.probe_ends == deadline:
            state.probe_ends = 0.0

"""The accounts of processes, against processes that take what is known."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.bench.processes import cpu, family, pss_mb
from tests.bench.stand_in import stand_in
from tests.support.service import PROJECT


def started(code: str) -> "subprocess.Popen[bytes]":
    """A Python process that has written a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.readline()
    return process


def test_cpu_is_counted_of_the_process_its_children_and_those_that_ended() -> None:
    """0.4 s each: in the process, in a child that lives, in one that has ended, user and system."""
    process = started(
        """
        import os, sys, time

        def burn(seconds, work):
            while time.process_time() < seconds:
                work()

        if not os.fork():
            burn(0.4, lambda: sum(range(1000)))
            os._exit(0)
        os.wait()
        reading, writing = os.pipe()
        if not os.fork():
            burn(0.4, lambda: os.stat("/"))
            os.write(writing, b"x")
            time.sleep(60)
        os.read(reading, 1)
        burn(time.process_time() + 0.4, lambda: sum(range(1000)))
        print(flush=True)
        sys.stdin.read()
        """
    )
    with process:
        try:
            assert len(family(process.pid)) == 2
            # what it took to start is in there too, some 20 ms
            assert cpu(process.pid).s == pytest.approx(1.2, rel=0.15)
        finally:
            for member in reversed(family(process.pid)):
                os.kill(member, signal.SIGKILL)


def test_memory_that_is_shared_counts_once() -> None:
    """40 MB, made before two forks; in one of them another 20 MB."""
    process = started(
        """
        import os, sys, time

        shared = bytearray(os.urandom(40 * 2**20))
        reading, writing = os.pipe()
        for own in (0, 20):
            if not os.fork():
                kept = bytearray(os.urandom(own * 2**20))
                os.write(writing, b"x")
                time.sleep(60)
            os.read(reading, 1)
        print(flush=True)
        sys.stdin.read()
        """
    )
    with process:
        try:
            assert 60 <= pss_mb(process.pid) < 85
        finally:
            for member in reversed(family(process.pid)):
                os.kill(member, signal.SIGKILL)


def test_the_stand_in_ends_with_whoever_started_it() -> None:
    process = started(
        """
        import time
        from tests.bench.stand_in import stand_in

        with stand_in():
            print(flush=True)
            time.sleep(60)
        """
    )
    with process:
        _, stand_in_pid = family(process.pid)
        process.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{stand_in_pid}/cmdline").exists():
        # of one that has ended and that nobody has taken note of, the command line is empty
        if not Path(f"/proc/{stand_in_pid}/cmdline").read_bytes():
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_stand_in_ends_with_its_block() -> None:
    with stand_in() as firehose:
        assert firehose.process.poll() is None
    assert firehose.process.returncode == 0

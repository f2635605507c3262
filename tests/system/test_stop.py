"""How the service stops, also where it is told to while it starts."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.service import PROJECT, environment, free_port, procfile_command
from tests.support.stripe_client import SECRET

#: Read by every Python that starts in its folder: a child is slow to begin, as under load.
SLOW_FORK = """
import os, time
os.register_at_fork(after_in_child=lambda: time.sleep(1.5))
"""


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_that_comes_while_workers_start_is_heard_by_them(
    tmp_path: Path, stop: signal.Signals
) -> None:
    """A worker begins with the handlers of its master, which would swallow the signal."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_FORK)
    variables = {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "ARCHIVE_DIR": str(tmp_path / "archive"),
        "WEB_WORKERS": "3",
        "PYTHONPATH": str(tmp_path),
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            procfile_command(),
            cwd=PROJECT,
            env=environment(free_port(), variables),
            stdout=log,
        )
    try:
        deadline = time.monotonic() + 60
        while len(children(process.pid)) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(stop)
        started = time.monotonic()
        process.wait(timeout=60)
        # far below the 20 s after which gunicorn kills
        assert time.monotonic() - started < 10
    finally:
        process.kill()
        process.wait()


def test_a_worker_that_serves_can_be_stopped_again(tmp_path: Path) -> None:
    """No signal stays blocked after the boot: not in the master, and not in a worker."""
    variables = {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "ARCHIVE_DIR": str(tmp_path / "archive"),
        "WEB_WORKERS": "1",
    }
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            procfile_command(),
            cwd=PROJECT,
            env=environment(port, variables),
            stdout=log,
        )
    try:
        deadline = time.monotonic() + 60
        while "Booting worker" not in (tmp_path / "log").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)
        (worker,) = children(process.pid)
        for pid in (process.pid, int(worker)):
            status = Path(f"/proc/{pid}/status").read_text()
            blocked = int(status.split("SigBlk:")[1].split()[0], 16)
            assert blocked == 0
        os.kill(int(worker), signal.SIGTERM)
        while children(process.pid) in ([], [worker]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.terminate()
        process.wait(timeout=30)

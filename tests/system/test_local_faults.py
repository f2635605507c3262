"""The running service on a folder that fails: a 500, nothing lost, nothing half-written."""

import contextlib
import http.client
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.support.needs import needed
from tests.support.service import Service, running
from tests.support.stripe_client import SECRET, deliver
from tests.system.conftest import deliveries, payloads

FAILED = {"error": "Storage unavailable"}


def variables(folder: Path) -> dict[str, str]:
    return {"STRIPE_WEBHOOK_SECRET": SECRET, "ARCHIVE_DIR": str(folder), "WEB_WORKERS": "2"}


def assert_refused(service: Service, cause: str) -> None:
    answer = deliver(service.port, b'{"id": "evt_refused"}')
    assert (answer.status, answer.json) == (500, FAILED)
    line = deliveries(service)[-1]
    assert line["message"] == "Failed to persist webhook"
    assert cause in line["cause"]


def test_a_read_only_folder_is_a_500_and_heals(tmp_path: Path) -> None:
    # root may write anywhere, unless it gives that right up
    wrapper = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
    needed("setpriv", not wrapper or shutil.which("setpriv"))
    folder = tmp_path / "archive"
    with running(variables(folder), tmp_path / "log", wrapper=wrapper) as service:
        assert deliver(service.port, b"[1]").status == 200
        (day,) = folder.glob("webhooks/*/*/*")
        day.chmod(0o500)
        assert_refused(service, "Permission denied")
        day.chmod(0o700)
        assert deliver(service.port, b"[2]").status == 200
    assert sorted(payloads(folder)) == [b"[1]", b"[2]"]
    assert not list(folder.rglob("*.tmp"))


def test_a_full_disk_is_a_500_and_leaves_nothing(tmp_path: Path) -> None:
    needed("prlimit", shutil.which("prlimit"))
    folder = tmp_path / "archive"
    # files can grow to 4,000 bytes: Python ignores the signal, so a write fails as on a full disk
    with running(
        variables(folder), tmp_path / "log", wrapper=["prlimit", "--fsize=4000"]
    ) as service:
        small, large = b"[1]", os.urandom(6000).hex().encode()
        assert deliver(service.port, small).status == 200
        answer = deliver(service.port, large)
        assert (answer.status, answer.json) == (500, FAILED)
        assert deliver(service.port, b"[2]").status == 200
    assert sorted(payloads(folder)) == [b"[1]", b"[2]"]
    assert not list(folder.rglob("*.tmp"))


def test_a_folder_that_goes_away_is_a_500_and_heals(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    with running(variables(folder), tmp_path / "log") as service:
        assert deliver(service.port, b"[1]").status == 200
        folder.rename(tmp_path / "away")
        for _ in range(4):
            assert_refused(service, "No such file or directory")
        (tmp_path / "away").rename(folder)
        assert deliver(service.port, b"[2]").status == 200
    assert sorted(payloads(folder)) == [b"[1]", b"[2]"]


@pytest.mark.parametrize("round_", range(3))
def test_kill_9_in_the_middle_loses_nothing_acknowledged(tmp_path: Path, round_: int) -> None:
    folder = tmp_path / "archive"
    acknowledged: list[bytes] = []
    with running(variables(folder), tmp_path / "log") as service:
        stop = threading.Event()

        def send(name: int) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                body = b"[%d, %d, %s]" % (name, number, b"7" * 20_000)
                with contextlib.suppress(OSError, http.client.HTTPException):
                    if deliver(service.port, body).status == 200:
                        acknowledged.append(body)

        threads = [threading.Thread(target=send, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
        try:
            for kills in range(1, 6):
                deadline = time.monotonic() + 20
                while len(acknowledged) < kills * (8 + round_):
                    assert time.monotonic() < deadline
                    time.sleep(0.001)
                for worker in children.read_text().split():
                    os.kill(int(worker), signal.SIGKILL)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert deliver(service.port, b"[0]").status == 200
    # each file is whole, or reading one would have raised
    archived = payloads(folder)
    assert set(acknowledged) <= set(archived)

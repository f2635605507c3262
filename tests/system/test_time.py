"""A clock that jumps, and workers that stand still."""

import os
import signal
import threading
import time
from pathlib import Path

from tests.fakes.firehose import FakeFirehose
from tests.support.service import running
from tests.support.stripe_client import SECRET, Answer, deliver, get
from tests.system.conftest import deliveries, log_lines, payloads

#: Read by every Python that starts in its folder's name: the clock on the wall, moved by a file.
#: (libfaketime was tried; it breaks Python's sleep, which is not what is looked at here.)
MOVED_CLOCK = """
import os, pathlib, time
real, moved = time.time, pathlib.Path(os.environ["MOVED_CLOCK"])
time.time = lambda: real() + float(moved.read_text() or 0)
"""


def test_a_clock_that_jumps_refuses_for_its_time_and_loses_nothing(tmp_path: Path) -> None:
    folder, clock = tmp_path / "archive", tmp_path / "clock"
    (tmp_path / "sitecustomize.py").write_text(MOVED_CLOCK)
    clock.write_text("0")
    variables = {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "ARCHIVE_DIR": str(folder),
        "WEB_WORKERS": "2",
        "PYTHONPATH": str(tmp_path),
        "MOVED_CLOCK": str(clock),
    }

    def after_jump(to: str, body: bytes) -> int:
        clock.write_text(to)
        return deliver(service.port, body).status

    with running(variables, tmp_path / "log") as service:
        assert after_jump("0", b"[1]") == 200
        # an hour ahead, what Stripe signs now is an hour old
        assert after_jump("3600", b"[2]") == 400
        assert deliveries(service)[-1]["reason"] == "too old"
        # an hour behind, it comes from the future
        assert after_jump("-3600", b"[3]") == 400
        assert deliveries(service)[-1]["reason"] == "signed in the future"
        assert after_jump("0", b"[4]") == 200
        assert get(service.port, "/health").status == 200
        assert [line for line in log_lines(service) if line["level"] == "CRITICAL"] == []
    assert sorted(payloads(folder)) == [b"[1]", b"[4]"]


def test_workers_that_stand_still_are_replaced(tmp_path: Path) -> None:
    """Stopped in the middle of a PutRecord, past gunicorn's time-out."""
    with FakeFirehose().serving() as firehose:
        variables = {
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "FIREHOSE_DELIVERY_STREAM_NAME": "events",
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_ENDPOINT_URL_FIREHOSE": firehose.url,
            "WEB_WORKERS": "2",
            "GUNICORN_CMD_ARGS": "--timeout 3",
        }
        with running(variables, tmp_path / "log") as service:
            deliver(service.port, b"[0]")
            firehose.behaviour = "hang"
            answers: list[Answer | OSError] = []

            def send() -> None:
                try:
                    answers.append(deliver(service.port, b"[1]"))
                except OSError as error:
                    answers.append(error)

            sender = threading.Thread(target=send)
            sender.start()
            time.sleep(0.5)
            children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
            workers = children.read_text().split()
            for worker in workers:
                os.kill(int(worker), signal.SIGSTOP)
            firehose.behaviour = "ok"
            # waits in the kernel's queue for a worker
            assert deliver(service.port, b"[2]").status == 200
            sender.join()
            deadline = time.monotonic() + 15
            while set(children.read_text().split()) & set(workers):
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert isinstance(answers[0], OSError)
        assert b"[2]" in firehose.payloads()

"""While the archive hangs, one write at a time of all workers waits for it."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.fakes.firehose import FakeFirehose
from tests.integration.conftest import RECORD, soon
from webhook_app.settings import Settings
from webhook_app.storage.archive import ArchiveError
from webhook_app.storage.breaker import MAX_TIMEOUTS, Breaker
from webhook_app.storage.firehose import FirehoseArchive

WAITING = "the archive does not answer; one delivery at a time tries it"
OPENED = "The archive does not answer: one delivery at a time tries it"
CLOSED = "The archive answers again: all deliveries are written"


@pytest.fixture
def firehose() -> Iterator[FakeFirehose]:
    with FakeFirehose().serving() as fake:
        yield fake


@pytest.fixture(params=["direct", "boto3"])
def archive(
    firehose_settings: Settings,
    firehose: FakeFirehose,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> FirehoseArchive:
    monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", firehose.url)
    return FirehoseArchive(
        replace(
            firehose_settings, transport=request.param, connect_timeout_s=0.3, read_timeout_s=0.7
        )
    )


def fails(archive: FirehoseArchive) -> str:
    with pytest.raises(ArchiveError) as caught:
        archive.put(RECORD, soon())
    return str(caught.value)


def test_one_write_at_a_time_tries_an_archive_that_hangs(
    archive: FirehoseArchive, firehose: FakeFirehose, caplog: pytest.LogCaptureFixture
) -> None:
    firehose.behaviour = "hang"
    for _ in range(MAX_TIMEOUTS):
        assert "ReadTimeoutError" in fails(archive)
    calls = firehose.calls
    probe = threading.Thread(target=fails, args=(archive,))
    started = time.monotonic()
    probe.start()
    while firehose.calls == calls:
        time.sleep(0.01)
    for _ in range(50):
        assert fails(archive) == WAITING
    assert time.monotonic() - started < 0.7
    probe.join()
    # it gets the time of one try
    assert time.monotonic() - started < 1 + 0.5
    firehose.behaviour = "ok"
    for _ in range(3):
        archive.put(RECORD, soon())
    assert [message for message in caplog.messages if "archive" in message] == [OPENED, CLOSED]


@pytest.mark.parametrize("behaviour", ["AccessDeniedException", "ServiceUnavailableException"])
def test_an_answer_ends_it_whatever_it_says(
    archive: FirehoseArchive, firehose: FakeFirehose, behaviour: str
) -> None:
    firehose.behaviour = "hang"
    for _ in range(MAX_TIMEOUTS):
        fails(archive)
    firehose.behaviour = behaviour
    for _ in range(2):
        assert behaviour in fails(archive)


@pytest.mark.parametrize("behaviour", ["AccessDeniedException", "ThrottlingException", "reset"])
def test_quick_failures_do_not_open_it(
    archive: FirehoseArchive, firehose: FakeFirehose, behaviour: str
) -> None:
    firehose.behaviour = behaviour
    for _ in range(4):
        assert fails(archive) != WAITING
    firehose.behaviour = "ok"
    archive.put(RECORD, soon())


def test_a_success_between_two_time_outs_keeps_it_closed(
    archive: FirehoseArchive, firehose: FakeFirehose
) -> None:
    for behaviour in ("hang", "ok", "hang", "ok"):
        firehose.behaviour = behaviour
        with contextlib.suppress(ArchiveError):
            archive.put(RECORD, soon())
    assert len(firehose.records) == 2


def open_breaker(probe_s: float) -> Breaker:
    breaker = Breaker(probe_s)
    for _ in range(MAX_TIMEOUTS):
        started = time.monotonic() - 3
        breaker.unanswered(started, started + 9)
    return breaker


def test_a_write_that_came_with_little_time_says_nothing() -> None:
    breaker = Breaker(probe_s=4)
    for _ in range(MAX_TIMEOUTS):
        now = time.monotonic()
        breaker.unanswered(now - 2, now)
    deadline = soon(60)
    assert breaker.admit(deadline) == deadline


def in_a_child(breaker: Breaker) -> int:
    """Let a forked process begin a write, and return its id when it has."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(ArchiveError):
            breaker.admit(soon())
            os.write(write, b"x")
            time.sleep(30)
        os._exit(0)
    os.close(write)
    assert os.read(read, 1) == b"x"
    os.close(read)
    return child


def test_workers_share_it_and_one_that_is_killed_blocks_nothing() -> None:
    breaker = open_breaker(probe_s=0.5)
    began = time.monotonic()
    child = in_a_child(breaker)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with pytest.raises(ArchiveError, match=WAITING):
        breaker.admit(soon())
    time.sleep(max(0, began + 0.7 - time.monotonic()))
    assert breaker.admit(soon()) < soon(1)


def test_a_try_that_failed_makes_room_for_the_next() -> None:
    breaker = open_breaker(probe_s=30)
    deadline = breaker.admit(soon(60))
    with pytest.raises(ArchiveError):
        breaker.admit(soon(60))
    breaker.unanswered(time.monotonic(), deadline)
    breaker.admit(soon(60))
    breaker.answered()
    assert breaker.admit(deadline) == deadline

"""The real boto3 client against a Firehose that misbehaves, on a real socket."""

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.fakes.firehose import ANSWERS, BREAKS, FakeFirehose
from tests.integration.conftest import soon
from tests.support.service import free_port
from webhook_app.events.record import webhook_record
from webhook_app.settings import Settings
from webhook_app.storage.archive import ArchiveError
from webhook_app.storage.firehose import FirehoseArchive

RECORD = webhook_record(
    b'{"id": "evt_1", "email": "zoe@example.com"}',
    "t=1,v1=a",
    datetime(2026, 11, 23, 9, 3, 45, tzinfo=UTC),
)


@pytest.fixture
def firehose() -> Iterator[FakeFirehose]:
    with FakeFirehose().serving() as fake:
        yield fake


@pytest.fixture(params=["direct", "boto3"])
def firehose_settings(firehose_settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """Either way to send a PutRecord: whatever happens, they behave alike."""
    return replace(firehose_settings, transport=request.param)


@pytest.fixture
def archive(
    firehose_settings: Settings, firehose: FakeFirehose, monkeypatch: pytest.MonkeyPatch
) -> FirehoseArchive:
    monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", firehose.url)
    return FirehoseArchive(replace(firehose_settings, read_timeout_s=0.3))


def test_what_is_stored_is_the_line_of_the_record(
    archive: FirehoseArchive, firehose: FakeFirehose
) -> None:
    archive.put(RECORD, soon())
    assert firehose.records == [RECORD.line()]


@pytest.mark.parametrize("behaviour", [*ANSWERS, *BREAKS])
def test_only_a_confirmed_write_is_a_success_and_the_next_one_heals(
    archive: FirehoseArchive, firehose: FakeFirehose, behaviour: str
) -> None:
    if behaviour != "ok":
        firehose.behaviour = behaviour
        with pytest.raises(ArchiveError) as caught:
            archive.put(RECORD, soon())
        assert "zoe@example.com" not in str(caught.value)
        assert "testing" not in str(caught.value)
        firehose.behaviour = "ok"
    firehose.records.clear()
    archive.put(RECORD, soon())
    assert firehose.records == [RECORD.line()]


@pytest.mark.parametrize(
    "behaviour", ["ServiceUnavailableException", "ThrottlingException", "InternalFailure", "hang"]
)
def test_a_passing_fault_is_retried(
    archive: FirehoseArchive, firehose: FakeFirehose, behaviour: str
) -> None:
    firehose.script.append(behaviour)
    archive.put(RECORD, soon())
    assert firehose.calls == 2
    assert firehose.records == [RECORD.line()]


@pytest.mark.parametrize("behaviour", ["ServiceUnavailableException", "reset"])
def test_retries_are_counted(
    firehose_settings: Settings,
    firehose: FakeFirehose,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: str,
) -> None:
    counted: list[int] = []
    monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", firehose.url)
    archive = FirehoseArchive(replace(firehose_settings, attempts=3), counted.append)
    archive.put(RECORD, soon())
    assert sum(counted) == 0
    firehose.script.extend([behaviour, behaviour])
    archive.put(RECORD, soon())
    assert sum(counted) == 2


def test_a_lost_answer_is_a_duplicate_and_no_loss(
    archive: FirehoseArchive, firehose: FakeFirehose
) -> None:
    firehose.script.append("hang_after_store")
    archive.put(RECORD, soon())
    assert firehose.records == [RECORD.line()] * 2


def test_the_wait_that_a_server_asks_for_does_not_break_the_budget(
    archive: FirehoseArchive, firehose: FakeFirehose
) -> None:
    firehose.behaviour = "ServiceUnavailableException"  # each asks for 4 s
    started = time.monotonic()
    with pytest.raises(ArchiveError):
        archive.put(RECORD, soon())
    assert firehose.calls == 2
    assert time.monotonic() - started < 2


def test_the_cause_is_told(
    archive: FirehoseArchive, firehose: FakeFirehose, firehose_settings: Settings
) -> None:
    firehose.behaviour = "AccessDeniedException"
    with pytest.raises(ArchiveError, match="PutRecord: AccessDeniedException: Told so by the test"):
        archive.put(RECORD, soon())
    firehose.behaviour = "hang"
    with pytest.raises(ArchiveError, match="PutRecord: ReadTimeoutError"):
        archive.put(RECORD, soon())


def test_nobody_listening_is_an_error(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ArchiveError, match="EndpointConnectionError"):
        FirehoseArchive(firehose_settings).put(RECORD, soon())


def test_a_name_that_does_not_resolve_is_an_error(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", "http://firehose.invalid")
    with pytest.raises(ArchiveError, match="EndpointConnectionError"):
        FirehoseArchive(firehose_settings).put(RECORD, soon())


def test_a_connection_that_is_never_made_is_an_error_in_time(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listener whose queue is full lets no handshake finish."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        queued = socket.create_connection(address)
        monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", f"http://127.0.0.1:{address[1]}")
        archive = FirehoseArchive(replace(firehose_settings, connect_timeout_s=0.3))
        started = time.monotonic()
        with pytest.raises(ArchiveError, match="ConnectTimeoutError"):
            archive.put(RECORD, soon())
        assert time.monotonic() - started < 2 * 0.3 + 1
        queued.close()


def test_no_credentials_is_an_error_that_says_so(
    firehose_settings: Settings,
    firehose: FakeFirehose,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", firehose.url)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    archive = FirehoseArchive(firehose_settings)
    assert "No AWS credentials found" in caplog.text
    with pytest.raises(ArchiveError, match="Unable to locate credentials"):
        archive.put(RECORD, soon())

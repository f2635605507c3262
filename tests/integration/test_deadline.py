"""A write is over by its deadline, whatever the network does."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.integration.conftest import RECORD, soon
from webhook_app.settings import Settings
from webhook_app.storage.archive import ArchiveError
from webhook_app.storage.deadline import MAX_ABANDONED, call_until
from webhook_app.storage.firehose import FirehoseArchive

DEADLINE_S = 1.5
#: Scheduling, on a machine that is busy.
NOISE_S = 0.5


@pytest.fixture(params=["direct", "boto3"])
def firehose_settings(firehose_settings: Settings, request: pytest.FixtureRequest) -> Settings:
    return replace(firehose_settings, transport=request.param)


@pytest.fixture
def endpoint() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Serve each connection with a function, in a thread; return the port."""
    with contextlib.ExitStack() as stack:

        def serve(one: Callable[[socket.socket], None]) -> int:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def each(connection: socket.socket) -> None:
                with connection, contextlib.suppress(OSError):
                    one(connection)

            def accept() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = server.accept()
                        threading.Thread(target=each, args=(connection,), daemon=True).start()

            threading.Thread(target=accept, daemon=True).start()
            stack.callback(server.shutdown, socket.SHUT_RDWR)
            return int(server.getsockname()[1])

        yield serve


@pytest.fixture(autouse=True)
def no_thread_goes_on() -> Iterator[None]:
    """Wait for the threads that a test's writes have left."""
    yield
    for thread in threading.enumerate():
        if thread.name == "abandoned":
            thread.join(20)


def is_over_in_time(settings: Settings) -> None:
    archive = FirehoseArchive(settings)
    started = time.monotonic()
    with pytest.raises(ArchiveError):
        archive.put(RECORD, started + DEADLINE_S)
    assert time.monotonic() - started < DEADLINE_S + NOISE_S


def drip(connection: socket.socket, data: bytes) -> None:
    for n in range(len(data)):
        connection.sendall(data[n : n + 1])
        time.sleep(0.1)


def test_an_answer_that_drips(
    firehose_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    endpoint: Callable[[Callable[[socket.socket], None]], int],
) -> None:
    def one(connection: socket.socket) -> None:
        connection.recv(65536)
        drip(connection, b"HTTP/1.1 200 OK\r\nX: %s" % (b"x" * 30))

    monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", f"http://127.0.0.1:{endpoint(one)}")
    is_over_in_time(firehose_settings)


def test_a_handshake_that_drips(
    firehose_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    endpoint: Callable[[Callable[[socket.socket], None]], int],
) -> None:
    def one(connection: socket.socket) -> None:
        connection.recv(65536)
        # the head of a handshake record of 16 KiB
        drip(connection, b"\x16\x03\x03\x40\x00\x02" + b"\x00" * 40)

    monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", f"https://127.0.0.1:{endpoint(one)}")
    is_over_in_time(replace(firehose_settings, connect_timeout_s=1.2))


def test_six_addresses_that_are_dead(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listener whose queue is full lets no handshake finish."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with socket.create_connection(address):
            six = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)] * 6
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: six)
            monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", "http://firehose.example")
            is_over_in_time(replace(firehose_settings, connect_timeout_s=0.4))


@pytest.fixture
def hanging_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A resolver that answers nothing before the end of the test."""
    ended = threading.Event()

    def hang(*_: Any, **__: Any) -> None:
        ended.wait(30)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", "http://firehose.example")
    yield
    ended.set()


@pytest.mark.usefixtures("hanging_resolver")
def test_a_name_that_is_looked_up_for_ever(firehose_settings: Settings) -> None:
    is_over_in_time(firehose_settings)


@pytest.mark.usefixtures("hanging_resolver")
def test_the_threads_that_go_on_are_bounded(firehose_settings: Settings) -> None:
    archive = FirehoseArchive(firehose_settings)
    before = threading.active_count()
    causes = []
    for _ in range(MAX_ABANDONED + 5):
        with pytest.raises(ArchiveError) as caught:
            archive.put(RECORD, time.monotonic() + 0.02)
        causes.append(str(caught.value))
    assert threading.active_count() - before <= MAX_ABANDONED
    assert causes[0] == "PutRecord: TimeoutError: no answer in time"
    assert "calls before this one have not ended yet" in causes[-1]


def test_a_deadline_that_has_passed_sends_nothing(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", url)
        with pytest.raises(ArchiveError, match="no answer in time"):
            FirehoseArchive(firehose_settings).put(RECORD, time.monotonic() - 1)
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()


def test_what_a_call_returns_and_raises_is_passed_on() -> None:
    assert call_until(soon(), lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        call_until(soon(), lambda: 1 / 0)

"""What slow and hostile clients can do to the service, beside the table of `make strangers`."""

import contextlib
import json
import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.bench.strangers import memory_mb
from tests.fakes.firehose import FakeFirehose
from tests.support.service import (
    PROJECT,
    environment,
    free_port,
    procfile_command,
    running,
    wait_for_port,
)
from tests.support.stripe_client import SECRET, deliver, get, head, signature
from tests.system.conftest import payloads


@pytest.fixture(params=["1", "8"], ids=["one thread", "eight threads"])
def threads(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


def local(folder: Path, threads: str = "1") -> dict[str, str]:
    return {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "ARCHIVE_DIR": str(folder),
        "WEB_WORKERS": "1",
        "WEB_THREADS": threads,
    }


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /web", head("Content-Length: 100") + b"x", head("Content-Length: 5000000")],
    ids=["nothing", "half a line", "half a body", "a head that is too much"],
)
def test_clients_that_stop_half_way_hold_nobody_up(
    tmp_path: Path, threads: str, sent: bytes
) -> None:
    variables = local(tmp_path / "archive", threads)
    with running(variables, tmp_path / "log") as service, ExitStack() as stack:
        for _ in range(50):
            client = socket.create_connection(("127.0.0.1", service.port), timeout=20)
            stack.enter_context(client)
            client.sendall(sent)
        for number in range(20):
            started = time.monotonic()
            assert deliver(service.port, b"[%d]" % number).status == 200
            assert get(service.port, "/health").status == 200
            assert time.monotonic() - started < 2
    assert len(payloads(tmp_path / "archive")) == 20


def test_a_late_request_is_told_so_in_json(tmp_path: Path, threads: str) -> None:
    with running(local(tmp_path / "archive", threads), tmp_path / "log") as service:
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
            started = time.monotonic()
            client.sendall(b"POST /webhook/stripe HTTP/1.1\r\n")
            answer = b""
            while chunk := client.recv(1000):
                answer += chunk
        took_s = time.monotonic() - started
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b'{"error": "Request timeout"}')
    assert 9.5 < took_s < 13


def test_bytes_that_came_while_the_worker_was_busy_are_not_late(tmp_path: Path) -> None:
    """One worker; half a request comes, then the worker is busy past that one's deadline."""
    body = b'{"id": "evt_half"}'
    aws = {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "FIREHOSE_DELIVERY_STREAM_NAME": "events",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "ARCHIVE_CONNECT_TIMEOUT": "0.2",
        "ARCHIVE_READ_TIMEOUT": "4.2",
        "WEB_WORKERS": "1",
    }
    with FakeFirehose().serving() as firehose:
        variables = aws | {"AWS_ENDPOINT_URL_FIREHOSE": firehose.url}
        with running(variables, tmp_path / "log") as service:
            deliver(service.port, b"{}")
            request = head(f"Stripe-Signature: {signature(body)}", f"Content-Length: {len(body)}")
            with socket.create_connection(("127.0.0.1", service.port), timeout=30) as half:
                half.sendall(request + body[:5])
                time.sleep(3)
                # 2 x 4.2 s: from 3 s to 11.4 s after the half request began
                firehose.behaviour = "hang"
                busy = socket.create_connection(("127.0.0.1", service.port), timeout=30)
                busy.sendall(
                    head(f"Stripe-Signature: {signature(b'1')}", "Content-Length: 1") + b"1"
                )
                time.sleep(2)
                half.sendall(body[5:])
                assert b" 500 " in busy.recv(1000)
                firehose.behaviour = "ok"
                busy.close()
                assert b" 200 " in half.recv(1000)
        assert body in firehose.payloads()


def test_unfinished_bodies_take_no_more_memory_than_they_may(tmp_path: Path, threads: str) -> None:
    """One worker holds four of the largest; forty of them begin, and none ends."""
    with (
        running(local(tmp_path / "archive", threads), tmp_path / "log") as service,
        ExitStack() as stack,
    ):
        deliver(service.port, b"x" * 4_000_000)
        before = memory_mb(service)
        for _ in range(40):
            client = socket.create_connection(("127.0.0.1", service.port), timeout=20)
            stack.enter_context(client)
            # the longest-waiting is sent away while it is still talking
            with contextlib.suppress(ConnectionError):
                client.sendall(head("Content-Length: 4000001") + b"x" * 4_000_000)
        assert deliver(service.port, b'{"id": "evt_1"}').status == 200
        assert memory_mb(service) - before < 40
    assert b'{"id": "evt_1"}' in payloads(tmp_path / "archive")


def test_a_log_that_nobody_reads_does_not_stop_the_service(tmp_path: Path) -> None:
    """The pipe of standard output is full after 64 KiB."""
    reading, writing = os.pipe()
    folder, port = tmp_path / "archive", free_port()
    process = subprocess.Popen(
        procfile_command(), cwd=PROJECT, env=environment(port, local(folder)), stdout=writing
    )
    os.close(writing)
    try:
        wait_for_port(port)
        bodies = [b'{"id": "evt_%d"}' % number for number in range(400)]
        assert {deliver(port, body).status for body in bodies} == {200}
        with os.fdopen(reading, "rb") as log:
            first = [json.loads(log.readline()) for _ in range(100)]
            assert first[-1]["message"] == "Webhook archived"
            # there is room again, and the next line says what is missing
            assert deliver(port, b'{"id": "evt_last"}').status == 200
            process.terminate()
            lines = [json.loads(line) for line in log]
        (said,) = (line for line in lines if "lines_dropped_before" in line)
        assert said["event_id"] == "evt_last"
        assert said["lines_dropped_before"] > 50
    finally:
        process.terminate()
        process.wait(timeout=20)
    assert len(payloads(folder)) == 401


def test_a_client_that_is_refused_while_it_talks_is_not_reset(tmp_path: Path, threads: str) -> None:
    """Not every system's sockets still give out an answer behind which a reset has come."""
    with (
        running(local(tmp_path / "archive", threads), tmp_path / "log") as service,
        ExitStack() as stack,
    ):
        client = socket.create_connection(("127.0.0.1", service.port), timeout=20)
        stack.enter_context(client)
        client.sendall(head("Content-Length: 5000000"))
        for _ in range(4):
            client.sendall(b"x" * 10_000)
            time.sleep(0.1)
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_stopped_service_refuses_and_does_not_reset(tmp_path: Path, threads: str) -> None:
    """While a request in flight keeps it alive, nobody else is let in."""
    folder, body = tmp_path / "archive", b'{"id": "evt_last"}'
    with running(local(folder, threads), tmp_path / "log") as service:
        get(service.port, "/health")
        request = head(f"Stripe-Signature: {signature(body)}", f"Content-Length: {len(body)}")
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as half:
            half.sendall(request)
            time.sleep(0.3)
            service.process.terminate()
            time.sleep(0.5)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", service.port), timeout=5)
            half.sendall(body)
            assert b" 200 " in half.recv(1000)
        assert service.process.wait(timeout=10) == 0
    assert payloads(folder) == [body]


#: Read by every Python that starts in its folder: a system without epoll, such as macOS.
NO_EPOLL = """
import select, socket
for name in [name for name in dir(select) if name.lower().startswith("epoll")]:
    delattr(select, name)
del socket.TCP_DEFER_ACCEPT
"""


def test_it_serves_where_there_is_no_epoll(tmp_path: Path, threads: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_EPOLL)
    variables = local(tmp_path / "archive", threads) | {
        "WEB_WORKERS": "3",
        "PYTHONPATH": str(tmp_path),
    }
    with running(variables, tmp_path / "log") as service, ExitStack() as stack:
        for _ in range(10):
            idle = socket.create_connection(("127.0.0.1", service.port), timeout=20)
            stack.enter_context(idle)
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda n: deliver(service.port, b"[%d]" % n), range(100))
            assert {answer.status for answer in answers} == {200}
    assert len(payloads(tmp_path / "archive")) == 100

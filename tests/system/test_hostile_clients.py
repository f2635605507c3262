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

from tests.bench.processes import cpu
from tests.bench.strangers import memory_mb
from tests.fakes.firehose import FakeFirehose
from tests.support.service import (
    PROJECT,
    Service,
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
        "ARCHIVE_READ_TIMEOUT": "3.6",
        "WEB_WORKERS": "1",
    }
    with FakeFirehose().serving() as firehose:
        variables = aws | {"AWS_ENDPOINT_URL_FIREHOSE": firehose.url}
        with running(variables, tmp_path / "log") as service:
            deliver(service.port, b"{}")
            request = head(f"Stripe-Signature: {signature(body)}", f"Content-Length: {len(body)}")
            with socket.create_connection(("127.0.0.1", service.port), timeout=30) as half:
                half.sendall(request + body[:5])
                time.sleep(4)
                # 2 x 3.6 s and a pause: from 4 s to at least 11.2 s after the half request began
                firehose.behaviour = "hang"
                busy = socket.create_connection(("127.0.0.1", service.port), timeout=30)
                busy.sendall(
                    head(f"Stripe-Signature: {signature(b'1')}", "Content-Length: 1") + b"1"
                )
                time.sleep(5)
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


CHUNKED = head("Transfer-Encoding: chunked")

#: What a client sends first, and then for as long as it is listened to.
FLOODS = {
    "chunks of a byte": (CHUNKED, b"1\r\nx\r\n" * 10_000),
    "a trailer": (CHUNKED + b"1\r\nx\r\n0\r\nX: ", b"a" * 60_000),
    "trailers": (CHUNKED + b"1\r\nx\r\n0\r\n", b"a:b\r\n" * 10_000),
    "a chunk size": (CHUNKED + b"1", b"0" * 60_000),
    "chunk extensions": (CHUNKED + b"1;", b"a" * 60_000),
    "a head": (b"POST / HTTP/1.1\r\nX: ", b"a" * 60_000),
    "line ends": (b"", b"\r\n" * 30_000),
}


@pytest.mark.parametrize("name", FLOODS)
def test_what_never_ends_costs_little_and_is_answered(tmp_path: Path, name: str) -> None:
    """A client sends 12 MB that nobody signed: at most 0.05 s of CPU for each."""
    start, more = FLOODS[name]
    sent = 0
    with (
        running(local(tmp_path / "archive"), tmp_path / "log") as service,
        socket.create_connection(("127.0.0.1", service.port), timeout=20) as client,
    ):
        assert get(service.port, "/health").status == 200
        before_s = cpu(worker_of(service)).s
        with contextlib.suppress(ConnectionError):
            client.sendall(start)
            while sent < 12_000_000:
                sent += client.send(more)
        with contextlib.suppress(ConnectionError):
            assert client.recv(20)[:11] in (b"HTTP/1.1 40", b"HTTP/1.1 41", b"HTTP/1.1 43")
        assert cpu(worker_of(service)).s - before_s < 0.05 * 12
        assert deliver(service.port, b"{}").status == 200


def worker_of(service: Service) -> int:
    (worker,) = (
        Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    )
    return int(worker)


def test_large_bodies_that_arrive_together_take_turns(tmp_path: Path, threads: str) -> None:
    """Twelve of 4 MB, of which two fit into the budget: each is answered."""
    bodies = [b"[%d]%s" % (number, b" " * 4_000_000) for number in range(12)]
    with running(local(tmp_path / "archive", threads), tmp_path / "log") as service:
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda body: deliver(service.port, body).status, bodies))
        # a slow one makes room for the next, and Stripe delivers it again
        assert set(answers) <= {200, 408}
        assert answers.count(200) >= 2
        assert deliver(service.port, bodies[0]).status == 200


def test_a_client_is_told_once_to_continue(tmp_path: Path, threads: str) -> None:
    body = b'{"id": "evt_1"}'
    lines = (
        "Expect: 100-continue",
        f"Stripe-Signature: {signature(body)}",
        f"Content-Length: {len(body)}",
    )
    with (
        running(local(tmp_path / "archive", threads), tmp_path / "log") as service,
        socket.create_connection(("127.0.0.1", service.port), timeout=20) as client,
    ):
        client.sendall(head(*lines))
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body[:5])
        time.sleep(0.2)
        client.sendall(body[5:])
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_line_end_behind_the_body_does_not_reset_the_answer(tmp_path: Path, threads: str) -> None:
    body = b'{"id": "evt_1"}'
    lines = (f"Stripe-Signature: {signature(body)}", f"Content-Length: {len(body)}")
    with FakeFirehose().serving() as firehose:
        firehose.latency_s = 0.3
        variables = local(tmp_path, threads) | {
            "ARCHIVE_DIR": "",
            "FIREHOSE_DELIVERY_STREAM_NAME": "events",
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_ENDPOINT_URL_FIREHOSE": firehose.url,
        }
        with (
            running(variables, tmp_path / "log") as service,
            socket.create_connection(("127.0.0.1", service.port), timeout=20) as client,
        ):
            client.sendall(head(*lines) + body)
            time.sleep(0.1)
            client.sendall(b"\r\n")
            time.sleep(0.5)
            answer = b""
            # a reset would be an exception
            while chunk := client.recv(1000):
                answer += chunk
    assert answer.startswith(b"HTTP/1.1 200 ")


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

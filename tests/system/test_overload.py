"""More deliveries than workers, and an archive that hangs: each is answered in time."""

import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fakes.firehose import FakeFirehose
from tests.support.service import Service, running
from tests.support.stripe_client import SECRET, deliver, get, head, signature
from tests.system.conftest import deliveries

#: In which each delivery has to be answered, counted from its last byte.
LIMIT_S = 10.0
HEALTH_LIMIT_S = 1.0


@pytest.fixture(params=["1", "4"], ids=["one thread", "four threads"])
def overloaded(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Service, FakeFirehose]]:
    """One worker, in front of a Firehose of the test's own."""
    with FakeFirehose().serving() as firehose:
        variables = {
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "FIREHOSE_DELIVERY_STREAM_NAME": "events",
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_ENDPOINT_URL_FIREHOSE": firehose.url,
            "WEB_WORKERS": "1",
            "WEB_THREADS": request.param,
        }
        with running(variables, tmp_path / "log") as service:
            assert deliver(service.port, b"{}").status == 200
            yield service, firehose


def test_every_delivery_is_answered_in_time_while_the_archive_hangs(
    overloaded: tuple[Service, FakeFirehose],
) -> None:
    """Ten times as many as can be worked on at once; /health does not wait for any of them."""
    service, firehose = overloaded
    firehose.behaviour = "hang"
    over = threading.Event()
    health_s: list[float] = []

    def ask() -> None:
        while not over.wait(0.2):
            started = time.monotonic()
            assert get(service.port, "/health").status == 200
            health_s.append(time.monotonic() - started)

    def send(number: int) -> tuple[int, float]:
        started = time.monotonic()
        status = deliver(service.port, b"[%d]" % number).status
        return status, time.monotonic() - started

    with ThreadPoolExecutor(41) as pool:
        asking = pool.submit(ask)
        answers = list(pool.map(send, range(40)))
        over.set()
        asking.result()
    assert {status for status, _ in answers} == {500}
    assert max(took_s for _, took_s in answers) < LIMIT_S
    assert max(health_s) < HEALTH_LIMIT_S
    causes = Counter(line["cause"] for line in deliveries(service) if line["outcome"] == "failed")
    assert causes.total() == 40
    firehose.behaviour = "ok"
    # one delivery at a time tries an archive that hung, and one of those may still be waiting
    deadline = time.monotonic() + 5
    while deliver(service.port, b"[50]").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert {send(number)[0] for number in range(60, 80)} == {200}


def test_health_is_answered_while_deliveries_queue(
    overloaded: tuple[Service, FakeFirehose],
) -> None:
    """The archive works, and takes longer than deliveries leave it.

    /health then waits in the queue with them, for less than the 5 s that platforms allow it.
    """
    service, firehose = overloaded
    firehose.latency_s = 0.2
    with ThreadPoolExecutor(64) as pool:
        answers = [pool.submit(deliver, service.port, b"[%d]" % number) for number in range(64)]
        time.sleep(0.5)
        while not all(answer.done() for answer in answers):
            started = time.monotonic()
            assert get(service.port, "/health").status == 200
            assert time.monotonic() - started < 5
            time.sleep(0.05)
        statuses = Counter(answer.result().status for answer in answers)
    # what could not be written in time was not begun
    assert set(statuses) <= {200, 500}
    assert statuses[200] >= 15
    assert len(firehose.records) == 1 + statuses[200]


def test_nothing_is_written_for_clients_that_have_reset(
    overloaded: tuple[Service, FakeFirehose],
) -> None:
    service, firehose = overloaded
    firehose.latency_s = 1.0
    gone = []
    for number in range(12):
        body = b"[%d]" % number
        client = socket.create_connection(("127.0.0.1", service.port), timeout=20)
        lines = (f"Stripe-Signature: {signature(body)}", f"Content-Length: {len(body)}")
        client.sendall(head(*lines) + body)
        gone.append(client)
    time.sleep(0.5)
    for client in gone:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    firehose.latency_s = 0.0
    assert deliver(service.port, b"[99]").status == 200
    # the first, those in the threads when the clients went, and the last
    assert len(firehose.records) <= 1 + 4 + 1

"""The load generator against servers of known conduct: does it count and clock what happens?"""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.bench.deliveries import event_body, request
from tests.bench.load import Load, closed_loop, open_loop
from tests.support.service import free_port

REQUESTS = [request(event_body(number)) for number in range(3)]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Callable[[int], tuple[int, bool]]) -> None:
        """`answer` gets the number of a request; it returns its status and whether to close."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.connections = self.requests = 0
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert len(body) == 5_000
        with self.server.lock:
            self.server.requests += 1
            number = self.server.requests
        status, close = self.server.answer(number)
        self.send_response(status)
        self.send_header("Content-Length", "2")
        if close:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None:
        """Keep the tests' output to the tests."""


@contextlib.contextmanager
def serving(answer: Callable[[int], tuple[int, bool]]) -> Iterator[Server]:
    server = Server(answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("close", [False, True])
def test_a_connection_is_kept_where_the_server_lets_it(close: bool) -> None:
    with serving(lambda number: (200, close)) as server:
        load = asyncio.run(closed_loop(server.server_port, REQUESTS, clients=4, seconds=0.3))
        assert len(load.took_s) == server.requests > 8
        assert load.errors == 0
        assert server.connections == (server.requests if close else 4)


def test_each_client_waits_for_its_answer() -> None:
    def answer(number: int) -> tuple[int, bool]:
        time.sleep(0.05)
        return 200, False

    with serving(answer) as server:
        load = asyncio.run(closed_loop(server.server_port, REQUESTS, clients=4, seconds=0.5))
        assert 40 < load.events_per_s <= 80
        assert 50 <= load.ms(0) < 100


def test_anything_but_a_200_is_an_error() -> None:
    with serving(lambda number: (500 if number % 2 else 200, False)) as server:
        load = asyncio.run(closed_loop(server.server_port, REQUESTS, clients=1, seconds=0.2))
        assert abs(load.errors - len(load.took_s)) <= 1
        assert load.errors > 1


def test_a_service_that_is_not_there_gives_errors_and_no_exception() -> None:
    load = asyncio.run(open_loop(free_port(), REQUESTS, rate=20, seconds=0.2))
    assert (len(load.took_s), load.errors) == (0, 4)


def test_an_open_loop_goes_on_while_the_service_stands_still() -> None:
    """Everything waits from the start to 0.6 s: who came at 0.3 s has waited for 0.3 s."""
    with serving(lambda number: (200, False)) as server:
        ends = time.monotonic() + 0.6

        def answer(number: int) -> tuple[int, bool]:
            time.sleep(max(0.0, ends - time.monotonic()))
            return 200, False

        server.answer = answer
        load = asyncio.run(open_loop(server.server_port, REQUESTS, rate=50, seconds=1))
        assert len(load.took_s) == server.requests == 50
        assert load.ms(1) > 500
        assert 200 < load.ms(0.7) < 450


def test_percentiles_are_of_what_was_acknowledged() -> None:
    load = Load(seconds=2, took_s=[number / 1000 for number in range(100, 0, -1)], errors=7)
    assert load.events_per_s == 50
    assert (load.ms(0.5), load.ms(0.99), load.ms(0.999)) == (51, 100, 100)


def test_percentiles_of_nothing_are_infinite() -> None:
    assert Load(seconds=1, errors=3).ms(0.5) == math.inf

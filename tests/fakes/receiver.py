"""An endpoint on loopback that checks signatures as its owner would, and fails when told to."""

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import stripe

SECRET = "whsec_of_the_receiver"


class Receiver:
    """What the server knows, and how a test steers it."""

    def __init__(self) -> None:
        self.accepted: list[bytes] = []
        """Bodies with a valid signature that were answered with a 2xx, in order."""
        self.signatures: list[str] = []
        """The headers of all requests."""
        self.requests = 0
        self.connections = 0
        self.most_at_once = 0
        self.health = b"<html>no such page</html>"
        self.health_path = "/health"
        self.answers: dict[str, int] = {}
        """The status for an event, by its id; 200 for all others."""
        self.script: deque[int | str | dict[str, str]] = deque()
        """What the next requests get, one each: a status, `reset`, `hang`, `ok and close`, or 429
        with headers."""
        self.latency_s = 0.0
        self.url = ""
        self.lock = threading.Lock()
        self.at_once = 0
        self._stopped = threading.Event()

    def ids(self) -> list[str]:
        """The ids of the accepted events, in order."""
        return [id_of(body) for body in self.accepted]

    @contextlib.contextmanager
    def serving(self, certificate: Path | None = None) -> Iterator["Receiver"]:
        """Serve until the block ends, on a free port; over TLS with a certificate and its key."""
        server = _Server(("127.0.0.1", 0), _Handler)
        server.receiver = self
        self.url = f"http://127.0.0.1:{server.server_port}/hook"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            self.url = f"https://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            server.shutdown()
            thread.join()
            server.server_close()

    def hang(self) -> None:
        """Wait for the end of the test."""
        self._stopped.wait(30)


def id_of(body: bytes) -> str:
    """The event's id, or the body of what is no event."""
    event = json.loads(body)
    return event["id"] if isinstance(event, dict) else body.decode()


class _Server(ThreadingHTTPServer):
    receiver: Receiver
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some of the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # an answer leaves in one piece: nothing waits for an acknowledgement
    wbufsize = 65536
    server: _Server

    def setup(self) -> None:
        super().setup()
        with self.server.receiver.lock:
            self.server.receiver.connections += 1

    def do_GET(self) -> None:
        self._answer(
            200 if self.path == self.server.receiver.health_path else 404,
            self.server.receiver.health,
        )

    def do_POST(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with receiver.lock:
            receiver.requests += 1
            receiver.at_once += 1
            receiver.most_at_once = max(receiver.most_at_once, receiver.at_once)
            told = receiver.script.popleft() if receiver.script else 200
        time.sleep(receiver.latency_s)
        with receiver.lock:
            receiver.at_once -= 1
        self._do(told, body)

    def _do(self, told: int | str | dict[str, str], body: bytes) -> None:
        receiver = self.server.receiver
        if told == "hang":
            receiver.hang()
            self.close_connection = True
        elif told == "reset":
            linger_off = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_off)
            self.close_connection = True
        elif isinstance(told, dict):
            self._answer(429, b"{}", told)
        elif told == "ok and close":
            self._answer(self._judged(body, 200), b"{}")
            # without a word of it: the client finds out by itself
            self.close_connection = True
        else:
            assert isinstance(told, int)
            self._answer(self._judged(body, told), b"{}")

    def _judged(self, body: bytes, status: int) -> int:
        """Return the status for a body, and keep it where that is a 2xx."""
        receiver = self.server.receiver
        header = self.headers["Stripe-Signature"]
        receiver.signatures.append(header)
        try:
            stripe.WebhookSignature.verify_header(body.decode(), header, SECRET, 300)
        except stripe.SignatureVerificationError:
            return 400
        status = receiver.answers.get(id_of(body), status)
        if 200 <= status < 300:
            receiver.accepted.append(body)
        return status

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        """Keep the tests' output to the tests."""

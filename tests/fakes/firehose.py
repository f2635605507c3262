"""A Firehose on loopback that stores records in a list and misbehaves when told to."""

import base64
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
from typing import Any
from uuid import uuid4

from tests.support.certificates import Certificate

RECORD_ID = "r" * 224

#: What a behaviour answers; each but `ok` and the `…_after_store` ones stores nothing.
ANSWERS: dict[str, tuple[int, bytes]] = {
    "ok": (200, json.dumps({"RecordId": RECORD_ID, "Encrypted": False}).encode()),
    "no_record_id": (200, b"{}"),
    "empty_record_id": (200, b'{"RecordId": ""}'),
    "null": (200, b"null"),
    "array": (200, b"[1]"),
    "empty": (200, b""),
    "garbage": (200, b"\xff\xfe\x00garbage"),
    "html": (200, b"<html>a proxy's page</html>"),
    "not_json_500": (500, b"\xff\xfe<html>"),
    "redirect": (301, b""),
} | {
    name: (status, json.dumps({"__type": name, "message": "Told so by the test."}).encode())
    for name, status in {
        # every error that PutRecord documents, and the common ones of all AWS services
        "InvalidArgumentException": 400,
        "InvalidKMSResourceException": 400,
        "InvalidSourceException": 400,
        "ResourceNotFoundException": 400,
        "ServiceUnavailableException": 503,
        "ThrottlingException": 400,
        "AccessDeniedException": 400,
        "ExpiredTokenException": 400,
        "UnrecognizedClientException": 400,
        "InternalFailure": 500,
    }.items()
}
#: Those that do something else than answer.
BREAKS = ["hang", "reset", "truncated", "status_2000", "reset_after_store", "hang_after_store"]
#: Those that store and confirm, in ways of their own; the last two do so on new connections alone.
CONFIRMATIONS = [
    "ok_chunked",
    "ok_1xx",
    "ok_no_length",
    "ok_twice",
    "ok_twice_late",
    "ok_late",
    "ok_dripping",
    "reset_if_kept",
    "hang_if_kept",
]


class FakeFirehose:
    """What the server knows, and how a test steers it."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.calls = 0
        self.latency_s = 0.0
        """What it takes for an answer."""
        self.read_timeout_s = 1.0
        """The client's, which `ok_late` keeps, and `ok_dripping` keeps for each read alone."""
        self.behaviour = "ok"
        """What every call gets, once `script` is used up."""
        self.script: deque[str] = deque()
        """What the next calls get, one each."""
        self.url = ""
        self._stopped = threading.Event()

    def payloads(self) -> list[bytes]:
        """The bodies stored so far."""
        return [json.loads(record)["payload"].encode() for record in self.records]

    @contextlib.contextmanager
    def serving(
        self, port: int = 0, certificate: Certificate | None = None
    ) -> Iterator["FakeFirehose"]:
        """Serve until the block ends, on a free port unless one is given, or by HTTPS."""
        server = _Server(("127.0.0.1", port), _Handler)
        server.fake = self
        if certificate:
            # the handshake is for the thread of a connection, not for the one that accepts
            server.socket = certificate.context().wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{server.server_port}"
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


class _Server(ThreadingHTTPServer):
    fake: FakeFirehose
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what half of the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    is_kept = False

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def do_POST(self) -> None:
        fake = self.server.fake
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["X-Amz-Target"] == "Firehose_20150804.PutRecord"
        assert self.headers["Authorization"].startswith("AWS4-HMAC-SHA256 ")
        fake.calls += 1
        behaviour = fake.script.popleft() if fake.script else fake.behaviour
        if behaviour.endswith("_if_kept"):
            behaviour = behaviour.removesuffix("_if_kept") if self.is_kept else "ok"
        self.is_kept = True
        if behaviour.startswith("ok") or behaviour.endswith("_after_store"):
            fake.records.append(base64.b64decode(request["Record"]["Data"]))
        time.sleep(fake.latency_s)
        if behaviour.startswith("hang"):
            fake.hang()
            self.close_connection = True
        elif behaviour.startswith("reset"):
            linger_off = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_off)
            self.close_connection = True
        elif behaviour == "truncated":
            status, body = ANSWERS["ok"]
            self._answer(status, body[:100], announced=len(body))
            self.close_connection = True
        elif behaviour == "status_2000":
            self._answer(2000, ANSWERS["ok"][1])
        elif behaviour.startswith("ok_"):
            self._confirm(behaviour)
        else:
            self._answer(*ANSWERS[behaviour])

    def _confirm(self, behaviour: str) -> None:
        status, body = ANSWERS["ok"]
        if behaviour == "ok_chunked":
            self._answer(status, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), chunked=True)
            return
        if behaviour == "ok_no_length":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: 1\r\n\r\n" + body)
            self.close_connection = True
            return
        head = f"HTTP/1.1 200 OK\r\nx-amzn-RequestId: {uuid4()}\r\n"
        answer = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        pieces, pause_s = {
            "ok_1xx": ([b"HTTP/1.1 100 Continue\r\n\r\n", answer], 0.05),
            "ok_twice": ([answer + answer], 0),
            "ok_twice_late": ([answer, answer], 0.05),
            "ok_late": ([b"", answer], 0.7 * self.server.fake.read_timeout_s),
            "ok_dripping": (
                [answer[at : at + 50] for at in range(0, len(answer), 50)],
                0.2 * self.server.fake.read_timeout_s,
            ),
        }[behaviour]
        for piece in pieces:
            self.wfile.write(piece)
            time.sleep(pause_s if piece is not pieces[-1] else 0)

    def _answer(
        self, status: int, body: bytes, announced: int | None = None, chunked: bool = False
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("x-amzn-RequestId", str(uuid4()))
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(announced or len(body)))
        # a wait that would break the service's own budget
        self.send_header("x-amz-retry-after", "4000")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Keep the tests' output to the tests."""

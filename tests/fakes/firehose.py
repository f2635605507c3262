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

from tests.support.certificates import Certificate

RECORD_ID = "r" * 224

#: What a behaviour answers; each but `ok` and the `…_after_store` ones stores nothing. Beside them
#: there is `ok_chunked`, which stores and sends its answer with `Transfer-Encoding: chunked`.
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
BREAKS = ["hang", "reset", "truncated", "reset_after_store", "hang_after_store"]


class FakeFirehose:
    """What the server knows, and how a test steers it."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.calls = 0
        self.latency_s = 0.0
        """What it takes for an answer."""
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
        elif behaviour == "ok_chunked":
            status, body = ANSWERS["ok"]
            self._answer(status, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), chunked=True)
        else:
            self._answer(*ANSWERS[behaviour])

    def _answer(
        self, status: int, body: bytes, announced: int | None = None, chunked: bool = False
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
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

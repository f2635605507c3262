"""A stream and its bucket on loopback: keeps what PutRecord brings in its buffer.

The bucket stays empty: it is that of the minutes before the buffer is written.
"""

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_EMPTY = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>'


class FakeStream:
    """What has come in, and how a test steers it."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.latency_s = 0.0
        """What it takes for an answer, once the record is stored."""
        self.url = ""

    def ids(self) -> list[str]:
        """The ids of the events that have come in, sorted."""
        return sorted(record["id"] for record in self.records)

    def variables(self) -> dict[str, str]:
        """What sends the tools here."""
        return {
            "AWS_ENDPOINT_URL_FIREHOSE": self.url,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "eu-west-1",
            "FIREHOSE_DELIVERY_STREAM_NAME": "events",
            "ARCHIVE_BUCKET": "my-webhooks",
            "ARCHIVE_DIR": "",
        }

    @contextlib.contextmanager
    def serving(self) -> Iterator["FakeStream"]:
        """Serve on a free port until the block ends."""
        server = _Server(("127.0.0.1", 0), _Handler)
        server.fake = self
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Server(ThreadingHTTPServer):
    fake: FakeStream
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        assert "list-type=2" in self.path
        self._answer(_EMPTY, "application/xml")

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["X-Amz-Target"] == "Firehose_20150804.PutRecord"
        line = base64.b64decode(request["Record"]["Data"])
        self.server.fake.records.append(json.loads(line))
        time.sleep(self.server.fake.latency_s)
        self._answer(b'{"RecordId": "r1", "Encrypted": false}', "application/x-amz-json-1.1")

    def _answer(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Keep the tests' output to the tests."""

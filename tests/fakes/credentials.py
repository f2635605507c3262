"""The credentials of a container's role, served on loopback as ECS does.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
"""

import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeCredentials:
    """What the server answers, and how often it was asked."""

    def __init__(self, lifetime_s: float) -> None:
        self.calls = 0
        self.lifetime_s = lifetime_s
        """For how long the credentials of an answer are valid, from the answer on."""
        self.after_first = "ok"
        """What every request but the first gets: `ok`, `fail` (a 500) or `hang`."""
        self.url = ""
        self._stopped = threading.Event()

    @contextlib.contextmanager
    def serving(self) -> Iterator["FakeCredentials"]:
        """Serve on a free port until the block ends."""
        server = _Server(("127.0.0.1", 0), _Handler)
        server.fake = self
        self.url = f"http://127.0.0.1:{server.server_port}/credentials"
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
    fake: FakeCredentials
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        fake = self.server.fake
        fake.calls += 1
        behaviour = fake.after_first if fake.calls > 1 else "ok"
        if behaviour == "hang":
            fake.hang()
            self.close_connection = True
            return
        expiration = datetime.now(UTC) + timedelta(seconds=fake.lifetime_s)
        body = json.dumps(
            {
                "AccessKeyId": "testing",
                "SecretAccessKey": "testing",
                "Token": "testing",
                "Expiration": expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        ).encode()
        self.send_response(200 if behaviour == "ok" else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Keep the tests' output to the tests."""

"""The credentials of a role: renewed without a delivery waiting for it."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.fakes.firehose import FakeFirehose
from tests.support.service import running
from tests.support.stripe_client import SECRET, deliver


class Metadata(ThreadingHTTPServer):
    """A container's metadata service: answers once, then hangs until the test lets it go on."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls = 0
        self.hanging = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Metadata

    def do_GET(self) -> None:
        self.server.calls += 1
        if self.server.calls > 1:
            self.server.hanging.wait(30)
            self.close_connection = True
            return
        # inside the 15 minutes in which botocore renews
        expiration = datetime.now(UTC) + timedelta(minutes=14)
        body = json.dumps(
            {
                "AccessKeyId": "testing",
                "SecretAccessKey": "testing",
                "Token": "testing",
                "Expiration": expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep the tests' output to the tests."""


def test_no_delivery_waits_for_a_metadata_service_that_hangs(tmp_path: Path) -> None:
    metadata = Metadata()
    thread = threading.Thread(target=metadata.serve_forever)
    thread.start()
    try:
        with FakeFirehose().serving() as firehose:
            uri = f"http://127.0.0.1:{metadata.server_port}/credentials"
            variables = {
                "STRIPE_WEBHOOK_SECRET": SECRET,
                "FIREHOSE_DELIVERY_STREAM_NAME": "events",
                "AWS_REGION": "eu-west-1",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": uri,
                "AWS_ENDPOINT_URL_FIREHOSE": firehose.url,
                "WEB_WORKERS": "2",
            }
            with running(variables, tmp_path / "log") as service:
                time.sleep(0.5)
                for number in range(10):
                    started = time.monotonic()
                    assert deliver(service.port, b"[%d]" % number).status == 200
                    assert time.monotonic() - started < 2
            assert metadata.calls > 1
            assert len(firehose.records) == 10
    finally:
        metadata.hanging.set()
        metadata.shutdown()
        thread.join()
        metadata.server_close()

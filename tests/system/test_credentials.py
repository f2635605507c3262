"""The credentials of a role: renewed without a delivery waiting for it."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.fakes.firehose import FakeFirehose
from tests.support.service import running
from tests.support.stripe_client import SECRET, deliver
from tests.system.conftest import log_lines


class Metadata(ThreadingHTTPServer):
    """A container's metadata service. After its first answer it does what it is told to."""

    daemon_threads = True

    def __init__(self, afterwards: str, lifetime: timedelta) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.afterwards = afterwards
        self.lifetime = lifetime
        self.calls = 0
        self.hanging = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/credentials"


@contextlib.contextmanager
def metadata_service(afterwards: str, lifetime: timedelta) -> Iterator[Metadata]:
    server = Metadata(afterwards, lifetime)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.hanging.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Metadata

    def do_GET(self) -> None:
        self.server.calls += 1
        if self.server.calls > 1 and self.server.afterwards == "hang":
            self.server.hanging.wait(30)
            self.close_connection = True
            return
        if self.server.calls > 1 and self.server.afterwards == "fail":
            self.send_error(500)
            return
        expiration = datetime.now(UTC) + self.server.lifetime
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


def variables(metadata: Metadata, firehose: FakeFirehose) -> dict[str, str]:
    return {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "FIREHOSE_DELIVERY_STREAM_NAME": "events",
        "AWS_REGION": "eu-west-1",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": metadata.url,
        "AWS_ENDPOINT_URL_FIREHOSE": firehose.url,
        "WEB_WORKERS": "2",
    }


def test_no_delivery_waits_for_a_metadata_service_that_hangs(tmp_path: Path) -> None:
    # 14 minutes: inside the 15 in which botocore renews
    with (
        metadata_service("hang", timedelta(minutes=14)) as metadata,
        FakeFirehose().serving() as firehose,
        running(variables(metadata, firehose), tmp_path / "log") as service,
    ):
        time.sleep(0.5)
        for number in range(10):
            started = time.monotonic()
            assert deliver(service.port, b"[%d]" % number).status == 200
            assert time.monotonic() - started < 2
        assert metadata.calls > 1
        assert len(firehose.records) == 10


@pytest.mark.parametrize("afterwards", ["answer", "fail"])
def test_short_sessions_are_not_renewed_all_the_time(tmp_path: Path, afterwards: str) -> None:
    """Sessions of 15 minutes are due from their beginning: botocore would renew at each look."""
    with (
        metadata_service(afterwards, timedelta(seconds=899)) as metadata,
        FakeFirehose().serving() as firehose,
        running(variables(metadata, firehose), tmp_path / "log") as service,
    ):
        for number in range(20):
            assert deliver(service.port, b"[%d]" % number).status == 200
            time.sleep(0.2)
        # once at the boot, then once for each worker, where botocore tries three times
        assert metadata.calls <= 1 + 2 * 3
        warnings = [line for line in log_lines(service) if line["level"] != "INFO"]
        assert len(warnings) <= (0 if afterwards == "answer" else 4)

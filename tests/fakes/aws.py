"""The questions of `flask doctor`, answered on loopback: STS, Firehose's description, S3's HEAD."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ARN = "arn:aws:sts::123456789012:assumed-role/stripe-webhooks/service"

_IDENTITY = f"""\
<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>{ARN}</Arn><UserId>AROA:service</UserId><Account>123456789012</Account>
  </GetCallerIdentityResult>
</GetCallerIdentityResponse>"""


@dataclass
class Reply:
    """What a service answers, and after how long."""

    status: int = 200
    body: bytes = b""
    after_s: float = 0.0


def sts_error(code: str, status: int = 403) -> Reply:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>Told so.</Message></Error>"
    return Reply(status, f"<ErrorResponse>{error}</ErrorResponse>".encode())


def firehose_error(code: str, message: str = "Told so.") -> Reply:
    return Reply(400, json.dumps({"__type": code, "message": message}).encode())


def description(**changes: Any) -> dict[str, Any]:
    """A stream as deploy/ makes it; `changes` of its S3 destination, or of itself."""
    to_s3 = {
        "RoleARN": "arn:aws:iam::123456789012:role/firehose",
        "BucketARN": "arn:aws:s3:::my-webhooks",
        "Prefix": "webhooks/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/",
        "ErrorOutputPrefix": "errors/",
        "BufferingHints": {"SizeInMBs": 5, "IntervalInSeconds": 300},
        "CompressionFormat": "GZIP",
        "FileExtension": ".json.gz",
        "CustomTimeZone": "UTC",
    }
    stream = {
        "DeliveryStreamName": "events",
        "DeliveryStreamARN": "arn:aws:firehose:eu-west-1:123456789012:deliverystream/events",
        "DeliveryStreamStatus": "ACTIVE",
        "DeliveryStreamType": "DirectPut",
        "VersionId": "1",
        "HasMoreDestinations": False,
    }
    of_stream = {name: value for name, value in changes.items() if name.startswith("Delivery")}
    to_s3 |= {name: value for name, value in changes.items() if name not in of_stream}
    destination = {"DestinationId": "1", "ExtendedS3DestinationDescription": to_s3}
    return {**stream, "Destinations": [destination], **of_stream}


def described(stream: dict[str, Any]) -> Reply:
    return Reply(200, json.dumps({"DeliveryStreamDescription": stream}).encode())


class FakeAws:
    """What the three services answer, and how far ahead their clock is."""

    def __init__(self) -> None:
        self.sts = Reply(200, _IDENTITY.encode())
        self.firehose = described(description())
        self.s3 = Reply()
        self.ahead_s = 0.0
        self.url = ""
        self._stopped = threading.Event()

    @contextlib.contextmanager
    def serving(self) -> Iterator["FakeAws"]:
        """Serve on a free port until the block ends."""
        server = _Server(("127.0.0.1", 0), _Handler)
        server.fake = self
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            server.shutdown()
            thread.join()
            server.server_close()

    def variables(self) -> dict[str, str]:
        """What sends boto3 here."""
        return {f"AWS_ENDPOINT_URL_{name}": self.url for name in ("STS", "FIREHOSE", "S3")}

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond the end of the test."""
        self._stopped.wait(seconds)


class _Server(ThreadingHTTPServer):
    fake: FakeAws
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if b"Action=GetCallerIdentity" in body:
            self._answer(self.server.fake.sts, "text/xml")
            return
        assert self.headers["X-Amz-Target"] == "Firehose_20150804.DescribeDeliveryStream"
        assert json.loads(body) == {"DeliveryStreamName": "events"}
        self._answer(self.server.fake.firehose, "application/x-amz-json-1.1")

    def do_HEAD(self) -> None:
        assert self.path == "/my-webhooks"
        self._answer(self.server.fake.s3, "application/xml")

    def _answer(self, reply: Reply, content_type: str) -> None:
        self.server.fake.wait(reply.after_s)
        self.send_response(reply.status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the time of a clock that may be wrong."""
        return super().date_time_string((timestamp or time.time()) + self.server.fake.ahead_s)

    def log_message(self, *args: Any) -> None:
        """Keep the tests' output to the tests."""

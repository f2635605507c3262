"""What the tests of the tools share: archives made by hand, and the command as a user calls it."""

import gzip
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from stripe import WebhookSignature

from archive_tools.cli import archive
from webhook_app.events.record import Record, webhook_record

SECRET = "whsec_first"
OTHER_SECRET = "whsec_second"
ARRIVED = datetime(2026, 11, 23, 9, 3, 45, 123456, tzinfo=UTC)
DAY_KEY = "webhooks/year=2026/month=11/day=23"

#: Set by nobody's environment: a developer's own would be found otherwise.
VARIABLES = (
    "ARCHIVE_BUCKET",
    "ARCHIVE_DIR",
    "FIREHOSE_DELIVERY_STREAM_NAME",
    "STRIPE_API_BASE",
    "STRIPE_API_KEY",
    "STRIPE_WEBHOOK_SECRET",
)

Run = Callable[..., Result]


def stop_clock(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Give the tools that run in this process one time, in Unix seconds, for a whole test."""
    monkeypatch.setattr("time.time", lambda: float(at))
    monkeypatch.setattr("archive_tools.days.today", lambda: datetime.fromtimestamp(at, UTC).date())


def signed_record(
    body: bytes = b'{"id": "evt_1", "type": "t", "object": "event"}',
    secret: str = SECRET,
    arrived: datetime = ARRIVED,
    delay_s: int = 1,
) -> Record:
    """The record of a body that was signed so many seconds before it arrived."""
    at = int((arrived - timedelta(seconds=delay_s)).timestamp())
    header = WebhookSignature.generate_signature_header(body.decode(), secret, timestamp=at)
    return webhook_record(body, header, arrived)


def store(folder: Path, *lines: bytes, name: str = "a.json.gz", day: str = DAY_KEY) -> Path:
    """Write lines as one object of a day; each brings its newline."""
    path = folder / day / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"".join(lines)))
    return path


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_DOTENV_DISABLED", "1")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    return folder


@pytest.fixture
def run(folder: Path) -> Run:
    """Call `stripe-archive` on the test's archive, with variables and arguments.

    The line that says which archive it is, a test's own, is taken out of the result.
    """

    def call(*arguments: str, **variables: str) -> Result:
        environment = {"ARCHIVE_DIR": str(folder), "STRIPE_WEBHOOK_SECRET": SECRET, **variables}
        result = CliRunner().invoke(archive, arguments, env=environment)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        first, end, rest = result.stderr_bytes.partition(b"\n")
        if first.startswith(b"Archive: "):
            result.stderr_bytes = rest
            result.output_bytes = result.output_bytes.replace(first + end, b"", 1)
        return result

    return call

"""What all tests share: settings, an archive that can fail, and the trio app, client, runner."""

import os
import secrets
import signal
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner

from webhook_app import create_app
from webhook_app.cli import commands
from webhook_app.events.record import Record
from webhook_app.settings import Settings
from webhook_app.storage.archive import ArchiveError

# the linters are beside the Python that runs the tests, also where nobody has put that on PATH
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

# a shell starts what it runs in the background with SIGINT ignored, and children inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SECRET = "whsec_first"
OTHER_SECRET = "whsec_second"


class FakeArchive:
    """Keeps records in a list, and fails when it is told to."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.failure: str | None = None

    def put(self, record: Record, deadline: float) -> None:
        if self.failure:
            raise ArchiveError(self.failure)
        self.records.append(record)


# for test_request_fuzz; the processes that run tests inherit it from the one that starts them
os.environ.setdefault("FUZZ_SEED", str(secrets.randbelow(10**6)))


def pytest_report_header() -> str:
    """Say what repeats the run's drawn requests."""
    return f"FUZZ_SEED={os.environ['FUZZ_SEED']}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once for each reason how many tests were skipped."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        terminalreporter.section("skipped; REQUIRE_ALL=1 makes these failures")
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count:4} {reason}")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        webhook_secrets=(SECRET, OTHER_SECRET),
        archive_dir=tmp_path / "archive",
        max_body_bytes=2000,
    )


@pytest.fixture
def firehose_settings(settings: Settings) -> Settings:
    return replace(settings, archive_dir=None, stream_name="events", aws_region="eu-west-1")


@pytest.fixture
def archive() -> FakeArchive:
    return FakeArchive()


@pytest.fixture
def app(settings: Settings, archive: FakeArchive) -> Flask:
    app = create_app(settings, archive)
    app.testing = False  # as in production: nothing is raised through to the test
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def runner(app: Flask) -> FlaskCliRunner:
    commands.register(app)
    return app.test_cli_runner()

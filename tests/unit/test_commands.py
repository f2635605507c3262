import json
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskCliRunner
from werkzeug.serving import make_server

from tests.conftest import FakeArchive
from tests.support.service import PROJECT, free_port
from webhook_app.cli import commands

#: A snapshot and a thin event.
SAMPLES = ("charge.succeeded", "v1.billing.meter.error_report_triggered.thin")
EVENT = b'{"id": "evt_1", "name": "Zo\xc3\xab"}\n'


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    """The endpoint of a service that runs while a test does."""
    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/webhook/stripe"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_event_is_sent_to_the_byte_and_its_answer_shown(
    url: str, runner: FlaskCliRunner, archive: FakeArchive, tmp_path: Path
) -> None:
    file = tmp_path / "event.json"
    file.write_bytes(EVENT)
    from_file = runner.invoke(args=["send-event", str(file), "--url", url])
    from_input = runner.invoke(args=["send-event", "-", "--url", url], input=EVENT)
    archive.failure = "down"
    failed = runner.invoke(args=["send-event", str(file), "--url", url])
    assert from_file.output.startswith('200 {"received": true}')
    assert from_input.output.startswith('200 {"received": true}')
    assert [record.payload.encode() for record in archive.records] == [EVENT, EVENT]
    assert failed.output.startswith('500 {"error": "Storage unavailable"}')
    assert (from_file.exit_code, from_input.exit_code, failed.exit_code) == (0, 0, 1)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_event_is_sent_as_one_that_happened_just_now(
    url: str, runner: FlaskCliRunner, archive: FakeArchive, name: str
) -> None:
    sample = PROJECT / f"examples/events/{name}.json"
    for _ in range(2):
        result = runner.invoke(args=["send-event", str(sample), "--url", url])
        assert result.exit_code == 0, result.output
    first, second = archive.records
    assert first.id != second.id
    for record in (first, second):
        sent, written = json.loads(record.payload), json.loads(sample.read_text())
        arrived = datetime.fromisoformat(record.received_at).timestamp()
        assert record.created is not None
        assert 0 <= arrived - record.created < 30
        changing = ("id", "created")
        assert {**sent, **dict.fromkeys(changing)} == {**written, **dict.fromkeys(changing)}


def test_a_service_that_is_not_there_is_told_with_the_fix(runner: FlaskCliRunner) -> None:
    url = f"http://127.0.0.1:{free_port()}/webhook/stripe"
    result = runner.invoke(args=["send-event", "-", "--url", url], input=EVENT)
    assert result.exit_code == 1
    assert "Connection refused" in result.output
    assert "make run" in result.output


def test_what_cannot_be_sent_is_told(runner: FlaskCliRunner) -> None:
    no_url = runner.invoke(args=["send-event", "-", "--url", "localhost:3001"], input=EVENT)
    assert "is not an http:// or https:// address" in no_url.output
    no_text = runner.invoke(args=["send-event", "-"], input=b"\xff")
    assert "not UTF-8" in no_text.output
    assert (no_url.exit_code, no_text.exit_code) == (1, 1)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["archive", "verify"], "archive"),
        (["--app", "wsgi", "archive"], "archive"),
        (["-e", "archive", "doctor"], "doctor"),
        (["--debug", "run", "archive"], "run"),
        ([], None),
    ],
)
def test_the_command_is_found_among_flasks_options(words: list[str], name: str | None) -> None:
    assert commands.command_name(words) == name


def test_the_tools_belong_to_the_service_too(runner: FlaskCliRunner) -> None:
    assert "verify" in runner.invoke(args=["archive", "--help"]).output

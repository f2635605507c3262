import json
import logging
import sys
from pathlib import Path

from webhook_app.monitoring.logs import JsonFormatter, TextFormatter


def record(message: str = "Webhook archived", **fields: object) -> logging.LogRecord:
    made = logging.LogRecord(
        "webhook_app.web.webhook", logging.INFO, __file__, 1, message, (), None
    )
    made.created = 1795425825.5
    made.fields = fields
    return made


def test_a_json_line_has_the_message_and_the_fields() -> None:
    line = JsonFormatter().format(record(event_id="evt_1", bytes=12, archive_ms=1.5))
    assert json.loads(line) == {
        "time": "2026-11-23T09:23:45.500Z",
        "level": "INFO",
        "logger": "webhook_app.web.webhook",
        "message": "Webhook archived",
        "event_id": "evt_1",
        "bytes": 12,
        "archive_ms": 1.5,
    }


def test_a_text_line_is_for_people() -> None:
    line = TextFormatter().format(record(event_id="evt_1", event_type=None, bytes=12))
    assert line == "09:23:45 INFO    Webhook archived  event_id=evt_1  event_type=None  bytes=12"


def test_no_value_can_start_a_line_or_drive_a_terminal() -> None:
    nasty = 'evt\n{"level": "ERROR"}\x1b[2J\u2028'
    for formatter in (JsonFormatter(), TextFormatter()):
        line = formatter.format(record(message=nasty, event_id=nasty))
        assert line.isprintable()


def test_an_exception_shows_its_place_and_never_its_words() -> None:
    made = record()
    try:
        int("card 4242 of zoe@example.com")
    except ValueError:
        made.exc_info = sys.exc_info()
    for formatter in (JsonFormatter(), TextFormatter()):
        line = formatter.format(made)
        assert "ValueError" in line
        assert Path(__file__).name in line
        assert "4242" not in line

"""What each worker would do at its first deliveries, done once before the fork.

Python specializes the code it runs often, in place, and caches fill at first use. Done in each
worker, that is CPU, and memory that it no longer shares with the master.
"""

import logging
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import create_app
from ..events.signature import sign
from ..storage.archive import Archive
from .request_buffer import Limits, RequestBuffer

if TYPE_CHECKING:
    from flask import Flask

    from ..events.record import Record
    from ..settings import Settings

# CPython specializes code after a few dozen runs
_ROUNDS = 60
_EVENT = b"""{
  "id": "evt_0", "object": "event", "api_version": "2025-09-30.clover", "created": 1,
  "data": {"object": {"id": "in_0", "description": "\xc2\xa0"}}, "livemode": true, "type": "a.b"
}"""


class _DryRun:
    """An archive that stores nothing, and has the real one do all but send."""

    def __init__(self, archive: Archive) -> None:
        self._prepare = getattr(archive, "prepare", lambda record: record.line())

    def put(self, record: "Record", deadline: float) -> None:
        self._prepare(record)


def prewarm(app: "Flask") -> None:
    """Take some deliveries through a copy of `app` that stores, counts and logs nothing."""
    settings: Settings = app.extensions["settings"]
    uncounted = replace(settings, archive_dir=None, metrics_token=None)
    copy = create_app(uncounted, _DryRun(app.extensions["archive"]))
    formatters = [handler.formatter for handler in logging.getLogger().handlers]
    logging.disable()
    try:
        for _ in range(_ROUNDS):
            signature = sign(_EVENT, settings.webhook_secrets[0])
            _request(copy, "POST /webhook/stripe", _EVENT, signature)
            line = logging.makeLogRecord({"msg": "", "fields": {"outcome": "", "total_ms": 0.5}})
            for formatter in formatters:
                if formatter:
                    formatter.format(line)
        # the routes of the application itself; this one logs and counts nothing
        _request(app, "GET /health", b"", "")
    finally:
        logging.disable(logging.NOTSET)


def _request(app: "Flask", line: str, body: bytes, signature: str) -> None:
    request = RequestBuffer(Limits(4094, 100, 8190, len(body)), {"wsgi.errors": sys.stderr})
    request.environ["wsgi.input_terminated"] = True
    request.environ["wsgi.url_scheme"] = "http"
    request.feed(
        f"{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n"
        "Content-Type: application/json; charset=utf-8\r\n"
        f"Stripe-Signature: {signature}\r\n\r\n".encode()
    )
    request.feed(body) if body else None
    content = app.wsgi_app(request.environ, lambda *_: lambda _: None)
    b"".join(content)
    content.close()  # type: ignore[attr-defined] # werkzeug's has it

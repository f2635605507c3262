"""gunicorn's workers, but that what they answer by themselves is JSON like everything else.

gunicorn answers what never reaches the application: a malformed request line, a header too large.
Its own answers are HTML, and its log lines quote the header.
"""

import json
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker
from gunicorn.workers.sync import SyncWorker

# the first that fits counts
_STATUSES: list[tuple[type[BaseException], HTTPStatus]] = [
    (errors.LimitRequestLine, HTTPStatus.REQUEST_URI_TOO_LONG),
    (errors.LimitRequestHeaders, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    (errors.UnsupportedTransferCoding, HTTPStatus.NOT_IMPLEMENTED),
    (errors.ExpectationFailed, HTTPStatus.EXPECTATION_FAILED),
    (errors.ParseException, HTTPStatus.BAD_REQUEST),
    # a request that did not come in in time
    (TimeoutError, HTTPStatus.REQUEST_TIMEOUT),
    # among others SystemExit, which is how gunicorn ends a worker past its time-out
    (BaseException, HTTPStatus.INTERNAL_SERVER_ERROR),
]


class JsonErrors:
    """The answers of a worker to what stops a request outside the application."""

    log: Any

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer in JSON for `exc`, and log its kind."""
        status = next(status for kind, status in _STATUSES if isinstance(exc, kind))
        facts = {"outcome": "refused", "reason": type(exc).__name__, "status": status.value}
        message = status.phrase.capitalize()
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            # the application answers for itself, so it was cut short: nothing was confirmed
            self.log.exception("Failed to persist webhook", extra={"facts": facts})
            message = "Storage unavailable"
        else:
            self.log.warning("Malformed request refused", extra={"facts": facts})
        body = json.dumps({"error": message})
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            util.write_nonblock(client, (head + body).encode())
        except OSError:
            self.log.debug("The client was gone before its error")


class JsonSyncWorker(JsonErrors, SyncWorker):
    """One request at a time in each process, where there is no epoll: on a developer's Mac."""


class JsonThreadWorker(JsonErrors, ThreadWorker):
    """Several requests at a time in each process, with WEB_THREADS."""

"""`POST /webhook/stripe`: read the body, verify it, archive it, and only then say 200."""

import logging
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from ..events.record import Record, webhook_record
from ..events.signature import verify
from ..settings import BUDGET_LIMIT_S
from ..storage.archive import Archive, ArchiveError
from .responses import error, json_response

if TYPE_CHECKING:
    from ..monitoring.counters import Counters

log = logging.getLogger(__name__)

bp = Blueprint("webhook", __name__)

# what Heroku's router and common proxies send; anything else could forge a log line
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:/+=@-]{1,200}")
# https://www.w3.org/TR/trace-context/#traceparent-header; an id of zeros is invalid
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

#: Where Stripe delivers to.
PATH = "/webhook/stripe"
#: The key of the WSGI environ that says when the answer is due, of `time.monotonic`.
DEADLINE = "webhook_app.deadline"
#: Seconds that a write has to have left before that; with less it is not begun. One whole try with
#: the default time-outs fits, and a queue is never longer than a platform waits for /health.
LEAST_WRITE_S = 4.5

_LEVELS = {"archived": logging.INFO, "refused": logging.WARNING, "failed": logging.ERROR}


class _BodyError(Exception):
    """A body that is refused before its signature is looked at. `str()` is the reason."""

    def __init__(self, reason: str, status: int, message: str) -> None:
        super().__init__(reason)
        self.response = error(status, message)


@bp.post(PATH, strict_slashes=False)
def receive() -> Response:
    """Archive one delivery of Stripe's.

    Returns:
        200 once the archive has confirmed, 400 unless a configured secret signed the body,
        413 for a body over the limit, 500 when the archive does not confirm. Stripe delivers
        again after anything but a 2xx.
    """
    started = time.perf_counter()
    counters: Counters | None = current_app.extensions["counters"]
    if counters:
        counters.begin_delivery()
    fields: dict[str, object] = {}
    failure: Exception | None = None
    try:
        message, response = _handle(fields)
    # every Exception: a delivery has one answer, one log line and one count, whatever happens
    except Exception as unexpected:
        failure = unexpected
        fields |= {"outcome": "failed", "cause": type(unexpected).__name__}
        message, response = "Failed to persist webhook", error(500, "Storage unavailable")

    headers = request.headers
    request_id = headers.get("X-Request-ID", "")
    fields["request_id"] = request_id if _REQUEST_ID.fullmatch(request_id) else uuid4().hex
    if trace := _TRACEPARENT.fullmatch(headers.get("traceparent", "")):
        fields["trace_id"] = trace[1]
    fields["total_ms"] = _ms_since(started)
    log.log(_LEVELS[str(fields["outcome"])], message, exc_info=failure, extra={"fields": fields})
    if counters:
        try:
            counters.end_delivery(fields)
        # every Exception: an event that is archived keeps its 200
        except Exception:
            log.exception("Delivery not counted")
    return response


def _handle(fields: dict[str, object]) -> tuple[str, Response]:
    """Return the log's message and the answer; put what else is to be logged into `fields`."""
    received_at = datetime.now(UTC)
    extensions = current_app.extensions
    settings = extensions["settings"]
    fields["outcome"] = "refused"
    try:
        body = _read_body(settings.max_body_bytes)
    except _BodyError as refused:
        fields["reason"] = str(refused)
        return "Webhook body refused", refused.response

    header = request.headers.get("Stripe-Signature", "")
    refusal = verify(body, header, settings.webhook_secrets, settings.signature_tolerance_s)
    if refusal:
        fields |= {"reason": refusal, "bytes": len(body)}
        return "Webhook signature verification failed", error(400, "Invalid signature")

    record = webhook_record(body, header, received_at)
    fields |= {"event_type": record.type, "event_id": record.id, "bytes": len(body)}
    put_started = time.perf_counter()
    try:
        _put(extensions["archive"], record)
    except ArchiveError as failure:
        fields |= {"outcome": "failed", "cause": str(failure)}
        return "Failed to persist webhook", error(500, "Storage unavailable")
    finally:
        fields["archive_ms"] = _ms_since(put_started)
    fields["outcome"] = "archived"
    return "Webhook archived", json_response(200, {"received": True})


def _put(archive: Archive, record: Record) -> None:
    """Archive a record in the time that is left for the answer.

    Raises:
        ArchiveError: it was not confirmed, or too little time was left to try.
    """
    now = time.monotonic()
    deadline = request.environ.get(DEADLINE, now + BUDGET_LIMIT_S)
    if now > deadline - LEAST_WRITE_S:
        raise ArchiveError("not tried: the delivery has waited too long for a free worker")
    archive.put(record, deadline)


def _read_body(limit: int) -> bytes:
    """Return the body, as many bytes as the sender announced.

    Raises:
        _BodyError: it is over the limit, incomplete, or malformed.
    """
    announced = request.content_length
    if announced is not None and announced > limit:
        raise _BodyError("body over MAX_BODY_BYTES", 413, "Payload too large")
    # one byte more than allowed shows a chunked body that is over: Werkzeug cuts it silently
    request.max_content_length = limit + 1
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise _BodyError("body over MAX_BODY_BYTES", 413, "Payload too large") from None
    except Exception as unreadable:
        # whatever a server's chunk parser raises: a class of its own for each server
        raise _BodyError("malformed body", 400, "Bad request") from unreadable
    if len(body) > limit:
        raise _BodyError("body over MAX_BODY_BYTES", 413, "Payload too large")
    if announced is not None and len(body) < announced:
        raise _BodyError("body shorter than its Content-Length", 400, "Bad request")
    return body


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)

"""`POST /webhook/stripe`: read the body, verify it, archive it, and only then say 200."""

import logging
import re
import time
from datetime import UTC, datetime
from uuid import uuid4

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge

from ..events.record import webhook_record
from ..events.signature import refusal
from ..monitoring.counters import Counters
from ..settings import Settings
from ..storage.archive import Archive, ArchiveError
from .responses import answer, error

log = logging.getLogger(__name__)

bp = Blueprint("webhook", __name__)

# what Heroku's router and common proxies send; anything else could forge a log line
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:/+=@-]{1,200}")
# https://www.w3.org/TR/trace-context/#traceparent-header, where an id of zeros is none
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@bp.post("/webhook/stripe", strict_slashes=False)
def receive() -> Response:
    """Archive one delivery of Stripe's.

    Returns:
        200 once the archive has confirmed, 400 unless a configured secret signed the body,
        413 for a body over the limit, 500 when the archive does not confirm. Stripe delivers
        again after anything but a 2xx.
    """
    started = time.perf_counter()
    received_at = datetime.now(UTC)
    settings: Settings = current_app.extensions["settings"]
    archive: Archive = current_app.extensions["archive"]
    counters: Counters | None = current_app.extensions["counters"]
    if counters:
        counters.begin_delivery()

    facts: dict[str, object] = {"outcome": "refused"}
    try:
        body = _read_body(settings.max_body_bytes)
    except HTTPException as unreadable:
        facts["reason"] = unreadable.description
        _log_delivery(logging.WARNING, "Webhook body refused", started, facts)
        raise

    header = request.headers.get("Stripe-Signature", "")
    reason = refusal(body, header, settings.webhook_secrets, settings.signature_tolerance_s)
    if reason:
        facts |= {"reason": reason, "bytes": len(body)}
        _log_delivery(logging.WARNING, "Webhook signature verification failed", started, facts)
        return error(400, "Invalid signature")

    record = webhook_record(body, header, received_at)
    facts = {"outcome": "archived", "event_type": record.type, "event_id": record.id}
    facts["bytes"] = len(body)
    put_started = time.perf_counter()
    try:
        archive.put(record)
    except ArchiveError as failure:
        facts |= {"outcome": "failed", "cause": str(failure), "archive_ms": _ms_since(put_started)}
        _log_delivery(logging.ERROR, "Failed to persist webhook", started, facts)
        return error(500, "Storage unavailable")
    facts["archive_ms"] = _ms_since(put_started)
    _log_delivery(logging.INFO, "Webhook archived", started, facts)
    return answer(200, {"received": True})


def _read_body(limit: int) -> bytes:
    """Return the body, as many bytes as the sender announced.

    Raises:
        RequestEntityTooLarge: it is over the limit.
        BadRequest: it is incomplete, or its chunks are malformed.
    """
    announced = request.content_length
    if announced is not None and announced > limit:
        raise RequestEntityTooLarge("body over MAX_BODY_BYTES")
    # one byte more than allowed shows a chunked body that is over: Werkzeug cuts it silently
    request.max_content_length = limit + 1
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise
    except Exception as error:
        # whatever the server's chunk parser raises, a class of its own for each server; where the
        # client has gone, Werkzeug's words for a browser
        raise BadRequest("malformed body") from error
    if len(body) > limit:
        raise RequestEntityTooLarge("body over MAX_BODY_BYTES")
    if announced is not None and len(body) < announced:
        raise BadRequest("body shorter than its Content-Length")
    return body


def _log_delivery(level: int, message: str, started: float, facts: dict[str, object]) -> None:
    request_id = request.headers.get("X-Request-ID", "")
    facts["request_id"] = request_id if _REQUEST_ID.fullmatch(request_id) else uuid4().hex
    if trace := _TRACEPARENT.fullmatch(request.headers.get("traceparent", "")):
        facts["trace_id"] = trace[1]
    facts["total_ms"] = _ms_since(started)
    log.log(level, message, extra={"facts": facts})
    counters: Counters | None = current_app.extensions["counters"]
    if counters:
        counters.end_delivery(facts)


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)

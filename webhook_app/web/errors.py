"""What raised, turned into an answer: in JSON, in one place, and never a page of HTML."""

import logging

from flask import Response, current_app, request
from werkzeug.exceptions import HTTPException

from ..monitoring.counters import Counters
from .responses import error

log = logging.getLogger(__name__)

# where the contract's word is not the standard phrase
_MESSAGES = {413: "Payload too large"}


def from_exception(exception: Exception) -> Response:
    """Return the answer for anything that a view or Flask itself raised."""
    if not isinstance(exception, HTTPException):
        # a bug, and in one place only can it be: nothing else here does more than answer
        facts = {"outcome": "failed"}
        log.exception("Failed to persist webhook", extra={"facts": facts})
        counters: Counters | None = current_app.extensions["counters"]
        if counters and request.endpoint == "webhook.receive":
            counters.end_delivery(facts)
        return error(500, "Storage unavailable")
    status = exception.code or 500
    response = error(status, _MESSAGES.get(status, exception.name.capitalize()))
    for name, value in exception.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response

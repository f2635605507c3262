"""What raised, turned into an answer: in JSON, in one place, and never a page of HTML."""

import logging

from flask import Response
from werkzeug.exceptions import HTTPException

from .answers import error

log = logging.getLogger(__name__)

_MESSAGES = {
    400: "Bad request",
    404: "Not found",
    405: "Method not allowed",
    413: "Payload too large",
}


def from_exception(exception: Exception) -> Response:
    """Return the answer for anything that a view or Flask itself raised."""
    if not isinstance(exception, HTTPException):
        log.exception("Unexpected error")
        return error(500, "Internal error")
    status = exception.code or 500
    response = error(status, _MESSAGES.get(status, exception.name))
    for name, value in exception.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response

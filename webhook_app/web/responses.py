"""The form of every answer: JSON that says nothing about the inside; also for what raises."""

import json
import logging

from flask import Response
from werkzeug.exceptions import HTTPException

log = logging.getLogger(__name__)

# where the contract's word is not the standard phrase
_MESSAGES = {413: "Payload too large"}


def json_response(status: int, body: dict[str, object]) -> Response:
    """Return a JSON response."""
    return Response(json.dumps(body), status, content_type="application/json")


def error(status: int, message: str) -> Response:
    """Return `{"error": message}`."""
    return json_response(status, {"error": message})


def from_exception(exception: Exception) -> Response:
    """Return the answer for what a view or Flask itself has raised, such as 404 and 405."""
    if not isinstance(exception, HTTPException):
        log.exception("Unhandled exception")
        return error(500, "Internal server error")
    status = exception.code or 500
    response = error(status, _MESSAGES.get(status, exception.name.capitalize()))
    for name, value in exception.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response

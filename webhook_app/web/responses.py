"""The form of every answer: JSON that says nothing about the inside."""

import json

from flask import Response


def answer(status: int, body: dict[str, object]) -> Response:
    """Return a JSON response."""
    return Response(json.dumps(body), status, content_type="application/json")


def error(status: int, message: str) -> Response:
    """Return `{"error": message}`."""
    return answer(status, {"error": message})

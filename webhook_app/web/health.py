"""`GET /health`: is this process up? Touches nothing outside the process.

An archive that is down is no reason to restart the service, so it does not show here.
"""

from datetime import UTC, datetime

from flask import Blueprint, Response

from ..version import __version__
from .responses import json_response

bp = Blueprint("health", __name__)


@bp.get("/health")
def health() -> Response:
    """Return status, version and the process's time (UTC, ISO 8601)."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json_response(200, {"status": "ok", "version": __version__, "timestamp": now})

"""Delivers a signed body to an endpoint, as Stripe does. For trying out, never for serving."""

import http.client
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from ..environ import PROJECT

#: The sample events. Each is sent as one that happens now; any other file is sent byte for byte.
SAMPLES = PROJECT / "examples/events"


@dataclass(frozen=True)
class Delivered:
    """What an endpoint answered to one delivery."""

    status: int
    body: str
    milliseconds: float


def body_of(name: str, body: bytes) -> bytes:
    """Return what is sent for the contents of a file: the same bytes, unless it is a sample.

    A sample gets a new id and the current time, as an event has that Stripe has just made. With
    those of its file a report would call it late, and each copy after the first a duplicate.
    """
    if Path(name).resolve() not in SAMPLES.glob("*.json"):
        return body
    event = json.loads(body)
    prefix = event["id"].rpartition("_")[0]
    now = datetime.now(UTC)
    event["id"] = f"{prefix}_{secrets.token_hex(12)}"
    # a thin event has an ISO time
    event["created"] = int(now.timestamp()) if event["object"] == "event" else now.isoformat()
    return json.dumps(event, indent=2, ensure_ascii=False).encode()


def deliver(body: bytes, signature: str, url: str, timeout_s: float = 30) -> Delivered:
    """Post a signed body as Stripe does and return what came back.

    Raises:
        OSError: there was no answer.
        http.client.HTTPException: what answered does not speak HTTP.
        ValueError: `url` is not an http or https address.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url} is not an http:// or https:// address")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout_s)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature,
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    started = time.perf_counter()
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    finally:
        connection.close()
    return Delivered(answer.status, text, (time.perf_counter() - started) * 1000)

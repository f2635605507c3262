"""Delivers a signed body to an endpoint, as Stripe does. For trying out, never for serving."""

import http.client
import time
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Delivered:
    """What an endpoint answered to one delivery."""

    status: int
    body: str
    milliseconds: float


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

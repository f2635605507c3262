"""Stripe's side of the wire, made of the standard library alone: signs, posts, reads answers."""

import contextlib
import hashlib
import hmac
import http.client
import json
import socket
import time
from dataclasses import dataclass
from typing import Any

SECRET = "whsec_first"
OTHER_SECRET = "whsec_second"
SECRETS = f"{SECRET},{OTHER_SECRET}"


@dataclass(frozen=True)
class Answer:
    """An answer of the service; status 0 where the connection closed without one."""

    status: int
    content_type: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def signature(body: bytes, secret: str = SECRET, at: float | None = None) -> str:
    """The header of https://docs.stripe.com/webhooks#verify-manually, made by hand."""
    stamp = int(time.time() if at is None else at)
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256)
    return f"t={stamp},v1={mac.hexdigest()},v0={'0' * 64}"


def deliver(
    port: int, body: bytes, header: str | None = None, path: str = "/webhook/stripe"
) -> Answer:
    """Post a body, signed unless a header is given."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature(body) if header is None else header,
    }
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheader("Content-Type", ""), answer.read())
    finally:
        connection.close()


def get(port: int, path: str, token: str | None = None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheader("Content-Type", ""), answer.read())
    finally:
        connection.close()


def head(*lines: str) -> bytes:
    """The head of a request to the endpoint, with these header lines."""
    return "\r\n".join(["POST /webhook/stripe HTTP/1.1", "Host: x", *lines, "", ""]).encode(
        "latin-1"
    )


def exchange(port: int, request: bytes) -> Answer:
    """Send raw bytes, say no more, and read what comes back until the service closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        received = b""
        # a service that has answered early resets what is sent on: the answer is there to read
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while chunk := connection.recv(65536):
                received += chunk
    if not received:
        return Answer(0, "", b"")
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return Answer(int(lines[0].split()[1]), headers.get("content-type", ""), body)

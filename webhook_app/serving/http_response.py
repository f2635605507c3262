"""Responses as bytes, each the last one of its connection."""

import contextlib
import json
import socket
import time
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus

from gunicorn import SERVER

#: Seconds to wait for the reader of a response that does not fit into the socket's buffer.
SEND_TIMEOUT_S = 1.0
# Bytes that an unused socket takes without waiting for its reader.
_SOCKET_BUFFER_BYTES = 4096


def render(status: str, headers: Iterable[tuple[str, str]], content: bytes) -> bytes:
    """Return a response after which the connection is closed."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    head = (
        f"HTTP/1.1 {status}\r\nServer: {SERVER}\r\nDate: {_date(int(time.time()))}\r\n"
        f"Connection: close\r\n{lines}\r\n"
    )
    return head.encode("latin-1") + content


def render_error(status: HTTPStatus, message: str) -> bytes:
    """Return `{"error": message}` as a response."""
    content = json.dumps({"error": message}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
    return render(f"{status.value} {status.phrase}", headers, content)


def send(client: socket.socket, response: bytes) -> None:
    """Send a response to a client that may be gone."""
    with contextlib.suppress(OSError):
        if len(response) > _SOCKET_BUFFER_BYTES:
            client.settimeout(SEND_TIMEOUT_S)
        client.sendall(response)


_last_date = (0, "")


def _date(second: int) -> str:
    """Return the Date header's value, made once a second."""
    global _last_date
    if _last_date[0] != second:
        _last_date = (second, formatdate(second, usegmt=True))
    return _last_date[1]

"""A plain request as a WSGI environ, and its answer as bytes.

Nearly every request is plain: GET or POST of a simple path in HTTP/1.1, each header once, in ASCII,
a body with a length. For these this is the whole of HTTP, at a fifth of the cost. Anything else,
however harmless, is not judged here: it is left to gunicorn's parser, which is strict. The tests
hold the two against each other.
"""

import io
import time
from collections.abc import Iterable
from email.utils import formatdate
from functools import cache
from typing import Any

from gunicorn import SERVER, SERVER_SOFTWARE
from gunicorn.http.wsgi import FileWrapper, WSGIErrorsWrapper

# the characters of a header's name, without the underscore, which would be taken for a dash
_TOKEN = b"!#$%&'*+-.^`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t"
# of a path: no query, no escape, nothing that any two parsers could read differently
_PATH = b"/-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

# each changes how the rest is to be read, or asks for more than an answer
_NOT_PLAIN = {
    b"connection",
    b"expect",
    b"transfer-encoding",
    b"upgrade",
    b"x-forwarded-proto",
    b"x-forwarded-protocol",
    b"x-forwarded-ssl",
}
_CLOSE = b"close"


def plain_environ(
    head: bytes, body: bytes, client: Any, server: Any, config: Any
) -> dict[str, Any] | None:
    """Return the environ of a whole request, None if it is not plain.

    Args:
        head: the request without the empty line and what follows.
        body: what follows.
        client: the address that it came from.
        server: the address that it came to.
        config: gunicorn's.
    """
    line, *fields = head.split(b"\r\n")
    words = line.split(b" ")
    if len(words) != 3 or words[0] not in (b"GET", b"POST") or words[2] != b"HTTP/1.1":
        return None
    path = words[1]
    if not path.startswith(b"/") or path.translate(None, _PATH):
        return None
    environ = _base(config) | {
        "REQUEST_METHOD": words[0].decode(),
        "RAW_URI": path.decode(),
        "PATH_INFO": path.decode(),
        "wsgi.errors": WSGIErrorsWrapper(config),
        "wsgi.input": io.BytesIO(body),
    }
    announced = 0
    for field in fields:
        name, colon, value = field.partition(b":")
        value = value.strip(b" \t")
        lower = name.lower()
        if (
            not colon
            or not name
            or name.translate(None, _TOKEN)
            or value.translate(None, _PRINTABLE)
        ):
            return None
        if lower in _NOT_PLAIN and (lower, value.lower()) != (b"connection", _CLOSE):
            return None
        key = _key(lower)
        if key in environ:
            return None
        environ[key] = value.decode()
        if key == "CONTENT_LENGTH":
            if not value.isdigit():
                return None
            announced = int(value)
    if announced != len(body) or "HTTP_HOST" not in environ:
        return None
    if isinstance(client, tuple) and isinstance(server, tuple):
        environ |= {
            "REMOTE_ADDR": client[0],
            "REMOTE_PORT": str(client[1]),
            "SERVER_NAME": server[0],
            "SERVER_PORT": str(server[1]),
        }
        return environ
    return None


def answer(status: str, headers: Iterable[tuple[str, str]], content: bytes) -> bytes:
    """Return an answer after which the connection is closed."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = (
        f"HTTP/1.1 {status}\r\nServer: {SERVER}\r\nDate: {_date(int(time.time()))}\r\n"
        f"Connection: close\r\n{lines}\r\n"
    )
    return head.encode("latin-1") + content


@cache
def _base(config: Any) -> dict[str, Any]:
    return {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": False,
        "wsgi.multiprocess": config.workers > 1,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
        "SERVER_SOFTWARE": SERVER_SOFTWARE,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
    }


def _key(lower: bytes) -> str:
    """Return the name that a header has in the environ."""
    key = lower.decode().upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


_last_date = (0, "")


def _date(second: int) -> str:
    """Return the Date header's value, made once a second."""
    global _last_date
    if _last_date[0] != second:
        _last_date = (second, formatdate(second, usegmt=True))
    return _last_date[1]

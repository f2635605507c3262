"""One HTTP request as it arrives: parsed by llhttp, bounded, and kept until its last byte is there.

httptools wraps llhttp, the parser of Node. The limits are ours; what llhttp accepts and we refuse
is refused here. Knows HTTP framing (RFC 9112) and the WSGI environ (PEP 3333), and no sockets.
"""

import io
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import httptools

#: Bytes of a request's head. Stripe's, with what a platform's router adds, has about 1,000.
MAX_HEAD_BYTES = 32_768
#: What chunks may add to a body beyond `MAX_HEAD_BYTES`: one byte in eight, as with 48-byte chunks.
MAX_CHUNK_OVERHEAD = 8


class RequestError(Exception):
    """A request that is refused. `str()` is a fixed phrase and quotes nothing of the request."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """How large a request may be. The first three are gunicorn's settings `limit_request_…`."""

    line_bytes: int
    fields: int
    field_bytes: int
    body_bytes: int


class RequestBuffer:
    """Feed it what arrives; `complete` says when `environ` can be handed to the application."""

    __slots__ = (
        "_body",
        "_chunked",
        "_error",
        "_field_count",
        "_head_bytes",
        "_in_body",
        "_limits",
        "_parser",
        "_target",
        "complete",
        "environ",
        "expects_continue",
        "has_unread_bytes",
        "received_bytes",
    )

    def __init__(self, limits: Limits, environ: dict[str, Any]) -> None:
        """Begin a request. `environ` holds what is the same for each, and gets the rest."""
        self._limits = limits
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._field_count = 0
        self._head_bytes = 0
        self._in_body = False
        self._chunked = False
        self._body = io.BytesIO()
        self._error: RequestError | None = None
        self.environ = environ
        self.received_bytes = 0
        self.complete = False
        """The application can answer: the request is there, or as much of it as it looks at."""
        self.has_unread_bytes = True
        """The client may have sent more than was read: closing at once could reset the answer."""
        self.expects_continue = False
        """The client waits for `100 Continue` before it sends the body."""

    def feed(self, data: bytes) -> None:
        """Parse what has arrived.

        Raises:
            RequestError: the request is malformed, not supported or over a limit.
        """
        self.received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # a server may ignore it (RFC 9110, 7.8)
            self.on_message_complete()
        except httptools.HttpParserError as error:
            if self._error:
                raise self._error from None
            if not self.complete:
                raise RequestError(HTTPStatus.BAD_REQUEST, str(error)) from None
            # what follows a complete request is not looked at
            self.has_unread_bytes = True
        if self.complete:
            self._finish()
        elif not self._in_body:
            if self.received_bytes > MAX_HEAD_BYTES:
                raise RequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head too large")
        elif self._overhead_bytes > MAX_HEAD_BYTES + self._body.tell() // MAX_CHUNK_OVERHEAD:
            # chunks of a byte each, chunk extensions or trailers without end
            raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body too large as sent")

    @property
    def body_bytes(self) -> int:
        """How large the body will be, as far as it is known: announced, or received so far."""
        if not self._in_body:
            return 0
        announced = 0 if self._chunked else int(self.environ.get("CONTENT_LENGTH", "0"))
        return max(announced, self._body.tell())

    @property
    def _overhead_bytes(self) -> int:
        """What was received and is not body: the head, and what chunks add."""
        return self.received_bytes - self._body.tell()

    def end(self) -> None:
        """Note that the client has closed its side; the application refuses a body cut short."""
        self.has_unread_bytes = False
        if not self._in_body or self._chunked:
            raise RequestError(HTTPStatus.BAD_REQUEST, "request cut short")
        self.complete = True
        self._finish()

    def close(self) -> None:
        """Let go of the parser: it refers to this object, and would keep both until the next GC."""
        self._parser = None

    def _finish(self) -> None:
        self.close()
        self._body.seek(0)
        self.environ["wsgi.input"] = self._body

    # called by the parser

    def on_message_begin(self) -> None:
        """Refuse to look at a second request behind the first."""
        if self.complete:
            raise RequestError(HTTPStatus.BAD_REQUEST, "pipelined request")

    def on_url(self, part: bytes) -> None:
        """Take a part of the request's target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head. The fields of a trailer are dropped."""
        if self._in_body:
            return
        size = len(name) + len(value)
        self._head_bytes += size
        self._field_count += 1
        if size > self._limits.field_bytes or self._field_count > self._limits.fields:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "field too large or too many")
        key = _ENVIRON_KEYS.get(name) or _environ_key(name)
        # a name with an underscore could pass for one with a dash, so it is dropped
        if key:
            text = value.decode("latin-1").strip(" \t")
            environ = self.environ
            environ[key] = f"{environ[key]},{text}" if key in environ else text

    def on_headers_complete(self) -> None:
        """Judge the head: the version, the framing, the size of the body."""
        self._in_body = True
        environ = self.environ
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            self._refuse(HTTPStatus.BAD_REQUEST, "unsupported HTTP version")
        environ["SERVER_PROTOCOL"] = f"HTTP/{version}"
        environ["REQUEST_METHOD"] = self._parser.get_method().decode()
        if len(self._target) + self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head too large")
        if len(self._target) + 20 > self._limits.line_bytes:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, "request line too long")
        self._set_target(self._target.decode("latin-1"))

        coding = environ.get("HTTP_TRANSFER_ENCODING")
        length = environ.get("CONTENT_LENGTH", "0")
        if coding is not None:
            # llhttp takes `gzip, chunked`; nothing here undoes a gzip
            if coding.lower() != "chunked":
                self._refuse(HTTPStatus.NOT_IMPLEMENTED, "unsupported transfer coding")
            if version == "1.0" or "CONTENT_LENGTH" in environ:
                self._refuse(HTTPStatus.BAD_REQUEST, "ambiguous body length")
            self._chunked = True
        elif int(length) > self._limits.body_bytes:
            # without its body: the application refuses it by its length
            self._stop()
        has_body = self._chunked or length != "0"
        if has_body and self._parser.should_upgrade():
            # httptools would skip the body
            self._refuse(HTTPStatus.BAD_REQUEST, "upgrade with a body")
        expectation = environ.get("HTTP_EXPECT")
        if expectation is not None:
            if expectation.lower() != "100-continue":
                self._refuse(HTTPStatus.EXPECTATION_FAILED, "unsupported expectation")
            self.expects_continue = has_body

    def on_body(self, part: bytes) -> None:
        """Take a part of the body; one byte over the limit is enough to refuse it."""
        self._body.write(part)
        if self._body.tell() > self._limits.body_bytes:
            self._stop()

    def on_message_complete(self) -> None:
        """Note that the request is there as a whole."""
        self.complete = True
        self.has_unread_bytes = False

    def _set_target(self, target: str) -> None:
        """Set the path and the query of `/path?query`, of an absolute form, or of `*`."""
        environ = self.environ
        environ["RAW_URI"] = target
        if target.startswith("/"):
            path, _, query = target.partition("#")[0].partition("?")
        else:
            try:
                parts = urlsplit(target)
            except ValueError:
                self._refuse(HTTPStatus.BAD_REQUEST, "invalid request target")
            path, query = parts.path, parts.query
        if "%" in path:
            path = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
        environ["PATH_INFO"] = path
        environ["QUERY_STRING"] = query

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._error = RequestError(status, reason)
        raise self._error

    def _stop(self) -> None:
        """Complete the request without its rest."""
        self.complete = True
        raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body over MAX_BODY_BYTES")


# filled by the names that come; only so many, because a client can make names up
_ENVIRON_KEYS: dict[bytes, str] = {}
_MOST_KEYS = 500
_TOKEN = re.compile(rb"[-!#$%&'*+.^`|~0-9A-Za-z]+")


def _environ_key(name: bytes) -> str | None:
    """Return the name that a field has in the environ; None for a name that is dropped."""
    if not _TOKEN.fullmatch(name):
        return None
    key = name.decode().upper().replace("-", "_")
    if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = f"HTTP_{key}"
    if len(_ENVIRON_KEYS) < _MOST_KEYS:
        _ENVIRON_KEYS[name] = key
    return key

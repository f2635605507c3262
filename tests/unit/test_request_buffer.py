"""How a request is read, byte by byte; the worker around it is a system test's."""

import contextlib
import io
import socket
from collections import Counter
from http import HTTPStatus
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from webhook_app.serving.request_buffer import (
    MAX_HEAD_BYTES,
    Limits,
    RequestBuffer,
    RequestError,
)

LIMIT = 1000
LIMITS = Limits(line_bytes=4094, fields=100, field_bytes=8190, body_bytes=LIMIT)


def read(request: bytes, pieces: int = 1, limits: Limits = LIMITS) -> RequestBuffer:
    """A request that arrives in so many pieces, read until it is complete."""
    buffer = RequestBuffer(limits, {})
    size = max(1, -(-len(request) // pieces))
    for at in range(0, len(request), size):
        if buffer.complete:
            break
        buffer.feed(request[at : at + size])
    return buffer


def body_of(buffer: RequestBuffer) -> bytes:
    stream: io.BytesIO = buffer.environ["wsgi.input"]
    return stream.read()


def refusal(request: bytes, pieces: int = 1) -> HTTPStatus:
    with pytest.raises(RequestError) as caught:
        read(request, pieces)
    return caught.value.status


def request(body: bytes = b"", *lines: str) -> bytes:
    head = "\r\n".join(["POST /webhook/stripe HTTP/1.1", "Host: x", *lines, "", ""])
    return head.encode("latin-1") + body


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts)


CHUNKED = "Transfer-Encoding: chunked"

COMPLETE = {
    "without a body": (request(), b""),
    "with a body": (request(b"a" * 10, "content-LENGTH:  10 "), b"a" * 10),
    "with the largest body": (request(b"a" * LIMIT, f"Content-Length: {LIMIT}"), b"a" * LIMIT),
    "in chunks": (
        request(chunks(b"a" * 300, b"\r\n\r\n", b"0\r\n\r\n") + b"0\r\n\r\n", CHUNKED),
        b"a" * 300 + b"\r\n\r\n0\r\n\r\n",
    ),
    "in chunks with a trailer": (request(chunks(b"a") + b"0\r\nX: 1\r\n\r\n", CHUNKED), b"a"),
    "with the largest chunked body": (
        request(chunks(b"a" * LIMIT) + b"0\r\n\r\n", CHUNKED),
        b"a" * LIMIT,
    ),
}


@pytest.mark.parametrize("name", COMPLETE)
def test_a_request_is_complete_with_its_last_byte_and_not_before(name: str) -> None:
    full, body = COMPLETE[name]
    for pieces in (1, 2, 7, len(full)):
        buffer = read(full, pieces)
        assert buffer.complete
        assert not buffer.has_unread_bytes
        assert body_of(buffer) == body
        assert not read(full[:-1], pieces).complete


REFUSED = {
    "two lengths": (400, request(b"", "Content-Length: 5", "Content-Length: 6")),
    "two equal lengths": (400, request(b"", "Content-Length: 5", "Content-Length: 5")),
    "a list of lengths": (400, request(b"", "Content-Length: 5, 5")),
    "a length that is none": (400, request(b"", "Content-Length: ten")),
    "a length with a sign": (400, request(b"", "Content-Length: +5")),
    "a negative length": (400, request(b"", "Content-Length: -1")),
    "an empty length": (400, request(b"", "Content-Length: ")),
    "a length beyond numbers": (400, request(b"", f"Content-Length: {'9' * 5000}")),
    "a hexadecimal length": (400, request(b"", "Content-Length: 0x5")),
    "length and chunks": (400, request(b"", "Content-Length: 5", CHUNKED)),
    "chunks and length": (400, request(b"", CHUNKED, "Content-Length: 5")),
    "two codings": (400, request(b"", CHUNKED, CHUNKED)),
    "an unknown coding": (501, request(b"", "Transfer-Encoding: gzip, chunked")),
    "chunked not last": (400, request(b"", "Transfer-Encoding: chunked, gzip")),
    "a coding that looks like chunked": (501, request(b"", "Transfer-Encoding: xchunked")),
    "identity": (501, request(b"", "Transfer-Encoding: identity")),
    "a coding behind a vertical tab": (400, request(b"", "Transfer-Encoding: \x0bchunked")),
    "chunks in HTTP/1.0": (400, request(b"", CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0")),
    "a bad chunk": (400, request(b"xyz\r\n", CHUNKED)),
    "an empty chunk size": (400, request(b"\r\n", CHUNKED)),
    "a negative chunk": (400, request(b"-5\r\n", CHUNKED)),
    "a chunk size with a prefix": (400, request(b"0x5\r\nabcde\r\n", CHUNKED)),
    "a chunk size in a bare LF": (400, request(b"5\nabcde\r\n", CHUNKED)),
    "a chunk longer than its size": (400, request(b"3\r\nabcde\r\n", CHUNKED)),
    "a space before the colon": (400, request(b"", "Content-Length : 5")),
    "a folded field": (400, request(b"", "X: 1", " 2")),
    "a field without a name": (400, request(b"", ": 1")),
    "a NUL in a field": (400, request(b"", "X: \0")),
    "a bare LF": (400, request(b"", "X: 1\nY: 2")),
    "a bare CR": (400, request(b"", "X: 1\rY: 2")),
    "an unknown version": (400, b"GET / HTTP/2.0\r\n\r\n"),
    "no version": (400, b"GET /\r\n\r\n"),
    "a preface of HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a line of a proxy": (400, b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n"),
    "a space in the target": (400, b"GET /a b HTTP/1.1\r\n\r\n"),
    "an invalid target": (400, b"GET http://[::1/ HTTP/1.1\r\n\r\n"),
    "a byte beyond ASCII in the target": (400, b"GET /\xff HTTP/1.1\r\n\r\n"),
    "an unknown method": (400, b"G<script>T / HTTP/1.1\r\n\r\n"),
    "an upgrade with a body": (
        400,
        request(b"abc", "Connection: upgrade", "Upgrade: h2c", "Content-Length: 3"),
    ),
    "an expectation": (417, request(b"", "Expect: a miracle")),
    "a long line": (414, b"GET /" + b"a" * 4094 + b" HTTP/1.1\r\n\r\n"),
    "a large field": (431, request(b"", "X: " + "a" * 8190)),
    "101 fields": (431, request(b"", *["X: 1"] * 100)),
    "a head without end": (431, request(b"", *[f"X-{n}: {'a' * 8000}" for n in range(5)])),
    "a name without end": (431, b"POST / HTTP/1.1\r\n" + b"a" * MAX_HEAD_BYTES),
    "chunk extensions without end": (
        413,
        request(b"1;" + b"a" * (2 * LIMIT + MAX_HEAD_BYTES), CHUNKED),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_malformed_or_too_large_is_refused(name: str) -> None:
    status, malformed = REFUSED[name]
    for pieces in (1, 2, len(malformed)):
        assert refusal(malformed, pieces) == status


def test_a_refusal_quotes_nothing_of_the_request() -> None:
    for _, malformed in REFUSED.values():
        with pytest.raises(RequestError) as caught:
            read(malformed)
        assert "aaa" not in str(caught.value)
        assert "script" not in str(caught.value)


def test_the_limits_are_reached_and_not_passed() -> None:
    assert read(request(b"", "X: " + "a" * 8180)).complete
    assert read(request(b"", *["X: 1"] * 99)).complete
    assert read(b"GET /" + b"a" * 4000 + b" HTTP/1.1\r\n\r\n").complete


OVER = {
    "by its length": request(b"", f"Content-Length: {LIMIT + 1}"),
    "by far": request(b"", f"Content-Length: {'9' * 15}"),
    "in chunks": request(chunks(b"a" * 600, b"b" * 401), CHUNKED),
    "in a chunk": request(b"fffffff\r\n" + b"a" * (LIMIT + 1), CHUNKED),
}


@pytest.mark.parametrize("name", OVER)
def test_a_body_over_the_limit_is_not_waited_for(name: str) -> None:
    """The application refuses it: by its length, or by the one byte that is too many."""
    buffer = read(OVER[name])
    assert buffer.complete
    assert buffer.has_unread_bytes
    assert int(buffer.environ.get("CONTENT_LENGTH", "0")) > LIMIT or len(body_of(buffer)) > LIMIT


def test_a_body_that_ends_early_is_handed_on_as_far_as_it_came() -> None:
    buffer = read(request(b"abc", "Content-Length: 10"))
    assert not buffer.complete
    buffer.end()
    assert buffer.complete
    assert not buffer.has_unread_bytes
    assert body_of(buffer) == b"abc"


@pytest.mark.parametrize("start", [b"POST / HT", request(b"3\r\nabc\r\n", CHUNKED)])
def test_a_head_or_a_chunked_body_that_ends_early_is_malformed(start: bytes) -> None:
    buffer = read(start)
    with pytest.raises(RequestError) as caught:
        buffer.end()
    assert caught.value.status == 400


@pytest.mark.parametrize("rest", [b"more", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 50])
def test_what_follows_a_request_is_no_part_of_it(rest: bytes) -> None:
    buffer = read(request(b"abc", "Content-Length: 3") + rest)
    assert buffer.complete
    # closing now could reset the connection, and the answer with it
    assert buffer.has_unread_bytes
    assert body_of(buffer) == b"abc"
    assert buffer.environ["REQUEST_METHOD"] == "POST"
    assert buffer.environ["PATH_INFO"] == "/webhook/stripe"


def test_a_client_that_waits_for_a_continue_is_known() -> None:
    buffer = read(request(b"", "Content-Length: 3", "Expect: 100-Continue"))
    assert buffer.expects_continue
    assert not read(request(b"", f"Content-Length: {LIMIT + 1}")).expects_continue


def test_an_upgrade_is_ignored() -> None:
    assert read(request(b"", "Connection: upgrade", "Upgrade: websocket")).complete
    assert read(b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n").complete


def test_a_field_of_a_trailer_or_with_an_underscore_cannot_pass_for_a_field() -> None:
    trailer = b"0\r\nStripe-Signature: t=1,v1=a\r\n\r\n"
    in_trailer = read(request(chunks(b"a") + trailer, CHUNKED))
    underscored = read(request(b"", "Stripe_Signature: t=1,v1=a"))
    for buffer in (in_trailer, underscored):
        assert buffer.complete
        assert "HTTP_STRIPE_SIGNATURE" not in buffer.environ


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=9), st.booleans())
def test_any_body_is_read_whole_however_it_is_cut(
    body: bytes, sizes: list[int], chunked: bool
) -> None:
    if chunked:
        parts: list[bytes] = []
        rest = body
        for size in sizes:
            parts, rest = [*parts, rest[:size]], rest[size:]
        encoded = chunks(*(part for part in [*parts, rest] if part)) + b"0\r\n\r\n"
        full = request(encoded, CHUNKED)
    else:
        full = request(body, f"Content-Length: {len(body)}")
    for pieces in (1, len(sizes) + 1, len(full)):
        buffer = read(full, pieces)
        assert buffer.complete
        assert body_of(buffer) == body


@given(st.binary(max_size=400), st.integers(1, 20))
def test_no_bytes_raise_anything_but_a_refusal(data: bytes, pieces: int) -> None:
    for start in (b"", request(b"", CHUNKED), request(b"", "Content-Length: 100")):
        with contextlib.suppress(RequestError):
            read(start + data, pieces)


# --- beside gunicorn's own parser ---------------------------------------------------------------

_TEXT = st.text("abcXYZ019-._~%/", max_size=12)
_NAMES = st.sampled_from(
    ["X-A", "x-a", "Accept", "Via", "X-Forwarded-Proto", "X-Forwarded-For", "Stripe-Signature"],
) | st.sampled_from(["Connection", "Content-Type", "X_A", "Traceparent", "X-Request-Id"])
_VALUES = st.one_of(
    st.sampled_from(["keep-alive", "close", "https", "54.187.174.169", "t=1,v1=ab,v0=cd", ""]),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f")),
)
_FIELDS = st.lists(st.tuples(_NAMES, _VALUES), max_size=20)
# what is made of the socket, and what only the server tells its application
_OURS = {"REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "SERVER_SOFTWARE"}

compared: Counter[str] = Counter()


def gunicorn_environ(full: bytes) -> tuple[dict[str, Any], bytes]:
    config = Config()
    config.set("forwarded_allow_ips", "")
    parser = RequestParser(config, iter([full]), ("192.0.2.1", 1))
    parsed = next(parser)
    with socket.socket() as client:
        _, environ = create(parsed, client, ("192.0.2.1", 1), ("192.0.2.2", 80), config)
    return environ, parsed.body.read()


@hypothesis_settings(max_examples=300)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "OPTIONS", "HEAD"]),
    path=_TEXT,
    query=_TEXT,
    fields=_FIELDS,
    body=st.binary(max_size=200),
    chunked=st.booleans(),
)
@example(
    method="POST",
    path="webhook/stripe",
    query="",
    fields=[("X-Forwarded-Proto", "https")],
    body=b"{}",
    chunked=False,
)
def test_it_reads_what_gunicorn_reads(
    method: str,
    path: str,
    query: str,
    fields: list[tuple[str, str]],
    body: bytes,
    chunked: bool,
) -> None:
    target = f"/{path.lstrip('/')}" + (f"?{query}" if query else "")
    lines = [f"{name}: {value}" for name, value in fields]
    lines.append(CHUNKED if chunked else f"Content-Length: {len(body)}")
    full = f"{method} {target} HTTP/1.1\r\nHost: x\r\n".encode()
    full += "\r\n".join([*lines, "", ""]).encode("latin-1")
    chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    full += chunk + b"0\r\n\r\n" if chunked else body
    try:
        theirs, their_body = gunicorn_environ(full)
    except ParseException:
        compared["refused by gunicorn"] += 1
        return
    ours = read(full)
    assert ours.complete
    assert body_of(ours) == their_body == body
    for name in {*theirs, *ours.environ} - _OURS:
        if name == name.upper() and name != "SCRIPT_NAME":
            assert ours.environ.get(name) == theirs.get(name), name
    compared["compared"] += 1


def test_nearly_all_examples_were_compared() -> None:
    if not compared:  # the other test ran elsewhere
        test_it_reads_what_gunicorn_reads()
    assert compared["compared"] > 0.8 * compared.total()

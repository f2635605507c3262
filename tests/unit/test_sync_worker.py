"""How a request is taken in, byte by byte; the worker around it is a system test's."""

import socket
from collections.abc import Iterator

import pytest
from gunicorn.http.errors import LimitRequestHeaders
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.serving.worker import MAX_HEAD_BYTES, Incoming

LIMIT = 1000


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, Incoming]]:
    """Stripe's end of a connection, and what comes in at ours."""
    theirs, ours = socket.socketpair()
    ours.setblocking(False)
    with theirs, ours:
        yield theirs, Incoming(ours, "x", LIMIT)


def incoming_of(request: bytes, pieces: int = 1) -> Incoming:
    """What came in of a request that arrived in so many pieces, until it was whole."""
    theirs, ours = socket.socketpair()
    ours.setblocking(False)
    with theirs, ours:
        incoming = Incoming(ours, "x", LIMIT)
        size = max(1, -(-len(request) // pieces))
        for at in range(0, len(request), size):
            if incoming.whole:
                break
            theirs.sendall(request[at : at + size])
            incoming.read()
    return incoming


def request(body: bytes = b"", *lines: str) -> bytes:
    head = "\r\n".join(["POST /webhook/stripe HTTP/1.1", "Host: x", *lines, "", ""])
    return head.encode() + body


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts)


CHUNKED = "Transfer-Encoding: chunked"

WHOLE = {
    "without a body": request(),
    "with a body": request(b"a" * 10, "content-LENGTH:  10 "),
    "with the largest body": request(b"a" * LIMIT, f"Content-Length: {LIMIT}"),
    "in chunks": request(chunks(b"a" * 300, b"\r\n\r\n", b"0\r\n\r\n") + b"0\r\n\r\n", CHUNKED),
    "in chunks with a trailer": request(chunks(b"a") + b"0\r\nX: 1\r\n\r\n", CHUNKED),
    "with the largest chunked body": request(chunks(b"a" * LIMIT) + b"0\r\n\r\n", CHUNKED),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_request_is_whole_with_its_last_byte_and_not_before(name: str) -> None:
    full = WHOLE[name]
    for pieces in (1, 2, 7, len(full)):
        incoming = incoming_of(full, pieces)
        assert incoming.whole
        assert incoming.drained
        assert incoming.recv(10**6) == full
        assert incoming.recv(10) == b""
        part = incoming_of(full[:-1], pieces)
        assert not part.whole
        assert not part.drained


REFUSED_BY_OTHERS = {
    "too long": request(b"", f"Content-Length: {LIMIT + 1}"),
    "too long by far": request(b"", f"Content-Length: {'9' * 15}"),
    "a length beyond numbers": request(b"", f"Content-Length: {'9' * 5000}"),
    "a length that is none": request(b"", "Content-Length: ten"),
    "a negative length": request(b"", "Content-Length: -1"),
    "two lengths": request(b"", "Content-Length: 5", "Content-Length: 5"),
    "length and chunks": request(b"", "Content-Length: 5", CHUNKED),
    "an unknown coding": request(b"", "Transfer-Encoding: gzip, chunked"),
    "two codings": request(b"", CHUNKED, CHUNKED),
    "a bad chunk": request(b"xyz\r\n", CHUNKED),
    "an empty chunk size": request(b"\r\n", CHUNKED),
    "a negative chunk": request(b"-5\r\n", CHUNKED),
    "chunks too long": request(chunks(b"a" * 600, b"b" * 401), CHUNKED),
    "a chunk too long": request(b"fffffff\r\n" + b"a" * (LIMIT + 1), CHUNKED),
    "an endless chunk line": request(b"1;" + b"a" * (2 * LIMIT + MAX_HEAD_BYTES), CHUNKED),
}


@pytest.mark.parametrize("name", REFUSED_BY_OTHERS)
def test_what_will_be_refused_is_not_waited_for_and_not_reset(name: str) -> None:
    incoming = incoming_of(REFUSED_BY_OTHERS[name])
    assert incoming.whole
    assert not incoming.drained


def test_a_chunked_body_over_the_limit_has_come_in_as_far_as_the_application_looks() -> None:
    """It reads a byte more than the limit, to tell."""
    incoming = incoming_of(request(b"fffffff\r\n" + b"a" * LIMIT, CHUNKED))
    assert not incoming.whole


def test_a_head_without_end_is_refused() -> None:
    with pytest.raises(LimitRequestHeaders):
        incoming_of(request(b"", "X: " + "a" * MAX_HEAD_BYTES))
    with pytest.raises(LimitRequestHeaders):
        incoming_of(b"a" * (MAX_HEAD_BYTES + 1))
    assert not incoming_of(b"a" * MAX_HEAD_BYTES).whole


def test_an_end_before_the_end_is_whole_and_can_be_closed(
    wire: tuple[socket.socket, Incoming],
) -> None:
    theirs, incoming = wire
    theirs.sendall(request(b"abc", "Content-Length: 10"))
    incoming.read()
    assert not incoming.whole
    theirs.shutdown(socket.SHUT_WR)
    incoming.read()
    assert incoming.whole
    assert incoming.drained


def test_what_follows_a_request_is_not_read_as_part_of_it(
    wire: tuple[socket.socket, Incoming],
) -> None:
    theirs, incoming = wire
    theirs.sendall(request(b"abc", "Content-Length: 3") + b"more")
    incoming.read()
    assert incoming.whole
    # closing now would reset the connection, and the answer with it
    assert not incoming.drained


def test_a_client_that_waits_for_a_continue_gets_it(wire: tuple[socket.socket, Incoming]) -> None:
    theirs, incoming = wire
    theirs.sendall(request(b"", "Content-Length: 3", "Expect: 100-Continue"))
    incoming.read()
    assert theirs.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    theirs.sendall(b"abc")
    incoming.read()
    assert incoming.whole


def test_a_client_that_is_too_long_gets_no_continue(wire: tuple[socket.socket, Incoming]) -> None:
    theirs, incoming = wire
    theirs.sendall(request(b"", f"Content-Length: {LIMIT + 1}", "Expect: 100-continue"))
    incoming.read()
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(100)


def test_a_client_that_is_gone_raises(wire: tuple[socket.socket, Incoming]) -> None:
    _, incoming = wire
    incoming.client.close()
    with pytest.raises(OSError, match="descriptor"):
        incoming.read()


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=9), st.booleans())
def test_any_body_comes_in_whole_however_it_is_cut(
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
        incoming = incoming_of(full, pieces)
        assert incoming.whole
        assert incoming.recv(10**6) == full


@given(st.binary(max_size=400), st.integers(1, 20))
def test_no_bytes_make_it_stumble(data: bytes, pieces: int) -> None:
    for start in (b"", request(b"", CHUNKED), request(b"", "Content-Length: 100")):
        incoming = incoming_of(start + data, pieces)
        assert incoming.recv(10**6) == bytes(incoming.received)

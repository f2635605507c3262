"""The short way through HTTP, held against gunicorn's own parser."""

from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import get_parser
from gunicorn.http.wsgi import create
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.serving.plain_http import answer, plain_environ

CLIENT, SERVER = ("127.0.0.1", 40000), ("127.0.0.1", 3001)
CONFIG = Config()

#: What Stripe sends, by way of a platform's router.
DELIVERY = (
    b"POST /webhook/stripe HTTP/1.1\r\nHost: example.com\r\nUser-Agent: Stripe/1.0 (+https://x)\r\n"
    b"Content-Length: 2\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\n"
    b"Stripe-Signature: t=1,v1=a,v0=b\r\nX-Request-ID: 1-2\r\nX-Forwarded-For: 10.0.0.1"
)


class Wire:
    """A socket that a request comes from, for gunicorn."""

    def __init__(self, request: bytes) -> None:
        self._request = request

    def recv(self, size: int) -> bytes:
        data, self._request = self._request[:size], self._request[size:]
        return data

    def getsockname(self) -> tuple[str, int]:
        return SERVER


def by_gunicorn(head: bytes, body: bytes) -> dict[str, Any]:
    """The environ that gunicorn makes of a request; raises what it refuses it with."""
    wire = Wire(head + b"\r\n\r\n" + body)
    request = next(get_parser(CONFIG, wire, CLIENT))
    _, environ = create(request, wire, CLIENT, SERVER, CONFIG)
    result: dict[str, Any] = environ
    return result


def plain(head: bytes, body: bytes = b"") -> dict[str, Any] | None:
    return plain_environ(head, body, CLIENT, SERVER, CONFIG)


def comparable(environ: dict[str, Any]) -> dict[str, Any]:
    """All that says something about the request."""
    left_out = {"wsgi.errors", "wsgi.input", "wsgi.early_hints", "gunicorn.socket"}
    kept = {name: value for name, value in environ.items() if name not in left_out}
    return kept | {"body": environ["wsgi.input"].read()}


def test_a_delivery_is_plain_and_read_as_gunicorn_reads_it() -> None:
    environ = plain(DELIVERY, b"{}")
    assert environ is not None
    assert comparable(environ) == comparable(by_gunicorn(DELIVERY, b"{}"))


TOKENS = st.sampled_from(
    [
        "Host",
        "host",
        "X-A",
        "Content-Length",
        "content-type",
        "Transfer-Encoding",
        "X_A",
        "Expect",
        "Connection",
        "",
        "X A",
        "Xé",
        "X-Forwarded-Proto",
        "Stripe-Signature",
        "Script-Name",
    ]
)
VALUES = st.one_of(
    st.sampled_from(["", "2", "02", "+2", "2, 2", "close", "chunked", "keep-alive", " a ", "\ta"]),
    st.text(st.characters(max_codepoint=0x17F), max_size=8),
)
WORDS = st.sampled_from(
    [
        "POST",
        "GET",
        "post",
        "HEAD",
        "PUT",
        "OPTIONS",
        "/",
        "/webhook/stripe",
        "/a?b",
        "/%61",
        "*",
        "//x",
        "/a#b",
        "http://x/",
        "/../x",
        "HTTP/1.1",
        "HTTP/1.0",
        "HTTP/2.0",
        "HTTP/1.1 ",
        "",
    ]
)


@given(
    line=st.one_of(
        st.just("POST /webhook/stripe HTTP/1.1"),
        st.lists(WORDS, min_size=1, max_size=4).map(" ".join),
    ),
    fields=st.lists(st.tuples(TOKENS, st.sampled_from([":", ": ", " : ", ""]), VALUES), max_size=5),
    host=st.booleans(),
    body=st.binary(max_size=4),
    length=st.sampled_from([None, 0, 2, 4]),
)
def test_what_is_plain_is_read_as_gunicorn_reads_it(
    line: str,
    fields: list[tuple[str, str, str]],
    host: bool,
    body: bytes,
    length: int | None,
) -> None:
    lines = [line, *("".join(field) for field in fields)]
    lines += ["Host: x"] if host else []
    lines += [] if length is None else [f"Content-Length: {length}"]
    head = "\r\n".join(lines).encode("latin-1", "ignore")
    if b"\r\n\r\n" in head:
        return
    environ = plain(head, body)
    if environ is not None:
        assert comparable(environ) == comparable(by_gunicorn(head, body))


@pytest.mark.parametrize(
    "changed",
    [
        DELIVERY.replace(b"POST", b"PUT"),
        DELIVERY.replace(b"HTTP/1.1", b"HTTP/1.0"),
        DELIVERY.replace(b"/webhook/stripe", b"/webhook/stripe?a=b"),
        DELIVERY.replace(b"/webhook/stripe", b"/webhook%2Fstripe"),
        DELIVERY.replace(b"Host: example.com\r\n", b""),
        DELIVERY.replace(b"Connection: close", b"Connection: keep-alive"),
        DELIVERY.replace(b"Content-Length: 2", b"Content-Length: 3"),
        DELIVERY.replace(b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 2"),
        DELIVERY.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked"),
        DELIVERY + b"\r\nTransfer-Encoding: chunked",
        DELIVERY + b"\r\nExpect: 100-continue",
        DELIVERY + b"\r\nHost: other.example.com",
        DELIVERY + b"\r\nX_Request_ID: 1",
        DELIVERY + b"\r\n folded: x",
        DELIVERY + b"\r\nX: \xe9",
        DELIVERY + b"\r\nX: a\x00b",
        DELIVERY + b"\r\nX : a",
        DELIVERY + b"\r\nX",
        DELIVERY + b"\nX: a",
        DELIVERY + b"\r\n: a",
    ],
)
def test_what_could_be_read_in_two_ways_is_left_to_gunicorn(changed: bytes) -> None:
    assert plain(changed, b"{}") is None


def test_an_answer_is_whole_and_closes() -> None:
    got = answer("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")], b"{}")
    head, _, content = got.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"Connection: close" in lines
    assert b"Content-Length: 2" in lines
    assert sum(line.startswith(b"Date: ") for line in lines) == 1
    assert content == b"{}"

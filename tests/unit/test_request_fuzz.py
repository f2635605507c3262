"""One request, read in one segment, in two, and byte by byte: the same, and as gunicorn reads it.

The requests are drawn from a seed that the head of the test run names; FUZZ_SEED repeats a run.
"""

import io
import os
import random

from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser

from webhook_app.serving.request_buffer import Limits, RequestBuffer, RequestError

LIMITS = Limits(line_bytes=4094, fields=100, field_bytes=8190, body_bytes=500)
SEED = int(os.environ.get("FUZZ_SEED", "0"))

GOOD_LINES = [
    "Host: x",
    "Content-Type: application/json",
    "Connection: keep-alive",
    "Stripe-Signature: t=1,v1=00",
    "X-Forwarded-Proto: https",
    "X_Y: z",
]
ODD_LINES = [
    "Content-Length: {length}",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, chunked",
    "transfer-encoding:\tchunked",
    "Content-Length: +{length}",
    "Content-Length: 0{length}",
    "Content-Length: {length}, {length}",
    "Content-Length: 1000000000000000",
    "Expect: 100-continue",
    "Connection: upgrade",
    "Upgrade: h2c",
    "X : y",
    " folded",
    "no colon",
    "X: \x0b",
    "",
]
ENDS = [*["\r\n"] * 40, "\n", "\r", "\r\r\n"]
TARGETS = [
    *["/webhook/stripe"] * 6,
    "/",
    "*",
    "http://x/webhook/stripe?a=b",
    "/a%20b",
    "/a b",
    "//",
    "x",
]
METHODS = ["POST", "POST", "GET", "PUT", "post", "PRI"]
VERSIONS = [*["HTTP/1.1"] * 9, "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", ""]


def drawn(chance: random.Random) -> bytes:
    """A request that is right in most places."""
    body = chance.randbytes(chance.choice([0, 1, 5, 40, 499, 500, 501]))
    is_chunked = chance.random() < 0.4
    line = (
        f"{chance.choice(['POST', 'POST', 'GET', 'PUT', 'post', 'PRI'])} {chance.choice(TARGETS)}"
    )
    lines = [f"{line} {chance.choice(VERSIONS)}"]
    lines.append("Transfer-Encoding: chunked" if is_chunked else "Content-Length: {length}")
    lines += chance.choices(GOOD_LINES, k=chance.randrange(4))
    lines += chance.choices(ODD_LINES, k=chance.choice([0, 0, 0, 1, 2]))
    text = "".join(each.format(length=len(body)) + chance.choice(ENDS) for each in lines)
    request = text.encode("latin-1") + chance.choice([*[b"\r\n"] * 9, b"\n", b""])
    if is_chunked and body:
        size = chance.choice([*[b"%x"] * 6, b"%X;a=b", b"0x%x", b"+%x", b" %x", b"%x\n"])
        end = chance.choice([*[b"0\r\n\r\n"] * 4, b"0\r\nX: 1\r\n\r\n", b"0\n\n", b""])
        body = (size % len(body)) + b"\r\n" + body + b"\r\n" + end
    elif is_chunked:
        body = b"0\r\n\r\n"
    request += body + chance.choice([b"", b"", b"", b"\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\0"])
    for _ in range(chance.choice([0, 0, 0, 0, 1, 2])):
        at = chance.randrange(len(request) + 1)
        other = chance.choice([b"", b"\r", b"\n", b" ", b"\0", b":"])
        request = request[:at] + other + request[at + 1 :]
    return request


def reading(pieces: list[bytes]) -> object:
    """What is made of a request that arrives in these pieces and then ends."""
    buffer = RequestBuffer(LIMITS, {})
    try:
        for piece in pieces:
            buffer.feed(piece)
            if buffer.complete:
                break
        else:
            if not buffer.received_bytes:
                return "nothing"
            buffer.end()
    except RequestError as error:
        return error.status
    stream: io.BytesIO = buffer.environ.pop("wsgi.input")
    # how far beyond the limit a body was read says nothing
    return buffer.environ, stream.read()[: LIMITS.body_bytes + 1]


def gunicorns_reading(request: bytes) -> tuple[str, str, bytes] | None:
    """Method, path and body; None where gunicorn refuses the request."""
    try:
        parsed = next(RequestParser(Config(), iter([request]), ("192.0.2.1", 1)))
        return parsed.method, parsed.path, parsed.body.read()
    except (ParseException, OSError, StopIteration):
        return None


def requests(count: int) -> list[bytes]:
    chance = random.Random(SEED)
    return [drawn(chance) for _ in range(count)]


def test_a_request_is_read_the_same_however_it_is_cut() -> None:
    chance = random.Random(SEED)
    for request in requests(4000):
        cut = chance.randrange(len(request) + 1)
        whole = reading([request])
        in_two = reading([part for part in (request[:cut], request[cut:]) if part])
        by_bytes = reading([bytes([byte]) for byte in request])
        assert whole == in_two == by_bytes, (SEED, cut, request)


def test_what_is_accepted_is_what_gunicorn_reads() -> None:
    accepted = 0
    for request in requests(4000):
        ours, theirs = reading([request]), gunicorns_reading(request)
        if not isinstance(ours, tuple) or theirs is None:
            continue
        environ, body = ours
        length = environ.get("CONTENT_LENGTH")
        if length is not None and len(body) < int(length):
            # cut short, or over the limit: the application refuses it
            continue
        accepted += 1
        method, path, their_body = theirs
        assert (environ["REQUEST_METHOD"], body) == (method, their_body[:501]), (SEED, request)
        assert environ["PATH_INFO"] == path or "%" in path or "*" in path, (SEED, request)
    assert accepted > 200

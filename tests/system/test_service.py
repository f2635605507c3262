"""What Stripe and strangers see of the running service."""

import random
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.needs import needed
from tests.support.service import Service
from tests.support.stripe_client import (
    OTHER_SECRET,
    SECRET,
    Answer,
    deliver,
    exchange,
    get,
    head,
    signature,
)
from tests.system.conftest import ROOT, deliveries, log_lines, payloads

EVENTS = sorted((ROOT / "examples/events").glob("*.json"))
SIGNER = ROOT / "tests/system/signer"

Local = tuple[Service, Path]


def test_health(local: Local) -> None:
    answer = get(local[0].port, "/health")
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.json["status"] == "ok"


@pytest.mark.parametrize("event", EVENTS, ids=lambda path: path.stem)
def test_an_event_is_archived_to_the_byte(local: Local, event: Path) -> None:
    service, folder = local
    body = event.read_bytes()
    answer = deliver(service.port, body)
    assert (answer.status, answer.json) == (200, {"received": True})
    assert payloads(folder).count(body) == 1


def test_many_deliveries_at_once_lose_nothing(local: Local) -> None:
    service, folder = local
    bodies = [b'{"id": "evt_many_%d", "n": "\xc3\xab"}\r\n' % n for n in range(200)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: deliver(service.port, body), bodies))
    assert {answer.status for answer in answers} == {200}
    assert sorted(set(payloads(folder)) & set(bodies)) == sorted(bodies)
    assert not list(folder.rglob("*.tmp"))


def test_each_secret_is_good_and_no_other(local: Local) -> None:
    service, folder = local
    body = b'{"id": "evt_secrets"}'
    assert deliver(service.port, body, signature(body, OTHER_SECRET)).status == 200
    for header in (
        signature(body, "whsec_guess"),
        signature(body, at=time.time() - 400),
        signature(body + b" "),
        "",
        "t=1,v1=\xe9",
    ):
        answer = deliver(service.port, body, header)
        assert (answer.status, answer.json) == (400, {"error": "Invalid signature"})
    assert payloads(folder).count(body) == 1


def test_a_delivery_is_one_line_in_the_log_without_a_word_of_it(local: Local) -> None:
    service, _ = local
    body = b'{"id": "evt_log", "type": "a.b", "email": "zoe@example.com"}'
    header = signature(body)
    deliver(service.port, body, header)
    deliver(service.port, body, header.replace("v1=", "v1=0"))
    good, bad = deliveries(service)[-2:]
    assert (good["message"], good["event_id"]) == ("Webhook archived", "evt_log")
    assert "signature verification failed" in bad["message"]
    assert bad["reason"] == "no matching signature"
    text = service.log.read_text()
    for secret in (SECRET, "zoe@example.com", header.split("v1=")[1][:64]):
        assert secret not in text


def test_an_independent_signer_passes_and_with_one_byte_changed_does_not(
    local: Local, tmp_path: Path
) -> None:
    """The npm package `stripe` signs, as Stripe's own engineers wrote it."""
    needed("npm", shutil.which("npm"))
    shutil.copytree(SIGNER, tmp_path / "signer")
    install = ["npm", "ci", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(install, cwd=tmp_path / "signer", check=True, capture_output=True)
    service, folder = local
    body = (ROOT / "examples/events/customer.created.json").read_bytes() + b"\n"
    header = subprocess.run(
        ["node", "sign.mjs", SECRET],
        cwd=tmp_path / "signer",
        input=body,
        check=True,
        capture_output=True,
    ).stdout.decode()
    assert deliver(service.port, body, header).status == 200
    assert payloads(folder).count(body) == 1
    for at in range(0, len(body), 97):
        changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        assert deliver(service.port, changed, header).status == 400


def chunked(body: bytes, header: str) -> bytes:
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(part), part)
        for part in (body[at : at + 60_000] for at in range(0, len(body), 60_000))
    )
    return head(f"Stripe-Signature: {header}", "Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n"


def test_a_chunked_body_is_put_together(local: Local) -> None:
    service, folder = local
    body = b'{"id": "evt_chunked", "x": "' + b"y" * 200_000 + b'"}'
    assert exchange(service.port, chunked(body, signature(body))).status == 200
    assert payloads(folder).count(body) == 1


def test_the_largest_body_is_taken_and_one_byte_more_is_413(local: Local) -> None:
    service, folder = local
    largest = b"x" * 4_194_304
    before = len(payloads(folder))
    assert deliver(service.port, largest).status == 200
    for over in (largest + b"x", largest * 2):
        # signed for what a silent cut would leave
        header = signature(largest)
        length = f"Content-Length: {len(over)}"
        announced = head(f"Stripe-Signature: {header}", length) + over
        for request in (announced, chunked(over, header)):
            answer = exchange(service.port, request)
            assert (answer.status, answer.json) == (413, {"error": "Payload too large"})
    assert len(payloads(folder)) == before + 1


MALFORMED = {
    "nothing": b"",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "no version": b"GET /health\r\n\r\n",
    "bad version": b"GET /health HTTP/9.9\r\n\r\n",
    "bad method": b"G<script>T /health HTTP/1.1\r\n\r\n",
    "half a head": b"POST /webhook/stripe HTTP/1.1\r\nHost: x\r\n",
    "long line": b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
    "large header": head("X: " + "a" * 20_000),
    "many headers": head(*(f"X-{n}: {n}" for n in range(500))),
    "bad header name": head("<b>: 1"),
    "bad header value": head("X: \x00"),
    "folded header": head("X: 1", " 2"),
    "negative length": head("Content-Length: -1"),
    "length of words": head("Content-Length: many"),
    "two lengths": head("Content-Length: 1", "Content-Length: 2"),
    "length and chunks": head("Content-Length: 3", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "unknown coding": head("Transfer-Encoding: gzip"),
    "bad chunk size": head("Transfer-Encoding: chunked") + b"zz\r\n",
    "negative chunk": head("Transfer-Encoding: chunked") + b"-1\r\n",
    "unfinished chunk": head("Transfer-Encoding: chunked") + b"ff\r\nabc",
    "bad chunk end": head("Transfer-Encoding: chunked") + b"3\r\nabcde\r\n0\r\n\r\n",
    "expectation": head("Expect: a miracle"),
    "h2c preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute url": b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "odd host": b"GET /nowhere HTTP/1.1\r\nHost: <script>\r\n\r\n",
    "odd path": b"GET /%00%ff%3Cscript%3E HTTP/1.1\r\nHost: x\r\n\r\n",
    "many slashes": b"POST //webhook//stripe HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "websocket": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "proxy line": b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nGET /health HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_malformed_gets_json_or_nothing(local: Local, request_bytes: bytes) -> None:
    service, folder = local
    before = len(payloads(folder))
    answer = exchange(service.port, request_bytes)
    if answer != Answer(0, "", b""):
        assert 400 <= answer.status < 500 or answer.status == 501
        assert answer.content_type == "application/json"
        assert set(answer.json) == {"error"}
        assert "<" not in answer.body.decode()
    assert len(payloads(folder)) == before
    assert get(service.port, "/health").status == 200


def mutated(request: bytes, chance: random.Random) -> bytes:
    """The request with a few bytes changed, dropped, doubled, put in, or cut off."""
    data = bytearray(request)
    for _ in range(chance.randint(1, 4)):
        at, end = sorted(chance.choices(range(len(data) + 1), k=2))
        how = chance.randrange(5)
        if how == 0 and at < len(data):
            data[at] = chance.randrange(256)
        elif how == 1:
            del data[at : min(end, at + 20)]
        elif how == 2:
            data[at:at] = data[at : min(end, at + 20)]
        elif how == 3:
            data[at:at] = chance.choice([b"\r\n", b"\r\n\r\n", b"\n", b":", b" ", b"\x00", b"\xff"])
        elif how == 4 and chance.random() < 0.3:
            del data[at:]
    return bytes(data)


def test_thousands_of_broken_requests_get_json_or_nothing_and_kill_no_worker(local: Local) -> None:
    service, folder = local
    unsigned = b'{"id": "evt_fuzz"}'
    bases = [
        head("Stripe-Signature: t=1,v1=00", f"Content-Length: {len(unsigned)}") + unsigned,
        chunked(unsigned, "t=1,v1=00"),
        b"GET /health HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
    ]
    workers = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text()
    before = len(payloads(folder))
    # the same every time: a failure can be looked at
    chance = random.Random(20261123)
    requests = [mutated(chance.choice(bases), chance) for _ in range(3000)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda request: exchange(service.port, request), requests))
    for request, answer in zip(requests, answers, strict=True):
        if answer.status == 200:
            assert answer.json["status"] == "ok", request
        elif answer.status:
            assert answer.status in {400, 404, 405, 413, 414, 417, 431, 501}, request
            assert answer.content_type == "application/json", request
            # the answer to HEAD has no body
            assert not answer.body or set(answer.json) == {"error"}, request
    assert len({answer.status for answer in answers}) >= 5
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
    assert children.read_text() == workers
    assert len(payloads(folder)) == before


def test_a_body_cut_short_is_never_archived(local: Local) -> None:
    """Signed for just the part that arrives."""
    service, folder = local
    part = b'{"id": "evt_cut"}'
    length = f"Content-Length: {len(part) + 1}"
    answer = exchange(service.port, head(f"Stripe-Signature: {signature(part)}", length) + part)
    assert answer.status in (0, 400)
    assert part not in payloads(folder)


def test_an_exception_is_nowhere_in_the_log(local: Local) -> None:
    """After all of the above: nothing took the service by surprise."""
    lines = log_lines(local[0])
    assert [line for line in lines if "exception" in line] == []
    assert [line for line in lines if line["level"] in ("ERROR", "CRITICAL")] == []

"""The endpoint through WSGI, with an archive that fails when told to."""

import json
import logging
from datetime import datetime
from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tests.conftest import OTHER_SECRET, SECRET, FakeArchive
from webhook_app.events.record import Record
from webhook_app.events.signature import sign
from webhook_app.version import __version__

BODY = b'{\n  "id": "evt_1",\n  "type": "charge.succeeded"\n}'


def post(
    client: FlaskClient, body: bytes = BODY, secret: str = SECRET, path: str = "/webhook/stripe"
) -> TestResponse:
    return client.post(path, data=body, headers={"Stripe-Signature": sign(body, secret)})


def answer(response: TestResponse) -> tuple[int, Any]:
    assert response.content_type == "application/json"
    return response.status_code, json.loads(response.data)


def fields(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    (line,) = (record for record in caplog.records if record.name == "webhook_app.web.webhook")
    found: dict[str, Any] = line.__dict__["fields"] | {"message": line.getMessage()}
    return found


@pytest.mark.parametrize("path", ["/webhook/stripe", "/webhook/stripe/"])
@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
def test_a_signed_event_is_archived_and_acknowledged(
    client: FlaskClient, archive: FakeArchive, path: str, secret: str
) -> None:
    assert answer(post(client, secret=secret, path=path)) == (200, {"received": True})
    (record,) = archive.records
    assert record.payload.encode() == BODY
    assert record.id == "evt_1"


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/html", ""],
)
def test_the_body_is_bytes_whatever_its_type(
    client: FlaskClient, archive: FakeArchive, content_type: str
) -> None:
    body = b"a=1&b=%20\r\n--x"
    headers = {"Stripe-Signature": sign(body, SECRET), "Content-Type": content_type}
    assert client.post("/webhook/stripe", data=body, headers=headers).status_code == 200
    assert archive.records[0].payload.encode() == body


def test_the_signature_header_is_kept_as_received(
    client: FlaskClient, archive: FakeArchive
) -> None:
    header = f"{sign(BODY, SECRET)},v0=abc,extra"
    client.post("/webhook/stripe", data=BODY, headers={"Stripe-Signature": header})
    assert archive.records[0].stripe_signature == header


def test_nothing_unsigned_reaches_the_archive(client: FlaskClient, archive: FakeArchive) -> None:
    invalid = (400, {"error": "Invalid signature"})
    assert answer(client.post("/webhook/stripe", data=BODY)) == invalid
    assert answer(post(client, secret="whsec_guess")) == invalid
    bad = {"Stripe-Signature": "t=1,v1=é"}
    assert answer(client.post("/webhook/stripe", data=BODY, headers=bad)) == invalid
    utf16 = {"Stripe-Signature": sign(BODY, SECRET)}
    assert answer(client.post("/webhook/stripe", data=b"\xff\xfe", headers=utf16)) == invalid
    assert archive.records == []


def test_an_archive_that_fails_is_a_500_and_the_next_delivery_heals(
    client: FlaskClient, archive: FakeArchive
) -> None:
    archive.failure = "PutRecord: ServiceUnavailableException: Slow down."
    assert answer(post(client)) == (500, {"error": "Storage unavailable"})
    archive.failure = None
    assert answer(post(client)) == (200, {"received": True})


def test_a_body_over_the_limit_is_refused(client: FlaskClient, archive: FakeArchive) -> None:
    assert post(client, b"x" * 2000).status_code == 200
    assert answer(post(client, b"x" * 2001)) == (413, {"error": "Payload too large"})
    assert len(archive.records) == 1


@pytest.mark.parametrize("size", [2001, 2002, 50_000])
def test_a_chunked_body_over_the_limit_is_refused_and_not_cut(
    client: FlaskClient, archive: FakeArchive, size: int
) -> None:
    for cut in (2000, 2001):
        # signed such that a silent cut would pass
        response = client.post(
            "/webhook/stripe",
            input_stream=BytesIO(b"x" * size),
            headers={"Stripe-Signature": sign(b"x" * cut, SECRET)},
            environ_overrides={"CONTENT_LENGTH": "", "wsgi.input_terminated": True},
        )
        assert answer(response) == (413, {"error": "Payload too large"})
    assert archive.records == []


def test_a_body_shorter_than_announced_is_never_archived(
    client: FlaskClient, archive: FakeArchive
) -> None:
    response = client.post(
        "/webhook/stripe",
        input_stream=BytesIO(BODY),
        headers={"Stripe-Signature": sign(BODY, SECRET)},
        environ_overrides={
            "CONTENT_LENGTH": str(len(BODY) + 1),
            "wsgi.input_terminated": True,
        },
    )
    assert answer(response) == (400, {"error": "Bad request"})
    assert archive.records == []


class BrokenStream:
    """A server whose chunk parser gives up in its own way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, *_: object) -> bytes:
        raise self._error

    readinto = readline = read


@pytest.mark.parametrize("error", [OSError("reset"), ValueError("chunk"), RuntimeError("odd")])
def test_a_body_that_cannot_be_read_is_the_senders_fault(
    client: FlaskClient, archive: FakeArchive, error: Exception
) -> None:
    response = client.post(
        "/webhook/stripe",
        environ_overrides={"wsgi.input": BrokenStream(error), "wsgi.input_terminated": True},
    )
    assert answer(response) == (400, {"error": "Bad request"})
    assert archive.records == []


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", (404, {"error": "Not found"})),
        ("POST", "/webhook", (404, {"error": "Not found"})),
        ("POST", "//webhook/stripe", (404, {"error": "Not found"})),
        ("POST", "/webhook//stripe", (404, {"error": "Not found"})),
        ("POST", "/webhook/stripe//", (404, {"error": "Not found"})),
        ("GET", "/static/x", (404, {"error": "Not found"})),
        ("GET", "/\x00\xff<script>", (404, {"error": "Not found"})),
        ("GET", "/webhook/stripe", (405, {"error": "Method not allowed"})),
        ("PUT", "/webhook/stripe/", (405, {"error": "Method not allowed"})),
        ("OPTIONS", "/webhook/stripe", (405, {"error": "Method not allowed"})),
        ("BREW", "/webhook/stripe", (405, {"error": "Method not allowed"})),
        ("POST", "/health", (405, {"error": "Method not allowed"})),
    ],
)
def test_wrong_paths_and_methods_are_told_in_json(
    client: FlaskClient, method: str, path: str, expected: tuple[int, Any]
) -> None:
    response = client.open(path, method=method)
    assert answer(response) == expected
    assert ("Allow" in response.headers) == (expected[0] == 405)


def test_health_tells_status_version_and_time(client: FlaskClient, archive: FakeArchive) -> None:
    archive.failure = "down"
    status, body = answer(client.get("/health"))
    assert status == 200
    assert {"status": "ok", "version": __version__}.items() <= body.items()
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None


def test_a_bug_is_a_500_without_a_page(
    client: FlaskClient, archive: FakeArchive, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(record: Record, deadline: float) -> None:
        raise KeyError("card 4242")

    archive.put = bug  # type: ignore[method-assign]
    assert answer(post(client)) == (500, {"error": "Storage unavailable"})
    assert caplog.messages == ["Failed to persist webhook"]


def test_one_line_tells_of_an_archived_delivery(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    post(client)
    told = fields(caplog)
    assert told.pop("archive_ms") <= told.pop("total_ms") < 1000
    assert len(told.pop("request_id")) == 32
    assert told == {
        "message": "Webhook archived",
        "outcome": "archived",
        "event_id": "evt_1",
        "event_type": "charge.succeeded",
        "bytes": len(BODY),
    }


def test_operators_find_failed_writes_by_their_phrase(
    client: FlaskClient, archive: FakeArchive, caplog: pytest.LogCaptureFixture
) -> None:
    archive.failure = "PutRecord: AccessDeniedException: no"
    post(client)
    told = fields(caplog)
    assert told["message"] == "Failed to persist webhook"
    assert told["outcome"] == "failed"
    assert told["cause"] == archive.failure
    assert (told["event_id"], told["event_type"]) == ("evt_1", "charge.succeeded")


def test_operators_find_refused_signatures_by_their_phrase(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.post("/webhook/stripe", data=BODY)
    told = fields(caplog)
    assert "signature verification failed" in told["message"]
    assert (told["outcome"], told["reason"]) == ("refused", "missing header")


def test_operators_learn_of_a_body_that_was_too_large(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    post(client, b"x" * 5000)
    told = fields(caplog)
    assert (told["outcome"], told["reason"]) == ("refused", "body over MAX_BODY_BYTES")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("req-1:2/a_b.c", True), ("a b", False), ("a\u00e9", False), ("x" * 201, False)],
)
def test_a_request_id_is_taken_over_if_it_is_one(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, sent: str, kept: bool
) -> None:
    client.post("/webhook/stripe", data=BODY, headers={"X-Request-ID": sent})
    assert (fields(caplog)["request_id"] == sent) is kept


TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
        (f"00-{TRACE}-b7ad6b7169203331-00", TRACE),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-b7ad6b7169203331-01-more", None),
        (f"01-{TRACE}-b7ad6b7169203331-01", None),
        (f"ff-{TRACE}-b7ad6b7169203331-01", None),
        (f"00-{TRACE[1:]}-b7ad6b7169203331-01", None),
        (f"00-{TRACE}-b7ad6b7169203331-1", None),
        ("00-\u0663" * 10, None),
        ("", None),
    ],
)
def test_a_trace_id_is_taken_over_if_it_is_one(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, sent: str, taken: str | None
) -> None:
    headers = {"traceparent": sent.encode().decode("latin-1")}
    client.post("/webhook/stripe", data=BODY, headers=headers)
    told = fields(caplog)
    assert told.get("trace_id") == taken
    assert len(told["request_id"]) == 32


@hypothesis_settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "PATCH"]),
    path=st.sampled_from(["/webhook/stripe", "/webhook/stripe/", "/health"]) | st.text(),
    body=st.binary(),
    header=st.none() | st.text(st.characters(max_codepoint=255, exclude_characters="\r\n")),
)
def test_no_request_gets_anything_but_json_of_the_contract(
    client: FlaskClient,
    archive: FakeArchive,
    method: str,
    path: str,
    body: bytes,
    header: str | None,
) -> None:
    headers = {} if header is None else {"Stripe-Signature": header}
    environ = {"PATH_INFO": path.encode(errors="ignore").decode("latin-1")}
    response = client.open(
        "/", method=method, data=body, headers=headers, environ_overrides=environ
    )
    # Werkzeug puts the slash in front that no server leaves out
    path = f"/{path.removeprefix('/')}"
    # the counters are open with a local archive, and Prometheus wants no JSON
    for_prometheus = path == "/metrics" and response.status_code == 200
    assert response.content_type == "application/json" or for_prometheus
    assert response.status_code in {200, 400, 404, 405}
    asked = path in {"/health", "/metrics", "/counter"} and method in {"GET", "HEAD"}
    assert (response.status_code == 200) == asked
    assert archive.records == []

"""/metrics and /counter through WSGI: who may ask, and what they are told."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_metrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import SECRET, FakeArchive
from tests.support.service import PROJECT
from tests.support.stripe_client import signature
from tests.unit.test_webhook import BODY, answer, post
from webhook_app import create_app
from webhook_app.events.record import Record
from webhook_app.events.signature import sign
from webhook_app.settings import Settings
from webhook_app.version import __version__

TOKEN = "token-of-at-least-16"
PATHS = ["/metrics", "/counter"]


@pytest.fixture
def guarded(settings: Settings, archive: FakeArchive) -> FlaskClient:
    """The service on a local archive, with a token."""
    return create_app(replace(settings, metrics_token=TOKEN), archive).test_client()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def counted(client: FlaskClient) -> dict[str, Any]:
    status, body = answer(client.get("/counter"))
    assert status == 200
    told: dict[str, Any] = body
    return told


def samples(client: FlaskClient) -> dict[str, float]:
    """Name and label values, as in `name{value}`, to the value."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        "".join([sample.name, *("{" + value + "}" for value in sample.labels.values())]): (
            sample.value
        )
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize("path", PATHS)
def test_with_firehose_and_without_a_token_there_is_nothing(
    firehose_settings: Settings, archive: FakeArchive, path: str
) -> None:
    client = create_app(firehose_settings, archive).test_client()
    assert post(client).status_code == 200
    assert answer(client.get(path)) == (404, {"error": "Not found"})
    assert answer(client.get(path, headers=bearer(TOKEN))) == (404, {"error": "Not found"})


@pytest.mark.parametrize("path", PATHS)
def test_a_local_archive_without_a_token_is_open(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("local", [True, False], ids=["local", "firehose"])
@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN} ", 200),
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        (TOKEN, 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Bearer x, Bearer {TOKEN}", 401),
        ("Bearer \u00e9\u00ff", 401),
        (f"Bearer {SECRET}", 401),
    ],
)
def test_where_there_is_a_token_it_is_wanted(
    settings: Settings,
    firehose_settings: Settings,
    archive: FakeArchive,
    path: str,
    local: bool,
    header: str | None,
    status: int,
) -> None:
    chosen = replace(settings if local else firehose_settings, metrics_token=TOKEN)
    client = create_app(chosen, archive).test_client()
    response = client.get(path, headers={} if header is None else {"Authorization": header})
    assert response.status_code == status
    if status == 401:
        assert answer(response) == (401, {"error": "Unauthorized"})
        assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_it_is_only_for_reading(guarded: FlaskClient, path: str, method: str) -> None:
    response = guarded.open(path, method=method, headers=bearer(TOKEN))
    assert answer(response) == (405, {"error": "Method not allowed"})
    # as /health does
    assert guarded.head(path, headers=bearer(TOKEN)).status_code == 200
    assert guarded.head(path).status_code == 401


def test_the_format_is_the_one_that_is_asked_for(client: FlaskClient) -> None:
    post(client)
    plain = client.get("/metrics")
    assert plain.content_type == "text/plain; version=0.0.4; charset=utf-8"
    # what Prometheus sends
    wanted = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5"
    other = client.get("/metrics", headers={"Accept": wanted})
    assert other.content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert other.text.endswith("# EOF\n")
    families = open_metrics_families(other.text)  # type: ignore[no-untyped-call]
    names = {sample.name for family in families for sample in family.samples}
    assert names == {name.partition("{")[0] for name in samples(client)}


def test_both_tell_of_every_kind_of_delivery(client: FlaskClient, archive: FakeArchive) -> None:
    for _ in range(3):
        post(client)
    post(client, b"[]")
    post(client, secret="whsec_guess")
    client.post("/webhook/stripe", data=BODY)
    post(client, b"x" * 2001)
    archive.failure = "PutRecord: ServiceUnavailableException: Slow down."
    post(client)

    told = counted(client)
    assert told.pop("since") <= client.get("/health").get_json()["timestamp"]
    assert told == {
        "received": 8,
        "archived": 4,
        "failed": 1,
        "refused": 3,
        "refused_by_reason": {
            "missing header": 1,
            "no matching signature": 1,
            "body over MAX_BODY_BYTES": 1,
        },
        "archived_by_type": {"charge.succeeded": 3, "null": 1},
        "archived_bytes": 3 * len(BODY) + 2,
        "retries": 0,
        "version": __version__,
    }

    found = samples(client)
    for name, value in {
        "deliveries_total{archived}": 4,
        "deliveries_total{failed}": 1,
        "deliveries_total{refused}": 3,
        "refusals_total{missing header}": 1,
        "refusals_total{too old}": 0,
        "events_archived_total{charge.succeeded}": 3,
        "events_archived_total{null}": 1,
        "archived_bytes_total": 3 * len(BODY) + 2,
        "archive_retries_total": 0,
        "archive_duration_seconds_count": 5,
        "archive_duration_seconds_bucket{+Inf}": 5,
        "delivery_duration_seconds_count": 8,
        "workers_busy": 0,
        "workers": 1,
        f"build_info{{{__version__}}}": 1,
    }.items():
        assert found[f"stripe_webhook_{name}"] == value, name
    assert 0 < found["stripe_webhook_delivery_duration_seconds_sum"] < 8


class Chunks:
    """A body whose chunks cannot be read."""

    def read(self, *_: object) -> bytes:
        raise OSError

    readinto = readline = read


def test_every_refusal_has_a_reason_of_its_own(client: FlaskClient) -> None:
    header = {"Stripe-Signature": sign(BODY, SECRET)}
    for sent in ("", "v1=0", signature(BODY, at=time.time() - 400)):
        client.post("/webhook/stripe", data=BODY, headers={"Stripe-Signature": sent})
    client.post("/webhook/stripe", data=b"\xff", headers=header)
    post(client, secret="whsec_guess")
    post(client, b"x" * 2001)
    cut = {"CONTENT_LENGTH": str(len(BODY) + 1), "wsgi.input_terminated": True}
    client.post("/webhook/stripe", data=BODY, headers=header, environ_overrides=cut)
    broken = {"wsgi.input": Chunks(), "wsgi.input_terminated": True}
    client.post("/webhook/stripe", environ_overrides=broken)
    told = counted(client)
    assert told["refused"] == 8
    assert "other" not in told["refused_by_reason"]


def test_a_bug_counts_as_a_failure_and_leaves_nobody_busy(
    client: FlaskClient, archive: FakeArchive
) -> None:
    def bug(record: Record, deadline: float) -> None:
        raise KeyError("card 4242")

    archive.put = bug  # type: ignore[method-assign]
    assert post(client).status_code == 500
    assert (counted(client)["received"], counted(client)["failed"]) == (1, 1)
    assert samples(client)["stripe_webhook_workers_busy"] == 0


def test_a_delivery_at_work_is_seen(client: FlaskClient, archive: FakeArchive) -> None:
    seen = []
    archive.put = lambda record, deadline: seen.append(samples(client))  # type: ignore[method-assign]
    post(client)
    assert seen[0]["stripe_webhook_workers_busy"] == 1
    assert samples(client)["stripe_webhook_workers_busy"] == 0


def test_threads_count_as_workers(settings: Settings, archive: FakeArchive) -> None:
    client = create_app(replace(settings, threads=8), archive).test_client()
    assert samples(client)["stripe_webhook_workers"] == 8


def test_two_services_in_a_process_do_not_mix(app: Flask, settings: Settings) -> None:
    other = create_app(settings, FakeArchive()).test_client()
    post(app.test_client())
    assert counted(other)["received"] == 0
    assert counted(app.test_client())["received"] == 1


def test_a_type_of_any_characters_is_a_label(client: FlaskClient) -> None:
    odd = 'a"b\\c{d="e"} é'
    post(client, json.dumps({"type": odd}).encode())
    assert samples(client)[f"stripe_webhook_events_archived_total{{{odd}}}"] == 1


def test_no_secret_and_nothing_of_an_event_is_in_either(
    guarded: FlaskClient, archive: FakeArchive
) -> None:
    post(guarded, b'{"id": "evt_1", "type": "a.b", "email": "zoe@example.com"}')
    told = "".join(guarded.get(path, headers=bearer(TOKEN)).text for path in PATHS)
    assert "a.b" in told
    for hidden in (TOKEN, SECRET, "evt_1", "zoe", archive.records[0].stripe_signature):
        assert str(hidden) not in told


@pytest.mark.parametrize("token", ["", TOKEN])
def test_where_nobody_can_ask_prometheus_is_not_even_loaded(token: str) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import wsgi, sys; print('prometheus_client' in sys.modules)"],
        cwd=PROJECT,
        env={
            "PYTHON_DOTENV_DISABLED": "1",
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "FIREHOSE_DELIVERY_STREAM_NAME": "events",
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "METRICS_TOKEN": token,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == str(bool(token))


def test_an_exception_behind_the_archive_counts_a_delivery_once(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("card 4242")

    monkeypatch.setattr("webhook_app.web.webhook.json_response", broken)
    post(client)
    monkeypatch.undo()
    assert {"received": 1, "archived": 0, "failed": 1}.items() <= counted(client).items()


@pytest.mark.parametrize("path", PATHS)
def test_a_bug_in_the_metrics_is_not_told_as_one_of_the_archive(
    app: Flask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def broken() -> None:
        raise RuntimeError("card 4242")

    monkeypatch.setattr(app.extensions["counters"], "totals", broken)
    assert answer(app.test_client().get(path)) == (500, {"error": "Internal server error"})
    assert caplog.messages == ["Unhandled exception"]

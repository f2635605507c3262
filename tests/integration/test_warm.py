"""What is done before the fork leaves no trace but in memory."""

import logging
from dataclasses import replace
from unittest.mock import patch

import pytest
from flask import Flask

from tests.conftest import FakeArchive
from tests.fakes.firehose import FakeFirehose
from webhook_app import create_app
from webhook_app.serving import prewarm as warm
from webhook_app.settings import Settings


@pytest.mark.parametrize("token", [None, "a-token-of-16-characters"])
def test_nothing_is_archived_logged_or_counted(
    settings: Settings, archive: FakeArchive, caplog: pytest.LogCaptureFixture, token: str | None
) -> None:
    app = create_app(replace(settings, metrics_token=token), archive)
    made: list[Flask] = []
    with caplog.at_level(logging.DEBUG), patch.object(warm, "create_app") as create:
        create.side_effect = lambda *given: made.append(create_app(*given)) or made[0]  # type: ignore[func-returns-value]
        warm.warm(app)
    assert archive.records == []
    assert caplog.records == []
    # neither those of the service nor any of its copy, which would be memory for nothing
    counter = app.test_client().get("/counter", headers={"Authorization": f"Bearer {token}"})
    assert counter.json
    assert counter.json["received"] == 0
    assert made[0].extensions["counters"] is None


def test_the_deliveries_go_all_the_way(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    put = []
    monkeypatch.setattr(warm._Rehearsal, "put", lambda _, record: put.append(record))
    warm.warm(app)
    # signed, verified, read and made a record: not turned away at the door
    assert len(put) == warm._ROUNDS
    assert put[0].payload.encode() == warm._EVENT
    assert put[0].id == "evt_0"


def test_firehose_signs_and_sends_nothing(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeFirehose().serving() as firehose:
        monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", firehose.url)
        app = create_app(replace(firehose_settings, transport="direct"))
        signed = []
        lean = app.extensions["archive"]._lean
        monkeypatch.setattr(lean, "request", lambda data, _: signed.append(data))
        warm.warm(app)
        assert len(signed) == warm._ROUNDS
        assert firehose.calls == 0


def test_the_log_works_afterwards(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    warm.warm(app)
    app.test_client().post("/webhook/stripe", data=b"{}")
    assert [record.message for record in caplog.records] == [
        "Webhook signature verification failed"
    ]

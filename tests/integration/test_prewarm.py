"""What is done before the fork leaves no trace but in memory."""

import logging
from dataclasses import replace
from unittest.mock import patch

import pytest
from flask import Flask

from tests.conftest import FakeArchive
from tests.fakes.firehose import FakeFirehose
from webhook_app import create_app
from webhook_app.events.record import Record
from webhook_app.serving.prewarm import prewarm
from webhook_app.settings import Settings
from webhook_app.storage.direct import DirectClient


@pytest.mark.parametrize("token", [None, "a-token-of-16-characters"])
def test_nothing_is_archived_logged_or_counted(
    settings: Settings, archive: FakeArchive, caplog: pytest.LogCaptureFixture, token: str | None
) -> None:
    app = create_app(replace(settings, metrics_token=token), archive)
    made: list[Flask] = []
    with caplog.at_level(logging.DEBUG), patch("webhook_app.serving.prewarm.create_app") as create:
        create.side_effect = lambda *given: made.append(create_app(*given)) or made[0]  # type: ignore[func-returns-value]
        prewarm(app)
    assert archive.records == []
    assert caplog.records == []
    # neither those of the service nor any of its copy, which would be memory for nothing
    counter = app.test_client().get("/counter", headers={"Authorization": f"Bearer {token}"})
    assert counter.json
    assert counter.json["received"] == 0
    assert made[0].extensions["counters"] is None


class PreparingArchive(FakeArchive):
    """An archive that can do all but store."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared: list[Record] = []

    def prepare(self, record: Record) -> None:
        self.prepared.append(record)


def test_the_deliveries_go_all_the_way(settings: Settings) -> None:
    archive = PreparingArchive()
    prewarm(create_app(settings, archive))
    # signed, verified, read and made a record: not refused before; as often as CPython needs
    assert len(archive.prepared) >= 50
    assert archive.prepared[0].id == "evt_0"
    assert archive.records == []


def test_firehose_signs_and_sends_nothing(
    firehose_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeFirehose().serving() as firehose:
        monkeypatch.setenv("AWS_ENDPOINT_URL_FIREHOSE", firehose.url)
        app = create_app(firehose_settings)
        with patch.object(DirectClient, "signed_request") as signed:
            prewarm(app)
        assert signed.call_count >= 50
        assert firehose.calls == 0


def test_the_log_works_afterwards(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    prewarm(app)
    app.test_client().post("/webhook/stripe", data=b"{}")
    assert [record.message for record in caplog.records] == [
        "Webhook signature verification failed"
    ]

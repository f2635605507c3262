import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from webhook_app.events.record import webhook_record
from webhook_app.storage import firehose
from webhook_app.storage.direct import DirectClient

RECORD = webhook_record(b'{"id": "evt_1"}', "t=1,v1=a", datetime(2026, 11, 23, tzinfo=UTC))


def soon(seconds: float = 30) -> float:
    """A deadline that is not what a test is about."""
    return time.monotonic() + seconds


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Credentials that open nothing, and clients that belong to one test only."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    # a machine may have its own way out, which is no part of a test
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for client in (firehose.firehose_client, firehose.s3_client, firehose.aws_session):
        client.cache_clear()
    yield
    for client in (firehose.firehose_client, firehose.s3_client, firehose.aws_session):
        client.cache_clear()


@pytest.fixture(autouse=True)
def direct_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[DirectClient]]:
    """The clients of direct requests that a test's archives make; a service never closes them."""
    made: list[DirectClient] = []

    def make(*given: Any, **named: Any) -> DirectClient:
        made.append(DirectClient(*given, **named))
        return made[-1]

    monkeypatch.setattr(firehose, "DirectClient", make)
    yield made
    for client in made:
        client.close()

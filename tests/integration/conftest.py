from collections.abc import Iterator

import pytest

from webhook_app.storage import firehose


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Credentials that open nothing, and clients that belong to one test only."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for client in (firehose.firehose_client, firehose.s3_client, firehose._session):
        client.cache_clear()
    yield
    for client in (firehose.firehose_client, firehose.s3_client, firehose._session):
        client.cache_clear()

from collections.abc import Iterator

import pytest

from webhook_app.storage import firehose


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
    for client in (firehose.firehose_client, firehose.s3_client, firehose._session):
        client.cache_clear()
    yield
    for client in (firehose.firehose_client, firehose.s3_client, firehose._session):
        client.cache_clear()

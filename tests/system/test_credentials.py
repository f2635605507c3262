"""The credentials of a role: renewed without a delivery waiting for it."""

import time
from pathlib import Path

import pytest

from tests.fakes.credentials import FakeCredentials
from tests.fakes.firehose import FakeFirehose
from tests.support.service import running
from tests.support.stripe_client import SECRET, deliver
from tests.system.conftest import log_lines


def variables(credentials: FakeCredentials, firehose: FakeFirehose) -> dict[str, str]:
    return {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "FIREHOSE_DELIVERY_STREAM_NAME": "events",
        "AWS_REGION": "eu-west-1",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": credentials.url,
        "AWS_ENDPOINT_URL_FIREHOSE": firehose.url,
        "WEB_WORKERS": "2",
    }


def test_no_delivery_waits_for_a_metadata_service_that_hangs(tmp_path: Path) -> None:
    # inside the 15 minutes in which botocore renews
    credentials = FakeCredentials(lifetime_s=14 * 60)
    credentials.after_first = "hang"
    with (
        credentials.serving(),
        FakeFirehose().serving() as firehose,
        running(variables(credentials, firehose), tmp_path / "log") as service,
    ):
        time.sleep(0.5)
        for number in range(10):
            started = time.monotonic()
            assert deliver(service.port, b"[%d]" % number).status == 200
            assert time.monotonic() - started < 2
        assert credentials.calls > 1
        assert len(firehose.records) == 10


@pytest.mark.parametrize("after_first", ["ok", "fail"])
def test_short_sessions_are_not_renewed_all_the_time(tmp_path: Path, after_first: str) -> None:
    """Sessions of 15 minutes are due from their beginning: botocore would renew at each look."""
    credentials = FakeCredentials(lifetime_s=899)
    credentials.after_first = after_first
    with (
        credentials.serving(),
        FakeFirehose().serving() as firehose,
        running(variables(credentials, firehose), tmp_path / "log") as service,
    ):
        for number in range(20):
            assert deliver(service.port, b"[%d]" % number).status == 200
            time.sleep(0.2)
        # once at the boot, then once for each worker, where botocore tries three times
        assert credentials.calls <= 1 + 2 * 3
        warnings = [line for line in log_lines(service) if line["level"] != "INFO"]
        assert len(warnings) <= (0 if after_first == "ok" else 4)

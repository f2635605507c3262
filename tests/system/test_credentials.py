"""The credentials of a role: renewed without a delivery waiting for it."""

import time
from pathlib import Path

from tests.fakes.credentials import FakeCredentials
from tests.fakes.firehose import FakeFirehose
from tests.support.service import running
from tests.support.stripe_client import SECRET, deliver


def test_no_delivery_waits_for_a_metadata_service_that_hangs(tmp_path: Path) -> None:
    # inside the 15 minutes in which botocore renews
    credentials = FakeCredentials(lifetime_s=14 * 60)
    credentials.after_first = "hang"
    with credentials.serving(), FakeFirehose().serving() as firehose:
        variables = {
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "FIREHOSE_DELIVERY_STREAM_NAME": "events",
            "AWS_REGION": "eu-west-1",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": credentials.url,
            "AWS_ENDPOINT_URL_FIREHOSE": firehose.url,
            "WEB_WORKERS": "2",
        }
        with running(variables, tmp_path / "log") as service:
            time.sleep(0.5)
            for number in range(10):
                started = time.monotonic()
                assert deliver(service.port, b"[%d]" % number).status == 200
                assert time.monotonic() - started < 2
        assert credentials.calls > 1
        assert len(firehose.records) == 10

"""Whatever an endpoint does, the direct request is no worse than boto3 alone."""

import random
from dataclasses import replace

import pytest

from tests.fakes.firehose import BREAKS, CONFIRMATIONS, FakeFirehose
from tests.integration.conftest import RECORD, soon
from webhook_app.settings import Settings
from webhook_app.storage import firehose
from webhook_app.storage.archive import ArchiveError
from webhook_app.storage.firehose import FirehoseArchive


def failures_and_duplicates(settings: Settings, behaviour: str) -> tuple[int, int]:
    """Write six records, the first two to an endpoint as it should be."""
    firehose.firehose_client.cache_clear()
    with FakeFirehose().serving() as fake, pytest.MonkeyPatch.context() as patch:
        fake.read_timeout_s = settings.read_timeout_s
        patch.setenv("AWS_ENDPOINT_URL_FIREHOSE", fake.url)
        patch.setattr(random, "random", lambda: 0.05)
        firehose.aws_session.cache_clear()
        archive = FirehoseArchive(settings)
        stored = 0
        for number in range(6):
            fake.behaviour = behaviour if number > 1 else "ok"
            try:
                archive.put(RECORD, soon())
                stored += 1
            except ArchiveError:
                continue
        # boto3 alone takes the second of two answers for that to the next request
        return 6 - stored, max(0, len(fake.records) - stored)


@pytest.mark.parametrize("behaviour", [*CONFIRMATIONS, *BREAKS, "garbage", "redirect"])
def test_no_more_failures_and_no_more_duplicates(
    firehose_settings: Settings, behaviour: str
) -> None:
    settings = replace(firehose_settings, read_timeout_s=0.3)
    alone = failures_and_duplicates(replace(settings, transport="boto3"), behaviour)
    direct = failures_and_duplicates(replace(settings, transport="direct"), behaviour)
    assert direct[0] <= alone[0]
    assert direct[1] <= alone[1]
    if behaviour in CONFIRMATIONS:
        assert direct == (0, 0)

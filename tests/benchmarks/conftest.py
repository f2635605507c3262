"""Each stage of a delivery as a function without arguments, for an event of a size."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.bench.deliveries import SECRET
from tests.bench.stages import NoArchive, work
from tests.bench.stand_in import stand_in
from webhook_app import create_app
from webhook_app.settings import Settings
from webhook_app.storage import firehose
from webhook_app.storage.firehose import FirehoseArchive

SIZES = (1_500, 5_000, 25_000, 250_000)

Stage = Callable[[], object]
StageOf = Callable[[int], Stage]


@pytest.fixture(scope="package")
def delivery_settings() -> Settings:
    return Settings(
        webhook_secrets=(SECRET,),
        stream_name="bench",
        aws_region="us-east-1",
    )


@pytest.fixture(scope="package")
def archive(delivery_settings: Settings) -> Iterator[FirehoseArchive]:
    """A Firehose that answers at once, in a process of its own: its CPU is none of ours."""
    clients = (firehose.firehose_client, firehose._session)
    with stand_in() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_FIREHOSE", running.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "bench")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "bench")
        for client in clients:
            client.cache_clear()
        archive = FirehoseArchive(delivery_settings)
        yield archive
        # a service keeps its connection for as long as it lives, and so never closes it
        if archive._direct:
            archive._direct.close()
        for client in clients:
            client.cache_clear()


@pytest.fixture(params=["verify", "record", "put", "application"])
def stage_of(
    request: pytest.FixtureRequest, delivery_settings: Settings, archive: FirehoseArchive
) -> StageOf:
    app: Any = create_app(delivery_settings, NoArchive())

    def stage(size: int) -> Stage:
        one = work(delivery_settings, size=size)
        record = one.record()
        stages: dict[str, Stage] = {
            "verify": one.verify,
            "record": one.line,
            "put": lambda: archive.put(record),
            "application": lambda: one.call(app),
        }
        return stages[request.param]

    return stage

"""Each stage of a delivery as a function without arguments, for an event of a size."""

import gc
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.bench.deliveries import SECRET
from tests.bench.stages import NoArchive, work
from tests.bench.stand_in import stand_in
from webhook_app import create_app
from webhook_app.events.record import Record
from webhook_app.settings import Settings
from webhook_app.storage import firehose

SIZES = (1_500, 5_000, 25_000, 250_000)

Stage = Callable[[], object]
StageOf = Callable[[int], Stage]


@pytest.fixture(scope="package")
def delivery_settings() -> Settings:
    return Settings(webhook_secrets=(SECRET,), stream_name="bench", aws_region="us-east-1")


@pytest.fixture(scope="package")
def put(delivery_settings: Settings) -> Iterator[Callable[[Record], None]]:
    """Store in a Firehose that answers at once. It is a process of its own: its CPU is not ours."""
    with stand_in() as running:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL_FIREHOSE", running.url)
            patch.setenv("AWS_ACCESS_KEY_ID", "bench")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "bench")
            firehose.aws_session.cache_clear()
            archives = [firehose.FirehoseArchive(delivery_settings)]
        # neither the address nor the credentials are for the tests that come after
        firehose.aws_session.cache_clear()
        yield lambda record: archives[0].put(record, math.inf)
        # a service keeps its connection for as long as it lives, so an archive has no way to end it
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            archives.clear()
            gc.collect()


@pytest.fixture(params=["verify", "record", "put", "application"])
def stage_of(
    request: pytest.FixtureRequest,
    delivery_settings: Settings,
    put: Callable[[Record], None],
) -> StageOf:
    app: Any = create_app(delivery_settings, NoArchive())

    def stage(size: int) -> Stage:
        one = work(delivery_settings, size=size)
        record = one.record()
        stages: dict[str, Stage] = {
            "verify": one.verify,
            "record": one.line,
            "put": lambda: put(record),
            "application": lambda: one.call(app),
        }
        return stages[request.param]

    return stage

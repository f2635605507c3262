"""The service that is measured: the Procfile's line, in front of a Firehose on this machine."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.service import Service, running

from .deliveries import SECRET


def variables(firehose_url: str, workers: int, threads: int = 1) -> dict[str, str]:
    """Return the environment of a service; what is not in there has its default."""
    return {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "FIREHOSE_DELIVERY_STREAM_NAME": "bench",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_ENDPOINT_URL_FIREHOSE": firehose_url,
        "WEB_WORKERS": str(workers),
        "WEB_THREADS": str(threads),
    }


@contextlib.contextmanager
def service(environ: dict[str, str], wrapper: Sequence[str] = ()) -> Iterator[Service]:
    """Run a service until the block ends, with `wrapper` in front of its command."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(environ, Path(folder) / "log", wrapper=wrapper) as one,
    ):
        yield one

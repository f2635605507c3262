"""A real gunicorn, started from the Procfile; nothing here imports the package."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples import archive
from tests.support.service import Service, running
from tests.support.stripe_client import SECRETS

ROOT = Path(__file__).resolve().parent.parent.parent
SHARED = ROOT.parent / "shared"


def log_lines(service: Service) -> list[dict[str, Any]]:
    """What the service logged, each line parsed."""
    return [json.loads(line) for line in service.log.read_text().splitlines()]


def deliveries(service: Service) -> list[dict[str, Any]]:
    """The lines on deliveries, without those that gunicorn puts in between."""
    return [line for line in log_lines(service) if line["logger"] == "webhook_app.web.webhook"]


def payloads(folder: Path) -> list[bytes]:
    """The bodies in a local archive."""
    return [record["payload"].encode() for record in archive.records(folder)]


@pytest.fixture(scope="module", params=["sync", "threads"])
def local(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Path]]:
    """The service on a local archive, with either kind of worker, and the archive's folder."""
    folder = tmp_path_factory.mktemp("local")
    variables = {
        "STRIPE_WEBHOOK_SECRET": SECRETS,
        "ARCHIVE_DIR": str(folder / "archive"),
        "WEB_WORKERS": "2",
        "WEB_THREADS": "1" if request.param == "sync" else "4",
    }
    with running(variables, folder / "log") as service:
        yield service, folder / "archive"

"""What the templates make, with the defaults and with every option taken."""

from functools import cache
from typing import Any

import pytest

from . import cloudformation, terraform
from .normal import World

BUCKET = "acme-stripe-webhooks"

#: CloudFormation's parameters and Terraform's variables, for each set of choices.
CHOICES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "defaults": ({"BucketName": BUCKET}, {"bucket_name": BUCKET}),
    "every option": (
        {
            "BucketName": BUCKET,
            "StreamName": "live-events",
            "BufferIntervalSeconds": 900,
            "BufferSizeMegabytes": 64,
            "ArchiveExpiryDays": 3650,
            "OldVersionDays": 7,
            "AlarmEmail": "ops@example.com",
            "SilenceHours": 6,
            "DatabaseName": "stripe_live",
            "ScanLimitBytes": 20_000_000_000,
        },
        {
            "bucket_name": BUCKET,
            "stream_name": "live-events",
            "buffer_interval_seconds": 900,
            "buffer_size_megabytes": 64,
            "archive_expiry_days": 3650,
            "old_version_days": 7,
            "alarm_email": "ops@example.com",
            "silence_hours": 6,
            "database_name": "stripe_live",
            "scan_limit_bytes": 20_000_000_000,
        },
    ),
}


@pytest.fixture(scope="session", params=list(CHOICES))
def choice(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def by_cloudformation(choice: str) -> World:
    return _by_cloudformation(choice)


@pytest.fixture(scope="session")
def by_terraform(choice: str) -> World:
    return _by_terraform(choice)


@pytest.fixture(scope="session", params=["CloudFormation", "Terraform"])
def world(choice: str, request: pytest.FixtureRequest) -> World:
    """What each of the two makes, with each set of choices."""
    return _by_terraform(choice) if request.param == "Terraform" else _by_cloudformation(choice)


@cache
def _by_cloudformation(choice: str) -> World:
    parameters, _ = CHOICES[choice]
    return cloudformation.world(cloudformation.TEMPLATE.read_text(), **parameters)


@cache
def _by_terraform(choice: str) -> World:
    _, variables = CHOICES[choice]
    return terraform.world(terraform.planned(**variables), terraform.text())

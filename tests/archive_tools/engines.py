"""What the tests of query and export share: records by hand, and a bucket like a folder."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from archive_tools import storage as storages
from archive_tools.storage import BucketStorage
from tests.archive_tools.conftest import store

BUCKET = "my-webhooks"
REGION = "us-east-1"


def line(
    id_: str | None = "evt_1",
    payload: object = "{}",
    received_at: str = "2026-11-23T10:00:00.000000Z",
    **fields: object,
) -> bytes:
    """A record as the service writes one."""
    record: dict[str, Any] = {"received_at": received_at, "id": id_, "type": "t", "object": "event"}
    record |= {"api_version": None, "account": None, "created": 1_795_392_000, "livemode": True}
    record |= {"source": "webhook", "stripe_signature": None, **fields}
    record["payload"] = payload if isinstance(payload, str) else json.dumps(payload)
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def folder_name(day: str) -> str:
    """The day's folder: of 2026-11-23 webhooks/year=2026/month=11/day=23."""
    return "webhooks/year={}/month={}/day={}".format(*day.split("-"))


def arrival(folder: Path, id_: str, at: str, *, day: str | None = None, **fields: Any) -> Path:
    """Store one delivery as an object of its own; `at` is as in 2026-11-23T10:00."""
    received_at = f"{at}:00.000000Z"
    name = f"{id_}-{at}-{fields.get('source', '')}.json.gz"
    whole = line(id_, received_at=received_at, **fields)
    return store(folder, whole, name=name, day=folder_name(day or at[:10]))


@contextmanager
def bucket_like(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[BucketStorage]:
    """A bucket of moto's with the files of a folder."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "testing")
    patch.setenv("AWS_REGION", REGION)
    storages.s3_client.cache_clear()
    with mock_aws():
        s3 = boto3.client("s3", REGION)
        s3.create_bucket(Bucket=BUCKET)
        for path in folder.rglob("*.*"):
            if path.is_file():
                key = path.relative_to(folder).as_posix()
                s3.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
        yield BucketStorage(BUCKET, REGION)
    storages.s3_client.cache_clear()

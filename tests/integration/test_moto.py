"""The real boto3 clients against moto's Firehose and S3."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import boto3
import pytest
from moto import mock_aws

from tests.integration.conftest import soon
from webhook_app import create_app
from webhook_app.events.record import Record, webhook_record
from webhook_app.events.signature import sign
from webhook_app.settings import Settings
from webhook_app.storage import firehose
from webhook_app.storage.archive import ArchiveError
from webhook_app.storage.firehose import FirehoseArchive

BUCKET = "my-webhooks"
# written out: a limit of AWS, not of ours
MAX_RECORD_BYTES = 1_024_000
REGION: Literal["eu-west-1"] = "eu-west-1"


@pytest.fixture
def settings(firehose_settings: Settings) -> Settings:
    # moto stands behind boto3; the lean way has a socket of its own
    return replace(
        firehose_settings,
        transport="boto3",
        aws_region=REGION,
        archive_bucket=BUCKET,
        max_body_bytes=4_194_304,
    )


@pytest.fixture(autouse=True)
def stream(settings: Settings) -> Iterator[None]:
    with mock_aws():
        boto3.client("s3", REGION).create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        boto3.client("firehose", REGION).create_delivery_stream(
            DeliveryStreamName=settings.stream_name or "",
            ExtendedS3DestinationConfiguration={
                "RoleARN": "arn:aws:iam::123456789012:role/firehose",
                "BucketARN": f"arn:aws:s3:::{BUCKET}",
                "Prefix": "delivered/",
            },
        )
        yield


def objects() -> dict[str, bytes]:
    bucket = boto3.resource("s3", REGION).Bucket(BUCKET)
    return {summary.key: summary.get()["Body"].read() for summary in bucket.objects.all()}


def record_of(line_bytes: int) -> Record:
    """A record whose line has exactly that many bytes."""
    now = datetime(2026, 11, 23, 9, 3, 45, tzinfo=UTC)
    empty = len(webhook_record(b"", "t=1,v1=a", now).line())
    record = webhook_record(b"x" * (line_bytes - empty), "t=1,v1=a", now)
    assert len(record.line()) == line_bytes
    return record


def test_a_signed_event_goes_through_the_stream_to_the_bucket(settings: Settings) -> None:
    body = '{\n  "id": "evt_1", "name": "Zoë"\n}'.encode()
    client = create_app(settings).test_client()
    headers = {"Stripe-Signature": sign(body, settings.webhook_secrets[0])}
    assert client.post("/webhook/stripe", data=body, headers=headers).status_code == 200
    ((key, line),) = objects().items()
    assert key.startswith("delivered/")
    assert line.count(b"\n") == 1
    assert json.loads(line)["payload"].encode() == body


def test_the_largest_record_goes_to_firehose(settings: Settings) -> None:
    record = record_of(MAX_RECORD_BYTES)
    FirehoseArchive(settings).put(record, soon())
    ((key, line),) = objects().items()
    assert key.startswith("delivered/")
    assert line == record.line()


def test_one_byte_more_goes_to_the_bucket_as_firehose_would_write_it(settings: Settings) -> None:
    record = record_of(MAX_RECORD_BYTES + 1)
    FirehoseArchive(settings).put(record, soon())
    ((key, data),) = objects().items()
    assert key.startswith("webhooks/year=2026/month=11/day=23/")
    assert key.endswith(".json.gz")
    assert gzip.decompress(data) == record.line()


def test_without_a_bucket_an_oversize_record_is_an_error_that_says_what_to_set(
    settings: Settings,
) -> None:
    archive = FirehoseArchive(replace(settings, archive_bucket=None))
    with pytest.raises(ArchiveError, match="set ARCHIVE_BUCKET"):
        archive.put(record_of(MAX_RECORD_BYTES + 1), soon())
    assert objects() == {}


def test_a_bucket_that_is_not_there_is_an_error(settings: Settings) -> None:
    archive = FirehoseArchive(replace(settings, archive_bucket="no-such-bucket"))
    with pytest.raises(ArchiveError, match="PutObject: NoSuchBucket"):
        archive.put(record_of(MAX_RECORD_BYTES + 1), soon())


def test_a_stream_that_is_not_there_is_an_error(settings: Settings) -> None:
    archive = FirehoseArchive(replace(settings, stream_name="no-such-stream"))
    with pytest.raises(ArchiveError, match="PutRecord: ResourceNotFoundException"):
        archive.put(record_of(1000), soon())


def test_an_oversize_write_replaces_no_object(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firehose, "object_key", lambda _: "webhooks/taken.json.gz")
    archive = FirehoseArchive(settings)
    archive.put(record_of(MAX_RECORD_BYTES + 1), soon())
    with pytest.raises(ArchiveError, match="PutObject: PreconditionFailed"):
        archive.put(record_of(MAX_RECORD_BYTES + 2), soon())


def test_an_oversize_write_without_an_etag_is_no_success(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = FirehoseArchive(settings)

    def put_object(**_: Any) -> dict[str, str]:
        return {}

    monkeypatch.setattr(firehose.s3_client(settings), "put_object", put_object)
    with pytest.raises(ArchiveError, match="no ETag"):
        archive.put(record_of(MAX_RECORD_BYTES + 1), soon())

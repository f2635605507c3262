"""Many records go into the stream or the folder, and each is confirmed or the command fails."""

import gzip
import json
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from archive_tools.errors import ToolError
from archive_tools.reconciling.writing import Writer, open_writer
from archive_tools.settings import ToolSettings
from archive_tools.storage import BucketStorage, FolderStorage
from webhook_app.events.record import Record, events_api_record
from webhook_app.storage import firehose
from webhook_app.storage.archive import ArchiveError
from webhook_app.storage.local import LocalArchive

BUCKET = "my-webhooks"
REGION: Literal["eu-west-1"] = "eu-west-1"
NOW = datetime(2026, 11, 23, 9, 3, 45, tzinfo=UTC)
# written out: a limit of AWS, not of ours
MAX_RECORD = 1_024_000


def record(number: int, size: int = 0) -> Record:
    body = {"id": f"evt_{number:04d}", "object": "event", "type": "t", "fill": "x" * size}
    return events_api_record(json.dumps(body).encode(), NOW)


def ids(records: Sequence[Record]) -> list[str]:
    return [record.id or "" for record in records]


def write(writer: Writer, *records: Record) -> None:
    """Have them written, and wait for it."""
    for one in records:
        writer.add(one)
    writer.flush()


def refusal(code: str, status: int = 400) -> ArchiveError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = ArchiveError(f"PutRecord: {code}")
    error.__cause__ = ClientError(answer, "PutRecord")
    return error


class Faulty:
    """An archive that refuses what it is told to, and keeps the rest."""

    def __init__(self, *faults: ArchiveError) -> None:
        self.faults = list(faults)
        self.calls = 0
        self.stored: list[str] = []
        self._lock = threading.Lock()

    def put(self, record: Record, deadline: float) -> None:
        with self._lock:
            self.calls += 1
            if self.faults:
                raise self.faults.pop(0)
            self.stored.append(record.id or "")


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[ToolSettings]:
    """moto's stream and bucket."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    caches = (firehose.firehose_client, firehose.s3_client, firehose.aws_session)
    for cache in caches:
        cache.cache_clear()
    with mock_aws():
        boto3.client("s3", REGION).create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        boto3.client("firehose", REGION).create_delivery_stream(
            DeliveryStreamName="events",
            ExtendedS3DestinationConfiguration={
                "RoleARN": "arn:aws:iam::123456789012:role/firehose",
                "BucketARN": f"arn:aws:s3:::{BUCKET}",
                "Prefix": "delivered/",
            },
        )
        yield ToolSettings(stream_name="events", aws_region=REGION, archive_bucket=BUCKET)
    for cache in caches:
        cache.cache_clear()


def stored_ids(prefix: str = "") -> list[str]:
    objects = boto3.resource("s3", REGION).Bucket(BUCKET).objects.filter(Prefix=prefix)
    found = [(summary.key, summary.get()["Body"].read()) for summary in objects]
    lines = b"".join(gzip.decompress(data) if key.endswith(".gz") else data for key, data in found)
    return sorted(json.loads(line)["id"] for line in lines.splitlines())


def test_records_go_through_the_stream(stream: ToolSettings) -> None:
    records = [record(n) for n in range(40)]
    write(open_writer(BucketStorage(BUCKET), stream), *records)
    assert stored_ids("delivered/") == ids(records)


@pytest.mark.parametrize("bucket", [BUCKET, None])
def test_what_is_too_large_goes_to_the_bucket_that_was_named(
    stream: ToolSettings, bucket: str | None
) -> None:
    settings = ToolSettings(stream_name="events", aws_region=REGION, archive_bucket=bucket)
    write(open_writer(BucketStorage(BUCKET), settings), record(0), record(1, MAX_RECORD))
    assert (stored_ids("delivered/"), stored_ids("webhooks/")) == (["evt_0000"], ["evt_0001"])


def test_records_are_written_by_the_hundreds_and_the_rest_by_a_flush() -> None:
    archive = Faulty()
    writer = Writer(archive)
    for n in range(501):
        writer.add(record(n))
    assert len(archive.stored) == 500
    writer.flush()
    writer.flush()
    assert sorted(archive.stored) == [f"evt_{n:04d}" for n in range(501)]


@pytest.mark.parametrize(
    "fault",
    [
        refusal("ServiceUnavailableException", 503),
        refusal("ThrottlingException"),
        ArchiveError("PutRecord: the answer has no RecordId"),
    ],
)
def test_a_throttled_record_is_tried_again_later(fault: ArchiveError) -> None:
    archive, slept = Faulty(fault, fault), list[float]()
    write(Writer(archive, slept.append), record(0), record(1))
    assert sorted(archive.stored) == ["evt_0000", "evt_0001"]
    assert archive.calls == 4
    assert len(slept) == 2


def test_throttling_without_an_end_is_an_error_that_says_so() -> None:
    archive = Faulty(*[refusal("ServiceUnavailableException", 503)] * 99)
    with pytest.raises(ToolError, match=r"did not take an event: PutRecord: ServiceUnavail"):
        write(Writer(archive, lambda _: None), record(0))
    assert archive.calls == 6


def test_a_refusal_is_not_tried_again_and_ends_the_rest() -> None:
    archive = Faulty(*[refusal("ResourceNotFoundException")] * 999)
    with pytest.raises(ToolError, match=r"ResourceNotFoundException.*\n  Fix: `flask doctor`"):
        write(Writer(archive, lambda _: None), *map(record, range(499)))
    assert archive.calls < 400


def test_a_folder_gets_a_file_for_each(tmp_path: Path) -> None:
    records = [record(n) for n in range(20)]
    # also where a stream is set
    settings = ToolSettings(stream_name="events", aws_region=REGION)
    write(open_writer(FolderStorage(tmp_path, "x"), settings), *records)
    lines = [gzip.decompress(path.read_bytes()) for path in tmp_path.rglob("*.json.gz")]
    assert sorted(lines) == sorted(record.line() for record in records)


def test_a_folder_that_is_full_is_not_tried_again(tmp_path: Path) -> None:
    slept = list[float]()
    writer = Writer(LocalArchive(tmp_path), slept.append)
    (tmp_path / "webhooks").write_text("a file where the folder should be")
    with pytest.raises(ToolError, match="did not take an event"):
        write(writer, record(0))
    assert slept == []


def test_a_bucket_without_a_stream_has_no_way_in() -> None:
    with pytest.raises(ToolError, match=r"s3://b is not named\n  Fix: set FIREHOSE_DELIVERY_STR"):
        open_writer(BucketStorage("b"), ToolSettings(aws_region=REGION))


def test_the_stream_of_another_bucket_gets_nothing() -> None:
    """With --archive s3://a-copy the service's stream would fill the service's bucket."""
    settings = ToolSettings(stream_name="events", aws_region=REGION, archive_bucket="another")
    with pytest.raises(ToolError, match=f"fills another, .* and not s3://{BUCKET}"):
        open_writer(BucketStorage(BUCKET), settings)

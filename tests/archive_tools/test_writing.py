"""Many records go into the stream or the folder at once, and each is confirmed or told of."""

import gzip
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from archive_tools.errors import ToolError
from archive_tools.reconciling.writing import FolderWriter, StreamWriter, Writer, open_writer
from archive_tools.settings import ToolSettings
from archive_tools.storage import BucketStorage, FolderStorage
from webhook_app.events.record import Record, events_api_record
from webhook_app.storage import firehose
from webhook_app.storage.local import LocalArchive

BUCKET = "my-webhooks"
REGION: Literal["eu-west-1"] = "eu-west-1"
NOW = datetime(2026, 11, 23, 9, 3, 45, tzinfo=UTC)
# written out: limits of AWS, not of ours
MAX_RECORDS, MAX_BYTES, MAX_RECORD = 500, 4_194_304, 1_024_000


def record(number: int, size: int = 0) -> Record:
    body = {"id": f"evt_{number:04d}", "object": "event", "type": "t", "fill": "x" * size}
    return events_api_record(json.dumps(body).encode(), NOW)


def ids(records: Sequence[Record]) -> list[str]:
    return [record.id or "" for record in records]


class Stream:
    """moto's stream and bucket, and a client of which calls can be made to fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slept: list[float] = []
        self.calls: list[int] = []
        """Records of each PutRecordBatch."""
        self.answers: list[Any] = []
        """What the next PutRecordBatch calls give: indexes that fail, or an exception."""
        self.alone: list[Exception] = []
        """What the next PutRecord calls raise."""
        self.alone_calls = 0
        settings = ToolSettings(
            stream_name="events", aws_region=REGION, archive_bucket=BUCKET, transport="boto3"
        )
        client = firehose.firehose_client(settings)
        self._put_batch, self._put_one = client.put_record_batch, client.put_record
        monkeypatch.setattr(client, "put_record_batch", self._batch)
        monkeypatch.setattr(client, "put_record", self._one)
        self.writer = StreamWriter(settings, self.slept.append)

    def write(self, records: Sequence[Record]) -> None:
        """Have them written, and wait for it."""
        for record in records:
            self.writer.add(record)
        self.writer.flush()

    def _batch(self, **call: Any) -> Any:
        self.calls.append(len(call["Records"]))
        failing = self.answers.pop(0) if self.answers else []
        if isinstance(failing, Exception):
            raise failing
        taken = [r for n, r in enumerate(call["Records"]) if n not in failing]
        results = iter(self._put_batch(**call | {"Records": taken})["RequestResponses"])
        refused = {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."}
        answers = [refused if n in failing else next(results) for n in range(len(call["Records"]))]
        return {"FailedPutCount": len(failing), "RequestResponses": answers}

    def _one(self, **call: Any) -> Any:
        self.alone_calls += 1
        if self.alone:
            raise self.alone.pop(0)
        return self._put_one(**call)

    def stored(self) -> dict[str, bytes]:
        bucket = boto3.resource("s3", REGION).Bucket(BUCKET)
        return {summary.key: summary.get()["Body"].read() for summary in bucket.objects.all()}

    def stored_ids(self) -> list[str]:
        lines = b"".join(
            gzip.decompress(data) if key.endswith(".gz") else data
            for key, data in self.stored().items()
        )
        return sorted(json.loads(line)["id"] for line in lines.splitlines())


def refusal(code: str, status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutRecord")


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
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
        yield Stream(monkeypatch)
    for cache in caches:
        cache.cache_clear()


def test_records_go_by_500_and_each_is_confirmed(stream: Stream) -> None:
    records = [record(n) for n in range(1001)]
    stream.write(records)
    assert stream.calls == [500, 500, 1]
    assert stream.stored_ids() == ids(records)


def test_what_was_not_taken_goes_alone_and_only_that(stream: Stream) -> None:
    stream.answers = [[1, 3]]
    records = [record(n) for n in range(5)]
    stream.write(records)
    assert stream.calls == [5]
    assert stream.alone_calls == 2
    assert stream.stored_ids() == ids(records)


def test_a_throttled_record_is_tried_again_later(stream: Stream) -> None:
    stream.answers = [[0]]
    stream.alone = [refusal("ServiceUnavailableException", 503), refusal("ThrottlingException")]
    stream.write([record(0)])
    assert stream.alone_calls == 3
    assert len(stream.slept) == 2
    assert stream.stored_ids() == ["evt_0000"]


def test_throttling_without_an_end_is_an_error_that_says_so(stream: Stream) -> None:
    stream.answers = [[1]]
    stream.alone = [refusal("ServiceUnavailableException", 503)] * 99
    with pytest.raises(ToolError, match=r"did not take an event: PutRecord: ServiceUnavail"):
        stream.write([record(0), record(1)])
    assert stream.alone_calls == 6


def test_a_refusal_is_not_tried_again(stream: Stream) -> None:
    stream.answers = [refusal("ResourceNotFoundException")]
    stream.alone = [refusal("ResourceNotFoundException")]
    with pytest.raises(ToolError, match=r"ResourceNotFoundException.*\n  Cure: `flask doctor`"):
        stream.write([record(0)])
    assert stream.alone_calls == 1


@pytest.mark.parametrize(
    "fault", [refusal("InternalFailure", 500), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "")]
)
def test_where_the_whole_call_fails_each_goes_alone(stream: Stream, fault: Exception) -> None:
    stream.answers = [fault]
    stream.write([record(0), record(1)])
    assert stream.alone_calls == 2
    assert stream.stored_ids() == ["evt_0000", "evt_0001"]


def test_who_may_put_only_one_at_a_time_does_that(stream: Stream) -> None:
    """The policy of the service itself allows no more."""
    stream.answers = [refusal("AccessDeniedException")]
    for n in range(3):
        stream.write([record(n)])
    assert len(stream.calls) == 1
    assert stream.stored_ids() == ["evt_0000", "evt_0001", "evt_0002"]


def test_an_answer_without_record_ids_confirms_nothing(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def empty(**_: Any) -> dict[str, Any]:
        return {"FailedPutCount": 0, "RequestResponses": [{}]}

    monkeypatch.setattr(stream.writer._client, "put_record_batch", empty)
    stream.write([record(0), record(1)])
    assert stream.alone_calls == 2


def test_a_record_that_is_too_large_goes_to_the_bucket(stream: Stream) -> None:
    stream.write([record(0), record(1, MAX_RECORD), record(2)])
    assert stream.calls == [2]
    assert stream.stored_ids() == ["evt_0000", "evt_0001", "evt_0002"]
    (large,) = (key for key in stream.stored() if key.startswith("webhooks/"))
    assert large.endswith(".json.gz")


class Kept(Writer):
    """Keeps the sizes of the lines of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[int]] = []

    def _write(self, batch: Sequence[tuple[Record, bytes]]) -> None:
        self.batches.append([len(line) for _, line in batch])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, MAX_RECORD) | st.just(10), max_size=30), st.integers(1, 60))
def test_no_batch_is_larger_than_a_call_may_be(sizes: list[int], times: int) -> None:
    kept = Kept()
    records = {size: record(0, size) for size in sizes}
    for size in sizes * times:
        kept.add(records[size])
    kept.flush()
    kept.flush()
    lines = [len(records[size].line()) for size in sizes * times]
    assert [line for batch in kept.batches for line in batch] == lines
    for batch in kept.batches:
        assert 0 < len(batch) <= MAX_RECORDS
        assert sum(batch) <= MAX_BYTES
    # and none could have taken the first of the next
    for batch, after in pairwise(kept.batches):
        assert len(batch) == MAX_RECORDS or sum(batch) + after[0] > MAX_BYTES


def test_a_folder_gets_a_file_for_each(tmp_path: Path) -> None:
    records = [record(n) for n in range(20)]
    writer = FolderWriter(LocalArchive(tmp_path))
    for one in records:
        writer.add(one)
    writer.flush()
    lines = [gzip.decompress(path.read_bytes()) for path in tmp_path.rglob("*.json.gz")]
    assert sorted(lines) == sorted(record.line() for record in records)


def test_a_bucket_without_a_stream_has_no_way_in() -> None:
    with pytest.raises(
        ToolError, match=r"fills s3://b is not named\n  Cure: set FIREHOSE_DELIVERY_STR"
    ):
        open_writer(BucketStorage("b"), ToolSettings(aws_region=REGION))


@pytest.mark.parametrize("bucket", [BUCKET, None])
def test_the_bucket_that_was_named_gets_what_is_too_large(
    stream: Stream, bucket: str | None
) -> None:
    settings = ToolSettings(stream_name="events", aws_region=REGION, archive_bucket=bucket)
    writer = open_writer(BucketStorage(BUCKET), settings)
    writer.add(record(1, MAX_RECORD))
    writer.flush()
    assert stream.stored_ids() == ["evt_0001"]


def test_the_stream_of_another_bucket_gets_nothing() -> None:
    """With --archive s3://a-copy the service's stream would fill the service's bucket."""
    settings = ToolSettings(stream_name="events", aws_region=REGION, archive_bucket="another")
    with pytest.raises(ToolError, match=f"fills another, .* and not s3://{BUCKET}"):
        open_writer(BucketStorage(BUCKET), settings)


def test_a_folder_is_written_to_also_where_a_stream_is_set(tmp_path: Path) -> None:
    settings = ToolSettings(stream_name="events", aws_region=REGION)
    writer = open_writer(FolderStorage(tmp_path, "x"), settings)
    writer.add(record(1))
    writer.flush()
    assert len(list(tmp_path.rglob("*.json.gz"))) == 1

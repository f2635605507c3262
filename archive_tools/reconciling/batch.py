"""Many records into an archive at once, each confirmed: by PutRecordBatch, or into the folder.

Knows what a batch may hold and what is done with the records that were not taken. The records go
the service's own way where one goes alone.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol

from botocore.exceptions import ClientError

from webhook_app.events.record import Record
from webhook_app.storage.archive import Archive, ArchiveError
from webhook_app.storage.firehose import MAX_RECORD_BYTES, FirehoseArchive, firehose_client
from webhook_app.storage.local import LocalArchive

from ..errors import ToolError
from ..settings import ToolSettings
from ..storage import BucketStorage, FolderStorage, Storage
from .pace import backoff_s

#: Of a PutRecordBatch: records, and bytes of their lines before base64.
#: https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
MAX_BATCH_RECORDS = 500
MAX_BATCH_BYTES = 4_194_304

_TRIES = 6
_THREADS = 8

_THROTTLED = ("ServiceUnavailable", "Throttl", "LimitExceeded", "SlowDown", "RequestTimeout")

Confirmed = Callable[[Sequence[str]], None]
"""Is told the ids of events as soon as the archive has confirmed them."""


class Writer(Protocol):
    """Puts records into an archive."""

    def put(self, records: Sequence[Record]) -> None:
        """Store the records; return only once each is confirmed.

        Raises:
            ToolError: one was not, after several tries.
        """


def open_writer(storage: Storage, settings: ToolSettings, confirmed: Confirmed) -> Writer:
    """Return what writes to an archive: a folder itself, or the stream that fills the bucket.

    Raises:
        ToolError: no stream is named, or one that fills another bucket.
    """
    if isinstance(storage, FolderStorage):
        return FolderWriter(LocalArchive(storage.folder), confirmed)
    if (
        not isinstance(storage, BucketStorage)
        or not settings.stream_name
        or not settings.aws_region
    ):
        raise ToolError(
            f"What would bring events to {storage.name} is not known",
            "set FIREHOSE_DELIVERY_STREAM_NAME and AWS_REGION to the stream that fills the bucket",
        )
    if settings.archive_bucket not in (None, storage.bucket):
        raise ToolError(
            f"The stream {settings.stream_name} fills {settings.archive_bucket}, the bucket of the "
            f"service, and not {storage.name}",
            "set FIREHOSE_DELIVERY_STREAM_NAME to the stream that fills it, and ARCHIVE_BUCKET to "
            "the bucket",
        )
    # nobody waits for the answer: no need for the lean way and its second set of connections
    return StreamWriter(
        replace(settings, archive_bucket=storage.bucket, transport="boto3"), confirmed
    )


class FolderWriter:
    """Writes to a local folder: a file a record, several at a time, for each is synced."""

    def __init__(self, archive: LocalArchive, confirmed: Confirmed) -> None:
        """Use the folder's archive."""
        self._archive = archive
        self._confirmed = confirmed

    def put(self, records: Sequence[Record]) -> None:
        """Store the records.

        Raises:
            ToolError: the folder did not take one.
        """
        with ThreadPoolExecutor(_THREADS) as threads:
            for future in [threads.submit(self._archive.put, record) for record in records]:
                try:
                    future.result()
                except ArchiveError as error:
                    raise _not_taken(error) from error
        self._confirmed(_ids(records))


class StreamWriter:
    """Writes to a Firehose stream, in as few calls as there can be."""

    def __init__(
        self,
        settings: ToolSettings,
        confirmed: Confirmed,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Use the stream of the settings, and their bucket for what is too large for it."""
        self._stream = settings.stream_name or ""
        self._client = firehose_client(settings)
        self._archive: Archive = FirehoseArchive(settings)
        self._budget_s = settings.archive_budget_s
        self._confirmed = confirmed
        self._sleep = sleep
        self._batched = True

    def put(self, records: Sequence[Record]) -> None:
        """Store the records.

        Raises:
            ToolError: Firehose did not take one, after several tries.
        """
        lines = [(record, record.line()) for record in records]
        for record, line in lines:
            if len(line) > MAX_RECORD_BYTES:
                self._put_alone(record)
        small = [(record, line) for record, line in lines if len(line) <= MAX_RECORD_BYTES]
        for batch in batches(small):
            left = self._put_batch([line for _, line in batch])
            taken = [record for n, (record, _) in enumerate(batch) if n not in left]
            if taken:
                self._confirmed(_ids(taken))
            for n in sorted(left):
                self._put_alone(batch[n][0])

    def _put_batch(self, lines: Sequence[bytes]) -> set[int]:
        """Return which lines were not confirmed."""
        everything = set(range(len(lines)))
        if not self._batched:
            return everything
        try:
            answer: Any = self._client.put_record_batch(
                DeliveryStreamName=self._stream, Records=[{"Data": line} for line in lines]
            )
            results = answer["RequestResponses"]
            return {n for n in everything if n >= len(results) or not results[n].get("RecordId")}
        except ClientError as error:
            # the service's own role may put one record, and need not be allowed more
            self._batched = error.response["Error"]["Code"] != "AccessDeniedException"
            return everything
        # every Exception: a corrupt answer can raise anything out of botocore's parsers
        except Exception:
            return everything

    def _put_alone(self, record: Record) -> None:
        for tries in range(1, _TRIES + 1):
            try:
                self._archive.put(record, time.monotonic() + self._budget_s)
            except ArchiveError as error:
                if tries == _TRIES or not _passes(error):
                    raise _not_taken(error) from error
                self._sleep(backoff_s(tries))
            else:
                self._confirmed(_ids([record]))
                return


class Gathered:
    """Hands records on to a writer as soon as there are enough for a call."""

    def __init__(self, writer: Writer) -> None:
        """Hand them on to that writer."""
        self._writer = writer
        self._records: list[Record] = []
        self._size = 0

    def add(self, record: Record) -> None:
        """Take a record. What it raises is the writer's."""
        self._records.append(record)
        self._size += len(record.payload)
        if len(self._records) == MAX_BATCH_RECORDS or self._size > MAX_BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand on what is there; all of it is confirmed when this returns."""
        records, self._records, self._size = self._records, [], 0
        if records:
            self._writer.put(records)


def batches(lines: Sequence[tuple[Record, bytes]]) -> Iterator[list[tuple[Record, bytes]]]:
    """Yield records with their lines in their order, as many together as one call takes."""
    batch: list[tuple[Record, bytes]] = []
    size = 0
    for record, line in lines:
        if len(batch) == MAX_BATCH_RECORDS or size + len(line) > MAX_BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append((record, line))
        size += len(line)
    if batch:
        yield batch


def _ids(records: Sequence[Record]) -> list[str]:
    return [record.id for record in records if record.id]


def _passes(error: ArchiveError) -> bool:
    """Whether the write may succeed later."""
    cause = error.__cause__
    if isinstance(cause, ClientError):
        status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        return status >= 500 or cause.response["Error"]["Code"].startswith(_THROTTLED)
    return True


def _not_taken(error: ArchiveError) -> ToolError:
    return ToolError(
        f"The archive did not take an event: {error}",
        "`flask doctor` names what is wrong; then run this again, it goes on from here",
    )

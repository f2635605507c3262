"""Many records into an archive, each confirmed: by PutRecordBatch, or into the folder.

Knows what a batch may hold and what is done with the records that were not taken. The records go
the service's own way where one goes alone.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from webhook_app.events.record import Record
from webhook_app.storage.archive import Archive, ArchiveError
from webhook_app.storage.firehose import MAX_RECORD_BYTES, FirehoseArchive, firehose_client
from webhook_app.storage.local import LocalArchive

from ..errors import ToolError
from ..settings import ToolSettings
from ..storage import BucketStorage, FolderStorage, Storage
from .rate_limiter import backoff_s

#: Of a PutRecordBatch: records, and bytes of their lines before base64.
#: https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
MAX_BATCH_RECORDS = 500
MAX_BATCH_BYTES = 4_194_304

_ATTEMPTS = 6
_THREADS = 8

_THROTTLED = ("ServiceUnavailable", "Throttl", "LimitExceeded", "SlowDown", "RequestTimeout")


class Writer:
    """Puts records into an archive, as many at once as a call takes."""

    def __init__(self) -> None:
        """Begin with an empty batch."""
        self._batch: list[tuple[Record, bytes]] = []
        self._size = 0

    def add(self, record: Record) -> None:
        """Take a record, to be written at the next flush at the latest.

        Raises:
            ToolError: the archive did not take an earlier one.
        """
        line = record.line()
        if len(self._batch) == MAX_BATCH_RECORDS or self._size + len(line) > MAX_BATCH_BYTES:
            self.flush()
        self._batch.append((record, line))
        self._size += len(line)

    def flush(self) -> None:
        """Write what was taken; all of it is confirmed when this returns.

        Raises:
            ToolError: the archive did not take a record, after several attempts.
        """
        batch, self._batch, self._size = self._batch, [], 0
        if batch:
            self._write(batch)

    def _write(self, batch: Sequence[tuple[Record, bytes]]) -> None:
        """Write records, each with its line."""
        raise NotImplementedError


def open_writer(storage: Storage, settings: ToolSettings) -> Writer:
    """Return what writes to an archive: a folder itself, or the stream that fills the bucket.

    Raises:
        ToolError: no stream is named, or one that fills another bucket.
    """
    if isinstance(storage, FolderStorage):
        return FolderWriter(LocalArchive(storage.folder))
    if (
        not isinstance(storage, BucketStorage)
        or not settings.stream_name
        or not settings.aws_region
    ):
        raise ToolError(
            f"The stream that fills {storage.name} is not named",
            "set FIREHOSE_DELIVERY_STREAM_NAME and AWS_REGION to the stream that fills the bucket",
        )
    if settings.archive_bucket not in (None, storage.bucket):
        raise ToolError(
            f"The stream {settings.stream_name} fills {settings.archive_bucket}, the bucket of the "
            f"service, and not {storage.name}",
            "set FIREHOSE_DELIVERY_STREAM_NAME to the stream that fills it, and ARCHIVE_BUCKET to "
            "the bucket",
        )
    # nobody waits for the answer: no need for the direct transport and its own connections
    return StreamWriter(replace(settings, archive_bucket=storage.bucket, transport="boto3"))


class FolderWriter(Writer):
    """Writes to a local folder: a file a record, several at a time, for each is synced."""

    def __init__(self, archive: LocalArchive) -> None:
        """Use the folder's archive."""
        super().__init__()
        self._archive = archive

    def _write(self, batch: Sequence[tuple[Record, bytes]]) -> None:
        with ThreadPoolExecutor(_THREADS) as threads:
            for future in [threads.submit(self._archive.put, record) for record, _ in batch]:
                try:
                    future.result()
                except ArchiveError as error:
                    raise _not_taken(error) from error


class StreamWriter(Writer):
    """Writes to a Firehose stream, in as few calls as there can be."""

    def __init__(
        self, settings: ToolSettings, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        """Use the stream of the settings, and their bucket for what is too large for it."""
        super().__init__()
        self._stream = settings.stream_name or ""
        self._client = firehose_client(settings)
        self._archive: Archive = FirehoseArchive(settings)
        self._sleep = sleep
        self._batched = True

    def _write(self, batch: Sequence[tuple[Record, bytes]]) -> None:
        large = [record for record, line in batch if len(line) > MAX_RECORD_BYTES]
        small = [one for one in batch if len(one[1]) <= MAX_RECORD_BYTES]
        confirmed = self._put_batch([line for _, line in small]) if small else set()
        for record in large + [one for n, (one, _) in enumerate(small) if n not in confirmed]:
            self._put_alone(record)

    def _put_batch(self, lines: Sequence[bytes]) -> set[int]:
        """Return which lines were confirmed."""
        if not self._batched:
            return set()
        try:
            answer: Any = self._client.put_record_batch(
                DeliveryStreamName=self._stream, Records=[{"Data": line} for line in lines]
            )
            results = answer["RequestResponses"][: len(lines)]
            return {n for n, result in enumerate(results) if result.get("RecordId")}
        except ClientError as error:
            # the service's own role may put one record, and need not be allowed more
            self._batched = error.response["Error"]["Code"] != "AccessDeniedException"
            return set()
        # every Exception: a corrupt answer can raise anything out of botocore's parsers
        except Exception:
            return set()

    def _put_alone(self, record: Record) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._archive.put(record)
            except ArchiveError as error:
                if attempt == _ATTEMPTS or not _is_transient(error):
                    raise _not_taken(error) from error
                self._sleep(backoff_s(attempt))
        raise AssertionError


def _is_transient(error: ArchiveError) -> bool:
    """Return whether the write may succeed later."""
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

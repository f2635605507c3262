"""Many records into an archive, several at a time; each goes the service's own way."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from botocore.exceptions import ClientError

from webhook_app.events.record import Record
from webhook_app.storage.archive import Archive, ArchiveError
from webhook_app.storage.firehose import FirehoseArchive
from webhook_app.storage.local import LocalArchive

from ..errors import ToolError
from ..settings import ToolSettings
from ..storage import BucketStorage, FolderStorage, Storage
from .rate_limiter import backoff_s

_BUFFERED_RECORDS = 500
#: Few enough to leave the live service its share of the stream's 1,000 requests a second.
#: https://docs.aws.amazon.com/firehose/latest/dev/limits.html
_THREADS = 8
_ATTEMPTS = 6
#: Seconds of one of these attempts, boto3's own retries included.
_PUT_WITHIN_S = 120

_THROTTLED = ("ServiceUnavailable", "Throttl", "LimitExceeded", "SlowDown", "RequestTimeout")


class Writer:
    """Puts records into an archive. One thread uses it."""

    def __init__(self, archive: Archive, sleep: Callable[[float], object] = time.sleep) -> None:
        """Use an archive that any number of threads may use at once."""
        self._archive = archive
        self._sleep = sleep
        self._records: list[Record] = []

    def add(self, record: Record) -> None:
        """Take a record, to be written at the next flush at the latest.

        Raises:
            ToolError: the archive did not take an earlier one.
        """
        self._records.append(record)
        if len(self._records) == _BUFFERED_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Write what was taken; all of it is confirmed when this returns.

        Raises:
            ToolError: the archive did not take a record, after several attempts.
        """
        records, self._records = self._records, []
        with ThreadPoolExecutor(_THREADS) as threads:
            # the first error cancels what has not begun
            list(threads.map(self._put, records))

    def _put(self, record: Record) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._archive.put(record, time.monotonic() + _PUT_WITHIN_S)
                break
            except ArchiveError as error:
                if attempt == _ATTEMPTS or not _is_transient(error):
                    raise ToolError(
                        f"The archive did not take an event: {error}",
                        "`flask doctor` names what is wrong; then run this again, it goes on "
                        "from here",
                    ) from error
                self._sleep(backoff_s(attempt))


def _is_transient(error: ArchiveError) -> bool:
    """Return whether the write may succeed later."""
    cause = error.__cause__
    if isinstance(cause, ClientError):
        status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        return status >= 500 or cause.response["Error"]["Code"].startswith(_THROTTLED)
    # of a folder: it is full, or gone
    return isinstance(cause, TimeoutError) or not isinstance(cause, OSError)


def open_writer(storage: Storage, settings: ToolSettings) -> Writer:
    """Return what writes to an archive: a folder itself, or the stream that fills the bucket.

    Raises:
        ToolError: no stream is named, or one that fills another bucket.
    """
    if isinstance(storage, FolderStorage):
        return Writer(LocalArchive(storage.folder))
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
    # a flush ends its threads, and with each the connection that the direct transport keeps
    own = replace(settings, archive_bucket=storage.bucket, transport="boto3")
    return Writer(FirehoseArchive(own))

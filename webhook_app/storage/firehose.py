"""The archive in AWS: Kinesis Data Firehose, and S3 for what is too large for one record.

The only module through which deliveries speak to AWS; the doctor asks its questions with clients
of its own. Credentials, endpoints and signing are boto3's.
"""

import functools
import gzip
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.retries.quota import RetryQuota

from ..events.record import Record
from ..settings import Settings
from ..version import __version__
from .archive import ArchiveError, object_key
from .direct import LeanPutRecord, NotConfirmedError, RefusedError, StaleError

if TYPE_CHECKING:
    from mypy_boto3_firehose import FirehoseClient
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

#: Of a record's data, the newline included, before base64.
#: https://docs.aws.amazon.com/firehose/latest/APIReference/API_Record.html
MAX_RECORD_BYTES = 1_024_000

_USER_AGENT = f"stripe-analytics-backend/{__version__}"

# what botocore's standard mode takes out of its quota of 500 for a retry
_RETRY_COST = 14


class FirehoseArchive:
    """Records into a Firehose stream, one PutRecord each.

    The clients belong to the module, one a process. Making them here, at boot, opens no
    connection, so workers forked afterwards share no socket.
    """

    def __init__(
        self, settings: Settings, count_retries: Callable[[int], None] = lambda _: None
    ) -> None:
        """Use the stream and the bucket of the settings; nothing is sent yet.

        `count_retries` is told how many tries a write took beyond its first.
        """
        self._count_retries = count_retries
        self._stream_name = settings.stream_name or ""
        self._bucket = settings.archive_bucket
        self._firehose = firehose_client(settings)
        self._s3 = s3_client(settings) if settings.archive_bucket else None
        self._quota = RetryQuota()
        # looked up now, so that no delivery waits for it and the operator learns of it at boot
        credentials = _session().get_credentials()
        if credentials is None:
            log.error("No AWS credentials found: give the service a role, or AWS_ACCESS_KEY_ID")
        elif isinstance(credentials, RefreshableCredentials):
            os.register_at_fork(after_in_child=functools.partial(_renew_ahead, credentials))
        self._lean = _lean(settings, self._firehose, credentials)

    def put(self, record: Record) -> None:
        """Store the record with PutRecord, or in the bucket if it is over `MAX_RECORD_BYTES`.

        Raises:
            ArchiveError: AWS refused, could not be reached, or answered without confirming.
        """
        line = record.line()
        if len(line) > MAX_RECORD_BYTES:
            self._put_oversize(record, line)
            return
        if self._lean:
            if self._put_leanly(self._lean, line):
                return
            self._count_retries(1)
        try:
            answer = self._firehose.put_record(
                DeliveryStreamName=self._stream_name, Record={"Data": line}
            )
            self._count_retries(_retries(answer))
            confirmed = bool(answer.get("RecordId"))
        # every Exception: a corrupt answer can raise anything out of botocore's parsers
        except Exception as error:
            self._count_retries(_retries(getattr(error, "response", None)))
            raise ArchiveError(f"PutRecord: {_describe(error)}") from error
        if not confirmed:
            raise ArchiveError("PutRecord: the answer has no RecordId")

    def rehearse(self, record: Record) -> None:
        """Do what a put does without sending anything, to have done it before."""
        line = record.line()
        if self._lean:
            # no real ones: those of a role could be due, and their renewal hang
            self._lean.request(line, ReadOnlyCredentials("", "", None))

    def _put_leanly(self, lean: LeanPutRecord, line: bytes) -> bool:
        """Return whether the first attempt was confirmed, and else when boto3 may try again.

        Raises:
            ArchiveError: it was not, and another attempt would be refused like this one, or so
                many others were not that it would only add to what is wrong.
        """
        try:
            lean.put(line)
        except StaleError:
            return False
        except RefusedError as refused:
            raise ArchiveError(f"PutRecord: {_said(refused.code, refused.message)}") from refused
        # every Exception: what is not the confirmation is boto3's to tell
        except Exception as error:
            if not self._quota.acquire(_RETRY_COST):
                raise ArchiveError(f"PutRecord: {_describe(error)}, no retry") from error
            _pause()
            return False
        self._quota.release(_RETRY_COST)
        return True

    def _put_oversize(self, record: Record, line: bytes) -> None:
        if not self._bucket or not self._s3:
            raise ArchiveError(
                f"the record has {len(line)} bytes and Firehose takes {MAX_RECORD_BYTES}: "
                "set ARCHIVE_BUCKET to the stream's bucket, and Stripe's next delivery is archived"
            )
        try:
            answer = self._s3.put_object(
                Bucket=self._bucket,
                Key=object_key(record),
                Body=gzip.compress(line, 6, mtime=0),
                ContentType="application/gzip",
            )
            self._count_retries(_retries(answer))
            confirmed = bool(answer.get("ETag"))
        except Exception as error:
            self._count_retries(_retries(getattr(error, "response", None)))
            raise ArchiveError(f"PutObject: {_describe(error)}") from error
        if not confirmed:
            raise ArchiveError("PutObject: the answer has no ETag")


def _renew_ahead(credentials: RefreshableCredentials) -> None:
    """Renew the credentials of a role in a thread of this process, before they expire.

    botocore would do it inside a delivery, which then waits for the platform's metadata service: a
    few milliseconds, or 8 s where that hangs. While one thread renews, botocore lets the others go
    on with what they have; that is from 15 minutes before the end to 10.
    """

    def renew() -> None:
        while True:
            try:
                credentials.get_frozen_credentials()
                time.sleep(0.2 if credentials.refresh_needed() else 1)
            except Exception:
                log.exception("AWS credentials could not be renewed")
                time.sleep(1)

    threading.Thread(target=renew, name="credentials", daemon=True).start()


def _retries(answer: Any) -> int:
    """Return how many tries boto3 made beyond its first, as far as it says."""
    return int((answer or {}).get("ResponseMetadata", {}).get("RetryAttempts", 0))


def _pause() -> None:
    """Wait as botocore's standard mode does before a first retry: up to a second, at random."""
    time.sleep(random.random())  # noqa: S311 # nosec B311 - spreads load, keeps no secret


def _goes_leanly(settings: Settings) -> bool:
    """Whether the first attempt of a PutRecord is the lean one, and boto3 has the others.

    It is not where boto3 was asked for, where a single attempt has to tell what went wrong, and
    where the environment names a proxy.
    """
    return settings.transport == "direct" and settings.attempts > 1 and not getproxies()


def _lean(
    settings: Settings, client: "FirehoseClient", credentials: Credentials | None
) -> LeanPutRecord | None:
    if credentials is None or not _goes_leanly(settings):
        return None
    return LeanPutRecord(
        client.meta.endpoint_url,
        client.meta.region_name,
        settings.stream_name or "",
        credentials,
        _USER_AGENT,
        botocore.session.get_session().get_config_variable("ca_bundle"),
        settings.connect_timeout_s,
        settings.read_timeout_s,
    )


@cache
def _session() -> boto3.Session:
    return boto3.Session()


@cache
def firehose_client(settings: Settings) -> "FirehoseClient":
    """Return the process's one Firehose client; it connects when it is first used."""
    attempts = settings.attempts - 1 if _goes_leanly(settings) else settings.attempts
    client = _session().client(
        "firehose", region_name=settings.aws_region, config=_config(settings, attempts)
    )
    client.meta.events.register_first("needs-retry.firehose.PutRecord", _ignore_retry_after)
    return client


@cache
def s3_client(settings: Settings) -> "S3Client":
    """Return the process's one S3 client; it connects when it is first used."""
    client = _session().client(
        "s3", region_name=settings.aws_region, config=_config(settings, settings.attempts)
    )
    client.meta.events.register_first("needs-retry.s3.PutObject", _ignore_retry_after)
    return client


def _config(settings: Settings, attempts: int) -> Config:
    return Config(
        connect_timeout=settings.connect_timeout_s,
        read_timeout=settings.read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=settings.threads,
        tcp_keepalive=True,
        # 150 of 600 us of CPU a PutRecord: what we send is right, and gains nothing from gzip
        parameter_validation=False,
        disable_request_compression=True,
        user_agent=_USER_AGENT,
    )


def _ignore_retry_after(response: Any, **_: Any) -> None:
    """Take the wait that the server may ask for out of the answer, before botocore obeys it.

    It can add 5 s to each retry, and the whole budget is below 10.
    """
    if response is not None:
        response[0].headers.pop("x-amz-retry-after", None)


def _describe(error: Exception) -> str:
    """Say what went wrong, in words that cannot hold a payload or a secret."""
    if isinstance(error, ClientError):
        details = error.response.get("Error", {})
        return _said(details.get("Code", "Unknown"), details.get("Message", ""))
    if isinstance(error, NotConfirmedError):
        return str(error)[:500]
    if isinstance(error, BotoCoreError):
        return f"{type(error).__name__}: {error}"[:500]
    return type(error).__name__


def _said(code: str, message: str) -> str:
    """Return AWS's words without what was signed: a wrong signature's message quotes the token."""
    return f"{code}: {message.partition('The Canonical String')[0].strip()}"[:500]

"""The archive in AWS: Firehose, and S3 for what is too large for one Firehose record.

The first try of a PutRecord is a direct request (`direct`). Where Firehose does not confirm it,
whatever the reason, boto3's client has the other tries, and its result counts. After five
deliveries in a row that only boto3 could store, direct requests pause for a minute. Where no try
gets an answer, a `breaker` keeps the other deliveries from waiting for one.
"""

import gzip
import logging
import os
import random
import time
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import get_environ_proxies

from ..events.record import Record
from ..settings import Settings
from ..version import __version__
from .archive import ArchiveError, object_key
from .breaker import Breaker
from .credentials import CachedCredentials
from .deadline import BusyError, call_until
from .direct import DirectClient, RejectedError, StaleConnectionError

if TYPE_CHECKING:
    from mypy_boto3_firehose import FirehoseClient
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

#: Of a record's data, the newline included, before base64.
#: https://docs.aws.amazon.com/firehose/latest/APIReference/API_Record.html
MAX_RECORD_BYTES = 1_024_000

#: Deliveries in a row that only boto3 could store, after which direct requests pause.
MAX_DIRECT_FAILURES = 5
#: Seconds of that pause. A way that cannot work, such as an unknown CA, costs little then.
DIRECT_PAUSE_S = 60.0

_USER_AGENT = f"stripe-analytics-backend/{__version__}"


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
        self._direct = _direct_client(settings, self._firehose)
        self._direct_failures = 0
        self._direct_from = 0.0
        self._breaker = Breaker(settings.connect_timeout_s + settings.read_timeout_s)

    def put(self, record: Record, deadline: float) -> None:
        """Store the record with PutRecord, or in the bucket if it is over `MAX_RECORD_BYTES`.

        Raises:
            ArchiveError: AWS refused, could not be reached, or answered without confirming.
        """
        line = record.line()
        if len(line) > MAX_RECORD_BYTES:
            self._put_oversize(record, line, deadline)
            return
        started = time.monotonic()
        deadline = self._breaker.admit(deadline)
        try:
            self._put_record(line, deadline)
        except ArchiveError as error:
            if _is_answer(error.__cause__):
                self._breaker.answered()
            else:
                self._breaker.unanswered(started, deadline)
            raise
        self._breaker.answered()

    def prepare(self, record: Record) -> None:
        """Do what a put does without sending anything, to fill caches before the fork."""
        line = record.line()
        if self._direct:
            # not with real credentials: those of a role could be due for renewal
            self._direct.signed_request(line, ReadOnlyCredentials("", "", None))

    def _put_record(self, line: bytes, deadline: float) -> None:
        if self._direct is None or time.monotonic() < self._direct_from:
            self._put_with_boto3(line, deadline)
        elif not self._put_directly(self._direct, line, deadline):
            self._count_retries(1)
            # a connection that it kept is as old as the one that has just failed, or older
            self._firehose.close()
            self._put_with_boto3(line, deadline)
            self._note_direct_failure()

    def _put_directly(self, direct: DirectClient, line: bytes, deadline: float) -> bool:
        """Return whether Firehose confirmed; if not, return when boto3 may try."""
        try:
            direct.put_record(line, deadline)
        except (RejectedError, StaleConnectionError, BusyError):
            return False
        # every Exception: whatever is not the confirmation is for boto3 to judge
        except Exception:
            _pause(deadline)
            return False
        self._direct_failures = 0
        return True

    def _note_direct_failure(self) -> None:
        """Count a delivery that boto3 has stored and the direct request has not."""
        self._direct_failures += 1
        if self._direct_failures >= MAX_DIRECT_FAILURES:
            self._direct_from = time.monotonic() + DIRECT_PAUSE_S
            fields = {"failures": self._direct_failures, "pause_s": DIRECT_PAUSE_S}
            log.warning("Direct PutRecord fails, boto3 works", extra={"fields": fields})

    def _put_with_boto3(self, line: bytes, deadline: float) -> None:
        self._call(
            deadline,
            "PutRecord",
            "RecordId",
            self._firehose.put_record,
            DeliveryStreamName=self._stream_name,
            Record={"Data": line},
        )

    def _put_oversize(self, record: Record, line: bytes, deadline: float) -> None:
        if not self._bucket or not self._s3:
            raise ArchiveError(
                f"the record has {len(line)} bytes and Firehose takes {MAX_RECORD_BYTES}: "
                "set ARCHIVE_BUCKET to the stream's bucket, and Stripe's next delivery is archived"
            )
        self._call(
            deadline,
            "PutObject",
            "ETag",
            self._s3.put_object,
            Bucket=self._bucket,
            Key=object_key(record),
            Body=gzip.compress(line, 6, mtime=0),
            ContentType="application/gzip",
            # the key is new; the bucket refuses a put that could replace an object
            IfNoneMatch="*",
        )

    def _call(
        self,
        deadline: float,
        name: str,
        confirmation: str,
        method: Callable[..., Any],
        **arguments: object,
    ) -> None:
        """Call a method of boto3; return only if the answer has a field named `confirmation`."""
        try:
            # its time-outs are those of a connect and of a read, and it makes several of each
            answer = call_until(deadline, partial(method, **arguments))
            self._count_retries(_retries(answer))
            confirmed = bool(answer.get(confirmation))
        # every Exception: a corrupt answer can raise anything out of botocore's parsers
        except Exception as error:
            self._count_retries(_retries(getattr(error, "response", None)))
            raise ArchiveError(f"{name}: {_describe(error)}") from error
        if not confirmed:
            raise ArchiveError(f"{name}: the answer has no {confirmation}")


def _pause(deadline: float) -> None:
    """Wait as botocore's standard mode does before a first retry: up to a second, at random."""
    wait_s = random.random()  # noqa: S311 # nosec B311 - spreads load, keeps no secret
    time.sleep(min(wait_s, max(0.0, deadline - time.monotonic())))


def _is_answer(cause: BaseException | None) -> bool:
    """Whether a write failed for what the archive has answered."""
    return not isinstance(cause, (BotoCoreError, OSError))


def _retries(answer: Any) -> int:
    """Return how many tries boto3 made beyond its first, as far as it says."""
    return int((answer or {}).get("ResponseMetadata", {}).get("RetryAttempts", 0))


def _describe(error: Exception) -> str:
    """Say what went wrong, in words that cannot hold a payload or a secret."""
    if isinstance(error, ClientError):
        details = error.response.get("Error", {})
        # the message of a wrong signature quotes what was signed, a session token with it
        message = str(details.get("Message", "")).partition("The Canonical String")[0].strip()
        return f"{details.get('Code', 'Unknown')}: {message}"[:500]
    if isinstance(error, (BotoCoreError, TimeoutError)):
        return f"{type(error).__name__}: {error}"[:500]
    return type(error).__name__


@cache
def aws_session() -> boto3.Session:
    """Return the process's one session."""
    return boto3.Session()


@cache
def firehose_client(settings: Settings) -> "FirehoseClient":
    """Return the process's one Firehose client; it connects when it is first used."""
    client: FirehoseClient = _client("firehose", "PutRecord", settings, settings.attempts)
    if _has_direct_try(settings, client):
        client = _client("firehose", "PutRecord", settings, settings.attempts - 1)
    return client


@cache
def s3_client(settings: Settings) -> "S3Client":
    """Return the process's one S3 client; it connects when it is first used."""
    client: S3Client = _client("s3", "PutObject", settings, settings.attempts)
    return client


def _client(service: str, operation: str, settings: Settings, attempts: int) -> Any:
    config = Config(
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
    session: Any = aws_session()  # its types want a literal name
    client = session.client(service, region_name=settings.aws_region, config=config)
    client.meta.events.register_first(f"needs-retry.{service}.{operation}", _ignore_retry_after)
    return client


def _ignore_retry_after(response: Any, **_: Any) -> None:
    """Take the wait that the server may ask for out of the answer, before botocore obeys it.

    It can add 5 s to each retry, and the whole budget is below 10.
    """
    if response is not None:
        response[0].headers.pop("x-amz-retry-after", None)


def _has_direct_try(settings: Settings, client: "FirehoseClient") -> bool:
    """Whether the first try is a direct request: not where a proxy or the only try is needed."""
    wanted = settings.transport == "direct" and settings.attempts > 1
    url = client.meta.endpoint_url
    return wanted and not get_environ_proxies(url).get(urlsplit(url).scheme)


def _direct_client(settings: Settings, client: "FirehoseClient") -> DirectClient | None:
    """Return the client of the first try; None where boto3 has all of them."""
    # looked up at boot, so that no delivery waits for it and the operator learns of it
    credentials = aws_session().get_credentials()
    if credentials is None:
        log.error("No AWS credentials found: give the service a role, or AWS_ACCESS_KEY_ID")
    if credentials is None or not _has_direct_try(settings, client):
        return None
    # in botocore's order: AWS_CA_BUNDLE or `ca_bundle` of the profile, then requests' variable
    ca_bundle = botocore.session.get_session().get_config_variable("ca_bundle")
    return DirectClient(
        client.meta.endpoint_url,
        client.meta.region_name,
        settings.stream_name or "",
        CachedCredentials(credentials),
        _USER_AGENT,
        ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE"),
        settings.connect_timeout_s,
        settings.read_timeout_s,
    )

"""What `flask doctor` asks AWS: who are we, is the stream there and right, what time is it?

Asks and never writes. What AWS answers is told by its code alone: the messages quote what was
signed, a session token with it.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from ..settings import Settings
from ..storage.firehose import MAX_RECORD_BYTES
from .check import CheckResult, fault, ok, unknown

#: For all questions together, wherever they hang.
TIME_LIMIT_S = 18.0

#: Far from what the network adds, and far from the 300 s at which AWS and Stripe's check refuse.
MOST_SKEW_S = 60

#: What the stream has to write under, for the table to find it.
PREFIX = "webhooks/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/"

_CONFIG = Config(
    connect_timeout=2,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 2},
)


@dataclass(frozen=True)
class Answer:
    """What came back to one question: a result, or an error in its place."""

    result: Any = None
    error: Exception | None = None
    arrived_at: float = field(default_factory=time.time)
    """Unix seconds by this machine's clock."""

    @property
    def response(self) -> dict[str, Any]:
        """What AWS sent, empty where it has not answered."""
        response: Any = self.error.response if isinstance(self.error, ClientError) else self.result
        return response if isinstance(response, dict) else {}

    @property
    def code(self) -> str:
        """AWS's code of the error, empty where AWS has not said no."""
        if not isinstance(self.error, ClientError):
            return ""
        code = str(self.response.get("Error", {}).get("Code", ""))
        # whatever answers there, it writes nothing else onto a terminal
        return code if re.fullmatch(r"[A-Za-z0-9.]{1,80}", code) else "an unknown code"

    @property
    def temporary(self) -> bool:
        """Whether AWS has failed or throttled; a later call can succeed with nothing changed."""
        status = self.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or "Throttling" in self.code

    @property
    def date(self) -> str:
        """The Date header, empty without an answer."""
        headers = self.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return str(headers.get("date", ""))


def ask(question: Callable[[], Any]) -> Callable[[float], Answer]:
    """Ask in a thread of its own; return a function that waits for the answer.

    It takes a deadline of `time.monotonic` and gives a TimeoutError as the answer after that: the
    time-outs of a client bind neither the system's name resolution nor the calls in which botocore
    fetches credentials, so the thread can be left behind.
    """
    answers: list[Answer] = []

    def run() -> None:
        try:
            answers.append(Answer(question()))
        # every Exception: a corrupt answer can raise anything out of botocore's parsers
        except Exception as error:
            answers.append(Answer(error=error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def answer(deadline: float) -> Answer:
        thread.join(max(0.0, deadline - time.monotonic()))
        return answers[0] if answers else Answer(error=TimeoutError())

    return answer


def examine(settings: Settings) -> Iterator[CheckResult]:
    """Yield what AWS says of the settings' stream and bucket, within `TIME_LIMIT_S`."""
    deadline = time.monotonic() + TIME_LIMIT_S
    opened = ask(_open_session)(deadline)
    yield _credentials(opened)
    if opened.result is None:
        yield unknown("stream", "not asked for, without credentials", "fix the credentials first")
        return
    session, _ = opened.result
    try:
        sts, firehose, s3 = (
            session.client(name, region_name=settings.aws_region, config=_CONFIG)
            for name in ("sts", "firehose", "s3")
        )
    except Exception as error:
        found = f"{settings.aws_region} cannot be used: {type(error).__name__}"
        yield fault("region", found, "look at AWS_REGION and the AWS_ENDPOINT_URL… variables")
        return

    # all at once: an endpoint that hangs does not keep the others waiting
    stream, bucket = settings.stream_name, settings.archive_bucket
    identity = ask(sts.get_caller_identity)
    description = ask(lambda: firehose.describe_delivery_stream(DeliveryStreamName=stream))
    head = ask(lambda: s3.head_bucket(Bucket=bucket)) if bucket else None

    answers = [identity(deadline), description(deadline)]
    yield _identity(answers[0], _endpoint(sts))
    yield _region(session, settings, answers[1], _endpoint(firehose))
    yield from _stream(answers[1], settings, _endpoint(firehose))
    if head:
        answers.append(head(deadline))
        yield _bucket(answers[2], settings, _endpoint(s3))
    else:
        limit = f"an event over {MAX_RECORD_BYTES:,} bytes is answered 500"
        yield ok("bucket", f"ARCHIVE_BUCKET is not set: {limit}")
    yield _clock(answers, settings)


def _open_session() -> tuple[boto3.Session, str] | None:
    """Return a session and where its credentials come from; None if there are none."""
    session = boto3.Session()
    credentials = session.get_credentials()
    if credentials is None:
        return None
    # those of a role are fetched now
    credentials.get_frozen_credentials()
    return session, credentials.method


def _credentials(opened: Answer) -> CheckResult:
    fix = "give the service a role, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if opened.result:
        return ok("credentials", f"found, from: {opened.result[1]}")
    if opened.error is None:
        return fault("credentials", "none found", fix)
    if isinstance(opened.error, TimeoutError | NoConnectionError | HTTPClientError):
        return _undetermined("credentials", opened, "the place they come from")
    reason = opened.code or type(opened.error).__name__
    return fault("credentials", f"configured, but could not be loaded: {reason}", fix)


def _identity(answer: Answer, endpoint: str) -> CheckResult:
    if answer.error is None:
        return ok("identity", f"the credentials are valid, as {answer.result.get('Arn')}")
    # an organisation or a network can forbid the question alone: the stream's line decides
    return _undetermined("identity", answer, endpoint)


def _region(
    session: boto3.Session, settings: Settings, described: Answer, endpoint: str
) -> CheckResult:
    region = settings.aws_region or ""
    partition = session.get_partition_for_region(region)
    found = f"{region}, at {endpoint}"
    if region in session.get_available_regions("firehose", partition):
        return ok("region", found)
    found = f"{found}: this release of boto3 does not know the region"
    if described.response:
        return ok("region", f"{found}, and Firehose answers there")
    return fault("region", f"{found}, and nothing answers", "spell AWS_REGION as in us-east-1")


def _stream(answer: Answer, settings: Settings, endpoint: str) -> Iterator[CheckResult]:
    stream = f"{settings.stream_name} in {settings.aws_region}"
    correct = "set FIREHOSE_DELIVERY_STREAM_NAME and AWS_REGION to the stream's"
    if answer.error is None:
        yield from _described(answer.result["DeliveryStreamDescription"], stream, settings)
    elif answer.code == "ResourceNotFoundException":
        found = f"there is no {stream}, in the account of these credentials"
        yield fault("stream", found, f"{correct}, or create it")
    elif answer.code.startswith("AccessDenied"):
        # the policy names one stream: to a mistyped name or region AWS answers this as well
        yield fault(
            "stream",
            f"these credentials may not describe {stream}",
            f"{correct}; if they are, attach the application policy of the present template",
        )
    elif answer.code and not answer.temporary:
        found = f"AWS refuses the credentials: {answer.code}"
        yield fault("stream", found, "give the service valid ones, and see the clock's line")
    else:
        yield _undetermined("stream", answer, endpoint)


def _described(
    description: dict[str, Any], stream: str, settings: Settings
) -> Iterator[CheckResult]:
    status = str(description.get("DeliveryStreamStatus"))
    if status == "ACTIVE":
        yield ok("stream", f"{stream} is ACTIVE")
    elif status == "CREATING":
        # no record is taken yet, and a release that goes on would let deliveries fail
        yield fault("stream", f"{stream} is CREATING", "wait a minute and ask again")
    else:
        fix = "look in the Firehose console, and create the stream anew"
        yield fault("stream", f"{stream} is {status}", fix)
    faults = list(_layout_faults(description, settings))
    yield from faults
    if not faults:
        yield ok("layout", "as the table expects: gzip, .json.gz, by UTC date, errors apart")


def _layout_faults(description: dict[str, Any], settings: Settings) -> Iterator[CheckResult]:
    """Yield each property of the stream that would hide or change what it delivers."""
    destinations = description.get("Destinations") or [{}]
    to_s3 = destinations[0].get("ExtendedS3DestinationDescription")
    if not to_s3:
        found = "the stream does not deliver to S3"
        yield fault("layout", found, "create one with an S3 destination: no other can be archived")
        return
    properties = [
        ("DeliveryStreamType", description.get("DeliveryStreamType"), "DirectPut"),
        ("CompressionFormat", to_s3.get("CompressionFormat"), "GZIP"),
        ("FileExtension", to_s3.get("FileExtension"), ".json.gz"),
        ("Prefix", to_s3.get("Prefix"), PREFIX),
        ("CustomTimeZone", to_s3.get("CustomTimeZone") or "UTC", "UTC"),
    ]
    for name, found, wanted in properties:
        if found != wanted:
            fix = f"make it {wanted}; what was delivered before stays where and as it is"
            yield fault("layout", f"{name} is {found!r}", fix)
    bucket = str(to_s3.get("BucketARN")).rpartition(":")[2]
    if settings.archive_bucket and bucket != settings.archive_bucket:
        found = f"the stream writes to {bucket}, and ARCHIVE_BUCKET is {settings.archive_bucket}"
        yield fault("layout", found, "make them the same, or queries miss the largest events")
    errors = to_s3.get("ErrorOutputPrefix") or ""
    if not errors or errors.startswith("webhooks/"):
        found = f"ErrorOutputPrefix is {errors!r}: failures would lie among the events"
        yield fault("layout", found, "make it errors/ or another prefix outside webhooks/")
    if (to_s3.get("ProcessingConfiguration") or {}).get("Enabled"):
        found = "records are transformed on their way: what is archived is not what Stripe signed"
        yield fault("layout", found, "switch the stream's ProcessingConfiguration off")


def _bucket(answer: Answer, settings: Settings, endpoint: str) -> CheckResult:
    bucket = settings.archive_bucket
    # 403: S3 answers 404 for a bucket that is not there, also to those who may not look into it
    if answer.error is None or answer.code == "403":
        return ok("bucket", f"{bucket} is there, for events over {MAX_RECORD_BYTES:,} bytes")
    if answer.code in ("404", "NoSuchBucket"):
        found = f"there is no bucket {bucket}"
        return fault("bucket", found, "set ARCHIVE_BUCKET to the stream's own bucket")
    return _undetermined("bucket", answer, endpoint)


def _clock(answers: Iterable[Answer], settings: Settings) -> CheckResult:
    """Compare this machine's clock with the Date header of the answer that came fastest."""
    skews = [
        answer.arrived_at - parsedate_to_datetime(answer.date).timestamp()
        for answer in answers
        if answer.date
    ]
    if not skews:
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        fix = "compare it with another clock, or ask again when AWS answers"
        return unknown("clock", f"{now} UTC here, and no answer of AWS's to compare with", fix)
    skew_s = min(skews, key=abs)
    if abs(skew_s) <= min(MOST_SKEW_S, settings.signature_tolerance_s):
        return ok("clock", f"{abs(skew_s):.0f} s from AWS's")
    side = "ahead of" if skew_s > 0 else "behind"
    found = (
        f"{abs(skew_s):.0f} s {side} AWS's: AWS refuses at 300 s, "
        f"and a signature of Stripe's is taken for {settings.signature_tolerance_s} s"
    )
    return fault("clock", found, "let the machine keep its clock by NTP")


def _undetermined(check: str, answer: Answer, place: str) -> CheckResult:
    """Return that `place` has not answered, or nothing that decides."""
    if answer.code:
        return unknown(check, f"{place} answers {answer.code}", "ask again in a minute")
    kind = type(answer.error).__name__
    if isinstance(answer.error, TimeoutError):
        kind = "nothing in time"
    fix = "look at this machine's way to AWS; if the service runs elsewhere, ask there"
    return unknown(check, f"no answer from {place}: {kind}", fix)


def _endpoint(client: Any) -> str:
    """Return where a client connects to, without what else a URL can hold."""
    parts = urlsplit(client.meta.endpoint_url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

"""The doctor over real boto3 clients: to moto, and to an AWS that says no or nothing."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import boto3
import pytest
from flask.testing import FlaskCliRunner
from moto import mock_aws

from tests.fakes.aws import (
    ARN,
    FakeAws,
    Reply,
    described,
    description,
    firehose_error,
    sts_error,
)
from tests.support.service import free_port
from webhook_app.cli import doctor_aws
from webhook_app.cli.check import CheckResult, Mark
from webhook_app.cli.doctor import summary
from webhook_app.cli.doctor_aws import PREFIX, examine
from webhook_app.settings import Settings

BUCKET = "my-webhooks"
REGION: Literal["eu-west-1"] = "eu-west-1"


@pytest.fixture
def settings(firehose_settings: Settings) -> Settings:
    return replace(firehose_settings, aws_region=REGION, archive_bucket=BUCKET)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    with FakeAws().serving() as fake:
        for name, value in fake.variables().items():
            monkeypatch.setenv(name, value)
        yield fake


def found(settings: Settings) -> dict[str, CheckResult]:
    """The results by their check, each of which has one."""
    results = list(examine(settings))
    by_check = {result.check: result for result in results}
    assert len(by_check) == len(results)
    return by_check


def marks(results: dict[str, CheckResult]) -> dict[str, str]:
    return {check: result.mark.value for check, result in results.items()}


ALL_FINE = dict.fromkeys(
    ["credentials", "region", "identity", "stream", "layout", "bucket", "clock"], "ok"
)


def test_moto_with_the_streams_right_properties_is_all_fine(settings: Settings) -> None:
    with mock_aws():
        boto3.client("s3", REGION).create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        boto3.client("firehose", REGION).create_delivery_stream(
            DeliveryStreamName="events",
            ExtendedS3DestinationConfiguration={
                "RoleARN": "arn:aws:iam::123456789012:role/firehose",
                "BucketARN": f"arn:aws:s3:::{BUCKET}",
                "Prefix": PREFIX,
                "ErrorOutputPrefix": "errors/",
                "CompressionFormat": "GZIP",
                "FileExtension": ".json.gz",
                "CustomTimeZone": "UTC",
            },
        )
        assert marks(found(settings)) == ALL_FINE
        nowhere = found(replace(settings, stream_name="nowhere", archive_bucket="nowhere"))
    assert nowhere["stream"].mark is Mark.FAULT
    assert "there is no nowhere in eu-west-1" in nowhere["stream"].found
    assert "FIREHOSE_DELIVERY_STREAM_NAME and AWS_REGION" in nowhere["stream"].fix
    assert nowhere["bucket"].mark is Mark.FAULT
    assert nowhere["bucket"].found == "there is no bucket nowhere"


def test_all_is_fine_and_said_who_we_are(fake: FakeAws, settings: Settings) -> None:
    results = found(settings)
    assert marks(results) == ALL_FINE
    assert results["credentials"].found == "found, from: env"
    assert results["region"].found == f"eu-west-1, at {fake.url}"
    assert ARN in results["identity"].found
    assert summary(results.values())[1] == 0


def test_with_the_applications_own_policy_all_is_fine(fake: FakeAws, settings: Settings) -> None:
    """It may describe the stream, and put objects into the bucket without looking into it."""
    fake.s3 = Reply(403)
    results = found(settings)
    assert marks(results) == ALL_FINE
    assert summary(results.values())[1] == 0


def test_a_stream_that_the_policy_does_not_name_is_a_fault(
    fake: FakeAws, settings: Settings
) -> None:
    """AWS answers so to a mistyped name, to another region, and to a policy without Describe."""
    fake.firehose = firehose_error("AccessDeniedException")
    results = found(settings)
    told = results["stream"]
    assert told.mark is Mark.FAULT
    assert told.found == "these credentials may not describe events in eu-west-1"
    assert "FIREHOSE_DELIVERY_STREAM_NAME and AWS_REGION" in told.fix
    assert "policy" in told.fix
    assert summary(results.values())[1] == 1


@pytest.mark.parametrize(
    "code", ["UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"]
)
def test_credentials_that_aws_refuses_are_a_fault(
    fake: FakeAws, settings: Settings, code: str
) -> None:
    fake.sts = sts_error("InvalidClientTokenId")
    fake.firehose = firehose_error(code)
    results = found(settings)
    assert results["identity"].found == f"{fake.url} answers InvalidClientTokenId"
    assert results["stream"].mark is Mark.FAULT
    assert results["stream"].found == f"AWS refuses the credentials: {code}"
    assert summary(results.values())[1] == 1


@pytest.mark.parametrize("code", ["AccessDenied", "RegionDisabledException", "Throttling"])
def test_an_sts_that_says_something_else_tells_nothing(
    fake: FakeAws, settings: Settings, code: str
) -> None:
    fake.sts = sts_error(code)
    told = found(settings)["identity"]
    assert told.mark is Mark.UNKNOWN
    assert told.found == f"{fake.url} answers {code}"


@pytest.mark.parametrize(
    ("code", "status"), [("ThrottlingException", 400), ("ServiceUnavailableException", 503)]
)
def test_a_firehose_that_fails_for_now_tells_nothing(
    fake: FakeAws, settings: Settings, code: str, status: int
) -> None:
    fake.firehose = replace(firehose_error(code), status=status)
    told = found(settings)["stream"]
    assert told.mark is Mark.UNKNOWN
    assert told.found == f"{fake.url} answers {code}"


@pytest.mark.parametrize("status", ["CREATING", "DELETING", "CREATING_FAILED", "DELETING_FAILED"])
def test_a_stream_that_takes_no_records_is_a_fault(
    fake: FakeAws, settings: Settings, status: str
) -> None:
    fake.firehose = described(description(DeliveryStreamStatus=status))
    told = found(settings)["stream"]
    assert told.mark is Mark.FAULT
    assert f"events in eu-west-1 is {status}" in told.found
    assert ("wait a minute" in told.fix) is (status == "CREATING")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"CompressionFormat": "UNCOMPRESSED"}, "CompressionFormat is 'UNCOMPRESSED'"),
        ({"FileExtension": ".gz"}, "FileExtension is '.gz'"),
        ({"FileExtension": None}, "FileExtension is None"),
        ({"Prefix": "webhooks/"}, "Prefix is 'webhooks/'"),
        ({"Prefix": PREFIX.removesuffix("/")}, "Prefix is 'webhooks/year="),
        ({"CustomTimeZone": "Europe/Berlin"}, "CustomTimeZone is 'Europe/Berlin'"),
        ({"DeliveryStreamType": "KinesisStreamAsSource"}, "'KinesisStreamAsSource'"),
        ({"ErrorOutputPrefix": "webhooks/errors/"}, "ErrorOutputPrefix is 'webhooks/errors/'"),
        ({"ErrorOutputPrefix": ""}, "ErrorOutputPrefix is ''"),
        ({"BucketARN": "arn:aws:s3:::another"}, "the stream writes to another"),
        ({"ProcessingConfiguration": {"Enabled": True}}, "transformed on their way"),
    ],
)
def test_each_wrong_property_of_the_stream_is_a_fault_with_its_fix(
    fake: FakeAws, settings: Settings, changes: dict[str, Any], words: str
) -> None:
    fake.firehose = described(description(**changes))
    told = found(settings)["layout"]
    assert told.mark is Mark.FAULT
    assert words in told.found
    assert told.fix


def test_all_wrong_properties_are_told_at_once(fake: FakeAws, settings: Settings) -> None:
    wrong = {"CompressionFormat": "ZIP", "FileExtension": "", "Prefix": "x/"}
    fake.firehose = described(description(**wrong))
    assert [result.check for result in examine(settings)].count("layout") == 3


def test_what_leaves_the_layout_alone_is_no_fault(fake: FakeAws, settings: Settings) -> None:
    changes = {"ProcessingConfiguration": {"Enabled": False}, "CustomTimeZone": None}
    fake.firehose = described(description(**changes, BucketARN="arn:aws-cn:s3:::my-webhooks"))
    assert found(settings)["layout"].mark is Mark.OK


def test_a_stream_to_somewhere_else_than_s3_is_a_fault(fake: FakeAws, settings: Settings) -> None:
    stream = description()
    stream["Destinations"] = [{"DestinationId": "1", "HttpEndpointDestinationDescription": {}}]
    fake.firehose = described(stream)
    assert found(settings)["layout"].found == "the stream does not deliver to S3"


def test_without_a_bucket_the_limit_is_named_and_nothing_asked(
    fake: FakeAws, settings: Settings
) -> None:
    fake.s3 = Reply(404)
    fake.firehose = described(description(BucketARN="arn:aws:s3:::another"))
    results = found(replace(settings, archive_bucket=None))
    assert marks(results) == ALL_FINE
    limit = "ARCHIVE_BUCKET is not set: an event over 1,024,000 bytes is answered 500"
    assert results["bucket"].found == limit


def test_an_s3_that_says_something_else_tells_nothing(fake: FakeAws, settings: Settings) -> None:
    fake.s3 = Reply(400)
    told = found(settings)["bucket"]
    assert told.mark is Mark.UNKNOWN
    assert told.found == f"{fake.url} answers 400"


@pytest.mark.parametrize(
    ("ahead_s", "mark", "words"),
    [
        (0, Mark.OK, " s from AWS's"),
        (55, Mark.OK, " s from AWS's"),
        (70, Mark.FAULT, "behind AWS's: AWS refuses at 300 s"),
        (-70, Mark.FAULT, "ahead of AWS's"),
    ],
)
def test_a_clock_that_is_off_is_a_fault(
    fake: FakeAws, settings: Settings, ahead_s: float, mark: Mark, words: str
) -> None:
    fake.ahead_s = ahead_s
    told = found(settings)["clock"]
    assert told.mark is mark
    assert words in told.found


def test_a_refusal_tells_the_time_as_well(fake: FakeAws, settings: Settings) -> None:
    """A clock that is off makes AWS refuse everything, which looks like a wrong key."""
    fake.ahead_s = 600
    fake.sts = sts_error("SignatureDoesNotMatch")
    fake.firehose = firehose_error("InvalidSignatureException")
    fake.s3 = Reply(403)
    told = found(settings)["clock"]
    assert told.mark is Mark.FAULT
    assert told.found.startswith(("599", "600", "601"))


def test_a_clock_is_held_to_a_small_tolerance(fake: FakeAws, settings: Settings) -> None:
    fake.ahead_s = 20
    assert found(replace(settings, signature_tolerance_s=10))["clock"].mark is Mark.FAULT


def test_a_machine_without_a_way_to_aws_tells_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    for name in ("STS", "FIREHOSE", "S3"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{name}", endpoint)
    results = found(settings)
    assert marks(results) == {
        "credentials": "ok",
        "region": "ok",
        "identity": "?",
        "stream": "?",
        "bucket": "?",
        "clock": "?",
    }
    assert results["stream"].found == f"no answer from {endpoint}: EndpointConnectionError"
    assert summary(results.values())[1] == 2


def test_endpoints_that_hang_are_left_in_time(
    fake: FakeAws, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_aws, "TIME_LIMIT_S", 3.0)
    for reply in (fake.sts, fake.firehose, fake.s3):
        reply.after_s = 30
    started = time.monotonic()
    results = found(settings)
    assert time.monotonic() - started < 6
    for check in ("identity", "stream", "bucket"):
        assert results[check].mark is Mark.UNKNOWN
        assert results[check].found.endswith(": nothing in time")


def test_one_endpoint_that_hangs_hides_nothing_of_the_others(
    fake: FakeAws, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_aws, "TIME_LIMIT_S", 3.0)
    fake.sts.after_s = 30
    assert marks(found(settings)) == ALL_FINE | {"identity": "?"}


def test_an_answer_that_is_rubbish_tells_nothing(fake: FakeAws, settings: Settings) -> None:
    fake.sts = Reply(403, b"\xff\xfe<html>")
    fake.firehose = firehose_error("\x1b[31mred")
    results = found(settings)
    assert results["identity"].mark is Mark.UNKNOWN
    assert results["stream"].found == "AWS refuses the credentials: an unknown code"
    fake.firehose = Reply(200, b"\xff\xfe<html>")
    assert found(settings)["stream"].mark is Mark.UNKNOWN


def test_no_credentials_are_a_fault(
    fake: FakeAws, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    results = found(settings)
    assert marks(results) == {"credentials": "FAULT", "stream": "?"}
    assert results["credentials"].found == "none found"


def test_credentials_that_are_named_and_not_there_are_a_fault(
    fake: FakeAws, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    told = found(settings)["credentials"]
    assert told.mark is Mark.FAULT
    assert told.found == "configured, but could not be loaded: ProfileNotFound"


def test_credentials_that_nobody_hands_out_in_time_are_not_told(
    fake: FakeAws, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The container's metadata service hangs, for longer than there is time."""

    def hang(_: object) -> None:
        time.sleep(1)

    monkeypatch.setattr(doctor_aws, "TIME_LIMIT_S", 0.2)
    monkeypatch.setattr(boto3.Session, "get_credentials", hang)
    told = found(settings)["credentials"]
    assert told.mark is Mark.UNKNOWN
    assert told.found.endswith("nothing in time")


def test_a_region_that_boto3_does_not_know_is_fine_where_firehose_answers(
    fake: FakeAws, settings: Settings
) -> None:
    results = found(replace(settings, aws_region="eu-new-1"))
    assert marks(results) == ALL_FINE
    assert "eu-new-1" in results["region"].found


def test_a_mistyped_region_is_a_fault(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    for name in ("STS", "FIREHOSE", "S3"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{name}", nowhere)
    results = found(replace(settings, aws_region="us-esat-1"))
    assert results["region"].mark is Mark.FAULT
    assert "us-esat-1" in results["region"].found
    assert summary(results.values())[1] == 1


def test_an_endpoint_that_is_none_is_a_fault(
    fake: FakeAws, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "not an address")
    told = found(settings)["region"]
    assert told.mark is Mark.FAULT
    assert "AWS_ENDPOINT_URL" in told.fix


def test_the_command_shows_neither_secret_nor_key_nor_signature(
    fake: FakeAws, runner: FlaskCliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS quotes the signed request, a session token with it, when a signature is wrong."""
    variables = {
        "PYTHON_DOTENV_DISABLED": "1",
        "STRIPE_WEBHOOK_SECRET": "whsec_hidden1",
        "FIREHOSE_DELIVERY_STREAM_NAME": "events",
        "ARCHIVE_DIR": "",
        "ARCHIVE_BUCKET": BUCKET,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "AKIAhidden2",
        "AWS_SECRET_ACCESS_KEY": "hidden3",
        "AWS_SESSION_TOKEN": "hidden4",
        "AWS_ENDPOINT_URL_FIREHOSE": fake.url.replace("//", "//user:hidden5@"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    fake.firehose = firehose_error("InvalidSignatureException", "x-amz-security-token:hidden4")
    result = runner.invoke(args=["doctor"])
    assert result.exit_code == 1
    assert "AWS refuses the credentials: InvalidSignatureException" in result.output
    assert ARN in result.output
    assert "hidden" not in result.output
    assert result.output.endswith("1 fault to fix.\n")

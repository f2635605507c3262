"""The application's policy against the calls that the service really makes."""

import fnmatch
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from moto import mock_aws

from webhook_app import create_app
from webhook_app.events.record import webhook_record
from webhook_app.events.signature import sign
from webhook_app.settings import Settings
from webhook_app.storage import firehose
from webhook_app.storage.archive import object_key

from . import expected
from .normal import ACCOUNT, PARTITION, REGION, of_type, permissions


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Every call of any AWS client, as the action that IAM knows and its parameters."""
    made: list[tuple[str, dict[str, Any]]] = []
    send = BaseClient._make_api_call  # type: ignore[attr-defined] # botocore's one way out

    def recording(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        made.append((f"{client.meta.service_model.signing_name}:{operation}", parameters))
        return send(client, operation, parameters)

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for cached in (firehose.firehose_client, firehose.s3_client, firehose.aws_session):
        cached.cache_clear()
    with mock_aws():
        monkeypatch.setattr(BaseClient, "_make_api_call", recording)
        yield made
    for cached in (firehose.firehose_client, firehose.s3_client, firehose.aws_session):
        cached.cache_clear()


def resource(action: str, parameters: dict[str, Any]) -> str:
    """The resource that IAM would be asked about."""
    if action.startswith("firehose:"):
        name = parameters["DeliveryStreamName"]
        return f"arn:{PARTITION}:firehose:{REGION}:{ACCOUNT}:deliverystream/{name}"
    return f"arn:{PARTITION}:s3:::{parameters['Bucket']}/{parameters['Key']}"


def test_the_policy_allows_what_service_and_doctor_do_and_nothing_more(
    settings: Settings,
    calls: list[tuple[str, dict[str, Any]]],
) -> None:
    defaults = expected.CHOICES["defaults"]
    told = dict(line.split("=") for line in expected.outputs(defaults)["Environment"].splitlines())
    settings = replace(
        settings,
        archive_dir=None,
        transport="boto3",  # the way that moto sees; the lean one makes the same call
        aws_region=told["AWS_REGION"],
        stream_name=told["FIREHOSE_DELIVERY_STREAM_NAME"],
        archive_bucket=told["ARCHIVE_BUCKET"],
        max_body_bytes=4_194_304,
    )
    boto3.client("s3", REGION).create_bucket(Bucket=settings.archive_bucket or "")
    boto3.client("firehose", REGION).create_delivery_stream(
        DeliveryStreamName=settings.stream_name or "",
        ExtendedS3DestinationConfiguration={
            "RoleARN": f"arn:{PARTITION}:iam::{ACCOUNT}:role/firehose",
            "BucketARN": f"arn:{PARTITION}:s3:::{settings.archive_bucket}",
        },
    )
    calls.clear()

    # the whole life of the service: boot, an event, one too large for Firehose, a stranger, health
    client = create_app(settings).test_client()
    for body in (b'{"id": "evt_1"}', b"x" * 1_024_000):
        headers = {"Stripe-Signature": sign(body, settings.webhook_secrets[0])}
        assert client.post("/webhook/stripe", data=body, headers=headers).status_code == 200
    assert client.post("/webhook/stripe", data=b"{}").status_code == 400
    assert client.get("/health").status_code == 200
    # the policy has a condition for this
    assert [put["IfNoneMatch"] for action, put in calls if action == "s3:PutObject"] == ["*"]
    served = len(calls)
    firehose.firehose_client(settings).describe_delivery_stream(
        DeliveryStreamName=settings.stream_name or ""
    )

    policies = of_type(expected.resources(defaults), "AWS::IAM::ManagedPolicy")
    name = expected.outputs(defaults)["ApplicationPolicyArn"].split("/")[1]
    allowed = permissions(policies[name]["PolicyDocument"])
    asked = [(action, resource(action, parameters)) for action, parameters in calls]
    used = {
        (action, pattern)
        for action, pattern in allowed
        for asked_action, asked_resource in asked
        if action == asked_action and fnmatch.fnmatchcase(asked_resource, pattern)
    }
    refused = [
        (action, name)
        for action, name in asked
        if not any(
            action == allowed_action and fnmatch.fnmatchcase(name, pattern)
            for allowed_action, pattern in allowed
        )
    ]
    assert served == 2
    assert refused == []
    assert allowed - used == set()


def test_an_oversize_event_of_any_day_goes_where_the_policy_allows() -> None:
    policies = of_type(expected.resources(expected.CHOICES["defaults"]), "AWS::IAM::ManagedPolicy")
    (pattern,) = (
        resource.split(":::acme-stripe-webhooks/")[1]
        for action, resource in permissions(
            policies["stripe-webhook-stream-us-east-1-application"]["PolicyDocument"]
        )
        if action == "s3:PutObject"
    )
    for day in (datetime(2031, 1, 2, tzinfo=UTC), datetime(2026, 11, 23, 9, 3, 45, 1, UTC)):
        key = object_key(webhook_record(b"{}", "t=1,v1=a", day))
        assert fnmatch.fnmatchcase(key, pattern), key
    # as Firehose and the tools name theirs
    for other in (
        "stripe-webhook-stream-1-2026-11-23-09-03-45-0b1e7c1e-7d0c-4d7a-9d8e-111111111111.json.gz",
        "2026-11-23T09-03-45.000001Z-0123456789abcdef.json",
    ):
        assert not fnmatch.fnmatchcase(f"webhooks/year=2026/month=11/day=23/{other}", pattern)

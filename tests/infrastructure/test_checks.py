"""The checks hold; and each goes red where the templates are broken, one word at a time."""

import json
from pathlib import Path

import pytest

from . import cloudformation, terraform
from .checks import CHECKS
from .conftest import CHOICES
from .normal import World

LATE = "freshness - ${BufferIntervalSeconds}"

#: Which check has to go red, and the change to the template.
MUTATIONS = [
    ("the_bucket_is_closed_and_kept", "RetainExceptOnCreate", "Delete"),
    ("the_bucket_is_closed_and_kept", "UpdateReplacePolicy: Retain", "UpdateReplacePolicy: Delete"),
    ("the_bucket_is_closed_and_kept", "BlockPublicPolicy: true", "BlockPublicPolicy: false"),
    ("the_bucket_is_closed_and_kept", "Status: Enabled }", "Status: Suspended }"),
    ("the_bucket_is_closed_and_kept", "BucketOwnerEnforced", "ObjectWriter"),
    ("the_bucket_speaks_tls_only", 'SecureTransport: "false"', 'SecureTransport: "true"'),
    ("the_bucket_speaks_tls_only", "Effect: Deny", "Effect: Allow"),
    ("the_bucket_speaks_tls_only", ', !Sub "${Bucket.Arn}/*"]', "]"),
    (
        "no_event_becomes_unreadable",
        "Prefix: athena-results/\n            ExpirationInDays: 30",
        "Prefix: webhooks/\n            ExpirationInDays: 30",
    ),
    (
        "no_event_becomes_unreadable",
        "Prefix: athena-results/\n            ExpirationInDays: 30",
        "ExpirationInDays: 30",
    ),
    (
        "no_event_becomes_unreadable",
        "            NoncurrentVersionExpiration:",
        "            Transitions: [{ StorageClass: GLACIER, TransitionInDays: 90 }]\n"
        "            NoncurrentVersionExpiration:",
    ),
    ("the_stream_is_what_the_service_expects", "CompressionFormat: GZIP", "CompressionFormat: ZIP"),
    ("the_stream_is_what_the_service_expects", ".json.gz", ".gz"),
    ("the_stream_is_what_the_service_expects", "DirectPut", "KinesisStreamAsSource"),
    ("the_stream_is_what_the_service_expects", "/aws/kinesisfirehose/${St", "/aws/firehose/${St"),
    ("the_stream_is_what_the_service_expects", "ARCHIVE_BUCKET=", "BUCKET="),
    ("events_land_where_athena_looks", "day=!{timestamp:dd}/\n", "day=!{timestamp:d}/\n"),
    ("events_land_where_athena_looks", "        ErrorOutputPrefix:", "        # no"),
    (
        "events_land_where_athena_looks",
        "ErrorOutputPrefix: errors/",
        "ErrorOutputPrefix: webhooks/",
    ),
    ("events_land_where_athena_looks", "CustomTimeZone: UTC", "CustomTimeZone: Europe/Berlin"),
    ("events_land_where_athena_looks", "/month=${!month}/", "/mon=${!month}/"),
    ("events_land_where_athena_looks", "${Bucket}/athena-results/", "${Bucket}/webhooks/results/"),
    ("every_partition_is_projected", "projection.month.digits", "projection.month.digit"),
    ("every_partition_is_projected", "2025,NOW", "2025,2027"),
    ("every_partition_is_projected", "projection.day.range: 1,31", "projection.day.range: 0,30"),
    ("firehose_may_do_what_it_needs_and_no_more", "s3:AbortMultipartUpload, ", ""),
    ("firehose_may_do_what_it_needs_and_no_more", "s3:PutObject]", "s3:*]"),
    ("firehose_may_do_what_it_needs_and_no_more", "/errors/*", "/*"),
    (
        "firehose_may_do_what_it_needs_and_no_more",
        "StringEquals: { sts:ExternalId",
        "StringLike: { x",
    ),
    ("firehose_may_do_what_it_needs_and_no_more", ":deliverystream/${StreamName}", ":*"),
    ("the_application_may_write_and_nothing_else", "firehose:PutRecord", "firehose:*"),
    (
        "the_application_may_write_and_nothing_else",
        "!Sub ${Bucket.Arn}/webhooks/*",
        "!Sub ${Bucket.Arn}/*",
    ),
    ("only_alarms_of_this_account_are_published", "Service: cloudwatch.amazonaws.com", 'AWS: "*"'),
    ("every_alarm_can_ring", "MetricName: DeliveryToS3.Success", "MetricName: DeliveryToS3.Sucess"),
    ("every_alarm_can_ring", "Namespace: AWS/Firehose", "Namespace: AWS/KinesisFirehose"),
    ("every_alarm_can_ring", "Name: DeliveryStreamName", "Name: StreamName"),
    ("every_alarm_can_ring", "      AlarmActions: [!Ref AlarmTopic]", "      AlarmActions: []"),
    ("late_means_later_than_the_buffer", LATE, "freshness - 300"),
    ("late_means_later_than_the_buffer", "Stat: Maximum", "Stat: Minimum"),
    ("late_means_later_than_the_buffer", "Threshold: 300", "Threshold: 30000"),
    ("failing_is_less_than_95_percent", "Threshold: 0.95", "Threshold: 95"),
    (
        "failing_is_less_than_95_percent",
        "LessThanThreshold\n      Threshold: 0.95",
        "GreaterThanThreshold\n      Threshold: 0.95",
    ),
    (
        "one_throttled_event_rings",
        "Statistic: Sum\n      Period: 300",
        "Statistic: Maximum\n      Period: 3",
    ),
    (
        "silence_rings_where_no_data_comes",
        "TreatMissingData: breaching",
        "TreatMissingData: missing",
    ),
    ("the_dashboard_shows_the_stream", '"ThrottledRecords"', '"ThrottledRecord"'),
    ("the_dashboard_shows_the_stream", '"x": 12, "y": 6', '"x": 11, "y": 6'),
    ("the_dashboard_shows_the_stream", '"region": "${AWS::Region}"', '"region": "us-west-2"'),
    (
        "athena_is_limited_and_its_queries_are_saved",
        "EnforceWorkGroupConfiguration: true",
        "EnforceWorkGroupConfiguration: false",
    ),
    (
        "the_view_is_one_that_athena_reads",
        '{ Name: amount, Type: "bigint" }',
        '{ Name: amount, Type: "int" }',
    ),
    ("the_view_is_one_that_athena_reads", "FROM stripe_webhooks\\n", "FROM stripe_webhook\\n"),
]

#: The same for Terraform: file, what is there, what it becomes.
TERRAFORM_MUTATIONS = [
    (
        "the_bucket_is_closed_and_kept",
        "archive.tf",
        "prevent_destroy = true",
        "prevent_destroy = false",
    ),
    (
        "the_bucket_speaks_tls_only",
        "archive.tf",
        '"aws:SecureTransport" = "false"',
        '"aws:SecureTransport" = "true"',
    ),
    ("no_event_becomes_unreadable", "archive.tf", 'prefix = "athena-results/"', 'prefix = ""'),
    ("the_stream_is_what_the_service_expects", "archive.tf", '"GZIP"', '"GZIPP"'),
    ("events_land_where_athena_looks", "archive.tf", "    error_output_prefix =", "    # no"),
    (
        "every_partition_is_projected",
        "athena.tf",
        '"projection.day.digits"',
        '"projection.day.digit"',
    ),
    (
        "the_application_may_write_and_nothing_else",
        "access.tf",
        '"firehose:PutRecord"',
        '"firehose:*"',
    ),
    ("every_alarm_can_ring", "alarms.tf", '"DeliveryToS3.DataFreshness"\n', '"DataFreshness"\n'),
    ("failing_is_less_than_95_percent", "alarms.tf", "= 0.95\n", "= 95\n"),
    ("the_dashboard_shows_the_stream", "alarms.tf", "6 * floor(number / 2)", "0"),
]


@pytest.mark.parametrize("name", CHECKS)
def test_it_holds(name: str, world: World) -> None:
    CHECKS[name](world)


@pytest.mark.parametrize(("name", "old", "new"), MUTATIONS)
def test_a_broken_template_is_seen(name: str, old: str, new: str) -> None:
    text = cloudformation.TEMPLATE.read_text()
    assert old in text
    parameters, _ = CHOICES["every option"]
    broken = cloudformation.world(text.replace(old, new), **parameters)
    with pytest.raises((AssertionError, KeyError, TypeError, AttributeError)):
        CHECKS[name](broken)


@pytest.mark.parametrize(("name", "file", "old", "new"), TERRAFORM_MUTATIONS)
def test_a_broken_configuration_is_seen(
    name: str, file: str, old: str, new: str, tmp_path: Path
) -> None:
    folder = terraform.copy(tmp_path, file, old, new)
    _, variables = CHOICES["every option"]
    broken = terraform.world(terraform.planned(folder, **variables), terraform.text(folder))
    with pytest.raises((AssertionError, KeyError, TypeError, AttributeError)):
        CHECKS[name](broken)


def test_a_broken_dashboard_is_seen() -> None:
    text = cloudformation.TEMPLATE.read_text().replace('"start": "-P1D",', '"start": "-P1D"')
    parameters, _ = CHOICES["defaults"]
    with pytest.raises(json.JSONDecodeError):
        cloudformation.world(text, **parameters)


def test_every_check_is_seen_red() -> None:
    assert {name for name, *_ in MUTATIONS} == set(CHECKS)

"""What has to hold of the infrastructure and no linter looks at. Each check takes a `World`."""

import re
from collections.abc import Callable
from typing import Any

from .normal import ACCOUNT, PARTITION, REGION, Document, World

#: https://docs.aws.amazon.com/firehose/latest/dev/cloudwatch-metrics.html
FIREHOSE_METRICS = {
    "BytesPerSecondLimit",
    "DeliveryToS3.Bytes",
    "DeliveryToS3.DataFreshness",
    "DeliveryToS3.ObjectCount",
    "DeliveryToS3.Records",
    "DeliveryToS3.Success",
    "IncomingBytes",
    "IncomingPutRequests",
    "IncomingRecords",
    "PutRecord.Bytes",
    "PutRecord.Latency",
    "PutRecord.Requests",
    "PutRequestsPerSecondLimit",
    "RecordsPerSecondLimit",
    "ThrottledRecords",
}


def check_the_bucket_is_closed_and_kept(world: World) -> None:
    """Nobody reads it from outside, nothing is overwritten for good, no stack takes it along."""
    bucket = world["bucket"]
    assert bucket["kept"]
    assert bucket["encryption"] in ("AES256", "aws:kms")
    assert bucket["versioning"] == "Enabled"
    assert bucket["ownership"] == "BucketOwnerEnforced"
    assert bucket["public_access_block"] == [
        "BlockPublicAcls",
        "BlockPublicPolicy",
        "IgnorePublicAcls",
        "RestrictPublicBuckets",
    ]


def check_the_bucket_speaks_tls_only(world: World) -> None:
    """Without TLS everything is denied, to everybody, and nothing else is said about anybody."""
    bucket = world["bucket"]
    arn = f"arn:{PARTITION}:s3:::{bucket['name']}"
    assert bucket["policy_of"] == bucket["name"]
    (statement,) = bucket["statements"]
    assert statement["Effect"] == "Deny"
    assert statement["Principal"] == "*"
    assert statement["Action"] == ["s3:*"]
    assert statement["Resource"] == [arn, f"{arn}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def check_no_event_becomes_unreadable(world: World) -> None:
    """No storage class that Athena passes over, no end for events unless it was asked for."""
    rules = {rule["id"]: rule for rule in world["bucket"]["lifecycle"]}
    assert all(rule["on"] for rule in rules.values())
    assert not [rule for rule in rules.values() if "storage_classes" in rule]
    ends = {name: rule for name, rule in rules.items() if "expiry_days" in rule}
    for name, rule in ends.items():
        assert name == "expire-archive" or not "webhooks/".startswith(rule["prefix"])
        assert rule.get("prefix"), name
    assert all("prefix" not in rules[name] for name in ("abort-incomplete-uploads",))
    assert rules["abort-incomplete-uploads"]["abort_days"] == 7
    assert rules["remove-old-versions"]["old_version_days"] >= 1
    assert rules["remove-old-versions"]["expire_delete_markers"] is True


def check_the_stream_is_what_the_service_expects(world: World) -> None:
    """Direct PUT, gzip, encrypted, with a log; it writes to the bucket, as the role."""
    stream, log = world["stream"], world["log"]
    assert stream["direct_put"]
    assert stream["encryption"] == "AWS_OWNED_CMK"
    assert stream["compression"] == "GZIP"
    assert stream["extension"] == ".json.gz"
    assert stream["bucket"] == f"arn:{PARTITION}:s3:::{world['bucket']['name']}"
    assert stream["role"] == f"arn:{PARTITION}:iam::{ACCOUNT}:role/{world['delivery_role']['name']}"
    assert stream["log"] == (True, log["group"], log["stream"])
    assert log["group"] == f"/aws/kinesisfirehose/{stream['name']}"
    assert world["environment"] == {
        "AWS_REGION": REGION,
        "FIREHOSE_DELIVERY_STREAM_NAME": stream["name"],
        "ARCHIVE_BUCKET": world["bucket"]["name"],
    }


def check_events_land_where_athena_looks(world: World) -> None:
    """The stream's prefix is the table's template, in UTC; nothing else lies below it."""
    stream, table = world["stream"], world["table"]
    bucket = f"s3://{world['bucket']['name']}/"
    dated = stream["prefix"]
    for name, letters in (("year", "yyyy"), ("month", "MM"), ("day", "dd")):
        assert f"{name}=!{{timestamp:{letters}}}/" in dated
        dated = dated.replace(f"!{{timestamp:{letters}}}", f"${{{name}}}")
    assert table["parameters"]["storage.location.template"] == bucket + dated
    assert table["location"] == f"{bucket}webhooks/"
    assert dated.startswith("webhooks/")
    assert stream["time_zone"] == "UTC"
    assert "!{firehose:error-output-type}" in stream["error_prefix"]
    assert stream["error_prefix"].startswith("errors/")
    assert world["workgroup"]["results"] == f"{bucket}athena-results/"


def check_every_partition_is_projected(world: World) -> None:
    """Each partition column has its whole projection, and there is no key beside these."""
    keys = {
        name.removeprefix("projection."): value
        for name, value in world["table"]["parameters"].items()
        if name.startswith("projection.")
    }
    assert keys == {
        "enabled": "true",
        "year.type": "date",
        "year.format": "yyyy",
        "year.range": "2025,NOW",
        "year.interval": "1",
        "year.interval.unit": "YEARS",
        "month.type": "integer",
        "month.range": "1,12",
        "month.digits": "2",
        "day.type": "integer",
        "day.range": "1,31",
        "day.digits": "2",
    }
    assert world["table"]["partitions"] == [
        ("year", "string"),
        ("month", "string"),
        ("day", "string"),
    ]


def check_firehose_may_do_what_it_needs_and_no_more(world: World) -> None:
    """For this account's stream only; on its two prefixes and its one log stream."""
    role, stream = world["delivery_role"], world["stream"]
    source = f"arn:{PARTITION}:firehose:{REGION}:{ACCOUNT}:deliverystream/{stream['name']}"
    (trust,) = role["trust"]
    assert trust["Principal"] == {"Service": "firehose.amazonaws.com"}
    assert trust["Action"] == ["sts:AssumeRole"]
    assert trust["Condition"] == {
        "StringEquals": {"sts:ExternalId": ACCOUNT},
        "StringEqualsIfExists": {"aws:SourceAccount": ACCOUNT},
        "ArnEqualsIfExists": {"aws:SourceArn": source},
    }
    bucket = stream["bucket"]
    log = f"arn:{PARTITION}:logs:{REGION}:{ACCOUNT}:log-group:{world['log']['group']}"
    assert permissions(role["statements"]) == {
        ("s3:GetBucketLocation", bucket),
        ("s3:ListBucket", bucket),
        ("s3:ListBucketMultipartUploads", bucket),
        *(
            (f"s3:{action}", f"{bucket}/{prefix}/*")
            for action in ("AbortMultipartUpload", "GetObject", "PutObject")
            for prefix in ("webhooks", "errors")
        ),
        ("logs:PutLogEvents", f"{log}:log-stream:{world['log']['stream']}"),
    }


def check_the_application_may_write_and_nothing_else(world: World) -> None:
    """PutRecord on the stream, PutObject where an event over Firehose's limit goes."""
    stream = world["stream"]
    assert permissions(world["application_policy"]["statements"]) == {
        (
            "firehose:PutRecord",
            f"arn:{PARTITION}:firehose:{REGION}:{ACCOUNT}:deliverystream/{stream['name']}",
        ),
        ("s3:PutObject", f"{stream['bucket']}/webhooks/*"),
    }


def check_only_alarms_of_this_account_are_published(world: World) -> None:
    """CloudWatch, in the name of this account; the topic belongs to the alarms."""
    topic = world["topic"]
    (statement,) = topic["statements"]
    assert statement == {
        "Sid": "Alarms",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": ["sns:Publish"],
        "Resource": [f"arn:{PARTITION}:sns:{REGION}:{ACCOUNT}:{topic['name']}"],
        "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
    }


def check_every_alarm_can_ring(world: World) -> None:
    """It looks at a metric that Firehose has, of this stream, and tells the topic."""
    told = [f"arn:{PARTITION}:sns:{REGION}:{ACCOUNT}:{world['topic']['name']}"]
    for name, alarm in world["alarms"].items():
        metrics = [query for query in alarm["queries"] if "metric" in query]
        assert len(metrics) == 1, name
        _assert_metric(world, metrics[0]["metric"])
        assert metrics[0]["dimensions"] == {"DeliveryStreamName": world["stream"]["name"]}
        assert alarm["tells"] == (told, told)
        # CloudWatch looks back a week at most where a period is an hour
        assert metrics[0]["period_s"] * alarm["periods"] <= 7 * 86_400


def check_late_means_later_than_the_buffer(world: World) -> None:
    """It rings 300 s after the buffer's time is over, whatever that is."""
    alarm, interval_s = _alarm(world, "late"), world["stream"]["interval_s"]
    freshness, late = alarm["queries"]
    assert freshness["metric"] == ("AWS/Firehose", "DeliveryToS3.DataFreshness")
    assert (freshness["stat"], freshness.get("result", False)) == ("Maximum", False)
    found = re.fullmatch(rf"{freshness['id']} - (\d+)", late["expression"])
    assert found
    assert int(found[1]) == interval_s
    assert late["result"] is True
    assert alarm["rings_when"] == ("GreaterThanThreshold", 300)
    assert alarm["missing_data"] == "notBreaching"


def check_failing_is_less_than_95_percent(world: World) -> None:
    """Success is a share, from 0 to 1."""
    alarm = _alarm(world, "failing")
    (query,) = alarm["queries"]
    assert query["metric"] == ("AWS/Firehose", "DeliveryToS3.Success")
    assert query["stat"] == "Average"
    assert alarm["rings_when"] == ("LessThanThreshold", 0.95)
    assert alarm["missing_data"] == "notBreaching"


def check_one_throttled_event_rings(world: World) -> None:
    """A sum over zero."""
    alarm = _alarm(world, "throttled")
    (query,) = alarm["queries"]
    assert query["metric"] == ("AWS/Firehose", "ThrottledRecords")
    assert query["stat"] == "Sum"
    assert alarm["rings_when"] == ("GreaterThanThreshold", 0)
    assert alarm["missing_data"] == "notBreaching"


def check_silence_rings_where_no_data_comes(world: World) -> None:
    """Less than one event in each of the hours; a stream without events reports no metric."""
    if f"{world['stream']['name']}-silent" not in world["alarms"]:
        return
    alarm = _alarm(world, "silent")
    (query,) = alarm["queries"]
    assert query["metric"] == ("AWS/Firehose", "IncomingRecords")
    assert (query["stat"], query["period_s"]) == ("Sum", 3600)
    assert alarm["rings_when"] == ("LessThanThreshold", 1)
    assert alarm["missing_data"] == "breaching"


def check_the_dashboard_shows_the_stream(world: World) -> None:
    """Every metric exists and is this stream's; no widget lies on another."""
    widgets = world["dashboard"]["body"]["widgets"]
    shown = set()
    for widget in widgets:
        properties = widget["properties"]
        assert widget["type"] == "metric"
        assert properties["region"] == REGION
        assert properties["title"]
        for namespace, metric, *dimensions in properties["metrics"]:
            _assert_metric(world, (namespace, metric))
            assert dimensions == ["DeliveryStreamName", world["stream"]["name"]]
            shown.add(metric)
    assert {
        "IncomingRecords",
        "DeliveryToS3.Records",
        "DeliveryToS3.DataFreshness",
        "DeliveryToS3.Success",
        "ThrottledRecords",
    } <= shown
    places = [(widget["x"], widget["y"], widget["width"], widget["height"]) for widget in widgets]
    for number, (x, y, width, height) in enumerate(places):
        assert 0 <= x <= x + width <= 24
        for other_x, other_y, other_width, other_height in places[:number]:
            beside = x >= other_x + other_width or other_x >= x + width
            below = y >= other_y + other_height or other_y >= y + height
            assert beside or below


def check_athena_is_limited_and_its_queries_are_saved(world: World) -> None:
    """Nobody gets around the limit; the queries are in the workgroup, on the database."""
    workgroup = world["workgroup"]
    assert workgroup["enforced"] is True
    assert workgroup["scan_limit_bytes"] >= 10_000_000
    assert workgroup["encryption"] in ("SSE_S3", "SSE_KMS")
    assert workgroup["engine"] == "Athena engine version 3"
    assert world["table"]["database"] == world["view"]["database"] == world["database"]["name"]
    assert "stripe_events" in world["queries"]
    for query in world["queries"].values():
        assert query["database"] == world["database"]["name"]
        assert query["workgroup"] == workgroup["name"]
        assert query["description"].endswith((".", "?"))


def check_the_view_is_one_that_athena_reads(world: World) -> None:
    """Its definition and its Glue columns agree, in names, order and types."""
    view, definition = world["view"], world["view"]["view"]
    assert view["kind"] == "VIRTUAL_VIEW"
    assert view["parameters"]["presto_view"] == "true"
    assert definition["catalog"] == "awsdatacatalog"
    assert definition["schema"] == world["database"]["name"]
    hive = {"varchar": "string", "timestamp(3)": "timestamp"}
    assert [(name, kind) for name, kind, _ in view["columns"]] == [
        (column["name"], hive.get(column["type"], column["type"]))
        for column in definition["columns"]
    ]
    assert world["queries"]["stripe_events"]["sql"].endswith(definition["originalSql"])


def permissions(statements: list[Document]) -> set[tuple[str, str]]:
    """Return every action and resource that the statements allow."""
    for statement in statements:
        assert set(statement) == {"Sid", "Effect", "Action", "Resource"}, statement
        assert statement["Effect"] == "Allow"
    return {
        (action, resource)
        for statement in statements
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


def _assert_metric(world: World, metric: Any) -> None:
    namespace, name = metric
    assert namespace == "AWS/Firehose"
    assert name in FIREHOSE_METRICS


def _alarm(world: World, what: str) -> Document:
    return world["alarms"][f"{world['stream']['name']}-{what}"]


CHECKS: dict[str, Callable[[World], None]] = {
    name.removeprefix("check_"): check
    for name, check in list(globals().items())
    if name.startswith("check_")
}

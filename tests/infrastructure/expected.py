"""What is to be made, from the options alone: neither template is read for it.

Every property is here with its value, or derived from another one. `made` of either tool has to be
equal to it, so what is not here may not be there.
"""

from typing import Any

from deploy import template
from tests.support.service import PROJECT

from . import ddl
from .normal import ACCOUNT, PARTITION, REGION, Document, Resources, normal

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

_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
_LOAD_BALANCER = "app/service/0123456789abcdef"
_TARGET_GROUP = "targetgroup/service/0123456789abcdef"

#: Each parameter of CloudFormation with its variable of Terraform, its default (None where it is
#: required), and values that both take and that both refuse. The first value taken is that of
#: "every option".
OPTIONS: dict[str, tuple[str, Any, list[Any], list[Any]]] = {
    "BucketName": (
        "bucket_name",
        None,
        ["acme-stripe-webhooks", "abc", "a" * 63, "0-9"],
        ["Acme", "ab", "a" * 64, "a..b", "a.b", "1.2.3.4", "-abc", "abc-", "a_b"],
    ),
    "StreamName": (
        "stream_name",
        "stripe-webhook-stream",
        ["live-events", "a", "A_9-z" * 8],
        ["live.events", "", "a" * 41, "a b"],
    ),
    "BufferIntervalSeconds": ("buffer_interval_seconds", 300, [900, 60], [901, 59]),
    "BufferSizeMegabytes": ("buffer_size_megabytes", 5, [64, 1, 128], [0, 129]),
    "ArchiveExpiryDays": ("archive_expiry_days", 0, [3650, 0], [-1]),
    "OldVersionDays": ("old_version_days", 30, [7, 1], [0]),
    "ObjectLockMode": (
        "object_lock_mode",
        "GOVERNANCE",
        ["COMPLIANCE", "GOVERNANCE"],
        ["", "compliance"],
    ),
    "ObjectLockDays": ("object_lock_days", 0, [2555, 0, 36_500], [-1, 36_501]),
    "KmsKeyArn": (
        "kms_key_arn",
        "",
        [_KEY, "", _KEY.replace("arn:aws:", "arn:aws-us-gov:")],
        ["alias/archive", _KEY.replace("key/", "alias/"), f"{_KEY}/x", f"x{_KEY}"],
    ),
    "AccessLogBucketName": (
        "access_log_bucket_name",
        "",
        ["acme-access-logs", "", "logs.acme", "a" * 63],
        ["ab", "Logs", "a" * 64, "-abc", "abc-"],
    ),
    "AlarmEmail": ("alarm_email", "", ["ops@example.com", ""], ["ops", "a b@c", "a@b c", "@b"]),
    "SilenceHours": ("silence_hours", 48, [6, 0, 168], [-1, 169]),
    "LogGroupName": (
        "log_group_name",
        "",
        ["/ecs/stripe-analytics-backend", "", "a" * 512, "a_.#-"],
        ["a b", "a:b", "a" * 513],
    ),
    "ReconcileHours": ("reconcile_hours", 0, [26, 0, 168], [-1, 169]),
    "LoadBalancer": (
        "load_balancer",
        "",
        [_LOAD_BALANCER, "", "app/A-1/ffffffffffffffff"],
        ["service", f"arn/{_LOAD_BALANCER}", f"{_LOAD_BALANCER}0", "net/a/0123456789abcdef"],
    ),
    "TargetGroup": (
        "target_group",
        "",
        [_TARGET_GROUP, "", "targetgroup/A-1/ffffffffffffffff"],
        [
            "service",
            f"arn/{_TARGET_GROUP}",
            f"{_TARGET_GROUP}0",
            "targetgroup/a_b/0123456789abcdef",
        ],
    ),
    "DatabaseName": (
        "database_name",
        "stripe_analytics",
        ["stripe_live", "a9_", "a" * 128],
        ["Stripe", "", "a-b", "a" * 129],
    ),
    "ScanLimitBytes": (
        "scan_limit_bytes",
        107_374_182_400,
        [20_000_000_000, 10_000_000],
        [9_999_999],
    ),
}

#: Sets of parameters: as few as there can be, all of them, and each switch without its other half.
CHOICES: dict[str, Document] = {
    "every option": {name: taken[0] for name, (_, _, taken, _) in OPTIONS.items()},
    "defaults": {"BucketName": "acme-stripe-webhooks"},
    "halves": {
        "BucketName": "acme-stripe-webhooks",
        "ArchiveExpiryDays": 1,
        "ObjectLockDays": 1,
        "SilenceHours": 0,
        "ReconcileHours": 26,
        "TargetGroup": _TARGET_GROUP,
    },
    "other halves": {
        "BucketName": "acme-stripe-webhooks",
        "LogGroupName": "/ecs/stripe-analytics-backend",
        "LoadBalancer": _LOAD_BALANCER,
    },
}


def variables(parameters: Document) -> Document:
    """Return parameters of CloudFormation as variables of Terraform."""
    return {OPTIONS[name][0]: value for name, value in parameters.items()}


def with_defaults(parameters: Document) -> Document:
    """Return a value for every option."""
    return {name: default for name, (_, default, *_) in OPTIONS.items()} | parameters


def arn(service: str, name: str, region: str = REGION) -> str:
    """Return an ARN of this account."""
    return f"arn:{PARTITION}:{service}:{region}:{ACCOUNT}:{name}"


def outputs(parameters: Document) -> dict[str, str]:
    """Return what is printed."""
    of = with_defaults(parameters)
    stream = of["StreamName"]
    policies = {
        f"{who.capitalize()}PolicyArn": arn("iam", f"policy/{stream}-{REGION}-{who}", "")
        for who in ("application", "auditor", "snapshot", "analyst")
    }
    return policies | {
        "Environment": f"AWS_REGION={REGION}\nFIREHOSE_DELIVERY_STREAM_NAME={stream}\n"
        f"ARCHIVE_BUCKET={of['BucketName']}",
        "AlarmTopicArn": arn("sns", f"{stream}-alarms"),
        "Workgroup": of["DatabaseName"],
    }


def resources(parameters: Document) -> Resources:
    """Return everything that is to be made, in normal form."""
    of = with_defaults(parameters)
    made = {
        ("AWS::S3::Bucket", of["BucketName"]): _bucket(of),
        ("AWS::S3::BucketPolicy", of["BucketName"]): _bucket_policy(of),
        **_stream(of),
        **_access(of),
        **_alarms(of),
        ("AWS::CloudWatch::Dashboard", f"{of['StreamName']}-{REGION}"): _dashboard(of),
        **_athena(of),
    }
    return {key: normal(properties) for key, properties in made.items()}


def _bucket(of: Document) -> Document:
    key, locked, logs = of["KmsKeyArn"], of["ObjectLockDays"], of["AccessLogBucketName"]
    rules: list[Document] = [
        {
            "Id": "abort-incomplete-uploads",
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
        {
            "Id": "remove-old-versions",
            "NoncurrentVersionExpiration": {"NoncurrentDays": of["OldVersionDays"]},
            "ExpiredObjectDeleteMarker": True,
        },
        {"Id": "expire-query-results", "Prefix": "athena-results/", "ExpirationInDays": 30},
    ]
    if of["ArchiveExpiryDays"]:
        rules += [
            {
                "Id": f"expire-{prefix}",
                "Prefix": f"{prefix}/",
                "ExpirationInDays": of["ArchiveExpiryDays"],
            }
            for prefix in ("webhooks", "errors", "snapshots")
        ]
    retention = {"Mode": of["ObjectLockMode"], "Days": locked}
    return {
        "BucketName": of["BucketName"],
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [
                {
                    "ServerSideEncryptionByDefault": {
                        "SSEAlgorithm": "aws:kms" if key else "AES256",
                        "KMSMasterKeyID": key,
                    },
                    "BucketKeyEnabled": True if key else None,
                }
            ]
        },
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        },
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "VersioningConfiguration": {"Status": "Enabled"},
        # no transition: Athena passes over what is in Glacier
        "LifecycleConfiguration": {"Rules": [{**rule, "Status": "Enabled"} for rule in rules]},
        "ObjectLockEnabled": True if locked else None,
        "ObjectLockConfiguration": {
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": retention},
        }
        if locked
        else None,
        "LoggingConfiguration": {
            "DestinationBucketName": logs,
            "LogFilePrefix": f"{of['BucketName']}/",
        }
        if logs
        else None,
    }


def _bucket_policy(of: Document) -> Document:
    bucket = f"arn:{PARTITION}:s3:::{of['BucketName']}"
    everybody = {"Effect": "Deny", "Principal": "*"}
    return {
        "Bucket": of["BucketName"],
        "PolicyDocument": _policy(
            everybody
            | {
                "Sid": "TlsOnly",
                "Action": "s3:*",
                "Resource": [bucket, f"{bucket}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
            everybody
            | {
                "Sid": "NoBlindOverwrite",
                "Action": "s3:PutObject",
                "Resource": f"{bucket}/webhooks/*",
                "Condition": {
                    "Null": {"s3:if-none-match": "true", "s3:if-match": "true"},
                    "Bool": {"s3:ObjectCreationOperation": "true"},
                    "ArnNotEquals": {"aws:PrincipalArn": _role(of)},
                },
            },
        ),
    }


def _stream(of: Document) -> Resources:
    stream, key, group = of["StreamName"], of["KmsKeyArn"], _log_group(of)
    day = "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/"
    return {
        ("AWS::KinesisFirehose::DeliveryStream", stream): {
            "DeliveryStreamName": stream,
            "DeliveryStreamType": "DirectPut",
            "DeliveryStreamEncryptionConfigurationInput": {
                "KeyType": "CUSTOMER_MANAGED_CMK" if key else "AWS_OWNED_CMK",
                "KeyARN": key,
            },
            "ExtendedS3DestinationConfiguration": {
                "BucketARN": f"arn:{PARTITION}:s3:::{of['BucketName']}",
                "RoleARN": _role(of),
                "Prefix": f"webhooks/{day}",
                # outside the table's location
                "ErrorOutputPrefix": f"errors/!{{firehose:error-output-type}}/{day}",
                "CustomTimeZone": "UTC",
                "CompressionFormat": "GZIP",
                "FileExtension": ".json.gz",
                "BufferingHints": {
                    "IntervalInSeconds": of["BufferIntervalSeconds"],
                    "SizeInMBs": of["BufferSizeMegabytes"],
                },
                "CloudWatchLoggingOptions": {
                    "Enabled": True,
                    "LogGroupName": group,
                    "LogStreamName": "DestinationDelivery",
                },
            },
        },
        ("AWS::Logs::LogGroup", group): {
            "LogGroupName": group,
            "RetentionInDays": 90,
            "KmsKeyId": key,
        },
        ("AWS::Logs::LogStream", "DestinationDelivery"): {
            "LogGroupName": group,
            "LogStreamName": "DestinationDelivery",
        },
    }


def _access(of: Document) -> Resources:
    """Return the one role, its one policy, and the four policies that people attach."""
    stream, database, key = of["StreamName"], of["DatabaseName"], of["KmsKeyArn"]
    bucket = f"arn:{PARTITION}:s3:::{of['BucketName']}"
    role = f"{stream}-{REGION}-delivery"
    trust = {
        "Sid": "Firehose",
        "Effect": "Allow",
        "Principal": {"Service": "firehose.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {
            "StringEquals": {"sts:ExternalId": ACCOUNT},
            "StringEqualsIfExists": {"aws:SourceAccount": ACCOUNT},
            "ArnEqualsIfExists": {"aws:SourceArn": arn("firehose", f"deliverystream/{stream}")},
        },
    }

    def below(*prefixes: str) -> list[str]:
        return [f"{bucket}/{prefix}/*" for prefix in prefixes]

    def with_key(*actions: str) -> list[Document]:
        return [_allow("Key", actions, key)] if key else []

    def policy(who: str, description: str, *statements: Document) -> Resources:
        name = f"{stream}-{REGION}-{who}"
        return {
            ("AWS::IAM::ManagedPolicy", name): {
                "ManagedPolicyName": name,
                "Description": description,
                "PolicyDocument": _policy(*statements),
            }
        }

    list_bucket = ("s3:GetBucketLocation", "s3:ListBucket")
    athena = [
        *("BatchGetNamedQuery", "BatchGetQueryExecution", "GetNamedQuery", "GetQueryExecution"),
        *("GetQueryResults", "GetQueryResultsStream", "GetQueryRuntimeStatistics", "GetWorkGroup"),
        *("ListNamedQueries", "ListQueryExecutions", "StartQueryExecution", "StopQueryExecution"),
    ]
    console = [
        *("GetDataCatalog", "GetDatabase", "GetTableMetadata", "ListDataCatalogs"),
        *("ListDatabases", "ListEngineVersions", "ListTableMetadata", "ListWorkGroups"),
    ]
    glue = [
        *("BatchGetPartition", "GetDatabase", "GetDatabases", "GetPartition", "GetPartitions"),
        *("GetTable", "GetTables"),
    ]
    tables = [
        arn("glue", path) for path in ("catalog", f"database/{database}", f"table/{database}/*")
    ]
    return {
        ("AWS::IAM::Role", role): {
            "RoleName": role,
            "Description": f"Lets the Firehose stream {stream} write to its bucket and its log.",
            "AssumeRolePolicyDocument": _policy(trust),
        },
        # https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html#using-iam-s3
        ("AWS::IAM::RolePolicy", "delivery"): {
            "RoleName": role,
            "PolicyName": "delivery",
            "PolicyDocument": _policy(
                _allow("Bucket", [*list_bucket, "s3:ListBucketMultipartUploads"], bucket),
                _allow(
                    "Objects",
                    ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
                    below("webhooks", "errors"),
                ),
                _allow(
                    "Log",
                    "logs:PutLogEvents",
                    arn("logs", f"log-group:{_log_group(of)}:log-stream:DestinationDelivery"),
                ),
                *with_key("kms:Decrypt", "kms:GenerateDataKey"),
            ),
        },
        **policy(
            "application",
            "What the service that receives the webhooks may do, and nothing else.",
            _allow(
                "Archive",
                ["firehose:DescribeDeliveryStream", "firehose:PutRecord"],
                arn("firehose", f"deliverystream/{stream}"),
            ),
            # the key of webhook_app.storage.archive.object_key
            _allow(
                "ArchiveOversize",
                "s3:PutObject",
                f"{bucket}/webhooks/year={'?' * 4}/month=??/day=??/"
                f"{'?' * 4}-??-??T??-??-??.{'?' * 6}Z-{'?' * 16}.json.gz",
            )
            | {"Condition": {"Null": {"s3:if-none-match": "false"}}},
            *with_key("kms:GenerateDataKey"),
        ),
        **policy(
            "auditor",
            "Reads the archive with all its versions, as flask archive does; changes nothing.",
            _allow("List", [*list_bucket, "s3:ListBucketVersions"], bucket),
            _allow(
                "Read",
                ["s3:GetObject", "s3:GetObjectRetention", "s3:GetObjectVersion"],
                below("webhooks", "snapshots", "erasures", "manifests"),
            ),
            *with_key("kms:Decrypt"),
        ),
        # the key of archive_tools.snapshotting.writing
        **policy(
            "snapshot",
            "Writes new snapshots, as flask archive snapshot does; it reads by the policy of "
            "auditors.",
            _allow(
                "Snapshot",
                "s3:PutObject",
                f"{bucket}/snapshots/year={'?' * 4}/month=??/day=??/*.json.gz",
            )
            | {"Condition": {"Null": {"s3:if-none-match": "false"}}},
            *with_key("kms:GenerateDataKey"),
        ),
        **policy(
            "analyst",
            "Runs queries and saved queries in the workgroup, in the console and by API.",
            _allow(
                "Query",
                [f"athena:{name}" for name in athena],
                arn("athena", f"workgroup/{database}"),
            ),
            _allow("Console", [f"athena:{name}" for name in console], "*"),
            _allow("Tables", [f"glue:{name}" for name in glue], tables),
            _allow("List", [*list_bucket, "s3:ListBucketMultipartUploads"], bucket),
            _allow("Read", "s3:GetObject", below("webhooks", "snapshots", "parquet")),
            _allow(
                "Results",
                [
                    *("s3:AbortMultipartUpload", "s3:GetObject"),
                    *("s3:ListMultipartUploadParts", "s3:PutObject"),
                ],
                below("athena-results"),
            ),
            *with_key("kms:Decrypt", "kms:GenerateDataKey"),
        ),
    }


_MORE, _LESS = "GreaterThanThreshold", "LessThanThreshold"
_QUIET, _RINGS = "notBreaching", "breaching"
_OWN = "StripeAnalyticsBackend"

#: What each alarm's mail says, and where it sends its reader.
_MAILS = {
    "late": (
        "Events wait in Firehose and are not in S3. They are lost after 24 hours.",
        "S3 refuses Firehose",
    ),
    "failing": ("More than 5 % of Firehose's writes to S3 fail.", "S3 refuses Firehose"),
    "throttled": (
        "Firehose refuses events over the stream's quota; Stripe delivers them again.",
        "Throttling",
    ),
    "quota": (
        "Over 80 % of one of the stream's quotas are used; beyond it Firehose refuses events.",
        "Throttling",
    ),
    "silent": ("No event has arrived for {SilenceHours} hours.", "Silence"),
    "not-archived": (
        "The service answered 500: an event was not archived; Stripe delivers it again.",
        "500s",
    ),
    "not-reconciled": (
        "No daily job has found every event in the archive for {ReconcileHours} hours.",
        "Reconcile reports something",
    ),
    "no-target": ("The load balancer has no healthy task of the service.", "Silence"),
}


def _alarms(of: Document) -> Resources:
    stream, silence, since = of["StreamName"], of["SilenceHours"], of["ReconcileHours"]
    topic = arn("sns", f"{stream}-alarms")
    logs = bool(of["LogGroupName"])
    targets = {"LoadBalancer": of["LoadBalancer"], "TargetGroup": of["TargetGroup"]}
    fresh = {"freshness": ("DeliveryToS3.DataFreshness", "Maximum")}
    quotas = {
        "bytes": ("IncomingBytes", "Sum"),
        "bytes_limit": ("BytesPerSecondLimit", "Minimum"),
        "records": ("IncomingRecords", "Sum"),
        "records_limit": ("RecordsPerSecondLimit", "Minimum"),
        "requests": ("IncomingPutRequests", "Sum"),
        "requests_limit": ("PutRequestsPerSecondLimit", "Minimum"),
    }
    failed, done = (f"{stream}-not-archived", "Sum"), (f"{stream}-reconciled", "Sum")
    healthy = ("HealthyHostCount", "Minimum")
    # name, whether it is made, metric and statistic, period, periods, comparison, threshold,
    # missing data. Nothing else: no unit, no actions for too little data, and actions are on.
    # fmt: off
    table: list[tuple[Any, ...]] = [
        ("late", True, fresh, 300, 1, _MORE, 300, _QUIET),
        ("failing", True, ("DeliveryToS3.Success", "Average"), 300, 1, _LESS, 0.95, _QUIET),
        ("throttled", True, ("ThrottledRecords", "Sum"), 300, 1, _MORE, 0, _QUIET),
        ("quota", True, quotas, 300, 1, _MORE, 80, _QUIET),
        ("silent", silence, ("IncomingRecords", "Sum"), 3600, silence, _LESS, 1, _RINGS),
        ("not-archived", logs, failed, 300, 1, _MORE, 0, _QUIET),
        ("not-reconciled", logs and since, done, 3600, since, _LESS, 1, _RINGS),
        ("no-target", all(targets.values()), healthy, 60, 3, _LESS, 1, _RINGS),
    ]
    # fmt: on
    # id, label and expression; the alarm is on the first one
    expressions: dict[str, list[tuple[str, str | None, str]]] = {
        "late": [
            ("late", "Seconds beyond the buffer", f"freshness - {of['BufferIntervalSeconds']}"),
        ],
        "quota": [
            ("used", "Percent of the quota", "MAX([bytes_share, records_share, requests_share])"),
            # sums of 300 s against limits of one second: 100 / 300 makes percent
            ("bytes_share", None, "bytes / bytes_limit / 3"),
            ("records_share", None, "records / records_limit / 3"),
            ("requests_share", None, "requests / requests_limit / 3"),
        ],
    }
    of_stream = ("AWS/Firehose", {"DeliveryStreamName": stream})
    sources = {
        "not-archived": (_OWN, {}),
        "not-reconciled": (_OWN, {}),
        "no-target": ("AWS/ApplicationELB", targets),
    }
    made: Resources = {}
    for name, wanted, metric, period, periods, comparison, threshold, missing in table:
        if not wanted:
            continue
        namespace, dimensions = sources.get(name, of_stream)
        text, page = _MAILS[name]
        alarm: Document = {
            "AlarmName": f"{stream}-{name}",
            "AlarmDescription": f"{text.format(**of)} See docs/OPERATIONS.md, {page}.",
            "EvaluationPeriods": periods,
            "ComparisonOperator": comparison,
            "Threshold": threshold,
            "TreatMissingData": missing,
            "AlarmActions": [topic],
            "OKActions": [topic],
        }
        if isinstance(metric, dict):
            alarm["Metrics"] = [
                *(
                    {"Id": its, "Label": label, "Expression": one, "ReturnData": number == 0}
                    for number, (its, label, one) in enumerate(expressions[name])
                ),
                *(
                    {
                        "Id": its,
                        "MetricStat": {
                            "Metric": _metric(namespace, one, dimensions),
                            "Period": period,
                            "Stat": statistic,
                        },
                        "ReturnData": False,
                    }
                    for its, (one, statistic) in metric.items()
                ),
            ]
        else:
            alarm |= _metric(namespace, metric[0], dimensions)
            alarm |= {"Statistic": metric[1], "Period": period}
        made["AWS::CloudWatch::Alarm", alarm["AlarmName"]] = alarm
    return made | _topic(of) | _filters(of)


def _metric(namespace: str, name: str, dimensions: Document) -> Document:
    assert namespace != "AWS/Firehose" or name in FIREHOSE_METRICS
    pairs = [{"Name": its, "Value": value} for its, value in dimensions.items()]
    return {"Namespace": namespace, "MetricName": name, "Dimensions": pairs}


def _filters(of: Document) -> Resources:
    if not of["LogGroupName"]:
        return {}
    patterns = {"not-archived": '"Failed to persist webhook"'}
    if of["ReconcileHours"]:
        patterns["reconciled"] = '?"All " ?"The 1 event of" ?"Stripe has no events of"'
    return {
        ("AWS::Logs::MetricFilter", f"{of['StreamName']}-{name}"): {
            "LogGroupName": of["LogGroupName"],
            "FilterName": f"{of['StreamName']}-{name}",
            "FilterPattern": pattern,
            "MetricTransformations": [
                {
                    "MetricNamespace": _OWN,
                    "MetricName": f"{of['StreamName']}-{name}",
                    "MetricValue": "1",
                }
            ],
        }
        for name, pattern in patterns.items()
    }


def _topic(of: Document) -> Resources:
    name, topic = f"{of['StreamName']}-alarms", arn("sns", f"{of['StreamName']}-alarms")
    statement = {
        "Sid": "Alarms",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic,
        "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
    }
    made: Resources = {
        ("AWS::SNS::Topic", name): {"TopicName": name, "KmsMasterKeyId": of["KmsKeyArn"]},
        ("AWS::SNS::TopicPolicy", str([topic])): {
            "Topics": [topic],
            "PolicyDocument": _policy(statement),
        },
    }
    if of["AlarmEmail"]:
        made["AWS::SNS::Subscription", of["AlarmEmail"]] = {
            "TopicArn": topic,
            "Protocol": "email",
            "Endpoint": of["AlarmEmail"],
        }
    return made


def _dashboard(of: Document) -> Document:
    share = {"yAxis": {"left": {"min": 0, "max": 1}}}
    widgets = [
        ("Events received", "Sum", "IncomingRecords", None, {}),
        ("Events delivered to S3", "Sum", "DeliveryToS3.Records", None, {}),
        (
            "Seconds that the oldest event waits",
            "Maximum",
            "DeliveryToS3.DataFreshness",
            ("the buffer", of["BufferIntervalSeconds"]),
            {},
        ),
        (
            "Share of writes to S3 that succeed",
            "Average",
            "DeliveryToS3.Success",
            ("alarm below", 0.95),
            share,
        ),
        ("Events throttled", "Sum", "ThrottledRecords", None, {}),
        ("Bytes received", "Sum", "IncomingBytes", None, {}),
    ]
    assert {metric for _, _, metric, *_ in widgets} <= FIREHOSE_METRICS
    dimension = ["DeliveryStreamName", of["StreamName"]]
    body = {
        "start": "-P1D",
        "widgets": [
            {
                "type": "metric",
                # two beside each other
                "x": number % 2 * 12,
                "y": number // 2 * 6,
                "width": 12,
                "height": 6,
                "properties": {
                    "title": title,
                    "region": REGION,
                    "stat": statistic,
                    "period": 300,
                    "metrics": [["AWS/Firehose", metric, *dimension]],
                    "annotations": {"horizontal": [{"label": line[0], "value": line[1]}]}
                    if line
                    else {},
                    **axis,
                },
            }
            for number, (title, statistic, metric, line, axis) in enumerate(widgets)
        ],
    }
    return {"DashboardName": f"{of['StreamName']}-{REGION}", "DashboardBody": body}


def _athena(of: Document) -> Resources:
    database, bucket = of["DatabaseName"], of["BucketName"]
    columns = template.view_columns()
    view = (PROJECT / "deploy/athena/stripe_events.sql").read_text().split(template.CREATE_VIEW)[1]
    named = {
        path.stem: (path.read_text().strip(), path.read_text().splitlines()[0])
        for path in template.query_files()
    }
    return {
        ("AWS::Glue::Database", database): {
            "DatabaseInput": {
                "Name": database,
                "Description": "Every Stripe webhook event as it was received.",
            }
        },
        ("AWS::Glue::Table", "stripe_webhooks"): {
            "DatabaseName": database,
            "TableInput": {
                "Description": "One row a delivery, as received.",
                **ddl.table(PROJECT / "deploy/athena/stripe_webhooks.sql", bucket),
            },
        },
        ("AWS::Glue::Table", "stripe_snapshots"): {
            "DatabaseName": database,
            "TableInput": {
                "Description": "One row an object and run, as Stripe's API lists it.",
                **ddl.table(PROJECT / "deploy/athena/stripe_snapshots.sql", bucket),
            },
        },
        # a view of Athena is a Glue table with its SQL in a comment
        ("AWS::Glue::Table", "stripe_events"): {
            "DatabaseName": database,
            "TableInput": {
                "Name": "stripe_events",
                "Description": "One row an event, with the fields that everybody wants.",
                "TableType": "VIRTUAL_VIEW",
                "Parameters": {"presto_view": "true", "comment": "Presto View"},
                "ViewExpandedText": "/* Presto View */",
                "ViewOriginalText": {
                    "originalSql": view.strip(),
                    "catalog": "awsdatacatalog",
                    "schema": database,
                    "columns": [{"name": name, "type": kind} for name, kind in columns],
                },
                "StorageDescriptor": {
                    "Columns": [
                        {"Name": name, "Type": template.HIVE_TYPES.get(kind, kind)}
                        for name, kind in columns
                    ]
                },
            },
        },
        ("AWS::Athena::WorkGroup", database): {
            "Name": database,
            "Description": "Queries over the archive, with a limit on what one may read.",
            "RecursiveDeleteOption": True,
            "WorkGroupConfiguration": {
                "EnforceWorkGroupConfiguration": True,
                "PublishCloudWatchMetricsEnabled": True,
                "BytesScannedCutoffPerQuery": of["ScanLimitBytes"],
                "EngineVersion": {"SelectedEngineVersion": "Athena engine version 3"},
                "ResultConfiguration": {
                    "OutputLocation": f"s3://{bucket}/athena-results/",
                    "EncryptionConfiguration": {
                        "EncryptionOption": "SSE_KMS" if of["KmsKeyArn"] else "SSE_S3",
                        "KmsKey": of["KmsKeyArn"],
                    },
                },
            },
        },
        **{
            ("AWS::Athena::NamedQuery", name): {
                "Name": name,
                "Description": first.removeprefix("-- "),
                "Database": database,
                "WorkGroup": database,
                "QueryString": sql,
            }
            for name, (sql, first) in named.items()
        },
    }


def _policy(*statements: Document) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(sid: str, actions: Any, where: Any) -> Document:
    actions = actions if isinstance(actions, str) else list(actions)
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": where}


def _log_group(of: Document) -> str:
    return f"/aws/kinesisfirehose/{of['StreamName']}"


def _role(of: Document) -> str:
    return arn("iam", f"role/{of['StreamName']}-{REGION}-delivery", "")

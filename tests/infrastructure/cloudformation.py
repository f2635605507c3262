"""The CloudFormation template in normal form: its functions resolved as AWS would."""

import base64
import json
import re
from typing import Any

from cfnlint.decode import cfn_yaml

from deploy import template

from .normal import (
    ACCOUNT,
    PARTITION,
    REGION,
    Document,
    World,
    statements,
    variables,
    view,
    without_nothing,
)

TEMPLATE = template.TEMPLATE

_NOTHING = object()
_ARNS = {
    "AWS::S3::Bucket": f"arn:{PARTITION}:s3:::{{}}",
    "AWS::IAM::Role": f"arn:{PARTITION}:iam::{ACCOUNT}:role/{{}}",
    "AWS::IAM::ManagedPolicy": f"arn:{PARTITION}:iam::{ACCOUNT}:policy/{{}}",
    "AWS::SNS::Topic": f"arn:{PARTITION}:sns:{REGION}:{ACCOUNT}:{{}}",
    "AWS::KinesisFirehose::DeliveryStream": (
        f"arn:{PARTITION}:firehose:{REGION}:{ACCOUNT}:deliverystream/{{}}"
    ),
}
_NAMES = {
    "AWS::S3::Bucket": "BucketName",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::KinesisFirehose::DeliveryStream": "DeliveryStreamName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::Logs::LogStream": "LogStreamName",
    "AWS::Athena::WorkGroup": "Name",
}
#: Ref gives the ARN of these, of all others the name.
_REF_IS_ARN = ("AWS::SNS::Topic", "AWS::IAM::ManagedPolicy")


class Stack:
    """A template with values for its parameters."""

    def __init__(self, text: str, parameters: dict[str, Any]) -> None:
        """Read the template; parameters that are not given have their defaults."""
        self.template: Document = json.loads(json.dumps(cfn_yaml.loads(text)))
        self._values = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": REGION,
            "AWS::Partition": PARTITION,
            "AWS::NoValue": _NOTHING,
        }
        for name, declared in self.template["Parameters"].items():
            self._values[name] = parameters.get(name, declared.get("Default"))
        self.outputs = {
            name: self._resolved(output["Value"])
            for name, output in self.template["Outputs"].items()
        }

    def resources(self, kind: str) -> dict[str, Document]:
        """Return the resolved properties of all resources of a type that would be made."""
        return {
            name: self._resolved(resource["Properties"])
            for name, resource in self.template["Resources"].items()
            if resource["Type"] == kind and self._holds(resource.get("Condition"))
        }

    def one(self, kind: str) -> Document:
        """Return the resolved properties of the only resource of a type."""
        (properties,) = self.resources(kind).values()
        return properties

    def _holds(self, condition: str | None) -> bool:
        return condition is None or self._truth(self.template["Conditions"][condition])

    def _truth(self, condition: Document) -> bool:
        ((function, argument),) = condition.items()
        if function == "Fn::Not":
            return not self._truth(argument[0])
        assert function == "Fn::Equals", function
        # CloudFormation compares parameters as strings
        left, right = (str(self._resolved(side)) for side in argument)
        return left == right

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            items = (self._resolved(item) for item in value)
            return [item for item in items if item is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._called(function, argument)
        pairs = ((name, self._resolved(item)) for name, item in value.items())
        return {name: item for name, item in pairs if item is not _NOTHING}

    def _called(self, function: str, argument: Any) -> Any:
        match function:
            case "Ref":
                return self._ref(argument)
            case "Fn::GetAtt":
                resource, attribute = (
                    argument if isinstance(argument, list) else argument.split(".")
                )
                assert attribute == "Arn", attribute
                return self._arn(resource)
            case "Fn::Sub":
                return re.sub(r"\$\{([^}]+)\}", self._substituted, argument)
            case "Fn::If":
                condition, yes, no = argument
                return self._resolved(yes if self._holds(condition) else no)
            case "Fn::Join":
                separator, parts = argument
                return separator.join(map(str, self._resolved(parts)))
            case "Fn::Base64":
                return base64.b64encode(self._resolved(argument).encode()).decode()
        raise AssertionError(f"{function} is not known here")

    def _substituted(self, found: re.Match[str]) -> str:
        name = found[1]
        if name.startswith("!"):
            return f"${{{name[1:]}}}"
        resource, _, attribute = name.partition(".")
        return self._arn(resource) if attribute == "Arn" else str(self._ref(name))

    def _ref(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        resource = self.template["Resources"][name]
        if resource["Type"] == "AWS::Glue::Database":
            return self._resolved(resource["Properties"]["DatabaseInput"]["Name"])
        if resource["Type"] in _REF_IS_ARN:
            return self._arn(name)
        return self._resolved(resource["Properties"][_NAMES[resource["Type"]]])

    def _arn(self, name: str) -> str:
        resource = self.template["Resources"][name]
        return _ARNS[resource["Type"]].format(
            self._resolved(resource["Properties"][_NAMES[resource["Type"]]])
        )


def world(text: str, **parameters: Any) -> World:
    """Return what the template would make, with these values for its parameters."""
    stack = Stack(text, parameters)
    return {
        "bucket": _bucket(stack),
        "stream": _stream(stack),
        "delivery_role": {
            "name": stack.one("AWS::IAM::Role")["RoleName"],
            "trust": statements(stack.one("AWS::IAM::Role")["AssumeRolePolicyDocument"]),
            "statements": statements(stack.one("AWS::IAM::RolePolicy")["PolicyDocument"]),
        },
        "application_policy": {
            "name": stack.one("AWS::IAM::ManagedPolicy")["ManagedPolicyName"],
            "statements": statements(stack.one("AWS::IAM::ManagedPolicy")["PolicyDocument"]),
        },
        "log": {
            "group": stack.one("AWS::Logs::LogGroup")["LogGroupName"],
            "days": stack.one("AWS::Logs::LogGroup")["RetentionInDays"],
            "stream": stack.one("AWS::Logs::LogStream")["LogStreamName"],
        },
        "topic": {
            "name": stack.one("AWS::SNS::Topic")["TopicName"],
            "statements": statements(stack.one("AWS::SNS::TopicPolicy")["PolicyDocument"]),
            "readers": [
                (reader["Protocol"], reader["Endpoint"])
                for reader in stack.resources("AWS::SNS::Subscription").values()
            ],
        },
        "alarms": {
            alarm["AlarmName"]: _alarm(alarm)
            for alarm in stack.resources("AWS::CloudWatch::Alarm").values()
        },
        "dashboard": {
            "name": stack.one("AWS::CloudWatch::Dashboard")["DashboardName"],
            "body": json.loads(stack.one("AWS::CloudWatch::Dashboard")["DashboardBody"]),
        },
        "database": {
            "name": stack.one("AWS::Glue::Database")["DatabaseInput"]["Name"],
            "description": stack.one("AWS::Glue::Database")["DatabaseInput"]["Description"],
        },
        "table": _table(stack, "stripe_webhooks"),
        "view": view(_table(stack, "stripe_events")),
        "workgroup": _workgroup(stack.one("AWS::Athena::WorkGroup")),
        "queries": {
            query["Name"]: {
                "description": query["Description"],
                "database": query["Database"],
                "workgroup": query["WorkGroup"],
                "sql": query["QueryString"],
            }
            for query in stack.resources("AWS::Athena::NamedQuery").values()
        },
        "environment": variables(stack.outputs["Environment"]),
    }


def _bucket(stack: Stack) -> Document:
    bucket, policy = stack.one("AWS::S3::Bucket"), stack.one("AWS::S3::BucketPolicy")
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    (ownership,) = bucket["OwnershipControls"]["Rules"]
    kept = {
        (resource["DeletionPolicy"], resource["UpdateReplacePolicy"])
        for resource in stack.template["Resources"].values()
        if resource["Type"].startswith("AWS::S3::")
    }
    return {
        "name": bucket["BucketName"],
        "encryption": encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"],
        "public_access_block": sorted(
            name for name, on in bucket["PublicAccessBlockConfiguration"].items() if on is True
        ),
        "ownership": ownership["ObjectOwnership"],
        "versioning": bucket["VersioningConfiguration"]["Status"],
        "lifecycle": [
            without_nothing(
                {
                    "id": rule["Id"],
                    "on": rule["Status"] == "Enabled",
                    "prefix": rule.get("Prefix"),
                    "abort_days": rule.get("AbortIncompleteMultipartUpload", {}).get(
                        "DaysAfterInitiation"
                    ),
                    "old_version_days": rule.get("NoncurrentVersionExpiration", {}).get(
                        "NoncurrentDays"
                    ),
                    "expiry_days": rule.get("ExpirationInDays"),
                    "expire_delete_markers": rule.get("ExpiredObjectDeleteMarker"),
                    "storage_classes": [
                        transition["StorageClass"]
                        for transition in (
                            rule.get("Transitions", [])
                            + rule.get("NoncurrentVersionTransitions", [])
                        )
                    ],
                }
            )
            for rule in bucket["LifecycleConfiguration"]["Rules"]
        ],
        "statements": statements(policy["PolicyDocument"]),
        "policy_of": policy["Bucket"],
        "kept": kept == {("RetainExceptOnCreate", "Retain")},
    }


def _stream(stack: Stack) -> Document:
    stream = stack.one("AWS::KinesisFirehose::DeliveryStream")
    s3 = stream["ExtendedS3DestinationConfiguration"]
    logging = s3["CloudWatchLoggingOptions"]
    return {
        "name": stream["DeliveryStreamName"],
        "direct_put": stream["DeliveryStreamType"] == "DirectPut",
        "encryption": stream["DeliveryStreamEncryptionConfigurationInput"]["KeyType"],
        "bucket": s3["BucketARN"],
        "role": s3["RoleARN"],
        "prefix": s3["Prefix"],
        "error_prefix": s3.get("ErrorOutputPrefix"),
        "time_zone": s3["CustomTimeZone"],
        "compression": s3["CompressionFormat"],
        "extension": s3["FileExtension"],
        "interval_s": s3["BufferingHints"]["IntervalInSeconds"],
        "size_mb": s3["BufferingHints"]["SizeInMBs"],
        "log": (logging["Enabled"], logging["LogGroupName"], logging["LogStreamName"]),
    }


def _alarm(alarm: Document) -> Document:
    if "Metrics" in alarm:
        queries = [
            without_nothing(
                {
                    "id": query["Id"],
                    "label": query.get("Label"),
                    "expression": query.get("Expression"),
                    "result": query["ReturnData"],
                    **(_metric_stat(query["MetricStat"]) if "MetricStat" in query else {}),
                }
            )
            for query in alarm["Metrics"]
        ]
    else:
        queries = [
            {
                "metric": (alarm["Namespace"], alarm["MetricName"]),
                "dimensions": _pairs(alarm["Dimensions"]),
                "stat": alarm["Statistic"],
                "period_s": alarm["Period"],
            }
        ]
    return {
        "description": alarm["AlarmDescription"],
        "queries": sorted(queries, key=lambda query: str(query.get("id"))),
        "rings_when": (alarm["ComparisonOperator"], float(alarm["Threshold"])),
        "periods": int(alarm["EvaluationPeriods"]),
        "missing_data": alarm["TreatMissingData"],
        "tells": (alarm["AlarmActions"], alarm["OKActions"]),
    }


def _metric_stat(stat: Document) -> Document:
    metric = stat["Metric"]
    return {
        "metric": (metric["Namespace"], metric["MetricName"]),
        "dimensions": _pairs(metric["Dimensions"]),
        "stat": stat["Stat"],
        "period_s": stat["Period"],
    }


def _pairs(dimensions: list[Document]) -> dict[str, str]:
    return {dimension["Name"]: dimension["Value"] for dimension in dimensions}


def _table(stack: Stack, name: str) -> Document:
    (found,) = (
        table
        for table in stack.resources("AWS::Glue::Table").values()
        if table["TableInput"]["Name"] == name
    )
    table, storage = found["TableInput"], found["TableInput"]["StorageDescriptor"]
    return without_nothing(
        {
            "database": found["DatabaseName"],
            "name": table["Name"],
            "description": table["Description"],
            "kind": table["TableType"],
            "columns": [
                (column["Name"], column["Type"], column.get("Comment", ""))
                for column in storage["Columns"]
            ],
            "partitions": [
                (column["Name"], column["Type"]) for column in table.get("PartitionKeys", [])
            ],
            "parameters": table["Parameters"],
            "location": storage.get("Location"),
            "formats": (storage.get("InputFormat"), storage.get("OutputFormat")),
            "serde": (
                storage["SerdeInfo"].get("SerializationLibrary"),
                storage["SerdeInfo"].get("Parameters"),
            ),
            "view": (table.get("ViewOriginalText"), table.get("ViewExpandedText")),
        }
    )


def _workgroup(workgroup: Document) -> Document:
    configuration = workgroup["WorkGroupConfiguration"]
    result = configuration["ResultConfiguration"]
    return {
        "name": workgroup["Name"],
        "description": workgroup["Description"],
        "removable": workgroup["RecursiveDeleteOption"],
        "enforced": configuration["EnforceWorkGroupConfiguration"],
        "metrics": configuration["PublishCloudWatchMetricsEnabled"],
        "scan_limit_bytes": configuration["BytesScannedCutoffPerQuery"],
        "engine": configuration["EngineVersion"]["SelectedEngineVersion"],
        "results": result["OutputLocation"],
        "encryption": result["EncryptionConfiguration"]["EncryptionOption"],
    }

"""The normal form: what either tool makes, in the words of CloudFormation, all references resolved.

Nothing is left out but what is empty, so whatever a template has that nobody expects is seen.
"""

import base64
import json
import re
from typing import Any

ACCOUNT, REGION, PARTITION = "123456789012", "us-east-1", "aws"

Document = dict[str, Any]

#: The properties of each resource, by its type and its name.
Resources = dict[tuple[str, str], Document]

#: Where each type of resource has its name. A type that is not here may not be made.
NAMED_BY: dict[str, tuple[str, ...]] = {
    "AWS::Athena::NamedQuery": ("Name",),
    "AWS::Athena::WorkGroup": ("Name",),
    "AWS::CloudWatch::Alarm": ("AlarmName",),
    "AWS::CloudWatch::Dashboard": ("DashboardName",),
    "AWS::Glue::Database": ("DatabaseInput", "Name"),
    "AWS::Glue::Table": ("TableInput", "Name"),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName",),
    "AWS::IAM::Role": ("RoleName",),
    "AWS::IAM::RolePolicy": ("PolicyName",),
    "AWS::KinesisFirehose::DeliveryStream": ("DeliveryStreamName",),
    "AWS::Logs::LogGroup": ("LogGroupName",),
    "AWS::Logs::LogStream": ("LogStreamName",),
    "AWS::Logs::MetricFilter": ("FilterName",),
    "AWS::S3::Bucket": ("BucketName",),
    "AWS::S3::BucketPolicy": ("Bucket",),
    "AWS::SNS::Subscription": ("Endpoint",),
    "AWS::SNS::Topic": ("TopicName",),
    "AWS::SNS::TopicPolicy": ("Topics",),
}


class RefusedError(Exception):
    """A template has what the normal form cannot hold, so it may not be there."""


def name_of(kind: str, properties: Document) -> str:
    """Return the name of a resource."""
    if kind not in NAMED_BY:
        raise RefusedError(f"{kind} may not be made")
    name: Any = properties
    for key in NAMED_BY[kind]:
        name = name[key]
    return str(name)


def add(resources: Resources, kind: str, properties: Document) -> None:
    """Add a resource in normal form.

    Raises:
        RefusedError: there is one of this type and name.
    """
    key = (kind, name_of(kind, properties))
    if key in resources:
        raise RefusedError(f"{key} is made twice")
    resources[key] = normal(properties)


def of_type(resources: Resources, kind: str) -> dict[str, Document]:
    """Return the properties of all resources of a type, by name."""
    return {name: one for (its, name), one in resources.items() if its == kind}


def normal(value: Any, key: str = "") -> Any:
    """Return a value with JSON texts read, single actions listed, and nothing that is empty."""
    if isinstance(value, list):
        items = [normal(item) for item in value]
        # a set in Terraform
        return sorted(items, key=lambda one: one["Id"]) if key == "Metrics" else items
    if isinstance(value, dict):
        pairs = {name: normal(item, name) for name, item in value.items()}
        return {name: item for name, item in pairs.items() if item not in (None, "", [], {})}
    if key in ("Action", "Resource"):
        return [value]
    if key in ("PolicyDocument", "AssumeRolePolicyDocument", "DashboardBody") and value:
        return normal(json.loads(value))
    if key == "ViewOriginalText" and value:
        found = re.fullmatch(r"/\* Presto View: ([A-Za-z0-9+/=]+) \*/", value)
        return json.loads(base64.b64decode(found[1])) if found else value
    return value


def permissions(policy: Document) -> set[tuple[str, str]]:
    """Return every action and resource that a policy in normal form allows."""
    assert all(one["Effect"] == "Allow" for one in policy["Statement"])
    return {
        (action, resource)
        for one in policy["Statement"]
        for action in one["Action"]
        for resource in one["Resource"]
    }


def differences(left: Any, right: Any, path: str = "") -> list[str]:
    """Return every place where two documents differ, with both values."""
    if isinstance(left, dict) and isinstance(right, dict):
        return [
            line
            for name in sorted(left.keys() | right.keys(), key=str)
            for line in differences(
                left.get(name, "nothing"), right.get(name, "nothing"), f"{path}/{_text(name)}"
            )
        ]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [
            line
            for number, pair in enumerate(zip(left, right, strict=True))
            for line in differences(*pair, f"{path}/{number}")
        ]
    # True is not 1 here
    same = left == right and isinstance(left, bool) == isinstance(right, bool)
    return [] if same else [f"{path}: {left!r} here, {right!r} there"]


def _text(name: Any) -> str:
    return " ".join(name) if isinstance(name, tuple) else str(name)

"""The Terraform configuration in normal form, out of the plan that the real terraform makes.

The names of a resource's arguments are those of CloudFormation in another spelling, but for the
ones that are listed here.
"""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.needs import HANGS_S, needed
from tests.support.service import PROJECT

from .normal import REGION, Document, RefusedError, Resources, add

CONFIGURATION = PROJECT / "deploy/terraform"

#: Where there is no way to the provider registry, this stands in for the provider.
OFFLINE = PROJECT.parent / "shared/tools/terraform-offline/activate"
STAND_IN = "../shared/tools/terraform-offline, a stand-in for Terraform's AWS provider,"


#: The provider, for this checkout and its owner alone.
_PROVIDER = PROJECT / ".pytest_cache/terraform"


@cache
def environment() -> dict[str, str]:
    """Return the environment to run terraform in."""
    needed("terraform", shutil.which("terraform"))
    variables = dict(os.environ) | {
        "TF_IN_AUTOMATION": "1",
        "TF_CLI_ARGS": "-no-color",
        "CHECKPOINT_DISABLE": "1",
    }
    if OFFLINE.exists():
        # made at its first use, which several test processes would have at once
        with _alone():
            printed = subprocess.run(
                [OFFLINE],
                check=True,
                capture_output=True,
                text=True,
                env=os.environ | {"TMPDIR": str(_PROVIDER)},
            ).stdout
            _extend()
        # it keeps a certificate below the home folder
        variables["HOME"] = str(_PROVIDER)
        variables["TF_CLI_CONFIG_FILE"] = printed.strip().removeprefix("export TF_CLI_CONFIG_FILE=")
    else:
        variables["TF_PLUGIN_CACHE_DIR"] = str(_PROVIDER)
    return variables


@cache
def schema() -> Document:
    """Return the arguments and blocks of the resources that the stand-in knows, and of ours.

    Ours are those of the same provider's arguments, for the resources that the stand-in lacks.
    """
    known: Document = json.loads((OFFLINE.parent / "schema.json").read_text())
    ours = json.loads((Path(__file__).parent / "provider_schema.json").read_text())
    return known | {"resource": known["resource"] | ours}


#: `terraform import`, which the stand-in lacks: whatever is asked for is there, and has its name.
_IMPORT = """
def import_state(self, request, context):
    block, kind = SCHEMA["resource"][request.type_name], request.type_name
    state = dict.fromkeys(block["attributes"])
    for name, one in block["blocks"].items():
        state[name] = None if one["nesting"] == "single" else []
    state |= {name: request.id for name in ("bucket", "name", "id") if name in state}
    state = encode(fill(block, state, kind, True))
    imported = pb.ImportResourceState.ImportedResource(type_name=kind, state=state)
    return pb.ImportResourceState.Response(imported_resources=[imported])


Provider.ImportResourceState = import_state
main()
"""


def _extend() -> None:
    """Let terraform start the stand-in with `schema` and `_IMPORT`, out of a folder of ours."""
    provider = (OFFLINE.parent / "provider.py").read_text()
    assert provider.endswith("\nmain()\n")
    for path, text in (
        (_PROVIDER / "provider.py", provider.removesuffix("\nmain()\n") + _IMPORT),
        (_PROVIDER / "schema.json", json.dumps(schema())),
    ):
        # replaced as a whole: a provider of another process may be reading it
        scratch = path.with_suffix(".new")
        scratch.write_text(text)
        scratch.replace(path)
    start = _PROVIDER / "terraform-offline/bin/terraform-provider-aws"
    text = start.read_text().replace(str(OFFLINE.parent), str(_PROVIDER))
    scratch = start.with_suffix(".new")
    scratch.write_text(text)
    scratch.chmod(0o755)
    scratch.replace(start)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    _PROVIDER.mkdir(parents=True, exist_ok=True)
    with (_PROVIDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def _registry_answers() -> bool:
    """Whether `terraform init` gets the provider; with the stand-in there is nothing to get."""
    if OFFLINE.exists():
        return True
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(CONFIGURATION / "versions.tf", scratch)
        with _alone():
            ended = _ended("init", "-backend=false", "-input=false", folder=Path(scratch))
    return ended.returncode == 0


def terraform(*words: str, folder: Path = CONFIGURATION) -> str:
    """Run terraform in a folder and return what it printed.

    Raises:
        RuntimeError: it failed; what it printed is in the message.
    """
    # fmt is the command that needs no provider
    if words[0] != "fmt" and not OFFLINE.exists() and not (folder / ".terraform").exists():
        needed("Terraform's AWS provider, from its registry", _registry_answers())
        with _alone():
            _run("init", "-backend=false", "-input=false", folder=folder)
    return _run(*words, folder=folder)


def _run(*words: str, folder: Path) -> str:
    ended = _ended(*words, folder=folder)
    if ended.returncode:
        raise RuntimeError(f"terraform {words[0]}:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def _ended(*words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["terraform", f"-chdir={folder}", *words],
        capture_output=True,
        text=True,
        timeout=HANGS_S,
        env=environment(),
    )


def text(folder: Path = CONFIGURATION) -> str:
    """Return the whole configuration."""
    return "\n".join(path.read_text() for path in sorted(folder.glob("*.tf")))


def copy(scratch: Path, file: str, old: str, new: str) -> Path:
    """Return a copy of the configuration in which one file has `new` in place of `old`."""
    shutil.copytree(CONFIGURATION.parent / "athena", scratch / "athena")
    folder = scratch / "terraform"
    shutil.copytree(CONFIGURATION, folder)
    before = (folder / file).read_text()
    assert old in before, old
    (folder / file).write_text(before.replace(old, new))
    return folder


def planned(folder: Path | None = None, **values: Any) -> Document:
    """Return terraform's plan as it shows it in JSON, with these values for the variables.

    The real provider asks AWS for the account while it plans. Without a folder it is a plan of the
    configuration as it is, which several tests look at and none changes.
    """
    return _planned(folder, **values) if folder else _planned_once(**values)


@cache
def _planned_once(**values: Any) -> Document:
    return _planned(CONFIGURATION, **values)


def _planned(folder: Path, **values: Any) -> Document:
    needed(STAND_IN, OFFLINE.exists())
    with tempfile.TemporaryDirectory() as scratch:
        plan = f"{scratch}/plan"
        options = [f"-var={name}={value}" for name, value in values.items()]
        terraform(
            "plan",
            "-input=false",
            "-lock=false",
            f"-state={scratch}/state",
            f"-out={plan}",
            *options,
            folder=folder,
        )
        document: Document = json.loads(terraform("show", "-json", plan, folder=folder))
    return document


#: What each type is in CloudFormation. Those of S3 without a word after the type are made part of
#: their bucket.
_TYPES = {
    "aws_athena_named_query": "AWS::Athena::NamedQuery",
    "aws_athena_workgroup": "AWS::Athena::WorkGroup",
    "aws_cloudwatch_dashboard": "AWS::CloudWatch::Dashboard",
    "aws_cloudwatch_log_group": "AWS::Logs::LogGroup",
    "aws_cloudwatch_log_metric_filter": "AWS::Logs::MetricFilter",
    "aws_cloudwatch_log_stream": "AWS::Logs::LogStream",
    "aws_cloudwatch_metric_alarm": "AWS::CloudWatch::Alarm",
    "aws_glue_catalog_database": "AWS::Glue::Database",
    "aws_glue_catalog_table": "AWS::Glue::Table",
    "aws_iam_policy": "AWS::IAM::ManagedPolicy",
    "aws_iam_role": "AWS::IAM::Role",
    "aws_iam_role_policy": "AWS::IAM::RolePolicy",
    "aws_kinesis_firehose_delivery_stream": "AWS::KinesisFirehose::DeliveryStream",
    "aws_s3_bucket": "AWS::S3::Bucket",
    "aws_s3_bucket_policy": "AWS::S3::BucketPolicy",
    "aws_sns_topic": "AWS::SNS::Topic",
    "aws_sns_topic_policy": "AWS::SNS::TopicPolicy",
    "aws_sns_topic_subscription": "AWS::SNS::Subscription",
}

#: Names that are not the other spelling, by the resource or block that has them.
_NAMES = {
    "aws_athena_named_query": {"query": "QueryString", "workgroup": "WorkGroup"},
    "aws_athena_workgroup": {
        "configuration": "WorkGroupConfiguration",
        "force_destroy": "RecursiveDeleteOption",
    },
    "configuration": {
        "enforce_workgroup_configuration": "EnforceWorkGroupConfiguration",
        "publish_cloudwatch_metrics_enabled": "PublishCloudWatchMetricsEnabled",
    },
    "encryption_configuration": {"kms_key_arn": "KmsKey"},
    "aws_cloudwatch_log_group": {"name": "LogGroupName"},
    "aws_cloudwatch_log_metric_filter": {
        "name": "FilterName",
        "pattern": "FilterPattern",
        "metric_transformation": "MetricTransformations",
    },
    "metric_transformation": {
        "name": "MetricName",
        "namespace": "MetricNamespace",
        "value": "MetricValue",
    },
    "aws_cloudwatch_log_stream": {"name": "LogStreamName"},
    "aws_cloudwatch_metric_alarm": {"ok_actions": "OKActions", "metric_query": "Metrics"},
    "ser_de_info": {},
    "aws_iam_policy": {"name": "ManagedPolicyName", "policy": "PolicyDocument"},
    "aws_iam_role": {"name": "RoleName", "assume_role_policy": "AssumeRolePolicyDocument"},
    "aws_iam_role_policy": {
        "name": "PolicyName",
        "role": "RoleName",
        "policy": "PolicyDocument",
    },
    "aws_kinesis_firehose_delivery_stream": {
        "name": "DeliveryStreamName",
        "server_side_encryption": "DeliveryStreamEncryptionConfigurationInput",
        "extended_s3_configuration": "ExtendedS3DestinationConfiguration",
    },
    "server_side_encryption": {"key_arn": "KeyARN"},
    "extended_s3_configuration": {
        "bucket_arn": "BucketARN",
        "role_arn": "RoleARN",
        "cloudwatch_logging_options": "CloudWatchLoggingOptions",
    },
    "aws_s3_bucket": {"bucket": "BucketName"},
    "aws_s3_bucket_policy": {"policy": "PolicyDocument"},
    "apply_server_side_encryption_by_default": {
        "sse_algorithm": "SSEAlgorithm",
        "kms_master_key_id": "KMSMasterKeyID",
    },
    "aws_s3_bucket_server_side_encryption_configuration.rule": {
        "apply_server_side_encryption_by_default": "ServerSideEncryptionByDefault"
    },
    "aws_s3_bucket_logging": {
        "target_bucket": "DestinationBucketName",
        "target_prefix": "LogFilePrefix",
    },
    "aws_sns_topic": {"name": "TopicName"},
    "aws_sns_topic_policy": {"policy": "PolicyDocument"},
    "storage_descriptor": {"ser_de_info": "SerdeInfo"},
}

#: What each part of a bucket is called there.
_PARTS = {
    "aws_s3_bucket_lifecycle_configuration": "LifecycleConfiguration",
    "aws_s3_bucket_logging": "LoggingConfiguration",
    "aws_s3_bucket_object_lock_configuration": "ObjectLockConfiguration",
    "aws_s3_bucket_ownership_controls": "OwnershipControls",
    "aws_s3_bucket_public_access_block": "PublicAccessBlockConfiguration",
    "aws_s3_bucket_server_side_encryption_configuration": "BucketEncryption",
    "aws_s3_bucket_versioning": "VersioningConfiguration",
}

#: Blocks that are a list there. Of every other block there is one.
_LISTS = {"columns", "metric_query", "metric_transformation", "partition_keys", "rule"}


def made(document: Document) -> Resources:
    """Return what a plan makes, as `terraform show -json` prints it."""
    resources: Resources = {}
    buckets: dict[str, Document] = {}
    parts: list[tuple[str, Document]] = []
    for resource in document["planned_values"]["root_module"]["resources"]:
        kind = resource["type"]
        if resource["mode"] != "managed" or kind not in schema()["resource"]:
            raise RefusedError(f"{kind} may not be made")
        properties = _block(resource["values"], schema()["resource"][kind], kind)
        if kind in _PARTS:
            parts.append((kind, properties))
        elif kind in _TYPES:
            shaped = _SHAPES.get(kind, dict)(properties)
            if kind == "aws_s3_bucket":
                buckets[shaped["BucketName"]] = shaped
            else:
                add(resources, _TYPES[kind], shaped)
        else:
            raise RefusedError(f"{kind} may not be made")
    for kind, part in parts:
        bucket = buckets.get(part.pop("Bucket", ""))
        if bucket is None or _PARTS[kind] in bucket:
            raise RefusedError(f"{kind} is of no bucket, or of one that has it")
        bucket |= _SHAPES[kind](part) if kind in _SHAPES else {_PARTS[kind]: part}
    for bucket in buckets.values():
        add(resources, "AWS::S3::Bucket", bucket)
    return resources


def outputs(document: Document) -> dict[str, Any]:
    """Return the outputs of a plan; a last line's end is Terraform's way to write several lines."""
    return {
        _camel(name): output["value"].rstrip("\n")
        for name, output in document["planned_values"]["outputs"].items()
    }


def _block(values: Document, schema: Document, kind: str, above: str = "") -> Document:
    """Return the values of a resource or block in CloudFormation's words."""
    names = _NAMES.get(f"{above}.{kind}", _NAMES.get(kind, {}))
    found: Document = {}
    for name, value in values.items():
        its = names.get(name, _camel(name))
        if name in schema["blocks"]:
            nested = schema["blocks"][name]
            blocks = value if isinstance(value, list) else [value] if value else []
            items = [_block(item, nested["block"], name, kind) for item in blocks]
            found[its] = items if name in _LISTS or len(items) > 1 else next(iter(items), None)
        elif not (schema["attributes"][name]["c"] and _is_own(name, value)):
            found[its] = value
    return {name: value for name, value in found.items() if value is not None}


def _is_own(name: str, value: Any) -> bool:
    """Whether a value is what the provider gives a resource by itself."""
    return name in ("arn", "id", "tags_all") or (name, value) == ("region", REGION)


def _camel(name: str) -> str:
    return "".join(map(str.capitalize, name.split("_")))


def _taken(properties: Document, *names: str) -> Document:
    """Take properties out, those that are there."""
    return {name: properties.pop(name) for name in names if name in properties}


def _alarm(alarm: Document) -> Document:
    for query in alarm.get("Metrics", []):
        if metric := query.pop("Metric", None):
            query["MetricStat"] = _taken(metric, "Period", "Stat", "Unit") | {
                "Metric": _with_dimensions(metric)
            }
    return _with_dimensions(alarm)


def _with_dimensions(metric: Document) -> Document:
    pairs = (metric.pop("Dimensions", None) or {}).items()
    return metric | {"Dimensions": [{"Name": name, "Value": value} for name, value in pairs]}


def _glue(properties: Document) -> Document:
    return _taken(properties, "DatabaseName") | {"TableInput": properties}


def _stream(stream: Document) -> Document:
    s3 = stream["ExtendedS3DestinationConfiguration"]
    hints = {"IntervalInSeconds": "BufferingInterval", "SizeInMBs": "BufferingSize"}
    s3["BufferingHints"] = {its: s3.pop(name) for its, name in hints.items() if name in s3}
    encryption = stream["DeliveryStreamEncryptionConfigurationInput"]
    if encryption.pop("Enabled", None) is not True:
        encryption["Enabled"] = False
    # a source has a block of its own, which would be here
    if stream.pop("Destination") == "extended_s3":
        stream["DeliveryStreamType"] = "DirectPut"
    return stream


def _lifecycle(part: Document) -> Document:
    for rule in part["Rule"]:
        # the provider wants one in each rule, an empty one for all objects
        its = rule.pop("Filter")
        expiration = rule.pop("Expiration", None) or {}
        if "Days" in expiration:
            rule["ExpirationInDays"] = expiration.pop("Days")
        rule |= its | expiration
    return {"LifecycleConfiguration": {"Rules": part.pop("Rule"), **part}}


#: What is nested otherwise.
_SHAPES: dict[str, Callable[[Document], Document]] = {
    "aws_cloudwatch_metric_alarm": _alarm,
    "aws_glue_catalog_database": lambda one: {"DatabaseInput": one},
    "aws_glue_catalog_table": _glue,
    "aws_kinesis_firehose_delivery_stream": _stream,
    "aws_s3_bucket_lifecycle_configuration": _lifecycle,
    "aws_s3_bucket_object_lock_configuration": lambda one: {
        "ObjectLockEnabled": True,
        "ObjectLockConfiguration": one | {"Rule": one["Rule"][0]},
    },
    "aws_s3_bucket_ownership_controls": lambda one: {
        "OwnershipControls": {"Rules": one.pop("Rule"), **one}
    },
    "aws_s3_bucket_server_side_encryption_configuration": lambda one: {
        "BucketEncryption": {"ServerSideEncryptionConfiguration": one.pop("Rule"), **one}
    },
    "aws_s3_bucket_versioning": lambda one: {
        "VersioningConfiguration": one.pop("VersioningConfiguration") | one
    },
    "aws_sns_topic_policy": lambda one: {"Topics": [one.pop("Arn")], **one},
}

"""The Terraform configuration in normal form, out of the plan that the real terraform makes."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.needs import HANGS_S, needed
from tests.support.service import PROJECT

from .normal import Document, World, statements, variables, view, without_nothing

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
        # it keeps a certificate below the home folder
        variables["HOME"] = str(_PROVIDER)
        variables["TF_CLI_CONFIG_FILE"] = printed.strip().removeprefix("export TF_CLI_CONFIG_FILE=")
    else:
        variables["TF_PLUGIN_CACHE_DIR"] = str(_PROVIDER)
    return variables


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


def planned(folder: Path = CONFIGURATION, **values: Any) -> Document:
    """Return terraform's plan as it shows it in JSON, with these values for the variables.

    The real provider asks AWS for the account while it plans.
    """
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


class Plan:
    """The resources of a plan."""

    def __init__(self, document: Document) -> None:
        """Take a plan as `terraform show -json` prints it."""
        self._resources = document["planned_values"]["root_module"]["resources"]
        self.outputs = document["planned_values"]["outputs"]

    def resources(self, kind: str) -> list[Document]:
        """Return the values of all resources of a type."""
        return [resource["values"] for resource in self._resources if resource["type"] == kind]

    def one(self, kind: str) -> Document:
        """Return the values of the only resource of a type."""
        (values,) = self.resources(kind)
        return values


def world(document: Document, text: str) -> World:
    """Return what a plan would make. `text` is the configuration, for what no plan shows."""
    plan = Plan(document)
    role, application = plan.one("aws_iam_role"), plan.one("aws_iam_policy")
    return {
        "bucket": _bucket(plan, text),
        "stream": _stream(plan.one("aws_kinesis_firehose_delivery_stream")),
        "delivery_role": {
            "name": role["name"],
            "trust": statements(role["assume_role_policy"]),
            "statements": statements(plan.one("aws_iam_role_policy")["policy"]),
        },
        "application_policy": {
            "name": application["name"],
            "statements": statements(application["policy"]),
        },
        "log": {
            "group": plan.one("aws_cloudwatch_log_group")["name"],
            "days": plan.one("aws_cloudwatch_log_group")["retention_in_days"],
            "stream": plan.one("aws_cloudwatch_log_stream")["name"],
        },
        "topic": {
            "name": plan.one("aws_sns_topic")["name"],
            "statements": statements(plan.one("aws_sns_topic_policy")["policy"]),
            "readers": [
                (reader["protocol"], reader["endpoint"])
                for reader in plan.resources("aws_sns_topic_subscription")
            ],
        },
        "alarms": {
            alarm["alarm_name"]: _alarm(alarm)
            for alarm in plan.resources("aws_cloudwatch_metric_alarm")
        },
        "dashboard": {
            "name": plan.one("aws_cloudwatch_dashboard")["dashboard_name"],
            "body": json.loads(plan.one("aws_cloudwatch_dashboard")["dashboard_body"]),
        },
        "database": {
            name: plan.one("aws_glue_catalog_database")[name] for name in ("name", "description")
        },
        "table": _table(plan, "stripe_webhooks"),
        "view": view(_table(plan, "stripe_events")),
        "workgroup": _workgroup(plan.one("aws_athena_workgroup")),
        "queries": {
            query["name"]: {
                "description": query["description"],
                "database": query["database"],
                "workgroup": query["workgroup"],
                "sql": query["query"],
            }
            for query in plan.resources("aws_athena_named_query")
        },
        "environment": variables(plan.outputs["environment"]["value"]),
    }


def _bucket(plan: Plan, text: str) -> Document:
    bucket, policy = plan.one("aws_s3_bucket"), plan.one("aws_s3_bucket_policy")
    (encryption,) = plan.one("aws_s3_bucket_server_side_encryption_configuration")["rule"]
    (ownership,) = plan.one("aws_s3_bucket_ownership_controls")["rule"]
    (versioning,) = plan.one("aws_s3_bucket_versioning")["versioning_configuration"]
    block = plan.one("aws_s3_bucket_public_access_block")
    camel = {name: "".join(map(str.capitalize, name.split("_"))) for name in block}
    return {
        "name": bucket["bucket"],
        "encryption": encryption["apply_server_side_encryption_by_default"][0]["sse_algorithm"],
        "public_access_block": sorted(camel[name] for name, on in block.items() if on is True),
        "ownership": ownership["object_ownership"],
        "versioning": versioning["status"],
        "lifecycle": [
            without_nothing(
                {
                    "id": rule["id"],
                    "on": rule["status"] == "Enabled",
                    "prefix": rule["filter"][0]["prefix"],
                    "abort_days": _first(
                        rule["abort_incomplete_multipart_upload"], "days_after_initiation"
                    ),
                    "old_version_days": _first(
                        rule["noncurrent_version_expiration"], "noncurrent_days"
                    ),
                    "expiry_days": _first(rule["expiration"], "days"),
                    "expire_delete_markers": _first(
                        rule["expiration"], "expired_object_delete_marker"
                    ),
                    "storage_classes": [
                        transition["storage_class"]
                        for transition in (
                            rule["transition"] + rule["noncurrent_version_transition"]
                        )
                    ],
                }
            )
            for rule in plan.one("aws_s3_bucket_lifecycle_configuration")["rule"]
        ],
        "statements": statements(policy["policy"]),
        "policy_of": policy["bucket"],
        # a plan does not show it: terraform refuses to destroy the bucket, and so everything
        "kept": not bucket["force_destroy"]
        and bool(re.search(r'"aws_s3_bucket" "archive" \{[^}]*prevent_destroy = true', text)),
    }


def _stream(stream: Document) -> Document:
    (s3,) = stream["extended_s3_configuration"]
    (encryption,) = stream["server_side_encryption"]
    (logging,) = s3["cloudwatch_logging_options"]
    return {
        "name": stream["name"],
        "direct_put": not stream["kinesis_source_configuration"]
        and not stream["msk_source_configuration"],
        "encryption": encryption["key_type"] if encryption["enabled"] else None,
        "bucket": s3["bucket_arn"],
        "role": s3["role_arn"],
        "prefix": s3["prefix"],
        "error_prefix": s3["error_output_prefix"],
        "time_zone": s3["custom_time_zone"],
        "compression": s3["compression_format"],
        "extension": s3["file_extension"],
        "interval_s": s3["buffering_interval"],
        "size_mb": s3["buffering_size"],
        "log": (logging["enabled"], logging["log_group_name"], logging["log_stream_name"]),
    }


def _alarm(alarm: Document) -> Document:
    if alarm["metric_query"]:
        queries = [
            without_nothing(
                {
                    "id": query["id"],
                    "label": query["label"],
                    "expression": query["expression"],
                    "result": query["return_data"],
                    **(_metric(query["metric"][0]) if query["metric"] else {}),
                }
            )
            for query in alarm["metric_query"]
        ]
    else:
        queries = [_metric(alarm | {"stat": alarm["statistic"]})]
    return {
        "description": alarm["alarm_description"],
        "queries": sorted(queries, key=lambda query: str(query.get("id"))),
        "rings_when": (alarm["comparison_operator"], float(alarm["threshold"])),
        "periods": alarm["evaluation_periods"],
        "missing_data": alarm["treat_missing_data"],
        "tells": (alarm["alarm_actions"], alarm["ok_actions"]),
    }


def _metric(metric: Document) -> Document:
    return {
        "metric": (metric["namespace"], metric["metric_name"]),
        "dimensions": metric["dimensions"],
        "stat": metric["stat"],
        "period_s": metric["period"],
    }


def _table(plan: Plan, name: str) -> Document:
    (table,) = (
        table for table in plan.resources("aws_glue_catalog_table") if table["name"] == name
    )
    (storage,) = table["storage_descriptor"]
    serde = _first(storage["ser_de_info"], "serialization_library")
    return without_nothing(
        {
            "database": table["database_name"],
            "name": table["name"],
            "description": table["description"],
            "kind": table["table_type"],
            "columns": [
                (column["name"], column["type"], column["comment"] or "")
                for column in storage["columns"]
            ],
            "partitions": [(column["name"], column["type"]) for column in table["partition_keys"]],
            "parameters": table["parameters"],
            "location": storage["location"],
            "formats": (storage["input_format"], storage["output_format"]),
            "serde": (serde, _first(storage["ser_de_info"], "parameters")),
            "view": (table["view_original_text"], table["view_expanded_text"]),
        }
    )


def _workgroup(workgroup: Document) -> Document:
    (configuration,) = workgroup["configuration"]
    (result,) = configuration["result_configuration"]
    return {
        "name": workgroup["name"],
        "description": workgroup["description"],
        "removable": workgroup["force_destroy"],
        "enforced": configuration["enforce_workgroup_configuration"],
        "metrics": configuration["publish_cloudwatch_metrics_enabled"],
        "scan_limit_bytes": configuration["bytes_scanned_cutoff_per_query"],
        "engine": configuration["engine_version"][0]["selected_engine_version"],
        "results": result["output_location"],
        "encryption": result["encryption_configuration"][0]["encryption_option"],
    }


def _first(blocks: list[Document], name: str) -> Any:
    return blocks[0][name] if blocks else None

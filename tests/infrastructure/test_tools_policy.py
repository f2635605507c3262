"""The policies of deploy/iam against the calls that the archive's tools really make.

moto grants everything, so every call is held against the policies here, and refused as IAM would.
"""

import fnmatch
import json
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from click.testing import CliRunner
from moto import mock_aws

from archive_tools import storage as storages
from archive_tools.cli import archive
from archive_tools.querying import athena_engine
from archive_tools.settings import ToolSettings
from examples import stripe
from tests.support.service import PROJECT
from webhook_app.events.record import webhook_record
from webhook_app.events.signature import sign
from webhook_app.storage import firehose
from webhook_app.storage.local import LocalArchive

from . import expected
from .normal import ACCOUNT, PARTITION, REGION, Document, of_type, permissions

BUCKET, STREAM, SECRET = "your-company-stripe-webhooks", "stripe-webhook-stream", "whsec_test"

Allowed = set[tuple[str, str]]


def document(name: str) -> Document:
    """A policy that the templates make, with the names of the guides."""
    made = expected.resources({"BucketName": BUCKET})
    policies = of_type(made, "AWS::IAM::ManagedPolicy")
    policy: Document = policies[f"{STREAM}-{REGION}-{name}"]["PolicyDocument"]
    return policy


def policy(name: str) -> Allowed:
    return permissions(document(name))


@pytest.mark.parametrize(
    ("file", "name"), [("read", "auditor"), ("snapshot", "snapshot"), ("athena", "analyst")]
)
def test_the_policies_for_other_buckets_are_those_of_the_templates(file: str, name: str) -> None:
    assert json.loads((PROJECT / f"deploy/iam/{file}.json").read_text()) == document(name)


def asked(service: str, operation: str, parameters: dict[str, Any]) -> tuple[str, str]:
    """The action and the resource that IAM would be asked about."""
    if service == "firehose":
        name = f"deliverystream/{parameters['DeliveryStreamName']}"
        return f"firehose:{operation}", f"arn:{PARTITION}:firehose:{REGION}:{ACCOUNT}:{name}"
    if service == "athena":
        workgroup = f"workgroup/{parameters.get('WorkGroup', 'stripe_analytics')}"
        return f"athena:{operation}", f"arn:{PARTITION}:athena:{REGION}:{ACCOUNT}:{workgroup}"
    bucket = f"arn:{PARTITION}:s3:::{parameters['Bucket']}"
    if operation == "ListObjectsV2":
        return "s3:ListBucket", bucket
    if operation == "ListObjectVersions":
        return "s3:ListBucketVersions", bucket
    if operation in ("DeleteObject", "GetObject") and "VersionId" in parameters:
        operation += "Version"
    if operation == "HeadObject":
        operation = "GetObject"
    return f"s3:{operation}", f"{bucket}/{parameters['Key']}"


class Guard:
    """Lets a call pass that a policy allows, and remembers which permission it was."""

    def __init__(self) -> None:
        self.allowed: Allowed = set()
        self.used: Allowed = set()
        self.refused: set[str] = set()

    def check(self, service: str, operation: str, parameters: dict[str, Any]) -> None:
        action, resource = asked(service, operation, parameters)
        fitting = {
            (allowed, pattern)
            for allowed, pattern in self.allowed
            if allowed == action and fnmatch.fnmatchcase(resource, pattern)
        }
        if not fitting:
            self.refused.add(action)
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, operation)
        self.used |= fitting


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Guard]:
    """A bucket with an event of now, its stream, and Stripe with that event and one more."""
    variables = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "ARCHIVE_BUCKET": BUCKET,
        "FIREHOSE_DELIVERY_STREAM_NAME": STREAM,
        "ARCHIVE_DIR": "",
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_KEY": "rk_live_test",
        "REPLAY_SECRET": "whsec_replay",
        "PYTHON_DOTENV_DISABLED": "1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    caches = (
        storages.s3_client,
        firehose.firehose_client,
        firehose.s3_client,
        firehose.aws_session,
    )
    for cached in caches:
        cached.cache_clear()
    found = Guard()
    send = BaseClient._make_api_call  # type: ignore[attr-defined] # botocore's one way out

    def guarded(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        found.check(client.meta.service_model.signing_name, operation, parameters)
        return send(client, operation, parameters)

    with mock_aws(), stripe.serving(stripe.Stripe(events(), OBJECTS)) as address:
        monkeypatch.setenv("STRIPE_API_BASE", address)
        fill(tmp_path / "archive")
        monkeypatch.setattr(BaseClient, "_make_api_call", guarded)
        yield found
    for cached in caches:
        cached.cache_clear()


#: An hour before the tests began.
CREATED = int(time.time()) - 3600

#: Of a kind that a second run lists from where the first ended.
OBJECTS = [{"id": "txn_1", "object": "balance_transaction", "created": CREATED}]


def body(event_id: str) -> bytes:
    event = {"id": event_id, "object": "event", "type": "charge.succeeded", "created": CREATED}
    return json.dumps({**event, "livemode": True, "pending_webhooks": 0}).encode()


def events() -> Iterator[stripe.Event]:
    for event_id in ("evt_there", "evt_missing"):
        yield stripe.Event(event_id, "charge.succeeded", CREATED, body(event_id))


def fill(folder: Path) -> None:
    """Make the bucket, with what the service would have put there, and what the tools ask."""
    text = body("evt_there")
    LocalArchive(folder).put(webhook_record(text, sign(text, SECRET), datetime.now(UTC)))
    s3 = boto3.client("s3", REGION)
    s3.create_bucket(Bucket=BUCKET)
    for path in folder.rglob("*.json.gz"):
        s3.upload_file(str(path), BUCKET, path.relative_to(folder).as_posix())
    boto3.client("firehose", REGION).create_delivery_stream(
        DeliveryStreamName=STREAM,
        ExtendedS3DestinationConfiguration={
            "RoleARN": f"arn:{PARTITION}:iam::{ACCOUNT}:role/firehose",
            "BucketARN": f"arn:{PARTITION}:s3:::{BUCKET}",
        },
    )
    boto3.client("athena", REGION).create_work_group(
        Name="stripe_analytics",
        Configuration={"ResultConfiguration": {"OutputLocation": f"s3://{BUCKET}/results/"}},
    )


def run(*words: str) -> str:
    done = CliRunner().invoke(archive, words, env=dict(os.environ))
    assert done.exit_code == 0, done.output
    return done.output


READERS: dict[str, tuple[str, ...]] = {
    "verify": ("verify",),
    "query": ("query", "arrivals", "--engine", "duckdb"),
    "export": ("export", "--output", "export"),
    "build": ("build", "--engine", "duckdb", "--model", "customers", "--output", "a.duckdb"),
    "report": ("report", "--engine", "duckdb", "--output", "report.html"),
    "backfill": ("backfill", "--dry-run"),
    "replay": ("replay", "http://localhost:9/hook", "--dry-run"),
}


@pytest.mark.parametrize("words", READERS.values(), ids=READERS)
def test_who_may_read_may_run_every_tool_that_only_reads(
    guard: Guard, words: tuple[str, ...]
) -> None:
    guard.allowed = policy("auditor")
    run(*words)
    assert guard.refused == set()
    assert {action for action, _ in guard.used} == {"s3:ListBucket", "s3:GetObject"}


def test_to_reconcile_is_to_read(guard: Guard) -> None:
    guard.allowed = policy("auditor")
    done = CliRunner().invoke(archive, ["reconcile"], env=dict(os.environ))
    assert done.exit_code == 1
    assert "evt_missing" in done.output
    assert guard.refused == set()


@pytest.mark.parametrize("words", [("reconcile", "--repair"), ("backfill",)], ids=lambda w: w[0])
def test_the_policies_of_reader_and_service_together_repair(
    guard: Guard, words: tuple[str, ...]
) -> None:
    guard.allowed = policy("auditor") | policy("application")
    run(*words)
    assert guard.refused == set()
    assert "firehose:PutRecord" in {action for action, _ in guard.used}


def test_the_policies_of_reader_and_snapshot_together_write_snapshots(guard: Guard) -> None:
    guard.allowed = policy("auditor") | policy("snapshot")
    for _ in range(2):
        run("snapshot")
    assert guard.refused == set()
    assert policy("snapshot") <= guard.used


def test_whoever_erases_needs_the_policy_for_that_alone(guard: Guard) -> None:
    guard.allowed = permissions(json.loads((PROJECT / "deploy/iam/erase.json").read_text()))
    run("erase", "evt_there", "--reason", "r", "--by", "dpo", "--yes")
    assert guard.refused == set()
    assert {action for action, _ in guard.used} >= {
        *("s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:ListBucketVersions"),
        "s3:PutObject",
    }


def test_a_query_in_athena_needs_what_the_policy_of_athena_gives(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard.allowed = policy("analyst")
    run("query", "SELECT 1 AS one", "--engine", "athena")
    # one that is given up is stopped
    monkeypatch.setattr(athena_engine.AthenaEngine, "_ended", interrupted)
    storage, settings = storages.BucketStorage(BUCKET, REGION), ToolSettings(aws_region=REGION)
    with athena_engine.open_athena(storage, settings) as engine, pytest.raises(KeyboardInterrupt):
        engine.run("SELECT 1 AS one")
    assert guard.refused == set()
    assert {action for action, _ in guard.used} >= {
        "athena:StartQueryExecution",
        "athena:GetQueryExecution",
        "athena:GetQueryResults",
        "athena:StopQueryExecution",
    }


def test_views_in_athena_need_the_policy_of_models_besides(guard: Guard) -> None:
    guard.allowed = policy("analyst")
    run("build", "--engine", "athena", "--model", "customers")
    assert guard.refused == set()
    # Athena asks Glue with the rights of who asks Athena
    made = permissions(json.loads((PROJECT / "deploy/iam/models.json").read_text()))
    assert {action for action, _ in made} == {"glue:CreateTable", "glue:UpdateTable"}
    tables = {resource.rpartition("/")[2] for _, resource in made if ":table/" in resource}
    assert tables == {path.stem for path in (PROJECT / "deploy/athena/models").glob("*.sql")}


def test_the_console_needs_what_the_policy_of_analysts_gives() -> None:
    """What the query editor calls until a saved query has run, and where a results object goes."""
    actions = {action.split(":")[1] for action, _ in policy("analyst")}
    assert actions >= {
        *("ListWorkGroups", "GetWorkGroup", "ListDataCatalogs", "ListDatabases"),
        *("ListTableMetadata", "GetDatabases", "GetTables", "GetPartitions"),
        *("ListNamedQueries", "BatchGetNamedQuery", "GetNamedQuery", "ListQueryExecutions"),
        *("BatchGetQueryExecution", "StartQueryExecution", "GetQueryResults"),
    }


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_nothing_that_reads_can_write_or_delete() -> None:
    names = {action.split(":")[1] for action, _ in policy("auditor")}
    assert all(name.startswith(("Get", "List")) for name in names)
    written = {
        (action, resource)
        for action, resource in policy("analyst")
        if re.match(
            "s3:(Put|Delete|Abort)|glue:(?!Get|BatchGet)|athena:(Create|Delete|Update)", action
        )
    }
    results = f"arn:aws:s3:::{BUCKET}/athena-results/*"
    assert written == {("s3:PutObject", results), ("s3:AbortMultipartUpload", results)}


def test_the_policies_of_reader_and_seal_together_seal_and_verify(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    tomorrow = time.time() + 2 * 86_400
    monkeypatch.setattr("time.time", lambda: tomorrow)
    seal = permissions(json.loads((PROJECT / "deploy/iam/seal.json").read_text()))
    guard.allowed = policy("auditor") | seal
    run("seal")
    run("verify", "--sealed")
    assert guard.refused == set()
    assert seal <= guard.used

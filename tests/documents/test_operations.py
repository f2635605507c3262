"""OPERATIONS.md: its signs are those that the service gives, and its recipes work."""

import json
import os
import re
import subprocess
from pathlib import Path

import botocore.exceptions
import pytest

from tests.deployment import ecs
from tests.infrastructure import expected
from tests.infrastructure.normal import of_type
from tests.support.service import PROJECT, running
from tests.support.stripe_client import SECRET, deliver, get
from tests.system.conftest import log_lines
from webhook_app.events.signature import Refusal

from .test_setup import rows

OPERATIONS = PROJECT / "docs/OPERATIONS.md"
CODE = "\n".join(path.read_text() for path in (PROJECT / "webhook_app").rglob("*.py"))


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_log_message_is_one_and_none_is_left_out() -> None:
    told = {quoted(row[0])[0]: row[1] for row in rows(OPERATIONS, "The log")}
    for message in told:
        assert f'"{message}"' in CODE, message
    logged = re.findall(
        r'(?:log\.(?:warning|error|exception)\(|message, response =|return)\s*"([A-Z][^"]+)"', CODE
    )
    assert {"Webhook archived", "Malformed request refused"} <= set(logged)
    assert set(logged) <= set(told)


def test_every_reason_of_a_refusal_has_its_cure() -> None:
    told = {reason for row in rows(OPERATIONS, "Signature failures") for reason in quoted(row[0])}
    assert told == set(Refusal)


def test_every_cause_of_a_500_is_one() -> None:
    for row in rows(OPERATIONS, "500s"):
        for cause in quoted(row[0]):
            call, _, error = cause.partition(": ")
            name = error or call
            if name.endswith("Error"):
                # TimeoutError is Python's own, raised at the deadline of a write
                assert hasattr(botocore.exceptions, name) or name == "TimeoutError", name
            elif re.fullmatch(r"\w+Exception", name):
                assert name in faults(), name
            elif "…" not in name:
                assert name in CODE, name


def faults() -> set[str]:
    """The errors of AWS that the tests of the archive go through, and those of signing."""
    tried = (PROJECT / "tests/fakes/firehose.py").read_text() + (
        PROJECT / "tests/bench/faults.py"
    ).read_text()
    return set(re.findall(r"\w+Exception", tried)) | {"InvalidSignatureException"}


def test_what_the_tools_report_is_what_they_say() -> None:
    code = "\n".join(path.read_text() for path in (PROJECT / "archive_tools").rglob("*.py"))
    told = [what for row in rows(OPERATIONS, "Verify reports something") for what in quoted(row[0])]
    assert len(told) >= 9
    for what in told:
        for part in what.split("…"):
            assert part.strip().removeprefix("s after ") in code, what
    for words in ("Missing: ", "Archived, and unknown to Stripe: ", "cannot be read"):
        assert words in code
    section = OPERATIONS.read_text().split("## Reconcile reports something")[1]
    for words in ("**Missing.**", "**Archived, and unknown to Stripe.**", "cannot be read"):
        assert words in section


def test_the_alarms_ring_when_the_table_says(request: pytest.FixtureRequest) -> None:
    options = expected.CHOICES["every option"] | {"StreamName": "stripe-webhook-stream"}
    alarms = of_type(expected.resources(options), "AWS::CloudWatch::Alarm")
    table = {quoted(row[0])[0]: row[1] for row in rows(OPERATIONS, "The alarms")}
    assert set(table) == set(alarms)
    for name, when in table.items():
        alarm = alarms[name]
        queries = [one.get("MetricStat", {}).get("Metric") for one in alarm.get("Metrics", [])]
        for metric in (one["MetricName"] for one in queries or [alarm] if one):
            # a metric of our own is named after the alarm, or after what it counts
            assert metric in when or alarm.get("Namespace") == "StripeAnalyticsBackend"
        assert ("below" if alarm["ComparisonOperator"].startswith("Less") else "over") in when
        assert f"{alarm['Threshold']:g}" in when
    # what an alarm's mail tells to read is there
    headings = re.findall(r"^## (.*)$", OPERATIONS.read_text(), re.MULTILINE)
    for alarm in alarms.values():
        assert alarm["AlarmDescription"].rstrip(".").split("docs/OPERATIONS.md, ")[1] in headings


def test_the_alarms_on_ecs_ring_when_the_table_says() -> None:
    stack = ecs.Stack(**ecs.GIVEN, **ecs.SERVING)
    table = {quoted(row[0])[0]: row for row in rows(OPERATIONS, "The alarms on ECS")}
    alarms = {each["AlarmName"]: each for each in stack.of("AWS::CloudWatch::Alarm").values()}
    assert list(table) == list(alarms)
    headings = re.findall(r"^## (.*)$", OPERATIONS.read_text(), re.MULTILINE)
    for name, (_, when, _, do) in table.items():
        alarm = alarms[name]
        heading = alarm["AlarmDescription"].rstrip(".").split("docs/OPERATIONS.md, ")[1]
        assert heading in headings
        assert f"[{heading}]" in do
        period = alarm.get("Period") or alarm["Metrics"][1]["MetricStat"]["Period"]
        minutes = period * alarm["EvaluationPeriods"] // 60
        units = {60: "an hour"}.get(minutes) or (
            f"{minutes} minutes" if minutes < 60 else f"{minutes // 60} hours"
        )
        assert units in when, name
        if alarm["Threshold"] > 1:
            assert f"more than {alarm['Threshold']}" in when
    group = stack.of("AWS::Logs::LogGroup")["LogGroup"]["LogGroupName"]
    assert f"`{group}`" in OPERATIONS.read_text()


def test_the_counters_are_those_that_are_told(tmp_path: Path) -> None:
    section = OPERATIONS.read_text().split("## Counters\n")[1].split("\n## ")[0]
    (asked,) = re.findall(r"^```sh\n(.*)\n```$", section, re.MULTILINE)
    (shown,) = re.findall(r"^```text\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    variables = {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "ARCHIVE_DIR": str(tmp_path / "archive"),
        "METRICS_TOKEN": "token-of-at-least-16",
        "WEB_WORKERS": "1",
    }
    with running(variables, tmp_path / "log") as service:
        assert deliver(service.port, b"[]").status == 200
        told = subprocess.run(
            ["sh", "-c", asked.replace("3001", str(service.port))],
            env={**os.environ, "METRICS_TOKEN": variables["METRICS_TOKEN"]},
            capture_output=True,
            check=True,
            timeout=20,
        )
        exported = get(service.port, "/metrics", variables["METRICS_TOKEN"]).body.decode()
    example = json.loads(shown)
    assert list(json.loads(told.stdout)) == list(example)
    assert example["received"] == sum(example[name] for name in ("archived", "failed", "refused"))
    assert example["archived"] == sum(example["archived_by_type"].values())
    table = rows(OPERATIONS, "Counters")
    families = re.findall(r"^# TYPE (\S+)", exported, re.MULTILINE)
    assert {quoted(name)[0] for name, *_ in table} == set(families)
    for name, labels, _ in table:
        found = re.findall(rf"^{quoted(name)[0]}\w*{{(\w+)=", exported, re.MULTILINE)
        assert set(found) == set(quoted(labels)[:1])


def test_the_alerts_of_prometheus_are_all_told() -> None:
    rules = (PROJECT / "deploy/monitoring/alerts.yml").read_text()
    told = OPERATIONS.read_text().split("| alert | rings when | do |")[1]
    rows_told = re.findall(r"^\| `(\w+)` \| .* \| \[(.*?)\].* \|$", told, re.MULTILINE)
    alerts = re.findall(r"- alert: (\w+)\n.*?OPERATIONS.md, (.*?)\n", rules, re.DOTALL)
    assert rows_told[: len(alerts)] == alerts


def test_the_line_that_is_shown_has_the_fields_of_the_log(tmp_path: Path) -> None:
    shown = re.search(r"^```json\n(.*)\n```$", OPERATIONS.read_text(), re.MULTILINE)
    assert shown
    variables = {"STRIPE_WEBHOOK_SECRET": SECRET, "ARCHIVE_DIR": str(tmp_path / "archive")}
    with running({**variables, "WEB_WORKERS": "1"}, tmp_path / "log") as service:
        assert deliver(service.port, b'{"id": "evt_1"}').status == 200
        lines = [line for line in log_lines(service) if line["message"] == "Webhook archived"]
    assert set(json.loads(shown[1])) == set(lines[0])

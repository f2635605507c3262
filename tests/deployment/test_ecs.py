"""The stack of deploy/ecs: who may do what, what rings, and what starts the daily job."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deployment import ecs
from tests.deployment.ecs import ACCOUNT, BALANCER, GIVEN, GROUPS, REGION, SERVING, Stack
from tests.support.service import PROJECT
from webhook_app.events.signature import Refusal

BEFORE, AFTER = Stack(**GIVEN), Stack(**GIVEN, **SERVING)
APPLICATION = f"arn:aws:iam::{ACCOUNT}:policy/stripe-webhook-stream-{REGION}-application"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:stripe-webhook-stream-alarms"
MANAGED = "arn:aws:iam::aws:policy/service-role/AmazonECS"


def lint(template: Path) -> str:
    regions = ["us-east-1", "eu-central-1"]
    options = ["--regions", *regions, "--include-checks", "I", "--non-zero-exit-code"]
    command = ["cfn-lint", "--template", str(template), *options, "informational"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode == 0) == (done.stdout == ""), done.stderr
    return done.stdout


def test_cfn_lint_finds_nothing_and_a_misspelt_property(tmp_path: Path) -> None:
    assert lint(ecs.TEMPLATE) == ""
    broken = tmp_path / "broken.yaml"
    broken.write_text(ecs.TEMPLATE.read_text().replace("StopTimeout:", "StopTimeouts:"))
    assert "StopTimeouts" in lint(broken)


def trust(service: str, condition: dict[str, Any]) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": service},
        "Condition": condition,
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


#: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
TASKS = trust(
    "ecs-tasks.amazonaws.com",
    {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:*"},
    },
)
SSM = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/stripe-analytics/"
RUN = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/stripe-archive-reconcile:*"
BUCKET = "arn:aws:s3:::your-company-stripe-webhooks"

#: Of each role: who is trusted, the managed policies, and the statements of its own.
ROLES: dict[str, tuple[dict[str, Any], list[str], list[dict[str, Any]]]] = {
    "ServiceRole": (TASKS, [APPLICATION], []),
    "ExecutionRole": (
        TASKS,
        [f"{MANAGED}TaskExecutionRolePolicy"],
        [
            {
                "Effect": "Allow",
                "Action": "ssm:GetParameters",
                "Resource": [f"{SSM}webhook-secret", f"{SSM}api-key"],
            }
        ],
    ),
    "InfrastructureRole": (
        trust("ecs.amazonaws.com", {"StringEqualsIfExists": {"aws:SourceAccount": ACCOUNT}}),
        [f"{MANAGED}InfrastructureRoleforExpressGatewayServices"],
        [],
    ),
    "ReconcileRole": (
        TASKS,
        [APPLICATION],
        [
            {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": BUCKET},
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{BUCKET}/webhooks/*"},
        ],
    ),
    "ScheduleRole": (
        # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
        trust(
            "scheduler.amazonaws.com",
            {
                "StringEquals": {
                    "aws:SourceAccount": ACCOUNT,
                    "aws:SourceArn": f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/default",
                }
            },
        ),
        [],
        [
            {
                "Effect": "Allow",
                "Action": "ecs:RunTask",
                "Resource": RUN,
                "Condition": {
                    "ArnEquals": {"ecs:cluster": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/default"}
                },
            },
            {
                "Effect": "Allow",
                "Action": "iam:PassRole",
                "Resource": ["ReconcileRole.Arn", "ExecutionRole.Arn"],
                "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            },
        ],
    ),
}


@pytest.mark.parametrize("name", ROLES)
def test_a_role_may_do_what_it_needs_and_is_trusted_to_this_account_alone(name: str) -> None:
    role = BEFORE.of("AWS::IAM::Role")[name]
    statements = [
        statement
        for policy in role.get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    managed = role.get("ManagedPolicyArns", [])
    assert (role["AssumeRolePolicyDocument"], managed, statements) == ROLES[name]
    known = {"Description", "AssumeRolePolicyDocument", "ManagedPolicyArns", "Policies"}
    assert set(role) <= known


def test_there_is_no_other_role_and_no_policy_beside() -> None:
    kinds = {each["Type"] for each in AFTER.resources.values() if "::IAM::" in each["Type"]}
    assert kinds == {"AWS::IAM::Role"}
    assert set(AFTER.of("AWS::IAM::Role")) == set(ROLES)


def test_each_task_has_its_own_role() -> None:
    tasks = AFTER.of("AWS::ECS::TaskDefinition")
    assert tasks["ServiceTask"]["TaskRoleArn"] == "ServiceRole.Arn"
    assert tasks["ReconcileTask"]["TaskRoleArn"] == "ReconcileRole.Arn"
    assert {task["ExecutionRoleArn"] for task in tasks.values()} == {"ExecutionRole.Arn"}
    secrets = {
        (secret["name"], secret["valueFrom"])
        for task in tasks
        for container in ecs.containers(task)
        for secret in container["secrets"]
    }
    assert secrets == {
        ("STRIPE_WEBHOOK_SECRET", f"{SSM}webhook-secret"),
        ("STRIPE_API_KEY", f"{SSM}api-key"),
    }


def test_the_earlier_revisions_of_the_service_stay() -> None:
    assert BEFORE.resources["ServiceTask"]["UpdateReplacePolicy"] == "Retain"


def test_a_new_secret_makes_a_new_revision_and_nothing_else_does() -> None:
    renewed = Stack(**GIVEN, SecretRevision="2")
    for name in ("ServiceTask", "ReconcileTask"):
        assert renewed.task(name) != BEFORE.task(name)
        assert Stack(**GIVEN).task(name) == AFTER.task(name) == BEFORE.task(name)


def test_every_container_logs_into_the_group_that_is_made() -> None:
    group = BEFORE.of("AWS::Logs::LogGroup")["LogGroup"]
    assert group == {"LogGroupName": "/ecs/stripe-analytics-backend", "RetentionInDays": 90}
    streams = [
        each["logConfiguration"]["options"]
        for task in ("ServiceTask", "ReconcileTask")
        for each in ecs.containers(task)
    ]
    assert {options["awslogs-group"] for options in streams} == {"LogGroup"}
    prefixes = ["webhook", "doctor", "reconcile"]
    assert [options["awslogs-stream-prefix"] for options in streams] == prefixes


#: Name: metric, statistic, period in s, periods, rings when, threshold, what no data is.
ALARMS = {
    "stripe-analytics-backend-failing": ("NotArchived", "Sum", 300, 1, "Greater", 0, "not"),
    "stripe-analytics-backend-refusing": ("WronglySigned", "Sum", 3600, 1, "Greater", 5, "not"),
    "stripe-archive-reconcile-overdue": ("Reconciled", "Sum", 3600, 26, "Less", 1, "breaching"),
}


def test_the_alarms_of_the_log_are_these() -> None:
    found = {}
    for alarm in AFTER.of("AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [TOPIC]
        assert alarm.get("ActionsEnabled", True) is True
        if "Metrics" not in alarm:
            assert alarm["Namespace"] == "StripeAnalytics"
            assert "Dimensions" not in alarm
            found[alarm["AlarmName"]] = (
                alarm["MetricName"],
                alarm["Statistic"],
                alarm["Period"],
                alarm["EvaluationPeriods"],
                alarm["ComparisonOperator"].removesuffix("ThanThreshold"),
                alarm["Threshold"],
                alarm["TreatMissingData"].removesuffix("Breaching"),
            )
    assert found == ALARMS


def test_the_alarm_of_the_load_balancer_sees_both_target_groups() -> None:
    alarm = AFTER.of("AWS::CloudWatch::Alarm")["DownAlarm"]
    healthy, *parts = alarm["Metrics"]
    assert healthy["Expression"] == "FILL(one, 0) + FILL(other, 0)"
    assert [healthy["ReturnData"], *(part["ReturnData"] for part in parts)] == [True, False, False]
    assert [part["Id"] for part in parts] == ["one", "other"]
    for part, group in zip(parts, GROUPS, strict=True):
        stat = part["MetricStat"]
        assert (stat["Stat"], stat["Period"]) == ("Maximum", 60)
        metric = stat["Metric"]
        assert (metric["Namespace"], metric["MetricName"]) == (
            "AWS/ApplicationELB",
            "HealthyHostCount",
        )
        dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
        assert dimensions["LoadBalancer"] == "app/ecs-express/0a1b"
        assert BALANCER.endswith(dimensions["LoadBalancer"])
        assert group.endswith(f":{dimensions['TargetGroup']}")
        assert dimensions["TargetGroup"].startswith("targetgroup/")
    rings = ("ComparisonOperator", "Threshold", "EvaluationPeriods", "TreatMissingData")
    assert [alarm[name] for name in rings] == ["LessThanThreshold", 1, 3, "breaching"]


def test_nothing_rings_before_there_is_a_service() -> None:
    """Missing data is the alarm of two of them, and until then there is none."""
    before = BEFORE.of("AWS::CloudWatch::Alarm").values()
    assert {alarm["TreatMissingData"] for alarm in before} == {"notBreaching"}
    assert len(AFTER.of("AWS::CloudWatch::Alarm")) == len(before) + 2
    for left_out in SERVING:
        some = {name: value for name, value in SERVING.items() if name != left_out}
        assert Stack(**GIVEN, **some).resources == BEFORE.resources
    (schedule,) = BEFORE.of("AWS::Scheduler::Schedule").values()
    assert schedule["State"] == "DISABLED"
    (schedule,) = AFTER.of("AWS::Scheduler::Schedule").values()
    assert schedule["State"] == "ENABLED"


def test_what_the_filters_look_for_is_what_the_log_says() -> None:
    filters = {
        each["MetricTransformations"][0]["MetricName"]: each
        for each in AFTER.of("AWS::Logs::MetricFilter").values()
    }
    assert set(filters) == {alarm[0] for alarm in ALARMS.values()}
    for each in filters.values():
        assert each["LogGroupName"] == "LogGroup"
        (made,) = each["MetricTransformations"]
        assert (made["MetricNamespace"], made["MetricValue"]) == ("StripeAnalytics", "1")
        assert "DefaultValue" not in made
    patterns = {name: each["FilterPattern"] for name, each in filters.items()}
    code = "".join(path.read_text() for path in (PROJECT / "webhook_app").rglob("*.py"))
    assert patterns["NotArchived"] == '{ $.message = "Failed to persist webhook" }'
    assert '"Failed to persist webhook"' in code
    message = "Webhook signature verification failed"
    fitting = f'($.reason = "{Refusal.NO_MATCH}" || $.reason = "{Refusal.TOO_OLD}")'
    assert patterns["WronglySigned"] == f'{{ $.message = "{message}" && {fitting} }}'
    assert f'"{message}"' in code
    assert patterns["Reconciled"] == '"reconcile ended with status 0"'


@pytest.mark.parametrize("status", [0, 1, 2])
def test_the_daily_job_says_how_it_ended_and_ends_so(status: int, tmp_path: Path) -> None:
    (container,) = ecs.containers("ReconcileTask")
    flask = tmp_path / "flask"
    flask.write_text(f'#!/bin/sh\necho "$@"\nexit {status}\n')
    flask.chmod(0o755)
    done = subprocess.run(
        container["command"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == status
    words, last = done.stdout.splitlines()
    assert re.match("archive reconcile ", words)
    assert last == f"reconcile ended with status {status}"


def test_the_schedule_starts_the_present_revision_on_the_services_cluster() -> None:
    (schedule,) = AFTER.of("AWS::Scheduler::Schedule").values()
    target = schedule["Target"]
    assert target["Arn"] == f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/default"
    assert target["RoleArn"] == "ScheduleRole.Arn"
    parameters = target["EcsParameters"]
    assert parameters["TaskDefinitionArn"] == "ReconcileTask"
    network = parameters["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert network == {"Subnets": ["subnet-0a1b", "subnet-2c3d"], "AssignPublicIp": "ENABLED"}

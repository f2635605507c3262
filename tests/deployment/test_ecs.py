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
    role = dict(BEFORE.of("AWS::IAM::Role")[name])
    policies = role.pop("Policies", [])
    assert all(policy["PolicyDocument"]["Version"] == "2012-10-17" for policy in policies)
    statements = [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]
    assert role.pop("Description")
    trusted, managed, own = ROLES[name]
    parts = {"AssumeRolePolicyDocument": trusted, "ManagedPolicyArns": managed}
    assert role == {name: part for name, part in parts.items() if part}
    assert statements == own


def test_there_is_no_other_role_and_no_policy_beside() -> None:
    kinds = {each["Type"] for each in AFTER.resources.values() if "::IAM::" in each["Type"]}
    assert kinds == {"AWS::IAM::Role"}
    assert set(AFTER.of("AWS::IAM::Role")) == set(ROLES)


def container(prefix: str, secret: tuple[str, str], **more: Any) -> dict[str, Any]:
    """What all containers have, and `more`."""
    variables = {
        "AWS_REGION": REGION,
        "FIREHOSE_DELIVERY_STREAM_NAME": "stripe-webhook-stream",
        "ARCHIVE_BUCKET": GIVEN["BucketName"],
    }
    options = {
        "awslogs-group": "LogGroup",
        "awslogs-region": REGION,
        "awslogs-stream-prefix": prefix,
    }
    linux = {"initProcessEnabled": True, "capabilities": {"drop": ["ALL"]}}
    return {
        "name": "Main",
        "image": GIVEN["Image"],
        "essential": True,
        "user": "10001:10001",
        "readonlyRootFilesystem": True,
        "linuxParameters": linux,
        "environment": [{"name": name, "value": value} for name, value in variables.items()],
        "secrets": [{"name": secret[0], "valueFrom": SSM + secret[1]}],
        "logConfiguration": {"logDriver": "awslogs", "options": options},
    } | more


def task(family: str, role: str, *containers: dict[str, Any]) -> dict[str, Any]:
    return {
        "family": family,
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "runtimePlatform": {"operatingSystemFamily": "LINUX", "cpuArchitecture": "X86_64"},
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": "ExecutionRole.Arn",
        "taskRoleArn": role,
        "containerDefinitions": list(containers),
    }


def test_each_task_has_its_own_role_and_secret_and_its_containers_are_closed() -> None:
    signing = ("STRIPE_WEBHOOK_SECRET", "webhook-secret")
    main, doctor = ecs.containers("ServiceTask")
    # those of the first container that other tests compare with the image and the service
    compared = {
        name: main[name]
        for name in ("healthCheck", "portMappings", "stopTimeout", "memory", "dependsOn")
    }
    service = container("webhook", signing, **compared, dockerLabels={"secret-revision": "1"})
    # a log that is not taken in holds up no delivery
    waits_for_none = {"mode": "non-blocking", "max-buffer-size": "4m"}
    service["logConfiguration"]["options"] |= waits_for_none
    first = container("doctor", signing, name="doctor", essential=False, command=doctor["command"])
    made = BEFORE.task("ServiceTask")
    assert made == task("stripe-analytics-backend", "ServiceRole.Arn", service, first)
    assert compared["portMappings"] == [
        {"name": "http", "containerPort": 3001, "protocol": "tcp", "appProtocol": "http"}
    ]
    (job,) = ecs.containers("ReconcileTask")
    assert job["command"][:2] == ["sh", "-c"]
    key = ("STRIPE_API_KEY", "api-key")
    daily = container(
        "reconcile", key, command=job["command"], dockerLabels={"secret-revision": "1"}
    )
    made = BEFORE.task("ReconcileTask")
    assert made == task("stripe-archive-reconcile", "ReconcileRole.Arn", daily)


def test_the_guide_gets_the_present_revisions_and_the_role() -> None:
    assert BEFORE.outputs == {
        "ServiceTask": "ServiceTask",
        "ReconcileTask": "ReconcileTask",
        "InfrastructureRole": "InfrastructureRole.Arn",
    }


def test_the_earlier_revisions_of_the_service_stay() -> None:
    service, log = (BEFORE.resources[name] for name in ("ServiceTask", "LogGroup"))
    assert (service["UpdateReplacePolicy"], service["DeletionPolicy"]) == ("Retain", "Delete")
    assert (log["UpdateReplacePolicy"], log["DeletionPolicy"]) == ("Delete", "Delete")


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
    assert {healthy["Id"], healthy["Label"]} == {"healthy", "Healthy tasks"}
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
        assert made == {
            "MetricNamespace": "StripeAnalytics",
            "MetricName": made["MetricName"],
            "MetricValue": "1",
            "Unit": "Count",
        }
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
    assert schedule["Name"] == "stripe-archive-reconcile"
    assert schedule["ScheduleExpression"] == "cron(17 5 * * ? *)"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    target = schedule["Target"]
    assert target["Arn"] == f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/default"
    assert target["RoleArn"] == "ScheduleRole.Arn"
    parameters = target["EcsParameters"]
    assert (parameters["TaskDefinitionArn"], parameters["LaunchType"]) == (
        "ReconcileTask",
        "FARGATE",
    )
    network = parameters["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert network == {"Subnets": ["subnet-0a1b", "subnet-2c3d"], "AssignPublicIp": "ENABLED"}

"""The daily job, `flask archive reconcile`: its files, and the commands that set it up."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import botocore.session
import click
import pytest
from botocore.validate import ParamValidator

from archive_tools.cli import archive
from tests.deployment import targets
from tests.deployment.targets import DEPLOY
from tests.deployment.test_documents import TEXT, call_of, daily_calls, option
from tests.deployment.test_formats import refused_by_ecs
from tests.support.needs import needed

__all__ = ["daily_calls"]

SERVICE = DEPLOY / "vm/stripe-archive-reconcile.service"
TIMER = DEPLOY / "vm/stripe-archive-reconcile.timer"
TASK = targets.loaded_json(DEPLOY / "ecs/reconcile-task.json")
(CONTAINER,) = TASK["containerDefinitions"]


def directives(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def commands() -> list[str]:
    """Every daily command of the guide and of the files."""
    section = TEXT.partition("\n## The daily job\n")[2]
    told = re.findall(r"flask archive reconcile --[^\n`\"]*", section)
    return [*told, *directives(SERVICE.read_text())["ExecStart"], shlex.join(CONTAINER["command"])]


def test_everywhere_it_is_the_same_job() -> None:
    assert len(commands()) >= 6
    for text in commands():
        words = shlex.split(text)[shlex.split(text).index("reconcile") + 1 :]
        command = archive.get_command(click.Context(archive), "reconcile")
        assert command
        given, rest, _ = command.make_parser(click.Context(command)).parse_args(words)
        assert rest == []
        assert given["last"] == "3"
        assert given["repair"] is True


def test_the_job_runs_on_a_root_that_is_read_only() -> None:
    assert CONTAINER["readonlyRootFilesystem"] is True
    (docker,) = re.findall(r"^17 5 .*docker run.*$", TEXT, re.MULTILINE)
    assert "--read-only" in docker
    assert directives(SERVICE.read_text())["ProtectSystem"] == ["strict"]


def verified(folder: Path, *texts: str) -> str:
    """What systemd has against the timer and its service."""
    program = folder / "opt/.venv/bin/flask"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for path, text in zip((SERVICE, TIMER), texts, strict=True):
        place = text.replace("/opt/stripe-analytics-backend", str(folder / "opt"))
        (folder / path.name).write_text(place)
    command = ["systemd-analyze", "verify", "--man=no", str(folder / TIMER.name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    lines = (done.stdout + done.stderr).splitlines()
    return "\n".join(line for line in lines if SERVICE.stem in line)


def test_systemd_takes_the_units_and_finds_the_job_closed(tmp_path: Path) -> None:
    needed("systemd-analyze", shutil.which("systemd-analyze"))
    service, timer = SERVICE.read_text(), TIMER.read_text()
    assert verified(tmp_path, service, timer) == ""
    assert "Unknown key" in verified(tmp_path, service.replace("UMask", "UMasks"), timer)
    assert "Failed to parse" in verified(tmp_path, service, timer.replace("05:17:00", "5 o'clock"))
    strict = ["systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager"]
    done = subprocess.run([*strict, str(SERVICE)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-300:]


def test_the_job_is_the_services_user_in_the_services_place() -> None:
    job, service = directives(SERVICE.read_text()), targets.unit()
    for name in ("DynamicUser", "StateDirectory", "StateDirectoryMode", "WorkingDirectory"):
        assert job[name] == service[name], name
    # what a dynamic user is called where the unit does not say
    assert job["User"] == [targets.UNIT.stem]
    assert job["EnvironmentFile"][0] == service["EnvironmentFile"][0]
    assert job["EnvironmentFile"][1] in TEXT
    # of the folder's .env, a developer's, neither flask nor the package reads anything
    (switches,) = job["Environment"]
    assert switches.split() == ["PYTHON_DOTENV_DISABLED=1", "FLASK_SKIP_DOTENV=1"]


def test_ecs_takes_the_task_which_is_the_services_without_a_port_and_its_secret() -> None:
    assert refused_by_ecs("RegisterTaskDefinition", TASK) == []
    (service,) = targets.task_definition()["containerDefinitions"]
    for name in ("image", "environment", "user", "readonlyRootFilesystem", "linuxParameters"):
        assert CONTAINER[name] == service[name], name
    assert "portMappings" not in CONTAINER
    assert [secret["name"] for secret in CONTAINER["secrets"]] == ["STRIPE_API_KEY"]
    assert TASK["taskRoleArn"] != targets.task_definition()["taskRoleArn"]


def test_the_commands_for_ecs_make_what_the_files_name(daily_calls: list[list[str]]) -> None:
    task = document(daily_calls, "register-task-definition")
    schedule = document(daily_calls, "create-schedule")
    for made in (task, schedule):
        assert not re.search("123456789012|VERSION|SUBNET", json.dumps(made))
    assert refused_by_scheduler(schedule) == ""
    target = schedule["Target"]
    assert target["EcsParameters"]["TaskDefinitionArn"].endswith(f"/{task['family']}")

    roles = {
        option(call, "--role-name"): json.loads(option(call, "--assume-role-policy-document"))
        for call in daily_calls
        if call[1:2] == ["create-role"]
    }
    trusted = {name: role["Statement"][0]["Principal"]["Service"] for name, role in roles.items()}
    assert trusted == {
        task["taskRoleArn"].split("/")[1]: "ecs-tasks.amazonaws.com",
        target["RoleArn"].split("/")[1]: "scheduler.amazonaws.com",
    }
    inline = {
        option(call, "--policy-name"): json.loads(option(call, "--policy-document"))["Statement"]
        for call in daily_calls
        if call[1:2] == ["put-role-policy"]
    }
    (read,) = inline["read-the-api-key"]
    assert read["Resource"] == task["containerDefinitions"][0]["secrets"][0]["valueFrom"]
    assert read["Resource"].endswith(option(call_of(daily_calls, "put-parameter"), "--name"))
    run, give = inline["run-the-task"]
    assert run["Resource"] == target["EcsParameters"]["TaskDefinitionArn"] + "*"
    assert set(give["Resource"]) == {task["taskRoleArn"], task["executionRoleArn"]}


def document(calls: list[list[str]], operation: str) -> Any:
    return json.loads(option(call_of(calls, operation), "--cli-input-json"))


def refused_by_scheduler(schedule: dict[str, Any]) -> str:
    model = botocore.session.get_session().get_service_model("scheduler")
    shape = model.operation_model("CreateSchedule").input_shape
    assert shape
    report = ParamValidator().validate(schedule, shape)
    return str(report.generate_report())


@pytest.mark.parametrize("broken", [{"Name": 1}, {"Target": {}}])
def test_a_schedule_that_aws_would_refuse_is_seen(broken: dict[str, Any]) -> None:
    schedule = targets.loaded_json(DEPLOY / "ecs/reconcile-schedule.json")
    assert refused_by_scheduler(schedule | broken) != ""

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
from botocore.validate import ParamValidator

from archive_tools.cli import archive
from tests.deployment import ecs, targets
from tests.deployment.targets import DEPLOY
from tests.deployment.test_documents import TEXT, daily_calls, option
from tests.support.needs import needed

__all__ = ["daily_calls"]

SERVICE = DEPLOY / "vm/stripe-archive-reconcile.service"
TIMER = DEPLOY / "vm/stripe-archive-reconcile.timer"
(CONTAINER,) = ecs.containers("ReconcileTask")
#: What its shell runs before it says how that ended.
COMMAND = CONTAINER["command"][2].partition(";")[0]


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
    told = re.findall(r"flask archive reconcile --[^\n`\";]*", section)
    return [*told, *directives(SERVICE.read_text())["ExecStart"], COMMAND]


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


def test_on_ecs_it_is_the_service_without_a_port_and_its_secret() -> None:
    service = ecs.main_container()
    for name in ("image", "environment", "user", "readonlyRootFilesystem", "linuxParameters"):
        assert CONTAINER[name] == service[name], name
    assert "portMappings" not in CONTAINER
    assert [secret["name"] for secret in CONTAINER["secrets"]] == ["STRIPE_API_KEY"]


def test_on_ecs_it_is_run_by_hand_first_without_and_then_with_repair(
    daily_calls: list[list[str]],
) -> None:
    look, run = [call for call in daily_calls if call[1:2] == ["run-task"]]
    (schedule,) = ecs.Stack(**ecs.GIVEN).of("AWS::Scheduler::Schedule").values()
    for call in (look, run):
        assert schedule["Target"]["Arn"].endswith(f"cluster/{option(call, '--cluster')}")
        assert option(call, "--task-definition") == "arn:reconcile-task:7"
        network = "awsvpcConfiguration={subnets=[subnet-0a1b,subnet-2c3d],assignPublicIp=ENABLED}"
        assert option(call, "--network-configuration") == network
    (container,) = json.loads(option(look, "--overrides"))["containerOverrides"]
    assert container["name"] == CONTAINER["name"]
    assert container["command"] == [w for w in shlex.split(COMMAND) if w != "--repair"]
    assert "--overrides" not in run


def refused_by_scheduler(schedule: dict[str, Any]) -> str:
    model = botocore.session.get_session().get_service_model("scheduler")
    shape = model.operation_model("CreateSchedule").input_shape
    assert shape
    report = ParamValidator().validate(schedule, shape)
    return str(report.generate_report())


def test_the_scheduler_takes_the_schedule_and_would_refuse_a_broken_one() -> None:
    (schedule,) = ecs.Stack(**ecs.GIVEN).of("AWS::Scheduler::Schedule").values()
    network = schedule["Target"]["EcsParameters"]["NetworkConfiguration"]
    # the API writes this one name as ECS does, and CloudFormation as its own
    network["awsvpcConfiguration"] = network.pop("AwsvpcConfiguration")
    assert refused_by_scheduler(schedule) == ""
    assert refused_by_scheduler(schedule | {"Name": 1}) != ""
    assert refused_by_scheduler(schedule | {"Target": {}}) != ""

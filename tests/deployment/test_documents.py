"""The commands of docs/DEPLOYMENT.md: run here, or listed with what running them would need."""

import json
import os
import re
import shlex
import shutil
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.deployment import targets
from tests.deployment.targets import ROOT
from tests.deployment.test_formats import refused_by_ecs
from tests.deployment.test_nginx import behind_nginx
from tests.support.needs import needed
from webhook_app.serving.capacity import worker_count

TEXT = (ROOT / "docs/DEPLOYMENT.md").read_text()
SERVICE = TEXT.partition("\n## The daily job\n")[0]

#: The first words of commands that run below, word for word.
RUN_HERE = {
    "aws": "with a stand-in for the AWS CLI, in every block that has one",
    "export": "the same",
    "curl": "against nginx and the service",
    "echo 3.13 > .python-version": "in a repository of its own",
    "git add .python-version": "the same",
}
#: Those of commands that do not, and what they would need.
NEEDS = {
    "heroku": "an account",
    "git push heroku": "an account",
    "git push reconcile": "an account",
    "fly": "an account",
    "docker": "an engine; test_image takes the steps of the Dockerfile",
    "sudo": "a machine to change; test_nginx runs the site, test_formats verifies the unit",
    "sudoedit": "the same, and an editor",
    "systemctl": "a running systemd",
    "journalctl": "a running systemd",
    "cd /opt/stripe-analytics-backend": "the same machine",
}

STAND_IN = """#!/bin/sh
printf '%s\\0' "$@" >> "$CALLS"
printf '\\n' >> "$CALLS"
case "$1 $2" in
  "sts get-caller-identity") echo 210987654321 ;;
  "ecr get-login-password") echo password ;;
  "ec2 describe-subnets") echo subnet-0a1b ;;
esac
"""


def blocks(text: str = TEXT) -> list[str]:
    found = re.findall(r"^( *)```sh\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in found]


def test_every_command_is_run_or_listed() -> None:
    lines = [line for block in blocks() for line in block.splitlines()]
    assert len(lines) >= 40
    starts = {**RUN_HERE, **NEEDS}
    used = set()
    for line in lines:
        fitting = [start for start in starts if re.match(rf"{re.escape(start)}(\s|$)", line)]
        assert fitting, line
        used |= set(fitting)
    assert used == set(starts)


@pytest.fixture(scope="module")
def aws_calls(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """What the AWS CLI is called with when every block with a call of it is run, in order."""
    return calls(SERVICE, tmp_path_factory.mktemp("aws"))


@pytest.fixture(scope="module")
def daily_calls(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The same of the daily job, whose commands come after those of the service."""
    before = len(calls(SERVICE, tmp_path_factory.mktemp("before")))
    return calls(TEXT, tmp_path_factory.mktemp("daily"))[before:]


def calls(text: str, folder: Path) -> list[list[str]]:
    for name in ("aws", "docker"):
        (folder / name).write_text(STAND_IN)
        (folder / name).chmod(0o755)
    script = "".join(block for block in blocks(text) if re.search(r"\baws ", block))
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "CALLS": str(folder / "calls"),
    }
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = (folder / "calls").read_text().split("\0\n")
    return [call.split("\0") for call in made if call]


def option(call: list[str], name: str) -> str:
    return call[call.index(name) + 1]


def call_of(calls: list[list[str]], operation: str) -> list[str]:
    (call,) = [call for call in calls if call[1:2] == [operation]]
    return call


def test_what_is_registered_is_what_ecs_takes_with_nothing_of_the_examples_left(
    aws_calls: list[list[str]],
) -> None:
    registered = call_of(aws_calls, "register-task-definition")
    task = json.loads(option(registered, "--cli-input-json"))
    assert refused_by_ecs("RegisterTaskDefinition", task) == []
    created = call_of(aws_calls, "create-express-gateway-service")
    service = json.loads(option(created, "--cli-input-json"))
    assert refused_by_ecs("CreateExpressGatewayService", service) == []
    for text in (json.dumps(task), json.dumps(service)):
        assert "210987654321" in text
        assert not re.search("123456789012|VERSION", text)
    (pushed,) = [call for call in aws_calls if call[0] == "push"]
    assert task["containerDefinitions"][0]["image"] == pushed[1]
    assert service["taskDefinitionArn"].split("/")[1].split(":")[0] == task["family"]


def test_the_roles_of_the_task_are_made_before_with_what_they_need(
    aws_calls: list[list[str]],
) -> None:
    trusted = {
        option(call, "--role-name"): json.loads(option(call, "--assume-role-policy-document"))
        for call in aws_calls
        if call[1:2] == ["create-role"]
    }
    by_role = {
        role: document["Statement"][0]["Principal"]["Service"] for role, document in trusted.items()
    }
    task, express = targets.task_definition(), targets.express_service()
    names = [task["taskRoleArn"], task["executionRoleArn"], express["infrastructureRoleArn"]]
    expected = ["ecs-tasks.amazonaws.com", "ecs-tasks.amazonaws.com", "ecs.amazonaws.com"]
    assert by_role == {
        arn.split("/")[1]: service for arn, service in zip(names, expected, strict=True)
    }
    secret = task["containerDefinitions"][0]["secrets"][0]["valueFrom"]
    read = json.loads(option(call_of(aws_calls, "put-role-policy"), "--policy-document"))
    (statement,) = read["Statement"]
    assert statement["Action"] == "ssm:GetParameters"
    assert statement["Resource"] == secret.replace("123456789012", "210987654321")
    assert secret.endswith(f"parameter{option(call_of(aws_calls, 'put-parameter'), '--name')}")
    group = option(call_of(aws_calls, "create-log-group"), "--log-group-name")
    assert group == task["containerDefinitions"][0]["logConfiguration"]["options"]["awslogs-group"]


def test_the_policy_is_named_as_the_template_names_it(aws_calls: list[list[str]]) -> None:
    template = (ROOT / "deploy/cloudformation.yaml").read_text()
    assert "ManagedPolicyName: !Sub ${StreamName}-${AWS::Region}-application" in template
    ours = "policy/stripe-webhook-stream-us-east-1-application"
    attached = [call for call in aws_calls if ours in call[-1]]
    assert {call[1] for call in attached} == {"attach-user-policy", "attach-role-policy"}


def test_the_service_answers_the_curls_as_it_says(tmp_path: Path) -> None:
    needed("curl", shutil.which("curl"))
    commands = [line for block in blocks() for line in block.splitlines() if line[:5] == "curl "]
    assert len(commands) == 2
    with behind_nginx(tmp_path, WEB_WORKERS="2") as behind:
        # curl reads this first: where the host is found, and whose word it takes for it
        (tmp_path / ".curlrc").write_text(
            f'connect-to = "::127.0.0.1:{behind.nginx.https_port}"\n'
            f'cacert = "{behind.nginx.folder}/fullchain.pem"\nsilent\n'
        )
        environment = {"PATH": os.environ["PATH"], "CURL_HOME": str(tmp_path)}
        answers: list[dict[str, Any]] = []
        for command in commands:
            done = subprocess.run(
                shlex.split(command), env=environment, capture_output=True, text=True
            )
            answers.append(json.loads(done.stdout))
        told = behind.service.log.read_text()
    assert answers[0]["status"] == "ok"
    assert answers[1] == {"error": "Invalid signature"}
    assert "Webhook signature verification failed" in told


def test_the_pin_for_heroku_is_one_line_and_committed(tmp_path: Path) -> None:
    (block,) = [block for block in blocks() if ".python-version" in block]
    identity = {
        f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    run = {"cwd": tmp_path, "env": {**os.environ, **identity}, "check": True}
    subprocess.run(["git", "init", "--quiet"], **run)  # type: ignore[call-overload]
    subprocess.run(["bash", "-euc", block], capture_output=True, **run)  # type: ignore[call-overload]
    assert (tmp_path / ".python-version").read_text() == "3.13\n"
    # and not in this repository, where pyenv would obey it
    assert not (ROOT / ".python-version").exists()


def test_the_sizes_and_versions_are_those_of_the_files() -> None:
    size, workers = re.search(r"(\d+) MB of memory give (\d+) workers", TEXT).groups()  # type: ignore[union-attr]
    assert worker_count(int(size) * 2**20) == int(workers)
    assert "(`MemoryMax`)" in TEXT
    assert targets.unit()["MemoryMax"] == [f"{size}M"]
    base = targets.stages()[0][0][1].split()[0]
    assert set(re.findall(r"python:[\w.-]+", TEXT)) == {base}


def test_docker_by_hand_is_closed_as_compose_is() -> None:
    (line,) = [
        line for block in blocks() for line in block.splitlines() if "--detach --name" in line
    ]
    service = targets.compose()["services"]["webhook"]
    words = shlex.split(line)
    assert service["read_only"] is True
    assert "--read-only" in words
    assert [option(words, "--cap-drop")] == service["cap_drop"]
    assert [option(words, "--security-opt")] == service["security_opt"]
    assert option(words, "--memory") == service["mem_limit"]
    assert option(words, "--pids-limit") == str(service["pids_limit"])
    assert service["init"] is True
    assert "--init" in words
    assert f"{option(words, '--stop-timeout')}s" == service["stop_grace_period"]
    assert [option(words, "--publish")] == service["ports"]
    assert option(words, "--restart") == service["restart"]


def test_every_way_has_a_way_back_and_an_end() -> None:
    for section in TEXT.split("\n## ")[1:]:
        title = section.splitlines()[0]
        if title not in {
            "What every deployment needs",
            "See that it works",
            "The daily job",
            "What was run, and what was not",
        }:
            assert re.search(r"\b[Bb]ack\b", section), title
            assert "Stop: " in section, title
            assert f"(#{title.lower().replace(' ', '-')})" in TEXT, title

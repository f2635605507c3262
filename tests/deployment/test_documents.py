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

import botocore.session
import jmespath  # type: ignore[import-untyped]
import pytest
from botocore import xform_name
from botocore.utils import ArgumentGenerator

from tests.deployment import ecs, targets
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
    'echo "$SUBNETS"': "the same",
    "read": "the same, with a secret to read",
    "printf": "the same",
    "unset": "the same",
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
    "flask archive seal": "an archive; test_seal runs it",
    "flask archive snapshot": "Stripe's key; test_snapshot runs it with stand-ins",
}

#: What a reader pastes.
PASTED = "whsec_pasted"

STAND_IN = f"""#!/bin/sh
printf '%s\\0' "$@" >> "$CALLS"
printf '\\n' >> "$CALLS"
case "$*" in
  "sts get-caller-identity "*) echo {ecs.ACCOUNT} ;;
  "ecr get-login-password") echo password ;;
  "ec2 describe-subnets "*) echo {ecs.GIVEN["Subnets"]} ;;
  "ssm put-parameter "*) cat /dev/stdin > "$CALLS.secret" ;;
  "cloudformation describe-stacks "*ServiceTask*) echo arn:service-task:7 ;;
  "cloudformation describe-stacks "*ReconcileTask*) echo arn:reconcile-task:7 ;;
  "cloudformation describe-stacks "*InfrastructureRole*) echo arn:infrastructure-role ;;
  "ecs describe-express-gateway-service "*serviceRevisionArn*) echo arn:revision ;;
  "ecs describe-service-revisions "*) echo {ecs.BALANCER} {" ".join(ecs.GROUPS)} ;;
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
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        input=f"{PASTED}\n" * script.count("read -rs SECRET"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    made = (folder / "calls").read_text().split("\0\n")
    return [call.split("\0") for call in made if call]


def option(call: list[str], name: str) -> str:
    return call[call.index(name) + 1]


def call_of(calls: list[list[str]], operation: str) -> list[str]:
    (call,) = [call for call in calls if call[1:2] == [operation]]
    return call


def overrides(call: list[str]) -> dict[str, str]:
    """The parameters of a `cloudformation deploy`."""
    return dict(word.split("=", 1) for word in call[call.index("--parameter-overrides") + 1 :])


def test_the_stack_is_made_of_what_was_pushed_and_takes_what_it_is_given(
    aws_calls: list[list[str]],
) -> None:
    (pushed,) = [call for call in aws_calls if call[0] == "push"]
    deployed = [call for call in aws_calls if call[:2] == ["cloudformation", "deploy"]]
    for call in deployed:
        assert ROOT / option(call, "--template-file") == ecs.TEMPLATE
        assert option(call, "--capabilities") == "CAPABILITY_IAM"
    made, serving, image, secret = map(overrides, deployed)
    assert made == ecs.GIVEN | {"Image": pushed[1]}
    assert serving == ecs.SERVING
    assert image == {"Image": pushed[1]}
    assert set(secret) == {"SecretRevision"}
    ecs.Stack(**(made | serving | secret))
    # without a name for a role, CloudFormation asks for no more than that
    assert not any("RoleName" in role for role in ecs.Stack(**made).of("AWS::IAM::Role").values())


def test_the_service_is_made_of_the_stacks_task_and_role(aws_calls: list[list[str]]) -> None:
    created = call_of(aws_calls, "create-express-gateway-service")
    assert option(created, "--cli-input-json") == "file://deploy/ecs/express-service.json"
    service = targets.express_service() | {
        "infrastructureRoleArn": option(created, "--infrastructure-role-arn"),
        "taskDefinitionArn": option(created, "--task-definition-arn"),
        "networkConfiguration": {
            "subnets": option(created, "--network-configuration")
            .removeprefix("subnets=")
            .split(",")
        },
    }
    assert refused_by_ecs("CreateExpressGatewayService", service) == []
    assert service["infrastructureRoleArn"] == "arn:infrastructure-role"
    assert service["networkConfiguration"]["subnets"] == ecs.GIVEN["Subnets"].split(",")
    updated = [call for call in aws_calls if call[1:2] == ["update-express-gateway-service"]]
    for call in [created, *updated]:
        assert option(call, "--task-definition-arn") == "arn:service-task:7"
    (listed,) = [call for call in aws_calls if call[1:2] == ["list-task-definitions"]]
    assert option(listed, "--family-prefix") == ecs.Stack(**ecs.GIVEN).task("ServiceTask")["family"]


def test_the_secrets_go_where_the_tasks_look_and_onto_no_command_line(
    aws_calls: list[list[str]], tmp_path: Path
) -> None:
    stored = [option(call, "--name") for call in aws_calls if call[1:2] == ["put-parameter"]]
    looked_for = {
        secret["valueFrom"].partition(":parameter")[2]
        for task in ("ServiceTask", "ReconcileTask")
        for container in ecs.containers(task)
        for secret in container["secrets"]
    }
    assert set(stored) == looked_for
    assert not any(PASTED in word for call in aws_calls for word in call)
    calls(SERVICE, tmp_path)
    assert (tmp_path / "calls.secret").read_text() == PASTED
    for line in (line for block in blocks() for line in block.splitlines()):
        assert not re.search(r"(SECRET|KEY|KEY_ID)=\S", line), line


def test_every_query_finds_something_in_what_aws_answers(
    aws_calls: list[list[str]], daily_calls: list[list[str]]
) -> None:
    session = botocore.session.get_session()
    asked = [call for call in [*aws_calls, *daily_calls] if "--query" in call]
    assert len(asked) >= 10
    for service, operation, *options in asked:
        model = session.get_service_model(service)
        name = next(name for name in model.operation_names if xform_name(name, "-") == operation)
        shape = model.operation_model(name).output_shape
        assert shape
        query = option(options, "--query")
        chosen = re.search(r"\[\?OutputKey=='(\w+)'\]", query)
        if chosen:
            assert chosen[1] in ecs.Stack(**ecs.GIVEN).outputs
            query = query.replace(chosen[0], "[]")
        answer = ArgumentGenerator().generate_skeleton(shape)
        for part in ("[0]", "[1]"):
            # the skeleton has one of each
            query = query.replace(part, "[0]")
        assert all_found(jmespath.search(query, answer)), (operation, query)


def all_found(value: Any) -> bool:
    return value is not None and (
        not isinstance(value, list) or (value != [] and all(map(all_found, value)))
    )


def test_the_policy_is_named_as_the_template_names_it(aws_calls: list[list[str]]) -> None:
    template = (ROOT / "deploy/cloudformation.yaml").read_text()
    assert "ManagedPolicyName: !Sub ${StreamName}-${AWS::Region}-application" in template
    ours = "policy/stripe-webhook-stream-us-east-1-application"
    attached = [call for call in aws_calls if ours in call[-1]]
    assert {call[1] for call in attached} == {"attach-user-policy"}
    for name in ("ServiceRole", "ReconcileRole"):
        (arn,) = ecs.Stack(**ecs.GIVEN).of("AWS::IAM::Role")[name]["ManagedPolicyArns"]
        assert arn.endswith(ours)


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

"""FIREHOSE_SETUP.md and SCALING.md, carried out and computed."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infrastructure import cloudformation, terraform
from tests.infrastructure.conftest import CHOICES
from tests.support.needs import needed
from tests.support.service import PROJECT
from webhook_app.serving.capacity import worker_count

from .test_names import commands

SETUP = PROJECT / "docs/FIREHOSE_SETUP.md"
SCALING = PROJECT / "docs/SCALING.md"


def rows(path: Path, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, its head left out."""
    section = path.read_text().split(f"## {heading}\n")[1]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table
    lines = table[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_of_options_is_that_of_the_template_and_of_terraform() -> None:
    stack = cloudformation.Stack(cloudformation.TEMPLATE.read_text(), {})
    parameters, variables = CHOICES["every option"]
    table = rows(SETUP, "What you can choose")
    assert [row[0].strip("`") for row in table] == list(parameters)
    assert [row[1].strip("`") for row in table] == list(variables)
    words = {"required": None, "nobody": "", "0, never": 0, "0, off": 0, "100 GiB": 100 * 2**30}
    for name, _, default, *_ in table:
        declared = stack.template["Parameters"][name.strip("`")].get("Default")
        told = words.get(default, default.strip("`"))
        assert str(declared) == str(told), name


def test_the_quick_start_of_cloudformation_gives_what_the_template_takes() -> None:
    (command,) = (line for line in commands(SETUP) if "cloudformation deploy" in line)
    assert command == (
        "aws cloudformation deploy --stack-name stripe-webhook-infrastructure "
        "--template-file deploy/cloudformation.yaml "
        "--parameter-overrides BucketName=your-company-stripe-webhooks "
        "--capabilities CAPABILITY_NAMED_IAM"
    )
    text = cloudformation.TEMPLATE.read_text()
    without = [
        name
        for name, declared in cloudformation.Stack(text, {}).template["Parameters"].items()
        if "Default" not in declared
    ]
    assert without == ["BucketName"]


def test_the_output_that_is_shown_is_the_output() -> None:
    stack = cloudformation.Stack(
        cloudformation.TEMPLATE.read_text(), {"BucketName": "your-company-stripe-webhooks"}
    )
    shown = f"{stack.outputs['Environment']}\n{stack.outputs['ApplicationPolicyArn']}\n"
    text = re.sub(r"^ +", "", SETUP.read_text(), flags=re.MULTILINE)
    assert f"```text\n{shown}```" in text


def test_the_quick_start_of_terraform_and_its_undo_work(tmp_path: Path) -> None:
    """The commands of the guide, in the shell, in a copy: made, printed, taken away again."""
    needed(terraform.STAND_IN, terraform.OFFLINE.exists())
    shutil.copytree(PROJECT / "deploy", tmp_path / "deploy")
    lines = [line for line in commands(SETUP) if "terraform" in line and "cloudf" not in line]
    assert lines[0] == "cd deploy/terraform && terraform init && terraform apply"
    # the stand-in needs no init, and a question gets its answer from a variable
    lines[0] = lines[0].replace("terraform init && ", "")

    def shell(line: str) -> "subprocess.CompletedProcess[str]":
        line = re.sub(
            r"terraform( -chdir=\S+)? (apply|destroy)", r"terraform\1 \2 -auto-approve", line
        )
        return subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=terraform.environment() | {"TF_VAR_bucket_name": "acme-stripe-webhooks"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    apply, environment, policy, forget, destroy = lines
    assert "Apply complete!" in shell(apply).stdout
    assert "ARCHIVE_BUCKET=acme-stripe-webhooks\n" in shell(environment).stdout
    assert shell(policy).stdout.startswith("arn:aws:iam::")
    refused = shell(destroy)
    assert refused.returncode != 0
    assert "prevent_destroy" in refused.stderr
    assert "Removed aws_s3_bucket_policy.archive" in shell(forget).stdout
    ended = shell(destroy)
    assert "Destroy complete!" in ended.stdout
    assert "aws_s3_bucket" not in ended.stdout


def test_the_policies_of_readers_are_made_of_ones_own_names(tmp_path: Path) -> None:
    section = SETUP.read_text().split("## Who may read\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    stand_in = tmp_path / "aws"
    stand_in.write_text(
        '#!/bin/sh\ncase "$1" in sts) echo 210987654321 ;; iam) printf "%s" "$6" > "$4" ;; esac\n'
    )
    stand_in.chmod(0o755)
    # the values are a reader's own
    block = block.replace("us-east-1 BUCKET=your-company", "eu-west-1 BUCKET=acme")
    (tmp_path / "deploy").symlink_to(PROJECT / "deploy")
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=True,
        timeout=20,
    )
    for name in ("read", "athena"):
        text = (tmp_path / f"stripe-archive-{name}").read_text()
        assert json.loads(text)["Statement"]
        assert not re.search("123456789012|us-east-1|your-company", text)
        assert "acme-stripe-webhooks" in text


def test_the_tables_of_scaling_are_computed() -> None:
    sizes = {"256 MB": 256, "512 MB": 512, "1 GB": 1024}
    for memory, workers, at_50_ms, at_100_ms in rows(SCALING, "One machine"):
        count = worker_count(sizes[memory] * 2**20)
        assert [int(workers), number(at_50_ms), number(at_100_ms)] == [
            count,
            count * 20,
            count * 10,
        ]
    for month, second, burst in rows(SCALING, "Events a second"):
        figure, _, unit = month.partition(" ")
        events = number(figure) * {"million": 10**6, "billion": 10**9}.get(unit, 1)
        mean = events / (30 * 86_400)
        assert float(second) == pytest.approx(mean, rel=0.06)
        assert number(burst) == pytest.approx(50 * mean, rel=0.02, abs=0.5)
    quotas = {row[0]: row[1:] for row in rows(SCALING, "One stream")}
    for column, mebibytes in ((0, 5), (1, 1)):
        assert quotas["data a second"][column] == f"{mebibytes} MiB"
        told = number(quotas["events a second of 5 KB, a record of 6 KB"][column])
        assert told == pytest.approx(mebibytes * 2**20 / 6000, rel=0.03)


def number(text: str) -> int:
    return int(text.replace(",", ""))

"""FIREHOSE_SETUP.md and SCALING.md, carried out and computed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from textwrap import dedent

import pytest

from deploy import template
from tests.infrastructure import cloudformation, expected, terraform
from tests.infrastructure.normal import differences, of_type
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
    table = rows(SETUP, "What you can choose")
    assert [row[0].strip("`") for row in table] == list(expected.OPTIONS)
    words: dict[str, str | int | None] = {
        "required": None,
        "0, never": 0,
        "0, off": 0,
        "100 GiB": 100 * 2**30,
    }
    words |= dict.fromkeys(("nobody", "none", "AWS's keys"), "")
    for name, variable, default, *_ in table:
        its, declared, *_ = expected.OPTIONS[name.strip("`")]
        assert variable.strip("`") == its
        assert str(declared) == str(words.get(default, default.strip("`"))), name


def test_the_quick_start_of_cloudformation_gives_what_the_template_takes() -> None:
    command, *others = (line for line in commands(SETUP) if "cloudformation deploy" in line)
    assert command == (
        "aws cloudformation deploy --stack-name stripe-webhook-infrastructure "
        "--template-file deploy/cloudformation.yaml "
        "--parameter-overrides BucketName=your-company-stripe-webhooks "
        "--capabilities CAPABILITY_NAMED_IAM"
    )
    # the same again, for a change set and after an import
    assert [one for one in others if one.startswith(command)] == [
        f"{command} --no-execute-changeset",
        command,
    ]
    assert [name for name, (_, default, *_) in expected.OPTIONS.items() if default is None] == [
        "BucketName"
    ]


def test_the_output_that_is_shown_is_the_output() -> None:
    outputs = expected.outputs({"BucketName": "your-company-stripe-webhooks"})
    shown = f"{outputs['Environment']}\n{outputs['ApplicationPolicyArn']}\n"
    text = re.sub(r"^ +", "", SETUP.read_text(), flags=re.MULTILINE)
    assert f"```text\n{shown}```" in text


def test_the_quick_start_of_terraform_its_undo_and_its_return_work(tmp_path: Path) -> None:
    """The commands of the guide, in the shell, in a copy: made, printed, taken away, made again."""
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

    apply, environment, policy, forget, destroy, bring_back = lines
    assert "Apply complete!" in shell(apply).stdout
    assert "ARCHIVE_BUCKET=acme-stripe-webhooks\n" in shell(environment).stdout
    assert shell(policy).stdout.startswith("arn:aws:iam::")
    refused = shell(destroy)
    assert refused.returncode != 0
    assert "prevent_destroy" in refused.stderr
    forgotten = shell(forget).stdout
    assert "Removed aws_s3_bucket_policy.archive" in forgotten
    assert "Removed aws_kinesis_firehose_delivery_stream.events" in forgotten
    ended = shell(destroy)
    assert "Destroy complete!" in ended.stdout
    assert "aws_s3_bucket" not in ended.stdout
    # made again over the same bucket: all of its parts are taken over, and none is made
    brought = shell(bring_back)
    assert brought.stdout.count("Import successful!") == 7, brought.stderr
    again = shell(apply).stdout
    assert "Apply complete!" in again
    assert "aws_kinesis_firehose_delivery_stream.events: Creating" in again
    assert "aws_s3_bucket.archive: Creating" not in again


def test_the_policies_of_readers_are_made_of_ones_own_names(tmp_path: Path) -> None:
    # the values are a reader's own
    (block,) = blocks("Who may read")
    block = block.replace("us-east-1 BUCKET=your-company", "eu-west-1 BUCKET=acme")
    (key,) = blocks("A key of your own")
    calls = run_with_aws(f"{block}\n{key}", tmp_path)
    made = {
        call[1]: call[call.index("--policy-document") + 1] for call in calls if call[0] == "iam"
    }
    assert list(made) == ["create-policy"]
    (policy,) = (call for call in calls if call[:2] == ["kms", "create-key"])
    texts = [call[-1] for call in calls if call[0] == "iam"]
    assert len(texts) == block.count("aws iam create-policy ") > 2
    of_key = policy[policy.index("--policy") + 1]
    for text in [*texts, of_key]:
        assert json.loads(text)["Statement"]
        assert not re.search("123456789012|us-east-1|your-company", text)
    buckets = re.findall(r"arn:aws:s3:::([\w-]+)", "".join(texts))
    assert set(buckets) == {"acme-stripe-webhooks"}
    # root of the account, and the two services that no role of ours speaks for
    principals = [one["Principal"] for one in json.loads(of_key)["Statement"]]
    assert principals == [
        {"AWS": "arn:aws:iam::210987654321:root"},
        {"Service": "cloudwatch.amazonaws.com"},
        {"Service": "logs.eu-west-1.amazonaws.com"},
    ]


def test_the_second_copy_is_of_the_events_with_the_rights_that_the_guide_makes(
    tmp_path: Path,
) -> None:
    (block,) = blocks("Keep a second copy")
    role, policy, rule, job = run_with_aws(block, tmp_path, YOURS="s/a/a/")
    trusted = json.loads(role[-1])["Statement"][0]["Principal"]["Service"]
    assert trusted == ["s3.amazonaws.com", "batchoperations.s3.amazonaws.com"]
    actions = {one["Sid"]: one["Action"] for one in json.loads(policy[-1])["Statement"]}
    assert "s3:ReplicateObject" in actions["Replicate"]
    # what is deleted here stays there
    assert not [name for names in actions.values() for name in names if "Delete" in name]
    (copied,) = json.loads(rule[-1])["Rules"]
    assert copied["Filter"] == {"Prefix": "webhooks/"}
    assert copied["DeleteMarkerReplication"] == {"Status": "Disabled"}
    assert json.loads(job[job.index("--manifest-generator") + 1])["S3JobManifestGenerator"]


def test_the_access_log_bucket_lets_s3_write(tmp_path: Path) -> None:
    (block,) = blocks("Log who reads")
    ((*_, policy),) = run_with_aws(block, tmp_path)
    (statement,) = json.loads(policy)["Statement"]
    assert statement["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert statement["Action"] == "s3:PutObject"


def test_the_undo_waits_until_the_stream_holds_nothing_and_only_then_deletes(
    tmp_path: Path,
) -> None:
    section = SETUP.read_text().split("## Undo\n")[1].split("\n## ")[0]
    steps = [
        section.index(words) for words in ("Stop the service", "Wait until", "Delete the stream")
    ]
    assert steps == sorted(steps)
    assert section.index("delete-delivery-stream") > steps[2]
    assert section.index("delete-stack") > section.index("delete-delivery-stream")
    wait, listing, cloudformation_undo, _ = blocks("Undo")
    asked = run_with_aws(wait, tmp_path)
    assert [call[call.index("--metric-name") + 1] for call in asked] == [
        "IncomingRecords",
        "DeliveryToS3.DataFreshness",
    ]
    for call in asked:
        assert call[call.index("--namespace") + 1] == "AWS/Firehose"
        assert call[call.index("--dimensions") + 1].endswith("Value=stripe-webhook-stream")
        since, until = (
            datetime.fromisoformat(call[call.index(name) + 1])
            for name in ("--start-time", "--end-time")
        )
        # longer than the longest buffer, 15 minutes
        assert (until - since).total_seconds() > 900
    assert "webhooks/" in listing
    # what is deleted is what is made and kept, by its name
    made = expected.resources({"BucketName": "your-company-stripe-webhooks"})
    (role,) = of_type(made, "AWS::IAM::Role")
    (stream,) = of_type(made, "AWS::KinesisFirehose::DeliveryStream")
    calls = [call[:2] + call[-1:] for call in run_with_aws(cloudformation_undo, tmp_path)]
    assert calls == [
        ["firehose", "delete-delivery-stream", stream],
        ["cloudformation", "update-termination-protection", "--no-enable-termination-protection"],
        ["cloudformation", "delete-stack", "stripe-webhook-queries"],
        ["cloudformation", "delete-stack", "stripe-webhook-infrastructure"],
        ["iam", "delete-role-policy", "delivery"],
        ["iam", "delete-role", role],
    ]


def test_the_import_brings_back_the_bucket_as_it_is_in_the_template(tmp_path: Path) -> None:
    path = tmp_path / "import.yaml"
    path.write_text(template.import_template())
    imported, parameters = cloudformation.parsed(path), expected.CHOICES["every option"]
    assert list(imported["Resources"]) == ["Bucket", "BucketPolicy"]
    # AWS imports nothing that has no deletion policy
    assert all("DeletionPolicy" in one for one in imported["Resources"].values())
    made = cloudformation.Stack(imported, parameters).resources()
    whole = expected.resources(parameters)
    assert differences(made, {key: whole[key] for key in made}) == []
    assert "Outputs" not in imported
    block = blocks("Make it again over the same bucket")[0]
    (line,) = (line for line in block.splitlines() if "--resources-to-import" in line)
    named = json.loads(shlex.split(line)[-1])
    assert [one["LogicalResourceId"] for one in named] == list(imported["Resources"])
    assert [one["ResourceType"] for one in named] == [
        one["Type"] for one in imported["Resources"].values()
    ]


def test_terraform_imports_every_part_of_the_bucket() -> None:
    block = blocks("Make it again over the same bucket")[1]
    told = re.findall(r"aws_s3_bucket\w*", block.split(";")[0])
    planned = terraform.planned(bucket_name="acme-stripe-webhooks")
    assert sorted(told) == sorted(
        one["type"]
        for one in planned["planned_values"]["root_module"]["resources"]
        if one["type"].startswith("aws_s3_bucket")
    )


def blocks(heading: str) -> list[str]:
    """The shell blocks of a section of the guide."""
    section = SETUP.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"^( *)```sh\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
    return [dedent(text) for _, text in found]


def run_with_aws(block: str, folder: Path, **variables: str) -> list[list[str]]:
    """Run a block with an `aws` that only writes down its words, and return those of each call."""
    stand_in, log = folder / "aws", folder / "calls"
    log.unlink(missing_ok=True)
    stand_in.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"open({str(log)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
        "print('210987654321' if sys.argv[1] == 'sts' else '')\n"
    )
    stand_in.chmod(0o755)
    if not (folder / "deploy").exists():
        (folder / "deploy").symlink_to(PROJECT / "deploy")
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env={"PATH": f"{folder}:{os.environ['PATH']}", **variables},
        check=True,
        timeout=60,
    )
    return [json.loads(line) for line in log.read_text().splitlines()]


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

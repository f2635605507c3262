"""Both templates make what is expected, and a change to any leaf of them is noticed."""

import json
import re
from typing import Any

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from deploy import template
from tests.documents.test_setup import SETUP, rows
from tests.support.service import PROJECT

from . import cloudformation, expected, mutate, pins, terraform
from .normal import REGION, Document, differences, of_type


def test_cloudformation_is_as_expected() -> None:
    documents = (
        cloudformation.parsed(cloudformation.TEMPLATE),
        cloudformation.parsed(template.QUERIES),
    )
    assert pins.of_cloudformation(*documents) == []


def test_terraform_is_as_expected() -> None:
    assert pins.of_terraform() == []


def test_cloudformation_and_terraform_make_the_same(parameters: Document) -> None:
    by_terraform = terraform.made(terraform.planned(**expected.variables(parameters)))
    assert differences(cloudformation.made(**parameters), by_terraform) == []


def test_a_difference_is_told_with_both_values() -> None:
    changed = cloudformation.parsed(cloudformation.TEMPLATE)
    changed["Resources"]["LogGroup"]["Properties"]["RetentionInDays"] = 30
    found = pins.of_cloudformation(changed, cloudformation.parsed(template.QUERIES))
    path = "/AWS::Logs::LogGroup /aws/kinesisfirehose/stripe-webhook-stream/RetentionInDays"
    assert f"defaults{path}: 30 here, 90 there" in found


def test_a_sample_of_mutations_of_cloudformation_is_noticed() -> None:
    tried, survived = mutate.survivors_of_cloudformation(sample=80)
    assert tried == 80
    assert mutate.unexplained(survived) == []


def test_a_sample_of_mutations_of_terraform_is_noticed() -> None:
    tried, survived = mutate.survivors_of_terraform(sample=5)
    assert tried == 5
    assert mutate.unexplained(survived) == []


def test_of_configurations_that_are_planned_together_only_the_wrong_ones_are_noticed() -> None:
    sound = {path.name: path.read_text() for path in terraform.CONFIGURATION.glob("*.tf")}

    def with_change(old: str, new: str, file: str = "archive.tf") -> dict[str, str]:
        assert old in sound[file]
        return sound | {file: sound[file].replace(old, new)}

    account = "data.aws_caller_identity.current.account_id"

    configurations = {
        "sound": sound,
        "another value": with_change('"GZIP"', '"ZIP"'),
        "no such resource": with_change("aws_s3_bucket.archive.arn", "aws_s3_bucket.archiv.arn"),
        "no such argument": with_change("compression_format ", "compression_forma "),
        # seen only after terraform has begun to read, which it says of each
        "no number": with_change(account, f'tonumber("x${{{account}}}")', "versions.tf"),
        "also sound": sound,
    }
    wrong = set(mutate.wrong_ones(configurations, "every option"))
    assert wrong == set(configurations) - {"sound", "also sound"}


def test_every_leaf_of_both_is_mutated() -> None:
    document = cloudformation.parsed(cloudformation.TEMPLATE)
    names = {name for name, _ in mutate.of_cloudformation()}
    for steps, value in leaves(document):
        path = "/".join(map(str, steps))
        assert f"cloudformation.yaml: drop {path}" in names
        assert f"cloudformation.yaml: change {path}" in names or not str(value).strip()
    mutated = {name.split(": ", 1)[1].split(" ", 1)[1] for name, _ in mutate.of_terraform()}
    for file in terraform.CONFIGURATION.glob("*.tf"):
        for line in file.read_text().splitlines():
            if line.strip() and line.strip()[0] not in "#]})":
                assert any(name.endswith(line.strip()) for name in mutated), line


def leaves(value: Any, steps: tuple[Any, ...] = ()) -> Any:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*steps, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves(item, (*steps, number))
    else:
        yield steps, value


def test_events_land_where_the_table_looks_for_them(parameters: Document) -> None:
    made = expected.resources(parameters)
    (stream,) = of_type(made, "AWS::KinesisFirehose::DeliveryStream").values()
    table = of_type(made, "AWS::Glue::Table")["stripe_webhooks"]["TableInput"]
    prefix = stream["ExtendedS3DestinationConfiguration"]["Prefix"]
    snapshots = of_type(made, "AWS::Glue::Table")["stripe_snapshots"]["TableInput"]
    for key, value in table["Parameters"].items():
        assert snapshots["Parameters"][key] == value.replace("/webhooks/", "/snapshots/")
    for name, letters in (("year", "yyyy"), ("month", "MM"), ("day", "dd")):
        prefix = prefix.replace(f"!{{timestamp:{letters}}}", f"${{{name}}}")
        assert f"projection.{name}.type" in table["Parameters"]
    bucket = f"s3://{parameters['BucketName']}/"
    assert table["Parameters"]["storage.location.template"] == bucket + prefix
    assert table["StorageDescriptor"]["Location"] == f"{bucket}webhooks/"
    assert [one["Name"] for one in table["PartitionKeys"]] == ["year", "month", "day"]


def test_an_alarm_looks_back_a_week_at_most(parameters: Document) -> None:
    # CloudWatch takes no more where a period is an hour, and a day where it is shorter
    for alarm in of_type(expected.resources(parameters), "AWS::CloudWatch::Alarm").values():
        if "Period" in alarm:
            limit = 7 * 86_400 if alarm["Period"] >= 3600 else 86_400
            assert alarm["Period"] * alarm["EvaluationPeriods"] <= limit


def test_the_words_that_metric_filters_look_for_are_logged() -> None:
    made = expected.resources(expected.CHOICES["every option"])
    patterns = {
        name.removeprefix("live-events-"): one["FilterPattern"]
        for name, one in of_type(made, "AWS::Logs::MetricFilter").items()
    }
    assert found(patterns["not-archived"], '{"message": "Failed to persist webhook"}')
    code = (PROJECT / "webhook_app/web/webhook.py").read_text()
    assert patterns["not-archived"] in code
    # what reconcile prints last, as it does in its own tests
    for line in (
        "All 1,204 events of 2026-11-20 to 2026-11-22 are in the archive.",
        "The 1 event of 2026-11-22 is in the archive.",
        "Stripe has no events of 2026-11-22 that should be in the archive by now.",
    ):
        assert found(patterns["reconciled"], line)
    for line in (
        "1,203 of 1,204 events of 2026-11-22 are in the archive.",
        "Nothing was compared: STRIPE_API_KEY sees none of the 3 archived events.",
        '{"message": "Webhook archived", "outcome": "archived"}',
    ):
        assert not found(patterns["reconciled"], line)
    code = (PROJECT / "archive_tools/reconciling/report.py").read_text()
    for words in ('"All {', '"The 1 event of', '"Stripe has no events of', '"Nothing was compared'):
        assert words in code, words


def found(pattern: str, line: str) -> bool:
    """Whether a filter of CloudWatch finds a line: any of its ?"…" terms, or all others."""
    either, both = re.findall(r'\?"([^"]*)"', pattern), re.findall(r'(?<!\?)"([^"]+)"', pattern)
    return any(term in line for term in either) if either else all(term in line for term in both)


def test_the_template_has_the_queries_and_the_view_of_the_athena_folder() -> None:
    for path, text in template.rendered().items():
        assert path.read_text() == text, "`make template` mends it"


def test_each_template_is_small_enough_to_be_given_as_a_file() -> None:
    # a larger one has to be in S3 first, and the command of the README has none
    for path in template.rendered():
        assert len(path.read_bytes()) <= 51_200


def test_the_guide_says_which_options_replace_what_is_kept() -> None:
    document = cloudformation.parsed(cloudformation.TEMPLATE)
    replacing = set()
    for name in ("Bucket", "Stream"):
        resource = document["Resources"][name]
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, resource["Type"]).schema
        for path in schema["createOnlyProperties"]:
            value = resource["Properties"].get(path.rsplit("/", 1)[1])
            replacing |= set(re.findall(r"'Ref': '(\w+)'", str(value)))
    assert replacing == {"BucketName", "StreamName"}
    table = rows(SETUP, "What you can choose")
    assert {row[0].strip("`") for row in table if "not changed in place" in row[3]} == replacing


def test_the_stack_policy_protects_what_is_kept_for_its_events() -> None:
    policy = json.loads((PROJECT / "deploy/iam/stack-policy.json").read_text())
    allow, deny = policy["Statement"]
    assert allow == {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}
    assert (deny["Effect"], deny["Principal"]) == ("Deny", "*")
    assert set(deny["Action"]) == {"Update:Replace", "Update:Delete"}
    kept = {name for name, one in pins.ATTRIBUTES.items() if "Retain" in str(one)}
    assert set(deny["Resource"]) == {f"LogicalResourceId/{name}" for name in kept}

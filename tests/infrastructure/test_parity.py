"""CloudFormation, Terraform and the DDL make the same."""

from typing import Any

from deploy import template
from tests.support.service import PROJECT

from . import cloudformation, ddl, terraform
from .conftest import BUCKET, CHOICES
from .normal import World


def differences(left: Any, right: Any, path: str = "") -> list[str]:
    """Every place where two documents differ, with both values."""
    if isinstance(left, dict) and isinstance(right, dict):
        return [
            line
            for name in sorted(left.keys() | right.keys())
            for line in differences(
                left.get(name, "nothing"), right.get(name, "nothing"), f"{path}/{name}"
            )
        ]
    return [] if left == right else [f"{path}: {left!r} here, {right!r} there"]


def test_cloudformation_and_terraform_make_the_same(
    by_cloudformation: World, by_terraform: World
) -> None:
    assert differences(by_cloudformation, by_terraform) == []


def test_a_difference_is_told_with_both_values() -> None:
    parameters, variables = CHOICES["defaults"]
    text = cloudformation.TEMPLATE.read_text()
    changed = text.replace("RetentionInDays: 90", "RetentionInDays: 30")
    assert changed != text
    assert differences(
        cloudformation.world(changed, **parameters),
        terraform.world(terraform.planned(**variables), terraform.text()),
    ) == ["/log/days: 30 here, 90 there"]


def test_the_options_are_the_same_with_the_same_defaults_and_bounds() -> None:
    stack = cloudformation.Stack(cloudformation.TEMPLATE.read_text(), {})
    plan = terraform.planned(bucket_name=BUCKET)["configuration"]["root_module"]["variables"]
    parameters, variables = CHOICES["every option"]
    assert set(stack.template["Parameters"]) == set(parameters)
    assert set(plan) == set(variables)
    for name, variable in zip(parameters, variables, strict=True):
        declared = stack.template["Parameters"][name]
        assert declared.get("Default") == plan[variable].get("default")
        assert declared["Description"] == plan[variable]["description"]


def test_the_ddl_makes_the_same_table() -> None:
    parameters, _ = CHOICES["defaults"]
    table = cloudformation.world(cloudformation.TEMPLATE.read_text(), **parameters)["table"]
    written = ddl.table(PROJECT / "deploy/athena/stripe_webhooks.sql")
    written = {name: _renamed(value) for name, value in written.items()}
    assert differences({**table, "description": None}, {**written, "description": None}) == []


def _renamed(value: Any) -> Any:
    """The DDL has a bucket's name to be replaced."""
    if isinstance(value, str):
        return value.replace("your-company-stripe-webhooks", BUCKET)
    if isinstance(value, dict):
        return {name: _renamed(item) for name, item in value.items()}
    return value


def test_the_template_has_the_queries_and_the_view_of_the_athena_folder() -> None:
    assert template.rendered() == cloudformation.TEMPLATE.read_text(), "`make template` mends it"


def test_the_template_is_small_enough_to_be_given_as_a_file() -> None:
    # a larger one has to be in S3 first, and the command of the README has none
    assert len(cloudformation.TEMPLATE.read_bytes()) <= 51_200

"""Everything that is wrong with either template, in words; an empty list where it is as expected.

What is made is compared with `expected` for each set of options. Here is the rest: options, what is
kept when a stack goes, what waits for what, the provider.
"""

import json
import re
from pathlib import Path
from typing import Any

from . import cloudformation, expected, terraform
from .normal import Document, RefusedError, differences

_KEPT = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}

#: What resources of CloudFormation have beside type, condition and properties.
ATTRIBUTES: dict[str, Document] = {
    "Bucket": _KEPT,
    "BucketPolicy": _KEPT,
    "Stream": _KEPT | {"DependsOn": "DeliveryPolicy"},
    "DeliveryRole": _KEPT,
    "DeliveryPolicy": _KEPT,
    "LogGroup": {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete"},
    "EventsView": {"DependsOn": "WebhooksTable"},
}

GROUPS = {
    "The archive": ["BucketName", "StreamName", "BufferIntervalSeconds", "BufferSizeMegabytes"],
    "How long things are kept": [
        *("ArchiveExpiryDays", "OldVersionDays", "ObjectLockMode", "ObjectLockDays"),
    ],
    "Encryption and access logs": ["KmsKeyArn", "AccessLogBucketName"],
    "Alarms": [
        *("AlarmEmail", "SilenceHours", "LogGroupName", "ReconcileHours"),
        *("LoadBalancer", "TargetGroup"),
    ],
    "Athena": ["DatabaseName", "ScanLimitBytes"],
}

#: What waits for what in Terraform, beside what it sees by itself.
DEPENDS_ON = {
    "aws_glue_catalog_table.stripe_events": ["aws_glue_catalog_table.stripe_webhooks"],
    "aws_kinesis_firehose_delivery_stream.events": ["aws_iam_role_policy.delivery"],
    "aws_s3_bucket_lifecycle_configuration.archive": ["aws_s3_bucket_versioning.archive"],
    "aws_s3_bucket_object_lock_configuration.archive": ["aws_s3_bucket_versioning.archive"],
    "aws_s3_bucket_policy.archive": ["aws_s3_bucket_public_access_block.archive"],
}

#: The only resources with a lifecycle, which no plan shows, and all that it says.
LIFECYCLES = {
    "aws_s3_bucket.archive": "prevent_destroy = true",
    "aws_kinesis_firehose_delivery_stream.events": "prevent_destroy = true",
}

PROVIDER = {
    "aws": {
        "name": "aws",
        "full_name": "registry.terraform.io/hashicorp/aws",
        "version_constraint": "~> 6.0",
        "expressions": {"default_tags": [{"tags": {"references": ["var.tags"]}}]},
    }
}
TERRAFORM_BLOCK = """\
terraform {
  required_version = ">= 1.7"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}"""
PROVIDER_BLOCK = """\
provider "aws" {
  default_tags {
    tags = var.tags
  }
}"""


def of_cloudformation(template: Document, queries: Document) -> list[str]:
    """Return what is wrong with the two templates, each as its parsed document."""
    try:
        return [*_shape(template), *_options(template), *_made(template, queries)]
    # a template without what the resolver needs is as wrong as one with another value
    except (RefusedError, LookupError, TypeError, ValueError, AttributeError, re.error) as error:
        return [f"cannot be resolved: {error!r}"]


def _made(template: Document, queries: Document) -> list[str]:
    found: list[str] = []
    for choice, parameters in expected.CHOICES.items():
        made = cloudformation.Stack(template, parameters).resources()
        database = {name: parameters[name] for name in ("DatabaseName",) if name in parameters}
        made |= cloudformation.Stack(queries, database).resources()
        printed = cloudformation.Stack(template, parameters).outputs
        found += differences(made, expected.resources(parameters), choice)
        found += differences(printed, expected.outputs(parameters), f"{choice}/Outputs")
    (parameter,) = (queries["Parameters"],)
    same = {"DatabaseName": template["Parameters"]["DatabaseName"]}
    found += differences(parameter, same, "queries/Parameters")
    found += differences(
        set(queries), {"AWSTemplateFormatVersion", "Description", "Parameters", "Resources"}
    )
    found += differences(
        queries["Description"],
        "The saved queries of Stripe Analytics Backend, in a workgroup that is there.",
    )
    found += _attributes(queries, {})
    for document in (template, queries):
        found += differences(document["AWSTemplateFormatVersion"], "2010-09-09")
    return found


def _shape(template: Document) -> list[str]:
    sections = {"AWSTemplateFormatVersion", "Description", "Metadata", "Parameters"}
    found = differences(set(template), sections | {"Conditions", "Resources", "Outputs"})
    found += differences(template["Description"], _told_description())
    interface = {
        "AWS::CloudFormation::Interface": {
            "ParameterGroups": [
                {"Label": {"default": label}, "Parameters": names}
                for label, names in GROUPS.items()
            ]
        }
    }
    found += differences(template["Metadata"], interface, "Metadata")
    found += _attributes(template, ATTRIBUTES)
    used = set(re.findall(r"'(?:Condition|Fn::If)': \[?'(\w+)'", str(template)))
    found += differences(set(template["Conditions"]), used, "Conditions")
    described = _described("output", terraform.CONFIGURATION / "outputs.tf")
    for name, output in template["Outputs"].items():
        found += differences(set(output), {"Description", "Value"}, f"Outputs/{name}")
        found += differences(output["Description"], described.get(_snake(name)), f"Outputs/{name}")
    return found


def _attributes(template: Document, wanted: dict[str, Document]) -> list[str]:
    """Compare what resources have beside their type, condition and properties."""
    attributes = {
        name: {
            key: value
            for key, value in resource.items()
            if key not in ("Type", "Properties", "Condition")
        }
        for name, resource in template["Resources"].items()
    }
    return differences(attributes, {name: wanted.get(name, {}) for name in attributes}, "Resources")


def _options(template: Document) -> list[str]:
    found = differences(list(template["Parameters"]), list(expected.OPTIONS), "Parameters")
    described = _described("variable", terraform.CONFIGURATION / "variables.tf")
    for name, (variable, default, taken, refused) in expected.OPTIONS.items():
        declared, path = template["Parameters"][name], f"Parameters/{name}"
        number = isinstance(taken[0], int)
        bounds = {"MinValue", "MaxValue"} if number else {"AllowedPattern", "AllowedValues"}
        known = {"Type", "Description", "Default", "ConstraintDescription"} | bounds
        found += [f"{path}: {extra}" for extra in set(declared) - known]
        found += differences(declared["Type"], "Number" if number else "String", path)
        found += differences(declared.get("Default"), default, path)
        found += differences(declared["Description"], described[variable], path)
        told = "ConstraintDescription" in declared
        if told != ("AllowedPattern" in declared):
            found.append(f"{path}: a pattern has to be told in words, and nothing else")
        found += [
            f"{path}: {value!r}" for value in taken if not cloudformation.accepts(declared, value)
        ]
        found += [
            f"{path}: {value!r}" for value in refused if cloudformation.accepts(declared, value)
        ]
    return found + _validations(terraform.text(), template)


def validation(variable: str, declared: Document) -> str:
    """Return Terraform's validation that takes what a parameter of CloudFormation takes.

    What the message says after the bounds of a number, such as its unit, is left out.
    """
    its = f"var.{variable}"
    if "AllowedPattern" in declared:
        pattern = declared["AllowedPattern"].replace("\\", "\\\\")
        pattern = f"({pattern})" if pattern.startswith("|") else pattern
        condition = f'can(regex("^{pattern}$", {its}))'
        message = f'{declared["ConstraintDescription"]}"'
    elif "AllowedValues" in declared:
        condition = f"contains({json.dumps(declared['AllowedValues'])}, {its})"
        message = f'{" or ".join(declared["AllowedValues"])}."'
    else:
        condition, message = f"{its} >= {declared['MinValue']}", f"{declared['MinValue']} or more"
        if "MaxValue" in declared:
            condition += f" && {its} <= {declared['MaxValue']}"
            message = f"{declared['MinValue']} to {declared['MaxValue']}"
    return f'condition     = {condition}\nerror_message = "Give {message}'


def _validations(text: str, template: Document) -> list[str]:
    """Compare all validations of Terraform with the template's parameters."""
    blocks = re.findall(
        r'^variable "(\w+)" \{\n(?:  .*\n)*?  validation \{\n((?:    .*\n)*)  \}',
        text,
        re.MULTILINE,
    )
    told = {name: re.sub(r"^ +", "", block, flags=re.MULTILINE) for name, block in blocks}
    found = differences(set(told), {variable for variable, *_ in expected.OPTIONS.values()})
    for name, (variable, *_) in expected.OPTIONS.items():
        wanted = validation(variable, template["Parameters"][name])
        if not re.fullmatch(
            re.escape(wanted) + r'(?: [a-zA-Z]+\."| [a-zA-Z]+\.|\.")?\n', told[variable]
        ):
            found.append(f"{variable}: {told[variable]!r} here, {wanted!r} there")
    return found


def of_terraform() -> list[str]:
    """Return what is wrong with the configuration, up to the first set of options that shows it."""
    found = of_text(terraform.text())
    for choice in expected.CHOICES:
        # a plan takes a second
        if found:
            break
        try:
            plan = terraform.planned(**expected.variables(expected.CHOICES[choice]))
        except RuntimeError as error:
            return [f"cannot be planned: {error}"]
        found += of_plan(plan, choice)
    return found


def of_plan(plan: Document, choice: str) -> list[str]:
    """Return what is wrong with a plan that was made with a set of options."""
    parameters = expected.CHOICES[choice]
    try:
        made, printed = terraform.made(plan), terraform.outputs(plan)
        return [
            *differences(made, expected.resources(parameters), choice),
            *differences(printed, expected.outputs(parameters), f"{choice}/outputs"),
            *_configuration(plan["configuration"]),
        ]
    # a plan without what the normal form needs is as wrong as one with another value
    except (RefusedError, LookupError, TypeError, ValueError, AttributeError) as error:
        return [f"cannot be brought into normal form: {error!r}"]


def _configuration(configuration: Document) -> list[str]:
    module = configuration["root_module"]
    found = differences(configuration["provider_config"], PROVIDER, "provider")
    waits = {
        f"{one['type']}.{one['name']}": one["depends_on"]
        for one in module["resources"]
        if "depends_on" in one
    }
    found += differences(waits, DEPENDS_ON, "depends_on")
    defaults = {name: one.get("default") for name, one in module["variables"].items()}
    wanted = {variable: default for variable, default, *_ in expected.OPTIONS.values()}
    found += differences(defaults, wanted | {"tags": {}}, "variables")
    found += [
        f"{name}: {extra}"
        for name, one in (module["variables"] | module["outputs"]).items()
        for extra in set(one) - {"default", "description", "expression", "depends_on"}
    ]
    template = cloudformation.parsed(cloudformation.TEMPLATE)
    described = {_snake(name): one["Description"] for name, one in template["Outputs"].items()}
    told = {name: one["description"] for name, one in module["outputs"].items()}
    found += differences(told, described, "outputs")
    described = {
        expected.OPTIONS[name][0]: one["Description"]
        for name, one in template["Parameters"].items()
    }
    told = {name: one["description"] for name, one in module["variables"].items()}
    tags = {"tags": "Tags for everything that can have them."}
    return found + differences(told, described | tags, "variables")


def of_text(text: str) -> list[str]:
    """Return what is wrong with a configuration's text, in what no plan shows."""
    lifecycles = {
        f"{kind}.{name}": "\n".join(line.strip() for line in said.strip().splitlines())
        for kind, name, said in re.findall(
            r'^resource "(\w+)" "(\w+)" \{\n(?:(?!^\}).*\n)*?  lifecycle \{\n((?:    .*\n)*)  \}',
            text,
            re.MULTILINE,
        )
    }
    found = differences(lifecycles, LIFECYCLES, "lifecycle")
    blocks = re.findall(r'^(?:terraform|provider "aws") \{\n(?:  .*\n|\n)*\}$', text, re.MULTILINE)
    found += differences(sorted(blocks), sorted([TERRAFORM_BLOCK, PROVIDER_BLOCK]))
    types = dict(
        re.findall(r'^variable "(\w+)" \{\n(?:  .*\n)*?  type +=\s*(.*)', text, re.MULTILINE)
    )
    wanted = {
        variable: "number" if isinstance(taken[0], int) else "string"
        for variable, _, taken, _ in expected.OPTIONS.values()
    }
    found += differences(types, wanted | {"tags": "map(string)"}, "types")
    try:
        return found + _validations(text, cloudformation.parsed(cloudformation.TEMPLATE))
    except LookupError as error:
        return [f"a validation is missing: {error!r}"]


def _told_description() -> str:
    """Return the first comment of the Terraform configuration, which the template's is."""
    lines = (terraform.CONFIGURATION / "versions.tf").read_text().splitlines()
    return " ".join(line.removeprefix("# ") for line in lines[:2])


def _described(what: str, path: Path) -> dict[str, Any]:
    pattern = rf'^{what} "(\w+)" \{{\n  description = "(.*)"'
    return dict(re.findall(pattern, path.read_text(), re.MULTILINE))


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()

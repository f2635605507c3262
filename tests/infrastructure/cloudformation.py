"""The CloudFormation template in normal form: its functions resolved as AWS would."""

import base64
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml

from deploy import template

from .normal import (
    ACCOUNT,
    NAMED_BY,
    PARTITION,
    REGION,
    Document,
    RefusedError,
    Resources,
    add,
)

TEMPLATE, QUERIES = template.TEMPLATE, template.QUERIES

_NOTHING = object()
_ARNS = {
    "AWS::S3::Bucket": f"arn:{PARTITION}:s3:::{{}}",
    "AWS::IAM::Role": f"arn:{PARTITION}:iam::{ACCOUNT}:role/{{}}",
    "AWS::IAM::ManagedPolicy": f"arn:{PARTITION}:iam::{ACCOUNT}:policy/{{}}",
    "AWS::SNS::Topic": f"arn:{PARTITION}:sns:{REGION}:{ACCOUNT}:{{}}",
    "AWS::KinesisFirehose::DeliveryStream": (
        f"arn:{PARTITION}:firehose:{REGION}:{ACCOUNT}:deliverystream/{{}}"
    ),
}
#: Ref gives the ARN of these, of all others the name.
_REF_IS_ARN = ("AWS::SNS::Topic", "AWS::IAM::ManagedPolicy")


def parsed(path: Path) -> Document:
    """Return a template as plain data, its functions in their long form."""
    document: Document = json.loads(_as_json(path.read_text()))
    return document


@cache
def _as_json(text: str) -> str:
    return json.dumps(cfn_yaml.loads(text))


class Stack:
    """A template with values for its parameters."""

    def __init__(self, template: Document, parameters: dict[str, Any]) -> None:
        """Take a parsed template; parameters that are not given have their defaults."""
        self.template = template
        self._values = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": REGION,
            "AWS::Partition": PARTITION,
            "AWS::NoValue": _NOTHING,
        }
        for name, declared in self.template["Parameters"].items():
            self._values[name] = parameters.get(name, declared.get("Default"))
        self.outputs = {
            name: self._resolved(output["Value"])
            for name, output in self.template.get("Outputs", {}).items()
        }

    def resources(self) -> Resources:
        """Return all resources that would be made."""
        made: Resources = {}
        for resource in self.template["Resources"].values():
            if self._holds(resource.get("Condition")):
                properties = self._resolved(resource["Properties"])
                # required, and an account has no other catalog; Terraform fills it in
                if (
                    resource["Type"].startswith("AWS::Glue")
                    and properties.pop("CatalogId") != ACCOUNT
                ):
                    raise RefusedError(f"{resource['Type']} in another catalog")
                add(made, resource["Type"], properties)
        return made

    def _holds(self, condition: str | None) -> bool:
        return condition is None or self._truth(self.template["Conditions"][condition])

    def _truth(self, expression: Document) -> bool:
        ((function, argument),) = expression.items()
        if function == "Condition":
            return self._holds(argument)
        if function == "Fn::And":
            return all(map(self._truth, argument))
        if function == "Fn::Not":
            (condition,) = argument
            return not self._truth(condition)
        if function != "Fn::Equals":
            raise RefusedError(f"{function} is not known here")
        # CloudFormation compares parameters as strings
        left, right = (str(self._resolved(side)) for side in argument)
        return left == right

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            items = (self._resolved(item) for item in value)
            return [item for item in items if item is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._called(function, argument)
        pairs = ((name, self._resolved(item)) for name, item in value.items())
        return {name: item for name, item in pairs if item is not _NOTHING}

    def _called(self, function: str, argument: Any) -> Any:
        match function:
            case "Ref":
                return self._ref(argument)
            case "Fn::GetAtt":
                resource, attribute = (
                    argument if isinstance(argument, list) else argument.split(".")
                )
                if attribute != "Arn":
                    raise RefusedError(f"{attribute} is not known here")
                return self._arn(resource)
            case "Fn::Sub":
                return re.sub(r"\$\{([^}]+)\}", self._substituted, argument)
            case "Fn::If":
                condition, yes, no = argument
                if {} in (yes, no):
                    raise RefusedError("nothing is !Ref AWS::NoValue")
                return self._resolved(yes if self._holds(condition) else no)
            case "Fn::Join":
                separator, parts = argument
                return separator.join(map(str, self._resolved(parts)))
            case "Fn::Base64":
                return base64.b64encode(self._resolved(argument).encode()).decode()
        raise RefusedError(f"{function} is not known here")

    def _substituted(self, found: re.Match[str]) -> str:
        name = found[1]
        if name.startswith("!"):
            return f"${{{name[1:]}}}"
        resource, _, attribute = name.partition(".")
        return self._arn(resource) if attribute == "Arn" else str(self._ref(name))

    def _ref(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        resource = self.template["Resources"][name]
        return self._arn(name) if resource["Type"] in _REF_IS_ARN else self._name(name)

    def _arn(self, name: str) -> str:
        return _ARNS[self.template["Resources"][name]["Type"]].format(self._name(name))

    def _name(self, name: str) -> Any:
        resource = self.template["Resources"][name]
        value = resource["Properties"]
        for key in NAMED_BY[resource["Type"]]:
            value = value[key]
        return self._resolved(value)


def made(**parameters: Any) -> Resources:
    """Return what the template, and the one of the queries, make with these parameters."""
    database = {name: parameters[name] for name in ("DatabaseName",) if name in parameters}
    stacks = Stack(parsed(TEMPLATE), parameters), Stack(parsed(QUERIES), database)
    return stacks[0].resources() | stacks[1].resources()


def accepts(declared: Document, value: Any) -> bool:
    """Whether CloudFormation takes a value for a parameter."""
    if declared["Type"] == "Number":
        return bool(declared.get("MinValue", value) <= value <= declared.get("MaxValue", value))
    if "AllowedValues" in declared:
        return value in declared["AllowedValues"]
    return re.fullmatch(declared["AllowedPattern"], value) is not None

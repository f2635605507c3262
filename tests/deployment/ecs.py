"""The template of deploy/ecs with its functions resolved, and its task definitions as ECS's API
takes them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml

TEMPLATE = Path(__file__).resolve().parents[2] / "deploy/ecs/cloudformation.yaml"
ACCOUNT, REGION = "210987654321", "us-east-1"
BALANCER = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/ecs-express/0a1b"
GROUPS = [
    f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/ecs-{name}/2c3d"
    for name in ("one", "other")
]
GIVEN = {
    "Image": "210987654321.dkr.ecr.us-east-1.amazonaws.com/stripe-analytics-backend:0123abc",
    "BucketName": "your-company-stripe-webhooks",
    "Subnets": "subnet-0a1b,subnet-2c3d",
}
SERVING = {"LoadBalancer": BALANCER, "TargetGroup": GROUPS[0], "OtherTargetGroup": GROUPS[1]}

Document = dict[str, Any]


class Stack:
    """The stack with these parameters; those that are not given have their defaults."""

    def __init__(self, **given: str) -> None:
        """Resolve everything that would be made."""
        template = json.loads(json.dumps(cfn_yaml.loads(TEMPLATE.read_text())))
        parameters = {name: each.get("Default") for name, each in template["Parameters"].items()}
        assert set(given) <= set(parameters)
        assert None not in (parameters | given).values(), "a parameter is missing"
        self._values: dict[str, Any] = {**parameters, **given}
        self._values["Subnets"] = str(self._values["Subnets"]).split(",")
        pseudo = {"AccountId": ACCOUNT, "Region": REGION, "Partition": "aws"}
        self._values |= {f"AWS::{name}": value for name, value in pseudo.items()}
        self._conditions = template["Conditions"]
        self.resources: dict[str, Document] = {
            name: each | {"Properties": self._resolved(each["Properties"])}
            for name, each in template["Resources"].items()
            if "Condition" not in each or self._resolved(self._conditions[each["Condition"]])
        }
        self.outputs = {
            name: self._resolved(each["Value"]) for name, each in template["Outputs"].items()
        }

    def of(self, kind: str) -> dict[str, Document]:
        """Return the properties of all resources of a type, by their logical names."""
        return {
            name: each["Properties"]
            for name, each in self.resources.items()
            if each["Type"] == kind
        }

    def task(self, name: str) -> Document:
        """Return a task definition as `RegisterTaskDefinition` takes it."""
        task: Document = _camel(self.of("AWS::ECS::TaskDefinition")[name])
        return task

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._resolved(each) for each in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref":
                return self._values.get(argument, argument)
            if function == "Fn::Sub":
                return re.sub(r"\$\{([\w:]+)\}", lambda found: self._values[found[1]], argument)
            if function == "Fn::GetAtt":
                return "{}.{}".format(*argument)
            if function == "Fn::If":
                name, yes, no = argument
                return self._resolved(yes if self._resolved(self._conditions[name]) else no)
            if function.startswith("Fn::"):
                return _FUNCTIONS[function](*self._resolved(argument))
        return {name: self._resolved(each) for name, each in value.items()}


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Fn::And": lambda *all_of: all(all_of),
    "Fn::Not": lambda one: not one,
    "Fn::Equals": lambda one, other: one == other,
    "Fn::Select": lambda number, of: of[int(number)],
    "Fn::Split": lambda separator, text: text.split(separator),
}


def main_container() -> Document:
    """Return the service's container."""
    return next(each for each in containers("ServiceTask") if each["name"] == "Main")


def containers(task: str) -> list[Document]:
    """Return the containers of one of the tasks."""
    found: list[Document] = Stack(**GIVEN).task(task)["containerDefinitions"]
    return found


def _camel(value: Any) -> Any:
    """The API's names begin in lower case; those of options and labels are their own."""
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name[0].lower() + name[1:]: each if name in ("Options", "DockerLabels") else _camel(each)
        for name, each in value.items()
    }

"""`make mutate`: change every leaf of both templates, one at a time, and see what notices.

A leaf is dropped and changed, and every block and list gets one more: an argument that the
resource's schema has and the template has not, or a copy of the last element. What nothing notices
has to be in survivors.toml with its reason.
"""

import copy
import json
import random
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from tests.support.service import PROJECT

from . import cloudformation, expected, pins, terraform
from .normal import REGION, Document

#: What has to be noticed, of all mutations.
LEAST_CAUGHT = 0.95

SURVIVORS = Path(__file__).with_name("survivors.toml")


def explained() -> dict[str, str]:
    """Return the reason why a mutation may survive, by a pattern of its name."""
    return {
        one["mutation"]: one["reason"] for one in tomllib.loads(SURVIVORS.read_text())["survivor"]
    }


# --- CloudFormation -------------------------------------------------------------------------------

#: The steps from the top of a document to one of its values.
Steps = tuple[str | int, ...]


def of_cloudformation() -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """Yield the name of each mutation of the two templates, and what tells what is wrong then."""
    documents = [
        cloudformation.parsed(path) for path in (cloudformation.TEMPLATE, cloudformation.QUERIES)
    ]

    def noticed(number: int, mutate: Callable[[Document], None]) -> list[str]:
        changed = [*documents]
        changed[number] = copy.deepcopy(documents[number])
        mutate(changed[number])
        return pins.of_cloudformation(*changed)

    for number, name in enumerate(("cloudformation.yaml", "queries.yaml")):
        for steps, value in _walk(documents[number]):
            for what, mutate in _mutations(steps, value, documents[number]):
                path = "/".join(map(str, steps))
                yield f"{name}: {what} {path}", partial(noticed, number, mutate)


def _walk(value: Any, steps: Steps = ()) -> Iterator[tuple[Steps, Any]]:
    yield steps, value
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        yield from _walk(item, (*steps, key))


def _mutations(steps: Steps, value: Any, document: Document) -> Iterator[tuple[str, Any]]:
    def at(root: Any, to: Steps) -> Any:
        for step in to:
            root = root[step]
        return root

    def put(new: Any) -> Any:
        return lambda root: at(root, steps[:-1]).__setitem__(steps[-1], new)

    if steps:
        yield "drop", lambda root: at(root, steps[:-1]).__delitem__(steps[-1])
    if isinstance(value, dict):
        its, new = _sibling(steps, value, document)
        yield f"add {its} to", lambda root: at(root, steps).__setitem__(its, new)
    elif isinstance(value, list):
        yield "repeat the last of", lambda root: at(root, steps).append(copy.deepcopy(value[-1]))
    else:
        for number, new in enumerate(_others(value)):
            yield f"change {number}" if number else "change", put(new)


def _others(value: Any) -> Iterator[Any]:
    """Yield other values: of a text one for each of its lines."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
    else:
        lines = str(value).split("\n")
        for number, line in enumerate(lines):
            if line.strip():
                yield "\n".join([*lines[:number], _changed(line), *lines[number + 1 :]])


def _changed(text: str) -> str:
    """Change a number in a text, or its last letter or digit."""
    digits = re.search(r"\d+", text)
    if digits:
        return f"{text[: digits.start()]}{int(digits[0]) + 1}{text[digits.end() :]}"
    changed = re.sub(r"\w(?=\W*$)", lambda found: "y" if found[0] == "x" else "x", text, count=1)
    return changed if changed != text else f"{text}x"


def _sibling(steps: Steps, value: Document, document: Document) -> tuple[str, Any]:
    """Return a property that may be here and is not, by the resource's schema; else any."""
    if steps and steps[0] == "Resources" and "Properties" in steps:
        kind = document["Resources"][steps[1]]["Type"]
        root = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema
        schema = root
        for step in steps[3:]:
            schema = _resolved(schema, root)
            schema = (
                schema.get("items", {})
                if isinstance(step, int)
                else schema.get("properties", {}).get(step, {})
            )
        for name, one in sorted(_resolved(schema, root).get("properties", {}).items()):
            if name not in value and (new := _example(_resolved(one, root))) is not None:
                return name, new
    if steps == ("Resources",):
        policy = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        properties = {
            "RoleName": {"Ref": "DeliveryRole"},
            "PolicyName": "more",
            "PolicyDocument": policy,
        }
        return "More", {"Type": "AWS::IAM::RolePolicy", "Properties": properties}
    return "More", "more"


def _resolved(schema: Document, root: Document) -> Document:
    for _ in range(5):
        if "$ref" not in schema:
            break
        name = schema["$ref"].rsplit("/", 1)[1]
        schema = root.get("definitions", {}).get(name, {})
    return schema


def _example(schema: Document) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    kinds = schema.get("type")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    values = {"string": "more", "boolean": False, "integer": 1, "number": 1, "array": ["more"]}
    return values.get(str(kind))


# --- Terraform ------------------------------------------------------------------------------------

_OPEN, _CLOSE = "[{(", "]})"
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"|\btrue\b|\bfalse\b|\b\d+(?:\.\d+)?\b')


def of_terraform(folder: Path = terraform.CONFIGURATION) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each mutation as the name of a file with its changed text, with a name.

    `terraform fmt` puts every argument on a line of its own, so lines are leaves.
    """
    for path in sorted(folder.glob("*.tf")):
        lines = path.read_text().splitlines()
        above, seen = "", dict[str, int]()
        for number, line in enumerate(lines):
            if re.match(r"\w", line):
                above = re.sub(r'"', "", line.rstrip(" {"))
            for what, changed in _line_mutations(lines, number):
                name = f"{path.name}: {what} [{above}] {line.strip()}"
                seen[name] = seen.get(name, 0) + 1
                if seen[name] > 1:
                    name += f" #{seen[name]}"
                yield name, (path.name, "\n".join(changed) + "\n")


def _line_mutations(lines: list[str], number: int) -> Iterator[tuple[str, list[str]]]:
    line = lines[number]
    code = line.strip()
    if not code or code.startswith("#") or code[0] in _CLOSE:
        return
    end = _end(lines, number)
    yield "drop", [*lines[:number], *lines[end + 1 :]]
    # the name of a block or of an attribute is no value
    start = re.match(r'\s*(?:"[^"]*"|[\w.-]+)\s*=\s*', line)
    begin = start.end() if start else 0
    is_block = code.endswith("{") and not start
    if not is_block:
        found = list(_LITERAL.finditer(line, begin))
        for count, literal in enumerate(found):
            new = line[: literal.start()] + _other(literal[0]) + line[literal.end() :]
            yield (
                f"change {count}" if count else "change",
                [*lines[:number], new, *lines[number + 1 :]],
            )
        if not found and end == number and start:
            yield "change", [*lines[:number], f'{line[:begin]}"changed"', *lines[number + 1 :]]
    if code[-1] in _OPEN and end > number:
        added = _added(lines, number, is_block)
        if added:
            yield (
                f"add {added.split(' =')[0]} to",
                [*lines[: number + 1], added, *lines[number + 1 :]],
            )


def _end(lines: list[str], number: int) -> int:
    """Return the line in which what begins in this one ends."""
    depth = 0
    for last in range(number, len(lines)):
        bare = re.sub(r'"(?:[^"\\]|\\.)*"|#.*', "", lines[last])
        depth += sum(map(bare.count, _OPEN)) - sum(map(bare.count, _CLOSE))
        if depth <= 0:
            return last
    return number


def _other(literal: str) -> str:
    if literal in ("true", "false"):
        return "false" if literal == "true" else "true"
    if literal[0] != '"':
        return str(int(literal) + 1) if literal.isdigit() else str(float(literal) + 1)
    inner = literal[1:-1]
    return (
        '"x"'
        if not inner
        else f'"{_changed(re.sub(r"[$][{].*?[}]", lambda found: found[0], inner))}"'
    )


def _added(lines: list[str], number: int, is_block: bool) -> str:
    """Return one more argument, key or element for what opens in this line."""
    code = lines[number].strip()
    indent = " " * (len(lines[number]) - len(lines[number].lstrip()) + 2)
    if not is_block:
        return (
            f'{indent}"more",'
            if code.endswith("[")
            else f'{indent}More = "more"'
            if code.endswith("{")
            else ""
        )
    blocks = _path(lines, number)
    kind = re.match(r'resource "(\w+)"', blocks[0])
    if not kind:
        return ""
    schema = terraform.schema()["resource"][kind[1]]
    for block in blocks[1:]:
        name = re.sub(r'^dynamic "(\w+)"$', r"\1", block.split(" {")[0])
        if name in ("content", "lifecycle") or block.startswith("dynamic"):
            schema = (
                schema if name == "content" else schema["blocks"].get(name, {}).get("block", {})
            )
            continue
        schema = schema.get("blocks", {}).get(name, {}).get("block", {})
    if not schema or code.startswith("dynamic"):
        return ""
    end = _end(lines, number)
    there = set(re.findall(r"^\s*(\w+)\s*[={]", "\n".join(lines[number:end]), re.MULTILINE))
    for name, one in sorted(schema["attributes"].items()):
        if (
            one["o"]
            and name not in there
            and name not in ("id", "region")
            and not name.endswith("_prefix")
        ):
            value = {"bool": "false", "number": "1"}.get(str(one["type"]), '"more"')
            value = (
                value
                if isinstance(one["type"], str)
                else '["more"]'
                if "map" not in one["type"]
                else '{ More = "more" }'
            )
            return f"{indent}{name} = {value}"
    return ""


def _path(lines: list[str], number: int) -> list[str]:
    """Return the lines that open the blocks around a line, and the line itself."""
    found = [lines[number].strip().rstrip(" {")]
    depth = len(lines[number]) - len(lines[number].lstrip())
    for line in reversed(lines[:number]):
        its = len(line) - len(line.lstrip())
        if line.strip() and its < depth and line.rstrip().endswith("{"):
            found.insert(0, line.strip().rstrip(" {"))
            depth = its
    return found


# --- both -----------------------------------------------------------------------------------------


def survivors_of_cloudformation(sample: int | None = None, seed: int = 0) -> tuple[int, list[str]]:
    """Return how many mutations were tried, and the names of those that nobody noticed."""
    chosen = _sampled(list(of_cloudformation()), sample, seed)
    return len(chosen), [name for name, noticed in chosen if not noticed()]


def survivors_of_terraform(sample: int | None = None, seed: int = 0) -> tuple[int, list[str]]:
    """The same of Terraform, which plans many mutations at a time."""
    chosen = _sampled(list(of_terraform()), sample, seed)
    texts = {path.name: path.read_text() for path in terraform.CONFIGURATION.glob("*.tf")}
    changed = {
        name: texts | {file: text}
        for name, (file, text) in chosen
        if not pins.of_text("\n".join((texts | {file: text}).values()))
    }
    for choice in expected.CHOICES:
        names = list(changed)
        for first in range(0, len(names), _TOGETHER):
            batch = {name: changed[name] for name in names[first : first + _TOGETHER]}
            for name in wrong_ones(batch, choice):
                del changed[name]
    return len(chosen), list(changed)


#: Configurations that are planned together, as modules of one.
_TOGETHER = 30

#: How terraform's messages name a module: by its file, its call or the address of its resource.
_MODULE = re.compile(r'\bon (m\d+)/|in module "(m\d+)"|with module\.(m\d+)\b')


def _wrong(printed: str) -> set[str]:
    """Return the modules that errors name; progress and warnings name sound ones too."""
    messages = re.split(r"^(?=(?:Error|Warning): )", printed, flags=re.MULTILINE)
    errors = "".join(one for one in messages if one.startswith("Error: "))
    return {one for found in _MODULE.findall(errors) for one in found if one}


def wrong_ones(configurations: dict[str, dict[str, str]], choice: str) -> Iterator[str]:
    """Yield the names of the configurations, each its files by name, that are seen to be wrong.

    Raises:
        RuntimeError: terraform failed, and not because of one of them.
    """
    variables = expected.variables(expected.CHOICES[choice])
    modules = {f"m{number}": name for number, name in enumerate(configurations)}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "athena").symlink_to(PROJECT / "deploy/athena")
        for module, name in modules.items():
            (folder / module).mkdir()
            for file, text in configurations[name].items():
                # the provider is the root's, one for all; its block is compared as text
                (folder / module / file).write_text(text.replace(pins.PROVIDER_BLOCK, ""))
        while modules:
            _write_root(folder, list(modules), variables)
            try:
                terraform.terraform("get", folder=folder)
                plan = terraform.planned(folder)
                break
            except RuntimeError as error:
                wrong = [module for module in modules if module in _wrong(str(error))]
                if not wrong:
                    raise
                yield from (modules.pop(module) for module in wrong)
        for module, name in modules.items():
            if pins.of_plan(_of_module(plan, module), choice):
                yield name


def _write_root(folder: Path, modules: list[str], variables: Document) -> None:
    values = "".join(f"  {name} = {json.dumps(value)}\n" for name, value in variables.items())
    calls = (
        f'module "{module}" {{\n  source = "./{module}"\n{values}}}\n'
        f'output "{module}" {{\n  value = module.{module}\n}}\n'
        for module in modules
    )
    (folder / "main.tf").write_text('provider "aws" {}\n' + "".join(calls))


def _of_module(plan: Document, module: str) -> Document:
    """Return the part of a plan that is of one module, as if it were planned alone."""
    root, planned = plan["configuration"]["root_module"], plan["planned_values"]
    (values,) = (
        one
        for one in planned["root_module"]["child_modules"]
        if one["address"] == f"module.{module}"
    )
    # without a value where one of them is not known before AWS answers, which none may be
    printed = planned["outputs"][module].get("value", {})
    return {
        "planned_values": {
            "root_module": values,
            "outputs": {name: {"value": value} for name, value in printed.items()},
        },
        "configuration": {
            "root_module": root["module_calls"][module]["module"],
            "provider_config": pins.PROVIDER,
        },
    }


def _sampled(mutations: list[Any], sample: int | None, seed: int) -> list[Any]:
    if sample is None:
        return mutations
    return random.Random(seed).sample(mutations, sample)


def unexplained(survivors: list[str]) -> list[str]:
    """Return the survivors that have no reason in survivors.toml."""
    return [name for name in survivors if not any(fnmatchcase(name, one) for one in _patterns())]


def _patterns() -> list[str]:
    # a bracket is a bracket
    return [one.replace("[", "[[]") for one in explained()]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Try all mutations and say how many were noticed."""
    status = 0
    for tool, survivors in (
        ("CloudFormation", survivors_of_cloudformation),
        ("Terraform", survivors_of_terraform),
    ):
        tried, survived = survivors()
        caught = 1 - len(survived) / tried
        _say(f"{tool}: {tried - len(survived)} of {tried} mutations caught, {caught:.1%}")
        for name in unexplained(survived):
            _say(f"  survives without a reason in {SURVIVORS.name}: {name}")
            status = 1
        if caught < LEAST_CAUGHT:
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())

"""The files of the deployment targets, parsed; nothing here imports the package."""

import ast
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from tests.deployment import ecs

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"

DOCKERFILE = DEPLOY / "docker/Dockerfile"
COMPOSE = DEPLOY / "docker/compose.yaml"
UNIT = DEPLOY / "vm/stripe-analytics-backend.service"
NGINX = DEPLOY / "vm/nginx.conf"

Instruction = tuple[str, str]


def app_json() -> dict[str, Any]:
    return loaded_json(ROOT / "app.json")


def render() -> dict[str, Any]:
    return loaded_yaml(ROOT / "render.yaml")


def compose() -> dict[str, Any]:
    return loaded_yaml(COMPOSE)


def fly() -> dict[str, Any]:
    return tomllib.loads((DEPLOY / "fly/fly.toml").read_text())


def express_service() -> dict[str, Any]:
    return loaded_json(DEPLOY / "ecs/express-service.json")


def loaded_json(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def loaded_yaml(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def procfile() -> dict[str, str]:
    """Process type to command."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines)


def unit() -> dict[str, list[str]]:
    """Directive to its values: systemd has no section that repeats a name of another here."""
    directives: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            directives.setdefault(name, []).append(value)
    return directives


def nginx_values(directive: str) -> list[str]:
    """What a directive of the nginx site is set to, in order."""
    return re.findall(rf"^ *{directive} +(.+);", NGINX.read_text(), re.MULTILINE)


def stages() -> list[list[Instruction]]:
    """The Dockerfile's stages, each from its FROM on, with the ARG before them filled in."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    found: list[list[Instruction]] = []
    arguments: dict[str, str] = {}
    for line in filter(None, lines):
        word, rest = line.split(None, 1)
        if word == "FROM":
            found.append([])
        if found:
            for name, value in arguments.items():
                rest = rest.replace(f"${{{name}}}", value)
            found[-1].append((word, rest))
        else:
            assert word == "ARG", line
            name, value = rest.split("=", 1)
            arguments[name] = value
    return found


def instruction(word: str) -> str:
    """The last one of its kind in the image's own stage."""
    return [rest for name, rest in stages()[-1] if name == word][-1]


def healthcheck() -> tuple[dict[str, str], list[str]]:
    """The options of the image's HEALTHCHECK and its command."""
    options, command = instruction("HEALTHCHECK").split(" CMD ", 1)
    return dict(re.findall(r"--([\w-]+)=(\S+)", options)), json.loads(command)


def gunicorn_constant(name: str) -> int:
    """A plain number of gunicorn.conf.py."""
    for node in ast.parse((ROOT / "gunicorn.conf.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            value: int = ast.literal_eval(node.value)
            return value
    raise KeyError(name)


def settings_variables() -> set[str]:
    """The environment variables that the service and the archive's tools read."""
    files = (ROOT / "webhook_app/settings.py", ROOT / "archive_tools/settings.py")
    code = "".join(file.read_text() for file in files)
    return set(re.findall(r'"((?:[A-Z]+_)+[A-Z]+|PORT)"', code))


def variables() -> dict[str, dict[str, str | None]]:
    """Target to the variables it sets; None where the operator gives the value."""
    (web,) = render()["services"]
    container = ecs.main_container()
    image = [rest for word, rest in stages()[-1] if word == "ENV"]
    return {
        "app.json": {name: entry.get("value") for name, entry in app_json()["env"].items()},
        "render.yaml": {entry["key"]: entry.get("value") for entry in web["envVars"]},
        "compose.yaml": {
            name: None if str(value).startswith("${") else value
            for name, value in compose()["services"]["webhook"]["environment"].items()
        },
        "fly.toml": dict(fly()["env"]),
        "ecs": {
            **{entry["name"]: entry["value"] for entry in container["environment"]},
            **{entry["name"]: None for entry in container["secrets"]},
        },
        "systemd": dict(shlex.split(line)[0].split("=", 1) for line in unit()["Environment"]),
        "Dockerfile": dict(shlex.split(line)[0].split("=", 1) for line in image),
    }

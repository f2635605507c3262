"""Is every target's file one that its platform takes? Held against schemas; each can go red."""

import base64
import copy
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.model import ListShape, Shape, StringShape, StructureShape
from botocore.validate import ParamValidator

from tests.deployment import ecs, targets
from tests.support.needs import needed

SCHEMAS = Path(__file__).parent / "schemas"

#: Heroku's own schema of app.json comes inside this package of theirs.
HEROKU = "@heroku/mcp-server@1.2.8"
HEROKU_SHA512 = (
    "4u74Laup1RRMrvyOdXFMH/rMlZUKOF0c8Ood2wGJremSOnNkTJO+P8EGFV3ZNoW+5xwmjPfW+PBMYiFoTciMcg=="
)
HEROKU_SCHEMA = "package/dist/utils/app-json.schema.json"

Document = dict[str, Any]
Mutation = Callable[[Document], object]


@pytest.fixture(scope="module")
def heroku_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needed("npm", shutil.which("npm"))
    folder = tmp_path_factory.mktemp("heroku")
    pack = ["npm", "pack", "--silent", HEROKU, "--pack-destination", str(folder)]
    subprocess.run(pack, check=True, capture_output=True)
    (archive,) = folder.glob("*.tgz")
    digest = hashlib.sha512(archive.read_bytes()).digest()
    assert base64.b64encode(digest).decode() == HEROKU_SHA512
    with tarfile.open(archive) as package:
        member = package.extractfile(HEROKU_SCHEMA)
        assert member
        (folder / "app.json").write_bytes(member.read())
    return folder / "app.json"


def complaints(schema: list[str], document: Document, folder: Path) -> str:
    """What the schema has against the document; empty if nothing."""
    (folder / "document.json").write_text(json.dumps(document))
    command = ["check-jsonschema", *schema, str(folder / "document.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode == 0) == ("ok -- validation done" in done.stdout), done.stderr
    return "" if done.returncode == 0 else done.stdout


def schema_of(target: str, request: pytest.FixtureRequest) -> list[str]:
    if target == "compose":
        return ["--builtin-schema", "vendor.compose-spec"]
    if target == "app_json":
        return ["--schemafile", str(request.getfixturevalue("heroku_schema"))]
    return ["--schemafile", str(SCHEMAS / f"{target}.json")]


DOCUMENTS: dict[str, Callable[[], Document]] = {
    "app_json": targets.app_json,
    "render": targets.render,
    "compose": targets.compose,
    "fly": targets.fly,
}


@pytest.mark.parametrize("target", DOCUMENTS)
def test_a_target_follows_its_schema(
    target: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert complaints(schema_of(target, request), DOCUMENTS[target](), tmp_path) == ""


def renamed(old: str, new: str) -> Mutation:
    return lambda document: document.update({new: document.pop(old)})


MUTATIONS: list[tuple[str, Mutation]] = [
    ("app_json", renamed("keywords", "keyword")),
    ("app_json", lambda d: d["formation"]["web"].update(quantity="1")),
    ("app_json", lambda d: d["formation"]["web"].update(size="tiny")),
    ("app_json", lambda d: d["env"]["AWS_REGION"].update(default="us-east-1")),
    ("app_json", lambda d: d["env"]["WEB_WORKERS"].update(value=4)),
    ("render", renamed("services", "service")),
    ("render", lambda d: renamed("healthCheckPath", "healthcheckPath")(d["services"][0])),
    ("render", lambda d: d["services"][0].update(maxShutdownDelaySeconds="30")),
    ("render", lambda d: d["services"][0].update(plan="free")),
    ("render", lambda d: d["services"][0]["envVars"][0].update(value=3.13)),
    ("render", lambda d: d["services"][0]["envVars"][1].update(sync="false")),
    ("compose", lambda d: renamed("read_only", "readonly")(d["services"]["webhook"])),
    ("compose", lambda d: d["services"]["webhook"].update(stop_grace_period=30)),
    ("fly", renamed("kill_timeout", "kill_time_out")),
    ("fly", lambda d: d["http_service"].update(auto_stop_machines=False)),
    ("fly", lambda d: d["http_service"]["checks"][0].update(timeout=5)),
]


@pytest.mark.parametrize(("target", "mutation"), MUTATIONS)
def test_a_misspelt_key_or_a_wrong_type_is_found(
    target: str, mutation: Mutation, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    document = copy.deepcopy(DOCUMENTS[target]())
    mutation(document)
    assert complaints(schema_of(target, request), document, tmp_path)


def unknown_choices(value: Any, shape: Shape, path: str) -> list[str]:
    """Where a value is none of its enumeration: botocore's validator does not look."""
    if isinstance(shape, StructureShape):
        members = shape.members
        parts = [(value[name], members[name], f"{path}.{name}") for name in value]
    elif isinstance(shape, ListShape):
        parts = [(item, shape.member, f"{path}[]") for item in value]
    else:
        choices = shape.enum if isinstance(shape, StringShape) else []
        return [f"{path}: {value}"] if choices and value not in choices else []
    return [found for part in parts for found in unknown_choices(*part)]


def refused_by_ecs(operation: str, document: Document) -> list[str]:
    """What AWS's own model of the operation has against the document."""
    ecs = botocore.session.get_session().get_service_model("ecs")
    shape = ecs.operation_model(operation).input_shape
    assert shape
    report = ParamValidator().validate(document, shape)
    return (
        [report.generate_report()]
        if report.has_errors()
        else unknown_choices(document, shape, operation)
    )


def express_service() -> Document:
    """The file with what the guide's command adds."""
    roles = {"infrastructureRoleArn": "arn:role", "taskDefinitionArn": "arn:task"}
    return targets.express_service() | roles


def service_task() -> Document:
    return ecs.Stack(**ecs.GIVEN).task("ServiceTask")


def reconcile_task() -> Document:
    return ecs.Stack(**ecs.GIVEN).task("ReconcileTask")


ECS: dict[str, tuple[str, Callable[[], Document]]] = {
    "task": ("RegisterTaskDefinition", service_task),
    "reconcile": ("RegisterTaskDefinition", reconcile_task),
    "express": ("CreateExpressGatewayService", express_service),
}


@pytest.mark.parametrize("name", ECS)
def test_ecs_would_take_the_file(name: str) -> None:
    operation, document = ECS[name]
    assert refused_by_ecs(operation, document()) == []


@pytest.mark.parametrize(
    ("name", "mutation"),
    [
        ("task", renamed("taskRoleArn", "taskRole")),
        ("task", lambda d: d.update(memory=512)),
        ("task", lambda d: d.update(requiresCompatibilities=["FARGAET"])),
        ("task", lambda d: d["containerDefinitions"][0].update(readonlyRootFilesystem="true")),
        ("task", lambda d: d["containerDefinitions"][0]["secrets"][0].pop("valueFrom")),
        ("express", renamed("healthCheckPath", "healthcheckPath")),
        ("express", lambda d: d["scalingTarget"].update(autoScalingMetric="CPUUtilization")),
    ],
)
def test_a_mistake_in_a_file_for_ecs_is_found(name: str, mutation: Mutation) -> None:
    operation, load = ECS[name]
    document = load()
    mutation(document)
    assert refused_by_ecs(operation, document)


def test_the_task_is_what_fargate_and_express_mode_take() -> None:
    task = service_task()
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
    assert (task["cpu"], task["memory"]) in {("256", size) for size in ("512", "1024", "2048")}
    assert (task["requiresCompatibilities"], task["networkMode"]) == (["FARGATE"], "awsvpc")
    container = ecs.main_container()
    assert "sharedMemorySize" not in container["linuxParameters"]
    assert container["stopTimeout"] <= 120
    # Express Mode takes a container of the name Main with one named port, and others beside it
    (port,) = container["portMappings"]
    assert port["name"]
    assert [each.get("portMappings") for each in ecs.containers("ServiceTask")] == [[port], None]


def test_hadolint_has_nothing_against_the_dockerfile(tmp_path: Path) -> None:
    assert lint(targets.DOCKERFILE) == ""
    sloppy = tmp_path / "Dockerfile"
    sloppy.write_text(targets.DOCKERFILE.read_text().replace("USER 10001:10001", "USER root"))
    assert "DL3002" in lint(sloppy)


def lint(dockerfile: Path) -> str:
    command = ["hadolint", "--no-color", "--failure-threshold", "style", str(dockerfile)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode == 0) == (done.stdout == "")
    return done.stdout + done.stderr


def verified(folder: Path, text: str) -> str:
    """What systemd has against the unit, with an executable where it looks for one."""
    program = folder / "opt/.venv/bin/gunicorn"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = folder / targets.UNIT.name
    unit.write_text(text.replace("/opt/stripe-analytics-backend", str(folder / "opt")))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    return "\n".join(line for line in lines if targets.UNIT.name in line)


def test_systemd_takes_the_unit_and_finds_it_closed(tmp_path: Path) -> None:
    needed("systemd-analyze", shutil.which("systemd-analyze"))
    text = targets.UNIT.read_text()
    assert verified(tmp_path, text) == ""
    assert "Unknown key" in verified(tmp_path, text.replace("ProtectHome", "ProtectHomes"))
    assert "Failed to parse" in verified(tmp_path, text.replace("StopSec=30", "StopSec=soon"))

    # 0 is a closed door, 10 none; a plain unit has 9.6
    strict = ["systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager"]
    environment = os.environ | {"SYSTEMD_COLORS": "0"}
    done = subprocess.run(
        [*strict, str(targets.UNIT)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stdout[-300:]

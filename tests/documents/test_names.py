"""No document names a file, a variable, a command or a metric that does not exist."""

import re
import shlex
from pathlib import Path

import boto3
import botocore.exceptions
import pytest
from botocore import xform_name

from tests.infrastructure import expected
from tests.infrastructure.expected import FIREHOSE_METRICS
from tests.infrastructure.normal import of_type
from tests.support.service import PROJECT
from webhook_app import create_app
from webhook_app.cli import commands as commands_of_flask
from webhook_app.settings import Settings

DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]

#: Written at run time or by tools, or not ours.
MADE_BY_USE = {
    "webhooks/",
    ".venv/analysts",
    ".demo/report.html",
    ".demo/year",
    "errors/",
    "athena-results/",
    "erasures/",
    "manifests/",
    "parquet/",
    "snapshots/",
    ".terraform.lock.hcl",
    "backend.tf",
    "import.yaml",
    "stripe-backfill.txt",
    "stripe-replay.jsonl",
    "stripe-snapshot.txt",
    "terraform.tfvars",
    "resolv.conf",
}

#: Variables that others read: AWS's tools, platforms, and what a reader puts in.
OTHERS_VARIABLES = {
    "ANALYTICS_FILE",
    "DBT_FILE",
    "DBT_STAGING",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL_FIREHOSE",
    "AWS_ENDPOINT_URL_STS",
    "FLASK_SKIP_DOTENV",
    "GUNICORN_CMD_ARGS",
    "HTTPS_PROXY",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_SERVICE_NAME",
    "PYTHON_DOTENV_DISABLED",
    "PYSPARK_PYTHON",
    "PYTHON_VERSION",
    "REQUESTS_CA_BUNDLE",
    "REQUIRE_ALL",
    "WEB_CONCURRENCY",
}

#: Commands of the AWS CLI that are no operation of an API, with the options they are used with.
AWS_CUSTOM = {
    ("cloudformation", "deploy"): {
        "--stack-name",
        "--template-file",
        "--parameter-overrides",
        "--capabilities",
        "--no-execute-changeset",
    },
    ("logs", "tail"): {"--since"},
    ("s3", "cp"): set[str](),
    ("s3", "ls"): {"--recursive"},
    ("s3", "sync"): set[str](),
}
AWS_GLOBAL = {"--cli-input-json", "--output", "--profile", "--query", "--region"}


@pytest.fixture(params=DOCUMENTS, ids=lambda path: path.name)
def document(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def headings(path: Path) -> set[str]:
    """The anchors of a document, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading))
        .lower()
        .replace(" ", "-")
        for heading in found
    }


def commands(path: Path) -> list[str]:
    """The lines of all shell blocks, also of those within a list."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", path.read_text(), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def inline(path: Path) -> list[str]:
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), target
        assert not anchor or anchor in headings(path), target


def test_every_file_is_there(document: Path) -> None:
    pattern = r"\.?(?:[\w.-]+/)+[\w.*-]*|[\w.-]+\.(?:py|txt|sql|md|yaml|yml|toml|json|tf|hcl|conf)"
    named = [name for name in inline(document) if re.fullmatch(pattern, name)]
    for name in set(named) - MADE_BY_USE:
        folders = ("", "webhook_app", "archive_tools", "deploy/athena", "tests")
        places = [PROJECT / folder for folder in folders]
        assert any(list(place.glob(name)) for place in places), name


def test_every_variable_is_read_by_somebody(document: Path) -> None:
    files = (PROJECT / "webhook_app/settings.py", PROJECT / "archive_tools/settings.py")
    code = "".join(file.read_text() for file in files)
    ours = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+|PORT)"', code))
    ours |= {"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assigned = re.findall(r"\b([A-Z]+(?:_[A-Z0-9]+)+)=", document.read_text())
    named = [name for name in inline(document) if re.fullmatch(r"[A-Z]+(_[A-Z0-9]+)+", name)]
    unknown = {*assigned, *named} - ours - OTHERS_VARIABLES
    # a capability of CloudFormation, options of sockets and the tests' own look like them
    others = {"CAPABILITY_NAMED_IAM", "TCP_DEFER_ACCEPT", "TCP_INFO", "FUZZ_SEED"}
    assert unknown - others == set()


def test_every_make_target_is_there(document: Path) -> None:
    targets = set(re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    for text in [*commands(document), *inline(document)]:
        for target in re.findall(r"^make ([a-z]\w*)", text):
            assert target in targets, text


def test_every_flask_command_is_there(document: Path, settings: Settings) -> None:
    app = create_app(settings)
    commands_of_flask.register(app)
    known = {*app.cli.commands, "run"}
    for text in [*commands(document), *inline(document)]:
        for name in re.findall(r"\bflask ([a-z][\w-]*)", text):
            assert name in known, text


def test_every_aws_command_is_one(document: Path) -> None:
    for text in [*commands(document), *inline(document)]:
        if text.startswith("aws ") and "…" not in text:
            assert_aws(shlex.split(re.sub(r"\$\([^)]*\)", "x", text)))


def assert_aws(words: list[str]) -> None:
    """Check a command of the AWS CLI against the models of its services."""
    service, operation, *rest = words[1:]
    options = {word.split("=")[0] for word in rest if word.startswith("--")} - AWS_GLOBAL
    if (service, operation) in AWS_CUSTOM:
        assert options <= AWS_CUSTOM[service, operation], words
        return
    name = {"s3api": "s3"}.get(service, service)
    client = boto3.client(name, region_name="us-east-1")  # type: ignore[call-overload]
    if operation == "wait":
        assert rest[0].replace("-", "_") in client.waiter_names, words
        return
    method = operation.replace("-", "_")
    assert method in client.meta.method_to_api_mapping, words
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    members = model.input_shape.members if model.input_shape else {}
    known = {"--" + xform_name(member, "-") for member in members}
    known |= {"--no" + option[1:] for option in known}
    assert options <= known, words
    required = {"--" + xform_name(member, "-") for member in model.input_shape.required_members}
    # named alone it is a word of a sentence, and JSON can hold all the rest
    options |= {"--" + option.removeprefix("--no-") for option in options}
    assert required <= options or not rest or any("--cli-input-json" in word for word in rest), (
        words
    )


def test_an_aws_command_that_is_none_is_seen() -> None:
    for broken in (
        "aws firehose describe-stream --delivery-stream-name x",
        "aws firehose describe-delivery-stream --stream-name x",
        "aws firehose describe-delivery-stream --limit 1",
        "aws s3 ls --recursiv",
    ):
        with pytest.raises(AssertionError):
            assert_aws(shlex.split(broken))
    with pytest.raises(botocore.exceptions.UnknownServiceError):
        assert_aws(shlex.split("aws firehos describe-delivery-stream"))


def test_every_metric_and_alarm_is_there(document: Path) -> None:
    metrics = {
        name
        for name in inline(document)
        if re.fullmatch(r"(?:DeliveryToS3|PutRecord)\.\w+|Incoming\w+|Throttled\w+", name)
    }
    assert metrics <= FIREHOSE_METRICS
    # every option but its name
    options = expected.CHOICES["every option"] | {"StreamName": "stripe-webhook-stream"}
    made = expected.resources(options)
    resources = {name for _, name in made}
    named = [name for name in inline(document) if name.startswith("stripe-webhook-stream")]
    assert set(named) <= resources
    saved = [name for name in inline(document) if name in of_type(made, "AWS::Athena::NamedQuery")]
    assert "QUERYING" not in document.name or saved

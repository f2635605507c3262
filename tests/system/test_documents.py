"""The README, the example of a .env and the table's DDL, held against the service itself."""

import gzip
import json
import re
import shlex
from pathlib import Path

import pytest

from tests.support.service import procfile_command, running
from tests.support.stripe_client import SECRET, deliver
from tests.system.conftest import ROOT

README = (ROOT / "README.md").read_text()
CI = (ROOT / ".ci/run").read_text()

#: Commands of the README that .ci/run does not have as they stand, and what runs them instead.
ELSEWHERE = {
    "curl http://localhost:3001/health": ".ci/run, on another port",
    "make demo EVENTS=examples/events": ".ci/run, with another folder",
    "cd deploy/terraform && terraform init && terraform apply": "tests/documents/test_setup.py",
    "gunicorn --config gunicorn.conf.py wsgi:app": "every system test: the line of the Procfile",
    "flask archive reconcile --last 3 --repair": "tests/deployment/test_daily_job.py",
    "stripe listen --forward-to localhost:3001/webhook/stripe": "nothing: it needs an account",
}


# its options are held against the template in tests/documents/test_setup.py
DEPLOY = "aws cloudformation deploy"


def commands() -> list[str]:
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines()]


def test_every_command_of_the_readme_is_run_somewhere() -> None:
    found = [line for line in commands() if not line.startswith("export ")]
    assert len(found) >= 7
    for command in found:
        assert (
            command in ELSEWHERE
            or command.startswith(DEPLOY)
            or re.search(rf"^ *{re.escape(command)}\b", CI, re.MULTILINE)
        )
    assert set(ELSEWHERE) <= set(found)
    assert shlex.split("gunicorn --config gunicorn.conf.py wsgi:app") == procfile_command()


def test_the_environment_of_the_readme_starts_the_service(tmp_path: Path) -> None:
    exports = [line for line in commands() if line.startswith("export ")]
    words = [word for line in exports for word in shlex.split(line)[1:]]
    variables = dict(word.split("=", 1) for word in words)
    assert "FIREHOSE_DELIVERY_STREAM_NAME" in variables
    # the secret of the guide is a placeholder, which the service refuses
    variables |= {"STRIPE_WEBHOOK_SECRET": SECRET, "WEB_WORKERS": "2"}
    with running(variables, tmp_path / "log") as service:
        assert deliver(service.port, b"{}", "t=1,v1=0").status == 400


def test_the_table_of_variables_is_that_of_the_settings() -> None:
    section = README.split("## Configuration")[1].split("##")[0]
    documented = set(re.findall(r"`([A-Z][A-Z_]+)`", section)) - {"INFO", "AWS_ACCESS_KEY_ID"}
    files = (ROOT / "webhook_app/settings.py", ROOT / "archive_tools/settings.py")
    code = "".join(file.read_text() for file in files)
    read = set(re.findall(r'"((?:[A-Z]+_)+[A-Z]+|PORT)"', code))
    assert documented == read - {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def test_the_example_of_a_dotenv_cannot_be_used_as_it_is(tmp_path: Path) -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    refused = pytest.raises(RuntimeError, match="still the placeholder")
    with refused, running(settings, tmp_path / "log"):
        pass


def test_the_table_has_the_columns_of_a_record_in_their_order(tmp_path: Path) -> None:
    ddl = (ROOT / "deploy/athena/stripe_webhooks.sql").read_text()
    columns = re.findall(r"^  `(\w+)` (\w+) COMMENT", ddl, re.MULTILINE)
    variables = {"STRIPE_WEBHOOK_SECRET": SECRET, "ARCHIVE_DIR": str(tmp_path / "archive")}
    with running(variables | {"WEB_WORKERS": "2"}, tmp_path / "log") as service:
        body = b'{"id": "e", "type": "t", "object": "o", "api_version": "v", "account": "a", '
        body += b'"created": 5, "livemode": true}'
        assert deliver(service.port, body).status == 200
    (path,) = (tmp_path / "archive").rglob("*.json.gz")
    record = json.loads(gzip.decompress(path.read_bytes()))
    kinds = {str: "string", int: "bigint", bool: "boolean"}
    assert columns == [(name, kinds[type(value)]) for name, value in record.items()]
    # the layout that the partitions are projected from
    template = "webhooks/year=${year}/month=${month}/day=${day}/"
    assert template in ddl
    pattern = re.sub(r"\$\{\w+\}", r"\\d+", template)
    assert re.match(pattern, str(path.relative_to(tmp_path / "archive")))

"""What is loaded for what: each process pays for it in time and memory."""

import subprocess
import sys

import pytest

from tests.support.service import PROJECT


def modules_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, check=True, capture_output=True, text=True
    )
    return set(ran.stdout.split())


@pytest.mark.parametrize("module", ["record", "signature"])
def test_an_event_needs_neither_flask_nor_aws(module: str) -> None:
    """Each process of `flask archive verify` loads these two."""
    loaded = modules_after(f"import webhook_app.events.{module}")
    assert loaded & {"flask", "werkzeug", "boto3", "botocore", "gunicorn"} == set()


def test_a_local_archive_needs_no_boto3() -> None:
    loaded = modules_after("import webhook_app.storage.local")
    assert loaded & {"flask", "boto3", "botocore"} == set()

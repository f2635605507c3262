"""A checkout with a `.env`, as `make run` leaves it, and an environment that says something else.

gunicorn, `flask` and `make run` have to understand both in the same way.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import free_port, procfile_command, wait_for_port
from tests.support.stripe_client import SECRET, get
from tests.system.conftest import ROOT

DOTENV = f"STRIPE_WEBHOOK_SECRET={SECRET}\nARCHIVE_DIR=archive\nLOG_FORMAT=text\nWEB_WORKERS=2\n"
STREAM = {
    "FIREHOSE_DELIVERY_STREAM_NAME": "events",
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    # nobody listens there, so that nothing leaves this machine
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
}
FIREHOSE = "the Firehose stream events in eu-west-1"
MAKE_RUN = ["make", "--no-print-directory", "-o", ".venv/bin/.run", "-o", ".env", "run"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("webhook_app", "archive_tools", "examples"):
        (folder / name).symlink_to(ROOT / name)
    # copied, for `.env` is looked for beside the package
    (folder / "webhook_app").unlink()
    shutil.copytree(ROOT / "webhook_app", folder / "webhook_app")
    for name in ("wsgi.py", "gunicorn.conf.py", "Procfile", ".flaskenv", "Makefile"):
        shutil.copy(ROOT / name, folder)
    (folder / "requirements.txt").touch()
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / ".env").write_text(DOTENV)
    return folder


def environment(variables: dict[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **variables}


@contextlib.contextmanager
def started(command: list[str], checkout: Path, port: int, **variables: str) -> Iterator[Path]:
    """Run a command until the block ends; yield the file that it prints to."""
    log = checkout / "printed"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=checkout,
            env=environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        try:
            wait_for_port(port, lambda: process.poll() is not None)
        except TimeoutError:
            raise RuntimeError(log.read_text()) from None
        yield log
    finally:
        # the whole session: `flask run` and make have children
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        # gunicorn kills a worker that does not end in 20 s
        process.wait(timeout=30)


def ended(command: list[str], checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=checkout,
        env=environment(variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_gunicorn_takes_the_stream_of_the_environment_and_says_so(checkout: Path) -> None:
    port = free_port()
    variables = STREAM | {"PORT": str(port), "BIND_HOST": "127.0.0.1"}
    with started(procfile_command(), checkout, port, **variables) as log:
        assert get(port, "/health").status == 200
    assert f"archive={FIREHOSE}  archive_from=the environment" in log.read_text()
    # the hints would send made-up events to a real stream
    assert "send-event" not in log.read_text()


def test_the_doctor_takes_it_too(checkout: Path) -> None:
    told = ended(["flask", "doctor"], checkout, **STREAM)
    line = f"ok     configuration  complete; the archive is {FIREHOSE} (from the environment)"
    assert told.stdout.startswith(line)
    assert "Traceback" not in told.stderr


def test_flask_run_takes_it_too_and_its_reloader(checkout: Path) -> None:
    port = free_port()
    with started(["flask", "run"], checkout, port, **STREAM, PORT=str(port)) as log:
        assert get(port, "/health").status == 200
    assert "cannot start" not in log.read_text()


def test_without_it_all_take_the_folder_of_dotenv(checkout: Path) -> None:
    port = free_port()
    variables = {"PORT": str(port), "BIND_HOST": "127.0.0.1"}
    with started(procfile_command(), checkout, port, **variables) as log:
        sent = ended(
            ["flask", "send-event", str(ROOT / "examples/events/invoice.paid.json")],
            checkout,
            PORT=str(port),
        )
        assert sent.stdout.startswith("200 "), sent.stderr
    assert "archive=the local folder archive  archive_from=.env" in log.read_text()
    told = ended(["flask", "doctor"], checkout)
    assert "complete; the archive is the local folder archive (from .env)" in told.stdout


FLASK_VERIFY = ["flask", "archive", "verify"]


def test_a_bucket_that_is_exported_is_the_archive_and_not_the_folder_of_dotenv(
    checkout: Path,
) -> None:
    """An auditor's, who would otherwise prove the archive that `make run` has made."""
    (checkout / "archive/webhooks").mkdir(parents=True)
    exported = {"ARCHIVE_BUCKET": "audited"} | STREAM
    del exported["FIREHOSE_DELIVERY_STREAM_NAME"]
    told = ended(FLASK_VERIFY, checkout, **exported, AWS_MAX_ATTEMPTS="1")
    archive, _, error = told.stderr.partition("\n")
    assert archive == "Archive: s3://audited (ARCHIVE_BUCKET from the environment)"
    assert error.startswith("Error: s3://audited cannot be listed: ")
    assert (told.returncode, told.stdout) == (2, "")


def test_the_stream_of_dotenv_does_not_fill_a_bucket_that_is_exported(checkout: Path) -> None:
    (checkout / ".env").write_text(
        "FIREHOSE_DELIVERY_STREAM_NAME=events\nAWS_REGION=eu-west-1\nARCHIVE_BUCKET=filled\n"
    )
    told = ended(
        ["flask", "archive", "reconcile", "--repair"],
        checkout,
        ARCHIVE_BUCKET="other",
        STRIPE_API_KEY="rk_test_x",
    )
    assert "The stream that fills s3://other is not named" in told.stderr


def test_a_relative_folder_of_dotenv_is_the_checkouts_from_everywhere(
    checkout: Path, tmp_path: Path
) -> None:
    script = [sys.executable, "-c", "from archive_tools.cli import archive; archive()", "verify"]
    for folder in (checkout / "archive", tmp_path / "elsewhere/archive"):
        (folder / "webhooks").mkdir(parents=True)

    def archive(**variables: str) -> str:
        variables["PYTHONPATH"] = str(checkout)
        return ended(script, tmp_path / "elsewhere", **variables).stderr.partition("\n")[0]

    assert archive() == f"Archive: {checkout}/archive (ARCHIVE_DIR from .env)"
    exported = archive(ARCHIVE_DIR="archive")
    assert exported == f"Archive: {tmp_path}/elsewhere/archive (ARCHIVE_DIR from the environment)"
    told, _, _ = ended(FLASK_VERIFY, checkout).stderr.partition("\n")
    assert told == f"Archive: {checkout}/archive (ARCHIVE_DIR from .env)"


def test_a_problem_of_dotenv_is_named_as_one_in_every_command(checkout: Path) -> None:
    (checkout / ".env").write_text(DOTENV + "MAX_BODY_BYTES=much\n")
    problem = "MAX_BODY_BYTES (from .env) is out of range"
    for command in (procfile_command(), ["flask", "routes"], MAKE_RUN):
        told = ended(command, checkout)
        assert problem in told.stderr, command
        assert told.returncode != 0
        # nothing claims success before
        assert "ready" not in told.stdout
        assert "localhost" not in told.stdout
    assert f"FAULT  configuration  {problem}" in ended(["flask", "doctor"], checkout).stdout


@pytest.mark.parametrize("where", ["exported", "argument", "dotenv"])
def test_make_run_is_ready_on_its_port_and_on_this_machine_alone(
    checkout: Path, where: str
) -> None:
    port = free_port()
    command, variables = [*MAKE_RUN], {}
    if where == "exported":
        variables["PORT"] = str(port)
    elif where == "argument":
        command.append(f"PORT={port}")
    else:
        (checkout / ".env").write_text(DOTENV + f"PORT={port}\nARCHIVE_DIR=elsewhere\n")
    with started(command, checkout, port, **variables) as log:
        get(port, "/health")
    told = log.read_text()
    assert f"url=http://127.0.0.1:{port}" in told
    assert f"The service is ready on http://localhost:{port}; Ctrl-C stops it." in told
    assert f"PORT={port} .venv/bin/flask send-event examples/events/invoice.paid.json" in told
    assert f"stripe listen --forward-to localhost:{port}/webhook/stripe" in told
    folder = "elsewhere" if where == "dotenv" else "archive"
    assert f"Events go to the folder '{folder}'." in told


def test_make_run_on_a_port_in_use_ends_with_one_message(checkout: Path) -> None:
    port = free_port()
    variables = {"PORT": str(port), "BIND_HOST": "127.0.0.1"}
    with started(procfile_command(), checkout, port, **variables):
        told = ended(MAKE_RUN, checkout, PORT=str(port))
    assert (
        f"Port {port} is in use on 127.0.0.1.\n      Fix: choose another, as in PORT="
        in told.stderr
    )
    assert "ready" not in told.stdout
    assert "Traceback" not in told.stderr

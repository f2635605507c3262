"""How the service starts, how it refuses to, and how it stops."""

import http.client
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.service import (
    PROJECT,
    environment,
    free_port,
    procfile_command,
    running,
    wait_for_port,
)
from tests.support.stripe_client import SECRET, deliver, get, head, signature
from tests.system.conftest import ROOT, payloads

LOCAL = {"STRIPE_WEBHOOK_SECRET": "whsec_first", "ARCHIVE_DIR": "archive"}
FLASK_RUN = ["flask", "run", "--no-reload"]


@pytest.mark.parametrize("command", [procfile_command(), FLASK_RUN], ids=["gunicorn", "flask"])
def test_a_bad_environment_is_told_once_and_ends_the_boot(command: list[str]) -> None:
    variables = {
        "STRIPE_WEBHOOK_SECRET": "sk_live_secret",
        "FIREHOSE_DELIVERY_STREAM_NAME": "events",
        "ARCHIVE_DIR": "archive",
        "MAX_BODY_BYTES": "much",
    }
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(free_port(), variables),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode != 0
    told = ended.stdout + ended.stderr
    assert told.count("The service cannot start: 4 problems") == 1
    for name in ("STRIPE_WEBHOOK_SECRET", "ARCHIVE_DIR", "MAX_BODY_BYTES", "AWS_REGION"):
        assert name in told
    assert told.count("Fix:") == 4
    assert "sk_live_secret" not in told
    assert "Traceback" not in told


def workers_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize(
    ("variables", "workers", "kind"),
    [
        ({"WEB_WORKERS": "3"}, 3, "sync_worker.PatientSyncWorker"),
        ({"WEB_WORKERS": "2", "WEB_THREADS": "4"}, 2, "gunicorn_workers.JsonThreadWorker"),
        ({"WEB_CONCURRENCY": "1"}, None, "sync_worker.PatientSyncWorker"),
    ],
)
def test_the_workers_are_those_that_were_asked_for(
    variables: dict[str, str], workers: int | None, kind: str, tmp_path: Path
) -> None:
    archive = {"ARCHIVE_DIR": str(tmp_path / "archive")}
    with running(LOCAL | archive | variables, tmp_path / "log") as service:
        assert get(service.port, "/health").status == 200
        deadline = time.monotonic() + 10
        while len(workers_of(service.process.pid)) < (workers or 2):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        count = len(workers_of(service.process.pid))
        # without a number of ours it is the memory that decides, not Heroku's two
        assert count == workers if workers else 2 <= count <= 64
    assert f"webhook_app.{kind}" in service.log.read_text()


def test_no_control_socket_is_left_open(tmp_path: Path) -> None:
    variables = LOCAL | {"ARCHIVE_DIR": str(tmp_path / "archive"), "WEB_WORKERS": "2"}
    with running(variables, tmp_path / "log") as service:
        get(service.port, "/health")
        sockets = Path(f"/proc/{service.process.pid}/net/unix").read_text()
        assert "gunicorn" not in sockets


@pytest.mark.parametrize("form", ["json", "text"])
def test_the_log_goes_to_a_file_too(form: str, tmp_path: Path) -> None:
    file = tmp_path / "logs/app.log"
    variables = LOCAL | {
        "ARCHIVE_DIR": str(tmp_path / "archive"),
        "LOG_FILE": str(file),
        "LOG_FORMAT": form,
        "WEB_WORKERS": "2",
    }
    with running(variables, tmp_path / "log") as service:
        deliver(service.port, b'{"id": "evt_1"}')
    # two workers that write at once come in any order, in each by its own
    assert sorted(file.read_text().splitlines()) == sorted(service.log.read_text().splitlines())
    assert file.read_text().count("Webhook archived") == 1
    assert file.read_text().count("evt_1") == 1


def test_flask_run_serves_for_development(tmp_path: Path) -> None:
    port = free_port()
    variables = LOCAL | {
        "ARCHIVE_DIR": str(tmp_path / "archive"),
        "FLASK_RUN_PORT": str(port),
    }
    output = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        FLASK_RUN, cwd=ROOT, env=environment(port, variables), stdout=output, stderr=output
    )
    try:
        wait_for_port(port)
        assert get(port, "/health").json["status"] == "ok"
        body = b'{"id": "evt_1"}'
        assert deliver(port, body).status == 200
        # in debug mode too, no request gets a page
        assert deliver(port, body, signature(b"other")).content_type == "application/json"
        assert get(port, "/nowhere").content_type == "application/json"
    finally:
        process.terminate()
        process.wait(timeout=20)
        output.close()


def test_flask_run_is_told_to_serve_on_3001_with_reload() -> None:
    flaskenv = (PROJECT / ".flaskenv").read_text().splitlines()
    assert {"FLASK_APP=wsgi", "FLASK_DEBUG=1", "FLASK_RUN_PORT=3001"} <= set(flaskenv)


def test_a_request_in_flight_is_finished_when_the_service_is_stopped(tmp_path: Path) -> None:
    """Half a request is sent, then SIGTERM, then the rest."""
    folder = tmp_path / "archive"
    variables = LOCAL | {"ARCHIVE_DIR": str(folder), "WEB_WORKERS": "2"}
    body = b'{"id": "evt_last"}'
    with running(variables, tmp_path / "log") as service:
        connection = socket.create_connection(("127.0.0.1", service.port), timeout=20)
        request = head(f"Stripe-Signature: {signature(body)}", f"Content-Length: {len(body)}")
        connection.sendall(request + body[:5])
        time.sleep(0.3)
        service.process.terminate()
        time.sleep(0.3)
        connection.sendall(body[5:])
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 200
        connection.close()
        assert service.process.wait(timeout=20) == 0
    assert payloads(folder) == [body]


def test_gunicorns_own_options_hold_for_every_request(tmp_path: Path) -> None:
    """The short way through HTTP steps aside where gunicorn was told to do more than answer."""
    variables = {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "ARCHIVE_DIR": str(tmp_path / "archive"),
        "WEB_WORKERS": "1",
        "GUNICORN_CMD_ARGS": f"--access-logfile {tmp_path}/access --max-requests 2",
    }
    with running(variables, tmp_path / "log") as service:
        for number in range(5):
            assert deliver(service.port, b"[%d]" % number).status == 200
    assert (tmp_path / "access").read_text().count("POST /webhook/stripe") == 5
    assert service.log.read_text().count("Autorestarting worker") >= 2


def test_a_worker_can_be_told_to_end_after_so_many_requests(tmp_path: Path) -> None:
    variables = {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "ARCHIVE_DIR": str(tmp_path / "archive"),
        "WEB_WORKERS": "1",
        "GUNICORN_CMD_ARGS": "--max-requests 2",
    }
    with running(variables, tmp_path / "log") as service:
        for number in range(5):
            assert deliver(service.port, b"[%d]" % number).status == 200
    assert service.log.read_text().count("Autorestarting worker") >= 2

"""How the service starts, how it refuses to, and how it stops."""

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.needs import needed
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
    ("variables", "workers", "threads"),
    [
        ({"WEB_WORKERS": "3"}, 3, 1),
        ({"WEB_WORKERS": "2", "WEB_THREADS": "4"}, 2, 4),
        ({"WEB_CONCURRENCY": "1"}, None, 1),
        # as Render sets it; --bind is given by `running` in the same way
        ({"WEB_WORKERS": "2", "GUNICORN_CMD_ARGS": "--preload --access-logfile -"}, 2, 1),
    ],
)
def test_the_workers_are_those_that_were_asked_for(
    variables: dict[str, str], workers: int | None, threads: int, tmp_path: Path
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
    (line,) = [line for line in service.log.read_text().splitlines() if '"Ready"' in line]
    ready = json.loads(line)
    assert ready["url"] == f"http://127.0.0.1:{service.port}"
    assert ready["archive"] == f"the local folder {tmp_path / 'archive'}"
    assert ready["archive_from"] == "the environment"
    assert ready["workers"] == workers or not workers
    assert ready["threads"] == threads


def refused(variables: dict[str, str], *words: str, wrapper: Sequence[str] = ()) -> str:
    """The message with which the boot ends."""
    ended = subprocess.run(
        [*wrapper, *procfile_command(), *words],
        cwd=ROOT,
        env=environment(free_port(), variables),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    assert ended.stderr.count("cannot start") == 1, ended.stderr
    return ended.stderr


@pytest.mark.parametrize(
    ("words", "problem", "fix"),
    [
        ("-k gthread", "worker_class is gthread", "remove -k"),
        ("--worker-class sync", "worker_class is sync", "remove -k"),
        ("-w 0", "workers is 0", "WEB_WORKERS"),
        ("--certfile cert.pem --keyfile key.pem", "certfile or keyfile is set", "end TLS in"),
        ("--proxy-protocol", "proxy_protocol is auto", "remove --proxy-protocol"),
    ],
)
@pytest.mark.parametrize("by_variable", [False, True], ids=["words", "variable"])
def test_what_the_worker_cannot_do_is_refused(
    words: str, problem: str, fix: str, by_variable: bool, tmp_path: Path
) -> None:
    variables = LOCAL | {"ARCHIVE_DIR": str(tmp_path / "archive")}
    if by_variable:
        told = refused(variables | {"GUNICORN_CMD_ARGS": words})
    else:
        told = refused(variables, *words.split())
    assert problem in told
    assert fix in told
    assert told.count("Fix: ") == 1


def test_all_of_it_is_named_at_once(tmp_path: Path) -> None:
    variables = LOCAL | {"ARCHIVE_DIR": str(tmp_path / "archive")}
    told = refused(variables, "-k", "gthread", "--proxy-protocol", "v1", "-w", "0")
    assert told.count("Fix: ") == 3


def test_a_port_in_use_ends_the_boot_with_the_fix(tmp_path: Path) -> None:
    variables = LOCAL | {"ARCHIVE_DIR": str(tmp_path / "archive")}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = refused(variables, "--bind", f"127.0.0.1:{port}")
    assert f"Port {port} is in use on 127.0.0.1." in told
    assert "Fix: choose another, as in PORT=" in told


def test_a_port_that_is_free_in_a_moment_is_waited_for(tmp_path: Path) -> None:
    """As after a restart: the server before has not let it go yet."""
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*procfile_command(), "--bind", f"127.0.0.1:{port}"],
            cwd=ROOT,
            env=environment(port, LOCAL | {"ARCHIVE_DIR": str(tmp_path / "archive")}),
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + 20
        while "Starting gunicorn" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        assert process.poll() is None
        taken.close()
        wait_for_port(port, lambda: process.poll() is not None)
        assert get(port, "/health").status == 200
    finally:
        taken.close()
        process.terminate()
        process.wait(timeout=20)


@pytest.mark.parametrize(
    ("host", "words"),
    [("203.0.113.1", "is not an address to listen on"), ("host.invalid", "is not an address")],
)
def test_an_address_of_another_machine_is_refused(host: str, words: str, tmp_path: Path) -> None:
    variables = LOCAL | {"ARCHIVE_DIR": str(tmp_path / "archive")}
    told = refused(variables, "--bind", f"{host}:{free_port()}")
    assert f"{host} {words}" in told
    assert "Fix: set BIND_HOST" in told


def test_the_service_listens_where_it_is_told_to(tmp_path: Path) -> None:
    port = free_port()
    variables = environment(port, LOCAL | {"ARCHIVE_DIR": str(tmp_path / "archive")})
    del variables["GUNICORN_CMD_ARGS"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            procfile_command(),
            cwd=ROOT,
            env=variables | {"BIND_HOST": "127.0.0.1"},
            stdout=output,
            stderr=output,
        )
    try:
        wait_for_port(port, lambda: process.poll() is not None)
        get(port, "/health")
    finally:
        process.terminate()
        process.wait(timeout=20)
    assert f'"url": "http://127.0.0.1:{port}"' in log.read_text()


def test_a_socket_that_is_inherited_is_not_tried(tmp_path: Path) -> None:
    """systemd's socket activation hands it over, bound."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        log = tmp_path / "log"
        variables = environment(port, LOCAL | {"ARCHIVE_DIR": str(tmp_path / "archive")})
        del variables["GUNICORN_CMD_ARGS"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*procfile_command(), "--bind", f"fd://{listener.fileno()}"],
                cwd=ROOT,
                env=variables,
                stdout=output,
                stderr=output,
                pass_fds=[listener.fileno()],
            )
        try:
            assert get(port, "/health").status == 200
        finally:
            process.terminate()
            process.wait(timeout=20)
    assert f'"url": "http://127.0.0.1:{port}"' in log.read_text()


@pytest.mark.parametrize("variable", ["ARCHIVE_DIR", "LOG_FILE"])
def test_a_folder_that_cannot_be_entered_is_one_message(variable: str, tmp_path: Path) -> None:
    # root may enter any folder, unless it gives that right up
    as_root = os.geteuid() == 0
    wrapper = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if as_root else []
    needed("setpriv", not wrapper or shutil.which("setpriv"))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    variables = LOCAL | {"ARCHIVE_DIR": str(tmp_path / "archive")}
    told = refused(variables | {variable: str(closed / "a/b")}, wrapper=wrapper)
    assert f"{variable} names a" in told
    assert "that this user may write to" in told


def test_a_serving_process_imports_neither_commands_nor_tools(tmp_path: Path) -> None:
    """The modules that gunicorn loads, in the master: its configuration, then the application."""
    code = (
        "import sys; from gunicorn.app.wsgiapp import WSGIApplication\n"
        "app = WSGIApplication(); app.chdir(); app.wsgi()\n"
        "from webhook_app.serving.prewarm import prewarm; prewarm(app.wsgi())\n"
        "names = ('webhook_app.cli', 'archive_tools', 'webhook_app.web')\n"
        "print([name for name in names if name in sys.modules])"
    )
    ended = subprocess.run(
        ["python", "-c", code, *procfile_command()[1:]],
        cwd=ROOT,
        env=environment(free_port(), LOCAL | {"ARCHIVE_DIR": str(tmp_path / "archive")}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # the last is there to show that the application is
    assert ended.stdout.splitlines()[-1] == "['webhook_app.web']", ended.stderr


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
    printed = service.log.read_text().splitlines()
    # beside the log there are only the hints for a developer
    logged = [line for line in printed if re.match(r"\{|\d\d:\d\d:\d\d ", line)]
    assert sorted(file.read_text().splitlines()) == sorted(logged)
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
    assert {"FLASK_APP=wsgi", "FLASK_DEBUG=1", "FLASK_RUN_PORT=${PORT:-3001}"} <= set(flaskenv)


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


def test_gunicorns_threads_keep_the_worker(tmp_path: Path) -> None:
    """gunicorn itself replaces a class that is named like its sync worker by its threaded one."""
    variables = LOCAL | {
        "ARCHIVE_DIR": str(tmp_path / "archive"),
        "WEB_WORKERS": "1",
        "GUNICORN_CMD_ARGS": "--threads 4",
    }
    with running(variables, tmp_path / "log") as service, ExitStack() as stack:
        for _ in range(8):
            idle = socket.create_connection(("127.0.0.1", service.port), timeout=20)
            stack.enter_context(idle)
            idle.sendall(b"POST /web")
        assert deliver(service.port, b"[1]").status == 200
        assert '"threads": 4' in service.log.read_text()


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

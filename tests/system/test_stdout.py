"""Standard output as it is found where services really run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.needs import needed
from tests.support.service import PROJECT, environment, free_port, procfile_command, wait_for_port
from tests.support.stripe_client import SECRET, deliver


def test_a_pipe_of_another_user_is_written_to(tmp_path: Path) -> None:
    """supervisord, runit and gosu open the pipe as root, and start the service as somebody else."""
    needed("setpriv", shutil.which("setpriv"))
    needed("root, to start a process as another user", os.geteuid() == 0)
    reading, writing = os.pipe()
    os.fchmod(writing, 0o600)
    folder, port = tmp_path / "archive", free_port()
    for place in (*tmp_path.parents, tmp_path):
        if place.stat().st_uid == os.geteuid() and "pytest" in str(place):
            place.chmod(0o755)
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    variables = {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "ARCHIVE_DIR": str(folder),
        "WEB_WORKERS": "2",
        "HOME": "/",
    }
    process = subprocess.Popen(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *procfile_command()],
        cwd=PROJECT,
        env=environment(port, variables),
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    try:
        wait_for_port(port, lambda: process.poll() is not None)
        # more than the pipe holds: what finds no room is dropped, and nothing waits
        for number in range(400):
            assert deliver(port, b'{"id": "evt_%d"}' % number).status == 200
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert b"Traceback" not in errors
    with os.fdopen(reading, "rb") as log:
        messages = [json.loads(line)["message"] for line in log]
    assert messages.count("Webhook archived") > 100


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_a_wrong_log_call_does_not_raise_into_its_caller(kind: str, tmp_path: Path) -> None:
    code = """
import logging
from pathlib import Path
from webhook_app.monitoring import logs
from webhook_app.settings import Settings

logs.configure(Settings(webhook_secrets=("x",), archive_dir=Path("x")))
logging.getLogger("a.library").warning("%d events", "many")
logging.getLogger("a.library").warning("and on")
"""
    with (tmp_path / "log").open("wb") as file:
        ran = subprocess.run(
            [sys.executable, "-c", code],
            cwd=PROJECT,
            stdout=file if kind == "file" else subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
        )
    text = ran.stdout or (tmp_path / "log").read_bytes()
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert json.loads(text.splitlines()[-1])["message"] == "and on"


def test_configuring_the_log_again_leaves_no_descriptor_open() -> None:
    code = """
import os
from pathlib import Path
from webhook_app.monitoring import logs
from webhook_app.settings import Settings

settings = Settings(webhook_secrets=("x",), archive_dir=Path("x"))
logs.configure(settings)
before = len(os.listdir("/proc/self/fd"))
for _ in range(5):
    logs.configure(settings)
print(len(os.listdir("/proc/self/fd")) - before)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        check=True,
    )
    assert ran.stdout.strip() == b"0"

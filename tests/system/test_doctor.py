"""`flask doctor` as a process of its own, in environments good and bad."""

import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.fakes.aws import FakeAws, Reply, firehose_error
from tests.support.service import environment, free_port
from tests.system.conftest import ROOT

FIREHOSE = {
    "STRIPE_WEBHOOK_SECRET": "whsec_hidden",
    "FIREHOSE_DELIVERY_STREAM_NAME": "events",
    "ARCHIVE_BUCKET": "my-webhooks",
    "AWS_REGION": "eu-west-1",
}
KEYS = {"AWS_ACCESS_KEY_ID": "hidden", "AWS_SECRET_ACCESS_KEY": "hidden"}


def flask(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        ["flask", *words],
        cwd=ROOT,
        # FLASK_SKIP_DOTENV: flask reads a developer's .env by itself
        env=environment(free_port(), {"FLASK_SKIP_DOTENV": "1", **variables}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "hidden" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def test_a_good_local_environment_is_all_fine(tmp_path: Path) -> None:
    ended = flask("doctor", STRIPE_WEBHOOK_SECRET="whsec_hidden", ARCHIVE_DIR=str(tmp_path))
    assert ended.returncode == 0
    assert ended.stdout.endswith("\nAll fine: 6 checks.\n")
    assert ended.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_that_the_service_refuses_is_told_as_faults() -> None:
    ended = flask(
        "doctor",
        STRIPE_WEBHOOK_SECRET="sk_live_hidden",
        FIREHOSE_DELIVERY_STREAM_NAME="events",
        ARCHIVE_DIR="archive",
        MAX_BODY_BYTES="much",
    )
    assert ended.returncode == 1
    assert ended.stdout.count("FAULT  configuration  ") == 4
    assert ended.stdout.count("Fix: ") == 4
    assert ended.stdout.endswith("\n4 faults to fix.\n")
    assert ended.stderr == ""


def test_its_help_needs_no_configuration() -> None:
    ended = flask("doctor", "--help")
    assert ended.returncode == 0
    assert "flask doctor || [ $? -eq 2 ]" in ended.stdout


def test_no_other_command_starts_without_a_configuration() -> None:
    for words in (["send-event", "-"], ["run", "--no-reload"], ["routes"]):
        ended = flask(*words)
        assert ended.returncode == 1
        assert "The service cannot start: 2 problems" in ended.stderr


def test_a_release_fails_where_deliveries_would_and_waits_for_no_aws() -> None:
    with FakeAws().serving() as fake:
        environ = {**FIREHOSE, **KEYS, **fake.variables()}
        # the application's own policy: it may not look into the bucket
        fake.s3 = Reply(403)
        ended = flask("doctor", **environ)
        assert ended.returncode == 0, ended.stdout
        assert "All fine: 10 checks." in ended.stdout
        # a stream or region that the policy does not name
        fake.firehose = firehose_error("AccessDeniedException")
        assert flask("doctor", **environ).returncode == 1
        fake.firehose = firehose_error("ResourceNotFoundException")
        assert flask("doctor", **environ).returncode == 1
        fake.firehose = Reply(503)
        ended = flask("doctor", **environ)
        assert ended.returncode == 2
        assert "No fault found; 1 of 9 checks could not be determined from here." in ended.stdout


def test_a_profile_that_is_not_there_is_a_fault_and_no_traceback(tmp_path: Path) -> None:
    """The service itself does not come up with one."""
    ended = flask("doctor", AWS_PROFILE="nowhere", HOME=str(tmp_path), **FIREHOSE)
    assert ended.returncode == 1
    assert (
        "FAULT  credentials    configured, but could not be loaded: ProfileNotFound" in ended.stdout
    )


class Silent(BaseHTTPRequestHandler):
    """A metadata service that never answers."""

    def do_GET(self) -> None:
        time.sleep(30)

    def log_message(self, *args: object) -> None:
        """Keep the tests' output to the tests."""


def test_it_ends_in_20_s_wherever_aws_hangs() -> None:
    metadata = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    metadata.daemon_threads = True
    # server_close would wait for the silent ones
    metadata.block_on_close = False
    thread = threading.Thread(target=metadata.serve_forever)
    thread.start()
    try:
        with FakeAws().serving() as fake:
            for reply in (fake.sts, fake.firehose, fake.s3):
                reply.after_s = 30
            started = time.monotonic()
            ended = flask("doctor", **FIREHOSE, **KEYS, **fake.variables())
            assert time.monotonic() - started < 20
            assert ended.returncode == 2
            uri = f"http://127.0.0.1:{metadata.server_port}/credentials"
            started = time.monotonic()
            ended = flask("doctor", AWS_CONTAINER_CREDENTIALS_FULL_URI=uri, **FIREHOSE)
            assert time.monotonic() - started < 20
            assert "FAULT  credentials" in ended.stdout
    finally:
        metadata.shutdown()
        thread.join()
        metadata.server_close()

"""`stripe-archive replay` where the endpoint fails, or is one that must not get anything."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive_tools import reading
from archive_tools.replaying import delivery
from archive_tools.storage import FolderStorage
from examples.archive import records
from tests.archive_tools.conftest import Run, store
from tests.archive_tools.replay.conftest import (
    Replay,
    line_of,
    store_events,
)
from tests.fakes.receiver import SECRET, Receiver
from tests.support.service import free_port, running
from webhook_app.events import signature

STATE = Path("stripe-replay.json")


@pytest.mark.parametrize("fault", [500, 503, 429, "reset", {"Retry-After": "0"}])
def test_what_passes_is_tried_again(
    folder: Path, replay: Replay, receiver: Receiver, fault: int | str | dict[str, str]
) -> None:
    bodies = store_events(folder, 1)
    receiver.script.extend([fault, fault])
    result = replay("--concurrency", "1", "--json")
    assert result.exit_code == 0, result.output
    assert receiver.accepted == bodies
    assert receiver.requests == 3
    assert json.loads(result.stdout)["sent"] == 1


@pytest.mark.parametrize("status", [400, 401, 404, 410, 301, 302, 307, 308])
def test_a_refusal_and_a_redirect_are_final(
    folder: Path, replay: Replay, receiver: Receiver, status: int
) -> None:
    store_events(folder, 2)
    receiver.answers["evt_1"] = status
    result = replay("--json")
    assert result.exit_code == 1
    assert receiver.requests == 2
    told = json.loads(result.stdout)
    assert (told["accepted"], told["refused"], told["failed"]) == (1, 1, 0)
    (failure,) = told["failures"]
    assert (failure["id"], failure["type"]) == ("evt_1", "charge.succeeded")
    assert failure["status"] == status


def test_after_the_last_retry_it_has_failed(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 2)
    receiver.answers["evt_0"] = 503
    result = replay("--retries", "2")
    assert result.exit_code == 1
    assert receiver.requests == 4
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["failed", "503", "1"] in rows
    assert ["evt_0", "charge.succeeded", "503"] in rows
    assert "1 event left. The same command sends the rest" in result.stderr


def test_an_endpoint_that_does_not_answer_is_not_waited_for_beyond_the_time_out(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 1)
    receiver.script.append("hang")
    began = time.monotonic()
    result = replay("--timeout", "0.2", "--retries", "0", "--json")
    assert time.monotonic() - began < 5
    assert result.exit_code == 1
    (failure,) = json.loads(result.stdout)["failures"]
    assert failure["cause"] == "no answer in time"


def test_a_connection_closed_while_idle_is_made_anew_and_is_no_failure(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    bodies = store_events(folder, 5)
    receiver.script.extend(["ok and close"] * 5)
    result = replay("--concurrency", "1", "--retries", "0", "--rate", "50")
    assert result.exit_code == 0, result.output
    assert receiver.accepted == bodies


def test_a_wait_that_the_endpoint_asks_for_is_honoured(
    folder: Path, replay: Replay, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_events(folder, 1)
    monkeypatch.setattr(delivery, "LONGEST_WAIT_S", 0.6)
    receiver.script.append({"Retry-After": "3600"})
    began = time.monotonic()
    assert replay().exit_code == 0
    # an hour is longer than the longest wait
    assert 0.6 <= time.monotonic() - began < 10


def test_an_endpoint_that_refuses_everything_is_not_sent_everything(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 100)
    receiver.answers = {f"evt_{n}": 400 for n in range(5, 100)}
    result = replay("--concurrency", "1", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["stopped_by"] == "20 events in a row were not accepted (--stop-after)"
    assert (told["accepted"], told["left"]) == (5, 95)
    assert len(told["failures"]) == 20
    # one more can have been on its way
    assert 25 <= receiver.requests <= 26

    receiver.answers = {}
    assert replay("--concurrency", "1").exit_code == 0
    assert receiver.ids() == [f"evt_{n}" for n in range(100)]


def test_without_a_limit_everything_is_tried(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 40)
    receiver.answers = {f"evt_{n}": 400 for n in range(40)}
    result = replay("--stop-after", "0")
    assert result.exit_code == 1
    assert receiver.requests == 40
    assert "… and 20 more" in result.stdout


def test_a_wrong_secret_is_refused_and_no_secret_is_ever_told(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 3)
    result = replay(REPLAY_SECRET="whsec_of_somebody_else")
    assert result.exit_code == 1
    assert receiver.accepted == []
    told = result.output + STATE.read_text()
    assert "whsec_" not in told
    assert "v1=" not in told
    assert "Zoë" not in told


def test_a_secret_can_come_from_another_variable_or_from_a_file(
    folder: Path, replay: Replay, receiver: Receiver, tmp_path: Path
) -> None:
    store_events(folder, 1)
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    by_file = replay("--secret-file", str(file), REPLAY_SECRET="")
    by_name = replay("--secret-env", "OURS", REPLAY_SECRET="", OURS=SECRET)
    assert (by_file.exit_code, by_name.exit_code) == (0, 0)
    assert len(receiver.accepted) == 2


@pytest.mark.parametrize(
    ("arguments", "secret", "words"),
    [
        ([], "", "REPLAY_SECRET holds no secret"),
        ([], "whsec_one,whsec_two", "REPLAY_SECRET holds something else than one secret"),
        (["--secret-env", "whsec_pasted"], "x", "--secret-env is given a secret"),
        (["--secret-env", "pasted_otherwise"], "x", "The variable that --secret-env names"),
        (["--secret-file", "/nowhere"], "x", "/nowhere cannot be read"),
    ],
)
def test_without_a_secret_nothing_is_sent_and_none_is_told(
    replay: Replay, receiver: Receiver, arguments: list[str], secret: str, words: str
) -> None:
    result = replay(*arguments, REPLAY_SECRET=secret)
    assert result.exit_code == 2
    assert words in result.output
    assert "Cure:" in result.output
    assert not any(told in result.output for told in ("whsec_one", "pasted", "whsec_p"))
    assert receiver.connections == 0


def test_an_error_that_nobody_expected_ends_it_without_the_secret(
    folder: Path, replay: Replay, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_events(folder, 3)

    def broken(*_: object) -> None:
        raise RuntimeError(f"of {len(STATE.name)} letters")

    monkeypatch.setattr(delivery, "sign", broken)
    result = replay()
    assert result.exit_code == 2
    assert "RuntimeError, a fault of this tool" in result.stderr
    assert "18 letters" not in result.output
    # where to go on is known all the same
    assert json.loads(STATE.read_text())["upto"] >= 1
    monkeypatch.setattr(delivery, "sign", signature.sign)
    assert replay().exit_code == 0
    assert sorted(receiver.ids()) == ["evt_0", "evt_1", "evt_2"]


def test_an_object_that_is_gone_by_the_time_is_a_failure_with_its_cause(
    folder: Path, replay: Replay, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_events(folder, 4, objects=2)

    def lines(storage: FolderStorage, key: str) -> Iterator[tuple[int, bytes]]:
        if key.endswith("001.json.gz"):
            (folder / key).unlink(missing_ok=True)
        return reading.lines(storage, key)

    monkeypatch.setattr("archive_tools.replaying.payloads.lines", lines)
    result = replay("--json")
    assert result.exit_code == 1
    assert sorted(receiver.ids()) == ["evt_0", "evt_1"]
    causes = {failure["cause"] for failure in json.loads(result.stdout)["failures"]}
    assert causes == {"its object can no longer be read"}


def test_an_endpoint_that_is_not_there_is_told_at_once(folder: Path, run: Run) -> None:
    store_events(folder, 1)
    url = f"http://127.0.0.1:{free_port()}/hook"
    result = run("replay", url, REPLAY_SECRET=SECRET)
    assert result.exit_code == 2
    assert "There is no connection to http://127.0.0.1:" in result.output
    assert "Connection refused" in result.output


def test_an_archive_is_not_sent_to_an_archive_but_on_purpose(
    folder: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bodies = store_events(folder, 3)
    other = tmp_path / "other"
    variables = {"STRIPE_WEBHOOK_SECRET": SECRET, "ARCHIVE_DIR": str(other), "WEB_WORKERS": "1"}
    with running(variables, tmp_path / "log") as service:
        arguments = ("replay", service.url, "--rate", "0")
        refused = run(*arguments, REPLAY_SECRET=SECRET)
        assert refused.exit_code == 2
        assert "is an archive's own endpoint" in refused.output
        assert list(records(other)) == []
        copied = run(*arguments, "--into-an-archive", REPLAY_SECRET=SECRET)
        assert copied.exit_code == 0, copied.output
    assert sorted(r["payload"] for r in records(other)) == sorted(b.decode() for b in bodies)


@pytest.mark.parametrize(
    "health",
    [b'{"status": "ok"}', b'{"status": "ok", "version": "1", "timestamp": "", "db": 1}', b"[]"],
)
def test_another_services_health_is_no_archives(
    folder: Path, replay: Replay, receiver: Receiver, health: bytes
) -> None:
    store_events(folder, 1)
    receiver.health = health
    assert replay().exit_code == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:4567/webhook/stripe",
        "http://127.0.0.1:4567/webhook/stripe/",
        "http://[::1]:4567/webhook/stripe?a=b",
        "http://0.0.0.0:4567/webhook/stripe",
        "https://127.9.9.9:4567/webhook/stripe",
    ],
)
def test_this_machines_own_service_is_refused_also_while_it_is_down(run: Run, url: str) -> None:
    result = run("replay", url, "--dry-run", PORT="4567")
    assert result.exit_code == 2
    assert "is an archive's own endpoint" in result.output


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://hooks.example.com/hook", "everybody in between could read the events"),
        ("http://10.0.0.7/hook", "everybody in between could read the events"),
        ("https://ada:pass-word@example.com/hook", "a name or a password in the URL"),
        ("https://ada@example.com/hook", "a name or a password in the URL"),
        ("ftp://example.com/hook", "not an address"),
        ("example.com/hook", "not an address"),
        ("https:///hook", "not an address"),
        ("https://example.com:99999/hook", "cannot be read"),
        ("https://example..com/hook", "cannot be read"),
        ("https://[::1/hook", "cannot be read"),
        ("https://example.com/a b", "a character that no URL has"),
        ("https://exämple.com/hook", "a character that no URL has"),
    ],
)
def test_an_address_that_must_not_be_is_refused(run: Run, url: str, words: str) -> None:
    result = run("replay", url, "--dry-run")
    assert result.exit_code == 2
    assert words in result.output
    assert "Cure:" in result.output
    assert "pass-word" not in result.output


def test_clear_text_to_another_machine_goes_with_a_word_for_it(folder: Path, run: Run) -> None:
    store(folder, line_of(1))
    result = run("replay", "http://10.0.0.7/hook?token=abc", "--dry-run", "--insecure-http")
    assert result.exit_code == 0
    assert "1 event would be sent to http://10.0.0.7:80/hook\n" in result.stdout


def test_a_certificate_that_nobody_vouches_for_is_refused(
    folder: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bodies = store_events(folder, 3)
    both = tmp_path / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1"
    command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {tmp_path}/key.pem -out {both}"
    subprocess.run(command.split(), check=True, capture_output=True)
    both.write_text(both.read_text() + (tmp_path / "key.pem").read_text())
    with Receiver().serving(both) as receiver:
        arguments = ("replay", receiver.url, "--rate", "0", "--concurrency", "1")
        refused = run(*arguments, REPLAY_SECRET=SECRET)
        assert refused.exit_code == 2
        assert "certificate verify failed" in refused.output
        assert receiver.requests == 0
        trusted = run(*arguments, REPLAY_SECRET=SECRET, SSL_CERT_FILE=str(both))
    assert trusted.exit_code == 0, trusted.output
    assert receiver.accepted == bodies

"""`stripe-archive replay` where the endpoint fails, or is one that must not get anything."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive_tools import reading
from archive_tools.replaying import sending
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

STATE = Path("stripe-replay.jsonl")


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
    report = json.loads(result.stdout)
    assert (report["accepted"], report["left"]) == (1, 1)
    failure = {"event": "evt_1", "type": "charge.succeeded", "answer": str(status)}
    assert report["failures"] == [failure]


def test_after_the_last_retry_it_has_failed(
    folder: Path, replay: Replay, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "RETRIES", 2)
    store_events(folder, 2)
    receiver.answers["evt_0"] = 503
    result = replay()
    assert result.exit_code == 1
    assert receiver.requests == 4
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["503", "1"] in rows
    assert ["evt_0", "charge.succeeded", "503"] in rows
    assert "1 event left. The same command sends the rest" in result.stderr


def test_an_endpoint_that_does_not_answer_is_not_waited_for_beyond_the_time_out(
    folder: Path, replay: Replay, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(sending, "RETRIES", 0)
    store_events(folder, 1)
    receiver.script.append("hang")
    began = time.monotonic()
    result = replay("--json")
    assert time.monotonic() - began < 5
    assert result.exit_code == 1
    (failure,) = json.loads(result.stdout)["failures"]
    assert failure["answer"] == "no answer in time"


def test_a_connection_closed_while_idle_is_made_anew_and_is_no_failure(
    folder: Path, replay: Replay, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "RETRIES", 0)
    bodies = store_events(folder, 5)
    receiver.script.extend(["ok and close"] * 5)
    result = replay("--concurrency", "1", "--rate", "50")
    assert result.exit_code == 0, result.output
    assert receiver.accepted == bodies


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("0.05", 0),
        ("-1", 0),
        ("soon", 0),
        ("9" * 5000, 0.5),
        ("3600", 0.5),
        ("Mon, 23 Nov 2020 09:00:00 GMT", 0),
    ],
)
def test_a_wait_can_be_of_any_form_and_is_bounded(
    folder: Path,
    replay: Replay,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    header: str,
    wait_s: float,
) -> None:
    monkeypatch.setattr(sending, "MAX_WAIT_S", 0.5)
    store_events(folder, 1)
    receiver.script.append({"Retry-After": header})
    report = json.loads(replay("--json").stdout)
    assert report["accepted"] == 1
    assert wait_s <= report["seconds"] < 20


def test_an_endpoint_that_refuses_everything_is_not_sent_everything(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 100)
    receiver.answers = {f"evt_{n}": 400 for n in range(5, 100)}
    result = replay("--concurrency", "1", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["stopped"]
    assert (report["accepted"], report["left"]) == (5, 95)
    assert len(report["failures"]) == 20
    assert receiver.requests == 25

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
    assert "40 events sent" in result.stdout
    assert "… and more" in result.stdout


def test_a_wrong_secret_is_refused_and_no_secret_is_ever_told(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 3)
    result = replay(REPLAY_SECRET="whsec_of_somebody_else")
    assert result.exit_code == 1
    assert receiver.accepted == []
    written = result.output + STATE.read_text()
    assert not any(secret in written for secret in ("whsec_", "v1=", "Zoë"))


@pytest.mark.parametrize(
    ("secret", "words"),
    [("", "REPLAY_SECRET is not set"), ("whsec_one,whsec_two", "REPLAY_SECRET is not one secret")],
)
def test_without_a_secret_nothing_is_sent_and_none_is_printed(
    replay: Replay, receiver: Receiver, secret: str, words: str
) -> None:
    result = replay(REPLAY_SECRET=secret)
    assert result.exit_code == 2
    assert words in result.output
    assert "Fix:" in result.output
    assert "whsec_one" not in result.output
    assert receiver.connections == 0


def test_an_error_that_nobody_expected_ends_it_without_the_secret(
    folder: Path, replay: Replay, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_events(folder, 3)

    def broken(*_: object) -> None:
        raise RuntimeError(f"of {len(STATE.name)} letters")

    monkeypatch.setattr(sending, "sign", broken)
    result = replay()
    assert result.exit_code == 2
    assert "RuntimeError, a fault of this tool" in result.stderr
    assert "19 letters" not in result.output
    monkeypatch.setattr(sending, "sign", signature.sign)
    assert replay().exit_code == 0
    assert sorted(receiver.ids()) == ["evt_0", "evt_1", "evt_2"]


def test_an_object_that_is_gone_by_the_time_is_a_failure_with_its_cause(
    folder: Path, replay: Replay, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_events(folder, 4, objects=2)

    lines_of = reading.lines

    def lines(storage: FolderStorage, key: str) -> Iterator[tuple[int, bytes]]:
        yield from lines_of(storage, key)
        if key.endswith("001.json.gz"):
            (folder / key).unlink()

    monkeypatch.setattr(reading, "lines", lines)
    result = replay("--json")
    assert result.exit_code == 1
    assert sorted(receiver.ids()) == ["evt_0", "evt_1"]
    answers = {failure["answer"] for failure in json.loads(result.stdout)["failures"]}
    assert answers == {"its object can no longer be read"}


def test_an_endpoint_that_is_not_there_is_told_at_once(folder: Path, run: Run) -> None:
    store_events(folder, 1)
    url = f"http://127.0.0.1:{free_port()}/hook"
    result = run("replay", url, REPLAY_SECRET=SECRET)
    assert result.exit_code == 2
    assert f"{url} cannot be reached: Connection refused" in result.output


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
        copied = run(*arguments, "--force", REPLAY_SECRET=SECRET)
        assert copied.exit_code == 0, copied.output
    assert sorted(r["payload"] for r in records(other)) == sorted(b.decode() for b in bodies)


def test_what_stays_on_this_machine_goes_through_no_proxy(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    bodies = store_events(folder, 1)
    assert replay(HTTP_PROXY=f"http://127.0.0.1:{free_port()}", NO_PROXY="").exit_code == 0
    assert receiver.accepted == bodies


@pytest.mark.parametrize(
    "health",
    [b'{"status": "ok"}', b'{"status": "ok", "version": "1", "timestamp": "", "db": 1}', b"[]"],
)
def test_the_health_of_another_service_is_not_an_archives(
    folder: Path, replay: Replay, receiver: Receiver, health: bytes
) -> None:
    store_events(folder, 1)
    receiver.health = health
    assert replay().exit_code == 0


def test_an_archive_behind_a_prefix_is_refused(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 1)
    receiver.health_path = "/an/archive/health"
    receiver.health = b'{"status": "ok", "version": "1", "timestamp": ""}'
    url = receiver.url.replace("/hook", "/an/archive/webhook/stripe")
    result = replay(url=url)
    assert result.exit_code == 2
    assert "is an archive's own endpoint" in result.output
    assert receiver.requests == 0
    assert replay("--force", url=url).exit_code == 0


def test_a_secret_of_the_archive_itself_is_refused(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 1)
    variables = {"STRIPE_WEBHOOK_SECRET": f"whsec_other,{SECRET}"}
    result = replay(**variables)
    assert result.exit_code == 2
    assert "REPLAY_SECRET is one of the archive's own secrets" in result.output
    assert SECRET not in result.output
    assert receiver.connections == 0
    assert replay("--force", **variables).exit_code == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:4567/webhook/stripe",
        "http://127.0.0.1:4567/webhook/stripe/",
        "http://127.0.0.1:4567/prefix/webhook/stripe",
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
        ("http://hooks.example.com/hook", "is not encrypted"),
        ("http://10.0.0.7/hook", "is not encrypted"),
        ("https://ada:pass-word@example.com/hook", "a user name or a password in the URL"),
        ("https://ada@example.com/hook", "a user name or a password in the URL"),
        ("ftp://example.com/hook", "cannot be used"),
        ("example.com/hook", "cannot be used"),
        ("https:///hook", "cannot be used"),
        ("https://example.com:99999/hook", "cannot be used"),
        ("https://[::1/hook", "cannot be used"),
        ("", "cannot be used"),
    ],
)
def test_an_address_that_must_not_be_is_refused(run: Run, url: str, words: str) -> None:
    result = run("replay", url, "--dry-run")
    assert result.exit_code == 2
    assert words in result.output
    assert "Fix:" in result.output
    assert "pass-word" not in result.output


def test_plain_http_to_another_machine_has_to_be_forced(folder: Path, run: Run) -> None:
    store(folder, line_of(1))
    result = run("replay", "http://10.0.0.7/hook?token=abc", "--dry-run", "--force")
    assert result.exit_code == 0
    assert "1 event would be sent to http://10.0.0.7/hook\n" in result.stdout


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
        trusted = run(*arguments, REPLAY_SECRET=SECRET, REQUESTS_CA_BUNDLE=str(both))
    assert trusted.exit_code == 0, trusted.output
    assert receiver.accepted == bodies

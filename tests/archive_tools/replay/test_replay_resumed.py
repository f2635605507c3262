"""`stripe-archive replay`, ended in the middle and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from archive_tools.replaying import tally
from tests.archive_tools.conftest import ARRIVED, Run, store
from tests.archive_tools.replay.conftest import (
    Replay,
    line_of,
    store_events,
)
from tests.fakes.receiver import SECRET, Receiver

CONCURRENCY = 4
PROJECT = Path(__file__).resolve().parents[3]


def started(folder: Path, url: str, where: Path) -> subprocess.Popen[str]:
    """The command as a process, as from a shell."""
    script = Path(sys.executable).parent / "stripe-archive"
    options = ["--rate", "0", "--concurrency", str(CONCURRENCY), "--archive", str(folder)]
    environment = {"PATH": os.environ["PATH"], "REPLAY_SECRET": SECRET, "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(
        [script, "replay", url, *options],
        cwd=where,
        env=environment | {"PYTHON_DOTENV_DISABLED": "1", "LANG": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended_by(
    how: signal.Signals, folder: Path, receiver: Receiver, where: Path, after: int
) -> tuple[int, str]:
    """End the command once so many have been accepted; its exit status and what it told."""
    process = started(folder, receiver.url, where)
    deadline = time.monotonic() + 30
    while len(receiver.accepted) < after and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(how)
    out, err = process.communicate(timeout=20)
    assert out == ""
    return process.returncode, err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_after_an_interruption_the_same_command_sends_the_rest(
    folder: Path, receiver: Receiver, tmp_path: Path, how: signal.Signals
) -> None:
    store_events(folder, 600, objects=3)
    receiver.latency_s = 0.003
    status, err = ended_by(how, folder, receiver, tmp_path, after=150)
    assert status == 2
    assert "Interrupted." in err
    assert "left. The same command sends the rest, as stripe-replay.json says." in err
    first = len(receiver.accepted)
    assert 150 <= first < 600
    state = json.loads((tmp_path / "stripe-replay.json").read_text())
    # what it knows to be accepted is, and no more than what was on its way is not known
    known = state["upto"] - len(state["left"])
    assert first - CONCURRENCY <= known <= first
    assert [path.name for path in tmp_path.glob(".stripe-replay*")] == []

    process = started(folder, receiver.url, tmp_path)
    process.communicate(timeout=30)
    assert process.returncode == 0
    times = Counter(receiver.ids())
    assert len(times) == 600
    assert max(times.values()) <= 2
    assert len(receiver.accepted) - 600 <= CONCURRENCY
    assert not (tmp_path / "stripe-replay.json").exists()


def test_after_a_kill_about_a_second_is_sent_again(
    folder: Path, receiver: Receiver, tmp_path: Path
) -> None:
    store_events(folder, 300)
    receiver.latency_s = 0.02
    status, _ = ended_by(signal.SIGKILL, folder, receiver, tmp_path, after=250)
    assert status == -signal.SIGKILL
    receiver.latency_s = 0
    process = started(folder, receiver.url, tmp_path)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert len(set(receiver.ids())) == 300
    # 4 at a time, 20 ms each: 200 a second at most
    assert len(receiver.accepted) - 300 <= 200 + CONCURRENCY


def test_one_that_hangs_does_not_keep_an_interruption_waiting(
    folder: Path, receiver: Receiver, tmp_path: Path
) -> None:
    store_events(folder, 50)
    receiver.script.extend([200] * 10 + ["hang"])
    process = started(folder, receiver.url, tmp_path)
    deadline = time.monotonic() + 30
    while len(receiver.accepted) < 49 and time.monotonic() < deadline:
        time.sleep(0.005)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 8
    assert process.returncode == 2
    assert "1 event left" in err


def test_what_was_not_accepted_is_sent_by_the_same_command_and_nothing_else(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 30)
    receiver.answers = {"evt_3": 400, "evt_17": 500}
    first = replay("--retries", "0")
    assert first.exit_code == 1
    assert "2 events left" in first.stderr
    receiver.answers = {}
    preview = replay("--dry-run").stdout
    assert "30 events would be sent" in preview
    assert "28 of them accepted before and left out" in preview
    second = replay("--concurrency", "1")
    assert second.exit_code == 0
    assert "28 had been accepted before" in second.stdout
    assert receiver.ids()[28:] == ["evt_3", "evt_17"]
    assert len(receiver.accepted) == 30


def test_what_arrives_meanwhile_is_not_part_of_what_was_begun(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 5)
    receiver.answers = {"evt_3": 400}
    assert replay().exit_code == 1
    # older at Stripe than all of them, and so before them in the order
    late = line_of(99, arrived=ARRIVED + timedelta(hours=1), created=1_700_000_000)
    store(folder, late, name="late.json.gz")
    receiver.answers = {}
    assert replay().exit_code == 0
    assert receiver.ids()[4:] == ["evt_3"]
    assert replay().exit_code == 0
    assert "evt_99" in receiver.ids()


def test_an_archive_that_has_changed_in_the_range_is_told(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 5)
    receiver.answers = {"evt_3": 400}
    assert replay().exit_code == 1
    store(folder, line_of(99, created=1_700_000_000), name="found.json.gz")
    result = replay()
    assert result.exit_code == 2
    assert "there were 5 events when the replay began, there are 6 now" in result.output
    assert len(receiver.accepted) == 4


def test_the_bookmark_of_another_replay_is_not_gone_on_with(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 5)
    receiver.answers = {"evt_3": 400}
    assert replay().exit_code == 1
    result = replay("--type", "charge.*", "--order", "arrival")
    assert result.exit_code == 2
    assert "was not finished, with another types, order" in result.output
    assert "--state" in result.output
    other = replay("--type", "charge.*", "--state", "other.json")
    assert other.exit_code == 1
    assert Path("other.json").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"replay": {}, "plan": 1}', "\x00"])
def test_a_file_that_is_no_bookmark_is_left_alone(
    folder: Path, replay: Replay, receiver: Receiver, content: str
) -> None:
    store_events(folder, 1)
    Path("mine.json").write_text(content)
    result = replay("--state", "mine.json")
    assert result.exit_code == 2
    assert "mine.json is not the bookmark of a replay" in result.output
    assert Path("mine.json").read_text() == content
    assert receiver.accepted == []


def test_where_no_bookmark_can_be_kept_nothing_is_sent(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 1)
    result = replay("--state", "no/such/folder/state.json")
    assert result.exit_code == 2
    assert "cannot be written: No such file or directory" in result.output
    assert receiver.accepted == []


def test_a_bookmark_is_for_its_owner_alone_and_stays_small(
    folder: Path, replay: Replay, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "MOST_FAILURES", 30)
    store_events(folder, 200)
    receiver.answers = {f"evt_{n}": 400 for n in range(0, 200, 2)}
    result = replay("--concurrency", "1")
    assert result.exit_code == 1
    assert "Stopped: 30 events were not accepted" in result.stdout
    state = Path("stripe-replay.json")
    assert state.stat().st_mode & 0o777 == 0o600
    # 30, and the two that were on their way
    assert len(json.loads(state.read_text())["left"]) <= 32


def test_a_bookmark_holds_no_token_of_the_address_but_is_of_that_address_alone(
    folder: Path, run: Run, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store_events(folder, 3)
    receiver.answers = {"evt_1": 400}
    begun = run("replay", f"{receiver.url}?token=very-secret", REPLAY_SECRET=SECRET)
    assert begun.exit_code == 1
    assert "very-secret" not in Path("stripe-replay.json").read_text()
    other = run("replay", f"{receiver.url}?token=another", REPLAY_SECRET=SECRET)
    assert other.exit_code == 2
    assert "with another query" in other.output

"""`stripe-archive replay`, ended in the middle and gone on with."""

import re
import signal
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from tests.archive_tools.conftest import ARRIVED, signed_record, store
from tests.archive_tools.replay.conftest import (
    Replay,
    line_of,
    started,
    store_events,
)
from tests.fakes.receiver import Receiver

CONCURRENCY = 4


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
    assert "left. The same command sends the rest." in err
    first = len(receiver.accepted)
    assert 150 <= first < 600
    # no more than what was on its way is not known
    _, *known = (tmp_path / "stripe-replay.jsonl").read_text().splitlines()
    assert first - CONCURRENCY <= len(known) <= first

    process = started(folder, receiver.url, tmp_path)
    process.communicate(timeout=30)
    assert process.returncode == 0
    times = Counter(receiver.ids())
    assert len(times) == 600
    assert max(times.values()) <= 2
    assert len(receiver.accepted) - 600 <= CONCURRENCY
    assert not (tmp_path / "stripe-replay.jsonl").exists()


def test_after_a_kill_what_was_on_its_way_is_sent_again(
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
    assert len(receiver.accepted) - 300 <= CONCURRENCY


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
    # the one that hangs, and those whose answers were on their way
    left = re.search(r"^(\d+) events? left", err, re.MULTILINE)
    assert left, err
    assert 1 <= int(left[1]) <= CONCURRENCY


def test_what_was_not_accepted_is_sent_by_the_same_command_and_nothing_else(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 30)
    receiver.answers = {"evt_3": 400, "evt_17": 404}
    first = replay()
    assert first.exit_code == 1
    assert "2 events left" in first.stderr
    receiver.answers = {}
    preview = replay("--dry-run").stdout
    assert "2 events would be sent" in preview
    assert "28 were accepted before" in preview
    second = replay("--concurrency", "1")
    assert second.exit_code == 0
    assert "28 were accepted before" in second.stdout
    assert receiver.ids()[28:] == ["evt_3", "evt_17"]
    assert len(receiver.accepted) == 30


def test_what_has_arrived_meanwhile_is_sent_too(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 5)
    receiver.answers = {"evt_3": 400}
    assert replay().exit_code == 1
    # older at Stripe than all of them, and so before them in the order
    late = line_of(99, arrived=ARRIVED + timedelta(hours=1), created=1_700_000_000)
    store(folder, late, name="late.json.gz")
    receiver.answers = {}
    assert replay("--concurrency", "1").exit_code == 0
    assert receiver.ids()[4:] == ["evt_99", "evt_3"]


def test_other_options_leave_out_what_was_accepted_too(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 5)
    receiver.answers = {"evt_3": 400}
    assert replay().exit_code == 1
    receiver.answers = {}
    assert replay("--type", "charge.*", "--order", "arrival").exit_code == 0
    assert receiver.ids()[4:] == ["evt_3"]


def test_what_has_no_id_is_left_out_by_its_place(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store(folder, signed_record(b"[1]").line(), signed_record(b"[1]").line(), line_of(1))
    receiver.answers = {"evt_1": 400}
    assert replay().exit_code == 1
    receiver.answers = {}
    assert replay().exit_code == 0
    assert receiver.ids() == ["[1]", "[1]", "evt_1"]


def test_a_line_that_was_cut_short_costs_one_event(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 3)
    receiver.answers = {"evt_2": 400}
    assert replay("--concurrency", "1").exit_code == 1
    state = Path("stripe-replay.jsonl")
    state.write_bytes(state.read_bytes()[:-2])
    assert replay("--concurrency", "1").exit_code == 1
    receiver.answers = {}
    assert replay().exit_code == 0
    assert receiver.ids() == ["evt_0", "evt_1", "evt_1", "evt_2"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"replay": {}, "plan": 1}', "\x00"])
def test_a_file_that_is_no_checkpoint_is_left_alone(
    folder: Path, replay: Replay, receiver: Receiver, content: str
) -> None:
    store_events(folder, 1)
    Path("mine.json").write_text(content)
    result = replay("--state", "mine.json")
    assert result.exit_code == 2
    assert "mine.json is not of a replay" in result.output
    assert Path("mine.json").read_text() == content
    assert receiver.accepted == []


def test_where_no_checkpoint_can_be_written_nothing_is_sent(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 1)
    result = replay("--state", "no/such/folder/state.json")
    assert result.exit_code == 2
    assert "cannot be written: No such file or directory" in result.output
    assert receiver.accepted == []


def test_a_checkpoint_is_for_its_owner_and_its_url_alone_and_holds_no_token(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 3)
    receiver.answers = {"evt_1": 400}
    assert replay(url=f"{receiver.url}?token=very-secret").exit_code == 1
    state = Path("stripe-replay.jsonl")
    assert state.stat().st_mode & 0o777 == 0o600
    assert "very-secret" not in state.read_text()
    for url in (receiver.url, f"{receiver.url}?token=another"):
        other = replay(url=url)
        assert other.exit_code == 2
        assert "stripe-replay.jsonl is of another URL" in other.output

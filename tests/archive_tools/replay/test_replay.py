"""`stripe-archive replay`: what is sent, in which order, and what is reported."""

import json
import resource
import time
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from archive_tools import storage as storages
from examples import month
from tests.archive_tools.conftest import ARRIVED, DAY_KEY, Run, signed_record, store
from tests.archive_tools.replay.conftest import (
    Replay,
    body_of,
    line_of,
    started,
    store_events,
)
from tests.fakes.receiver import Receiver
from webhook_app.events.record import events_api_record

STATE = Path("stripe-replay.jsonl")
NOWHERE = "http://127.0.0.1:9/hook"
DAY_BEFORE = "webhooks/year=2026/month=11/day=22"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of the sample month; nothing is changed in it."""
    folder = tmp_path_factory.mktemp("month")
    month.archive(folder)
    return str(folder)


def test_every_event_of_a_month_is_accepted_once_and_to_the_byte(
    sample: str, replay: Replay, receiver: Receiver
) -> None:
    deliveries = month.deliveries()
    result = replay("--json", ARCHIVE_DIR=sample)
    assert result.exit_code == 0, result.output
    assert sorted(receiver.accepted) == sorted({delivery.body for delivery in deliveries})
    assert len(receiver.accepted) == 278
    report = json.loads(result.stdout)
    assert (report["sent"], report["accepted"], report["left"]) == (278, 278, 0)
    assert report["answers"] == [{"answer": "200", "events": 278}]
    # nothing is left over, so there is nothing to go on with
    assert not STATE.exists()


def test_people_read_how_many_how_fast_and_with_which_answer(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 3)
    result = replay()
    summary, _, title, names, _, row = result.stdout.splitlines()
    assert summary.startswith(f"3 events sent to {receiver.url} in ")
    assert title == "Answers:"
    assert (names.split(), row.split()) == (["answer", "events"], ["200", "3"])


def test_the_oldest_at_stripe_goes_first(folder: Path, replay: Replay, receiver: Receiver) -> None:
    at = int(ARRIVED.timestamp())
    store(folder, line_of(1, created=at), line_of(3, created=at - 60), line_of(2, created=at - 60))
    later = ARRIVED + timedelta(seconds=30)
    store(folder, line_of(4, arrived=later, created=at - 900), name="b.json.gz")
    assert replay("--concurrency", "1").exit_code == 0
    assert receiver.ids() == ["evt_4", "evt_3", "evt_2", "evt_1"]


def test_in_the_order_of_arrival_the_first_to_arrive_goes_first(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    arrivals = {n: ARRIVED + timedelta(seconds=s) for n, s in ((1, 20), (2, 0), (3, 10))}
    for n, arrived in arrivals.items():
        line = line_of(n, arrived=arrived, created=1_700_000_000 + n)
        store(folder, line, name=f"{n}.json.gz")
    assert replay("--concurrency", "1", "--order", "arrival").exit_code == 0
    assert receiver.ids() == ["evt_2", "evt_3", "evt_1"]


def test_what_is_no_event_is_sent_where_it_arrived(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    before, after = (body_of(n, arrived=ARRIVED + timedelta(seconds=10 * n)) for n in (0, 2))
    bodies = [before, b'["no", "event"]', b'["no", "event"]', after]
    for n, body in enumerate(bodies):
        arrived = ARRIVED + timedelta(seconds=5 * n)
        store(folder, signed_record(body, arrived=arrived).line(), name=f"{3 - n}.json.gz")
    assert replay("--concurrency", "1").exit_code == 0
    assert receiver.accepted == bodies


def test_an_event_that_arrived_again_is_sent_as_it_arrived_first(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    later = ARRIVED + timedelta(hours=1)
    store(folder, line_of(1, arrived=later, name="again"), name="a.json.gz")
    store(folder, line_of(1, name="first"), name="b.json.gz")
    assert replay().exit_code == 0
    assert [json.loads(body)["name"] for body in receiver.accepted] == ["first"]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--type", "charge.refunded"], "2"),
        (["--type", "charge.*"], "126"),
        (["--type", "charge.*", "--type", "invoice.paid"], "1236"),
        (["--type", "charge"], ""),
        (["--type", "*"], "1234567"),
        (["--event", "evt_3", "--event", "evt_1"], "13"),
        (["--to", "2026-11-22"], "7"),
        (["--from", "2026-11-23"], "123456"),
        (["--from", "2026-11-22", "--to", "2026-11-23", "--type", "*.failed"], "67"),
    ],
)
def test_only_what_is_asked_for_is_sent(
    folder: Path, replay: Replay, receiver: Receiver, options: list[str], numbers: str
) -> None:
    store(
        folder,
        line_of(1),
        line_of(2, "charge.refunded"),
        line_of(3, "invoice.paid"),
        line_of(4, "payout.paid", account="acct_1"),
        line_of(5, "payout.paid", livemode=False),
        line_of(6, "charge.failed", ARRIVED + timedelta(hours=2)),
        # Firehose names the folder by the oldest record of the object
        line_of(7, "payout.failed", ARRIVED - timedelta(days=1)),
    )
    result = replay(*options)
    assert result.exit_code == 0, result.output
    assert sorted(receiver.ids()) == [f"evt_{n}" for n in numbers]


def test_an_event_that_is_not_there_is_reported(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store(folder, line_of(1))
    result = replay("--event", "evt_1", "--event", "evt_9")
    assert result.exit_code == 1
    assert "Missing:" in result.stdout
    assert "evt_9" in result.stdout
    assert receiver.ids() == ["evt_1"]


def test_a_query_selects_what_is_replayed(
    sample: str, run: Run, replay: Replay, receiver: Receiver
) -> None:
    query = """SELECT DISTINCT id FROM stripe_webhooks WHERE type = 'charge.succeeded'
    AND CAST(json_extract_scalar(payload, '$.data.object.amount') AS bigint) > 12000"""
    found = run("query", query, "--format", "csv", ARCHIVE_DIR=sample)
    result = replay("--event", "-", stdin=found.stdout, ARCHIVE_DIR=sample)
    assert result.exit_code == 0, result.output
    expected = {
        delivery.body
        for delivery in month.deliveries()
        if b'"type": "charge.succeeded"' in delivery.body
        and json.loads(delivery.body)["data"]["object"]["amount"] > 12_000
    }
    assert len(expected) > 5
    assert sorted(receiver.accepted) == sorted(expected)


def test_a_query_that_finds_nothing_replays_nothing(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 3)
    assert replay("--event", "-", stdin="id\n").exit_code == 0
    assert receiver.requests == 0


def test_what_came_from_the_events_api_is_signed_and_sent_too(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store(folder, events_api_record(body_of(1), ARRIVED).line())
    assert replay().exit_code == 0
    assert receiver.accepted == [body_of(1)]


def test_each_signature_is_of_now(folder: Path, replay: Replay, receiver: Receiver) -> None:
    store_events(folder, 2)
    began = int(time.time())
    assert replay().exit_code == 0
    times = [int(header.split(",")[0].removeprefix("t=")) for header in receiver.signatures]
    assert all(began <= at <= time.time() for at in times)


def test_a_dry_run_shows_what_would_be_sent_and_makes_no_request(
    sample: str, replay: Replay, receiver: Receiver
) -> None:
    arguments = ("--archive", sample, "--dry-run", "--type", "charge.*")
    text = replay(*arguments, REPLAY_SECRET="").stdout
    assert text.startswith(f"135 events would be sent to {receiver.url}\n")
    preview = json.loads(replay(*arguments, "--json").stdout)
    assert preview["events"] == sum(row["events"] for row in preview["types"]) == 135
    assert preview["types"][0] == {"type": "charge.succeeded", "events": 123}
    first, last = preview["first_and_last"]
    assert first["received_at"] < last["received_at"]
    assert receiver.connections == 0
    assert not STATE.exists()


def test_nothing_selected_is_nothing_sent(folder: Path, replay: Replay, receiver: Receiver) -> None:
    result = replay()
    assert result.exit_code == 0
    assert "0 events sent" in result.stdout
    assert receiver.requests == 0
    assert replay("--dry-run").stdout.startswith("0 events would be sent")


def test_a_damaged_object_is_reported_and_does_not_stop_the_rest(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store(folder, line_of(1), b'{"no": "record"}\n', line_of(2))
    cut = store(folder, *(line_of(n) for n in range(100, 500)), name="cut.json.gz")
    cut.write_bytes(cut.read_bytes()[:-1000])
    store(folder, line_of(3), name="last.json.gz", day=DAY_BEFORE)
    result = replay("--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["faults"] == 2
    faults = {(f["key"].rpartition("/")[2], f["what"]) for f in report["faults_at"]}
    assert faults == {("a.json.gz", "not a record"), ("cut.json.gz", "gzip is cut short")}
    assert {"evt_1", "evt_2", "evt_3", "evt_100"} <= set(receiver.ids())
    assert 100 < len(receiver.accepted) < 400
    again = replay("--event", "evt_1").stdout
    assert "1 event sent" in again
    assert "2 places could not be read" in again
    rows = [line.split(maxsplit=2) for line in again.splitlines()]
    assert [f"{DAY_KEY}/a.json.gz", "2", "not a record"] in rows
    assert "Zoë" not in again


def test_a_bucket_is_replayed_as_a_folder_is(
    folder: Path, replay: Replay, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    storages.s3_client.cache_clear()
    bodies = store_events(folder, 40, objects=4)
    with mock_aws():
        bucket = boto3.resource("s3", "us-east-1").create_bucket(Bucket="my-webhooks")
        for path in folder.rglob("*.json.gz"):
            bucket.upload_file(str(path), path.relative_to(folder).as_posix())
        arguments = ("--archive", "s3://my-webhooks", "--concurrency", "1")
        result = replay(*arguments, AWS_REGION="us-east-1")
    storages.s3_client.cache_clear()
    assert result.exit_code == 0, result.output
    assert receiver.accepted == bodies


def test_it_keeps_to_the_rate(folder: Path, replay: Replay, receiver: Receiver) -> None:
    store_events(folder, 20)
    began = time.monotonic()
    result = replay("--rate", "40")
    took_s = time.monotonic() - began
    assert result.exit_code == 0
    # 19 pauses of 25 ms
    assert took_s > 0.475
    assert len(receiver.accepted) == 20


def test_so_many_are_on_their_way_at_a_time_and_their_connections_are_kept(
    folder: Path, replay: Replay, receiver: Receiver
) -> None:
    store_events(folder, 60)
    receiver.latency_s = 0.01
    assert replay("--concurrency", "3").exit_code == 0
    assert receiver.most_at_once == 3
    assert receiver.connections == 3


def test_an_option_that_cannot_be_used_is_refused(run: Run) -> None:
    for options in (["--order", "newest"], ["--from", "yesterday"], ["--rate", "-1"]):
        result = run("replay", "http://127.0.0.1:1/hook", *options)
        assert result.exit_code == 2
        assert "Invalid value" in result.output


def test_millions_of_faults_are_counted_in_little_memory(folder: Path) -> None:
    for number in range(3):
        # of each object that is so much broken the rest is not read
        store(folder, b"{}\n" * 3_000_000, name=f"{number}.json.gz")
    memory = (resource.RLIMIT_DATA, 300_000_000)
    process = started(folder, NOWHERE, folder, "--dry-run", "--json", limit=memory)
    output, error = process.communicate(timeout=120)
    assert process.returncode == 1, error
    report = json.loads(output)
    assert report["faults"] == 3 * 1001
    assert len(report["faults_at"]) == 1000


def test_where_the_disk_is_full_the_fix_is_shown(folder: Path) -> None:
    # without an id each line is an event
    store(folder, signed_record(b"[]").line() * 30_000)
    process = started(
        folder,
        "http://127.0.0.1:9/hook",
        folder,
        "--dry-run",
        limit=(resource.RLIMIT_FSIZE, 100_000),
    )
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "do not fit into a temporary file" in error
    assert "SQLITE_TMPDIR" in error

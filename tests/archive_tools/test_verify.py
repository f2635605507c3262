"""`stripe-archive verify`: what is genuine, and where what is not lies."""

import gzip
import json
import os
import shlex
import time
from datetime import date, timedelta
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws

from archive_tools import parallel, reading, verify
from archive_tools import storage as storages
from archive_tools.cli import archive
from archive_tools.days import Days
from examples import month
from tests.archive_tools.conftest import (
    ARRIVED,
    DAY_KEY,
    OTHER_SECRET,
    SECRET,
    Run,
    signed_record,
    store,
)
from webhook_app.events.record import events_api_record

BODY = b'{"id": "evt_1", "type": "t", "object": "event"}'


def lines(count: int, secret: str = SECRET) -> list[bytes]:
    bodies = (BODY.replace(b"evt_1", b"evt_%d" % n) for n in range(count))
    return [signed_record(body, secret).line() for body in bodies]


def counts(output: str) -> dict[str, int]:
    """The numbers of the table by the beginning of their rows."""
    rows = [line.rsplit("  ", 1) for line in output.splitlines() if line[-1:].isdigit()]
    return {row[0].strip(): int(row[1]) for row in rows if len(row) == 2}


def test_a_month_that_the_service_archived_is_genuine(folder: Path, run: Run) -> None:
    month.archive(folder)
    result = run("verify", STRIPE_WEBHOOK_SECRET="whsec_old,whsec_month")
    assert result.exit_code == 0, result.output
    found = counts(result.output)
    assert found["records"] == found["genuine, by STRIPE_WEBHOOK_SECRET, no. 2"] == 283
    assert found["genuine, by STRIPE_WEBHOOK_SECRET, no. 1"] == 0
    # the one that is ["not", "an", "event"] is JSON all the same
    assert "no JSON" not in result.output


def test_who_makes_the_sample_month_is_told_how_to_verify_it(tmp_path: Path) -> None:
    made = CliRunner().invoke(month.main, [str(tmp_path / "month")])
    assert made.exit_code == 0, made.output
    secret, command, *words = shlex.split(made.output.splitlines()[-1])
    assert command == ".venv/bin/flask"
    name, _, value = secret.partition("=")
    result = CliRunner().invoke(archive, words[1:], env={name: value})
    assert result.exit_code == 0, result.output
    assert counts(result.stdout)["genuine, by STRIPE_WEBHOOK_SECRET, no. 1"] == 283


def test_one_changed_byte_among_a_hundred_thousand_events_is_found(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    monkeypatch.setattr(parallel, "_BATCH_BYTES", 500_000)
    monkeypatch.setattr(parallel, "ALONE_S", 0.1)
    written = lines(10_000)
    for n in range(10):
        store(folder, *written, name=f"{n}.json.gz")
    at = written[123].index(b'\\"t\\"') + 2
    written[123] = written[123][:at] + b"u" + written[123][at + 1 :]
    store(folder, *written, name="7.json.gz")
    result = run("verify", "--json")
    found = json.loads(result.output)
    assert result.exit_code == 1
    assert (found["records"], found["broken"], found["unproven"]) == (100_000, 1, 0)
    assert found["broken_at"] == [
        {
            "key": f"{DAY_KEY}/7.json.gz",
            "line": 124,
            "what": "the column type is not what the payload says",
        }
    ]


def test_a_byte_that_no_column_has_is_unproven_with_its_place(folder: Path, run: Run) -> None:
    body = b'{"id": "evt_1", "amount": 100}'
    forged = signed_record(body).line().replace(b"100", b"900")
    store(folder, *lines(2), forged)
    result = run("verify")
    assert result.exit_code == 1
    assert counts(result.output)["unproven: no given secret signed it"] == 1
    assert f"{DAY_KEY}/a.json.gz line 3: no given secret signed it (evt_1)" in result.output
    assert "they were changed after they had arrived" in result.output


def test_days_without_anything_genuine_hint_at_a_retired_secret(
    folder: Path, run: Run, tmp_path: Path
) -> None:
    store(folder, *lines(3, OTHER_SECRET))
    result = run("verify")
    assert result.exit_code == 1
    assert "probably they were signed with a retired secret" in result.output
    retired = tmp_path / "retired.txt"
    retired.write_text(f"# until May\n{OTHER_SECRET}\n")
    result = run("verify", "--secrets", str(retired))
    assert result.exit_code == 0
    assert counts(result.output)["genuine, by retired.txt, line 2"] == 3
    assert OTHER_SECRET not in result.output


def test_a_line_with_more_than_a_secret_is_refused(run: Run, tmp_path: Path) -> None:
    retired = tmp_path / "retired.txt"
    retired.write_text("whsec_old # until May\n")
    result = run("verify", "--secrets", str(retired))
    assert result.exit_code == 2
    assert "line 1 holds more than a secret" in result.output
    assert "whsec_old" not in result.output


def test_what_the_events_api_gave_is_counted_apart(folder: Path, run: Run) -> None:
    store(folder, events_api_record(BODY, ARRIVED).line())
    result = run("verify")
    assert result.exit_code == 0
    assert counts(result.output)["from the Events API, which signs nothing"] == 1


def test_what_stripe_signed_and_is_no_json_is_counted(folder: Path, run: Run) -> None:
    store(folder, signed_record(b"hello").line())
    result = run("verify")
    assert result.exit_code == 0
    assert counts(result.output)["of these no JSON, kept as received"] == 1


def test_every_damage_is_reported_with_its_place_and_stops_nothing(folder: Path, run: Run) -> None:
    good = lines(50)
    whole = gzip.compress(b"".join(good))
    day = folder / DAY_KEY
    store(folder, *good, name="good.json.gz")
    store(folder, good[0], good[1][:-1] + good[2], good[3], name="two.json.gz")
    store(folder, good[0], b"\n", name="empty-line.json.gz")
    (day / "cut.json.gz").write_bytes(whole[:-20])
    (day / "export.csv").write_bytes(b"id,type\n")
    (day / "unpacked.json.gz").write_bytes(b"".join(good))
    (folder / "webhooks/readme.txt").write_text("hello")
    (day / ".a.json.gz.tmp").write_bytes(b"half")
    result = run("verify", "--json")
    assert result.exit_code == 1
    found = json.loads(result.output)
    storage = {
        (fault["key"].removeprefix(f"{DAY_KEY}/"), fault["line"], fault["what"].split(":")[0])
        for fault in found["broken_at"]
    }
    (cut_line,) = {line for key, line, _ in storage if key == "cut.json.gz"}
    assert storage == {
        ("two.json.gz", 2, "two records on one line"),
        ("empty-line.json.gz", 2, "an empty line"),
        ("cut.json.gz", cut_line, "gzip is cut short"),
        ("export.csv", None, "not gzip"),
        ("unpacked.json.gz", None, "not gzip, but records as they are"),
        ("webhooks/readme.txt", None, "in no day's folder"),
    }
    assert found["broken"] == 6
    assert cut_line > 1
    assert found["genuine"]["STRIPE_WEBHOOK_SECRET, no. 1"] == 50 + 2 + 1 + (cut_line - 1)


def test_only_the_days_that_were_asked_for_are_read(folder: Path, run: Run) -> None:
    for days in range(3):
        arrived = ARRIVED - timedelta(days=days)
        day = arrived.strftime("webhooks/year=%Y/month=%m/day=%d")
        store(folder, signed_record(arrived=arrived).line(), day=day)
    result = run("verify", "--from", "2026-11-21", "--to", "2026-11-22")
    assert counts(result.output)["records"] == 2
    assert counts(run("verify").output)["records"] == 3


def test_an_archive_without_a_record_is_fine(run: Run) -> None:
    result = run("verify")
    assert result.exit_code == 0
    assert counts(result.stdout)["records"] == 0
    assert result.stderr == "Nothing is proved: the archive has no object (all days)\n"


def test_a_damaged_archive_is_listed_up_to_a_bound(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_FAULTS", 30)
    for name in "ab":
        store(folder, *[b"hello\n"] * 25, name=f"{name}.json.gz")
    found = json.loads(run("verify", "--json").output)
    assert (found["broken"], len(found["broken_at"])) == (50, 30)
    text = run("verify").output
    assert text.count("line ") == 20
    assert "… and 30 more" in text


def test_without_a_secret_nothing_is_proved(run: Run) -> None:
    result = run("verify", STRIPE_WEBHOOK_SECRET="")
    assert result.exit_code == 2
    assert "set STRIPE_WEBHOOK_SECRET" in result.output


def test_the_longer_tolerance_of_the_service_can_be_given(folder: Path, run: Run) -> None:
    store(folder, signed_record(delay_s=3000).line())
    assert run("verify").exit_code == 1
    assert run("verify", STRIPE_SIGNATURE_TOLERANCE="3600").exit_code == 0


@mock_aws
def test_a_bucket_is_verified_like_a_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    storages.s3_client.cache_clear()
    s3 = boto3.client("s3", "us-east-1")
    s3.create_bucket(Bucket="mine")
    data = gzip.compress(b"".join(lines(5)))
    s3.put_object(Bucket="mine", Key=f"{DAY_KEY}/a.json.gz", Body=data)
    s3.put_object(Bucket="mine", Key=f"{DAY_KEY}/b.json.gz", Body=data[:-9])
    result = run("verify", "--archive", "s3://mine", "--json", AWS_REGION="us-east-1")
    storages.s3_client.cache_clear()
    found = json.loads(result.output)
    assert found["records"] in (9, 10)  # zlib may keep the last one to itself
    assert found["broken"] == 1
    assert found["broken_at"][0]["key"] == f"{DAY_KEY}/b.json.gz"
    assert result.exit_code == 1


@mock_aws
def test_an_object_in_an_archive_class_is_named_and_stops_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    storages.s3_client.cache_clear()
    s3 = boto3.client("s3", "us-east-1")
    s3.create_bucket(Bucket="mine")
    data = gzip.compress(b"".join(lines(5)))
    s3.put_object(Bucket="mine", Key=f"{DAY_KEY}/a.json.gz", Body=data, StorageClass="GLACIER")
    s3.put_object(Bucket="mine", Key=f"{DAY_KEY}/b.json.gz", Body=data)
    result = run("verify", "--archive", "s3://mine", AWS_REGION="us-east-1")
    storages.s3_client.cache_clear()
    assert result.exit_code == 1
    assert f"  {DAY_KEY}/a.json.gz: cannot be read: InvalidObjectState\n" in result.output
    assert counts(result.output)["records"] == 5


def test_what_a_script_reads(folder: Path, run: Run) -> None:
    forged = signed_record(b'{"id": "evt_1", "amount": 1}').line().replace(b": 1}", b": 2}")
    store(folder, *lines(2), forged, b"{}\n")
    told = json.loads(run("verify", "--json").output)
    assert told.pop("stored_bytes") > 100
    (broken,), (unproven,) = told.pop("broken_at"), told.pop("unproven_at")
    assert broken.keys() == unproven.keys() == {"key", "line", "what"}
    assert told == {
        "records": 4,
        "objects": 1,
        "genuine": {"STRIPE_WEBHOOK_SECRET, no. 1": 2},
        "from_events_api": 0,
        "erased": 0,
        "redacted": 0,
        "not_json": 0,
        "unproven": 1,
        "broken": 1,
    }


def test_secrets_that_are_no_text_are_an_error(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "secrets.gz"
    path.write_bytes(b"\x1f\x8b\xff")
    result = run("verify", "--secrets", str(path))
    assert result.exit_code == 2
    assert "cannot be read as text\n  Fix: " in result.output


def test_each_day_is_judged_by_its_own_folder(folder: Path) -> None:
    for n in range(4):
        store(folder, *lines(1), day=f"webhooks/year=2026/month=11/day={20 + n}")
    storage = storages.FolderStorage(folder, "a")
    stats = verify.verified(storage, Days(), [SECRET], 300)
    assert (stats.objects, stats.broken.count) == (4, 2)
    assert stats.genuine_days == {date(2026, 11, 22), date(2026, 11, 23)}


def test_a_mark_at_the_beginning_of_the_secrets_is_no_part_of_them(
    folder: Path, run: Run, tmp_path: Path
) -> None:
    store(folder, *lines(3))
    secrets = tmp_path / "secrets.txt"
    secrets.write_text(f"{SECRET}\n", encoding="utf-8-sig")
    result = run("verify", "--secrets", str(secrets), STRIPE_WEBHOOK_SECRET="")
    assert result.exit_code == 0, result.output
    assert counts(result.output)["genuine, by secrets.txt, line 1"] == 3


def test_what_is_no_regular_file_is_named_and_holds_nothing_up(folder: Path, run: Run) -> None:
    store(folder, *lines(2))
    os.mkfifo(folder / DAY_KEY / "fifo.json.gz")
    (folder / DAY_KEY / "zero.json.gz").symlink_to("/dev/zero")
    result = run("verify")
    assert result.exit_code == 1
    for name in ("fifo", "zero"):
        assert f"{DAY_KEY}/{name}.json.gz: cannot be read: not a regular file\n" in result.output
    assert counts(result.output)["genuine, by STRIPE_WEBHOOK_SECRET, no. 1"] == 2


def test_any_name_of_a_file_is_printed_and_moves_no_cursor(folder: Path, run: Run) -> None:
    store(folder, b"hello\n")
    name = b"\xff\x1b[2J\x9b.json.gz"
    (folder / DAY_KEY / "a.json.gz").rename(folder / DAY_KEY / os.fsdecode(name))
    result = run("verify")
    assert result.exit_code == 1
    assert f"{DAY_KEY}/\ufffd\ufffd[2J\ufffd.json.gz line 1: not JSON\n" in result.output
    told = run("verify", "--json").stdout
    assert told.isascii()
    (fault,) = json.loads(told)["broken_at"]
    assert os.fsencode(fault["key"]) == os.fsencode(DAY_KEY) + b"/" + name


@pytest.mark.parametrize("text", [b"\n", b"x\n", b"x"], ids=["empty", "short", "endless"])
def test_a_small_object_that_unpacks_to_much_is_given_up(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 5_000_000)
    store(folder, text * (10_000_000 // len(text)))
    store(folder, *lines(2), name="b.json.gz")
    began = time.process_time()
    result = run("verify")
    assert time.process_time() - began < 3
    assert result.exit_code == 1
    assert counts(result.output)["broken"] in (1, 1001)
    assert counts(result.output)["genuine, by STRIPE_WEBHOOK_SECRET, no. 1"] == 2


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_the_ends_of_the_calendar_can_be_asked_for(folder: Path, run: Run, day: str) -> None:
    year, month, number = day.split("-")
    store(folder, *lines(1), day=f"webhooks/year={year}/month={month}/day={number}")
    result = run("verify", "--from", day, "--to", day)
    assert result.exit_code == 1
    assert f"it arrived on 2026-11-23 and lies in the folder of {day}" in result.output


@mock_aws
def test_keys_that_no_file_can_have_are_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    storages.s3_client.cache_clear()
    s3 = boto3.client("s3", "us-east-1")
    s3.create_bucket(Bucket="mine")
    keys = ("a.json.gz", "a.json.gz/b", f"{'x' * 300}.json.gz", "../up", "a//b", "\x1b[2J.json.gz")
    for key in keys:
        data = gzip.compress(b"".join(lines(1)))
        s3.put_object(Bucket="mine", Key=f"{DAY_KEY}/{key}", Body=data)
    result = run("verify", "--archive", "s3://mine", AWS_REGION="us-east-1")
    storages.s3_client.cache_clear()
    assert counts(result.output)["genuine, by STRIPE_WEBHOOK_SECRET, no. 1"] == len(keys)
    assert result.exit_code == 0

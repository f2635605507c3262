"""`stripe-archive seal` and `verify --sealed`: the chain of manifests, and what it shows."""

import gzip
import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.archive_tools.conftest import Run, signed_record, stop_clock, store

DAYS = ("2026-11-20", "2026-11-21", "2026-11-22")

#: At noon after the last of the days.
NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp())
DAY_S = 86_400


def day_key(day: str, prefix: str = "webhooks") -> str:
    year, month, number = day.split("-")
    return f"{prefix}/year={year}/month={month}/day={number}"


def manifest(folder: Path, day: str) -> Path:
    return folder / f"{day_key(day, 'manifests')}.json"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def events(day: str, *ids: str) -> list[bytes]:
    arrived = datetime.fromisoformat(f"{day}T09:00:00+00:00")
    bodies = (b'{"id": "%s", "type": "t", "object": "event"}' % name.encode() for name in ids)
    return [signed_record(body, arrived=arrived).line() for body in bodies]


def head_of(output: str) -> str:
    return output.splitlines()[-1]


@pytest.fixture
def archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two objects with three events on each of three days, and none on the second."""
    stop_clock(monkeypatch, NOON)
    for day in (DAYS[0], DAYS[2]):
        store(folder, *events(day, f"evt_{day}_1", f"evt_{day}_2"), day=day_key(day))
        store(folder, *events(day, f"evt_{day}_3"), name="b.json.gz", day=day_key(day))
    return folder


def test_a_day_that_is_over_is_sealed_with_every_object(archive: Path, run: Run) -> None:
    result = run("seal")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(
        "Sealed 2026-11-20 to 2026-11-22: 4 objects with 6 records\nhead "
    )
    data = manifest(archive, DAYS[2]).read_bytes()
    assert head_of(result.stdout) == f"head {hashlib.sha256(data).hexdigest()} of {DAYS[2]}"
    found = json.loads(data)
    assert data == json.dumps(found, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    ids = sorted(f"evt_{DAYS[2]}_{n}" for n in (1, 2, 3))
    path = archive / day_key(DAYS[2]) / "a.json.gz"
    assert found.pop("objects")[0] == {
        "key": f"{day_key(DAYS[2])}/a.json.gz",
        "records": 2,
        "sha256": sha256(path),
        "size": path.stat().st_size,
    }
    assert found == {
        "day": DAYS[2],
        "event_ids_sha256": hashlib.sha256("\n".join(ids).encode()).hexdigest(),
        "events": 3,
        "late": [],
        "previous": sha256(manifest(archive, DAYS[1])),
        "records": 3,
        "sealed_at": "2026-11-23T12:00:00Z",
        "version": 1,
    }


def test_the_chain_has_no_hole_where_nothing_arrived(archive: Path, run: Run) -> None:
    run("seal")
    empty = json.loads(manifest(archive, DAYS[1]).read_bytes())
    assert (empty["objects"], empty["records"]) == ([], 0)
    assert empty["previous"] == sha256(manifest(archive, DAYS[0]))
    assert json.loads(manifest(archive, DAYS[0]).read_bytes())["previous"] is None


def test_a_day_is_sealed_once_it_has_been_over_for_the_wait(
    archive: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    midnight = NOON - DAY_S // 2
    stop_clock(monkeypatch, midnight + 3600)
    assert head_of(run("seal").stdout).endswith(DAYS[1])
    assert "Nothing to seal" in run("seal").stdout
    assert head_of(run("seal", "--wait", "1").stdout).endswith(DAYS[2])


def test_nothing_is_sealed_twice(archive: Path, run: Run) -> None:
    first = run("seal")
    before = {day: manifest(archive, day).read_bytes() for day in DAYS}
    again = run("seal")
    assert again.exit_code == 0
    assert head_of(again.stdout) == head_of(first.stdout)
    assert before == {day: manifest(archive, day).read_bytes() for day in DAYS}
    assert len(list((archive / "manifests").rglob("*.*"))) == 3


def test_an_archive_without_a_day_that_is_over_has_no_head(folder: Path, run: Run) -> None:
    result = run("seal", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["head"] is None
    assert run("verify", "--sealed").exit_code == 1
    assert "Nothing is proved: no day is sealed." in run("verify", "--sealed").stdout


def test_what_arrives_late_is_sealed_with_a_later_day(
    archive: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("seal")
    late = store(archive, *events(DAYS[2], "evt_late"), name="late.json.gz", day=day_key(DAYS[2]))
    found = run("verify", "--sealed")
    assert found.exit_code == 1
    assert f"{day_key(DAYS[2])}/late.json.gz: not sealed: it arrived late" in found.stdout
    stop_clock(monkeypatch, NOON + DAY_S)
    assert "0 objects with 0 records, and 1 late object of earlier days" in run("seal").stdout
    named = json.loads(manifest(archive, "2026-11-23").read_bytes())["late"]
    assert [(one["key"], one["sha256"]) for one in named] == [
        (f"{day_key(DAYS[2])}/late.json.gz", sha256(late))
    ]
    stop_clock(monkeypatch, NOON + 2 * DAY_S)
    run("seal")
    assert json.loads(manifest(archive, "2026-11-24").read_bytes())["late"] == []
    proved = run("verify", "--sealed", "--json")
    assert proved.exit_code == 0, proved.output
    assert json.loads(proved.stdout)["late"] == [
        {"key": f"{day_key(DAYS[2])}/late.json.gz", "sealed": "2026-11-23"}
    ]


def test_what_arrives_weeks_late_is_sealed_only_where_somebody_says_so(
    archive: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_clock(monkeypatch, NOON + 10 * DAY_S)
    run("seal")
    store(archive, *events(DAYS[0], "evt_late"), name="late.json.gz", day=day_key(DAYS[0]))
    stop_clock(monkeypatch, NOON + 11 * DAY_S)
    run("seal")
    assert run("verify", "--sealed").exit_code == 1
    stop_clock(monkeypatch, NOON + 12 * DAY_S)
    assert "1 late object" in run("seal", "--from", DAYS[0]).stdout
    assert run("verify", "--sealed").exit_code == 0


def remove(path: Path) -> None:
    path.unlink()


def change(path: Path) -> None:
    path.write_bytes(gzip.compress(b"{}\n"))


def swap(path: Path) -> None:
    other = path.with_name("b.json.gz")
    here, there = path.read_bytes(), other.read_bytes()
    path.write_bytes(there)
    other.write_bytes(here)


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (remove, {"missing": ["a.json.gz"]}),
        (change, {"changed": ["a.json.gz"]}),
        (swap, {"changed": ["a.json.gz", "b.json.gz"]}),
        (
            lambda path: path.rename(path.with_name("c.json.gz")),
            {
                "missing": ["a.json.gz"],
                "added": ["c.json.gz"],
            },
        ),
    ],
)
def test_what_was_done_to_an_object_is_named(
    archive: Path, run: Run, tamper: Callable[[Path], object], expected: dict[str, list[str]]
) -> None:
    head = head_of(run("seal").stdout)
    assert run("verify", "--sealed", "--head", head).exit_code == 0
    tamper(archive / day_key(DAYS[0]) / "a.json.gz")
    for words in ((), ("--head", head)):
        result = run("verify", "--sealed", *words, "--json")
        found = json.loads(result.stdout)
        assert result.exit_code == 1
        for kind in ("changed", "missing", "added", "unreadable", "pending"):
            keys = [fault["key"].rpartition("/")[2] for fault in found[f"{kind}_at"]]
            assert keys == expected.get(kind, [])


def test_with_a_head_the_whole_past_is_proved_without_one_the_rest_is_said(
    archive: Path, run: Run
) -> None:
    head = head_of(run("seal").stdout)
    result = run("verify", "--sealed", "--head", head)
    assert result.exit_code == 0, result.output
    assert (
        "Proved: of what was sealed up to 2026-11-22, when the head was noted, nothing was "
        "removed or changed." in result.stdout
    )
    result = run("verify", "--sealed")
    assert result.exit_code == 0
    assert "Not proved: that they are the first ones." in result.stdout


def test_an_older_head_proves_up_to_its_day(archive: Path, run: Run) -> None:
    run("seal")
    result = run("verify", "--sealed", "--head", sha256(manifest(archive, DAYS[1])))
    assert result.exit_code == 0
    assert "up to 2026-11-21, when the head was noted" in result.stdout


def rewrite_chain(folder: Path, run: Run) -> None:
    """Do what anybody can do who may write everywhere: seal it all again."""
    for day in DAYS:
        manifest(folder, day).unlink()
    assert run("seal").exit_code == 0


def test_a_chain_that_was_written_anew_is_seen_with_the_head_alone(archive: Path, run: Run) -> None:
    head = head_of(run("seal").stdout)
    change(archive / day_key(DAYS[0]) / "a.json.gz")
    rewrite_chain(archive, run)
    assert run("verify", "--sealed").exit_code == 0
    result = run("verify", "--sealed", "--head", head)
    assert result.exit_code == 1
    assert (
        "The head: the manifest of 2026-11-22 is not that of --head: it or one before it was "
        "written anew" in result.stdout
    )


def test_a_manifest_that_was_rewritten_with_its_object_is_named(archive: Path, run: Run) -> None:
    run("seal")
    path = archive / day_key(DAYS[0]) / "a.json.gz"
    change(path)
    rewritten = json.loads(manifest(archive, DAYS[0]).read_bytes())
    rewritten["objects"][0] |= {"sha256": sha256(path), "size": path.stat().st_size, "records": 1}
    rewritten["records"] = 2
    text = json.dumps(rewritten, sort_keys=True, separators=(",", ":"))
    manifest(archive, DAYS[0]).write_text(text + "\n")
    result = run("verify", "--sealed")
    assert result.exit_code == 1
    assert (
        "manifests/year=2026/month=11/day=20.json: not the manifest that the one of 2026-11-21 "
        "was chained to" in result.stdout
    )


def test_the_end_of_the_chain_that_was_cut_off_is_named_with_the_head(
    archive: Path, run: Run
) -> None:
    head = head_of(run("seal").stdout)
    manifest(archive, DAYS[2]).unlink()
    assert run("verify", "--sealed").exit_code == 0
    result = run("verify", "--sealed", "--head", head)
    assert result.exit_code == 1
    assert (
        "The head: the manifest of 2026-11-22, the day of --head, was removed: the chain ends "
        "with 2026-11-21" in result.stdout
    )


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (None, "missing"),
        (b"", "not a manifest"),
        (b"[" * 100_000, "not a manifest"),
        (b'{"version":2}\n', "a manifest of version 2"),
    ],
)
def test_a_manifest_that_is_none_is_named_and_its_objects_are_not_held_against_it(
    archive: Path, run: Run, data: bytes | None, what: str
) -> None:
    run("seal")
    if data is None:
        manifest(archive, DAYS[0]).unlink()
        manifest(archive, DAYS[1]).unlink()
    else:
        manifest(archive, DAYS[0]).write_bytes(data)
    result = run("verify", "--sealed", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert any(fault["what"].startswith(what) for fault in found["chain_at"]), found["chain_at"]
    assert (found["added"], found["missing"], found["not_yet_sealed"]) == (0, 0, 2)


def test_days_outside_of_the_range_are_not_compared(archive: Path, run: Run) -> None:
    head = head_of(run("seal").stdout)
    (archive / day_key(DAYS[0]) / "a.json.gz").unlink()
    result = run("verify", "--sealed", "--head", head, "--from", DAYS[1])
    assert result.exit_code == 0, result.output
    assert run("verify", "--sealed", "--to", DAYS[1]).exit_code == 1


def test_an_object_whose_lines_cannot_be_read_is_sealed_as_it_is(archive: Path, run: Run) -> None:
    (archive / day_key(DAYS[0]) / "c.json.gz").write_bytes(b"no gzip")
    result = run("seal")
    assert result.exit_code == 1
    assert "Lines of 1 object cannot be read" in result.stderr
    assert run("verify", "--sealed").exit_code == 0


def test_an_object_that_cannot_be_read_is_not_sealed(archive: Path, run: Run) -> None:
    link = archive / day_key(DAYS[2]) / "c.json.gz"
    link.symlink_to("nowhere")
    result = run("seal")
    assert result.exit_code == 2
    assert "c.json.gz of" in result.stderr
    assert manifest(archive, DAYS[1]).exists()
    link.unlink()
    assert head_of(run("seal").stdout).endswith(DAYS[2])


def test_what_lies_in_no_days_folder_is_named(archive: Path, run: Run) -> None:
    run("seal")
    (archive / "webhooks" / "copy.json.gz").write_bytes(b"")
    result = run("verify", "--sealed")
    assert result.exit_code == 1
    assert "webhooks/copy.json.gz: in no day's folder" in result.stdout


def test_keys_that_are_no_utf8_are_sealed_too(archive: Path, run: Run) -> None:
    name = os.fsdecode(b"\xff\xfe.json.gz")
    store(archive, *events(DAYS[0], "evt_x"), name=name, day=day_key(DAYS[0]))
    assert run("seal").exit_code == 0
    assert run("verify", "--sealed").exit_code == 0
    (archive / day_key(DAYS[0]) / name).unlink()
    assert run("verify", "--sealed").exit_code == 1


def test_a_folder_older_than_stripe_is_refused(archive: Path, run: Run) -> None:
    store(archive, *events(DAYS[0], "evt_x"), day=day_key("1970-01-01"))
    result = run("seal")
    assert result.exit_code == 2
    assert "has a folder of 1970-01-01" in result.stderr


def test_a_head_that_is_none_is_refused(archive: Path, run: Run) -> None:
    assert "64 hexadecimal digits" in run("verify", "--sealed", "--head", "abc").stderr
    assert "add --sealed" in run("verify", "--head", "0" * 64).stderr

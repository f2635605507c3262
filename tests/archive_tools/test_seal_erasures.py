"""Erasures in sealed days: `verify --sealed` accounts for each, and for nothing else."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.archive_tools.conftest import Run, stop_clock, store
from tests.archive_tools.test_seal import DAY_S, DAYS, NOON, archive, day_key, events, head_of

__all__ = ["archive"]

TODAY = "2026-11-23"
KEY = f"{day_key(DAYS[0])}/a.json.gz"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def step(folder: Path, key: str, after: bytes | None) -> dict[str, Any]:
    """What the list of an erasure says of an object that it is going to rewrite."""
    before = (folder / key).read_bytes()
    left = gzip.decompress(after).count(b"\n") if after else 0
    return {
        "kind": "object",
        "key": key,
        "sha256_before": sha(before),
        "size_before": len(before),
        "records_before": gzip.decompress(before).count(b"\n"),
        "sha256_after": sha(after) if after else None,
        "size_after": len(after) if after else 0,
        "records_after": left,
    }


def plan(folder: Path, *steps: dict[str, Any], day: str = TODAY, name: str = "e") -> str:
    """Write the list of an erasure and return its key."""
    first = {
        "kind": "erasure",
        "erased_at": f"{day}T10:00:00.000000Z",
        "erasure": "6f1c3a52-0000-4000-8000-000000000001",
        "reason": "request 17",
        "by": "dpo",
        "mode": "remove",
    }
    lines = [first, *steps, {"kind": "event", "id_hash": "aa"}]
    store(
        folder,
        *(json.dumps(line).encode() + b"\n" for line in lines),
        name=f"{name}.json.gz",
        day=day_key(day, "erasures"),
    )
    return f"{day_key(day, 'erasures')}/{name}.json.gz"


def rewrite(folder: Path, key: str, after: bytes | None) -> None:
    if after is None:
        (folder / key).unlink()
    else:
        (folder / key).write_bytes(after)


ONE_LEFT = gzip.compress(events(DAYS[0], f"evt_{DAYS[0]}_1")[0], mtime=0)


def found(result: Result) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(result.stdout)
    return value


@pytest.mark.parametrize(("after", "lost"), [(ONE_LEFT, 1), (None, 2)])
def test_an_erasure_accounts_for_the_object_that_it_has_rewritten(
    archive: Path, run: Run, monkeypatch: pytest.MonkeyPatch, after: bytes | None, lost: int
) -> None:
    head = head_of(run("seal").stdout)
    erasure = plan(archive, step(archive, KEY, after))
    rewrite(archive, KEY, after)
    for sealed in (None, TODAY):
        result = run("verify", "--sealed", "--head", head, "--json")
        assert result.exit_code == 0, result.output
        one = found(result)
        assert (one["erased_objects"], one["erased_records"]) == (1, lost)
        assert one["erasures"] == [
            {
                "key": erasure,
                "sealed": sealed,
                "erased_at": f"{TODAY}T10:00:00.000000Z",
                "reason": "request 17",
                "by": "dpo",
                "mode": "remove",
                "events": 1,
                "objects": 1,
                "records": lost,
            }
        ]
        text = run("verify", "--sealed", "--head", head).stdout
        assert "but for 1 object that erasures account for" in text
        assert "after the head" in text
        stop_clock(monkeypatch, NOON + DAY_S)
        run("seal")


def test_two_erasures_of_one_object_are_a_chain(archive: Path, run: Run) -> None:
    run("seal")
    plan(archive, step(archive, KEY, ONE_LEFT))
    rewrite(archive, KEY, ONE_LEFT)
    plan(archive, step(archive, KEY, None), name="f")
    rewrite(archive, KEY, None)
    one = found(run("verify", "--sealed", "--json"))
    assert one["proved"] is True
    assert (one["erased_objects"], one["erased_records"]) == (1, 2)
    assert [erasure["records"] for erasure in one["erasures"]] == [1, 1]


def test_an_erasure_that_was_not_carried_out_is_a_finding(archive: Path, run: Run) -> None:
    run("seal")
    erasure = plan(archive, step(archive, KEY, ONE_LEFT))
    result = run("verify", "--sealed")
    assert result.exit_code == 1
    assert f"{KEY}: still has what {erasure} was to erase" in result.stdout
    rewrite(archive, KEY, ONE_LEFT)
    assert run("verify", "--sealed").exit_code == 0


def test_what_was_erased_and_is_back_is_a_finding(archive: Path, run: Run) -> None:
    run("seal")
    before = (archive / KEY).read_bytes()
    plan(archive, step(archive, KEY, None))
    rewrite(archive, KEY, None)
    assert run("verify", "--sealed").exit_code == 0
    (archive / KEY).write_bytes(before)
    assert found(run("verify", "--sealed", "--json"))["pending"] == 1


@pytest.mark.parametrize(
    "other",
    [
        {"records_after": 0},
        {"records_before": 3},
        {"sha256_after": sha(b"something else")},
        {"key": f"{day_key(DAYS[0])}/b.json.gz"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_an_erasure_that_does_not_fit_accounts_for_nothing(
    archive: Path, run: Run, other: dict[str, Any]
) -> None:
    run("seal")
    plan(archive, step(archive, KEY, ONE_LEFT) | other)
    rewrite(archive, KEY, ONE_LEFT)
    one = found(run("verify", "--sealed", "--json"))
    assert one["proved"] is False
    assert [fault["key"] for fault in one["changed_at"]] == [KEY]
    assert one["erased_objects"] == 0


def test_an_erasure_that_was_forged_into_a_sealed_day_accounts_for_nothing(
    archive: Path, run: Run
) -> None:
    run("seal")
    erasure = plan(archive, step(archive, KEY, None), day=DAYS[2])
    rewrite(archive, KEY, None)
    one = found(run("verify", "--sealed", "--json"))
    assert [fault["key"] for fault in one["added_at"]] == [erasure]
    assert [fault["key"] for fault in one["missing_at"]] == [KEY]
    assert one["erasures"] == []


def test_an_erasure_that_was_changed_after_it_was_sealed_accounts_for_nothing(
    archive: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(archive, step(archive, KEY, ONE_LEFT))
    run("seal")
    rewrite(archive, KEY, ONE_LEFT)
    stop_clock(monkeypatch, NOON + DAY_S)
    run("seal")
    assert run("verify", "--sealed").exit_code == 0
    other = f"{day_key(DAYS[0])}/b.json.gz"
    erasure = plan(archive, step(archive, other, None))
    rewrite(archive, other, None)
    one = found(run("verify", "--sealed", "--json"))
    assert [fault["key"] for fault in one["changed_at"]] == [KEY, erasure]
    assert [fault["key"] for fault in one["missing_at"]] == [other]


def test_a_list_of_an_erasure_that_cannot_be_read_is_a_finding(archive: Path, run: Run) -> None:
    run("seal")
    store(archive, b"{}\n", day=day_key(TODAY, "erasures"))
    result = run("verify", "--sealed")
    assert result.exit_code == 1
    assert "Erasures that cannot be read:" in result.stdout

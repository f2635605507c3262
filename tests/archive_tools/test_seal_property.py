"""For any archive and any tampering, `verify --sealed` names what was done to it.

What it names is held against what the test itself has done. With the head nothing stays unseen;
without it, what was rewritten as a whole chain cannot be seen, and the result says so.
"""

import gzip
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from click.testing import CliRunner
from hypothesis import event, given, settings
from hypothesis import strategies as st

from archive_tools.cli import archive as command
from tests.archive_tools.conftest import store
from tests.archive_tools.test_seal import day_key, manifest

#: For a long run: SEAL_EXAMPLES=5000.
EXAMPLES = int(os.environ.get("SEAL_EXAMPLES", "40"))

FIRST = date(2026, 11, 1)
KINDS = ("changed", "missing", "added")

#: How many days the archive has, and which object of which day is where.
Places = list[tuple[int, str]]
places = st.tuples(st.integers(0, 3), st.sampled_from(["webhooks/a", "webhooks/b", "snapshots/a"]))


def key_of(place: tuple[int, str]) -> str:
    prefix, name = place[1].split("/")
    return f"{day_key(str(FIRST + timedelta(days=place[0])), prefix)}/{name}.json.gz"


def write(folder: Path, key: str, text: str) -> None:
    day, _, name = key.rpartition("/")
    store(folder, text.encode() + b"\n", name=name, day=day)


@contextmanager
def at_noon_after(day: int) -> Iterator[None]:
    now = datetime(2026, 11, 2, 12, tzinfo=UTC) + timedelta(days=day)
    with mock.patch("time.time", now.timestamp):
        yield


def run(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(command, [*words, "--archive", str(folder), "--json"], env=NOTHING)
    assert result.exit_code in (0, 1), result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return result.exit_code, found


NOTHING = {"ARCHIVE_DIR": "", "ARCHIVE_BUCKET": "", "PYTHON_DOTENV_DISABLED": "1"}


@dataclass
class Tampering:
    """What is done to an archive, and what has to be named for it."""

    folder: Path
    named: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in KINDS})
    erased: int = 0

    def bytes_of(self, key: str) -> bytes:
        return (self.folder / key).read_bytes()

    def remove(self, key: str, _: str) -> None:
        (self.folder / key).unlink()
        self.named["missing"].add(key)

    def change(self, key: str, _: str) -> None:
        write(self.folder, key, "something else")
        self.named["changed"].add(key)

    def add(self, key: str, _: str) -> None:
        beside = key.replace(".json.gz", "-new.json.gz")
        write(self.folder, beside, "new")
        self.named["added"].add(beside)

    def swap(self, key: str, other: str) -> None:
        here, there = self.bytes_of(key), self.bytes_of(other)
        (self.folder / key).write_bytes(there)
        (self.folder / other).write_bytes(here)
        self.named["changed"] |= {key, other}

    def forge_old(self, key: str, _: str) -> None:
        """Remove an object, with an erasure that looks as if it had been sealed."""
        self.named["added"].add(self._erasure(key, FIRST))
        self.remove(key, "")

    def forge_new(self, key: str, _: str) -> None:
        """Remove an object, with an erasure of today: of that it is said what it claims."""
        self._erasure(key, FIRST + timedelta(days=30))
        (self.folder / key).unlink()
        self.erased += 1

    def _erasure(self, key: str, day: date) -> str:
        line = {
            "kind": "object",
            "key": key,
            "sha256_before": hashlib.sha256(self.bytes_of(key)).hexdigest(),
            "records_before": 1,
            "sha256_after": None,
            "records_after": 0,
        }
        name = f"{hashlib.sha256(key.encode()).hexdigest()[:8]}.json.gz"
        where = day_key(str(day), "erasures")
        store(self.folder, json.dumps(line).encode() + b"\n", name=name, day=where)
        return f"{where}/{name}"


OBJECT_TAMPERINGS = ("remove", "change", "add", "swap", "forge_old", "forge_new")


def manifests(folder: Path) -> dict[str, bytes]:
    found = sorted(folder.glob("manifests/*/*/*.json"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def rewrite(folder: Path, day: date) -> None:
    """Make a day's manifest fit what its objects are now; leave the rest of the chain."""
    path = manifest(folder, str(day))
    fields = json.loads(path.read_bytes())
    here = [
        (found.relative_to(folder).as_posix(), found.read_bytes())
        for prefix in ("erasures", "snapshots", "webhooks")
        for found in sorted((folder / day_key(str(day), prefix)).glob("*.gz"))
    ]
    fields["objects"] = [
        {
            "key": key,
            "records": gzip.decompress(data).count(b"\n"),
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
        }
        for key, data in here
    ]
    fields["records"] = sum(one["records"] for one in fields["objects"])
    path.write_text(json.dumps(fields, sort_keys=True, separators=(",", ":")) + "\n")


@given(
    there=st.sets(places, min_size=2),
    late=st.sets(places),
    tampered=st.lists(st.tuples(st.sampled_from(OBJECT_TAMPERINGS), st.integers(0)), max_size=4),
    chain=st.sampled_from(["left", "rewritten", "cut", "anew"]),
    which=st.integers(0),
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_what_was_done_is_named(
    there: set[tuple[int, str]],
    late: set[tuple[int, str]],
    tampered: list[tuple[str, int]],
    chain: str,
    which: int,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for place in there:
            write(folder, key_of(place), f"of {place}")
        with at_noon_after(2):
            run(folder, "seal")
        for place in late - there:
            write(folder, key_of(place), f"late {place}")
        with at_noon_after(5):
            head = run(folder, "seal")[1]["head"]
        status, found = run(folder, "verify", "--sealed", "--head", head["sha256"])
        assert (status, found["proved"]) == (0, True)

        done = Tampering(folder)
        keys = [key_of(place) for place in sorted(there | late)]
        for how, number in tampered:
            if len(keys) < 2:
                break
            key = keys.pop(number % len(keys))
            other = keys.pop(number % len(keys)) if how == "swap" else ""
            getattr(done, how)(key, other)

        before = manifests(folder)
        days = [date.fromisoformat(json.loads(data)["day"]) for data in before.values()]
        day = days[which % len(days)]
        if chain == "rewritten":
            rewrite(folder, day)
        elif chain in ("cut", "anew"):
            for gone in days[days.index(day) :]:
                manifest(folder, str(gone)).unlink()
        if chain == "anew":
            with at_noon_after(5):
                run(folder, "seal")
        after = manifests(folder)
        event(f"{chain}, {'another chain' if after != before else 'the same chain'}")

        line = f"head {head['sha256']} of {head['day']}"
        status, with_head = run(folder, "verify", "--sealed", "--head", line)
        _, without = run(folder, "verify", "--sealed")
        assert with_head["proved"] is (status == 0)
        for kind in (*KINDS, "chain"):
            assert with_head[f"{kind}_at"] == without[f"{kind}_at"]
        if after == before:
            # the objects that were tampered with, and no other
            for found in (with_head, without):
                for kind in KINDS:
                    assert {one["key"] for one in found[f"{kind}_at"]} == done.named[kind]
                assert found["erased_objects"] == done.erased
                claims = [one for one in found["erasures"] if one["sealed"] is None]
                assert len(claims) == done.erased
                assert found["proved"] is not any(done.named.values())
                assert found["chain_at"] == []
            return
        # somebody has written to the chain itself: with the head that is never unseen
        assert with_head["proved"] is False
        if chain == "rewritten":
            key = manifest(folder, str(day)).relative_to(folder).as_posix()
            if day == days[-1]:
                assert "is not that of --head" in with_head["given_head"]["problem"]
                assert without["chain_at"] == []
            else:
                assert [one["key"] for one in with_head["chain_at"]] == [key]
        elif chain == "cut":
            problem = with_head["given_head"]["problem"]
            assert "was removed" in problem or problem.startswith("no day is sealed")
            assert without["chain_at"] == []
        else:
            assert with_head["given_head"]["problem"]
        if without["proved"]:
            assert "Not proved: that they are the first ones" in without["sentence"]

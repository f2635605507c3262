"""`flask archive export`, as it is called: what other tools find in the folder."""

import gzip
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from archive_tools.querying.database import Database
from archive_tools.querying.duckdb_engine import open_duckdb
from archive_tools.storage import FolderStorage
from tests.archive_tools.conftest import Run, store
from tests.archive_tools.engines import BUCKET, arrival, bucket_like, folder_name, line

PAID = {"data": {"object": {"id": "ch_1", "amount": 12340, "currency": "kwd"}}}


@pytest.fixture(autouse=True)
def events(folder: Path) -> None:
    """Four events on three days; of one there are copies on all of them, of one there are twins."""
    arrival(folder, "evt_1", "2026-11-21T10:00", payload=PAID)
    arrival(folder, "evt_1", "2026-11-22T10:00", payload="later")
    arrival(folder, "evt_1", "2026-11-23T10:00", payload="last")
    arrival(folder, "evt_2", "2026-11-22T11:00")
    arrival(folder, "evt_3", "2026-11-23T12:00", livemode=False)
    twin = line("evt_4", "twin", "2026-11-23T13:00:00.000000Z")
    store(folder, twin, twin, name="twins.json.gz")
    store(folder, line(None, "[]"), name="none.json.gz")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "exported"


def rows_of(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as database:
        return database.execute(sql).fetchall()


def parquet(target: Path, what: str = "*") -> list[tuple[Any, ...]]:
    found = f"read_parquet('{target}/**/*.parquet', hive_partitioning = true)"
    return rows_of(f"SELECT {what} FROM {found} ORDER BY ALL")


def test_each_event_is_in_the_day_of_its_earliest_arrival(run: Run, target: Path) -> None:
    result = run("export", "--output", str(target))
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{target}: 4 rows in 3 files, ")
    assert parquet(target, "id, day, received_at") == [
        ("evt_1", 21, datetime(2026, 11, 21, 10)),
        ("evt_2", 22, datetime(2026, 11, 22, 11)),
        ("evt_3", 23, datetime(2026, 11, 23, 12)),
        ("evt_4", 23, datetime(2026, 11, 23, 13)),
    ]
    names = sorted(path.relative_to(target).as_posix() for path in target.rglob("*.*"))
    assert names == [
        f"year=2026/month=11/day={day}/stripe_events_0.parquet" for day in (21, 22, 23)
    ]


def test_an_export_of_all_is_the_view(folder: Path, run: Run, target: Path) -> None:
    run("export", "--output", str(target), "--payload")
    with open_duckdb(FolderStorage(folder, "archive")) as engine:
        view = engine.run("SELECT * FROM stripe_events ORDER BY id")
    assert parquet(target, "* EXCLUDE (year, month, day)") == [row[:-3] for row in view.rows]


def test_exports_of_neighbouring_days_have_each_event_once(
    folder: Path, run: Run, tmp_path: Path
) -> None:
    # the first copy came a moment before the second, into an object of the next day's folder
    arrival(folder, "evt_5", "2026-11-22T00:03", day="2026-11-21")
    arrival(folder, "evt_5", "2026-11-22T00:02")
    found = {}
    for day in (20, 21, 22, 23):
        words = ("--from", f"2026-11-{day}", "--to", f"2026-11-{day}")
        target = tmp_path / str(day)
        run("export", "--output", str(target), *words)
        found[day] = [row[0] for row in parquet(target, "id")] if any(target.iterdir()) else []
    assert found == {20: [], 21: ["evt_1"], 22: ["evt_2", "evt_5"], 23: ["evt_3", "evt_4"]}


def test_every_delivery_is_exported_where_that_is_asked(run: Run, target: Path) -> None:
    words = ("--table", "stripe_webhooks", "--from", "2026-11-22", "--to", "2026-11-22")
    run("export", "--output", str(target), *words, "--payload")
    assert parquet(target, "id, payload, day") == [("evt_1", "later", 22), ("evt_2", "{}", 22)]


def test_the_payload_is_left_out_unless_it_is_asked_for(run: Run, target: Path) -> None:
    run("export", "--output", str(target))
    names = [row[0] for row in rows_of(f"DESCRIBE FROM '{target}/**/*.parquet'")]
    assert names[0] == "id"
    assert names[-5:-3] == ["minor_unit", "amount_major"]
    assert sorted(names[-3:]) == ["day", "month", "year"]


def test_money_is_exact(run: Run, target: Path, tmp_path: Path) -> None:
    run("export", "--output", str(target))
    (types,) = set(parquet(target, "typeof(amount_major), typeof(amount), typeof(created_at)"))
    assert types == ("DECIMAL(38,3)", "BIGINT", "TIMESTAMP")
    assert parquet(target, "amount_major")[0] == (Decimal("12.340"),)
    run("export", "--output", str(tmp_path / "json"), "--format", "ndjson")
    first = tmp_path / "json/year=2026/month=11/day=21/stripe_events_0.ndjson.gz"
    (record,) = map(json.loads, gzip.decompress(first.read_bytes()).splitlines())
    assert (record["amount"], record["amount_major"]) == (12340, "12.340")
    assert record["created_at"] == "2026-11-23T00:00:00.000Z"


def test_a_folder_of_ndjson_is_one_table(run: Run, target: Path) -> None:
    run("export", "--output", str(target), "--format", "ndjson")
    found = f"read_json('{target}/**/*.ndjson.gz', hive_partitioning = true)"
    rows = rows_of(f"SELECT id, day, livemode FROM {found} ORDER BY id")
    assert rows == [
        ("evt_1", 21, True), ("evt_2", 22, True), ("evt_3", 23, False), ("evt_4", 23, True)
    ]  # fmt: skip


FITTING = [
    ("string", "text", "text"),
    ("string", 5, "5"),
    ("string", True, "true"),
    ("string", "", ""),
    ("integer", -(2**63), -(2**63)),
    ("integer", "12", 12),
    ("decimal", "0.000000012345", Decimal("0.000000012345")),
    ("decimal", -3, Decimal(-3)),
    ("boolean", False, False),
    ("timestamp", 1_795_392_000, datetime(2026, 11, 23)),
    ("timestamp", 253_402_300_799, datetime(9999, 12, 31, 23, 59, 59)),
    ("json", {"a": [1, None]}, '{"a":[1,null]}'),
    ("json", [], "[]"),
]
MISFITS = [
    ("string", {}), ("string", []), ("integer", 1.5), ("integer", 2**63), ("integer", "x"),
    ("integer", True), ("decimal", "0.0000000000001"), ("decimal", "1e3"), ("decimal", "9" * 27),
    ("boolean", "yes"), ("boolean", 1), ("timestamp", -1), ("timestamp", 253_402_300_800),
    ("timestamp", "2026-11-23"),
]  # fmt: skip


def test_fields_of_the_payload_have_the_type_that_is_asked(
    folder: Path, run: Run, target: Path
) -> None:
    payload = {f"c{n}": value for n, (_, value, _) in enumerate(FITTING)}
    arrival(folder, "evt_0", "2026-11-23T14:00", payload=payload)
    fields = [f"--field=c{n}=c{n}:{type_}" for n, (type_, *_) in enumerate(FITTING)]
    result = run("export", "--output", str(target), "--where", "id = 'evt_0'", *fields)
    assert result.stderr == ""
    names = ", ".join(f"c{n}" for n in range(len(FITTING)))
    assert parquet(target, names) == [tuple(expected for *_, expected in FITTING)]


@pytest.mark.parametrize("form", ["parquet", "ndjson"])
def test_what_does_not_fit_is_null_and_counted(
    form: str, folder: Path, run: Run, target: Path
) -> None:
    payload = {f"c{n}": value for n, (_, value) in enumerate(MISFITS)} | {"nothing": None}
    arrival(folder, "evt_0", "2026-11-23T14:00", payload=payload)
    fields = [f"--field=c{n}=c{n}:{type_}" for n, (type_, _) in enumerate(MISFITS)]
    words = ("--json", "--format", form, "--field", "n=nothing:integer", "--field", "m=missing")
    result = run("export", "--output", str(target), *words, *fields)
    assert result.exit_code == 0
    misfits = {f"c{n}": 1 for n in range(len(MISFITS))}
    assert json.loads(result.stdout)["misfits"] == misfits
    assert "1 value of c0 does not fit its type, and is null" in result.stderr
    if form == "parquet":
        assert set(parquet(target, ", ".join(misfits))) == {(None,) * len(MISFITS)}


def test_a_path_goes_through_lists_and_odd_names(folder: Path, run: Run, target: Path) -> None:
    payload = {"lines": {"data": [{"a-b": 1}, {"a-b": 2}]}, "meta": {"o'r.der [1]": "odd"}}
    arrival(folder, "evt_0", "2026-11-23T14:00", payload=payload)
    fields = ("--field", "n=lines.data[1].a-b:integer", "--field", 'o=meta."o\'r.der [1]"')
    run("export", "--output", str(target), "--where", "id = 'evt_0'", *fields)
    assert parquet(target, "n, o") == [(2, "odd")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--field", "a=b:number"), "one of string, integer, decimal"),
        (("--field", "a=b..c"), "is no column"),
        (("--field", "a b=c"), "is no column"),
        (("--field", "amount=data.object.amount_due"), "another name"),
        (("--field", "a=b", "--field", "a=c"), "another name"),
        (("--where", "nothing = 1"), "nothing"),
        (("--where", "id IN (SELECT id FROM stripe_events)"), "query of its own"),
    ],
)
def test_a_wrong_word_leaves_no_folder(
    words: tuple[str, ...], told: str, run: Run, target: Path
) -> None:
    result = run("export", "--output", str(target), *words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert list(target.parent.glob("*exported*")) == []


def test_a_condition_is_of_athenas_dialect_and_decides_what_is_read(
    run: Run, target: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    where = "day = '23' AND json_extract_scalar(payload, '$.id') IS NULL AND NOT livemode"
    words = ("--output", str(target), "--table", "stripe_webhooks", "--where", where)
    for path in folder.rglob("day=22/*"):
        path.write_bytes(b"damaged, and not looked at")
    result = run("export", *words)
    assert result.exit_code == 0
    assert parquet(target, "id") == [("evt_3",)]


def test_a_folder_with_something_in_it_is_left_alone(run: Run, target: Path) -> None:
    target.mkdir()
    assert run("export", "--output", str(target)).exit_code == 0
    before = sorted(target.rglob("*"))
    result = run("export", "--output", str(target))
    assert result.exit_code == 2
    assert "is not empty" in result.stderr
    assert sorted(target.rglob("*")) == before


def test_an_interrupted_export_leaves_nothing(
    run: Run, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, seen = Database.stream, []

    def interrupted(database: Database, sql: str, *arguments: Any) -> int:
        count = stream(database, sql, *arguments)
        if "COPY" in sql:
            seen.append(len(list(target.parent.rglob("*.parquet"))))
            raise KeyboardInterrupt
        return count

    monkeypatch.setattr(Database, "stream", interrupted)
    result = run("export", "--output", str(target))
    assert (result.exit_code, seen) == (2, [3])
    assert "Interrupted" in result.stderr
    assert list(target.parent.glob("*exported*")) == []


def test_damage_is_told_and_the_rest_is_there_once(folder: Path, run: Run, target: Path) -> None:
    store(folder, b"garbage\n", line("evt_6"), name="damaged.json.gz")
    result = run("export", "--output", str(target), "--field", "n=x.y:integer")
    assert result.exit_code == 1
    assert (
        f"{folder_name('2026-11-23')}/damaged.json.gz line 1: not one JSON object" in result.stderr
    )
    assert [row[0] for row in parquet(target, "id")] == [f"evt_{n}" for n in (1, 2, 3, 4, 6)]
    assert result.stdout.startswith(f"{target}: 5 rows in 3 files, ")


def test_a_bucket_exports_as_a_folder_does(
    folder: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("export", "--output", str(tmp_path / "here"), "--payload")
    with bucket_like(folder, monkeypatch):
        words = ("--output", str(tmp_path / "there"), "--archive", f"s3://{BUCKET}", "--payload")
        result = run("export", *words)
    assert result.exit_code == 0
    assert parquet(tmp_path / "there") == parquet(tmp_path / "here")


def test_columns_whose_names_differ_in_their_case_alone_are_refused(run: Run, target: Path) -> None:
    for fields in (["ID=data.object.id"], ["Year=created"], ["a=data.b", "A=data.c"]):
        options = [word for field in fields for word in ("--field", field)]
        result = run("export", "--output", str(target), *options)
        assert result.exit_code == 2
        assert "More than one column is called" in result.stderr
        assert not target.exists()

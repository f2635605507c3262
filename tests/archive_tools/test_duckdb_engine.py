"""DuckDB as an engine: what it reads, what damage does, and that a bucket is like a folder."""

import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from random import Random

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from archive_tools import storage as storages
from archive_tools.days import Days
from archive_tools.errors import ToolError
from archive_tools.querying import database
from archive_tools.querying.duckdb_engine import DuckDBEngine, keys_and_ids, open_duckdb
from archive_tools.querying.engine import open_engine
from archive_tools.settings import ToolSettings
from archive_tools.storage import BucketStorage, FolderStorage
from tests.archive_tools.conftest import store
from tests.archive_tools.engines import BUCKET, REGION, arrival, bucket_like, folder_name, line
from webhook_app.environ import PROJECT

TODAY = date(2026, 11, 23)
DAYS = ["2025-12-31", "2026-10-31", "2026-11-01", "2026-11-22", "2026-11-23"]
ALL_IDS = "SELECT id FROM stripe_webhooks ORDER BY id"


@pytest.fixture
def days(folder: Path) -> Path:
    """An archive with one event on each of five days, called by its day."""
    for day in DAYS:
        arrival(folder, day, f"{day}T10:00")
    return folder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary files are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(params=["folder", "bucket"])
def engine(
    request: pytest.FixtureRequest, days: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DuckDBEngine]:
    if request.param == "folder":
        with open_duckdb(FolderStorage(days, "archive"), TODAY) as opened:
            yield opened
        return
    with bucket_like(days, monkeypatch) as storage, open_duckdb(storage, TODAY) as opened:
        yield opened


@pytest.fixture(scope="module")
def planner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBEngine]:
    folder = tmp_path_factory.mktemp("archive")
    for day in DAYS:
        arrival(folder, day, f"{day}T10:00")
    with open_duckdb(FolderStorage(folder, "archive"), TODAY) as opened:
        yield opened


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("year = '2026' AND month = '11' AND day = '23'", 1),
        ("year = '2026' AND id <> 'x' AND (month = '11' AND day > '20')", 2),
        ("year = '2025' OR day = '23'", 2),
        ("year || '-' || month || '-' || day >= date_format(current_date - INTERVAL '1' DAY, "
         "'%Y-%m-%d')", 2),
        ("CAST(day AS integer) % 2 = 0", 1),
        ("w.year IN ('2025', '2024')", 1),
        ("w.YEAR = '2026'", 4),
        ("year IS NULL", 0),
        ("year = '2026' OR id = 'x'", 5),
        ("day = id", 5),
        ("year = (SELECT max(year) FROM stripe_webhooks)", 5),
        ("day = (SELECT 'x')", 5),
        ("CAST(day AS double) > 99 + rand()", 5),
        ("CAST(month AS date) = current_date AND year = '2026'", 5),
        ("livemode", 5),
    ],
)  # fmt: skip
def test_the_conditions_on_the_days_alone_decide_what_is_read(
    where: str, kept: int, planner: DuckDBEngine
) -> None:
    plan = planner.plan(f"SELECT id FROM stripe_webhooks w WHERE {where}")
    assert (len(plan.days), plan.of_days) == (kept, 5)


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("SELECT 1", 0),
        ("SELECT * FROM stripe_webhooks", 5),
        ("SELECT * FROM stripe_events WHERE year = '2026'", 5),
        ("SELECT 1 FROM Stripe_Analytics.STRIPE_WEBHOOKS WHERE year = '2025'", 1),
        ("WITH a AS (SELECT * FROM stripe_webhooks WHERE year = '2025') SELECT * FROM a", 1),
        ("SELECT id FROM stripe_webhooks WHERE year = '2025' UNION ALL "
         "SELECT id FROM stripe_webhooks WHERE day = '22'", 2),
        ("SELECT 1 FROM stripe_webhooks a JOIN stripe_webhooks b ON a.id = b.id "
         "WHERE a.year = '2025' AND b.day = '22'", 2),
        ("SELECT 1 FROM (SELECT '1' AS id) a LEFT JOIN stripe_webhooks b ON a.id = b.id "
         "WHERE b.year IS NULL", 5),
        ("SELECT \"$path\" FROM stripe_webhooks WHERE year = '2025'", 1),
        ("SELECT 1 FROM stripe_webhooks a WHERE a.year = '2025' AND EXISTS "
         "(SELECT 1 FROM stripe_webhooks b WHERE b.year = a.year AND b.day = '22')", 2),
        ("SELECT 1 FROM stripe_webhooks WHERE day = '22' AND "
         "(id = 'x'" + " OR id = 'y'" * 500 + ")", 1),
    ],
)  # fmt: skip
def test_every_reading_of_the_table_counts(sql: str, kept: int, planner: DuckDBEngine) -> None:
    assert len(planner.plan(sql).days) == kept


_PARTS = st.sampled_from(
    ["year = '2026'", "month = '11'", "day > '15'", "day IN ('22', '31')", "id > '2026-11'",
     "year || month = '202611'", "livemode", "NOT day = '23'", "month IS NULL"]
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.recursive(_PARTS, lambda inner: st.one_of(
    st.tuples(inner, inner).map(lambda two: f"({two[0]} AND {two[1]})"),
    st.tuples(inner, inner).map(lambda two: f"({two[0]} OR {two[1]})"),
    inner.map(lambda one: f"(NOT {one})"),
), max_leaves=6))  # fmt: skip
def test_reading_fewer_days_changes_no_result(planner: DuckDBEngine, where: str) -> None:
    sql = f"SELECT id FROM stripe_webhooks WHERE {where} ORDER BY id"
    everything = planner.reading(planner.days, lambda: planner.database.rows(planner.plan(sql).sql))
    assert planner.run(sql).rows == everything


def test_a_query_reads_the_objects_of_its_days(engine: DuckDBEngine) -> None:
    result = engine.run("SELECT id, day FROM stripe_webhooks WHERE year = '2026' ORDER BY id")
    assert result.names == ["id", "day"]
    assert result.types == ["VARCHAR", "VARCHAR"]
    assert result.rows == [(day, day[-2:]) for day in DAYS[1:]]
    assert result.notes[0].startswith("DuckDB read 4 objects of 4 of 5 days, ")


def test_an_engine_answers_one_query_after_the_other(engine: DuckDBEngine) -> None:
    assert engine.run("SELECT id FROM stripe_webhooks WHERE day = '01'").rows == [(DAYS[2],)]
    assert engine.run(ALL_IDS).rows == [(day,) for day in DAYS]
    assert engine.run("SELECT id FROM stripe_events WHERE day = '22'").rows == [(DAYS[3],)]


def test_the_path_is_where_an_object_lies(engine: DuckDBEngine) -> None:
    ((path,),) = engine.run("SELECT \"$path\" FROM stripe_webhooks WHERE year = '2025'").rows
    storage = engine.downloads.storage
    origin = storage.name if isinstance(storage, BucketStorage) else str(storage.folder)
    assert path == f"{origin}/{folder_name(DAYS[0])}/{DAYS[0]}-{DAYS[0]}T10:00-.json.gz"


def test_a_star_does_not_show_the_path(engine: DuckDBEngine) -> None:
    last = ["payload", "year", "month", "day"]
    assert engine.run("SELECT * FROM stripe_webhooks").names[-4:] == last
    names = engine.run('SELECT "$path", w.* FROM stripe_webhooks w').names
    assert (names[0], names.count("$path"), names[-4:]) == ("$path", 1, last)


def test_an_archive_without_objects_has_no_rows(folder: Path) -> None:
    with open_duckdb(FolderStorage(folder, "archive")) as engine:
        assert engine.run("SELECT * FROM stripe_webhooks").rows == []
        assert engine.run("SELECT count(*) FROM stripe_events").rows == [(0,)]


def test_a_folder_can_be_called_as_a_pattern_or_a_partition(tmp_path: Path) -> None:
    below = Path("day=7/webhooks/x")
    folder = tmp_path / "it's[b]*?{c}" / below
    path = store(folder, line("here"))
    # what the name means as a pattern
    store(tmp_path / "it'sb--{c}" / below, line("there"))
    with open_duckdb(FolderStorage(folder, "archive")) as engine:
        rows = engine.run('SELECT id, day, "$path" FROM stripe_webhooks').rows
    assert rows == [("here", "23", str(path))]


def test_current_date_can_be_given(days: Path) -> None:
    with open_duckdb(FolderStorage(days, "archive"), TODAY) as engine:
        rows = engine.run("SELECT current_date - INTERVAL '30' DAY").rows
    assert rows == [(date(2026, 10, 24),)]


def test_times_are_utc_and_without_a_zone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    moment = "from_iso8601_timestamp('1970-01-01T00:00:05Z')"
    with open_duckdb(FolderStorage(folder, "archive")) as engine:
        result = engine.run(f"SELECT {moment} AS m, to_unixtime({moment}) AS s")
    assert result.rows == [(datetime(1970, 1, 1, 0, 0, 5), 5.0)]
    assert result.types == ["TIMESTAMP", "DOUBLE"]


def test_what_is_inside_a_translated_function_is_translated_too(folder: Path) -> None:
    payloads: tuple[object, ...] = ({"n": 3}, "no json", {"n": {}})
    store(folder, *(line(str(n), payload) for n, payload in enumerate(payloads)))
    sql = "SELECT approx_percentile(TRY_CAST(json_extract_scalar(payload, '$.n') AS bigint), 0.5)"
    with open_duckdb(FolderStorage(folder, "archive")) as engine:
        assert engine.run(f"{sql} FROM stripe_webhooks").rows == [(3,)]


def test_instants_stay_in_the_order_of_the_query(folder: Path) -> None:
    tens = "UNNEST(sequence(0, 90000, 10000)) AS u (m)"
    ones = "UNNEST(sequence(1, 10000)) AS t (n)"
    sql = f"SELECT from_unixtime(m + n) AS at FROM {tens} CROSS JOIN {ones} ORDER BY m + n DESC"
    with open_duckdb(FolderStorage(folder, "archive")) as engine:
        rows = engine.run(sql).rows
    assert rows == sorted(rows, reverse=True)
    assert len(rows) == 100_000


def test_a_record_beyond_duckdbs_own_limit_is_read(folder: Path) -> None:
    store(folder, line(payload="x" * 40_000_000))
    with open_duckdb(FolderStorage(folder, "archive")) as engine:
        assert engine.run("SELECT length(payload) FROM stripe_webhooks").rows == [(40_000_000,)]


SOUND = line("sound")
RANDOM = Random(2026)
CUT = b"".join(line(str(n), RANDOM.randbytes(999).hex()) for n in range(100, 150))

DAMAGED = [
    (gzip.compress(CUT)[:-3000], [str(n) for n in range(100, 147)], "line 48: gzip is cut short"),
    (gzip.compress(SOUND[:-1] + line("twin") + SOUND), ["sound"], "line 1: not one JSON object"),
    (gzip.compress(b"garbage\n" + SOUND), ["sound"], "line 1: not one JSON object"),
    (gzip.compress(b"[1]\n" + SOUND), ["sound"], "line 1: not one JSON object"),
    (gzip.compress(SOUND + line("typed", created="x")), ["sound"], "line 2: created is no whole"),
    (gzip.compress(line("typed", created=2**63) + SOUND), ["sound"], "line 1: created is no whole"),
    (gzip.compress(line("typed", livemode=[]) + SOUND), ["sound"], "line 1: livemode is no"),
    (gzip.compress(b'{"id": "1", "id": "2"}\n' + SOUND), ["sound"], "line 1: a key twice"),
    (gzip.compress(b'{"id": "\xff"}\n' + SOUND), ["sound"], "line 1: not one JSON object"),
    (gzip.compress(b'{"id": "\\ud800"}\n' + SOUND), ["sound"], "line 1: not UTF-8"),
    (SOUND, [], "not gzip, but records as they are"),
    (b"", [], "empty"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "ids", "what"), DAMAGED, ids=[f"{n} {row[-1]}" for n, row in enumerate(DAMAGED)]
)
def test_the_records_of_a_corrupt_object_are_read_with_all_others(
    data: bytes, ids: list[str], what: str, folder: Path
) -> None:
    store(folder, name="damaged.json.gz").write_bytes(data)
    arrival(folder, "other", "2026-11-22T10:00")
    with open_duckdb(FolderStorage(folder, "archive")) as engine:
        result = engine.run("SELECT id, created, livemode FROM stripe_webhooks ORDER BY id")
    assert [row[0] for row in result.rows] == sorted([*ids, "other"])
    (fault,) = map(str, result.faults)
    assert fault.startswith(f"{folder_name('2026-11-23')}/damaged.json.gz")
    assert what in fault


@pytest.mark.parametrize("byte", [b"{", b"x"])
def test_an_object_of_one_byte_which_duckdb_passes_over_is_named(byte: bytes, folder: Path) -> None:
    store(folder, name="damaged.json.gz").write_bytes(gzip.compress(byte))
    arrival(folder, "other", "2026-11-22T10:00")
    with open_duckdb(FolderStorage(folder, "archive")) as engine:
        result = engine.run(ALL_IDS)
    assert result.rows == [("other",)]
    assert "damaged.json.gz line 1: not one JSON object" in str(result.faults[0])


def test_faults_of_one_object_are_counted_and_a_thousand_of_them_kept(folder: Path) -> None:
    store(folder, SOUND, b"garbage\n" * 10_000)
    with open_duckdb(FolderStorage(folder, "archive")) as engine:
        result = engine.run(ALL_IDS)
    assert result.rows == [("sound",)]
    assert len(result.faults) == 1001
    assert str(result.faults[-1]).endswith(": 9,000 more lines like these")


def test_a_damaged_object_shows_its_own_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = store(folder, b"garbage\n" + SOUND)
    with open_duckdb(FolderStorage(folder, "archive")) as engine:
        assert engine.run('SELECT "$path" FROM stripe_webhooks').rows == [(str(damaged),)]
    with bucket_like(folder, monkeypatch) as storage, open_duckdb(storage) as engine:
        result = engine.run('SELECT "$path" FROM stripe_webhooks')
    address = f"s3://{BUCKET}/{folder_name('2026-11-23')}/a.json.gz"
    assert (result.rows, len(result.faults)) == ([(address,)], 1)


def test_damage_is_found_on_the_days_that_are_read_and_told_each_time(days: Path) -> None:
    store(days, b"garbage\n", name="damaged.json.gz")
    with open_duckdb(FolderStorage(days, "archive")) as engine:
        for _ in range(2):
            assert len(engine.run(ALL_IDS).rows) == 5
            assert len(engine.run(ALL_IDS).faults) == 1
        assert engine.run(f"{ALL_IDS[:30]} WHERE day = '22'").faults == []


def test_a_foreign_object_is_left_out_and_told(days: Path) -> None:
    store(days, SOUND, name="notes.txt")
    with open_duckdb(FolderStorage(days, "archive")) as engine:
        result = engine.run(ALL_IDS)
    assert len(result.rows) == 5
    assert [str(f).rpartition("/")[2] for f in result.faults] == [
        "notes.txt: left out: its name has no .json.gz"
    ]


def test_an_object_that_has_gone_meanwhile_is_told(days: Path) -> None:
    with open_duckdb(FolderStorage(days, "archive")) as engine:
        engine.plan(ALL_IDS)
        next(days.rglob("*2026-11-22*.gz")).unlink()
        result = engine.run(ALL_IDS)
    assert len(result.rows) == 4
    assert "cannot be read: No such file" in str(result.faults[0])


@pytest.mark.parametrize("function", ["CAST", "DATE"])
def test_no_error_quotes_a_value(function: str, folder: Path) -> None:
    store(folder, line(payload={"mail": "ada@example.com"}))
    mail = "json_extract_scalar(payload, '$.mail')"
    expression = f"CAST({mail} AS bigint)" if function == "CAST" else f"date_parse({mail}, '%Y')"
    with (
        pytest.raises(ToolError, match="TRY_CAST") as caught,
        open_duckdb(FolderStorage(folder, "archive")) as engine,
    ):
        engine.run(f"SELECT {expression} FROM stripe_webhooks")
    error: BaseException | None = caught.value
    while error:
        assert "ada" not in str(error)
        error = error.__cause__


def test_a_wrong_name_is_told_with_those_that_there_are(days: Path) -> None:
    with (
        open_duckdb(FolderStorage(days, "archive")) as engine,
        pytest.raises(ToolError, match=r"no column of this name: tpye(.|\n)*\btype\b"),
    ):
        engine.run("SELECT tpye FROM stripe_webhooks")


def test_a_bucket_s_objects_are_fetched_once_and_only_those_of_the_days(
    days: Path, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    fetched = []
    opened = BucketStorage.open
    monkeypatch.setattr(
        BucketStorage,
        "open",
        lambda storage, key: fetched.append(key) or opened(storage, key),  # type: ignore[func-returns-value]
    )
    with bucket_like(days, monkeypatch) as storage, open_duckdb(storage) as engine:
        for _ in range(2):
            assert len(engine.run("SELECT id FROM stripe_webhooks WHERE month = '11'").rows) == 3
        assert len(fetched) == 3
        assert all("month=11" in key for key in fetched)
        assert any(temporary.rglob("*.json.gz"))
    assert list(temporary.iterdir()) == []


def test_what_was_fetched_is_removed_after_an_error_too(
    days: Path, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    with (
        bucket_like(days, monkeypatch) as storage,
        pytest.raises(ToolError),
        open_duckdb(storage) as engine,
    ):
        engine.run("SELECT CAST(id AS bigint) FROM stripe_webhooks")
    assert list(temporary.iterdir()) == []


def test_a_key_that_climbs_out_of_its_folder_is_not_followed(
    days: Path, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    with bucket_like(days, monkeypatch) as storage, open_duckdb(storage) as engine:
        key = f"{folder_name(DAYS[4])}/../../../../../out.json.gz"
        boto3.client("s3", REGION).put_object(Bucket=BUCKET, Key=key, Body=gzip.compress(SOUND))
        result = engine.run(ALL_IDS)
        assert not list(temporary.parent.rglob("out.json.gz"))
    assert len(result.rows) == 6
    assert result.faults == []


def test_a_key_need_be_no_name_of_a_file(days: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = (
        "x" * 300 + ".json.gz",
        "a.json.gz",
        "a.json.gz/b.json.gz",
        "a//b.json.gz",
        "é\n.json.gz",
    )
    with bucket_like(days, monkeypatch) as storage, open_duckdb(storage) as engine:
        for number, name in enumerate(keys):
            boto3.client("s3", REGION).put_object(
                Bucket=BUCKET,
                Key=f"{folder_name(DAYS[4])}/{name}",
                Body=gzip.compress(line(f"key_{number}")),
            )
        result = engine.run(
            "SELECT id, \"$path\" FROM stripe_webhooks WHERE id LIKE 'key%' ORDER BY 1"
        )
    origin = f"s3://{BUCKET}/{folder_name(DAYS[4])}"
    assert result.rows == [(f"key_{n}", f"{origin}/{name}") for n, name in enumerate(keys)]
    assert result.faults == []


def test_a_pipe_in_the_folder_is_left_out_and_not_waited_for(days: Path) -> None:
    os.mkfifo(days / folder_name(DAYS[4]) / "pipe.json.gz")
    with open_duckdb(FolderStorage(days, "archive")) as engine:
        result = engine.run(ALL_IDS)
    assert len(result.rows) == 5
    assert "pipe.json.gz: left out: it is no file" in str(result.faults[0])


def test_a_payload_that_is_no_json_stops_no_query(folder: Path) -> None:
    payloads = ("no json", {"a": {"b": 1}}, "[1, 2]", '"text"', "")
    store(folder, *(line(str(n), payload) for n, payload in enumerate(payloads)))
    sql = (
        "SELECT id, json_extract(payload, '$.a'), json_extract_scalar(payload, '$.a.b'),"
        " json_array_length(payload),"
        " CAST(json_extract(payload, '$.a') AS map(varchar, bigint))['b']"
        " FROM stripe_webhooks ORDER BY id"
    )
    with open_duckdb(FolderStorage(folder, "archive")) as engine:
        rows = engine.run(sql).rows
    assert rows == [
        ("0", None, None, None, None),
        ("1", '{"b":1}', "1", None, 1),
        ("2", None, None, 2, None),
        ("3", None, None, None, None),
        ("4", None, None, None, None),
    ]


def test_an_object_that_s3_does_not_give_is_told_and_the_rest_is_read(
    days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket_like(days, monkeypatch) as storage, open_duckdb(storage) as engine:
        (gone, *_) = engine.downloads.objects(engine.days)
        boto3.client("s3", REGION).delete_object(Bucket=BUCKET, Key=gone.key)
        result = engine.run(ALL_IDS)
    assert len(result.rows) == 4
    assert str(result.faults[0]) == f"{gone.key}: cannot be downloaded: NoSuchKey"


def test_a_bucket_of_which_nothing_is_given_is_an_error(
    days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket_like(days, monkeypatch) as storage, open_duckdb(storage) as engine:
        for stored in engine.downloads.objects(engine.days):
            boto3.client("s3", REGION).delete_object(Bucket=BUCKET, Key=stored.key)
        with pytest.raises(ToolError, match=r"NoSuchKey(.|\n)*s3:GetObject"):
            engine.run(ALL_IDS)


def test_a_download_that_breaks_off_is_tried_again(
    days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def read(self, _: int) -> bytes:
            raise ConnectionResetError

    broken = set()
    opened = BucketStorage.open

    def open_(storage: BucketStorage, key: str) -> object:
        if key in broken:
            return opened(storage, key)
        broken.add(key)
        return Broken()

    monkeypatch.setattr(BucketStorage, "open", open_)
    with bucket_like(days, monkeypatch) as storage, open_duckdb(storage) as engine:
        result = engine.run(ALL_IDS)
    assert (len(broken), len(result.rows), result.faults) == (5, 5, [])


def test_the_helper_of_other_tools_gives_pairs_of_the_days_and_the_condition(days: Path) -> None:
    storage = FolderStorage(days, "archive")
    november = Days(date(2026, 11, 1), date(2026, 11, 22))
    found = keys_and_ids(storage, november, "json_extract_scalar(payload, '$.id') IS NULL")
    assert found == {(f"{day}T10:00:00.000000Z", day) for day in DAYS[2:4]}
    assert keys_and_ids(storage, Days(), "day = '22' -- no more") == {
        (f"{DAYS[3]}T10:00:00.000000Z", DAYS[3])
    }


def test_the_engine_suits_the_place(days: Path) -> None:
    tools = ToolSettings(aws_region=REGION)
    with open_engine(FolderStorage(days, "archive"), tools) as engine:
        assert engine.name == "duckdb"
    with mock_aws(), open_engine(BucketStorage(BUCKET, REGION), tools) as engine:
        assert engine.name == "athena"
    storages.s3_client.cache_clear()


def test_without_duckdb_the_cure_is_named_and_help_is_there(days: Path, tmp_path: Path) -> None:
    # a module that cannot be imported stands before the real one
    (tmp_path / "duckdb.py").write_text("raise ModuleNotFoundError(name='duckdb')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{PROJECT}", "ARCHIVE_DIR": str(days)}
    call = [sys.executable, "-c", "from archive_tools.cli import archive; archive()"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*call, *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert run("--help").returncode == 0
    ended = run("query", "arrivals")
    assert ended.returncode == 2
    assert ended.stderr.partition("\n")[2].startswith(
        "Error: duckdb is not installed\n  Fix: `make tools`"
    )


def test_a_query_that_needs_more_memory_than_it_may_is_told_with_the_cure(
    days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_MAX_MEMORY_BYTES", 20_000_000)
    many = "UNNEST(sequence(1, 10000))"
    hungry = f"SELECT array_agg(x * y) FROM {many} AS t (x) CROSS JOIN {many} AS u (y)"
    with (
        open_duckdb(FolderStorage(days, "archive"), TODAY) as engine,
        pytest.raises(ToolError, match=r"not enough memory(.|\n)*Athena run it"),
    ):
        engine.run(hungry)


def test_duckdb_cannot_read_or_write_beside_the_archive(
    engine: DuckDBEngine, tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    for sql in (
        f"SELECT * FROM read_csv('{other}')",
        f"SELECT * FROM '{other}'",
        f"COPY (SELECT 1) TO '{tmp_path / 'written.csv'}'",
        f"ATTACH '{tmp_path / 'written.db'}'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
    ):
        with pytest.raises(database.DatabaseError):
            engine.database.rows(sql)
    assert list(tmp_path.glob("written*")) == []


@pytest.mark.parametrize("name", ["a[1]*?", "it's", "é ü", "link", "sub/../b"])
def test_an_archive_can_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    if name == "link":
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    folder = tmp_path / name
    arrival(folder, "evt_1", "2026-11-23T10:00")
    with open_duckdb(FolderStorage(folder, "archive")) as engine:
        assert engine.run(ALL_IDS).rows == [("evt_1",)]

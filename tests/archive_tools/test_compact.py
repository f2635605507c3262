"""Compacting: the view `stripe_events` has the same rows with it as without."""

import json
import os
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_tools.querying import schema
from archive_tools.querying.compacting import compact
from archive_tools.querying.compaction import find_compacted
from archive_tools.querying.duckdb_engine import open_duckdb
from archive_tools.querying.saved_queries import questions, sql_of
from archive_tools.storage import FolderStorage
from examples import month
from tests.archive_tools.conftest import Run, store
from tests.archive_tools.engines import arrival, folder_name, line
from tests.archive_tools.test_export import rows_of

TODAY = date(2026, 11, 23)

#: Nightly runs try more; each takes a second.
EXAMPLES = int(os.environ.get("COMPACT_EXAMPLES", "2"))

#: Which of two records of one event and moment is taken is not defined: the word tells them apart.
SAME = "SELECT id, received_at, payload, year, month, day FROM stripe_events"
CHARGE = {"data": {"object": {"object": "charge", "id": "ch_1", "amount": 1234, "currency": "eur",
                              "customer": "cus_1", "status": "succeeded"}}}  # fmt: skip


def rows(folder: Path, sql: str = "SELECT * FROM stripe_events") -> list[tuple[Any, ...]]:
    """The result of a query, in an order that does not depend on how it was computed."""
    with open_duckdb(FolderStorage(folder, "archive"), TODAY) as engine:
        return sorted(engine.run(sql).rows, key=repr)


def without_compaction(
    folder: Path, sql: str = "SELECT * FROM stripe_events"
) -> list[tuple[Any, ...]]:
    """The rows of `stripe_events` as they are read from the objects alone."""
    parquet, beside = folder / "parquet", folder / "beside"
    moved = parquet.exists() and parquet.rename(beside)
    found = rows(folder, sql)
    if moved:
        beside.rename(parquet)
    return found


def in_parquet(folder: Path, select: str) -> list[tuple[Any, ...]]:
    """What a query finds in the files alone, as any other tool reads them."""
    found = f"read_parquet('{folder}/parquet/*/*/*.parquet', hive_partitioning = false)"
    return rows_of(select.format(found))


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.glob("parquet/**/*.*"))


def read_objects(folder: Path) -> int:
    """How many objects a query of the view reads."""
    with open_duckdb(FolderStorage(folder, "archive"), TODAY) as engine:
        return engine.plan("SELECT id FROM stripe_events").objects


@pytest.fixture
def archive(folder: Path) -> Path:
    """Two months of events, one of them delivered again in the second."""
    arrival(folder, "evt_1", "2026-10-31T10:00", payload=CHARGE)
    arrival(folder, "evt_2", "2026-10-31T23:59", payload="no JSON", created=None)
    arrival(folder, "evt_2", "2026-11-01T00:01", payload="no JSON", created=None)
    arrival(folder, "evt_3", "2026-11-02T10:00", account="acct_1", livemode=False)
    store(folder, line(None), line("evt_4"), line("evt_4"), name="many.json.gz")
    return folder


def test_each_event_is_once_in_the_file_of_its_month(archive: Path, run: Run) -> None:
    before = rows(archive)
    done = run("compact")
    assert done.exit_code == 0
    assert files(archive) == [
        "parquet/year=2026/month=10/events.1.parquet",
        "parquet/year=2026/month=11/events.1.parquet",
    ]
    once = in_parquet(archive, "SELECT id, month FROM {} ORDER BY id")
    assert once == [("evt_1", "10"), ("evt_2", "10"), ("evt_3", "11"), ("evt_4", "11")]
    assert rows(archive) == before
    assert len(before) == 4
    assert read_objects(archive) == 0


def test_the_files_have_the_columns_and_types_of_the_view(archive: Path, run: Run) -> None:
    run("compact")
    described = in_parquet(archive, "DESCRIBE FROM {}")
    columns = schema.view().columns
    assert [row[:2] for row in described] == [
        (name, type_.duckdb) for name, type_ in columns.items()
    ]


def test_a_rerun_writes_the_months_alone_that_something_new_belongs_to(
    archive: Path, run: Run
) -> None:
    run("compact")
    assert json.loads(run("compact", "--json").stdout)["months"] == []
    arrival(archive, "evt_5", "2026-11-23T10:00")
    done = json.loads(run("compact", "--json").stdout)
    assert done["months"] == ["2026-11"]
    assert (done["new_events"], done["events"]) == (1, 5)
    assert files(archive) == [
        "parquet/year=2026/month=10/events.1.parquet",
        "parquet/year=2026/month=11/events.2.parquet",
    ]


Change = Callable[[Path], object]

CHANGES: dict[str, Change] = {
    "a new event": lambda f: arrival(f, "evt_9", "2026-11-23T10:00"),
    "a late object": lambda f: arrival(f, "evt_9", "2026-10-30T10:00"),
    "a duplicate": lambda f: arrival(f, "evt_1", "2026-11-23T10:00", payload="later"),
    "an earlier arrival": lambda f: arrival(f, "evt_3", "2026-10-30T10:00", payload="earlier"),
    "an earlier arrival of the month": lambda f: arrival(f, "evt_3", "2026-11-01T10:00"),
    "the same arrival": lambda f: arrival(f, "evt_1", "2026-10-31T10:00", day="2026-11-02",
                                          payload=CHARGE),
    "an object that grew": lambda f: store(f, line(None), line("evt_4"), line("evt_9"),
                                           name="many.json.gz"),
    "no Parquet of a month": lambda f: next(f.glob("parquet/*/month=10/*")).unlink(),
    "no Parquet": lambda f: shutil.rmtree(f / "parquet"),
    "a Parquet file that is none": lambda f: next(f.glob("parquet/*/month=10/*")).write_bytes(b"x"),
    "a file that was not finished": lambda f: (
        f / "parquet/year=2026/month=11/.events.2.parquet.abc.tmp").write_bytes(b"PAR1"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_happens_later_gives_the_same_rows(change: Change, archive: Path, run: Run) -> None:
    run("compact")
    change(archive)
    expected = without_compaction(archive)
    assert rows(archive) == expected
    run("compact")
    assert rows(archive) == expected
    assert read_objects(archive) == 0


def test_an_earlier_arrival_leaves_the_file_of_its_later_month(archive: Path, run: Run) -> None:
    run("compact")
    arrival(archive, "evt_3", "2026-10-30T10:00", payload="earlier")
    run("compact")
    sql = "SELECT payload, month FROM {} WHERE id = 'evt_3'"
    assert in_parquet(archive, sql) == [("earlier", "10")]


def test_events_stay_when_their_objects_are_gone(archive: Path, run: Run) -> None:
    before = rows(archive)
    run("compact")
    shutil.rmtree(archive / folder_name("2026-10-31"))
    assert rows(archive) == before
    arrival(archive, "evt_9", "2026-10-30T10:00")
    run("compact")
    assert len(rows(archive)) == len(before) + 1


def test_a_record_that_is_damaged_later_stays(archive: Path, run: Run) -> None:
    before = rows(archive)
    run("compact")
    store(archive, b"{broken\n", line("evt_3"), name="many.json.gz")
    assert rows(archive) == before
    done = run("compact")
    assert done.exit_code == 1
    assert "many.json.gz line 1" in done.stderr
    assert rows(archive) == before


def test_an_object_with_faults_is_read_until_it_is_mended(archive: Path, run: Run) -> None:
    store(archive, line("evt_8"), b"{broken\n", name="broken.json.gz")
    done = run("compact", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["faults"] == 1
    assert "evt_8" in {row[0] for row in rows(archive)}
    assert run("query", "SELECT count(*) FROM stripe_events").exit_code == 1
    store(archive, line("evt_8"), line("evt_9"), name="broken.json.gz")
    assert run("compact").exit_code == 0
    assert "evt_9" in {row[0] for row in rows(archive)}


def test_what_another_view_has_written_is_written_anew(
    archive: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = rows(archive)
    with monkeypatch.context() as patch:
        for module in ("compaction", "compacting"):
            patch.setattr(f"archive_tools.querying.{module}.view_definition", lambda: "older")
        run("compact")
    assert read_objects(archive) == 5
    shutil.rmtree(archive / folder_name("2026-10-31"))
    assert rows(archive) == expected
    run("compact")
    assert rows(archive) == expected
    assert read_objects(archive) == 0


def test_the_note_of_a_query_names_the_files(archive: Path, run: Run) -> None:
    run("compact")
    asked = run("query", "SELECT count(*) FROM stripe_events")
    assert "read 0 objects of 4 of 4 days, 0 bytes, and 2 months of parquet/" in asked.stderr


def test_a_query_goes_on_when_files_are_replaced_under_it(archive: Path, run: Run) -> None:
    run("compact")
    with open_duckdb(FolderStorage(archive, "archive"), TODAY) as engine:
        ids = "SELECT id FROM stripe_events ORDER BY id"
        before = engine.run(ids).rows
        arrival(archive, "evt_9", "2026-11-23T10:00")
        run("compact")
        assert engine.run(ids).rows == [*before, ("evt_9",)]


def test_deliveries_are_read_beside_the_events(archive: Path, run: Run) -> None:
    run("compact")
    sql = """SELECT (SELECT count(*) FROM stripe_webhooks), count(*) FROM stripe_events"""
    assert rows(archive, sql) == [(7, 4)]


def test_the_library_has_the_same_results(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "month"
    month.archive(folder)
    queries = [sql_of(name) for name, _ in questions()] + [
        "SELECT * FROM stripe_events ORDER BY id"
    ]

    def results() -> list[list[tuple[Any, ...]]]:
        with open_duckdb(FolderStorage(folder, "archive"), month.TODAY) as engine:
            return [engine.run(sql).rows for sql in queries]

    before = results()
    assert run("compact", ARCHIVE_DIR=str(folder)).exit_code == 0
    assert results() == before


IDS = st.sampled_from(["evt_1", "evt_2", "evt_3"])
MOMENTS = st.sampled_from(["10-31T23:59", "11-01T00:00", "11-01T00:01", "11-30T12:00"])
DELIVERIES = st.lists(st.tuples(IDS, MOMENTS, st.sampled_from("abc")), min_size=1, max_size=4)


@given(batches=st.lists(DELIVERIES, min_size=1, max_size=3))
@settings(max_examples=EXAMPLES, deadline=None, database=None)
def test_any_deliveries_in_any_order_give_the_same_rows(
    batches: list[list[tuple[str, str, str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    for number, batch in enumerate(batches):
        lines = [
            # the payload tells which delivery it is; one event arrives once in a moment
            (moment, line(id_, f"{id_} {moment}", f"2026-{moment}:00.000000Z", api_version=word))
            for id_, moment, word in batch
        ]
        for moment in {moment for moment, _ in lines}:
            found = [text for at, text in lines if at == moment]
            store(folder, *found, name=f"{number}.json.gz", day=folder_name(f"2026-{moment[:5]}"))
        assert rows(folder, SAME) == without_compaction(folder, SAME)
        with open_duckdb(FolderStorage(folder, "archive")) as engine:
            compact(engine)
    assert rows(folder, SAME) == without_compaction(folder, SAME)
    with open_duckdb(FolderStorage(folder, "archive")) as engine:
        found_now = find_compacted(engine.downloads.storage, engine.database)
        ids = engine.database.rows(
            " UNION ALL ".join(f"SELECT id FROM ({file.rows})" for file in found_now.files)
        )
    assert len(ids) == len(set(ids))

"""Compacting in Athena: its statements, run by DuckDB on data, and what the command sends."""

import fnmatch
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
import sqlglot

from archive_tools.errors import ToolError
from archive_tools.querying import athena_compaction, schema
from archive_tools.querying.athena_compaction import Summary, chunks, compact
from archive_tools.querying.duckdb_engine import DuckDBEngine, open_duckdb
from archive_tools.querying.translation import translated
from archive_tools.storage import FolderStorage
from tests.archive_tools.conftest import Run
from tests.archive_tools.engines import BUCKET, REGION, arrival, bucket_like
from webhook_app.environ import PROJECT

NOW = datetime(2026, 11, 23, 5, 17)


class Iceberg:
    """DuckDB in Athena's place: it has MERGE too, and takes the statements as they are.

    The query of stripe_events.sql alone, within them, is of Trino's functions, and translated.
    """

    def __init__(self, engine: DuckDBEngine) -> None:
        self.engine = engine
        self.sent: list[str] = []

    def execute(self, statement: str) -> int:
        self.sent.append(statement)
        if statement.startswith("CREATE TABLE"):
            table = sqlglot.parse_one(statement, read="athena").this
            columns = ", ".join(f"{c.name} {c.kind.sql('duckdb')}" for c in table.expressions)
            self.engine.database.rows(f"CREATE TABLE IF NOT EXISTS {table.this.name} ({columns})")
        elif not statement.startswith(("OPTIMIZE", "VACUUM")):
            self._rows(statement)
        return 1

    def fetch(self, select: str) -> tuple[list[tuple[Any, ...]], int]:
        return self._rows(select), 1

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        def duckdb(found: re.Match[str]) -> str:
            return f"({translated(found[1], schema.relations(), NOW.date()).sql})"

        sql = re.sub(
            r"\(\n(SELECT\n  id, type, .*?\nWHERE arrival = 1)\n\)", duckdb, sql, flags=re.S
        )
        days = self.engine.downloads.storage.days()
        return self.engine.reading(days, lambda: self.engine.database.rows(sql))


@pytest.fixture
def archive(folder: Path) -> Path:
    arrival(folder, "evt_1", "2026-10-02T10:00", payload={"data": {"object": {"object": "charge"}}})
    arrival(folder, "evt_1", "2026-11-20T10:00")
    arrival(folder, "evt_2", "2026-11-22T10:00", created=None)
    arrival(folder, "evt_3", "2026-11-23T03:00", livemode=None, account="acct_1")
    return folder


def compacted(folder: Path, *nows: datetime, first: date | None = None) -> tuple[Iceberg, Summary]:
    """Compact at some times; the days of each are those that it would find then."""
    storage = FolderStorage(folder, "archive")
    with open_duckdb(storage) as engine:
        athena = Iceberg(engine)
        for now in nows:
            summary = compact(athena, storage, "b", now, first)
    return athena, summary


class Compacting:
    """A table that stays, over an archive that grows."""

    def __init__(self, folder: Path, engine: DuckDBEngine) -> None:
        self.folder, self.athena = folder, Iceberg(engine)

    def compact(
        self, now: datetime = NOW, first: date | None = None, expire_days: int | None = None
    ) -> Summary:
        self.athena.sent.clear()
        self.look_again()
        storage = FolderStorage(self.folder, "archive")
        return compact(self.athena, storage, "b", now, first, expire_days)

    def look_again(self) -> None:
        self.athena.engine.downloads._objects.clear()

    def rows(self, name: str = "stripe_events", columns: str = "*") -> list[tuple[Any, ...]]:
        self.look_again()
        sql = f"SELECT {columns} FROM {name} ORDER BY ALL"
        return self.athena._rows(sql)

    def expected(self, columns: str = "*") -> list[tuple[Any, ...]]:
        """What the stack's view has."""
        with open_duckdb(FolderStorage(self.folder, "archive")) as engine:
            return sorted(
                engine.run(f"SELECT {columns} FROM stripe_events").rows,
                key=lambda row: tuple((v is not None, v) for v in row),
            )


@pytest.fixture
def compacting(archive: Path) -> Iterator[Compacting]:
    with open_duckdb(FolderStorage(archive, "archive")) as engine:
        yield Compacting(archive, engine)


def test_the_view_has_the_rows_of_the_stacks_view(compacting: Compacting) -> None:
    summary = compacting.compact()
    assert (summary.first_day, summary.last_day, summary.merges) == (
        date(2026, 10, 2), date(2026, 11, 23), 2
    )  # fmt: skip
    assert compacting.rows("stripe_events_compacted", "id, month") == [
        ("evt_1", "10"), ("evt_2", "11"), ("evt_3", "11")
    ]  # fmt: skip
    assert sorted(compacting.rows(), key=repr) == sorted(compacting.expected(), key=repr)


def test_what_has_arrived_since_is_on_top_and_then_in_the_table(compacting: Compacting) -> None:
    compacting.compact()
    arrival(compacting.folder, "evt_4", "2026-11-23T09:00")
    arrival(compacting.folder, "evt_3", "2026-11-23T09:01")
    assert sorted(compacting.rows(), key=repr) == sorted(compacting.expected(), key=repr)
    summary = compacting.compact(NOW + timedelta(days=1))
    assert summary.first_day == date(2026, 11, 22)
    assert len(compacting.rows("stripe_events_compacted")) == 4
    assert sorted(compacting.rows(), key=repr) == sorted(compacting.expected(), key=repr)


def test_a_rerun_changes_nothing(compacting: Compacting) -> None:
    compacting.compact()
    before = compacting.rows("stripe_events_compacted")
    compacting.compact()
    compacting.compact(first=date(2026, 1, 1))
    assert compacting.rows("stripe_events_compacted") == before


@pytest.mark.parametrize("at", ["2026-11-21T23:00", "2026-11-22T01:00"])
def test_a_late_object_is_merged_by_the_next_run(at: str, compacting: Compacting) -> None:
    compacting.compact()
    arrival(compacting.folder, "evt_5", at)
    compacting.compact(NOW + timedelta(days=1))
    assert compacting.rows(columns="id") == [("evt_1",), ("evt_2",), ("evt_3",), ("evt_5",)]


def test_an_earlier_arrival_takes_the_place_of_the_later_one(compacting: Compacting) -> None:
    compacting.compact()
    arrival(compacting.folder, "evt_3", "2026-11-22T09:00", payload="earlier")
    arrival(compacting.folder, "evt_2", "2026-11-22T11:00", payload="later")
    compacting.compact()
    assert sorted(compacting.rows(), key=repr) == sorted(compacting.expected(), key=repr)
    assert compacting.rows("stripe_events_compacted", "id, day, payload")[1:] == [
        ("evt_2", "22", "{}"), ("evt_3", "22", "earlier")
    ]  # fmt: skip


def test_a_redelivery_after_months_is_no_second_event(compacting: Compacting) -> None:
    compacting.compact()
    arrival(compacting.folder, "evt_1", "2026-11-23T11:00", created=1_790_000_000)
    compacting.compact(NOW + timedelta(days=1))
    assert [row[0] for row in compacting.rows(columns="id")] == ["evt_1", "evt_2", "evt_3"]
    merge = next(sql for sql in compacting.athena.sent if sql.startswith("MERGE"))
    # evt_2 has no time, so the whole table is looked through; without it the months since
    assert "TIMESTAMP '1969-12-31 00:00:00.000'" in merge


def test_a_merge_looks_through_no_more_than_it_has_to(folder: Path) -> None:
    arrival(folder, "evt_1", "2026-11-23T03:00", created=1_795_392_000)
    athena, _ = compacted(folder, NOW)
    (merge,) = (sql for sql in athena.sent if sql.startswith("MERGE"))
    assert "received_at >= TIMESTAMP '2026-11-22 00:00:00.000'" in merge
    assert "day <= '2026-11-23'" in merge


def test_a_month_is_rewritten_once_when_it_is_over(compacting: Compacting) -> None:
    def rewritten(summary: Summary) -> list[str]:
        sent = [sql for sql in compacting.athena.sent if sql.startswith("OPTIMIZE")]
        assert len(sent) == len(summary.months_rewritten)
        return summary.months_rewritten

    assert rewritten(compacting.compact()) == ["2026-10"]
    arrival(compacting.folder, "evt_6", "2026-11-30T12:00")
    arrival(compacting.folder, "evt_7", "2026-12-01T12:00")
    assert rewritten(compacting.compact(datetime(2026, 12, 2, 5))) == []
    arrival(compacting.folder, "evt_8", "2026-12-03T01:00")
    assert rewritten(compacting.compact(datetime(2026, 12, 3, 5))) == ["2026-11"]
    assert rewritten(compacting.compact(datetime(2026, 12, 4, 5))) == []


def test_days_are_merged_by_month_and_by_size() -> None:
    days = [date(2026, 10, 30), date(2026, 10, 31), *(date(2026, 11, n) for n in (1, 2, 3, 4))]
    small, large = 10**6, 6 * 10**9
    sizes = dict(zip(days, [small, small, small, large, large, small], strict=True))
    assert chunks(sizes) == [days[:2], days[2:4], days[4:]]


def test_the_columns_are_those_of_the_view() -> None:
    table = sqlglot.parse_one(athena_compaction.table_statement("b"), read="athena").this
    columns = {column.name: column.kind.sql("athena") for column in table.expressions}
    names = {"TIMESTAMP": "timestamp(3)", "STRING": "varchar"}
    types = {c: names.get(t, t.lower().replace(", ", ",")) for c, t in columns.items()}
    assert types == {name: str(type_) for name, type_ in schema.view().columns.items()}
    # Athena wants what partitions a table first
    assert list(columns)[:2] == ["year", "month"]


def test_the_command_sends_the_statements_and_says_what_they_scanned(
    archive: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket_like(archive, monkeypatch):
        client = boto3.client("athena", REGION)
        client.create_work_group(
            Name="stripe_analytics",
            Configuration={"ResultConfiguration": {"OutputLocation": f"s3://{BUCKET}/results/"}},
        )
        # the first is for what makes the table
        for value in ("", "2026-11-22", "2026-11-20 10:00:00.000"):
            answer(value)
        done = run("compact", "--archive", f"s3://{BUCKET}", "--json", ARCHIVE_DIR="")
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        sent = [
            client.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Query"]
            for query in client.list_query_executions()["QueryExecutionIds"]
        ]
    assert (told["first_day"], told["last_day"]) == ("2026-11-20", "2026-11-23")
    assert told["merges"] == 1
    firsts = [" ".join(sql.split()[:2]) for sql in sent]
    assert sorted(firsts) == sorted(
        ["CREATE TABLE", "SELECT max(year", "SELECT min(least(", "MERGE INTO", "CREATE OR",
         "VACUUM stripe_events_compacted"]
    )  # fmt: skip
    (table,) = (sql for sql in sent if sql.startswith("CREATE TABLE"))
    assert f"LOCATION 's3://{BUCKET}/parquet/stripe_events/'" in table
    assert not [sql for sql in sent if "replace_me" in sql]


def answer(value: str) -> None:
    """Let moto's Athena answer its next statement so."""
    info = [{"Name": "value", "Type": "timestamp" if ":" in value else "varchar"}]
    rows = [{"Data": [{"VarCharValue": "value"}]}, {"Data": [{"VarCharValue": value}]}]
    answered = requests.post(
        "http://motoapi.amazonaws.com/moto-api/static/athena/query-results",
        json={"region": REGION, "results": [{"rows": rows, "column_info": info}]},
        timeout=5,
    )
    assert answered.status_code == 201


def test_what_cannot_be_removed_in_one_go_is_removed_by_the_next_run(archive: Path) -> None:
    class Full(Iceberg):
        def execute(self, statement: str) -> int:
            if statement.startswith("VACUUM"):
                raise ToolError(f"Athena: the query failed: {self.reason}")
            return super().execute(statement)

        reason = "ICEBERG_VACUUM_MORE_RUNS_NEEDED: Removed 1000 files in this round"

    storage = FolderStorage(archive, "archive")
    with open_duckdb(storage) as engine:
        assert compact(Full(engine), storage, "b", NOW).merges == 2
        Full.reason = "ACCESS_DENIED"
        with pytest.raises(ToolError, match="ACCESS_DENIED"):
            compact(Full(engine), storage, "b", NOW)


def test_the_policy_allows_the_table_the_view_and_the_files() -> None:
    """What Athena asks of Glue and S3 for whoever runs the statements; moto asks nothing."""
    allowed = {
        (action, resource.rpartition(":")[2])
        for statement in json.loads((PROJECT / "deploy/iam/compact.json").read_text())["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }
    table, view = (
        sqlglot.parse_one(statement, read="athena").find(sqlglot.exp.Table)
        for statement in (
            athena_compaction.table_statement("your-company-stripe-webhooks"),
            athena_compaction.view_statement(NOW),
        )
    )
    assert table
    assert view
    for name in (table.name, view.name):
        for action in ("glue:CreateTable", "glue:UpdateTable"):
            assert (action, f"table/stripe_analytics/{name}") in allowed
    location = athena_compaction.table_statement("your-company-stripe-webhooks")
    (path,) = re.findall(r"LOCATION 's3://(.*)'", location)
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        patterns = [resource for allows, resource in allowed if allows == action]
        assert [p for p in patterns if fnmatch.fnmatchcase(f"{path}data/a.parquet", p)]


@pytest.mark.parametrize("words", [("--from", "2026-11-01"), ("--expire-days", "90")])
def test_a_folder_takes_no_option_of_athenas(
    words: tuple[str, str], archive: Path, run: Run
) -> None:
    refused = run("compact", *words)
    assert refused.exit_code == 2
    assert "leave them out" in refused.stderr


def test_what_expires_is_deleted_from_the_table(compacting: Compacting) -> None:
    compacting.compact(expire_days=30)
    assert compacting.rows("stripe_events_compacted", "id") == [("evt_2",), ("evt_3",)]
    compacting.compact()
    assert compacting.rows("stripe_events_compacted", "id") == [("evt_2",), ("evt_3",)]


def test_a_bucket_is_compacted_without_duckdb() -> None:
    """As in the image of the daily job."""
    code = (
        "import sys; sys.modules['duckdb'] = sys.modules['sqlglot'] = None; "
        "from datetime import date, datetime; import archive_tools.compact; "
        "from archive_tools.querying import athena_compaction, athena_engine; "
        "day = date(2026, 11, 23); now = datetime(2026, 11, 23); "
        "athena_compaction.merge_statement(day, day, now); athena_compaction.view_statement(now); "
        "print(athena_engine.price_text(1))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")

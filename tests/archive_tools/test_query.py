"""`flask archive query`, as it is called."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from unittest.mock import Mock

import duckdb
import pytest
from click.testing import CliRunner

from archive_tools import query
from archive_tools.cli import archive
from tests.archive_tools.conftest import Run, store
from tests.archive_tools.engines import BUCKET, arrival, bucket_like, folder_name, line
from webhook_app.environ import PROJECT

PAID = {"data": {"object": {"amount": 12340, "currency": "kwd", "note": "x" * 200}}}
MONEY = "SELECT id, amount_major, payload FROM stripe_events"


@pytest.fixture(autouse=True)
def events(folder: Path) -> None:
    arrival(folder, "evt_1", "2026-11-23T10:00", payload=PAID)
    arrival(folder, "evt_2", "2026-11-22T10:00")


def test_the_result_is_a_table_on_standard_output_and_all_else_beside_it(run: Run) -> None:
    result = run("query", "SELECT id, day FROM stripe_webhooks ORDER BY id")
    assert result.stdout == "id     day\n─────  ───\nevt_1  23\nevt_2  22\n"
    assert result.stderr.startswith("2 rows in ")
    assert "DuckDB read 2 objects of 2 of 2 days" in result.stderr
    assert result.exit_code == 0


def test_a_query_of_the_library_is_run_by_its_name(run: Run) -> None:
    for name in ("arrivals", "arrivals.sql", str(PROJECT / "deploy/athena/queries/arrivals.sql")):
        result = run("query", name, "--today", "2026-11-23", "--format", "csv")
        assert result.stdout == "type,count\nt,1\n"


def test_a_query_can_come_by_standard_input(folder: Path) -> None:
    arguments = ["query", "-", "--archive", str(folder), "--format", "csv"]
    result = CliRunner().invoke(archive, arguments, input="SELECT 1 AS one")
    assert result.stdout == "one\n1\n"


def test_the_library_is_listed_with_its_questions(run: Run) -> None:
    queries, models = run("query", "--list").stdout.split("\n\n")
    lines = queries.splitlines()
    names = [line.split()[0] for line in lines[2:]]
    assert names == sorted(path.stem for path in (PROJECT / "deploy/athena/queries").glob("*"))
    assert any(line.endswith("What has arrived today, by type?") for line in lines)
    names = [line.split()[0] for line in models.splitlines()[2:]]
    assert names == sorted(path.stem for path in (PROJECT / "deploy/athena/models").glob("*"))


def test_what_is_no_query_is_told_with_the_cure(run: Run) -> None:
    for argument in ("no_such_query", "no/such/file.sql"):
        result = run("query", argument)
        assert result.exit_code == 2
        assert "--list" in result.stderr


def test_a_placeholder_wants_a_value(run: Run) -> None:
    refused = run("query", "event_by_id", "--today", "2026-11-23")
    assert refused.exit_code == 2
    assert "--set evt_replace_me=…" in refused.stderr
    filled = ("query", "event_by_id", "--today", "2026-11-23", "--json", "--set")
    (found,) = json.loads(run(*filled, "evt_replace_me=evt_1").stdout)
    assert found["payload"] == json.dumps(PAID)
    assert json.loads(run(*filled, "evt_replace_me=o'evt").stdout) == []


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("acct_replace_me=a", "it has evt_replace_me"),
        ("evt_replace_me=", "has no value"),
        ("evt_replace_me=a\nb", "cannot be printed"),
    ],
)
def test_a_value_without_a_place_is_refused(assignment: str, told: str, run: Run) -> None:
    result = run("query", "event_by_id", "--set", assignment)
    assert result.exit_code == 2
    assert told in result.stderr


def test_json_is_exact_and_whole(run: Run) -> None:
    for words in (("--json",), ("--format", "json")):
        result = run("query", f"{MONEY} ORDER BY id", *words)
        assert json.loads(result.stdout) == [
            {"id": "evt_1", "amount_major": "12.340", "payload": json.dumps(PAID)},
            {"id": "evt_2", "amount_major": None, "payload": "{}"},
        ]


def test_csv_is_exact_and_whole(run: Run) -> None:
    sql = f"{MONEY[:-19]}, livemode, created_at FROM stripe_events ORDER BY id"
    first, *_ = csv.DictReader(io.StringIO(run("query", sql, "--format", "csv").stdout))
    assert first == {
        "id": "evt_1",
        "amount_major": "12.340",
        "payload": json.dumps(PAID),
        "livemode": "true",
        "created_at": "2026-11-23T00:00:00",
    }


def test_a_table_cuts_what_is_wide(run: Run) -> None:
    result = run("query", MONEY)
    assert max(map(len, result.stdout.splitlines())) < 110
    assert "…" in result.stdout


def test_parquet_keeps_types_and_values(run: Run, tmp_path: Path) -> None:
    sql = (
        "SELECT id, amount, amount_major, created_at, livemode, CAST(created_at AS date) AS day,"
        " sum(amount) OVER () AS total, payload FROM stripe_events ORDER BY id"
    )
    path = tmp_path / "it's.parquet"
    result = run("query", sql, "--format", "parquet", "--output", str(path))
    assert (result.exit_code, result.stdout) == (0, "")
    found = duckdb.read_parquet(str(path))
    assert [str(type_) for type_ in found.types] == [
        "VARCHAR", "BIGINT", "DECIMAL(38,3)", "TIMESTAMP", "BOOLEAN", "DATE", "BIGINT", "VARCHAR",
    ]  # fmt: skip
    first, second = found.fetchall()
    assert first[:3] == ("evt_1", 12340, Decimal("12.340"))
    assert first[6:] == (12340, json.dumps(PAID))
    assert second[1] is None


def test_json_is_itself_in_parquet_and_an_interval_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "result.parquet"
    currency = "json_extract(payload, '$.data.object.currency')"
    sql = f"SELECT {currency} AS j FROM stripe_webhooks ORDER BY id"
    assert run("query", sql, "--format", "parquet", "--output", str(path)).exit_code == 0
    assert duckdb.read_parquet(str(path)).fetchall() == [('"kwd"',), (None,)]
    sql = "SELECT created_at - received_at AS i FROM stripe_events"
    refused = run("query", sql, "--format", "parquet", "--output", str(path))
    assert refused.exit_code == 2
    assert "date_diff" in refused.stderr


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_rows_are_written_as_they_come(form: str, folder: Path, tmp_path: Path) -> None:
    # 200 MB of rows, of which one in memory at a time is enough
    many = "SELECT n, lpad('x', 5000, 'xy') AS text FROM UNNEST(sequence(1, 40000)) AS t (n)"
    # getrusage would give the peak of the process that this one was forked from
    script = (
        "from pathlib import Path; from archive_tools.cli import archive\n"
        "try: archive()\n"
        "finally: print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    words = ["query", many, "--archive", str(folder), "--format", form, "--output"]
    done = subprocess.run(
        [sys.executable, "-c", script, *words, str(tmp_path / "result")],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "result").stat().st_size > 40_000
    assert int(done.stdout) < {"parquet": 450_000}.get(form, 300_000)


def test_a_file_takes_its_place_as_a_whole(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("before")
    twice = "SELECT 1 AS a, 2 AS a"
    failed = run("query", twice, "--json", "--output", str(path))
    assert failed.exit_code == 2
    assert "called a" in failed.stderr
    assert path.read_text() == "before"
    assert run("query", "SELECT 1 AS a", "--json", "--output", str(path)).exit_code == 0
    assert json.loads(path.read_text()) == [{"a": 1}]
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["result.json"]


def test_options_that_contradict_each_other_are_refused(run: Run) -> None:
    for words, told in (
        (("--json", "--format", "csv"), "--json cannot go with"),
        (("--format", "parquet"), "--output result.parquet"),
        (("--engine", "athena", "--today", "2026-11-23"), "--engine duckdb"),
        (("--engine", "athena"), "is a folder"),
    ):
        result = run("query", "SELECT 1 AS a", *words)
        assert result.exit_code == 2
        assert told in result.stderr


def test_explain_says_what_would_be_read_and_runs_nothing(folder: Path, run: Run) -> None:
    store(folder, b"garbage\n", name="damaged.json.gz")
    result = run("query", "arrivals", "--today", "2026-11-23", "--explain")
    assert result.exit_code == 0
    assert "days     1 of 2, 2026-11-23 to 2026-11-23\nreads    2 objects, " in result.stdout
    assert "strftime" in result.stdout
    facts = json.loads(run("query", "SELECT 1 AS a", "--explain", "--json").stdout)
    assert (facts["days"], facts["of_days"], facts["bytes"]) == (0, 2, 0)


def test_explain_of_athena_has_its_sql_and_its_price(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket_like(folder, monkeypatch):
        where = ("--archive", f"s3://{BUCKET}", "--explain")
        text = run("query", "arrivals", *where).stdout
        facts = json.loads(run("query", "arrivals", *where, "--json").stdout)
    assert "engine   athena" in text
    assert "price    about $0.000048" in text
    assert facts["usd"] == pytest.approx(5 * 10 / 2**20)
    assert facts["sql"] == (PROJECT / "deploy/athena/queries/arrivals.sql").read_text()


def test_a_bucket_gives_what_a_folder_gives(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("query", f"{MONEY} ORDER BY id", "--json")
    here = run(*words).stdout
    with bucket_like(folder, monkeypatch):
        there = run(*words, "--archive", f"s3://{BUCKET}", "--engine", "duckdb")
    assert (there.exit_code, there.stdout) == (0, here)


def test_faults_are_told_beside_the_result_and_in_the_exit_status(folder: Path, run: Run) -> None:
    store(folder, *(b"garbage\n" for _ in range(22)), line("last"), name="damaged.json.gz")
    result = run("query", "SELECT count(*) AS n FROM stripe_webhooks", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [{"n": 3}]
    told = [text for text in result.stderr.splitlines() if "damaged" in text]
    where = f"{folder_name('2026-11-23')}/damaged.json.gz"
    assert told == [f"  {where} line {n}: not one JSON object" for n in range(1, 21)]
    assert "… and 2 more" in result.stderr


@pytest.mark.parametrize(
    ("sent", "wait_s"), [(signal.SIGINT, 0.2), (signal.SIGINT, 0.6), (signal.SIGTERM, 0.6)]
)
def test_an_interrupted_query_leaves_nothing_behind(
    sent: signal.Signals, wait_s: float, folder: Path, tmp_path: Path
) -> None:
    # a trillion rows: long enough for anybody to lose patience
    many = "(SELECT id FROM UNNEST(sequence(1, 1000000)) AS t(id))"
    sql = f"SELECT count(*) AS n FROM {many} a CROSS JOIN {many} b WHERE a.id % 7 = b.id % 11"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    output = tmp_path / "result.csv"
    running = subprocess.Popen(
        [
            *(sys.executable, "-c", "from archive_tools.cli import archive; archive()"),
            *("query", sql, "--archive", str(folder), "--output", str(output)),
        ],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(list(temporary.iterdir())) < 2:
        assert running.poll() is None
        time.sleep(0.02)
    time.sleep(wait_s)
    running.send_signal(sent)
    _, told = running.communicate(timeout=20)
    assert running.returncode == 2
    assert (
        told == f"Archive: {folder} (--archive)\nError: Interrupted. Nothing is left half-done.\n"
    )
    assert not output.exists()
    assert list(temporary.iterdir()) == []


def test_bytes_are_hexadecimal_in_text_and_themselves_in_parquet(run: Run, tmp_path: Path) -> None:
    sql = "SELECT to_utf8('aé\\') AS bytes"
    assert run("query", sql, "--format", "csv").stdout == "bytes\n61c3a95c\n"
    target = tmp_path / "bytes.parquet"
    assert run("query", sql, "--format", "parquet", "--output", str(target)).exit_code == 0
    assert duckdb.read_parquet(str(target)).fetchall() == [("aé\\".encode(),)]


def test_one_bar_goes_to_its_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, int, int]] = []

    @contextmanager
    def progress(label: str, length: int) -> Iterator[Mock]:
        yield (bar := Mock())
        shown.append((label, length, sum(call.args[0] for call in bar.update.call_args_list)))

    for name in ("query", "reporting.statistics", "querying.downloads", "querying.exporting"):
        monkeypatch.setattr(f"archive_tools.{name}.progress", progress)
    run("query", "SELECT count(*) AS n FROM stripe_events")
    assert shown == [("Querying", 100, 100)]
    shown.clear()
    run("report", "--json", "--from", "2026-11-22", "--today", "2026-11-23")
    assert shown == [("Querying the archive", 100, 100), ("Listing the days", 2, 2)]


def test_a_file_that_cannot_be_written_is_told_before_the_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "_open", None)
    result = run("query", "arrivals", "--output", str(tmp_path / "missing/result.csv"))
    assert result.exit_code == 2
    assert "missing is not there, or may not be written to\n  Fix: name a file" in result.stderr


def test_an_explanation_has_no_result_to_be_written(run: Run, tmp_path: Path) -> None:
    result = run("query", "arrivals", "--explain", "--output", str(tmp_path / "result.csv"))
    assert result.exit_code == 2
    assert "leave one of them out" in result.stderr


def test_of_a_statement_that_is_no_query_there_is_one_word(folder: Path) -> None:
    # in a process of its own: a logger's last resort is not what a test runner has
    call = [sys.executable, "-c", "from archive_tools.cli import archive; archive()"]
    words = ["query", "SHOW TABLES", "--archive", str(folder)]
    done = subprocess.run([*call, *words], capture_output=True, cwd=PROJECT, check=False)
    _, _, told = done.stderr.partition(b"\n")
    assert told.startswith(b"Error: This is no SELECT")

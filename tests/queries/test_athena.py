"""The translation of Athena's SQL: what it refuses, and where the engines differ."""

from datetime import date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlglot.errors import ParseError, UnsupportedError

from demo import athena
from demo.service import PROJECT
from tests.queries.conftest import Archived


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE OR REPLACE VEIW v AS SELECT 1",
        "CREATE OR REPLACE VIEW v AS SELECT 1",
        "EXPLAIN SELECT 1",
        "MSCK REPAIR TABLE stripe_webhooks",
        "INSERT INTO t SELECT 1",
    ],
)
def test_what_sqlglot_keeps_as_text_or_is_no_query_is_refused(sql: str) -> None:
    with pytest.raises(UnsupportedError, match="no query"):
        athena.translated(sql)


@pytest.mark.parametrize("wrong", ["GRUOP BY type", "ODER BY type", "LIMT 5", "HAVNIG x"])
def test_a_misspelt_clause_is_refused(wrong: str) -> None:
    with pytest.raises(ParseError):
        athena.translated(f"SELECT type FROM stripe_webhooks {wrong}")


def test_a_function_that_sqlglot_does_not_know_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="jsn_extract"):
        athena.translated("SELECT jsn_extract(payload, '$.id') FROM stripe_webhooks")


def test_the_path_is_a_hidden_column(archived: Archived) -> None:
    folder = archived("{}")
    (path,) = folder.rglob("*.json.gz")
    assert athena.query(folder, 'SELECT "$path" FROM stripe_webhooks')[1] == [(str(path),)]
    names, _ = athena.query(folder, "SELECT * FROM stripe_webhooks")
    assert names[-4:] == ["payload", "year", "month", "day"]


def test_current_date_can_be_given(archived: Archived) -> None:
    sql = "SELECT current_date - INTERVAL '30' DAY AS day FROM stripe_webhooks"
    _, rows = athena.query(archived(), sql, date(2026, 11, 23))
    assert rows == [(datetime(2026, 10, 24),)]


def test_times_are_utc_wherever_the_reader_is(
    archived: Archived, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    sql = "SELECT to_unixtime(from_iso8601_timestamp('1970-01-01T00:00:05')) FROM stripe_webhooks"
    assert athena.query(archived(), sql)[1] == [(5.0,)]


def test_what_is_inside_a_translated_function_is_translated_too(archived: Archived) -> None:
    sql = "SELECT approx_percentile(TRY_CAST(json_extract_scalar(payload, '$.n') AS bigint), 0.5)"
    archived({"n": 3}, id="1")
    archived("no json", id="2")
    folder = archived({"n": {}}, id="3")
    assert athena.query(folder, f"{sql} FROM stripe_webhooks")[1] == [(3,)]


def test_a_wrong_query_is_one_line_to_the_caller(archived: Archived, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.sql"
    wrong.write_text("SELECT nothing FROM stripe_webhooks")
    result = CliRunner().invoke(athena.main, [str(archived("{}")), str(wrong)])
    assert result.exit_code == 1
    assert "wrong.sql" in result.output


def test_queries_run_from_the_command_line(archived: Archived) -> None:
    file = PROJECT / "deploy/athena/queries/arrivals.sql"
    arguments = [str(archived("{}")), str(file), "--today", "2026-11-23"]
    result = CliRunner().invoke(athena.main, arguments)
    assert result.exit_code == 0, result.output
    assert "| type | count |\n| --- | --- |\n| t | 1 |\n" in result.output

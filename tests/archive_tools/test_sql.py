"""The translation of Athena's SQL: what it refuses, and what it makes of names."""

import pytest

from archive_tools.errors import ToolError
from archive_tools.querying.sql import names, selection, translated


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
    with pytest.raises(ToolError, match="no query"):
        translated(sql)


@pytest.mark.parametrize("wrong", ["GRUOP BY type", "ODER BY type", "LIMT 5", "HAVNIG x"])
def test_a_misspelt_clause_is_refused(wrong: str) -> None:
    with pytest.raises(ToolError, match=r"cannot be translated(.|\n)*--engine athena"):
        translated(f"SELECT type FROM stripe_webhooks {wrong}")


def test_a_function_that_sqlglot_does_not_know_is_refused() -> None:
    with pytest.raises(ToolError, match="jsn_extract"):
        translated("SELECT jsn_extract(payload, '$.id') FROM stripe_webhooks")


@pytest.mark.parametrize(("sql", "count"), [("", 0), ("SELECT 1; SELECT 2", 2)])
def test_one_statement_is_run_at_a_time(sql: str, count: int) -> None:
    with pytest.raises(ToolError, match=f"{count} statements"):
        translated(sql)


def test_a_semicolon_at_the_end_is_none_of_another_statement() -> None:
    assert translated("SELECT 1;") == translated("SELECT 1")


def test_a_condition_is_about_one_row() -> None:
    with pytest.raises(ToolError, match="query of its own"):
        selection("stripe_webhooks", "id IN (SELECT id FROM stripe_webhooks)")


@pytest.mark.parametrize("condition", ["1 = 1) UNION (SELECT 1", "id = '1' GROUP BY id", "id ="])
def test_a_condition_is_nothing_else_than_one(condition: str) -> None:
    with pytest.raises(ToolError):
        selection("stripe_webhooks", condition)


def test_a_comment_at_the_end_of_a_condition_ends_there() -> None:
    assert selection("stripe_events", "livemode -- in earnest").args["where"]


def test_the_columns_of_the_table_end_with_its_partitions() -> None:
    assert names("stripe_webhooks")[-4:] == ["payload", "year", "month", "day"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        'SELECT * FROM "/var/log/wtmp.parquet"',
        "WITH own AS (SELECT 1 AS n) SELECT n FROM own UNION ALL SELECT n FROM other",
        "SELECT id FROM stripe_webhooks WHERE id IN (SELECT id FROM '/tmp/ids.csv')",
        "SELECT * FROM duckdb_secrets",
        "SELECT * FROM information_schema.tables",
    ],
)
def test_a_query_reads_the_table_and_the_view_alone(sql: str) -> None:
    with pytest.raises(ToolError, match=r"no table (.|\n)*stripe_webhooks"):
        translated(sql)


def test_what_a_query_makes_by_itself_is_a_table_too() -> None:
    assert translated("WITH Own AS (SELECT 1 AS n) SELECT n FROM own")
    assert translated("SELECT n FROM UNNEST(ARRAY[1, 2]) AS t (n)")
    assert translated("SELECT n FROM (VALUES 1, 2) AS t (n)")
    assert translated("SELECT id FROM AwsDataCatalog.stripe_analytics.Stripe_Events")

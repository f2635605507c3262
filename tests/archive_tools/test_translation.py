"""The translation of Athena's SELECT: what it refuses, and what names mean."""

import pytest

from archive_tools.errors import ToolError
from archive_tools.querying.schema import relations, table, view
from archive_tools.querying.translation import translated, translated_condition


def sql_of(sql: str) -> str:
    return translated(sql, relations()).sql


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE OR REPLACE VEIW v AS SELECT 1",
        "CREATE OR REPLACE VIEW v AS SELECT 1",
        "EXPLAIN SELECT 1",
        "MSCK REPAIR TABLE stripe_webhooks",
        "INSERT INTO t SELECT 1",
        "DROP TABLE stripe_webhooks",
        "SHOW TABLES",
    ],
)
def test_what_is_no_select_is_refused(sql: str) -> None:
    with pytest.raises(ToolError, match="no SELECT"):
        sql_of(sql)


@pytest.mark.parametrize("wrong", ["GRUOP BY type", "ODER BY type", "LIMT 5", "HAVNIG x"])
def test_a_misspelt_clause_is_refused(wrong: str) -> None:
    with pytest.raises(ToolError, match=r"cannot be read(.|\n)*spelling"):
        sql_of(f"SELECT type FROM stripe_webhooks {wrong}")


def test_one_statement_is_run_at_a_time() -> None:
    with pytest.raises(ToolError, match="more than one statement"):
        sql_of("SELECT 1; SELECT 2")


def test_a_semicolon_at_the_end_is_none_of_another_statement() -> None:
    assert sql_of("SELECT 1;") == sql_of("SELECT 1")


def test_a_condition_is_about_one_row() -> None:
    with pytest.raises(ToolError, match="query of its own"):
        translated_condition("id IN (SELECT id FROM stripe_webhooks)", table())


@pytest.mark.parametrize("condition", ["1 = 1) UNION (SELECT 1", "id = '1' GROUP BY id", "id =",
                                       "1 = 1) ORDER BY (id", "id = '1' OR 1"])  # fmt: skip
def test_a_condition_is_nothing_else_than_one(condition: str) -> None:
    with pytest.raises(ToolError):
        translated_condition(condition, table())


def test_a_comment_at_the_end_of_a_condition_ends_there() -> None:
    where, _ = translated_condition("livemode -- in earnest", view())
    assert "livemode" in where
    assert "earnest" not in where


def test_the_columns_of_the_table_end_with_its_partitions() -> None:
    assert list(table().columns)[-5:] == ["payload", "year", "month", "day", "$path"]


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
        # a name that is made in one place is not known in another
        'SELECT * FROM (WITH "x.csv" AS (SELECT 1 AS n) SELECT n FROM "x.csv"), "x.csv"',
        'SELECT * FROM "x.csv", (WITH "x.csv" AS (SELECT 1 AS n) SELECT n FROM "x.csv")',
        'WITH "x.csv" AS (SELECT * FROM "x.csv") SELECT * FROM "x.csv"',
        "WITH a AS (SELECT 1 AS n) SELECT * FROM stripe_analytics.a",
    ],
)
def test_a_query_reads_the_table_and_the_view_alone(sql: str) -> None:
    with pytest.raises(ToolError, match=r"no table (.|\n)*stripe_webhooks"):
        sql_of(sql)


def test_a_part_of_a_query_has_no_name_that_could_be_a_file() -> None:
    assert "x.csv" not in sql_of('WITH "x.csv" AS (SELECT 1 AS n) SELECT n FROM "x.csv"')


def test_what_a_query_makes_by_itself_is_a_table_too() -> None:
    assert sql_of("WITH Own AS (SELECT 1 AS n) SELECT n FROM own")
    assert sql_of("SELECT n FROM UNNEST(ARRAY[1, 2]) AS t (n)")
    assert sql_of("SELECT n FROM (VALUES 1, 2) AS t (n)")
    assert sql_of("SELECT id FROM AwsDataCatalog.stripe_analytics.Stripe_Events")

"""`flask archive build`, as it is called: what it makes, replaces and leaves, in every form."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pytest
from moto import mock_aws
from sqlglot import exp

from archive_tools.errors import ToolError
from archive_tools.querying import model_files
from archive_tools.querying.athena_engine import AthenaEngine
from archive_tools.querying.calls import supported
from archive_tools.querying.dialect import parsed
from archive_tools.querying.model_files import model_file, model_names
from archive_tools.querying.models import STATES, known_relations, model, models, needs
from archive_tools.querying.translation import translated
from examples import month
from tests.archive_tools.conftest import Run, store
from tests.archive_tools.engines import BUCKET, REGION, arrival, bucket_like, folder_name
from webhook_app.environ import PROJECT

#: What dashboards read of the metrics: docs/ANALYTICS.md has what the columns mean.
METRICS = {
    "subscription_item_changes": "changed_at account livemode customer subscription "
    "subscription_item product price currency quantity mrr_before mrr_after mrr_change kind "
    "event_id",
    "mrr_by_month": "month account livemode currency opening_mrr new_mrr reactivation_mrr "
    "expansion_mrr contraction_mrr churned_mrr closing_mrr opening_customers new_customers "
    "reactivated_customers churned_customers closing_customers customer_churn_rate "
    "gross_revenue_retention net_revenue_retention arpa arr unpriced_items unknown_discounts "
    "is_complete",
    "trials_by_month": "month account livemode trials_ended converted conversion_rate is_complete",
    "payments_by_month": "month account livemode currency first_attempts failed_first failure_rate "
    "recovered recovery_rate first_attempts_amount failed_first_amount failure_rate_by_amount "
    "recovered_amount recovery_rate_by_amount",
    "disputes_by_month": "month account livemode charges disputed dispute_rate won lost",
    "revenue_by_month": "month account livemode currency gross refunded disputed net_before_fees "
    "fees net paid_out",
}

OBJECTS = [
    "customers",
    "products",
    "prices",
    "coupons",
    "subscriptions",
    "subscription_items",
    "invoices",
    "invoice_line_items",
    "charges",
    "refunds",
    "disputes",
    "payment_intents",
    "payouts",
    "credit_notes",
    "checkout_sessions",
    "balance_transactions",
]

OF_EVERY_OBJECT = ["is_deleted", "as_of", "event_id", "api_version", "source"]


def customer(folder: Path, id_: str, email: str, at: str = "2026-11-23T10:00") -> Path:
    """Store the event with which a customer was made."""
    payload = {"data": {"object": {"object": "customer", "id": id_, "email": email}}}
    return arrival(folder, f"evt_{id_}", at, type="customer.created", payload=payload)


@pytest.fixture
def customers(folder: Path) -> Path:
    """An archive with two customers."""
    customer(folder, "cus_1", "a@example.com")
    customer(folder, "cus_2", "b@example.com")
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder for what is built."""
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


def emails(file: Path) -> list[str]:
    """The addresses of a built database's customers."""
    with duckdb.connect(str(file), read_only=True) as database:
        return [
            email
            for (email,) in database.execute("SELECT email FROM customers ORDER BY 1").fetchall()
        ]


def test_every_model_is_a_table_with_its_columns_and_what_they_mean(
    tmp_path: Path, output: Path, run: Run
) -> None:
    month.archive(tmp_path / "month", month.deliveries())
    file = output / "analytics.duckdb"
    words = ("build", "--archive", str(tmp_path / "month"), "--today", "2026-11-23")
    result = run(*words, "--output", str(file), "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["faults"] == 0
    assert told["newest_event"] == "2026-11-23T09:19:21"
    assert told["not_computed"] == {
        "unpriced_items": 0,
        "unknown_discounts": 0,
        "customer_discounts": 0,
        "cut_items": 0,
        "cut_lines": 0,
    }
    assert (told["rows"]["customers"], told["rows"]["subscriptions"]) == (2, 7)
    with duckdb.connect(str(file), read_only=True) as database:
        for name in told["rows"]:
            columns = database.execute(f"DESCRIBE {name}").fetchall()
            assert {c[0]: c[1] for c in columns} == {
                column: type_.duckdb for column, type_ in model(name).columns.items()
            }
            counted = database.execute(f"SELECT count(*) FROM {name}").fetchall()
            assert counted == [(told["rows"][name],)]
        comments = "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = '{}'"
        meanings = dict(database.execute(comments.format("subscriptions")).fetchall())
        assert meanings["items_complete"] == model("subscriptions").meanings["items_complete"]
        ((question,),) = database.execute(
            "SELECT comment FROM duckdb_tables() WHERE table_name = 'subscriptions'"
        ).fetchall()
        assert question.startswith("Which subscriptions are there, and how do they stand now?\n")
    assert sorted(told["rows"]) == [name for name in model_names() if name not in STATES]
    assert [path.name for path in output.iterdir()] == ["analytics.duckdb"]


def test_a_folder_gets_a_parquet_file_a_model(customers: Path, output: Path, run: Run) -> None:
    target = output / "analytics"
    words = ("build", "--output", str(target), "--model", "customers", "--model", "charges")
    assert run(*words).exit_code == 0
    customer(customers, "cus_3", "c@example.com")
    result = run(*words)
    assert result.exit_code == 0
    assert "customers     3\n" in result.stdout
    assert sorted(path.name for path in target.iterdir()) == [
        "charges.parquet",
        "customers.parquet",
    ]
    assert list(output.iterdir()) == [target]
    found = duckdb.execute(
        f"SELECT count(*), max(email) FROM '{target}/customers.parquet'"
    ).fetchall()
    assert found == [(3, "c@example.com")]
    codecs = duckdb.execute(
        f"SELECT DISTINCT compression FROM parquet_metadata('{target}/customers.parquet')"
    ).fetchall()
    assert codecs == [("ZSTD",)]


@pytest.mark.usefixtures("customers")
def test_a_folder_with_something_else_in_it_is_left_alone(output: Path, run: Run) -> None:
    (output / "notes.txt").write_text("mine")
    result = run("build", "--output", str(output), "--model", "customers")
    assert result.exit_code == 2
    assert "holds notes.txt" in result.stderr
    assert (output / "notes.txt").read_text() == "mine"


def test_what_could_not_be_read_is_named_and_the_rest_is_built(
    customers: Path, output: Path, run: Run
) -> None:
    store(customers, b"no record\n", name="bad.json.gz", day=folder_name("2026-11-23"))
    file = output / "analytics.duckdb"
    result = run("build", "--output", str(file), "--model", "customers")
    assert result.exit_code == 1
    assert "bad.json.gz" in result.stderr
    assert emails(file) == ["a@example.com", "b@example.com"]


@pytest.mark.usefixtures("customers")
@pytest.mark.parametrize("name", ["analytics.duckdb", "analytics"])
def test_what_was_there_stays_whole_if_the_build_fails(
    name: str, output: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = output / name
    words = ("build", "--output", str(target), "--model", "customers")
    assert run(*words).exit_code == 0
    before = {path: path.read_bytes() for path in output.rglob("*.*") if path.is_file()}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = run(*words)
    assert result.exit_code == 2
    assert "No space left on device" in result.stderr
    assert {path: path.read_bytes() for path in output.rglob("*.*") if path.is_file()} == before


def test_ctrl_c_leaves_what_was_there_and_nothing_else(tmp_path: Path, output: Path) -> None:
    month.archive(tmp_path / "month", month.deliveries())
    file = output / "analytics.duckdb"
    file.write_bytes(b"the one before")
    process = subprocess.Popen(
        [sys.executable, "-c", "from archive_tools.cli import archive; archive()",
         "build", "--archive", str(tmp_path / "month"), "--output", str(file)],
        cwd=PROJECT,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(list(output.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Interrupted" in errors
    assert file.read_bytes() == b"the one before"
    assert list(output.iterdir()) == [file]


@pytest.mark.usefixtures("customers")
def test_a_database_that_somebody_writes_to_is_not_replaced(output: Path, run: Run) -> None:
    file = output / "analytics.duckdb"
    assert run("build", "--output", str(file), "--model", "customers").exit_code == 0
    with duckdb.connect(str(file)) as database:
        database.execute("CREATE TABLE mine (x INTEGER)")
        database.execute("INSERT INTO mine VALUES (1)")
        result = run("build", "--output", str(file), "--model", "customers")
    assert result.exit_code == 2
    assert "analytics.duckdb.wal" in result.stderr


@pytest.mark.usefixtures("customers")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--output FILE.duckdb"),
        (("--output", "a.duckdb", "--model", "nothing"), "There is no model nothing"),
        (("--output", "no/such/folder/a.duckdb"), "cannot be written"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_told(words: tuple[str, ...], told: str, run: Run) -> None:
    result = run("build", *words)
    assert result.exit_code == 2
    assert told in result.stderr


@pytest.mark.usefixtures("customers")
def test_a_state_is_built_where_it_is_asked_for(output: Path, run: Run) -> None:
    file = output / "states.duckdb"
    assert run("build", "--output", str(file), "--model", "object_states").exit_code == 0
    with duckdb.connect(str(file), read_only=True) as database:
        assert database.execute("SELECT count(*) FROM object_states").fetchall() == [(2,)]


def test_a_bucket_is_built_on_this_machine(
    customers: Path, output: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = output / "analytics.duckdb"
    with bucket_like(customers, monkeypatch):
        place = ("--archive", f"s3://{BUCKET}", "--engine", "duckdb")
        result = run("build", *place, "--output", str(file), "--model", "customers")
    assert result.exit_code == 0
    assert emails(file) == ["a@example.com", "b@example.com"]


@pytest.fixture
def athena(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """moto's Athena, which takes every statement; the client to ask it with."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", REGION)
    with mock_aws():
        client = boto3.client("athena", REGION)
        client.create_work_group(
            Name="mine",
            Configuration={"ResultConfiguration": {"OutputLocation": f"s3://{BUCKET}/results/"}},
        )
        yield client


def statements(client: Any) -> list[str]:
    """What Athena ran in the workgroup, in the order of its start."""
    ids = client.list_query_executions(WorkGroup="mine")["QueryExecutionIds"]
    found = [client.get_query_execution(QueryExecutionId=id_)["QueryExecution"] for id_ in ids]
    assert {of["QueryExecutionContext"]["Database"] for of in found} == {"theirs"}
    return [of["Query"] for of in found]


IN_ATHENA = ("build", "--archive", f"s3://{BUCKET}", "--workgroup", "mine", "--database", "theirs")


def test_athena_gets_the_views_as_they_are_written_each_after_what_it_reads(
    athena: Any, run: Run
) -> None:
    result = run(*IN_ATHENA, "--json")
    assert result.exit_code == 0
    ran = statements(athena)
    assert ran == [of.statement for of in models()]
    made = [re.match(r"CREATE OR REPLACE VIEW (\w+) AS\n", sql)[1] for sql in ran]  # type: ignore[index]
    assert json.loads(result.stdout) == {"database": "theirs", "views": made}
    assert sorted(made) == model_names()
    for sql, name in zip(ran, made, strict=True):
        assert (PROJECT / f"deploy/athena/models/{name}.sql").read_text().strip().endswith(sql)
        before = made[: made.index(name)]
        assert {read.table for read in model(name).reads} & set(made) <= set(before)


def test_a_view_that_athena_refuses_ends_the_build_and_what_is_made_is_told(
    athena: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = AthenaEngine._ended

    def refusing(engine: AthenaEngine, query: str) -> Any:
        sql = athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Query"]
        if sql.startswith("CREATE OR REPLACE VIEW customers"):
            raise ToolError("Athena: the query failed: SYNTAX_ERROR: line 1:8", "a fix")
        return ended(engine, query)

    monkeypatch.setattr(AthenaEngine, "_ended", refusing)
    words = ("--model", "customers", "--model", "subscriptions")
    result = run(*IN_ATHENA, *words)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "Error: customers is as it was. Athena: the query failed: SYNTAX_ERROR: line 1:8",
        "  Made: object_events, object_states",
        "  Not tried: subscriptions",
        "  Fix: a fix",
    ]
    assert len(statements(athena)) == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [(("--output", "a.duckdb"), "--engine duckdb"), (("--today", "2026-11-23"), "is today")],
)
@pytest.mark.usefixtures("athena")
def test_athena_takes_no_file_and_no_day(words: tuple[str, ...], told: str, run: Run) -> None:
    result = run(*IN_ATHENA, *words)
    assert result.exit_code == 2
    assert told in result.stderr


# models by name


@pytest.mark.usefixtures("customers")
def test_a_model_is_queried_by_its_name(run: Run) -> None:
    for query in ("customers", "SELECT * FROM customers"):
        rows = json.loads(run("query", query, "--json").stdout)
        assert sorted(row["email"] for row in rows) == ["a@example.com", "b@example.com"]
    assert "customers " in run("query", "--list").stdout


def test_a_model_is_described(run: Run) -> None:
    lines = run("query", "--describe", "subscriptions").stdout.splitlines()
    assert lines[0] == "Which subscriptions are there, and how do they stand now?"
    assert lines[2].startswith("One row for each subscription, ")
    (described,) = [text for text in lines if text.startswith("items_complete ")]
    assert described.split(maxsplit=2)[1] == "boolean"
    assert described.endswith(model("subscriptions").meanings["items_complete"])
    unknown = run("query", "--describe", "nothing")
    assert unknown.exit_code == 2
    assert "--list" in unknown.stderr


def test_the_same_rows_come_by_a_query_and_by_a_build(
    customers: Path, output: Path, run: Run
) -> None:
    arrival(
        customers,
        "evt_new",
        "2026-11-23T11:00",
        type="customer.updated",
        created=1_795_392_001,
        payload={"data": {"object": {"object": "customer", "id": "cus_2", "email": "n@e.com"}}},
    )
    file = output / "analytics.duckdb"
    run("build", "--output", str(file), "--model", "customers")
    queried = run("query", "SELECT email FROM customers ORDER BY 1", "--format", "csv").stdout
    assert queried.split() == ["email", *emails(file)] == ["email", "a@example.com", "n@e.com"]


# the files


@pytest.mark.parametrize("name", model_names())
def test_a_model_says_what_it_answers_and_explains_columns_that_it_has(name: str) -> None:
    found = model(name)
    assert re.fullmatch(r"[A-Z].*\?", found.question)
    assert found.rules
    assert found.meanings.keys() <= found.columns.keys()
    text = (PROJECT / f"deploy/athena/models/{name}.sql").read_text()
    assert "Columns:" not in text or found.meanings


@pytest.mark.parametrize("name", model_names())
def test_a_model_uses_documented_functions_alone(name: str) -> None:
    calls = parsed(model_file(name).sql).find_all(exp.Anonymous)
    assert {call.name.lower() for call in calls} <= set(supported())


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_has_the_columns_of_every_object(name: str) -> None:
    columns = list(model(name).columns)
    assert columns[:2] == ["account", "livemode"]
    assert "id" in columns
    assert columns[-5:] == OF_EVERY_OBJECT


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_has_the_columns_that_dashboards_read(name: str) -> None:
    assert list(model(name).columns) == METRICS[name].split()


def test_only_the_kinds_of_objects_that_are_needed_are_read() -> None:
    def kinds(sql: str) -> str:
        return needs(translated(sql, known_relations(sql)).reads).kinds

    assert kinds("SELECT * FROM customers") == "((\"object\" = 'customer'))"
    both = kinds("SELECT 1 FROM customers, object_states s WHERE s.object IN ('charge', 'refund')")
    assert both == "((\"object\" = 'customer')) OR ((\"object\" IN ('charge', 'refund')))"
    assert kinds("SELECT 1 FROM customers, object_states") == ""
    assert needs((), ["customers", "object_events"]).kinds == ""


def test_models_that_read_each_other_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "FOLDER", tmp_path)
    for one, other in (("a", "b"), ("b", "a")):
        sql = f"-- Why?\nCREATE OR REPLACE VIEW {one} AS\nSELECT * FROM {other}\n"
        (tmp_path / f"{one}.sql").write_text(sql)
    with pytest.raises(ToolError, match="The models a, b read each other in a circle"):
        model("a")


def test_a_part_of_a_query_may_have_the_name_of_the_model_that_it_reads(
    customers: Path, run: Run
) -> None:
    sql = "WITH customers AS (SELECT id FROM customers) SELECT count(*) AS n FROM customers"
    assert json.loads(run("query", sql, "--json").stdout) == [{"n": 2}]

"""Athena as an engine: moto's, and one by hand for what moto never does."""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import boto3
import pytest
import requests
from botocore.stub import Stubber
from moto import mock_aws

from archive_tools.errors import ToolError
from archive_tools.querying import athena_engine
from archive_tools.querying.athena_engine import AthenaEngine, open_athena, price_usd
from archive_tools.querying.result import Result
from archive_tools.settings import ToolSettings
from archive_tools.storage import BucketStorage, FolderStorage
from tests.archive_tools.engines import BUCKET, REGION

SETTINGS = ToolSettings(aws_region=REGION)
PLACE = BucketStorage(BUCKET, REGION)

COLUMNS = {
    "id": ("varchar", "evt_1", "evt_1", "VARCHAR"),
    "n": ("bigint", "9007199254740993", 9_007_199_254_740_993, "BIGINT"),
    "small": ("integer", "7", 7, "INTEGER"),
    "share": ("double", "0.25", 0.25, "DOUBLE"),
    "net": ("decimal", "12.340", Decimal("12.340"), "DECIMAL(38,3)"),
    "livemode": ("boolean", "true", True, "BOOLEAN"),
    "day": ("date", "2026-11-23", date(2026, 11, 23), "DATE"),
    "at": ("timestamp", "2026-11-23 10:00:00.125", datetime(2026, 11, 23, 10, 0, 0, 125_000),
           "TIMESTAMP_MS"),
    "zoned": ("timestamp with time zone", "2026-11-23 10:00:00.000 Europe/Berlin",
              datetime(2026, 11, 23, 9), "TIMESTAMP_MS"),
    "list": ("array", "[1, 2]", "[1, 2]", "VARCHAR"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


@pytest.fixture
def moto() -> Iterator[None]:
    with mock_aws():
        boto3.client("athena", REGION).create_work_group(
            Name="stripe_analytics",
            Configuration={"ResultConfiguration": {"OutputLocation": f"s3://{BUCKET}/results/"}},
        )
        boto3.client("s3", REGION).create_bucket(Bucket=BUCKET)
        yield


def queue(names: dict[str, tuple[str, Any]], *rows: list[str | None]) -> None:
    """Let moto's Athena answer its next query so."""
    info: Any = [
        {"Name": name, "Type": type_, "Precision": 38, "Scale": 3}
        for name, (type_, *_) in names.items()
    ]
    data = [
        {"Data": [{} if cell is None else {"VarCharValue": cell} for cell in row]} for row in rows
    ]
    answer = requests.post(
        "http://motoapi.amazonaws.com/moto-api/static/athena/query-results",
        json={"region": REGION, "results": [{"rows": data, "column_info": info}]},
        timeout=5,
    )
    assert answer.status_code == 201


def ran(sql: str = "SELECT 1") -> Result:
    with open_athena(PLACE, SETTINGS) as engine:
        return engine.run(sql)


@pytest.mark.usefixtures("moto")
def test_values_have_the_types_that_athena_names() -> None:
    columns: dict[str, tuple[str, Any]] = {name: (c[0], None) for name, c in COLUMNS.items()}
    texts: list[str | None] = [column[1] for column in COLUMNS.values()]
    queue(columns, list(COLUMNS), texts, [None] * len(COLUMNS))
    result = ran()
    assert result.names == list(COLUMNS)
    assert result.rows == [tuple(c[2] for c in COLUMNS.values()), (None,) * len(COLUMNS)]
    assert [type(value) for value in result.rows[0]] == [type(c[2]) for c in COLUMNS.values()]
    assert result.types == [column[3] for column in COLUMNS.values()]


@pytest.mark.usefixtures("moto")
def test_the_names_are_no_row_but_a_row_like_them_is_one() -> None:
    queue({"a": ("varchar", None)}, ["a"], ["a"])
    assert ran().rows == [("a",)]


@pytest.mark.usefixtures("moto")
def test_the_query_goes_to_the_workgroup_and_the_database() -> None:
    ran("SELECT id FROM stripe_events")
    client = boto3.client("athena", REGION)
    (query,) = client.list_query_executions()["QueryExecutionIds"]
    execution = client.get_query_execution(QueryExecutionId=query)["QueryExecution"]
    assert execution["Query"] == "SELECT id FROM stripe_events"
    assert execution["WorkGroup"] == "stripe_analytics"
    assert execution["QueryExecutionContext"] == {"Database": "stripe_analytics"}


@pytest.mark.parametrize(
    "sql",
    ["DROP TABLE stripe_webhooks", "INSERT INTO t SELECT 1", "UNLOAD (SELECT 1) TO 's3://b/'",
     "SELECT 1; DROP TABLE t", "/* SELECT */ drop view stripe_events", "", "-- SELECT"],
)  # fmt: skip
def test_athena_gets_a_select_alone(sql: str, hands: "Hands") -> None:
    with pytest.raises(ToolError, match=r"no SELECT|more than one statement"):
        hands.engine.run(sql)


@pytest.mark.parametrize(
    "sql", ["(SELECT 1)", "WITH a AS (SELECT 1) SELECT * FROM a;", "-- why\nselect ';'"]
)
def test_every_form_of_a_select_is_one(sql: str, hands: "Hands") -> None:
    hands.starts()
    hands.is_("SUCCEEDED")
    hands.gives("n", "1")
    assert hands.engine.run(sql).rows == [(1,)]


def test_a_folder_is_none_of_athenas(tmp_path: Any) -> None:
    with (
        pytest.raises(ToolError, match="--engine duckdb"),
        open_athena(FolderStorage(tmp_path, "archive"), SETTINGS),
    ):
        pass


def test_without_a_region_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(ToolError, match="set AWS_REGION"), open_athena(PLACE, ToolSettings()):
        pass


class Hands:
    """boto3's own client, which is answered by hand: what moto's Athena never says."""

    def __init__(self) -> None:
        self.client = boto3.client("athena", REGION)
        self.stub = Stubber(self.client)
        self.stub.activate()
        self.engine = AthenaEngine(self.client, "stripe_analytics", "stripe_analytics")

    def starts(self) -> None:
        self.stub.add_response("start_query_execution", {"QueryExecutionId": "q-1"})

    def is_(self, state: str, reason: str = "", **statistics: Any) -> None:
        status = {"State": state} | ({"StateChangeReason": reason} if reason else {})
        execution = {"Status": status, "Statistics": statistics}
        self.stub.add_response("get_query_execution", {"QueryExecution": execution})

    def gives(self, *rows: str, token: str | None = None) -> None:
        result = {
            "ResultSet": {
                "Rows": [{"Data": [{"VarCharValue": row}]} for row in rows],
                "ResultSetMetadata": {"ColumnInfo": [{"Name": "n", "Type": "bigint"}]},
            }
        }
        self.stub.add_response(
            "get_query_results", result | ({"NextToken": token} if token else {})
        )


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hands]:
    monkeypatch.setattr(athena_engine, "_FIRST_WAIT_S", 0.001)
    by_hand = Hands()
    yield by_hand
    by_hand.stub.assert_no_pending_responses()


def test_a_result_of_several_pages_is_one(hands: Hands) -> None:
    hands.starts()
    hands.is_("SUCCEEDED")
    hands.gives("n", "1", "2", token="more")
    hands.gives("3")
    assert hands.engine.run("SELECT n FROM t").rows == [(1,), (2,), (3,)]


def test_what_was_scanned_and_its_price_are_told(hands: Hands) -> None:
    hands.starts()
    hands.is_("QUEUED")
    hands.is_("RUNNING")
    hands.is_("SUCCEEDED", DataScannedInBytes=2**40 // 100)
    hands.gives("n")
    (told,) = hands.engine.run("SELECT n FROM t").notes
    assert told == "Athena scanned 11.0 GB: $0.050000 at the list price of us-east-1"


def test_a_result_that_was_there_already_costs_nothing(hands: Hands) -> None:
    hands.starts()
    hands.is_("SUCCEEDED", ResultReuseInformation={"ReusedPreviousResult": True})
    hands.gives("n")
    assert "costs nothing" in hands.engine.run("SELECT n FROM t").notes[0]


@pytest.mark.parametrize(
    ("scanned", "usd"),
    [(0, 5 * 10 / 2**20), (10 * 2**20, 5 * 10 / 2**20), (2**40, 5), (2**41, 10)],
)
def test_the_price_is_by_tb_and_of_10_mb_at_least(scanned: int, usd: float) -> None:
    assert price_usd(scanned) == pytest.approx(usd)


@pytest.mark.parametrize(
    ("reason", "told", "fix"),
    [
        ("TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.a.b' does not exist",
         "Table 'awsdatacatalog.a.b' does not exist", "docs/FIREHOSE_SETUP.md"),
        ("Insufficient permissions to execute the query. Access denied", "Insufficient",
         "athena:StartQueryExecution"),
        ("Bytes scanned limit was exceeded", "limit was exceeded", "ScanLimitBytes"),
        ("SYNTAX_ERROR: line 1:1:\x1b[31m\n mismatched input", "line 1:1: [31m mismatched", ""),
        ("INVALID_CAST_ARGUMENT: Cannot cast 'ada@example.com' to BIGINT", "INVALID_CAST", "TRY_"),
        ("HIVE_BAD_DATA: Error parsing field value 'ada@example.com'", "HIVE_BAD_DATA", ""),
        ("", "gave no reason", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_a_failure_has_athenas_reason_and_a_cure_but_no_value(
    reason: str, told: str, fix: str, state: str, hands: Hands
) -> None:
    hands.starts()
    hands.is_(state, reason)
    with pytest.raises(ToolError) as caught:
        hands.engine.run("SELECT 1")
    wrong, _, cured = str(caught.value.message).partition("\n  Fix: ")
    assert wrong.startswith(f"Athena: the query {state.lower()}: ")
    assert told in wrong
    assert fix in cured
    assert wrong.isprintable()
    assert "ada" not in wrong


@pytest.mark.parametrize(
    ("code", "message", "fix"),
    [
        ("AccessDeniedException", "You are not authorized to perform this", "GetQueryResults"),
        ("InvalidRequestException", "WorkGroup stripe_analytics is not found.", "--workgroup"),
        ("UnrecognizedClientException", "The security token is invalid.", "AWS credentials"),
    ],
)
def test_a_refusal_has_its_code_and_a_cure(code: str, message: str, fix: str, hands: Hands) -> None:
    hands.stub.add_client_error("start_query_execution", code, message)
    with pytest.raises(ToolError) as caught:
        hands.engine.run("SELECT 1")
    assert f"Athena: {code}: {message}" in caught.value.message
    assert fix in caught.value.message


def test_who_is_interrupted_stops_the_query(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    hands.starts()
    hands.is_("RUNNING")
    hands.stub.add_response("stop_query_execution", {}, {"QueryExecutionId": "q-1"})
    monkeypatch.setattr("time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        hands.engine.run("SELECT 1")


def test_after_a_second_there_is_a_word_and_the_waits_grow(
    hands: Hands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waits: list[float] = []
    clock = [0.0]

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(athena_engine, "_FIRST_WAIT_S", 0.25)
    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    hands.starts()
    for _ in range(7):
        hands.is_("RUNNING")
    hands.is_("SUCCEEDED")
    hands.gives("n")
    hands.engine.run("SELECT 1")
    assert waits == [0.25, 0.5, 1, 2, 4, 5, 5]
    assert capsys.readouterr().err == "Athena runs the query q-1\n"

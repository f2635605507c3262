"""Athena's queries by Athena itself: started, waited for, fetched, and stopped on Ctrl-C.

The one module that talks to Athena. Of others' statements it sends a SELECT, or what makes a view,
and nothing else; it knows nothing of what is asked.
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from ..errors import ToolError
from ..output import bytes_text, note
from ..settings import ToolSettings
from ..storage import FolderStorage, Storage, error_code
from .athena_values import duckdb_type, value
from .result import Consumer, Result, Row, collected, ignore

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient
    from mypy_boto3_athena.type_defs import QueryExecutionTypeDef

#: The workgroup and the database of deploy/cloudformation.yaml have one name.
DEFAULT = "stripe_analytics"

PERMISSIONS = (
    "give these credentials athena:StartQueryExecution, GetQueryExecution, GetQueryResults and "
    "StopQueryExecution, glue:GetDatabase, GetTable and GetPartitions, s3:GetObject, s3:ListBucket "
    "and s3:GetBucketLocation on the archive, and s3:PutObject besides on athena-results/"
)

_VIEW_PERMISSIONS = (
    "give these credentials the rights of deploy/iam/models.json besides those of athena.json: "
    "glue:CreateTable and glue:UpdateTable"
)

_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 5.0
_NOTE_AFTER_S = 1.0

#: Those of Athena's errors whose words are about the query; those of others can quote a value.
_OF_THE_QUERY = re.compile(
    r"\w+_NOT_FOUND|SYNTAX_ERROR|TYPE_MISMATCH|NOT_SUPPORTED|(AMBIGUOUS|DUPLICATE|EXCEEDED|"
    r"EXPRESSION|MISMATCHED|MISSING|TOO_MANY)_\w+|(ACCESS|PERMISSION)_DENIED"
)

_FIXES = {
    r"(TABLE|SCHEMA|DATABASE)_NOT_FOUND|WorkGroup .*not found": (
        "docs/FIREHOSE_SETUP.md makes the table; look at AWS_REGION, --workgroup, --database too"
    ),
    r"(?i)access ?denied|insufficient permissions|not authorized": PERMISSIONS,
    r"Bytes scanned limit": "ask for fewer days, or raise the workgroup's limit, ScanLimitBytes",
    r"output location": "give the workgroup a place for its results, as the stack does",
    r"INVALID_CAST_ARGUMENT": "TRY_CAST gives NULL for what cannot be converted",
    r"security token|UnrecognizedClient|InvalidSignature|ExpiredToken": (
        "look at the AWS credentials of this shell"
    ),
}


class AthenaEngine:
    """A workgroup of Athena."""

    name = "athena"

    def __init__(self, client: "AthenaClient", workgroup: str, database: str) -> None:
        """Take boto3's client, and the names of the workgroup and of the database."""
        self._client = client
        self._workgroup = workgroup
        self._database = database

    def run(self, sql: str, tell: Callable[[int], None] = ignore) -> Result:
        """Return the result of a query, as `Engine` says.

        Raises:
            ToolError: Athena refused it, or it failed.
        """
        return collected(self, sql, tell)

    def stream(self, sql: str, consume: Consumer, tell: Callable[[int], None] = ignore) -> Result:
        """Hand the rows of a query to `consume`; Athena does not say how far it has come.

        Raises:
            ToolError: it is no SELECT, Athena refused it, or it failed.
        """
        from .dialect import refuse_all_but_select

        refuse_all_but_select(sql)
        with self._executed(sql) as (query, execution):
            tell(100)
            return self._result(query, _notes(execution), consume)

    def create_view(self, statement: str) -> None:
        """Create or replace a view.

        Raises:
            ToolError: it is another statement, or Athena refused it.
        """
        if not statement.startswith("CREATE OR REPLACE VIEW "):
            raise ToolError("This creates no view")
        try:
            with self._executed(statement):
                pass
        except ToolError as error:
            if error.fix != PERMISSIONS:
                raise
            raise ToolError(error.wrong, _VIEW_PERMISSIONS) from error

    def execute(self, statement: str) -> int:
        """Run a statement of this project's own, and return how many bytes Athena scanned for it.

        Raises:
            ToolError: Athena refused it, or it failed.
        """
        with self._executed(statement) as (_, execution):
            return _scanned(execution)

    def fetch(self, select: str) -> tuple[list[Row], int]:
        """Return the rows of a SELECT of this project's own, and how many bytes Athena scanned.

        Raises:
            ToolError: Athena refused it, or it failed.
        """
        rows: list[Row] = []
        with self._executed(select) as (query, execution):
            self._result(query, [], lambda _names, _types, found: rows.extend(found))
            return rows, _scanned(execution)

    @contextmanager
    def _executed(self, sql: str) -> Iterator[tuple[str, "QueryExecutionTypeDef"]]:
        """Run a statement; give its id and its execution once it has succeeded.

        Raises:
            ToolError: Athena refused it, or it failed; also where its result cannot be fetched.
        """
        try:
            query = self._client.start_query_execution(
                QueryString=sql,
                QueryExecutionContext={"Database": self._database},
                WorkGroup=self._workgroup,
            )["QueryExecutionId"]
            try:
                execution = self._ended(query)
            except ToolError:
                raise
            except BaseException:
                # it goes on, and costs, until it is stopped
                with contextlib.suppress(ClientError, BotoCoreError):
                    self._client.stop_query_execution(QueryExecutionId=query)
                raise
            yield query, execution
        except (ClientError, BotoCoreError) as error:
            raise _refused(error) from error

    def _ended(self, query: str) -> "QueryExecutionTypeDef":
        """Return the execution once it has succeeded.

        Raises:
            ToolError: it failed.
        """
        began, wait_s, is_noted = time.monotonic(), _FIRST_WAIT_S, False
        while True:
            execution = self._client.get_query_execution(QueryExecutionId=query)["QueryExecution"]
            status = execution["Status"]
            if status["State"] == "SUCCEEDED":
                return execution
            if status["State"] in ("FAILED", "CANCELLED"):
                reason = status.get("StateChangeReason") or "Athena gave no reason"
                raise _failed(f"Athena: the query {status['State'].lower()}", reason)
            if not is_noted and time.monotonic() - began > _NOTE_AFTER_S:
                note(f"Athena runs the query {query}")
                is_noted = True
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _result(self, query: str, notes: list[str], consume: Consumer) -> Result:
        pages = iter(
            self._client.get_paginator("get_query_results").paginate(QueryExecutionId=query)
        )
        first = next(pages)
        columns = list(first["ResultSet"]["ResultSetMetadata"]["ColumnInfo"])
        names = [column["Name"] for column in columns]
        types = [duckdb_type(column) for column in columns]
        result = Result(names, notes=notes, types=types)

        def rows() -> Iterator[Row]:
            for page in chain([first], pages):
                for number, row in enumerate(page["ResultSet"]["Rows"]):
                    texts = [cell.get("VarCharValue") for cell in row["Data"]]
                    # the first row of a SELECT is the names once more
                    if page is first and number == 0 and texts == names:
                        continue
                    result.count += 1
                    yield tuple(
                        value(column["Type"], text)
                        for column, text in zip(columns, texts, strict=True)
                    )

        consume(names, types, rows())
        return result


@contextmanager
def open_athena(
    storage: Storage, settings: ToolSettings, workgroup: str = DEFAULT, database: str = DEFAULT
) -> Iterator[AthenaEngine]:
    """Open Athena, in the region of the settings.

    Raises:
        ToolError: the archive is a folder, or there is no region.
    """
    if isinstance(storage, FolderStorage):
        raise ToolError(
            f"Athena reads buckets, and {storage.name} is a folder",
            "give --archive s3://bucket, or --engine duckdb",
        )
    import boto3

    try:
        client = boto3.Session().client("athena", region_name=settings.aws_region)
    except BotoCoreError as error:
        raise _refused(error) from error
    yield AthenaEngine(client, workgroup, database)


def price_usd(scanned_bytes: float) -> float:
    """Return what Athena asks in us-east-1 for a query that scans so much.

    https://aws.amazon.com/athena/pricing/
    """
    from deploy.costs import TB, Assumptions

    given = Assumptions()
    return given.prices.athena_tb.of(max(scanned_bytes, given.athena_least_bytes) / TB)


def price_text(scanned_bytes: float) -> str:
    """Return that price for people."""
    return f"${price_usd(scanned_bytes):.6f} at the list price of us-east-1"


def _notes(execution: "QueryExecutionTypeDef") -> list[str]:
    statistics = execution.get("Statistics", {})
    if statistics.get("ResultReuseInformation", {}).get("ReusedPreviousResult"):
        return ["Athena gave the result of an earlier run again, which costs nothing"]
    scanned = _scanned(execution)
    return [f"Athena scanned {bytes_text(scanned)}: {price_text(scanned)}"]


def _scanned(execution: "QueryExecutionTypeDef") -> int:
    return int(execution.get("Statistics", {}).get("DataScannedInBytes", 0))


def _refused(error: ClientError | BotoCoreError) -> ToolError:
    match error:
        case NoRegionError():
            return ToolError("Athena: no region is known", "set AWS_REGION, as in us-east-1")
        case NoCredentialsError():
            return ToolError("Athena: there are no AWS credentials", "log in, or use a role")
        case ClientError():
            text = str(error.response.get("Error", {}).get("Message", ""))
            return _failed(f"Athena: {error_code(error)}", text)
    return ToolError(f"Athena: {error_code(error)}")


def _failed(what: str, reason: str) -> ToolError:
    fix = next(
        (fix for pattern, fix in _FIXES.items() if re.search(pattern, f"{what} {reason}")), ""
    )
    return ToolError(f"{what}: {_words(reason)}", fix)


def _words(reason: str) -> str:
    """Return Athena's words in one line; the code alone where they can hold a value."""
    line = re.sub(r"[\x00-\x1f\x7f-\x9f\s]+", " ", reason).strip()
    code, _, rest = line.partition(":")
    if rest and re.fullmatch(r"[A-Z][A-Z_]+", code) and not _OF_THE_QUERY.fullmatch(code):
        return code
    return line[:500]

"""Each expression of trino_semantics.txt has the result that Trino documents, or is refused."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from archive_tools.errors import ToolError
from archive_tools.querying.duckdb_engine import DuckDBEngine, open_duckdb
from archive_tools.querying.functions import tables
from archive_tools.querying.translation import translated
from archive_tools.storage import FolderStorage
from tests.support.service import PROJECT

TODAY = date(2026, 11, 23)
LINES = (PROJECT / "tests/queries/trino_semantics.txt").read_text().splitlines()
CASES = [line.partition(" => ")[::2] for line in LINES if " => " in line]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBEngine]:
    with ExitStack() as stack:
        folder: Path = tmp_path_factory.mktemp("archive")
        yield stack.enter_context(open_duckdb(FolderStorage(folder, "archive"), TODAY))


def shown(value: Any) -> str:
    """Return a value as the file writes it."""
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).lower()
        case str():
            return f"'{value}'"
        case list():
            return f"[{', '.join(map(shown, value))}]"
    return str(value)


@pytest.mark.parametrize(("expression", "expected"), CASES, ids=[case[0] for case in CASES])
def test_a_result_is_the_documented_one(
    expression: str, expected: str, engine: DuckDBEngine
) -> None:
    sql = f"SELECT {expression}"
    if expected == "refused":
        with pytest.raises(ToolError) as caught:
            translated(sql, {}, TODAY)
        assert re.search(r"\n  Fix: ", caught.value.message), "says what to write instead"
        return
    translation = translated(sql, {}, TODAY)
    if expected == "fails":
        with pytest.raises(ToolError):
            engine.run(sql)
        return
    value, _, type_ = expected.partition(" : ")
    (row,) = engine.run(sql).rows
    assert ", ".join(map(shown, row)) == value
    assert type_ in ("", str(translation.columns[0][1]))


#: A value of each type in the table of functions.
VALUES = {
    **dict.fromkeys(("integer", "bigint", "T", "T:integer", "T:plain", "V"), "1"),
    **dict.fromkeys(("varchar", "K", "T:text"), "'1'"),
    **dict.fromkeys(("array(T)", "array(V)", "array(T:plain)"), "ARRAY[1]"),
    **{"double": "1e0", "decimal": "1.5", "boolean": "true", "json": "JSON '[1]'"},
    **{"date": "DATE '2026-01-01'", "timestamp": "TIMESTAMP '2026-01-01 00:00:00'"},
    **{"T:time": "TIMESTAMP '2026-01-01 00:00:00'", "T:instant": "from_unixtime(1)"},
    **{"timestamp with time zone": "from_unixtime(1)", "varbinary": "to_utf8('a')"},
    **{"array(array(T))": "ARRAY[ARRAY[1]]", "array(K)": "ARRAY['1']"},
    **{"map(K,V)": "map(ARRAY['1'], ARRAY[1])", "array(row(K,V))": "ARRAY[ROW('1', 1)]"},
}
LITERALS = {
    **{"pattern": "'1'", "grouped pattern": "'(1)'", "replacement": "''"},
    **{"T->boolean": "x -> true", "T->R": "x -> x", "(K,V)->boolean": "(k, v) -> true"},
    **{"(K,V)->R": "(k, v) -> k", "(T,V)->R": "(x, y) -> x"},
    **{"unit": "'day'", "day unit": "'day'"},
}
#: They take constants.
NOT_OF_COLUMNS = {"array_join", "regexp_extract", "regexp_extract_all"}


def test_a_missing_argument_makes_the_result_missing(engine: DuckDBEngine) -> None:
    kinds = list(VALUES)
    rows = [", ".join(VALUES[kind] for kind in kinds)]
    rows += [", ".join(f"IF(false, {VALUES[kind]})" for kind in kinds)]
    calls = [
        f"{function.name}({', '.join(arguments)}) IS NULL"
        for ways in tables()[0].values()
        for function in ways
        if function.name not in NOT_OF_COLUMNS and "from_" not in function.name
        for parameters in [[kind.removesuffix("...") for kind in function.parameters]]
        for missing, kind in enumerate(parameters)
        if kind not in LITERALS
        for arguments in [
            [
                LITERALS.get(kind) or f"{'b' if n == missing else 'a'}.c{kinds.index(kind)}"
                for n, kind in enumerate(parameters)
            ]
        ]
    ]
    names = ", ".join(f"c{n}" for n, _ in enumerate(kinds))
    first, second = (
        f"(VALUES ({row})) AS {alias} ({names})"
        for row, alias in zip(rows, ("a", "b"), strict=True)
    )
    (row,) = engine.run(f"SELECT {', '.join(calls)} FROM {first} CROSS JOIN {second}").rows
    assert len(calls) > 100
    assert [call for call, is_null in zip(calls, row, strict=True) if not is_null] == []


def test_every_source_is_named() -> None:
    assert all(re.search(r"\[https://trino.io/docs/\S+", line) for line in LINES if line[:1] == "[")
    assert len(CASES) > 300

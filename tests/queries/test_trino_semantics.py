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


def test_every_source_is_named() -> None:
    assert all(re.search(r"\[https://trino.io/docs/\S+", line) for line in LINES if line[:1] == "[")
    assert len(CASES) > 300

"""docs/QUERYING.md: its results are those of the queries, and its code has been run."""

import os
import re
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from examples import athena
from tests.queries.conftest import Month, query
from tests.queries.test_view import COLUMNS
from tests.support.service import PROJECT

DOCUMENT = PROJECT / "docs/QUERYING.md"
BLOCKS = re.findall(r"^```(.+)\n((?:.*\n)*?)```$", DOCUMENT.read_text(), re.MULTILINE)

#: Blocks that no test runs.
NOT_RUN = {
    "duckdb-s3": "needs an AWS account; parsed",
    "python": "needs Spark; compiled",
}


def rows_of(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as database:
        return database.execute(sql).fetchall()


def blocks(kind: str) -> list[str]:
    return [code for name, code in BLOCKS if name == kind]


def test_every_block_is_run_or_known_not_to_be() -> None:
    kinds = [name.split()[-1] for name, _ in BLOCKS]
    assert sorted(kinds) == sorted(["sql", "sh", "sh", "duckdb", *NOT_RUN])


def test_renewing_the_document_changes_nothing(tmp_path: Path) -> None:
    copy = tmp_path / "QUERYING.md"
    copy.write_text(DOCUMENT.read_text())
    result = CliRunner().invoke(athena.main, [str(copy)])
    assert result.exit_code == 0, result.output
    assert copy.read_text() == DOCUMENT.read_text()
    headings = re.findall(r"^### (\w+)$", DOCUMENT.read_text(), re.MULTILINE)
    assert headings == [path.stem for path in athena.LIBRARY]


def test_the_table_of_columns_is_that_of_the_view() -> None:
    described = re.findall(r"^\| `(\w+)` \| (\S+) \|", DOCUMENT.read_text(), re.MULTILINE)
    assert described == list(COLUMNS.items())


def test_the_bounded_query_has_each_event_of_its_days_once(sample: Month) -> None:
    bounded, *_ = blocks("sql")
    _, rows = query(sample.folder, bounded)
    within = [
        e for e in sample.arrivals if date(2026, 11, 16) <= e.arrived.date() <= date(2026, 11, 17)
    ]
    expected = {event.id: event.received_at for event in reversed(within)}
    assert len(rows) == len(expected) < len(within)
    assert {row[0]: row[2] for row in rows} == expected


def test_the_commands_and_the_query_of_duckdb_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "FLASK_APP": "wsgi"}
    environment |= {"PYTHON_DOTENV_DISABLED": "1", "FLASK_SKIP_DOTENV": "1"}
    for command in "".join(blocks("sh")).splitlines():
        program, *words = shlex.split(command)
        assert program in (".venv/bin/python", ".venv/bin/flask")
        beside = Path(sys.executable).with_name(Path(program).name)
        subprocess.run([beside, *words], check=True, env=environment, timeout=60)
    assert "evt_MonthAgain" in {row[0] for row in rows_of("FROM '.demo/duplicates.parquet'")}
    charges = rows_of("SELECT DISTINCT type, paid FROM '.demo/charges/*/*/*/*.parquet'")
    assert charges == [("charge.succeeded", True)]
    (sql,) = blocks("sql duckdb")
    with duckdb.connect() as database:
        assert database.execute(sql).fetchall() == [
            ("charge.succeeded", 1),
            ("checkout.session.completed", 1),
        ]


def test_what_is_not_run_is_at_least_code() -> None:
    (statements,) = blocks("sql duckdb-s3")
    secret, query = duckdb.extract_statements(statements)
    assert (secret.type, query.type) == (duckdb.StatementType.CREATE, duckdb.StatementType.SELECT)
    (snippet,) = blocks("python")
    compile(snippet, "QUERYING.md", "exec")


def test_every_file_that_the_document_names_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", DOCUMENT.read_text()):
        assert (DOCUMENT.parent / target).exists(), target

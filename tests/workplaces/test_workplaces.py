"""What is shipped for the tools of analysts, on the models of the sample year."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from archive_tools.querying.building import build, built_by_default
from archive_tools.querying.models import known_relations, model
from archive_tools.querying.translation import translated
from archive_tools.storage import FolderStorage
from examples import sources, year
from tests.support.needs import HANGS_S, needed
from tests.support.service import PROJECT

#: Where `make workplaces` installs dbt and Jupyter.
PROGRAMS = PROJECT / ".venv/analysts/bin"
DBT = PROJECT / "deploy/dbt"
NOTEBOOK = PROJECT / "examples/revenue.ipynb"
DASHBOARD = PROJECT / "deploy/monitoring/money.json"

Json = dict[str, Any]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that `build` makes of the year."""
    folder = tmp_path_factory.mktemp("workplaces")
    year.archive(folder / "archive")
    file = folder / "analytics.duckdb"
    storage = FolderStorage(folder / "archive", "archive")
    build(storage, built_by_default(), file, is_database=True, today=year.TODAY)
    return file


@pytest.fixture
def models(built: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(built), read_only=True) as database:
        yield database


def ran(
    program: str, *words: str | Path, built: Path, folder: Path
) -> subprocess.CompletedProcess[str]:
    """What a program of the analysts' environment did in a folder of its own."""
    needed(f"{program}, which `make workplaces` installs,", (PROGRAMS / program).exists())
    environment = {
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "HOME": str(folder),
        "ANALYTICS_FILE": str(built),
        "DO_NOT_TRACK": "1",
    }
    return subprocess.run(
        [PROGRAMS / program, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANGS_S,
    )


# dbt


def test_the_sources_of_dbt_are_the_models() -> None:
    command = "`python -m examples.sources` mends it"
    assert sources.SOURCES.read_text() == sources.text(), command


def test_dbt_runs_the_example_on_the_built_file(built: Path, tmp_path: Path) -> None:
    # dbt writes beside what it reads
    project = Path(shutil.copytree(DBT, tmp_path / "dbt"))
    done = ran("dbt", "build", built=built, folder=project)
    assert done.returncode == 0, done.stdout
    assert "PASS=2 WARN=0 ERROR=0 SKIP=0" in done.stdout
    with duckdb.connect(str(project / "dbt.duckdb"), read_only=True) as made:
        rows = made.execute(
            "SELECT name, mrr FROM customer_mrr WHERE currency = 'eur' ORDER BY mrr DESC LIMIT 2"
        ).fetchall()
    # Wanda has six seats of team at 29; tests/models/test_year.py has the others' prices
    assert rows == [("Wanda", Decimal(174)), ("Rosa", Decimal(135))]


# Superset, as far as its driver

SUPERSET = """
import os, sys, sqlalchemy
engine = sqlalchemy.create_engine("duckdb:///" + os.environ["ANALYTICS_FILE"], connect_args={})
found = sqlalchemy.inspect(engine)
print(len(found.get_table_names()), found.get_table_comment("mrr_by_month")["text"].splitlines()[0])
with engine.connect() as connection:
    print(*connection.execute(sqlalchemy.text(sys.argv[1])).scalars())
"""


def test_the_driver_of_superset_reads_tables_comments_and_figures(
    built: Path, tmp_path: Path
) -> None:
    connecting = re.search(r"`(\{\"connect_args.*)`", (PROJECT / "docs/ANALYSTS.md").read_text())
    assert connecting
    arguments = json.loads(connecting[1])["connect_args"]
    program = SUPERSET.replace("connect_args={}", f"connect_args={arguments}")
    query = "SELECT closing_mrr FROM mrr_by_month WHERE currency = 'eur' ORDER BY month"
    done = ran("python", "-c", program, query, built=built, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    tables, figures = done.stdout.splitlines()
    question = model("mrr_by_month").question
    assert tables == f"{len(built_by_default())} {question}"
    assert figures.split()[0] == "195.833333"
    assert len(figures.split()) == 13


# the notebook


def notebook_cells(path: Path) -> list[Json]:
    document = json.loads(path.read_text())
    return [cell for cell in document["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_kept_without_its_outputs() -> None:
    for cell in notebook_cells(NOTEBOOK):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


def test_the_notebook_shows_the_figures_of_the_models(
    built: Path, models: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    done = ran(
        "jupyter", "execute", f"--output={tmp_path / 'done'}", NOTEBOOK,
        built=built, folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outputs = [o for cell in notebook_cells(tmp_path / "done.ipynb") for o in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1
    shown = ["".join(output["data"]["text/plain"]) for output in outputs if "data" in output]
    months = models.execute(
        "SELECT month, opening_mrr, new_mrr, reactivation_mrr, expansion_mrr, contraction_mrr,"
        " churned_mrr, closing_mrr FROM mrr_by_month WHERE currency = 'eur' ORDER BY month"
    ).fetchall()
    assert len(months) == 13
    lines = [re.findall(r"[-\d.]+", line) for line in shown[0].splitlines()]
    assert [line for line in lines if len(line) == 8] == [[str(x) for x in row] for row in months]
    assert re.search(r"cus_YearWanda +│ Wanda +│ +174\.000000", shown[-1])


# Grafana's dashboard

# what the plugin makes of it: pkg/athena/macros.go of grafana/athena-datasource
DATE_FILTER = re.compile(r"\$__dateFilter\((\w+)\)")


def dashboard() -> Json:
    document: Json = json.loads(DASHBOARD.read_text())
    return document


def answered(database: duckdb.DuckDBPyConnection, sql: str) -> tuple[list[str], list[Any]]:
    """The names and the rows of a query of the dashboard, with what Grafana puts in."""
    sql = DATE_FILTER.sub(r"\1 BETWEEN date '2025-11-01' AND date '2026-11-23'", sql)
    for variable, value in {"livemode": "true", "account": "own", "currency": "eur"}.items():
        sql = sql.replace(f"${variable}", value)
    assert "$" not in sql
    query = translated(sql, known_relations(sql), year.TODAY)
    return [name for name, _ in query.columns], database.execute(query.sql).fetchall()


def queries_of(panel: Json) -> list[str]:
    return [target["rawSQL"] for target in panel["targets"] if "rawSQL" in target]


def test_each_panel_shows_figures_that_its_query_gives(
    models: duckdb.DuckDBPyConnection,
) -> None:
    panels = dashboard()["panels"]
    given = {panel["id"]: answered(models, sql) for panel in panels for sql in queries_of(panel)}
    shown: dict[int, set[str]] = {id_: set() for id_ in given}
    for panel in panels:
        (target,) = panel["targets"]
        (transformation,) = panel["transformations"]
        source = target.get("panelId", panel["id"])
        names, rows = given[source]
        time, *columns = transformation["options"]["include"]["names"]
        assert time == names[0] == "time"
        assert [row[0] for row in rows] == sorted(row[0] for row in rows)
        assert set(columns) <= set(names), panel["title"]
        overridden = {one["matcher"]["options"] for one in panel["fieldConfig"]["overrides"]}
        assert overridden <= set(columns)
        for name in columns:
            values = [row[names.index(name)] for row in rows]
            assert any(value is not None for value in values), name
            # not a decimal, which the plugin hands over as text: pkg/athena/driver/rows.go
            assert {type(value) for value in values} <= {int, float, type(None)}, name
        shown[source] |= {time, *columns}
    # nothing is asked in vain
    assert shown == {id_: set(names) for id_, (names, _) in given.items()}


def test_each_model_of_the_dashboard_is_queried_once() -> None:
    sql = [query for panel in dashboard()["panels"] for query in queries_of(panel)]
    asked = [table for query in sql for table in re.findall(r"FROM (\w+)", query)]
    assert sorted(asked) == sorted(
        name for name in built_by_default() if name.endswith("_by_month")
    )


def test_the_variables_offer_what_the_models_have(models: duckdb.DuckDBPyConnection) -> None:
    variables = {variable["name"]: variable for variable in dashboard()["templating"]["list"]}
    offered = {
        name: [value for (value,) in answered(models, variables[name]["query"]["rawSQL"])[1]]
        for name in ("account", "currency")
    }
    assert offered == {"account": ["own"], "currency": ["eur", "jpy", "usd"]}
    used = set(re.findall(r"\$(?!__)\{?(\w+)", DASHBOARD.read_text()))
    assert used == set(variables)


def test_money_is_asked_in_one_currency() -> None:
    for panel in dashboard()["panels"]:
        for query in queries_of(panel):
            (table,) = re.findall(r"FROM (\w+)", query)
            assert ("currency = '$currency'" in query) == ("currency" in model(table).columns)

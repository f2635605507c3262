"""The models as the tables of a DuckDB database, or as Parquet files: what `build` makes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from ..output import progress
from ..reading import Fault
from ..storage import Storage
from .duckdb_engine import DuckDBEngine, open_duckdb, shares
from .model_files import model_names
from .models import STATES, Model, needs
from .types import quoted, text_literal

_LAST_MONTH = "WHERE month = (SELECT max(month) FROM mrr_by_month)"

#: What a model says of what could not be computed: its name, and the query.
_GAPS = {
    "unpriced_items": (
        "mrr_by_month",
        f"SELECT sum(unpriced_items) FROM mrr_by_month {_LAST_MONTH}",  # noqa: S608
    ),
    "unknown_discounts": (
        "mrr_by_month",
        f"SELECT sum(unknown_discounts) FROM mrr_by_month {_LAST_MONTH}",  # noqa: S608
    ),
    "customer_discounts": (
        "customers",
        "SELECT count(*) FROM customers WHERE discount IS NOT NULL AND NOT is_deleted",
    ),
    "cut_items": ("subscriptions", "SELECT count(*) FROM subscriptions WHERE NOT items_complete"),
    "cut_lines": ("invoices", "SELECT count(*) FROM invoices WHERE NOT lines_complete"),
}


@dataclass
class Built:
    """What a build has made."""

    rows: dict[str, int] = field(default_factory=dict)
    """By model."""
    newest_event: datetime | None = None
    """When the newest event of these objects happened, UTC."""
    gaps: dict[str, int] = field(default_factory=dict)
    """What could not be computed, as a number of things, by what they are."""


def built_by_default() -> list[str]:
    """Return the models that are built: all but the states, which hold every payload once more."""
    return [name for name in model_names() if name not in STATES]


def build(
    storage: Storage, names: Sequence[str], target: Path, is_database: bool, today: date | None
) -> tuple[Built, list[Fault]]:
    """Make models, and return what was made and what could not be read.

    Args:
        storage: the archive.
        names: of the models.
        target: the file of the database, or the folder for the Parquet files, which is there.
        is_database: which of them.
        today: what `current_date` is; today where it is left out.

    Raises:
        ToolError: it cannot be done.
    """
    wanted = needs((), names)
    folder = target.parent if is_database else target
    with open_duckdb(storage, today, folder) as engine, progress("Building", 100) as bar:
        days = engine.days
        if is_database:
            # for the tools of others, which bring an older DuckDB
            engine.database.rows(
                f"ATTACH {text_literal(str(target))} AS built (STORAGE_VERSION 'v1.2.0')"
            )
        database = "built" if is_database else engine.scratch

        def work() -> Built:
            # a file a model is a step more
            share = shares(bar.update, wanted.steps + (0 if is_database else len(names)))
            engine.make(wanted, dict.fromkeys(names, database), share)
            if not is_database:
                for name in names:
                    engine.database.stream(_copy(name, folder), list, share)
            return _built(engine, names)

        built = engine.reading(days, work)
        if is_database:
            for model in wanted.models:
                if model.name in names:
                    engine.database.rows(_comments(model, f"built.main.{model.name}"))
            engine.database.rows("DETACH built")
        return built, engine.faults(wanted, days)


def _copy(name: str, folder: Path) -> str:
    file = text_literal(str(folder / f"{name}.parquet"))
    return f"COPY {name} TO {file} (FORMAT parquet, COMPRESSION zstd)"


def _comments(model: Model, table: str) -> str:
    """Return the statements that put what a model means into a database."""
    texts = {f"TABLE {table}": f"{model.question}\n{model.rules}".strip()}
    texts |= {f"COLUMN {table}.{quoted(c)}": text for c, text in model.meanings.items()}
    return ";".join(f"COMMENT ON {what} IS {text_literal(text)}" for what, text in texts.items())


def _built(engine: DuckDBEngine, names: Sequence[str]) -> Built:
    def one(sql: str) -> Any:
        ((found,),) = engine.database.rows(sql)
        return found

    built = Built()
    for name in names:
        built.rows[name] = one(f"SELECT count(*) FROM {name}")  # noqa: S608 - a name of ours
    built.newest_event = one("SELECT max(as_of) FROM object_events WHERE event_id IS NOT NULL")
    for gap, (name, sql) in _GAPS.items():
        if name in names:
            built.gaps[gap] = int(one(sql) or 0)
    return built

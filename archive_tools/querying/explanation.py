"""What a query would read and cost, told without running it."""

from typing import TYPE_CHECKING, Any

from ..output import bytes_text, count_text
from ..storage import Storage
from .athena_engine import price_text, price_usd

if TYPE_CHECKING:
    from .duckdb_engine import Plan


def facts(plan: "Plan", storage: Storage, kind: str, sql: str) -> dict[str, Any]:
    """Return what is known beforehand, for scripts.

    Args:
        plan: of DuckDB, whose days are those that Athena reads too.
        storage: the archive.
        kind: `duckdb` or `athena`.
        sql: as Athena gets it.
    """
    known: dict[str, Any] = {
        "engine": kind,
        "archive": storage.name,
        "days": len(plan.days),
        "of_days": plan.of_days,
        "first_day": min(plan.days, default=None),
        "last_day": max(plan.days, default=None),
        "objects": plan.objects,
        "bytes": plan.size,
        "sql": plan.sql if kind == "duckdb" else sql,
    }
    return known | ({"usd": price_usd(plan.size)} if kind == "athena" else {})


def as_text(known: dict[str, Any]) -> str:
    """Return the same for people."""
    span = f", {known['first_day']} to {known['last_day']}" if known["days"] else ""
    lines = [
        f"engine   {known['engine']}",
        f"archive  {known['archive']}",
        f"days     {known['days']:,} of {known['of_days']:,}{span}",
        f"reads    {count_text(known['objects'], 'object')}, {bytes_text(known['bytes'])}",
    ]
    if "usd" in known:
        lines.append(f"price    about {price_text(known['bytes'])}")
    return "\n".join([*lines, "", known["sql"]])

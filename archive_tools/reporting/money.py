"""How the money of a report is found: the metrics by month, from the models by their names.

Knows the models and which account and currency is drawn; not how a figure is shown.
"""

import re
from collections.abc import Iterable
from datetime import date
from typing import Any

from ..days import Days
from ..errors import ToolError
from ..output import progress
from ..querying.engine import Engine, Result
from .figures import Money, Row
from .statistics import decimals_of, minor_unit

#: The models that are read, and whether they have a currency.
MODELS = {
    "mrr_by_month": True,
    "trials_by_month": False,
    "payments_by_month": True,
    "disputes_by_month": False,
    "revenue_by_month": True,
}

#: What makes a currency of an account larger than another, the first first.
_SIZES = (
    ("mrr_by_month", "closing_customers"),
    ("payments_by_month", "first_attempts"),
    ("revenue_by_month", "gross"),
)

#: Months are shown for a year at least: fewer say little about a subscription.
_LEAST_MONTHS = 12


class NoModelsError(ToolError):
    """Athena has no views of the models."""


def collect_money(engine: Engine, days: Days, today: date) -> tuple[Money, Result]:
    """Return the money of the months up to the last day, and how its queries went.

    The months are those of the range, and a year at least.

    Raises:
        NoModelsError: Athena has no views of the models.
        ToolError: a query could not be run.
    """
    last = (days.last or today).replace(day=1)
    first = min(months_before(last, _LEAST_MONTHS - 1), (days.first or last).replace(day=1))
    total, rows = Result(), {}
    with progress("Computing the revenue", 100 * len(MODELS)) as bar:
        for model, has_currency in MODELS.items():
            unit = f", {minor_unit()} AS minor_unit" if has_currency else ""
            sql = (
                f"SELECT *{unit} FROM {model} "  # noqa: S608
                f"WHERE month BETWEEN DATE '{first}' AND DATE '{last}'"
            )
            try:
                result = engine.run(sql, bar.update)
            except ToolError as error:
                if re.search("TABLE_NOT_FOUND|There is no table", error.message):
                    raise NoModelsError(
                        f"There is no view {model}", "make it: flask archive build"
                    ) from None
                raise
            rows[model] = [dict(zip(result.names, row, strict=True)) for row in result.rows]
            total.notes += result.notes
            total.faults += result.faults
    total.notes[:] = dict.fromkeys(total.notes)
    return money_of(rows, last, today), total


def months_before(month: date, count: int) -> date:
    """Return the first day of the month so many months before one."""
    years, index = divmod(month.year * 12 + month.month - 1 - count, 12)
    return date(years, index + 1, 1)


def money_of(rows: dict[str, list[dict[str, Any]]], last: date, today: date) -> Money:
    """Return the money of rows of the models, up to a last month.

    Test mode is left out where there is live mode. What is drawn is the own account before
    connected ones, and its currency with the most subscribers, or else payments: amounts of two
    currencies cannot be compared.
    """
    livemode = any(row["livemode"] for found in rows.values() for row in found)
    kept = {
        model: sorted(
            (row for row in found if bool(row["livemode"]) is livemode),
            key=lambda row: row["month"],
        )
        for model, found in rows.items()
    }
    sizes: dict[tuple[str | None, str | None], list[Any]] = {}
    for n, (model, column) in enumerate(_SIZES):
        for row in kept[model]:
            sizes.setdefault((row["account"], row["currency"]), [0] * len(_SIZES))[n] += row[column]
    account, currency = max(
        sizes, key=lambda pair: (pair[0] is None, sizes[pair], str(pair)), default=(None, None)
    )
    first = min((row["month"] for found in kept.values() for row in found), default=last)
    span = (last.year - first.year) * 12 + last.month - first.month
    return Money(
        livemode=livemode,
        account=account,
        currency=currency,
        months=[months_before(last, n) for n in range(span, -1, -1)],
        is_open=(last.year, last.month) == (today.year, today.month),
        decimals=_decimals(kept.values()),
        rows=kept,
    )


def _decimals(found: Iterable[Iterable[Row]]) -> dict[str, int]:
    rows = [row for rows in found for row in rows if "minor_unit" in row]
    return {row["currency"]: decimals_of([row["minor_unit"]]) for row in rows}

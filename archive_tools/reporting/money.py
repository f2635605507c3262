"""How the money of a report is found: the metrics by month, from the models by their names.

Knows the models and which account and currency is drawn; not how a figure is shown.
"""

from datetime import date
from typing import Any

from ..days import Days
from ..errors import ToolError
from ..output import progress
from ..querying.engine import Engine, Result
from .figures import Money
from .statistics import decimals_of, minor_unit

KEYS = ["month", "account", "livemode", "currency"]
_KEYS = " ".join(KEYS)

#: The models that are read, and the columns of each; two have no currency.
MODELS = {
    "mrr_by_month": (
        f"{_KEYS} opening_mrr new_mrr reactivation_mrr expansion_mrr contraction_mrr churned_mrr "
        "closing_mrr opening_customers new_customers reactivated_customers churned_customers "
        "closing_customers customer_churn_rate gross_revenue_retention net_revenue_retention arpa "
        "arr unpriced_items unknown_discounts is_complete"
    ),
    "trials_by_month": "month account livemode trials_ended converted conversion_rate",
    "payments_by_month": (
        f"{_KEYS} first_attempts failed_first failure_rate recovered recovery_rate"
    ),
    "disputes_by_month": "month account livemode charges disputed dispute_rate won lost",
    "revenue_by_month": f"{_KEYS} gross refunded disputed net_before_fees fees net paid_out",
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
    """Return the money of the months up to the last day, and how the query went.

    The months are those of the range, and a year at least.

    Raises:
        NoModelsError: Athena has no views of the models.
        ToolError: the query could not be run.
    """
    last = (days.last or today).replace(day=1)
    first = min(months_before(last, _LEAST_MONTHS - 1), (days.first or last).replace(day=1))
    with progress("Computing the revenue", 100) as bar:
        try:
            result = engine.run(_query(first, last), bar.update)
        except ToolError as error:
            if "TABLE_NOT_FOUND" in error.message:
                raise NoModelsError(
                    "Athena has no views of the models", "make them: flask archive build"
                ) from None
            raise
    rows: dict[str, list[dict[str, Any]]] = {model: [] for model in MODELS}
    for model, *values in result.rows:
        known = {
            name.removeprefix(f"{model}_"): value
            for name, value in zip(result.names[1:], values, strict=True)
        }
        rows[model].append({name: known[name] for name in [*MODELS[model].split(), "minor_unit"]})
    return money_of(rows, last, today), result


def _query(first: date, last: date) -> str:
    """Return the query of some months: one for all models, so that what they share is read once.

    A name that two models have can have two types, so each bears its model's.
    """
    columns = [(model, name) for model, names in MODELS.items() for name in names.split()]
    selects = []
    for model, own in MODELS.items():
        parts = [f"'{model}' AS model"]
        parts += [name if name in own.split() else f"NULL AS {name}" for name in KEYS]
        parts += [
            f"{name if place == model else 'NULL'} AS {place}_{name}"
            for place, name in columns
            if name not in KEYS
        ]
        parts.append(f"{minor_unit() if 'currency' in own.split() else 'NULL'} AS minor_unit")
        selects.append(
            f"SELECT {', '.join(parts)} FROM {model} "  # noqa: S608
            f"WHERE month BETWEEN DATE '{first}' AND DATE '{last}'"
        )
    return "\nUNION ALL\n".join(selects)


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
        model: [
            {name: value for name, value in row.items() if name != "minor_unit"}
            for row in sorted(found, key=lambda row: row["month"])
            if bool(row["livemode"]) is livemode
        ]
        for model, found in rows.items()
    }
    sizes: dict[tuple[str | None, str | None], list[Any]] = {}
    for n, (model, column) in enumerate(_SIZES):
        for row in kept[model]:
            sizes.setdefault((row["account"], row["currency"]), [0] * len(_SIZES))[n] += (
                row[column] or 0
            )
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
        decimals={
            row["currency"]: decimals_of([row["minor_unit"]])
            for found in rows.values()
            for row in found
            if row.get("currency")
        },
        rows=kept,
    )

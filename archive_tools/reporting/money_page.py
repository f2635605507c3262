"""The money of a report for people: tiles, sections with charts and tables, and a sentence.

Knows the columns of the models; templates/money.html draws what this returns.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Any

from ..output import count_text
from . import charts
from .charts import Chart, Series, Waterfall, charted, summed
from .figures import Money
from .money import KEYS, MODELS, months_before

Text = Callable[[Any], str]
Change = Callable[[Any, Any], str]

#: Two rows of four.
_TILES = 8

#: More accounts and currencies would make the page a list; --json has all.
_SHOWN_OTHERS = 20

#: Name, column and colour of what leads from one month's MRR to the next.
_MOVEMENTS = [
    ("new", "new_mrr", "c3"),
    ("reactivation", "reactivation_mrr", "c5"),
    ("expansion", "expansion_mrr", "c7"),
    ("contraction", "contraction_mrr", "c2"),
    ("churned", "churned_mrr", "c6"),
]

#: The columns of the two tables of the MRR.
_AMOUNTS = f"opening_mrr {' '.join(column for _, column, _ in _MOVEMENTS)} closing_mrr arpa arr"
_CUSTOMERS = (
    "opening_customers new_customers reactivated_customers churned_customers closing_customers "
    "customer_churn_rate gross_revenue_retention net_revenue_retention"
)

#: What the MRR leaves out, by the column that counts it.
_LEFT_OUT = (
    ("unpriced_items", "Items without a unit amount (tiers), which count nothing: {:,}."),
    ("unknown_discounts", "Discounts that are not known, which reduce nothing: {:,}."),
)

#: Tiles of rates: name, model, column, and 1 where more is better.
_RATES = (
    ("Customer churn", "mrr_by_month", "customer_churn_rate", -1),
    ("Net revenue retention", "mrr_by_month", "net_revenue_retention", 1),
    ("Failed payments", "payments_by_month", "failure_rate", -1),
    ("Trial conversion", "trials_by_month", "conversion_rate", 1),
    ("Dispute rate", "disputes_by_month", "dispute_rate", -1),
)


def amount_text(value: Decimal | float, decimals: int) -> str:
    """Return an amount with the decimals of its currency."""
    return f"{value:,.{decimals}f}"


def exact_text(value: Decimal | None, decimals: int) -> str:
    """Return an amount with all its decimals, and those of its currency at least."""
    if value is None:
        return _NONE
    whole, _, rest = f"{Decimal(value):,f}".partition(".")
    rest = rest.rstrip("0").ljust(decimals, "0")
    return f"{whole}.{rest}" if rest else whole


def percent_text(value: float | None) -> str:
    """Return a part of one as percent: `12.5%`."""
    return _NONE if value is None else f"{value:.1%}"


_NONE = "–"  # noqa: RUF001 - a dash, as in a table
_count = "{:,}".format


@dataclass(frozen=True)
class Outcomes:
    """What is counted by its outcome: the columns of a model, and their names and colours."""

    id: str
    heading: str
    text: str
    caption: str
    model: str
    total: str
    """The column of all; what no outcome has is `rest`."""
    outcomes: Sequence[tuple[str, str, str]]
    rest: tuple[str, str]


_OUTCOMES = (
    Outcomes(
        "payments",
        "Failed payments",
        "Payments whose first attempt failed, by its month, and what a later attempt recovered.",
        "Failed first attempts",
        "payments_by_month",
        "failed_first",
        [("recovered later", "recovered", "c3")],
        ("not recovered", "c6"),
    ),
    Outcomes(
        "trials",
        "Trials",
        "Trials by the month in which they ended. One converts with an invoice paid within a week.",
        "Trials that ended",
        "trials_by_month",
        "trials_ended",
        [("converted", "converted", "c3")],
        ("not converted", "c8"),
    ),
    Outcomes(
        "disputes",
        "Disputes",
        "Disputed charges by the month of the charge; inquiries do not count.",
        "Disputed charges",
        "disputes_by_month",
        "disputed",
        [("won", "won", "c3"), ("lost", "lost", "c6")],
        ("not decided", "c2"),
    ),
)


@dataclass(frozen=True)
class Tile:
    """A figure, and how it compares with the one before."""

    name: str
    value: str
    change: str = ""
    trend: str = ""
    """`good`, `bad` or nothing: the class of the change."""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows for people; up to `left` columns are text."""

    caption: str
    names: Sequence[str]
    rows: Sequence[Sequence[Any]]
    left: int = 1


@dataclass(frozen=True)
class Section:
    """A part of the page about one thing."""

    id: str
    heading: str
    text: str
    charts: Sequence[Chart]
    tables: Sequence[Table]
    notes: Sequence[str] = ()
    pair: Sequence[Chart] = ()
    """Charts beside each other."""
    other: Table | None = None
    """What is not drawn."""
    is_wide: bool = True
    """Whether it has the width of the page, or stands beside others."""


class MoneyPage:
    """What is drawn of an account's currency, month by month."""

    def __init__(self, money: Money) -> None:
        """Take the figures."""
        self.money = money
        self.code = (money.currency or "").upper()
        decimals = money.decimals.get(money.currency or "", 2)
        self._text = partial(amount_text, decimals=decimals)
        self._exact = partial(exact_text, decimals=decimals)
        self._rows = {model: money.drawn(model) for model in money.rows}
        # an unfinished month is compared only where there is no other
        self._full = len(money.months) - 1 - (money.is_open and len(money.months) > 1)

    @property
    def title(self) -> str:
        """What the figures are of, and of which months."""
        first, last = self.money.months[0], self.money.months[-1]
        start = "" if first == last else f"{first:%B %Y} to "
        mode = "" if self.money.livemode else "Test mode: "
        return f"{mode}Stripe revenue, {start}{last:%B %Y}"

    @property
    def scope(self) -> str:
        """Whose figures they are, and in what."""
        account = self.money.account
        whose = f"Connected account {account}" if account else "Own account"
        mode = "" if self.money.livemode else ", test mode, which is no money"
        return f"{whose}, {self.code}{mode}" if self.code else f"{whose}{mode}"

    @property
    def headline(self) -> str:
        """The money in a sentence."""
        now = self._rows["mrr_by_month"][-1]
        if not now.get("closing_mrr"):
            return "" if self.sections else "No subscription, payment or trial in these months."
        return (
            f"Monthly recurring revenue is {self.code} {self._text(now['closing_mrr'])} from "
            f"{count_text(now['closing_customers'], 'subscriber')}; at the end of "
            f"{months_before(self.money.months[-1], 1):%B} it was {self._text(now['opening_mrr'])}."
        )

    @property
    def tiles(self) -> list[Tile]:
        """What a founder looks at first, eight at most."""
        return list(islice(self._tiles(), _TILES))

    @property
    def sections(self) -> list[Section]:
        """What there is something to say about, the most important first."""
        counted = (section for of in _OUTCOMES for section in self._counted(of))
        return [*self._recurring(), *self._revenue(), *counted]

    @property
    def _others(self) -> Table | None:
        """The other currencies and accounts, the largest first."""
        money, last = self.money, self.money.months[-1]
        found = [
            [
                row["account"] or "own account",
                row["currency"].upper(),
                amount_text(row["closing_mrr"], money.decimals[row["currency"]]),
                row["closing_customers"],
            ]
            for row in sorted(money.rows["mrr_by_month"], key=lambda row: -row["closing_customers"])
            if row["month"] == last
            and (row["account"], row["currency"]) != (money.account, money.currency)
        ]
        more = len(found) - _SHOWN_OTHERS
        caption = f"Other currencies and accounts, {last:%B %Y}" + (
            f", the first {_SHOWN_OTHERS}; --json has {more:,} more" if more > 0 else ""
        )
        names = ["Account", "Currency", "MRR", "Subscribers"]
        return Table(caption, names, found[:_SHOWN_OTHERS], 2) if found else None

    def _tiles(self) -> Iterator[Tile]:
        *_, now = self._rows["mrr_by_month"]
        if now.get("closing_mrr") or now.get("opening_mrr"):
            before = months_before(self.money.months[-1], 1)
            values = now["opening_mrr"], now["closing_mrr"]
            yield _tile(f"MRR, {self.code}", values, before, self._text, _relative)
            yield Tile(f"ARR, {self.code}", self._text(now["arr"]), note="twelve times the MRR")
            customers = now["opening_customers"], now["closing_customers"]
            yield _tile("Subscribers", customers, before, _count, _difference)
        compared = self._rows["revenue_by_month"][max(0, self._full - 1) : self._full + 1]
        has_fees = all(row.get("net") is not None for row in compared)
        name, column = (
            ("Net revenue", "net") if has_fees else ("Revenue before fees", "net_before_fees")
        )
        yield from self._flow(
            f"{name}, {self.code}", "revenue_by_month", column, self._text, _relative
        )
        for name, model, column, better in _RATES:
            yield from self._flow(name, model, column, percent_text, _points, better)
        if now.get("arpa"):
            yield Tile(f"MRR per subscriber, {self.code}", self._text(now["arpa"]))

    def _flow(
        self, name: str, model: str, column: str, text: Text, change: Change, better: int = 1
    ) -> Iterator[Tile]:
        """Yield the tile of what happened in the last full month, or so far where it has none."""
        rows, months = self._rows[model], self.money.months
        at = self._full if rows[self._full].get(column) is not None else len(rows) - 1
        value = rows[at].get(column)
        if value is not None:
            before = rows[at - 1].get(column) if at else None
            so_far = " so far" if self.money.is_open and months[at] == months[-1] else ""
            name = f"{name}, {months[at]:%B}{so_far}"
            previous = months_before(months[at], 1)
            yield _tile(name, (before, value), previous, text, change, better)

    def _any(self, model: str, *columns: str) -> bool:
        return any(row.get(column) for row in self._rows[model] for column in columns)

    def _column(self, model: str, column: str, sign: int = 1) -> list[Any]:
        return [sign * (row.get(column) or 0) for row in self._rows[model]]

    def _summed(self, model: str, name: str, column: str, mark: str, text: Text) -> Series:
        return summed(name, mark, self._column(model, column), text)

    def _chart(self, caption: str, series: Sequence[Series], scale: Any, **options: Any) -> Chart:
        options |= {"by_month": True, "is_open": self.money.is_open}
        shown = [one for one in series if any(one.values)]
        return charted(self.money.months, caption, shown, scale, **options)

    def _table(self, caption: str, model: str, columns: str = "") -> Table:
        """Return the months of a model, with some of its columns or all but the keys."""
        names = columns.split() or [name for name in MODELS[model].split() if name not in KEYS]
        last = self.money.months[-1] if self.money.is_open else None
        rows = [
            [f"{month:%b %Y}" + (", so far" if month == last else "")]
            + [self._cell(name, row[name]) for name in names]
            for month, row in zip(self.money.months, self._rows[model], strict=True)
            if row
        ]
        return Table(caption, ["Month", *map(_heading, names)], rows)

    def _cell(self, name: str, value: Any) -> str:
        if name.endswith(("_rate", "_retention")):
            return percent_text(value)
        return f"{value:,}" if isinstance(value, int) else self._exact(value)

    def _recurring(self) -> Iterator[Section]:
        model, text = "mrr_by_month", self._text
        if not self._any(model, "opening_mrr", "closing_mrr", "new_mrr"):
            return
        movements = [
            self._summed(model, name, column, mark, text) for name, column, mark in _MOVEMENTS
        ]
        closing = self._column(model, "closing_mrr")
        balance = Series("MRR at the end", "c1", closing, text, text(closing[-1]))
        peaks = [
            float(start + sum(value for one in movements if (value := one.values[n]) > 0))
            for n, start in enumerate(self._column(model, "opening_mrr"))
        ]
        left = [-number for number in self._column(model, "churned_customers")]
        stayed = [
            start + lost
            for start, lost in zip(self._column(model, "opening_customers"), left, strict=True)
        ]
        customers = [
            Series("stayed", "c1", stayed, _count, ""),
            self._summed(model, "new", "new_customers", "c3", _count),
            self._summed(model, "came back", "reactivated_customers", "c5", _count),
            summed("left", "c6", left, _count),
        ]
        retention = [
            self._rate("net", model, "net_revenue_retention", "c1"),
            self._rate("gross", model, "gross_revenue_retention", "c6"),
        ]
        pair = [self._chart("Subscribers", customers, charts.whole)]
        if any(value is not None for one in retention for value in one.values):
            scale = partial(charts.linear, text=_percent_tick, through=1)
            pair.append(self._chart("Revenue retention by month", retention, scale, is_line=True))
        now = self._rows[model][-1]
        yield Section(
            "mrr",
            "Monthly recurring revenue",
            "What active and past-due subscriptions bring in a month; a yearly plan counts a "
            "twelfth. Trials, metered prices and tax are not in it.",
            [
                self._chart(
                    f"MRR, {self.code}: up by what is new, back or larger, down by what is smaller "
                    "or gone",
                    [*movements, balance],
                    lambda _: charts.linear(peaks),
                    kind=Waterfall,
                    height=240,
                )
            ],
            [
                self._table(f"MRR by month, {self.code}", model, _AMOUNTS),
                self._table("Subscribers and retention by month", model, _CUSTOMERS),
            ],
            [words.format(now[column]) for column, words in _LEFT_OUT if now.get(column)],
            pair,
            self._others,
        )

    def _rate(self, name: str, model: str, column: str, mark: str) -> Series:
        """Return a rate of the months that are over."""
        values = [row.get(column) for row in self._rows[model]]
        if self.money.is_open:
            values[-1] = None
        known = [value for value in values if value is not None]
        return Series(name, mark, values, percent_text, percent_text(known[-1] if known else None))

    def _revenue(self) -> Iterator[Section]:
        model, text = "revenue_by_month", self._text
        if not self._any(model, "gross", "refunded", "disputed"):
            return
        columns = [("gross", "c1"), ("refunded", "c2"), ("disputed", "c6"), ("fees", "c8")]
        series = [
            summed(name, mark, self._column(model, name, 1 if name == "gross" else -1), text)
            for name, mark in columns
            if self._any(model, name)
        ]
        is_known = self._any(model, "fees", "net", "paid_out")
        fees = "" if is_known else " Fees are unknown: flask archive snapshot fetches them."
        yield Section(
            "revenue",
            "Net revenue",
            f"Captured charges, less refunds and disputes.{fees}",
            [self._chart(f"Net revenue by month, {self.code}", series, charts.linear)],
            [self._table(f"Revenue by month, {self.code}", model)],
        )

    def _counted(self, of: Outcomes) -> Iterator[Section]:
        if not self._any(of.model, of.total):
            return
        total = self._column(of.model, of.total)
        known = [self._column(of.model, column) for _, column, _ in of.outcomes]
        rest = [max(0, number - sum(parts)) for number, *parts in zip(total, *known, strict=True)]
        series = [
            summed(name, mark, numbers, _count)
            for (name, _, mark), numbers in zip(of.outcomes, known, strict=True)
        ]
        name, mark = of.rest
        yield Section(
            of.id,
            of.heading,
            of.text,
            [self._chart(of.caption, [*series, summed(name, mark, rest, _count)], charts.whole)],
            [self._table(f"{of.heading} by month", of.model)],
            is_wide=False,
        )


def _heading(column: str) -> str:
    """Return the name of a column over a table: `failure_rate` is `Failure rate`."""
    if column in ("arpa", "arr"):
        return column.upper()
    name = column.removesuffix("_mrr").removesuffix("_customers")
    return name.replace("_", " ").capitalize()


def _tile(
    name: str, values: tuple[Any, Any], month: date, text: Text, change: Change, better: int = 1
) -> Tile:
    """Return a figure beside that of the month before; `better` is -1 where less is better."""
    before, now = values
    if before is None:
        return Tile(name, text(now))
    if before == now:
        return Tile(name, text(now), note=f"as in {month:%B}")
    trend = "good" if (now > before) == (better > 0) else "bad"
    return Tile(name, text(now), change(before, now), trend, f"on {month:%B}'s {text(before)}")


def _relative(before: Decimal, now: Decimal) -> str:
    return f"{(now - before) / before:+.1%}" if before > 0 else ""


def _difference(before: int, now: int) -> str:
    return f"{now - before:+,}"


def _points(before: float, now: float) -> str:
    return f"{100 * (now - before):+.1f} points"


def _percent_tick(value: float) -> str:
    return f"{100 * value:.4g}%"

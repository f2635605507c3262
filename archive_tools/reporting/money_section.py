"""The section of a report on the money, by currency.

Knows figures, charts and blocks; what counts as money is defined by the queries.
"""

from decimal import Decimal

from markupsafe import Markup

from .blocks import day_words, figure, numbers, paragraph, section, table
from .charts import Frame, Series, bars
from .figures import Currency, Figures
from .scales import count_words, linear

#: More pictures would hide the ones that matter; the tables have all.
_CHARTED = 6


def money(figures: Figures) -> Markup:
    """Return the section of the money, by currency."""
    live = [one for one in figures.currencies if one.livemode]
    test = [one for one in figures.currencies if not one.livemode]
    if not figures.currencies:
        return section("money", "Money", paragraph("No charge was captured or refunded."))
    charts = [_money_chart(figures, one) for one in live[:_CHARTED]]
    return section(
        "money",
        "Money",
        paragraph(
            "Captured charges of your own account on the day of their capture, less what was "
            "refunded of them on the day of the refund. Without fees, disputes, refunds that fail "
            "later, connected accounts and money that moves without a charge."
        ),
        _totals("Live mode", live) if live else paragraph("Nothing in live mode."),
        Markup('<div class="pair">{}</div>').format(Markup("").join(charts)),
        _totals("Test mode, which is no money", test) if test else Markup(""),
        numbers(_money_days(figures)),
    )


def amount(value: Decimal, decimals: int) -> str:
    """Return an amount with the decimals of its currency."""
    return f"{value:,.{decimals}f}"


def _totals(caption: str, found: list[Currency]) -> Markup:
    rows = [
        (one.code, one.movements, *(amount(value, one.decimals) for value in one.total))
        for one in found
    ]
    return table(caption, ["Currency", "Movements", "Gross", "Refunded", "Net"], rows)


def _money_chart(figures: Figures, one: Currency) -> Markup:
    gross, refunded, net = (amount(value, one.decimals) for value in one.total)
    days = [day.day for day in figures.days]
    up, down = [float(value) for value in one.gross], [-float(value) for value in one.refunded]
    frame = Frame(
        f"{one.code} a day: gross {gross}, refunded {refunded}, net {net}",
        days,
        [
            f"{day_words(day)}\ngross {amount(one.gross[n], one.decimals)}\n"
            f"refunded {amount(one.refunded[n], one.decimals)}"
            for n, day in enumerate(days)
        ],
        linear([*up, *down], count_words),
        height=120,
    )
    series = [Series("gross", up, "c1"), Series("refunded", down, "c6")]
    keys = [("c1", "gross", gross), ("c6", "refunded", refunded)]
    return figure(f"{one.code} a day, live mode", bars(frame, series), keys)


def _money_days(figures: Figures) -> Markup:
    rows = [
        (
            day_words(day.day),
            one.code,
            "live" if one.livemode else "test",
            *(
                amount(value, one.decimals)
                for value in (one.gross[n], one.refunded[n], one.gross[n] - one.refunded[n])
            ),
        )
        for n, day in enumerate(figures.days)
        for one in figures.currencies
        if one.gross[n] or one.refunded[n]
    ]
    return table(
        "Money by day", ["Day (UTC)", "Currency", "Mode", "Gross", "Refunded", "Net"], rows, left=3
    )

"""The money of a report: from rows as the models give them to figures and a page."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from archive_tools import report as command
from archive_tools.days import Days
from archive_tools.errors import ToolError
from archive_tools.querying.engine import open_engine
from archive_tools.querying.result import Result
from archive_tools.reporting.figures import Figures, Origin
from archive_tools.reporting.money import collect_money, money_of
from archive_tools.reporting.page import page

from .conftest import Run
from .test_page import Elements
from .test_page import chart as chart_of
from .test_report import NOON, charge, event, put

TODAY = date(2026, 11, 20)
LAST = date(2026, 11, 1)
MOVEMENTS = ("new", "reactivation", "expansion", "contraction", "churned")

Rows = dict[str, list[dict[str, Any]]]


def key(month: int, currency: str | None = "eur", **others: Any) -> dict[str, Any]:
    row = {"month": date(2026, month, 1), "account": None, "livemode": True, **others}
    unit = {"eur": "0.010", "usd": "0.010", "jpy": "1.000"}
    return row | ({"currency": currency, "minor_unit": Decimal(unit[currency])} if currency else {})


def rate(part: Decimal | int, whole: Decimal | int) -> Decimal | None:
    return round(Decimal(part) / whole, 6) if whole else None


def mrr(
    month: int, opening: str, *movements: str, people: int = 9, **others: Any
) -> dict[str, Any]:
    """A month that begins with an amount and has the five movements."""
    amounts = [Decimal(amount) for amount in (opening, *movements)]
    start, closing = amounts[0], sum(amounts)
    row = dict(zip((f"{name}_mrr" for name in MOVEMENTS), amounts[1:], strict=True))
    kept = start + row["contraction_mrr"] + row["churned_mrr"]
    gained = row["expansion_mrr"] + row["reactivation_mrr"]
    return {
        **key(month, **others),
        **row,
        "opening_mrr": start,
        "closing_mrr": closing,
        "opening_customers": people,
        "new_customers": 3,
        "reactivated_customers": 0,
        "churned_customers": 1,
        "closing_customers": people + 2,
        "customer_churn_rate": rate(1, people),
        "gross_revenue_retention": rate(kept, start),
        "net_revenue_retention": rate(kept + gained, start),
        "arpa": closing / (people + 2),
        "arr": closing * 12,
        "unpriced_items": 0,
        "unknown_discounts": 0,
        "is_complete": month < 11,
    }


def revenue(month: int, gross: str, **others: Any) -> dict[str, Any]:
    amounts = {"gross": Decimal(gross), "refunded": Decimal(5), "disputed": Decimal(0)}
    net = {"net_before_fees": Decimal(gross) - 5, "fees": None, "net": None, "paid_out": None}
    return {**key(month, **others), **amounts, **net}


def payments(month: int, attempts: int, failed: int, **others: Any) -> dict[str, Any]:
    rates = {"failure_rate": rate(failed, attempts), "recovery_rate": rate(failed, failed)}
    counts = {"first_attempts": attempts, "failed_first": failed, "recovered": failed}
    return {**key(month, **others), **counts, **rates}


def rows(**models: list[dict[str, Any]]) -> Rows:
    names = ("mrr", "trials", "payments", "disputes", "revenue")
    return {f"{name}_by_month": models.get(name, []) for name in names}


YEAR = rows(
    mrr=[
        mrr(9, "0", "100.333333", "0", "0", "0", "0"),
        mrr(10, "100.333333", "50", "10", "20.5", "-5.25", "-40.083333"),
        mrr(11, "135.5", "4", "0", "0", "0", "-10"),
        mrr(11, "900", "0", "0", "0", "0", "-0.5", people=4, currency="usd"),
        mrr(11, "50000", "0", "0", "0", "0", "-1", people=2, currency="jpy"),
    ],
    payments=[payments(9, 10, 1), payments(10, 10, 3), payments(11, 4, 0)],
    revenue=[revenue(9, "100"), revenue(10, "150"), revenue(11, "30")],
)


def html(found: Rows, today: date = TODAY) -> str:
    origin = Origin("an-archive", LAST, TODAY, TODAY, "today", "duckdb", "1")
    return page(Figures(origin, None, money_of(found, LAST, today)))


def table(text: str, caption: str) -> list[list[str]]:
    found = re.search(rf"<caption>{caption}.*?<tbody>(.*?)</tbody>", text, re.S)
    assert found, caption
    lines = re.findall(r"<tr>(.*?)</tr>", found[1], re.S)
    return [re.findall(r"<td[^>]*>(.*?)</td>", line, re.S) for line in lines]


def tiles(text: str) -> dict[str, str]:
    found = re.findall(r"<div><dt>(.*?)</dt>(.*?)</div>", text, re.S)
    return {name: " ".join(re.sub("<[^>]*>", " ", rest).split()) for name, rest in found}


def sections(text: str) -> list[str]:
    return re.findall(r'<section id="(\w+)"', text)


def test_opening_and_movements_are_the_closing_in_the_numbers_of_the_page() -> None:
    lines = table(html(YEAR), "MRR by month, EUR")
    amounts = [[Decimal(cell.replace(",", "")) for cell in line[1:8]] for line in lines]
    assert len(amounts) == 3
    for opening, *movements, closing in amounts:
        assert opening + sum(movements) == closing
    assert all(before[-1] == after[0] for before, after in pairwise(amounts))
    assert lines[1][1:3] == ["100.333333", "50.00"]


def test_the_waterfall_goes_from_the_opening_up_then_down_and_shows_the_closing() -> None:
    svg = chart_of(html(YEAR), "MRR, EUR")
    months = svg.split("<g")[1:]
    bars = re.findall(
        r'class="(c\d)" x="([\d.]+)%" width="[\d.]+%" y="([\d.]+)" height="([\d.]+)"', months[1]
    )
    marks = [mark for mark, *_ in bars]
    assert marks == ["c3", "c5", "c7", "c2", "c6", "c1"]
    tops = [float(top) for _, _, top, _ in bars]
    ends = [float(top) + float(height) for _, _, top, height in bars]
    # a pixel is 0.83 euros on an axis to 200, of 240 pixels
    assert ends[0] == pytest.approx(240 * (1 - 100.33 / 200), abs=1)
    assert tops[2] == pytest.approx(240 * (1 - 180.83 / 200), abs=1)
    assert tops[3] == pytest.approx(tops[2], abs=1)
    assert ends[4] == pytest.approx(240 * (1 - 135.5 / 200), abs=1)
    assert tops[5] == pytest.approx(ends[4], abs=1)
    assert ends[5] == pytest.approx(240, abs=1)
    lefts = [float(left) for _, left, _, _ in bars]
    assert lefts[0] == lefts[1] == lefts[2] < lefts[3] == lefts[4] < lefts[5]


def test_tiles_have_the_figure_of_the_month_before_and_the_change() -> None:
    found = tiles(html(YEAR))
    assert found["MRR, EUR"] == "129.50 -4.4% on October&#39;s 135.50"
    assert found["Subscribers"] == "11 +2 on October&#39;s 9"
    assert found["Revenue before fees, EUR, October"] == "145.00 +52.6% on September&#39;s 95.00"
    assert found["Failed payments, October"] == "30.0% +20.0 points on September&#39;s 10.0%"
    assert found["Net revenue retention, October"] == "85.2%"


def test_worse_is_bad_where_less_is_better_too() -> None:
    classes = dict(re.findall(r'<b class="(\w+)">([^<]*)', html(YEAR)))
    assert re.findall(r'<b class="bad">([^<]*)', html(YEAR)) == ["-4.4%", "+20.0 points"]
    assert set(classes) == {"good", "bad"}


def test_the_month_that_is_not_over_is_marked_and_no_line_falls_to_it() -> None:
    text = html(YEAR)
    svg = chart_of(text, "MRR, EUR")
    assert re.findall(r'<g( class="open")?>', svg) == ["", "", ' class="open"']
    assert "Lighter: November 2026, so far" in text
    assert table(text, "MRR by month")[-1][0] == "Nov 2026, so far"
    path = re.findall(r'class="line c1" d="([^"]*)"', chart_of(text, "Revenue retention"))[0]
    # October alone: September opened with nothing, and November is not over
    assert re.sub(r"[\d. ]+", "", path) == "M"
    over = html(YEAR, today=date(2026, 12, 1))
    assert 'class="open"' not in over
    assert "so far" not in over


def test_what_there_is_nothing_of_has_no_section() -> None:
    assert sections(html(YEAR)) == ["mrr", "revenue", "payments", "origin"]
    only_charges = html(rows(revenue=YEAR["revenue_by_month"]))
    assert sections(only_charges) == ["revenue", "origin"]
    assert "MRR" not in only_charges
    trials = [{**key(10, None), "trials_ended": 4, "converted": 1, "conversion_rate": rate(1, 4)}]
    disputes = [{**key(10, None), "charges": 90, "disputed": 3, "dispute_rate": rate(1, 30)}]
    disputes[0] |= {"won": 1, "lost": 1}
    text = html(
        YEAR
        | rows(
            trials=trials,
            disputes=disputes,
            **{name.removesuffix("_by_month"): found for name, found in YEAR.items() if found},
        )
    )
    assert sections(text) == ["mrr", "revenue", "payments", "trials", "disputes", "origin"]
    assert table(text, "Trials by month") == [["Oct 2026", "4", "1", "25.0%"]]
    assert "not decided <b>1</b>" in text


def test_the_currency_with_the_most_subscribers_is_drawn_and_none_is_added_to_another() -> None:
    text = html(YEAR)
    assert "Own account, EUR;" in text
    assert table(text, "Other currencies and accounts, November 2026") == [
        ["own account", "USD", "899.50", "6"],
        ["own account", "JPY", "49,999", "4"],
    ]
    Elements(text)


def test_the_own_account_comes_before_connected_ones_which_are_in_a_table() -> None:
    large = mrr(11, "5000", "0", "0", "0", "0", "0", people=400, account="acct_large")
    own = YEAR["mrr_by_month"][2]
    text = html(rows(mrr=[large, own]))
    assert "Own account, EUR" in text
    assert table(text, "Other currencies") == [["acct_large", "EUR", "5,000.00", "402"]]
    assert "Connected account acct_large, EUR" in html(rows(mrr=[large]))


def test_test_mode_is_left_out_beside_live_mode_and_said_in_the_title_without() -> None:
    test = mrr(11, "7000", "0", "0", "0", "0", "0", livemode=False)
    assert "7,000" not in html(rows(mrr=[YEAR["mrr_by_month"][2], test]))
    text = html(rows(mrr=[test]))
    assert "<h1>Test mode: Stripe revenue, November 2026</h1>" in text
    assert "<title>Test mode: " in text
    assert "test mode, which is no money" in text


def test_what_the_mrr_leaves_out_is_said_beside_it() -> None:
    row = YEAR["mrr_by_month"][2] | {"unpriced_items": 3, "unknown_discounts": 1200}
    text = html(rows(mrr=[row]))
    assert "Items without a unit amount (tiers), which count nothing: 3." in text
    assert "Discounts that are not known, which reduce nothing: 1,200." in text
    assert "count nothing" not in html(YEAR)


def test_forty_accounts_do_not_make_a_list_of_the_page() -> None:
    others = [
        mrr(11, "10", "0", "0", "0", "0", "0", account=f"acct_{n}", people=n) for n in range(1, 41)
    ]
    text = html(rows(mrr=[YEAR["mrr_by_month"][2], *others]))
    assert len(table(text, "Other currencies and accounts, November 2026, the first 20")) == 20
    assert "--json has 20 more" in text


class Answers:
    """An engine that answers with rows, and keeps what it was asked."""

    name = "duckdb"

    def __init__(self, found: Rows) -> None:
        self.found = found
        self.asked: list[str] = []

    def run(self, sql: str, tell: Any = None) -> Result:
        self.asked.append(sql)
        names = [name.rpartition(" ")[2] for name in sql.partition(" FROM ")[0].split(", ")]
        lines = []
        for model, given in self.found.items():
            for row in given:
                own = {f"{model}_{name}": value for name, value in row.items()}
                values = {"model": model, **row, **own}
                lines.append(tuple(values.get(name) for name in names))
        return Result(names, lines, notes=["read"])


@pytest.mark.parametrize(
    ("first", "last", "months"),
    [
        (date(2026, 10, 22), date(2026, 11, 20), "'2025-12-01' AND DATE '2026-11-01'"),
        (date(2024, 2, 10), date(2026, 1, 31), "'2024-02-01' AND DATE '2026-01-01'"),
    ],
)
def test_the_months_are_those_of_the_range_and_a_year_at_least(
    first: date, last: date, months: str
) -> None:
    engine = Answers(YEAR)
    money, result = collect_money(engine, Days(first, last), TODAY)  # type: ignore[arg-type]
    (asked,) = engine.asked
    assert asked.count(f"month BETWEEN DATE {months}") == 5
    assert result.notes == ["read"]
    assert len(money.rows["mrr_by_month"]) == 5
    assert money.rows["payments_by_month"][1]["failed_first"] == 3


class NoViews:
    """Athena without the views, and with the table of the deliveries."""

    name = "athena"

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def run(self, sql: str, tell: Any) -> Any:
        if "mrr_by_month" in sql:
            wrong = (
                "Athena: the query failed: TABLE_NOT_FOUND: line 1:9: Table 'a.b.mrr_by_month' …"
            )
            raise ToolError(wrong, "make it")
        return self._engine.run(sql, tell)


@pytest.fixture
def without_views(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def opened(*arguments: Any) -> Iterator[NoViews]:
        with open_engine(*arguments) as engine:
            yield NoViews(engine)

    monkeypatch.setattr(command, "open_engine", opened)


@pytest.mark.usefixtures("without_views")
def test_without_athenas_views_the_deliveries_are_there_and_the_command_is_named(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    put(folder, NOON, event("evt_1", NOON))
    target = tmp_path / "report.html"
    result = run("report", "--output", str(target), "--today", "2026-11-20")
    assert result.exit_code == 0, result.output
    assert "To make them: flask archive build" in result.stdout
    text = target.read_text()
    assert "flask archive build" in text
    assert "<h1>Stripe deliveries, " in text
    assert "deliveries" in sections(text)
    assert "mrr" not in sections(text)


@pytest.mark.usefixtures("without_views")
def test_the_money_alone_cannot_do_without_the_views(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    result = run("report", "--output", str(target), "--only", "money")
    assert result.exit_code == 2
    assert "Fix: make them: flask archive build" in result.stderr
    assert not target.exists()


def test_an_archive_without_any_payment_has_the_deliveries_alone(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    put(folder, NOON, event("evt_1", NOON))
    target = tmp_path / "report.html"
    result = run("report", "--output", str(target), "--today", "2026-11-20")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("1 event in 1 delivery")
    text = target.read_text()
    assert "<h1>Stripe deliveries, " in text
    assert "evenue" not in text


def test_the_money_alone_has_no_deliveries(run: Run, folder: Path, tmp_path: Path) -> None:
    paid = charge("eur", 1234, id="ch_1", status="succeeded")
    body = json.loads(event("evt_1", NOON, "charge.succeeded", **paid))
    body["data"]["object"]["created"] = body["created"]
    put(folder, NOON, json.dumps(body).encode())
    target = tmp_path / "report.html"
    result = run("report", "--output", str(target), "--only", "money", "--today", "2026-11-20")
    assert result.exit_code == 0, result.output
    text = target.read_text()
    assert sections(text) == ["revenue", "origin"]
    assert tiles(text)["Revenue before fees, EUR, November so far"] == "12.34"
    assert "deliveries" not in text

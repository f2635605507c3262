"""The sample year's figures, worked out by hand from what examples/year.py tells of its customers.

The prices in euros are 19 for starter, 49 for studio and 29 a seat for team, in dollars 21, 55 and
32, in yen 2800, 7800 and 4500. A year costs ten months, so a month of a year counts 10/12 of them.
"""

import gzip
import itertools
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from archive_tools.cli import archive
from archive_tools.storage import folder_of
from examples import analytics, year
from tests.support.service import PROJECT
from webhook_app.events.record import webhook_record

D = Decimal

Row = dict[str, Any]


class Models:
    """The models of the year, as tables of a file."""

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self._database = database

    def rows(self, sql: str) -> list[Row]:
        result = self._database.execute(sql)
        names = [name for name, *_ in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def month(self, model: str, currency: str | None, month: str) -> Row:
        """The row of a month, as in 2026-03."""
        of_currency = f"AND currency = '{currency}'" if currency else ""
        sql = f"SELECT * FROM {model} WHERE month = DATE '{month}-01' {of_currency}"
        (row,) = self.rows(sql)
        return row


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with them."""
    folder = tmp_path_factory.mktemp("year")
    stripe = year.shop()
    # as the service writes them, but a day in one object, which is quicker
    days: dict[date, list[bytes]] = defaultdict(list)
    for delivery in year.deliveries(stripe):
        line = webhook_record(delivery.body, "t=1,v1=0", delivery.arrives).line()
        days[delivery.arrives.date()].append(line)
    for day, lines in days.items():
        path = folder / "archive" / folder_of(day) / "day.json.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress(b"".join(lines), 1))
    year.write_snapshot(folder / "archive", stripe)
    words = ["build", "--archive", str(folder / "archive"), "--today", str(year.TODAY)]
    target = folder / "analytics.duckdb"
    built = CliRunner().invoke(archive, [*words, "--output", str(target)])
    assert built.exit_code == 0, built.output
    return target


@pytest.fixture(scope="module")
def models(built: Path) -> Iterator[Models]:
    with duckdb.connect(str(built), read_only=True) as database:
        yield Models(database)


def test_the_guide_has_the_answers_and_the_dictionary_of_the_models(built: Path) -> None:
    text = (PROJECT / "docs/ANALYTICS.md").read_text()
    command = "`python -m examples.analytics docs/ANALYTICS.md` mends it"
    assert analytics.renewed_document(text, built) == text, command


def movements(row: Row) -> dict[str, Decimal]:
    """The parts of a month's MRR that are not zero, without their common ending."""
    names = ("opening", "new", "reactivation", "expansion", "contraction", "churned", "closing")
    return {name: row[f"{name}_mrr"] for name in names if row[f"{name}_mrr"]}


def test_november_is_what_the_first_customers_pay(models: Models) -> None:
    # Anna studio 49, Bruno starter 19, Clara 3 seats of team 87, David studio by the year 490 / 12
    eur = D("49") + D("19") + D("87") + D("40.833333")
    assert movements(models.month("mrr_by_month", "eur", "2025-11")) == {"new": eur, "closing": eur}
    # Ava studio 55, Ben starter 21
    assert movements(models.month("mrr_by_month", "usd", "2025-11")) == {"new": 76, "closing": 76}


def test_march_grows_by_three_customers_an_upgrade_and_two_seats(models: Models) -> None:
    eur = models.month("mrr_by_month", "eur", "2026-03")
    new = [
        D("49"),  # Nina, whose trial has ended; Otto has cancelled his
        D("49"),  # Paula
        D("15.833333"),  # Quirin, starter by the year: 190 / 12
    ]
    expansion = [
        D("30"),  # Elif, from starter to studio
        D("58"),  # Clara, from 3 seats to 5
    ]
    opening = [
        D("195.833333"),  # November's
        D("39.20") + D("19"),  # December's: Franz, studio less 20 %, and Elif
        D("19") + D("49") + D("58") + D("19"),  # January's: Greta, Hugo, Ines' two seats, Jonas,
        D("40.833333"),  # and Klara, studio by the year
        D("19") + D("44"),  # February's: Lena, and Marco, studio less 5
    ]
    assert movements(eur) == {
        "opening": sum(opening),
        "new": sum(new),
        "expansion": sum(expansion),
        "closing": sum(opening) + sum(new) + sum(expansion),
    }
    assert (eur["opening_customers"], eur["new_customers"], eur["closing_customers"]) == (13, 3, 16)
    retention = (sum(opening) + 88) / sum(opening)
    assert float(eur["net_revenue_retention"]) == pytest.approx(float(retention), abs=1e-4)
    assert eur["arr"] == 12 * eur["closing_mrr"]
    # Gus starter 21, Hana studio 55; before: Ava, Ben, Cora, Dan, Eve, and Finn by the year
    opening = [D("55"), D("21"), D("64"), D("21"), D("55"), D("45.833333")]
    usd = movements(models.month("mrr_by_month", "usd", "2026-03"))
    assert usd == {"opening": sum(opening), "new": 76, "closing": sum(opening) + 76}


def test_august_is_the_bad_month(models: Models) -> None:
    eur = models.month("mrr_by_month", "eur", "2026-08")
    contraction = D("-29") + D("-30")  # Clara gives back a seat, Tilda takes starter for studio
    churned = D("-49") + D("-19")  # Hugo has cancelled, Jonas could not be charged
    assert eur["contraction_mrr"] == contraction
    assert eur["churned_mrr"] == churned
    assert eur["new_mrr"] == eur["expansion_mrr"] == eur["reactivation_mrr"] == 0
    assert eur["closing_mrr"] == eur["opening_mrr"] + contraction + churned
    assert (eur["churned_customers"], eur["opening_customers"]) == (2, 18)
    assert float(eur["customer_churn_rate"]) == pytest.approx(2 / 18, abs=1e-4)
    # Jill's three seats; Kurt was late, which counts on
    usd = models.month("mrr_by_month", "usd", "2026-08")
    assert movements(usd) == {
        "opening": usd["opening_mrr"],
        "churned": -96,
        "closing": usd["opening_mrr"] - 96,
    }


def test_lena_comes_back_and_rosa_takes_more(models: Models) -> None:
    assert models.month("mrr_by_month", "eur", "2026-05")["churned_mrr"] == -19
    september = models.month("mrr_by_month", "eur", "2026-09")
    assert (september["reactivation_mrr"], september["reactivated_customers"]) == (49, 1)
    # Vera paid after her trial, and Wanda's six seats
    assert (september["new_mrr"], september["new_customers"]) == (49 + 174, 2)
    # a second subscription of one customer
    october = models.month("mrr_by_month", "eur", "2026-10")
    assert (october["expansion_mrr"], october["new_mrr"]) == (19, 49 + 19)
    # half the price for three months is not for good; a payment that never came leaves nothing
    assert models.month("mrr_by_month", "usd", "2026-07")["new_mrr"] == 55 + 21
    assert models.month("mrr_by_month", "usd", "2026-10")["new_mrr"] == 0


def test_every_month_opens_as_the_one_before_it_closed(models: Models) -> None:
    rows = models.rows("SELECT * FROM mrr_by_month ORDER BY currency, month")
    months = {row["month"] for row in rows}
    assert len(months) == 13
    for before, after in itertools.pairwise(rows):
        if before["currency"] == after["currency"]:
            assert before["closing_mrr"] == after["opening_mrr"]
    for row in rows:
        parts = movements(row)
        closing = parts.pop("closing", 0)
        assert sum(parts.values()) == closing
        assert (row["unpriced_items"], row["unknown_discounts"]) == (0, 0)
        assert row["is_complete"] == (row["month"] != date(2026, 11, 1))
    yen = [row["closing_mrr"] for row in rows if row["currency"] == "jpy"]
    # Aiko, then Ken, then Yui's two seats
    assert yen == [7800] * 5 + [10_600] * 3 + [19_600] * 4


def test_objects_agree_with_each_other(models: Models) -> None:
    """Of every version: who paid what for which subscription."""
    (row,) = models.rows("""
        SELECT count(*) AS invoices, count(invoices.subscription) AS subscriptions,
          count_if(charges.invoice = invoices.id AND charges.amount = invoices.amount_paid
            AND charges.customer = subscriptions.customer) AS whole
        FROM invoices JOIN charges ON charges.id = invoices.charge
        JOIN subscriptions ON subscriptions.id = invoices.subscription
        WHERE invoices.status = 'paid'""")
    (paid,) = models.rows(
        "SELECT count(*) AS n FROM invoices WHERE status = 'paid' AND amount_paid > 0"
    )
    assert set(row.values()) == {paid["n"]}
    (row,) = models.rows("""
        SELECT count(*) AS refunds, count_if(charges.amount_refunded = refunds.amount) AS whole,
          count(credit_notes.id) AS notes
        FROM refunds JOIN charges ON charges.id = refunds.charge
        LEFT JOIN credit_notes ON credit_notes.refund = refunds.id""")
    assert set(row.values()) == {3}
    lines = models.rows("""
        SELECT invoices.subtotal, sum(invoice_line_items.amount) AS lines
        FROM invoices JOIN invoice_line_items ON invoice_line_items.invoice = invoices.id
        GROUP BY invoices.id, invoices.subtotal""")
    assert all(row["subtotal"] == row["lines"] for row in lines)


def test_what_was_paid_out_is_what_the_balance_had(models: Models) -> None:
    (row,) = models.rows("""
        SELECT count(*) AS payouts, count_if(moved.net = -payouts.amount) AS whole
        FROM payouts JOIN balance_transactions AS moved
          ON moved.id = payouts.balance_transaction AND moved.source_id = payouts.id""")
    (all_,) = models.rows("SELECT count(*) AS payouts FROM payouts")
    assert row["payouts"] == row["whole"] == all_["payouts"] > 90
    for row in models.rows("SELECT sum(net) AS net FROM balance_transactions GROUP BY currency"):
        # what the last days brought is not available yet
        assert row["net"] >= 0

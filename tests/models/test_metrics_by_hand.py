"""The metrics of small cases, with the figures worked out by hand. Each case is an account."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.models.histories import CLOVER, Event, archive, coupon_object, subscription_object
from tests.models.oracle import Coupon, Discount, Item, Price, State
from tests.queries.conftest import query
from tests.queries.test_view import DECIMALS

TODAY = date(2026, 6, 10)

Row = dict[str, Any]
CASES: dict[str | None, list[Event]] = defaultdict(list)
SNAPSHOTS: dict[str | None, list[Event]] = defaultdict(list)


def at(month: int, day: int, hour: int = 12) -> int:
    return int(datetime(2026, month, day, hour, tzinfo=UTC).timestamp())


FORTY_NINE = (Item("si_1", Price("price_1", "prod_1", "usd", "4900", "month")),)


def subscription(account: str | None, when: int, **fields: Any) -> None:
    """Add a state of a subscription to a case."""
    state = replace(State(when, "sub_1", "cus_1", "active", FORTY_NINE), **fields)
    type_ = "deleted" if state.status == "canceled" else "updated"
    of = subscription_object(state, CLOVER)
    CASES[account].append(Event(when, f"customer.subscription.{type_}", of))


# the recurring revenue of one's own account, which has no id: two customers in dollars
NINETY_NINE = (Item("si_1", Price("price_2", "prod_1", "usd", "9900", "month")),)
A_YEAR = (Item("si_2", Price("price_3", "prod_2", "usd", "120000", "year"), 2),)
OTHER: dict[str, Any] = {"subscription": "sub_2", "customer": "cus_2", "items": A_YEAR}
subscription(None, at(1, 15))
subscription(None, at(2, 10), items=NINETY_NINE)
subscription(None, at(2, 28, 23), **OTHER)
subscription(None, at(3, 31, 23), status="canceled", items=NINETY_NINE)
subscription(None, at(5, 1, 0), subscription="sub_3")

MRR = """
2026-01  0   49  0   0    0    0  49  0 1 0 0 1
2026-02  49  200 0   50   0    0  299 1 1 0 0 2
2026-03  299 0   0   0    0  -99  200 2 0 0 1 1
2026-04  200 0   0   0    0    0  200 1 0 0 0 1
2026-05  200 0   49  0    0    0  249 1 0 1 0 2
2026-06  249 0   0   0    0    0  249 2 0 0 0 2
"""

# what a price comes to in a month
PRICES = {
    "week": (Price("p", "x", "usd", "700", "week"), 1, "30.333333"),  # 7 x 52 / 12
    "day": (Price("p", "x", "usd", "100", "day"), 1, "30.416667"),  # 1 x 365 / 12
    "quarter": (Price("p", "x", "usd", "10000", "month", 3), 1, "33.333333"),  # 100 / 3
    "two_years": (Price("p", "x", "eur", "100000", "year", 2), 3, "125"),  # 1000 x 3 / 24
    "yen": (Price("p", "x", "jpy", "5400", "month"), 2, "10800"),
    "dinar": (Price("p", "x", "kwd", "14350", "month"), 1, "14.35"),
    "half_cents": (Price("p", "x", "usd", "0.5", "month"), 3, "0.015"),
    "dozens": (Price("p", "x", "usd", "100", "month", divide_by=12), 25, "3"),  # 25 are 3 dozens
    "whole_dozens": (Price("p", "x", "usd", "100", "month", 1, False, 12, "down"), 25, "2"),
    "no_quantity": (Price("p", "x", "usd", "100", "month"), None, "1"),
}
for name, (price, quantity, _) in PRICES.items():
    subscription(name, at(1, 1), items=(Item("si", price, quantity),))

# 10 dollars off an invoice of 120 and 60 a year: 170/180 of each, a twelfth of that a month.
# 30 % off the first item before that: of 84 and 60, 134/144 is left.
YEARS = (
    Item("si_a", Price("price_a", "x", "usd", "12000", "year")),
    Item("si_b", Price("price_b", "x", "usd", "6000", "year")),
)
TEN_OFF = Discount("di_ten", Coupon("ten", amount_off=1000, currency="usd"), "event")
THIRTY = Discount("di_30", Coupon("thirty", percent_off="30"), "event")
ONCE = Discount("di_once", Coupon("once", "once", percent_off="50"), "event")
UNKNOWN = Discount("di_lost", Coupon("lost", percent_off="50"), "nowhere")
subscription("off", at(1, 1), items=YEARS, discounts=(TEN_OFF,))
subscription("both", at(1, 1), discounts=(TEN_OFF, ONCE),
    items=(Item("si_a", YEARS[0].price, 1, (THIRTY,)), YEARS[1]))  # fmt: skip
subscription("all_off", at(1, 1), items=(YEARS[1],), discounts=(TEN_OFF,) * 7)
subscription("unknown", at(1, 1), discounts=(UNKNOWN,))
for case in ("off", "both", "all_off"):
    for discount in (TEN_OFF, THIRTY, ONCE):
        of: Row = {
            "id": discount.id,
            "object": "discount",
            "source": {"coupon": discount.coupon.id},
        }
        CASES[case].append(Event(at(1, 1), "customer.discount.created", of))
        SNAPSHOTS[case].append(Event(at(2, 1), "", coupon_object(discount.coupon)))
DISCOUNTED = {
    "off": ["4.722222", "9.444444"],  # 60 x 170/180 / 12, 120 x 170/180 / 12
    "both": ["4.652778", "6.513889"],  # 60 x 134/144 / 12, 84 x 134/144 / 12
    "all_off": [],  # 60 less seven times 10 is not below zero
    "unknown": ["49"],
}


def trial(name: str, end: int, status: str, paid: int | None = None, **fields: Any) -> None:
    more = {"trial_end": end, **fields}
    for when, now in ((end - 86_400, "trialing"), (end + 1, status)):
        state = State(when, name, "cus", now, (Item("si", YEARS[0].price),))
        of = subscription_object(state, CLOVER) | more
        CASES["trials"].append(Event(when, "customer.subscription.updated", of))
    if paid:
        invoice("trials", f"in_{name}", paid, 4900, 1, "paid", subscription=name)


def invoice(case: str, id_: str, when: int, due: int, attempts: int, status: str,
    type_: str = "invoice.updated", **fields: Any) -> None:  # fmt: skip
    paid = due if status == "paid" else 0
    CASES[case].append(Event(when, type_, {
        "id": id_, "object": "invoice", "amount_due": due, "amount_paid": paid, "currency": "usd",
        "attempt_count": attempts, "status": status, "created": when,
        "status_transitions": {"paid_at": when if paid else None}, **fields,
    }))  # fmt: skip


def charge(case: str, id_: str, when: int, amount: int, status: str = "succeeded",
    type_: str = "charge.updated", **fields: Any) -> None:  # fmt: skip
    is_paid = status == "succeeded"
    CASES[case].append(Event(when, type_, {
        "id": id_, "object": "charge", "amount": amount, "currency": "usd", "status": status,
        "captured": is_paid, "amount_captured": amount if is_paid else 0, "amount_refunded": 0,
        "created": when, "payment_intent": None, "invoice": None, **fields,
    }))  # fmt: skip


def dispute(case: str, id_: str, when: int, of: str, status: str, amount: int = 1000) -> None:
    CASES[case].append(Event(when, "charge.dispute.updated", {
        "id": id_, "object": "dispute", "charge": of, "status": status, "amount": amount,
        "currency": "usd", "created": when,
    }))  # fmt: skip


WEEK = 7 * 86_400
MARCH = at(3, 10)
trial("at_once", MARCH, "active", MARCH)
trial("last_moment", MARCH, "past_due", MARCH + WEEK)
trial("too_late", MARCH, "active", MARCH + WEEK + 1)
trial("before", MARCH, "active", MARCH - 1)
trial("never", MARCH, "canceled", MARCH + 5)
trial("cut_short", at(4, 20), "canceled", None, ended_at=at(3, 20))
trial("still", at(6, 5), "active", at(6, 5))
trial("on", at(6, 20), "trialing")

# in January: one paid at once, one failed and was paid at the 3rd attempt, one failed for good, one
# is free, one is not tried. In February one whose first failure is told by its event alone.
invoice("payments", "in_good", at(1, 5), 1000, 1, "paid", payment_intent="pi_good")
charge("payments", "ch_good", at(1, 5), 1000, payment_intent="pi_good")
for attempt, (day, state_) in enumerate(((6, "open"), (9, "open"), (14, "paid")), 1):
    invoice("payments", "in_late", at(1, day), 3000, attempt, state_)
invoice("payments", "in_bad", at(1, 7), 500, 2, "uncollectible", charge="ch_bad")
charge("payments", "ch_bad", at(1, 7), 500, "failed")
invoice("payments", "in_free", at(1, 8), 0, 1, "paid")
invoice("payments", "in_draft", at(1, 8), 700, 0, "draft")
invoice("payments", "in_told", at(2, 1), 200, 1, "open", "invoice.payment_failed")
# a charge alone; one of an intent that failed and came in a day later; one that failed for good
charge("payments", "ch_alone", at(1, 20), 250)
charge("payments", "ch_first", at(1, 31), 400, "failed", payment_intent="pi_again")
charge("payments", "ch_second", at(2, 1), 400, payment_intent="pi_again")
charge("payments", "ch_never", at(2, 2), 100, "failed", payment_intent="pi_never")

# four charges in January, of which one failed; two disputed and one inquired of, in March
for number in range(4):
    charge("disputes", f"ch_{number}", at(1, 3), 1000, "failed" if number == 3 else "succeeded")
charge("disputes", "ch_feb", at(2, 3), 1000)
dispute("disputes", "dp_0", at(3, 1), "ch_0", "needs_response")
dispute("disputes", "dp_0", at(3, 9), "ch_0", "won")
dispute("disputes", "dp_1", at(3, 1), "ch_1", "lost")
dispute("disputes", "dp_2", at(3, 1), "ch_2", "warning_closed")
dispute("disputes", "dp_feb", at(3, 1), "ch_feb", "under_review")
dispute("disputes", "dp_other", at(3, 1), "ch_that_is_not_here", "lost")

# 100.00 in January, of which 30.00 are refunded in February and 20.00 more in March, 5.00 of which
# fail; 50.00 authorised in January, of which 40.00 are captured in February and the rest released;
# 80.00 authorised and released, which is no refund; 10.00 disputed in February and won in April;
# 7.00 inquired of
charge("revenue", "ch_1", at(1, 10), 10_000)
for month, refunded in ((2, 3000), (3, 5000), (4, 4500)):
    charge("revenue", "ch_1", at(month, 11), 10_000, amount_refunded=refunded, created=at(1, 10))
charge("revenue", "ch_2", at(1, 31, 23), 5000, captured=False, amount_captured=0)
charge("revenue", "ch_2", at(2, 1, 1), 5000, "succeeded", "charge.captured", amount_captured=4000,
    amount_refunded=1000, created=at(1, 31, 23))  # fmt: skip
charge("revenue", "ch_3", at(1, 12), 8000, captured=False, amount_captured=0)
charge("revenue", "ch_3", at(1, 19), 8000, captured=False, amount_captured=0, amount_refunded=8000,
    created=at(1, 12))  # fmt: skip
charge("revenue", "ch_4", at(1, 13), 6000, "failed")
for month, status in ((2, "needs_response"), (3, "under_review"), (4, "won")):
    dispute("revenue", "dp_1", at(month, 20), "ch_1", status)
dispute("revenue", "dp_2", at(2, 21), "ch_1", "warning_needs_response", 700)


def balance(id_: str, when: int, type_: str, amount: int, fee: int = 0, of: str = "usd") -> None:
    SNAPSHOTS["revenue"].append(Event(at(6, 1), "", {
        "id": id_, "object": "balance_transaction", "type": type_, "amount": amount, "fee": fee,
        "net": amount - fee, "currency": of, "created": when,
    }))  # fmt: skip


# February: 40.00 in for 1.50, 10.00 and 15.00 of a dispute out, 3.00 for Radar, 25.00 paid out, of
# which 5.00 came back; yen in April
balance("txn_1", at(2, 1), "charge", 4000, 150)
balance("txn_2", at(2, 20), "adjustment", -1000, 1500)
balance("txn_3", at(2, 28), "stripe_fee", -300)
balance("txn_4", at(2, 28), "payout", -2500)
balance("txn_5", at(2, 28), "payout_failure", 500)
balance("txn_6", at(4, 2), "charge", 5400, 200, "jpy")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str | None, list[Row]]]:
    """The rows of a model in order, by account."""
    folder: Path = tmp_path_factory.mktemp("by-hand")
    archive(folder, {name: (CASES[name], SNAPSHOTS[name]) for name in CASES}, Random(1))

    def of(model: str) -> dict[str | None, list[Row]]:
        names, found = query(folder, f"SELECT * FROM {model} ORDER BY 1, 2, 3, 4", TODAY)
        by_account: dict[str | None, list[Row]] = defaultdict(list)
        for row in found:
            named = dict(zip(names, row, strict=True))
            by_account[named["account"]].append(named)
        return by_account

    return of


Model = Callable[[str], dict[str | None, list[Row]]]


def in_numbers(table: str) -> list[list[Decimal | str | None]]:
    """Return the rows of a table: a month, then numbers, and - for null."""
    rows_ = [line.split() for line in table.strip().splitlines()]
    return [
        [month, *(None if cell == "-" else Decimal(cell) for cell in cells)]
        for month, *cells in rows_
    ]


def shown(rows_: list[Row], *names: str) -> list[list[Any]]:
    return [[f"{row['month']:%Y-%m}", *(row[name] for name in names)] for row in rows_]


def test_each_month_of_recurring_revenue_follows_from_the_one_before(rows: Model) -> None:
    found = rows("mrr_by_month")
    moved = ("opening", "new", "reactivation", "expansion", "contraction", "churned", "closing")
    customers = ("opening", "new", "reactivated", "churned", "closing")
    names = [f"{name}_mrr" for name in moved] + [f"{name}_customers" for name in customers]
    own = found[None]
    assert shown(own, *names) == in_numbers(MRR)
    march, may = own[2], own[4]
    # one of two customers went, with 99 of 299
    assert march["customer_churn_rate"] == Decimal("0.5")
    assert march["gross_revenue_retention"] == Decimal("0.668896")
    # 249 of 200, with the customer who came back
    assert (may["gross_revenue_retention"], may["net_revenue_retention"]) == (1, Decimal("1.245"))
    assert (may["arpa"], may["arr"]) == (Decimal("124.5"), 2988)
    assert own[0]["customer_churn_rate"] is own[0]["net_revenue_retention"] is None
    assert [row["is_complete"] for row in own] == [True] * 5 + [False]
    for name, (_, _, mrr) in PRICES.items():
        assert found[name][-1]["closing_mrr"] == Decimal(mrr), name
        assert found[name][-1]["unpriced_items"] == 0
    assert found["unknown"][0]["unknown_discounts"] == 1
    assert {found[name][0]["unknown_discounts"] for name in ("off", "both")} == {0}
    assert "all_off" not in found


def test_each_change_says_what_it_was(rows: Model) -> None:
    found = rows("subscription_item_changes")
    kinds = [(row["subscription"], row["kind"], row["mrr_change"]) for row in found[None]]
    assert kinds == [
        ("sub_1", "start", 49), ("sub_1", "increase", 50), ("sub_2", "start", 200),
        ("sub_1", "end", -99), ("sub_3", "start", 49),
    ]  # fmt: skip
    for name, amounts in DISCOUNTED.items():
        got = sorted(row["mrr_after"] for row in found[name])
        assert got == [Decimal(amount) for amount in amounts], name


def test_a_trial_is_converted_by_a_payment_within_seven_days(rows: Model) -> None:
    # at_once and last_moment of six: too_late and before are outside the week, never is cancelled,
    # and cut_short ended before its trial would have
    found = rows("trials_by_month")["trials"]
    names = ("trials_ended", "converted", "conversion_rate", "is_complete")
    assert shown(found, *names) == [
        ["2026-03", 6, 2, Decimal("0.333333"), True],
        ["2026-06", 1, 1, 1, False],
    ]


def test_payments_are_counted_by_their_first_attempt(rows: Model) -> None:
    # January: in_good, in_late, in_bad, ch_alone and pi_again, of which three failed and two came
    # in: 10 + 30 + 5 + 2.50 + 4 = 51.50, of which 39 failed and 34 came in. February: in_told and
    # pi_never
    found = rows("payments_by_month")["payments"]
    names = list(found[0])[4:]
    assert shown(found, *names) == in_numbers("""
    2026-01 5 3 0.6 2 0.666667 51.5 39 0.757282 34 0.871795
    2026-02 2 2 1   0 0        3    3  1        0  0
    """)


def test_disputes_belong_to_the_month_of_the_charge(rows: Model) -> None:
    found = rows("disputes_by_month")["disputes"]
    assert shown(found, *list(found[0])[3:]) == in_numbers("""
    2026-01 3 2 0.666667 1 1
    2026-02 1 1 1        0 0
    """)


def test_revenue_is_what_came_in_less_what_went_back(rows: Model) -> None:
    # fees in February: 1.50 + 15.00 + 3.00; net: 38.50 - 25.00 - 3.00; paid out: 25.00 - 5.00
    found = rows("revenue_by_month")["revenue"]
    names = ("gross", "refunded", "disputed", "net_before_fees", "fees", "net", "paid_out")
    assert [row["currency"] for row in found] == ["usd", "usd", "usd", "jpy", "usd"]
    assert shown(found, *names) == in_numbers("""
    2026-01 100 0  0   100 -    -    -
    2026-02 40  30 10  0   19.5 10.5 20
    2026-03 0   20 0   -20 -    -    -
    2026-04 0   0  0   0   200  5200 0
    2026-04 0   -5 -10 15  -    -    -
    """)


def test_the_currencies_have_the_decimals_of_the_events(rows: Model, tmp_path: Path) -> None:
    _, found = query(tmp_path, "SELECT currency, minor_unit FROM currencies")
    digits = {name: -unit.adjusted() for name, unit in found}
    assert digits == {
        name: digits for digits, names in DECIMALS.items() if digits != 2 for name in names.split()
    }

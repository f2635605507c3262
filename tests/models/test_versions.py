"""Each API version of an object gives the same row, and real events go through every view."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.models.objects_support import TEN, Row, archive, event, rows, snapshot
from tests.support.needs import needed
from webhook_app.environ import PROJECT

VERSIONS = [
    "2020-08-27",
    "2022-11-15",
    "2024-09-30.acacia",
    "2025-03-31.basil",
    "2025-09-30.clover",
    "2026-09-30.endive",
]
BASIL = "2025-03-31"
CLOVER = "2025-09-30"
ENDIVE = "2026-09-30"

#: What says which state it is, and not what the object is.
OF_THE_STATE = {"as_of", "event_id", "api_version", "source", "account"}

Object = dict[str, Any]


def at(hour: int) -> int:
    """Unix seconds of an hour of the day that begins ten hours before."""
    return TEN + (hour - 10) * 3600


PRICE = {
    "id": "price_1", "object": "price", "product": "prod_1", "currency": "eur",
    "unit_amount": 1500, "unit_amount_decimal": "1500", "billing_scheme": "per_unit",
    "type": "recurring",
    "recurring": {"interval": "month", "interval_count": 3, "usage_type": "licensed"},
    "transform_quantity": {"divide_by": 10, "round": "up"},
}  # fmt: skip
PLAN = {"id": "price_1", "object": "plan", "product": "prod_1", "currency": "eur", "amount": 1500}


def subscription(version: str) -> Object:
    item: Object = {"id": "si_1", "object": "subscription_item", "created": at(1), "quantity": 20}
    item |= {"price": PRICE, "plan": PLAN, "metadata": {"seat": "1"}, "subscription": "sub_1"}
    made: Object = {
        "id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "active",
        "created": at(1), "start_date": at(2), "trial_end": at(3), "trial_start": None,
        "billing_cycle_anchor": at(4), "cancel_at_period_end": False, "currency": "eur",
        "collection_method": "charge_automatically", "latest_invoice": "in_1",
        "cancel_at": None, "canceled_at": None, "ended_at": None, "metadata": {"a": "b"},
        "pause_collection": {"behavior": "void", "resumes_at": at(9)}, "livemode": True,
        "items": {"object": "list", "data": [item], "has_more": False},
    }  # fmt: skip
    period = {"current_period_start": at(5), "current_period_end": at(6)}
    if version < BASIL:
        made |= period | {"plan": PLAN, "quantity": 20}
        made["discount"] = {"id": "di_1", "object": "discount", "coupon": {"id": "co_1"}}
    else:
        item |= period | {"discounts": []}
        made["discounts"] = ["di_1"]
    if version >= ENDIVE:
        made["billing_cycle_anchor"] = {"type": "timestamp", "timestamp": at(4)}
    return made


def invoice(version: str) -> Object:
    line: Object = {
        "id": "il_1", "object": "line_item", "amount": 3000, "currency": "eur", "quantity": 20,
        "description": "20 seats", "discountable": True, "metadata": {}, "discount_amounts": [],
        "period": {"start": at(5), "end": at(6)}, "invoice": "in_1",
    }  # fmt: skip
    made: Object = {
        "id": "in_1", "object": "invoice", "customer": "cus_1", "status": "paid", "number": "A-1",
        "billing_reason": "subscription_cycle", "collection_method": "charge_automatically",
        "currency": "eur", "amount_due": 3570, "amount_paid": 3570, "amount_remaining": 0,
        "subtotal": 3000, "total": 3570, "attempt_count": 2, "attempted": True, "created": at(5),
        "due_date": at(8), "period_start": at(5), "period_end": at(6), "metadata": {},
        "status_transitions": {"finalized_at": at(6), "paid_at": at(7), "voided_at": None},
        "lines": {"object": "list", "data": [line], "has_more": True}, "livemode": True,
    }  # fmt: skip
    if version < BASIL:
        line |= {"price": PRICE, "plan": PLAN, "subscription": "sub_1", "type": "subscription"}
        line |= {"subscription_item": "si_1", "proration": False}
        made |= {"subscription": "sub_1", "charge": "ch_1", "payment_intent": "pi_1", "tax": 570}
        made |= {"discounts": ["di_1"], "discount": {"id": "di_1"}, "paid": True}
        made["total_tax_amounts"] = [{"amount": 400}, {"amount": 170}]
        return made
    line["pricing"] = {
        "price_details": {"price": "price_1", "product": "prod_1"}, "type": "price_details",
        "unit_amount_decimal": "1500",
    }  # fmt: skip
    of_the_item = {"subscription": "sub_1", "subscription_item": "si_1", "proration": False}
    line["parent"] = {
        "type": "subscription_item_details", "subscription_item_details": of_the_item,
        "invoice_item_details": None,
    }  # fmt: skip
    made["parent"] = {
        "type": "subscription_details", "quote_details": None,
        "subscription_details": {"subscription": "sub_1", "metadata": {}},
    }  # fmt: skip
    made |= {"discounts": ["di_1"], "total_taxes": [{"amount": 400}, {"amount": 170}]}
    return made


def payment(version: str) -> list[tuple[str, Object]]:
    """What names the payment of an invoice where the invoice does not."""
    if version < BASIL:
        return []
    paid: Object = {
        "id": "inpay_1", "object": "invoice_payment", "invoice": "in_1", "is_default": True,
        "payment": {"type": "payment_intent", "payment_intent": "pi_1"}, "status": "paid",
        "amount_paid": 3570, "currency": "eur", "status_transitions": {"paid_at": at(7)},
    }  # fmt: skip
    return [("invoice_payment.paid", paid)]


def charge(version: str) -> Object:
    made: Object = {
        "id": "ch_1", "object": "charge", "amount": 3570, "amount_captured": 3570, "paid": True,
        "amount_refunded": 70, "currency": "eur", "status": "succeeded", "captured": True,
        "customer": "cus_1", "payment_intent": "pi_1", "failure_code": None, "created": at(7),
        "outcome": {"type": "authorized", "risk_level": "normal", "risk_score": 52},
        "balance_transaction": "txn_1", "disputed": False, "livemode": True, "metadata": {},
    }  # fmt: skip
    if version < BASIL:
        made["invoice"] = "in_1"
    if version < "2022-11-15":
        made["refunds"] = {"object": "list", "data": [refund(version)], "has_more": False}
    return made


def refund(_: str) -> Object:
    return {
        "id": "re_1", "object": "refund", "amount": 70, "currency": "eur", "status": "succeeded",
        "charge": "ch_1", "payment_intent": "pi_1", "reason": None, "created": at(8),
    }  # fmt: skip


def payment_intent(version: str) -> Object:
    made: Object = {
        "id": "pi_1", "object": "payment_intent", "amount": 3570, "amount_received": 3570,
        "currency": "eur", "status": "succeeded", "customer": "cus_1", "created": at(7),
        "last_payment_error": None, "metadata": {}, "livemode": True,
    }  # fmt: skip
    if version < "2022-11-15":
        return made | {"charges": {"object": "list", "data": [{"id": "ch_1"}]}}
    return made | {"latest_charge": "ch_1"}


def credit_note(version: str) -> Object:
    made: Object = {
        "id": "cn_1", "object": "credit_note", "invoice": "in_1", "customer": "cus_1",
        "amount": 70, "currency": "eur", "status": "issued", "created": at(8), "metadata": {},
    }  # fmt: skip
    if version < BASIL:
        return made | {"refund": "re_1", "tax_amounts": [{"amount": 10}, {"amount": 1}]}
    return made | {"refunds": [{"refund": "re_1"}], "total_taxes": [{"amount": 11}]}


def deliveries(version: str) -> list[bytes]:
    """Events of one version, in an account of its name."""
    made: list[tuple[str, Object]] = [
        ("customer.subscription.updated", subscription(version)),
        *payment(version),
        ("invoice.paid", invoice(version)),
        ("charge.refunded", charge(version)),
        ("payment_intent.succeeded", payment_intent(version)),
        ("credit_note.created", credit_note(version)),
    ]
    if version >= "2022-11-15":
        made.append(("refund.created", refund(version)))
    return [
        event(f"evt_{n}_{version}", type_, object_, api_version=version, account=version)
        for n, (type_, object_) in enumerate(made)
    ]


REAL = PROJECT.parent / "shared/events"

#: The view of each object that an event can carry.
VIEWS = {
    "charge": "charges", "checkout.session": "checkout_sessions", "coupon": "coupons",
    "credit_note": "credit_notes", "customer": "customers", "dispute": "disputes",
    "invoice": "invoices", "payment_intent": "payment_intents", "payout": "payouts",
    "price": "prices", "product": "products", "refund": "refunds", "subscription": "subscriptions",
}  # fmt: skip
PARTS = ["subscription_items", "invoice_line_items"]


def real_events() -> list[Object]:
    return [json.loads(path.read_text()) for path in sorted(REAL.glob("*.json"))]


Views = dict[str, list[Row]]


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Views:
    """Every view, over events of every version, real events, and a snapshot of what has none."""
    lines = [one for version in VERSIONS for one in deliveries(version)]
    for n, body in enumerate(real_events()):
        data, version = body["data"], body.get("api_version")
        of = {"created": body.get("created", TEN), "account": "real", "api_version": version}
        previous = data.get("previous_attributes")
        lines.append(event(f"evt_real_{n}", body["type"], data["object"], previous, **of))
    transaction = {
        "id": "txn_1", "object": "balance_transaction", "amount": 3570, "fee": 100, "net": 3470,
        "currency": "eur", "type": "charge", "reporting_category": "charge", "source": "ch_1",
        "available_on": at(9), "exchange_rate": 1.17453, "status": "pending", "created": at(8),
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("archive")
    archive(folder, lines, [snapshot(transaction, "08:00:00.000000")])
    names = [*VIEWS.values(), *PARTS, "balance_transactions"]
    return dict(zip(names, rows(folder, *(f"SELECT * FROM {n}" for n in names)), strict=True))


@pytest.mark.parametrize(
    "name",
    ["subscriptions", "subscription_items", "invoices", "invoice_line_items", "charges", "refunds",
     "payment_intents", "credit_notes"],
)  # fmt: skip
def test_every_version_gives_the_same_row(views: Views, name: str) -> None:
    found = {
        row["account"]: {column: row[column] for column in row.keys() - OF_THE_STATE}
        for row in views[name]
        if row["account"] != "real"
    }
    assert sorted(found) == VERSIONS
    for version in VERSIONS:
        assert found[version] == found[VERSIONS[0]], version


def of_the_newest(views: Views, name: str) -> Row:
    (row,) = (row for row in views[name] if row["account"] == VERSIONS[-1])
    return row


def hour(of: int) -> datetime:
    return datetime(2026, 11, 23, of)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("subscriptions", {
            "customer": "cus_1", "status": "active", "created_at": hour(1), "trial_start_at": None,
            "start_date_at": hour(2), "trial_end_at": hour(3), "billing_cycle_anchor_at": hour(4),
            "current_period_start_at": hour(5), "current_period_end_at": hour(6),
            "pause_collection_resumes_at": hour(9), "discounts": '["di_1"]',
            "items_complete": True, "metadata": '{"a":"b"}', "cancel_at_period_end": False,
        }),
        ("subscription_items", {
            "id": "si_1", "subscription": "sub_1", "customer": "cus_1", "status": "active",
            "product": "prod_1", "price": "price_1", "quantity": 20, "currency": "eur",
            "unit_amount": 1500, "unit_amount_decimal": Decimal(1500), "discounts": "[]",
            "recurring_interval": "month", "recurring_interval_count": 3,
            "recurring_usage_type": "licensed", "billing_scheme": "per_unit",
            "transform_quantity_divide_by": 10, "transform_quantity_round": "up",
            "current_period_start_at": hour(5), "current_period_end_at": hour(6),
        }),
        ("invoices", {
            "subscription": "sub_1", "charge": "ch_1", "payment_intent": "pi_1", "tax": 570,
            "attempt_count": 2, "attempted": True, "amount_due": 3570, "amount_paid": 3570,
            "paid_at": hour(7), "finalized_at": hour(6), "due_date_at": hour(8),
            "lines_complete": False, "discounts": '["di_1"]', "voided_at": None,
        }),
        ("invoice_line_items", {
            "id": "il_1", "invoice": "in_1", "subscription": "sub_1", "subscription_item": "si_1",
            "price": "price_1", "product": "prod_1", "proration": False, "type": "subscription",
            "amount": 3000, "period_start_at": hour(5), "period_end_at": hour(6),
            "unit_amount_decimal": Decimal(1500), "quantity": 20,
        }),
        ("charges", {
            "amount": 3570, "amount_captured": 3570, "amount_refunded": 70, "captured": True,
            "paid": True, "status": "succeeded", "invoice": "in_1", "payment_intent": "pi_1",
            "customer": "cus_1", "outcome_risk_score": 52, "balance_transaction": "txn_1",
        }),
        ("refunds", {"charge": "ch_1", "amount": 70, "status": "succeeded"}),
        ("payment_intents", {"latest_charge": "ch_1", "amount_received": 3570}),
        ("credit_notes", {"refund": "re_1", "tax": 11, "invoice": "in_1"}),
    ],
)  # fmt: skip
def test_what_moved_is_in_its_column(views: Views, name: str, expected: Row) -> None:
    row = of_the_newest(views, name)
    assert {column: row[column] for column in expected} == expected


def test_a_balance_transaction_comes_with_a_snapshot(views: Views) -> None:
    (row,) = views["balance_transactions"]
    assert (row["source_id"], row["source"], row["event_id"]) == ("ch_1", "snapshot", None)
    assert (row["fee"], row["net"], row["exchange_rate"]) == (100, 3470, Decimal("1.17453"))
    assert row["available_on_at"] == hour(9)


def test_real_events_have_a_row_for_each_object(views: Views) -> None:
    needed("../shared/events", real_events())
    ids: dict[str, set[str]] = {name: set() for name in VIEWS.values()}
    for body in real_events():
        of = body["data"]["object"]
        if of.get("object") in VIEWS and "id" in of and body["type"] != "invoice.upcoming":
            ids[VIEWS[of["object"]]].add(of["id"])
        ids["refunds"] |= {refund["id"] for refund in of.get("refunds", {}).get("data", [])}
    found = {
        name: {row["id"] for row in views[name] if row["account"] == "real"}
        for name in VIEWS.values()
    }
    assert found == ids
    assert sum(map(len, found.values())) == 18

"""The view stripe_events: one row an event, typed columns, and NULL for what cannot be read."""

import gzip
from collections import Counter
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from archive_tools.querying.schema import relations
from archive_tools.querying.translation import translated
from tests.queries.conftest import Archived, Month, query

COLUMNS = {
    "id": "varchar",
    "type": "varchar",
    "created_at": "timestamp(3)",
    "received_at": "timestamp(3)",
    "livemode": "boolean",
    "account": "varchar",
    "api_version": "varchar",
    "source": "varchar",
    "object_type": "varchar",
    "object_id": "varchar",
    "customer": "varchar",
    "status": "varchar",
    "amount": "bigint",
    "currency": "varchar",
    "minor_unit": "decimal(4,3)",
    "amount_major": "decimal(38,3)",
    "payload": "varchar",
    "year": "varchar",
    "month": "varchar",
    "day": "varchar",
}

# docs.stripe.com/currencies on 2026-11-23; amounts of isk and ugx are given in hundredths
DECIMALS = {
    0: "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf",
    2: "eur usd gbp huf twd isk ugx",
    3: "bhd jod kwd omr tnd",
}


def row(folder: Any, *names: str) -> tuple[Any, ...]:
    """Return some columns of the one row that the view has."""
    _, (found,) = query(folder, f"SELECT {', '.join(names)} FROM stripe_events")
    return found


def test_the_view_has_its_columns_in_order_and_with_their_types() -> None:
    translation = translated("SELECT * FROM stripe_events", relations())
    assert {name: str(type_) for name, type_ in translation.columns} == COLUMNS
    assert [name for name, _ in translation.columns] == list(COLUMNS)


def test_the_view_has_every_event_once_as_it_arrived_first(sample: Month) -> None:
    names = "id, type, received_at, created_at, object_id, customer, status, payload"
    _, rows = query(sample.folder, f"SELECT {names}, year, month, day FROM stripe_events")
    expected = [
        (
            event.id,
            event.type,
            event.arrived.replace(
                tzinfo=None, microsecond=event.arrived.microsecond // 1000 * 1000
            ),
            event.created.replace(tzinfo=None),
            event.object.get("id"),
            event.customer,
            event.object.get("status"),
            event.body.decode(),
            *event.received_at[:10].split("-"),
        )
        for event in sample.events
    ]
    assert Counter(rows) == Counter(expected)
    # five copies and the body without an id are not there
    assert len(sample.arrivals) - len(rows) == 6


def test_the_earliest_arrival_wins_wherever_it_lies(archived: Archived) -> None:
    archived("second", "2026-11-23T00:00:00.100000Z")
    archived("first", "2026-11-22T23:59:59.900000Z")
    folder = archived("third", "2026-11-23T00:00:00.100001Z", source="events_api")
    assert row(folder, "payload", "source", "day") == ("first", "webhook", "22")


@pytest.mark.parametrize(
    ("fields", "amount"),
    [
        ({"amount": 1250, "amount_total": 1, "total": 2}, 1250),
        ({"amount_total": 1250, "total": 2}, 1250),
        ({"total": 1250}, 1250),
        ({"amount": 0}, 0),
        ({"amount": -8800}, -8800),
        ({"amount": 2**63 - 1}, 2**63 - 1),
        ({"amount": 2**63}, None),
        ({"amount": "a lot", "total": 5}, None),
        ({"amount": {"value": 5}}, None),
        ({"amount": [5]}, None),
        ({"amount": None}, None),
        ({}, None),
    ],
)
def test_the_amount_is_the_objects_own(
    fields: dict[str, Any], amount: int | None, archived: Archived
) -> None:
    folder = archived({"data": {"object": {"currency": "eur", **fields}}})
    major = None if amount is None else Decimal(amount).scaleb(-2)
    assert row(folder, "amount", "amount_major") == (amount, major)


def test_an_amount_follows_the_decimals_of_its_currency(archived: Archived) -> None:
    decimals = {name: digits for digits, names in DECIMALS.items() for name in names.split()}
    for currency in decimals:
        payload = {"data": {"object": {"amount": 12_340, "currency": currency}}}
        folder = archived(payload, id=currency)
    _, rows = query(folder, "SELECT currency, amount_major FROM stripe_events")
    assert dict(rows) == {
        name: Decimal(12_340).scaleb(-digits) for name, digits in decimals.items()
    }


def test_an_amount_without_a_currency_has_no_major_amount(archived: Archived) -> None:
    folder = archived({"data": {"object": {"amount": 5}}})
    assert row(folder, "amount", "currency", "amount_major") == (5, None, None)


@pytest.mark.parametrize(
    "payload",
    ["", "not json", "{", '"text"', "[]", "null", "5", '{"data": 5}', '{"data": {"object": []}}'],
)
def test_a_payload_of_another_form_gives_nulls(payload: str, archived: Archived) -> None:
    folder = archived(payload)
    names = "object_type, object_id, customer, status, amount, currency, amount_major, payload"
    assert row(folder, *names.split(", ")) == (*(None,) * 7, payload)


def test_the_customer_is_an_id(archived: Archived) -> None:
    archived({"data": {"object": {"id": "cus_1", "object": "customer"}}}, id="own")
    archived({"data": {"object": {"customer": {"id": "cus_1"}}}}, id="expanded")
    folder = archived({"data": {"object": {"id": "ch_1", "customer": "cus_1"}}}, id="named")
    _, rows = query(folder, "SELECT id, customer FROM stripe_events ORDER BY id")
    assert rows == [("expanded", None), ("named", "cus_1"), ("own", "cus_1")]


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        (0, "1970-01-01T00:00:00"),
        (4_102_444_800, "2100-01-01T00:00:00"),
        (253_402_300_799, "9999-12-31T23:59:59"),
        (253_402_300_800, None),
        (2**63 - 1, None),
        (-1, None),
        (None, None),
    ],
)
def test_created_at_is_a_time_people_can_mean(
    created: int | None, expected: str | None, archived: Archived
) -> None:
    moment = datetime.fromisoformat(expected) if expected else None
    assert row(archived(created=created), "created_at") == (moment,)


@pytest.mark.parametrize("received_at", ["2026-13-45", "soon", ""])
def test_a_time_of_arrival_that_is_none_gives_null(received_at: str, archived: Archived) -> None:
    # by way of the file: no service and no tool writes such a record
    folder = archived("{}")
    (path,) = folder.rglob("*.json.gz")
    line = gzip.decompress(path.read_bytes()).decode()
    path.write_bytes(
        gzip.compress(line.replace("2026-11-23T10:00:00.000000Z", received_at).encode())
    )
    assert row(folder, "id", "received_at") == ("evt_1", None)


def test_records_without_an_id_are_left_out(archived: Archived) -> None:
    archived("[]", id=None)
    folder = archived("{}", id="evt_2")
    assert row(folder, "id") == ("evt_2",)

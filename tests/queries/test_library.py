"""Every query of the library on the sample month, against rows that are worked out without SQL."""

import hashlib
import hmac
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from examples import athena, month
from tests.queries.conftest import Archived, Event, Month, query
from tests.support.service import PROJECT

Rows = list[tuple[Any, ...]]

# of the currencies in the sample month; test_view has all of Stripe's
DECIMALS = {"jpy": 0, "kwd": 3, "eur": 2, "usd": 2, "gbp": 2}

#: Every function in the SQL that Athena gets, each looked up in Trino's documentation.
FUNCTIONS = """
    approx_percentile cast coalesce count count_if date_format from_iso8601_timestamp hour if
    json_extract_scalar length max min nullif replace round row_number sequence substr sum
    to_unixtime to_utf8 try_cast unnest
"""


def money(amount: int, currency: str) -> Decimal:
    return Decimal(amount).scaleb(-DECIMALS[currency])


def naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def events_by_day(sample: Month) -> Rows:
    events = Counter((event.created.date(), event.type) for event in sample.events)
    live = Counter((e.created.date(), e.type) for e in sample.events if e.json["livemode"])
    ordered = sorted(
        events.items(), key=lambda item: (-item[0][0].toordinal(), -item[1], item[0][1])
    )
    return [(day, kind, count, live[day, kind]) for (day, kind), count in ordered]


def event_by_id(sample: Month) -> Rows:
    rows = []
    for copy in sample.arrivals:
        if copy.id == month.EXAMPLES["evt_replace_me"]:
            seconds = int(copy.arrived.timestamp())
            signed = f"{seconds}.".encode() + copy.body
            v1 = hmac.new(b"whsec_month", signed, hashlib.sha256).hexdigest()
            columns = (copy.type, None, True, "webhook", f"t={seconds},v1={v1}", copy.body.decode())
            rows.append((copy.received_at, *columns))
    assert len(rows) == 4
    return rows


def revenue_by_day(sample: Month) -> Rows:
    gross: dict[tuple[date, bool, str], Decimal] = defaultdict(Decimal)
    refunded: dict[tuple[date, bool, str], Decimal] = defaultdict(Decimal)
    for event in sample.of_types("charge.succeeded", "charge.captured", "charge.refunded"):
        charge, currency = event.object, event.object["currency"]
        key = (event.created.date(), event.json["livemode"], currency)
        if "account" in event.json or not charge["captured"]:
            continue
        if event.type == "charge.refunded":
            before = event.json["data"]["previous_attributes"]["amount_refunded"]
            refunded[key] += money(charge["amount_refunded"] - before, currency)
        else:
            gross[key] += money(charge["amount_captured"], currency)
    keys = sorted(gross | refunded, key=lambda key: (-key[0].toordinal(), not key[1], key[2]))
    return [(*key, gross[key], refunded[key], gross[key] - refunded[key]) for key in keys]


def failed_payments(_: Month) -> Rows:
    def at(*moment: int) -> datetime:
        return datetime(2026, *moment)  # type: ignore[arg-type]

    insufficient = ("card_declined", "insufficient_funds", "issuer_declined")
    risky, expired = ("card_declined", "highest_risk_level", "blocked"), ("expired_card",) * 2
    bob, noor = (True, "cus_Bob0004"), (True, "cus_Noor0006")
    return [
        (
            at(11, 15, 12),
            *noor,
            Decimal("14.350"),
            "kwd",
            *expired,
            "issuer_declined",
            "ch_failed_4",
        ),
        (at(11, 3, 15), *bob, Decimal("129.000"), "usd", *risky, "ch_failed_3"),
        (at(11, 3, 11), *bob, Decimal("25.000"), "usd", *insufficient, "ch_failed_2"),
        (at(10, 28, 11), *bob, Decimal("25.000"), "usd", *insufficient, "ch_failed_1"),
    ]


def refunds_and_disputes(_: Month) -> Rows:
    ada, kei, noor = "cus_Ada0002", "cus_Kei0003", "cus_Noor0006"
    disputed = ("ch_disputed", Decimal("88.000"), "eur", None)
    why = "product_not_received"
    rows: Rows = [
        ((11, 22, 13), "charge.dispute.closed", *disputed, "lost", why),
        ((11, 13, 13), "charge.dispute.created", *disputed, "needs_response", why),
    ]
    for day, charge, amount, currency, customer in (
        ((11, 12, 15), "ch_returned_kwd", "2.340", "kwd", noor),
        ((11, 7, 15), "ch_returned_jpy", "5400.000", "jpy", kei),
        ((11, 5, 15), "ch_returned", "90.000", "usd", ada),
        ((11, 2, 15), "ch_returned", "39.000", "usd", ada),
    ):
        row = (charge, Decimal(amount), currency, customer, "succeeded", None)
        rows.append((day, "charge.refunded", *row))
    return [(datetime(2026, *day), True, *row) for day, *row in rows]


def subscriptions_by_day(_: Month) -> Rows:
    return [
        (date(2026, 11, 14), True, 0, 1),
        (date(2026, 11, 10), False, 1, 0),
        (date(2026, 11, 6), True, 0, 1),
        (date(2026, 10, 30), True, 2, 0),
        (date(2026, 10, 26), True, 1, 0),
        (date(2026, 10, 25), True, 1, 0),
    ]


def busiest_customers(sample: Month) -> Rows:
    events: dict[tuple[str, bool], list[Event]] = defaultdict(list)
    for event in sample.events:
        if event.customer:
            events[event.customer, event.json["livemode"]].append(event)
    rows = []
    for (customer, live), theirs in events.items():
        types = Counter(event.type for event in theirs)
        latest = naive(max(event.created for event in theirs))
        counts = (len(theirs), types["charge.succeeded"], types["charge.failed"])
        rows.append((customer, live, *counts, latest))
    return sorted(rows, key=lambda row: (-row[2], *row[:2]))[:20]


def delivery_delay(sample: Month) -> Rows:
    delays: dict[str, list[float]] = defaultdict(list)
    for event in sample.arrivals:
        if event.id:
            delay = event.arrived - event.created.replace(microsecond=0)
            delays[event.arrived.date().isoformat()].append(delay.total_seconds())
    rows = []
    for day, of_day in sorted(delays.items(), reverse=True):
        of_day.sort()
        ranks = [
            round(of_day[math.ceil(share * len(of_day)) - 1], 1) for share in (0.5, 0.95, 0.99)
        ]
        rows.append((day, len(of_day), *ranks))
    return rows


def silent_hours(sample: Month) -> Rows:
    """Return silences by walking over the hours; the outage and the night before it is the one."""
    midnight = datetime.combine(month.TODAY, time())
    hours = [midnight - timedelta(hours=back) for back in range(28 * 24, 0, -1)]
    arrivals = Counter(
        naive(event.arrived).replace(minute=0, second=0, microsecond=0) for event in sample.arrivals
    )
    silences, current = [], []
    for hour in [*hours, midnight]:
        if hour != midnight and not arrivals[hour]:
            others = [
                arrivals[other] for other in hours if other.hour == hour.hour and other != hour
            ]
            current.append((hour, sum(others) / len(others)))
        elif current:
            silences.append((current[0][0], len(current), sum(usual for _, usual in current)))
            current = []
    rows = [(start, length, round(usual, 1)) for start, length, usual in silences if usual >= 5]
    assert rows == [(datetime(2026, 11, 10, 20), 18, 6.9)]
    return rows


def duplicates(sample: Month) -> Rows:
    copies: dict[str, list[Event]] = defaultdict(list)
    for event in sample.arrivals:
        if event.id:
            copies[event.id].append(event)
    rows = [
        (key, of_id[0].type, len(of_id), of_id[0].received_at, of_id[-1].received_at)
        for key, of_id in copies.items()
        if len(of_id) > 1
    ]
    assert sorted(row[2] for row in rows) == [2, 2, 4]
    return sorted(rows, key=lambda row: (-row[2], row[3], row[0]))


def oversize_objects(sample: Month) -> Rows:
    (large,) = (event for event in sample.arrivals if len(event.body) > 1_024_000)
    name = large.received_at.replace(":", "-")
    (path,) = sample.folder.glob(f"webhooks/year=2026/month=11/day=20/{name}*")
    return [(large.received_at, large.id, "invoice.paid", len(large.body), str(path))]


def account_events(sample: Month) -> Rows:
    theirs = [
        e for e in sample.events if e.json.get("account") == month.EXAMPLES["acct_replace_me"]
    ]
    assert len(theirs) == 3
    rows = []
    for event in sorted(theirs, key=lambda event: event.created, reverse=True):
        found = event.object
        currency = found.get("currency")
        amount = money(found["amount"], currency) if currency else None
        columns = (found["id"], found.get("status"), amount, currency, event.id)
        rows.append((naive(event.created), event.json["livemode"], event.type, *columns))
    return rows


def arrivals(_: Month) -> Rows:
    return [
        ("charge.succeeded", 4),
        ("checkout.session.completed", 2),
        ("invoice.paid", 2),
        ("balance.available", 1),
        ("payout.paid", 1),
        ("v1.billing.meter.error_report_triggered", 1),
    ]


EXPECTED: dict[str, Callable[[Month], Rows]] = {
    "account_events": account_events,
    "arrivals": arrivals,
    "busiest_customers": busiest_customers,
    "delivery_delay": delivery_delay,
    "duplicates": duplicates,
    "event_by_id": event_by_id,
    "events_by_day": events_by_day,
    "failed_payments": failed_payments,
    "oversize_objects": oversize_objects,
    "refunds_and_disputes": refunds_and_disputes,
    "revenue_by_day": revenue_by_day,
    "silent_hours": silent_hours,
    "subscriptions_by_day": subscriptions_by_day,
}


def test_every_query_of_the_library_has_an_expectation() -> None:
    assert {path.stem for path in athena.LIBRARY} == set(EXPECTED)


@pytest.mark.parametrize("path", athena.LIBRARY, ids=lambda path: path.stem)
def test_a_query_returns_the_rows_worked_out_by_hand(path: Path, sample: Month) -> None:
    sql = path.read_text()
    for placeholder, value in month.EXAMPLES.items():
        sql = sql.replace(placeholder, value)
    _, rows = query(sample.folder, sql, month.TODAY)
    assert rows == EXPECTED[path.stem](sample)


def test_money_is_decimal_and_exact(sample: Month) -> None:
    sql = next(path for path in athena.LIBRARY if path.stem == "revenue_by_day").read_text()
    _, rows = query(sample.folder, sql, month.TODAY)
    assert {type(cell) for row in rows for cell in row[3:]} == {Decimal}
    # the refunds of the story: 39 and 90 dollars, 5400 yen, 2.340 dinars
    refunds = sorted((row[2], row[4]) for row in rows if row[4])
    expected = [("jpy", "5400"), ("kwd", "2.340"), ("usd", "39"), ("usd", "90")]
    assert refunds == [(currency, Decimal(amount)) for currency, amount in expected]


def test_the_sample_query_of_the_contract_runs_as_it_is_written(tmp_path: Path) -> None:
    noon = datetime(2025, 10, 31, 12, tzinfo=UTC)
    bodies = (b'{"type": "a"}', b'{"type": "b"}', b'{"type": "b", "id": "evt_1"}')
    days = [timedelta(0)] * 3 + [timedelta(days=1), timedelta(days=-1)]
    planned = [month.Delivery(noon + day, bodies[number % 3]) for number, day in enumerate(days)]
    month.archive(tmp_path, planned)
    sql = """\
    SELECT type, COUNT(*) AS count FROM stripe_webhooks
    WHERE year = '2025' AND month = '10' AND day = '31' GROUP BY type ORDER BY count DESC
"""
    assert query(tmp_path, sql) == (["type", "count"], [("b", 2), ("a", 1)])


def test_an_hour_of_a_busy_shop_that_falls_silent_is_found(archived: Archived) -> None:
    # six arrivals an hour for five days, but for one hour; before the first there is no archive
    for day in range(18, 23):
        for hour in range(24):
            for second in range(6 if (day, hour) != (20, 15) else 0):
                folder = archived(received_at=f"2026-11-{day}T{hour:02d}:00:{second:02d}.000000Z")
    sql = (PROJECT / "deploy/athena/queries/silent_hours.sql").read_text()
    _, rows = query(folder, sql, date(2026, 11, 23))
    assert rows == [(datetime(2026, 11, 20, 15), 1, 6.0)]


def test_percentiles_of_the_delay_are_those_of_a_days_deliveries(archived: Archived) -> None:
    at_ten = int(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp())
    for delay in range(1, 101):
        folder = archived(created=at_ten - delay)
    archived(created=at_ten - 5000, source="events_api")
    sql = (PROJECT / "deploy/athena/queries/delivery_delay.sql").read_text()
    _, rows = query(folder, sql, date(2026, 11, 23))
    assert rows == [("2026-11-23", 100, 50.0, 95.0, 99.0)]


@pytest.mark.parametrize("path", athena.LIBRARY, ids=lambda path: path.stem)
def test_a_query_says_what_it_answers_and_what_to_change(path: Path) -> None:
    question, change, *_ = path.read_text().splitlines()
    assert re.fullmatch(r"-- [A-Z].*\?", question)
    assert change.startswith("-- To change: ")
    assert ("replace_me" in path.read_text()) is ("_replace_me" in change)


def test_an_operational_query_reads_the_table_of_bounded_days() -> None:
    tables = {"arrivals", "event_by_id", "delivery_delay", "silent_hours", "duplicates"}
    for path in athena.LIBRARY:
        sql = path.read_text()
        if path.stem in tables | {"oversize_objects"}:
            bounded = r"year (\|\| '-' \|\| month \|\| '-' \|\| day >=|=) date_format\(current_date"
            assert len(re.findall(bounded, sql)) == sql.count("FROM stripe_webhooks") == 1
            assert "FROM stripe_events" not in sql
        else:
            assert sql.count("FROM stripe_events") == 1
            assert "FROM stripe_webhooks" not in sql


def test_the_sql_uses_functions_of_trino_only() -> None:
    used = set()
    for path in [*athena.LIBRARY, PROJECT / "deploy/athena/stripe_events.sql"]:
        code = re.sub(r"--.*|'[^']*'", "", path.read_text())
        used |= {name.lower() for name in re.findall(r"\b(\w+)\(", code)}
    assert used - {"decimal", "timestamp"} == set(FUNCTIONS.split())


def test_view_and_library_fit_into_a_template() -> None:
    # CloudFormation takes 51,200 bytes in all when a template is given inline
    sizes = [len(path.read_bytes()) for path in athena.LIBRARY]
    assert sum(sizes) + (PROJECT / "deploy/athena/stripe_events.sql").stat().st_size < 14_000

"""A month of a small shop's deliveries, archived by the service itself: something to query.

`python -m examples.month FOLDER` makes the archive. All in it but the names of the files is the
same each time: the plan comes from a seeded generator, and the service is shown the planned times.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any
from unittest import mock

import click

from tests.support.service import PROJECT
from webhook_app import create_app
from webhook_app.events.signature import sign
from webhook_app.settings import Settings

Fields = Mapping[str, Any]

#: The last day of the month, and what `current_date` is for its queries.
TODAY = date(2026, 11, 23)
DAYS = 30

#: What stands for the query library's placeholders in this month.
EXAMPLES = {"evt_replace_me": "evt_MonthAgain", "acct_replace_me": "acct_1SDemoShop2"}

_SECRET = "whsec_month"  # noqa: S105 - no endpoint has it
_EVENTS = PROJECT / "examples/events"

# a Wednesday's working hours in which nothing got through; Stripe delivered it later
_OUTAGE = (datetime(2026, 11, 11, 7, tzinfo=UTC), datetime(2026, 11, 11, 14, tzinfo=UTC))

_KWD = {"currency": "kwd", "customer": "cus_Noor0006"}
_SUBSCRIBERS = (
    (4900, {"currency": "eur", "customer": "cus_Zoe0001"}),
    (2500, {"currency": "usd", "customer": "cus_Ada0002"}),
    (5400, {"currency": "jpy", "customer": "cus_Kei0003"}),
    (2500, {"currency": "usd", "customer": "cus_Bob0004"}),
    (3900, {"currency": "gbp", "customer": "cus_Mia0005"}),
    (14_350, _KWD),
)


@dataclass(frozen=True)
class Delivery:
    """A body and the time at which it arrives."""

    arrives: datetime
    body: bytes


def deliveries() -> list[Delivery]:
    """Return the deliveries of the month in the order of their arrival."""
    plan = _Plan()
    for day in range(DAYS):
        _ordinary_day(plan, day)
    _money_incidents(plan)
    _other_incidents(plan)
    return sorted(plan.deliveries, key=lambda delivery: delivery.arrives)


def archive(folder: Path, planned: Iterable[Delivery] | None = None) -> None:
    """Let the service archive the month to `folder`, or the deliveries that are given.

    Raises:
        RuntimeError: the service did not accept one.
    """
    client = create_app(Settings(webhook_secrets=(_SECRET,), archive_dir=folder)).test_client()
    for delivery in deliveries() if planned is None else planned:
        with _clock_at(delivery.arrives):
            headers = {"Stripe-Signature": sign(delivery.body, _SECRET)}
            answer = client.post("/webhook/stripe", data=delivery.body, headers=headers)
        if answer.status_code != 200:
            raise RuntimeError(f"the service answered {answer.status}")


@contextlib.contextmanager
def _clock_at(moment: datetime) -> Iterator[None]:
    """Show the service, and the signature's check of age, a time that is not now."""
    calendar = mock.Mock(now=lambda _: moment)
    with (
        mock.patch("time.time", return_value=moment.timestamp()),
        mock.patch("webhook_app.web.webhook.datetime", calendar),
    ):
        yield


class _Plan:
    """Makes events from the templates of examples/events, and notes when they arrive."""

    def __init__(self) -> None:
        self.random = Random(2026)  # noqa: S311 - it tells a story and keeps no secret
        self.deliveries: list[Delivery] = []

    def event(
        self,
        day: int,
        hour: float,
        template: str,
        fields: Fields = MappingProxyType({}),
        *,
        envelope: Fields = MappingProxyType({}),
        before: Fields | None = None,
        late: float = 0,
        again: Iterable[float] = (),
    ) -> None:
        """Plan an event.

        Args:
            day: 0 is 2026-10-25, 29 is 2026-11-23.
            hour: of the day, when it happens.
            template: a file of examples/events, without .json.
            fields: what is different in its object.
            envelope: what is different around that.
            before: its `previous_attributes`.
            late: hours that pass until it arrives.
            again: hours after that at which it arrives once more.
        """
        start = datetime.combine(TODAY - timedelta(days=DAYS - 1 - day), time(), UTC)
        moment = start + timedelta(hours=hour)
        event = json.loads((_EVENTS / f"{template}.json").read_text())
        event |= {"id": f"evt_Month{len(self.deliveries):04d}", "livemode": True}
        event |= {"created": int(moment.timestamp()), **envelope}
        event["data"]["object"] |= {"livemode": event["livemode"], **fields}
        if before is not None:
            event["data"]["previous_attributes"] = before
        arrives = moment + timedelta(hours=late, seconds=self.random.uniform(0.4, 3.5))
        if _OUTAGE[0] <= arrives < _OUTAGE[1]:
            arrives = _OUTAGE[1] + timedelta(minutes=self.random.uniform(1, 50))
        body = json.dumps(event, indent=2, ensure_ascii=False).encode()
        for wait in (0, *again):
            self.deliveries.append(Delivery(arrives + timedelta(hours=wait), body))

    def charge(
        self,
        day: int,
        hour: float,
        amount: int,
        fields: Fields,
        envelope: Fields = MappingProxyType({}),
        before: Fields | None = None,
    ) -> None:
        """Plan a charge, captured at once unless `fields` say otherwise."""
        fields = {"amount": amount, "amount_captured": amount, **fields}
        fields = {"id": f"ch_Month{len(self.deliveries):04d}", **fields}
        self.event(day, hour, "charge.succeeded", fields, envelope=envelope, before=before)


def _ordinary_day(plan: _Plan, day: int) -> None:
    """Two subscriptions are renewed after nine, and there are one or two purchases."""
    for price, who in (_SUBSCRIBERS[2 * day % 6], _SUBSCRIBERS[(2 * day + 1) % 6]):
        hour = 9 + plan.random.uniform(0, 0.5)
        plan.charge(day, hour, price, who)
        invoice = {"id": f"in_{day}_{who['customer']}", "total": price, "amount_paid": price}
        plan.event(day, hour + 0.001, "invoice.paid", invoice | who)
    for turn in range(plan.random.choice((1, 2, 2))):
        _, who = plan.random.choice(_SUBSCRIBERS)
        hour = plan.random.uniform(7.5, 20)
        # Stripe has a 0 as the last digit of an amount with three decimals
        amount = 10 * plan.random.randint(50, 2000)
        plan.charge(day, hour, amount, who)
        session = {"id": f"cs_live_{day}_{turn}", "amount_total": amount}
        plan.event(day, hour + 0.001, "checkout.session.completed", session | who)


def _money_incidents(plan: _Plan) -> None:
    blocked = {"reason": "highest_risk_level", "type": "blocked"}
    expired = {"reason": "expired_card", "type": "issuer_declined"}
    plan.event(3, 11, "charge.failed", {"id": "ch_failed_1"})
    plan.event(9, 11, "charge.failed", {"id": "ch_failed_2"})
    fields: Fields = {"id": "ch_failed_3", "amount": 12_900, "outcome": blocked}
    plan.event(9, 15, "charge.failed", fields)
    fields = {"id": "ch_failed_4", "amount": 14_350, "failure_code": "expired_card"}
    plan.event(21, 12, "charge.failed", {**fields, "outcome": expired, **_KWD})
    plan.event(9, 11.01, "invoice.payment_failed")

    # in two parts, as a whole, in a currency with three decimals
    refund, none = {"type": "charge.refunded"}, {"amount_refunded": 0}
    plan.event(6, 15, "charge.succeeded.usd", {"id": "ch_returned"})
    fields = {"id": "ch_returned", "amount_refunded": 3900}
    plan.event(8, 15, "charge.refunded", fields, before=none)
    fields = {"id": "ch_returned", "amount_refunded": 12_900, "refunded": True}
    plan.event(11, 15, "charge.refunded", fields, before={"amount_refunded": 3900})
    plan.event(7, 15, "charge.succeeded.jpy", {"id": "ch_returned_jpy"})
    fields = {"id": "ch_returned_jpy", "amount_refunded": 5400, "refunded": True}
    plan.event(13, 15, "charge.succeeded.jpy", fields, envelope=refund, before=none)
    plan.charge(16, 15, 12_340, {"id": "ch_returned_kwd", **_KWD})
    fields = {"id": "ch_returned_kwd", "amount_refunded": 2340, **_KWD}
    plan.charge(18, 15, 12_340, fields, refund, none)

    # only authorised: one is captured in part, one let go
    held = {"captured": False, "amount_captured": 0}
    plan.charge(10, 10, 25_000, {"id": "ch_held", **held})
    fields = {"id": "ch_held", "amount_captured": 20_000}
    plan.charge(12, 10, 25_000, fields, {"type": "charge.captured"})
    plan.charge(15, 10, 6000, {"id": "ch_let_go", **held})
    plan.charge(17, 16, 6000, {"id": "ch_let_go", **held, "amount_refunded": 6000}, refund, none)

    plan.charge(13, 13, 8800, {"id": "ch_disputed"})
    plan.event(19, 13, "charge.dispute.created", {"charge": "ch_disputed"})
    fields, closed = {"charge": "ch_disputed", "status": "lost"}, {"type": "charge.dispute.closed"}
    plan.event(28, 13, "charge.dispute.created", fields, envelope=closed)
    for day in (1, 8, 15, 22, 29):
        plan.event(day, 6, "payout.paid", {"id": f"po_{day}"})
        plan.event(day, 6.1, "balance.available")


def _other_incidents(plan: _Plan) -> None:
    plan.event(0, 8, "customer.created", {"id": "cus_Mia0005"})
    plan.event(1, 8, "customer.created", {"id": "cus_Noor0006"})
    for day, name in ((0, "Mia0005"), (1, "Noor0006"), (5, "Zoe0001"), (5, "Ada0002")):
        fields = {"id": f"sub_{name}", "customer": f"cus_{name}"}
        plan.event(day, 12.5, "customer.subscription.created", fields)
    plan.event(12, 16, "customer.subscription.deleted")
    plan.event(20, 16, "customer.subscription.deleted", {"id": "sub_2", "customer": "cus_Ada0002"})

    test, customer = {"livemode": False}, {"customer": "cus_Test0009"}
    for day, amount in ((1, 1000), (7, 2000), (23, 1000)):
        plan.charge(day, 14, amount, customer, test)
    plan.event(16, 14, "customer.subscription.created", {"id": "sub_3", **customer}, envelope=test)

    for day, account in ((4, "acct_1SDemoShop1"), (18, "acct_1SDemoShop2")):
        fields = {"id": account}
        plan.event(day, 12, "account.updated.connect", fields, envelope={"account": account})
    for day, amount in ((18, 7500), (25, 9900)):
        plan.charge(day, 13, amount, {"customer": "cus_Theirs01"}, {"account": "acct_1SDemoShop2"})

    intent = "payment_intent.succeeded"
    plan.event(2, 10.5, intent, again=[0.4])
    plan.event(8, 10.5, intent, again=[24])
    plan.event(22, 10.5, intent, again=[0.4, 3, 26], envelope={"id": "evt_MonthAgain"})
    for day, late in ((4, 0.12), (11, 2), (26, 9)):
        plan.event(day, 11.5, intent, late=late)

    line = {"object": "line_item", "amount": 1, "currency": "eur", "description": "One minute"}
    lines = {"object": "list", "data": [{"id": f"il_{n:05d}", **line} for n in range(6500)]}
    plan.event(26, 18, "invoice.paid", {"id": "in_large", "total": 6500, "lines": lines})

    evening = datetime(2026, 11, 18, 17, 0, 1, 500_000, tzinfo=UTC)
    plan.deliveries.append(Delivery(evening, b'["not", "an", "event"]'))
    thin = (_EVENTS / "v1.billing.meter.error_report_triggered.thin.json").read_bytes()
    plan.deliveries.append(Delivery(datetime(2026, 11, 23, 8, 15, 2, 250_000, tzinfo=UTC), thin))


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Archive the sample month to FOLDER."""
    if (folder / "webhooks").exists():
        raise click.ClickException(f"{folder} has an archive, which would get it twice")
    planned = deliveries()
    label = f"Delivering {len(planned)} events"
    with click.progressbar(planned, label=label, show_eta=False) as progress:
        archive(folder, progress)
    click.echo(
        f"The archive is in {folder}. Its events are signed with {_SECRET}:\n\n"
        f"    STRIPE_WEBHOOK_SECRET={_SECRET} .venv/bin/flask archive verify --archive {folder}"
    )


if __name__ == "__main__":
    main()

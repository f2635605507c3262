"""A year of a small shop that sells subscriptions, archived by the service itself.

`python -m examples.year FOLDER` makes the archive: the deliveries from the shop's first day,
2025-11-03, to 2026-11-23, and a snapshot of its balance transactions. All in it but the names of
the files is the same each time. tests/models/test_year.py works its figures out by hand.
"""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from archive_tools.storage import folder_of
from examples import month
from examples.billing import Customer, Json, Stripe, Subscription, seconds, version_of

#: The last day of the year, and what `current_date` is for its queries.
TODAY = date(2026, 11, 23)

_OPENED = datetime(2025, 11, 3, 6, tzinfo=UTC)
_END = datetime(2026, 11, 23, 20, tzinfo=UTC)

#: In the currency's smallest unit, by the month. A year costs ten months. `team` is by the seat.
AMOUNTS = {
    "starter": {"eur": 1900, "usd": 2100, "jpy": 2800},
    "studio": {"eur": 4900, "usd": 5500, "jpy": 7800},
    "team": {"eur": 2900, "usd": 3200, "jpy": 4500},
}

_COUPONS: tuple[Json, ...] = (
    {"id": "FRIENDS20", "duration": "forever", "percent_off": 20.0},
    {"id": "CHARITY5", "duration": "forever", "amount_off": 500, "currency": "eur"},
    {"id": "LAUNCH50", "duration": "repeating", "duration_in_months": 3, "percent_off": 50.0},
)

#: Customers to whom nothing else happens: name, country, currency, price, quantity, first day, and
#: the day on which they cancel to the end of the period.
_QUIET = (
    ("Anna", "DE", "eur", "studio_month", 1, "2025-11-04", None),
    ("Ava", "US", "usd", "studio_month", 1, "2025-11-05", None),
    ("Bruno", "AT", "eur", "starter_month", 1, "2025-11-06", "2026-03-20"),
    ("David", "DE", "eur", "studio_year", 1, "2025-11-18", None),
    ("Aiko", "JP", "jpy", "studio_month", 1, "2025-12-16", None),
    ("Greta", "DE", "eur", "starter_month", 1, "2026-01-05", None),
    ("Hugo", "FR", "eur", "studio_month", 1, "2026-01-08", "2026-08-03"),
    ("Ines", "PT", "eur", "team_month", 2, "2026-01-13", None),
    ("Klara", "DE", "eur", "studio_year", 1, "2026-01-27", None),
    ("Finn", "IE", "usd", "studio_year", 1, "2026-02-10", None),
    ("Gus", "US", "usd", "starter_month", 1, "2026-03-03", None),
    ("Paula", "ES", "eur", "studio_month", 1, "2026-03-12", None),
    ("Hana", "US", "usd", "studio_month", 1, "2026-03-18", None),
    ("Quirin", "DE", "eur", "starter_year", 1, "2026-03-24", None),
    ("Udo", "DE", "eur", "starter_month", 1, "2026-07-14", "2026-10-02"),
    ("Yui", "JP", "jpy", "team_month", 2, "2026-08-12", None),
    ("Nick", "GB", "usd", "starter_month", 1, "2026-09-08", None),
    ("Wanda", "PL", "eur", "team_month", 6, "2026-09-22", None),
    ("Xaver", "DE", "eur", "studio_month", 1, "2026-10-06", None),
    ("Yara", "NL", "eur", "starter_month", 1, "2026-10-27", None),
    ("Zoe", "DE", "eur", "studio_month", 1, "2026-11-10", None),
)


class _Shop:
    """The shop at Stripe, and its subscriptions."""

    def __init__(self) -> None:
        self.stripe = Stripe({}, {coupon["id"]: coupon for coupon in _coupons()})
        self.subscriptions: list[Subscription] = []
        for product in AMOUNTS:
            self._offer(product)
        for coupon in self.stripe.coupons.values():
            self.stripe.send(_OPENED, "coupon.created", coupon)

    def _offer(self, product: str) -> None:
        """Tell of a product and its prices."""
        base = {"active": True, "created": seconds(_OPENED), "livemode": True, "metadata": {}}
        made = {"id": f"prod_{product}", "object": "product", "name": product.title(), **base}
        self.stripe.send(_OPENED, "product.created", made | {"updated": seconds(_OPENED)})
        prices: dict[str, Json] = dict(self.stripe.prices)
        for currency, amount in AMOUNTS[product].items():
            for interval, months in (("month", 1), ("year", 10)):
                name = f"{product}_{interval}_{currency}"
                prices[name] = {
                    "id": f"price_{name}",
                    "object": "price",
                    "billing_scheme": "per_unit",
                    "currency": currency,
                    "lookup_key": name,
                    "nickname": f"{product.title()}, by the {interval}",
                    "product": made["id"],
                    "recurring": {
                        "interval": interval,
                        "interval_count": 1,
                        "usage_type": "licensed",
                    },
                    "type": "recurring",
                    "unit_amount": amount * months,
                    "unit_amount_decimal": str(amount * months),
                    **base,
                }
                self.stripe.send(_OPENED, "price.created", prices[name])
        self.stripe.prices = prices

    def at(self, day: str) -> datetime:
        """Return a time of a day at which somebody is awake."""
        noon = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(hours=12)
        return noon + timedelta(seconds=self.stripe.random.randint(-4 * 3600, 6 * 3600))

    def customer(self, name: str, country: str, currency: str, day: str) -> Customer:
        """Return a new customer, who comes on a day."""
        return Customer(self.stripe, name, currency, country, self.at(day))

    def subscribed(
        self, customer: Customer, price: str, quantity: int = 1, **how: Any
    ) -> Subscription:
        """Let a customer subscribe five minutes after coming, a third of them in Checkout."""
        moment = customer.since + timedelta(minutes=5)
        return self.resubscribed(customer, moment, price, quantity, **how)

    def resubscribed(
        self, customer: Customer, moment: datetime, price: str, quantity: int = 1, **how: Any
    ) -> Subscription:
        """Let a customer subscribe at a time."""
        price = f"{price}_{customer.currency}"
        how["in_checkout"] = len(self.subscriptions) % 3 == 0
        self.subscriptions.append(customer.subscribes(moment, price, quantity, **how))
        return self.subscriptions[-1]


def _coupons() -> Iterator[Json]:
    for coupon in _COUPONS:
        yield {
            "object": "coupon",
            "amount_off": None,
            "created": seconds(_OPENED),
            "currency": None,
            "duration_in_months": None,
            "livemode": True,
            "metadata": {},
            "name": coupon["id"].title(),
            "percent_off": None,
            "times_redeemed": 0,
            "valid": True,
        } | coupon


def _quiet(shop: _Shop) -> None:
    for name, country, currency, price, quantity, first, cancels in _QUIET:
        customer = shop.customer(name, country, currency, first)
        subscription = shop.subscribed(customer, price, quantity)
        if cancels:
            subscription.cancel(shop.at(cancels))


def _changes(shop: _Shop) -> None:
    """Upgrades, downgrades, quantities, coupons, a reactivation, a second subscription."""
    clara = shop.subscribed(shop.customer("Clara", "DE", "eur", "2025-11-11"), "team_month", 3)
    clara.change(shop.at("2026-03-16"), quantity=5)
    clara.change(shop.at("2026-08-19"), quantity=4)
    elif_ = shop.subscribed(shop.customer("Elif", "TR", "eur", "2025-12-02"), "starter_month")
    elif_.change(shop.at("2026-03-09"), "studio_month_eur")
    cora = shop.subscribed(shop.customer("Cora", "US", "usd", "2025-12-04"), "team_month", 2)
    cora.change(shop.at("2026-05-11"), quantity=4)
    dan = shop.subscribed(shop.customer("Dan", "CA", "usd", "2026-01-06"), "starter_month")
    dan.change(shop.at("2026-06-15"), "studio_month_usd")
    tilda = shop.subscribed(shop.customer("Tilda", "SE", "eur", "2026-06-09"), "studio_month")
    tilda.change(shop.at("2026-08-25"), "starter_month_eur")

    franz = shop.customer("Franz", "AT", "eur", "2025-12-09")
    shop.subscribed(franz, "studio_month", coupon="FRIENDS20")
    marco = shop.customer("Marco", "IT", "eur", "2026-02-17")
    shop.subscribed(marco, "studio_month", coupon="CHARITY5")
    omar = shop.customer("Omar", "US", "usd", "2026-07-21")
    shop.subscribed(omar, "studio_month", coupon="LAUNCH50")

    lena = shop.customer("Lena", "DE", "eur", "2026-02-03")
    shop.subscribed(lena, "starter_month").cancel(shop.at("2026-04-10"), "too_expensive")
    shop.resubscribed(lena, shop.at("2026-09-14"), "studio_month")
    rosa = shop.customer("Rosa", "IT", "eur", "2026-04-07")
    shop.subscribed(rosa, "team_month", 4)
    shop.resubscribed(rosa, shop.at("2026-10-13"), "starter_month")


def _trials(shop: _Shop) -> None:
    shop.subscribed(shop.customer("Nina", "DE", "eur", "2026-03-02"), "studio_month", trial_days=14)
    otto = shop.subscribed(
        shop.customer("Otto", "DE", "eur", "2026-03-05"), "starter_month", trial_days=14
    )
    otto.cancel(shop.at("2026-03-11"), "missing_features")
    shop.subscribed(shop.customer("Lou", "US", "usd", "2026-07-06"), "starter_month", trial_days=7)
    # paid at the second attempt, three days after the first
    vera = shop.customer("Vera", "DE", "eur", "2026-09-01")
    vera.declines.append((shop.at("2026-09-14"), shop.at("2026-09-17")))
    shop.subscribed(vera, "studio_month", trial_days=14)
    # never paid
    mona = shop.customer("Mona", "US", "usd", "2026-10-01")
    mona.declines.append((mona.since, _END))
    shop.subscribed(mona, "studio_month", trial_days=14)


def _payments(shop: _Shop) -> None:
    """Declined cards, refunds, disputes, and purchases without an invoice."""
    kurt = shop.customer("Kurt", "US", "usd", "2026-06-02")
    kurt.declines.append((shop.at("2026-08-01"), shop.at("2026-08-04")))
    shop.subscribed(kurt, "studio_month")
    jonas = shop.customer("Jonas", "DE", "eur", "2026-01-20")
    jonas.declines.append((shop.at("2026-07-19"), _END))
    shop.subscribed(jonas, "starter_month")
    pia = shop.customer("Pia", "US", "usd", "2026-02-24")
    pia.declines.append((pia.since, _END))
    shop.subscribed(pia, "studio_month")

    ben = shop.subscribed(shop.customer("Ben", "US", "usd", "2025-11-13"), "starter_month")
    ben.advance(shop.at("2026-02-16"))
    _refund(ben, shop.at("2026-02-16"), 2100)
    ken = shop.subscribed(shop.customer("Ken", "JP", "jpy", "2026-05-20"), "starter_month")
    ken.advance(shop.at("2026-07-22"))
    _refund(ken, shop.at("2026-07-22"), 1000)
    jill = shop.subscribed(shop.customer("Jill", "US", "usd", "2026-05-19"), "team_month", 3)
    jill.cancel(shop.at("2026-08-04"), "switched_service")
    _refund(jill, shop.at("2026-08-05"), 4000)

    for name, country, currency, first, disputes, outcome in (
        ("Eve", "US", "usd", "2026-01-14", "2026-04-20", "won"),
        ("Stefan", "DE", "eur", "2026-05-12", "2026-06-24", "lost"),
        ("Ivan", "BG", "usd", "2026-04-14", "2026-07-22", "warning_closed"),
    ):
        price = "studio_month" if name == "Eve" else "starter_month"
        subscription = shop.subscribed(shop.customer(name, country, currency, first), price)
        moment = shop.at(disputes)
        subscription.advance(moment)
        _, charge = subscription.last_paid()
        subscription.customer.dispute(moment, charge, outcome)

    walter = shop.customer("Walter", "DE", "eur", "2026-02-19")
    walter.buys(walter.since, 15_000, "Workshop")
    wim = shop.customer("Wim", "NL", "eur", "2026-06-22")
    wim.declines.append((wim.since, wim.since + timedelta(minutes=5)))
    wim.buys(wim.since, 15_000, "Workshop")
    yoko = shop.customer("Yoko", "JP", "jpy", "2026-10-20")
    yoko.buys(yoko.since, 20_000, "Workshop")


def _refund(subscription: Subscription, moment: datetime, amount: int) -> None:
    invoice, charge = subscription.last_paid()
    subscription.customer.refund(moment, charge, amount, invoice)


def shop() -> Stripe:
    """Return what Stripe has of the shop at the end of the year."""
    made = _Shop()
    _quiet(made)
    _changes(made)
    _trials(made)
    _payments(made)
    for subscription in made.subscriptions:
        subscription.advance(_END)
    made.stripe.balance = [one for one in made.stripe.balance if one["created"] < seconds(_END)]
    made.stripe.pay_out(_OPENED + timedelta(days=7), _END)
    return made.stripe


def deliveries(stripe: Stripe) -> list[month.Delivery]:
    """Return the deliveries of the year in the order of their arrival.

    One in a hundred comes again, and another one an hour late; one night the service was down.
    """
    random = stripe.random
    down = datetime(2026, 5, 12, 1, tzinfo=UTC), datetime(2026, 5, 12, 9, tzinfo=UTC)
    planned = []
    for moment, body in stripe.bodies(_END):
        arrives = moment + timedelta(seconds=random.uniform(0.4, 3.5))
        luck = random.random()
        if luck < 0.01:
            arrives += timedelta(hours=1)
        if down[0] <= arrives < down[1]:
            arrives = down[1] + timedelta(minutes=random.uniform(1, 50))
        planned.append(month.Delivery(arrives, body))
        if luck > 0.99:
            planned.append(month.Delivery(arrives + timedelta(minutes=7), body))
    return sorted(planned, key=lambda delivery: delivery.arrives)


def write_snapshot(folder: Path, stripe: Stripe) -> None:
    """Write the balance transactions as `flask archive snapshot` does."""
    at = datetime(2026, 11, 23, 19, tzinfo=UTC)
    rows = (
        {
            "snapshot_at": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "object": one["object"],
            "id": one["id"],
            "livemode": True,
            "account": None,
            "api_version": version_of(at),
            "payload": json.dumps(one),
        }
        for one in stripe.balance
        if one["created"] < seconds(at)
    )
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    path = folder / folder_of(at.date()).replace("webhooks/", "snapshots/") / "year.json.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(lines.encode(), mtime=0))


def archive(folder: Path) -> None:
    """Let the service archive the year to a folder, and write its snapshot."""
    stripe = shop()
    planned = deliveries(stripe)
    label = f"Delivering {len(planned)} events"
    with click.progressbar(planned, label=label, show_eta=False) as progress:
        month.archive(folder, progress)
    write_snapshot(folder, stripe)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Archive the sample year to FOLDER."""
    if (folder / "webhooks").exists():
        raise click.ClickException(f"{folder} has an archive, which would get it twice")
    archive(folder)
    click.echo(f"The archive is in {folder}.")


if __name__ == "__main__":
    main()

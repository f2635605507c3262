"""Recurring revenue by the rules of docs, worked out by walking over a history, without any SQL.

Fractions all the way; rounded once, half up to 6 decimals.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

MINOR_UNITS = {
    "usd": Fraction(1, 100), "eur": Fraction(1, 100), "jpy": Fraction(1), "kwd": Fraction(1, 1000)
}  # fmt: skip
MILLIONTH = Fraction(1, 1_000_000)


@dataclass(frozen=True)
class Price:
    id: str
    product: str
    currency: str
    unit_amount: str | None
    """In the smallest unit; none where it is in tiers."""
    interval: str
    interval_count: int = 1
    is_metered: bool = False
    divide_by: int | None = None
    rounding: str = "up"

    @property
    def months(self) -> Fraction:
        """How many of its invoices there are in a month."""
        a_year = {"day": 365, "week": 52, "month": 12, "year": 1}[self.interval]
        return Fraction(a_year, 12 * self.interval_count)


@dataclass(frozen=True)
class Coupon:
    id: str
    duration: str = "forever"
    percent_off: str | None = None
    amount_off: int | None = None
    currency: str | None = None


@dataclass(frozen=True)
class Discount:
    id: str
    coupon: Coupon
    seen: str
    """Where the archive can learn its terms from; `nowhere` for one that stays unknown."""


@dataclass(frozen=True)
class Item:
    id: str
    price: Price
    quantity: int | None = 1
    discounts: tuple[Discount, ...] = ()


@dataclass(frozen=True)
class State:
    """A subscription from a moment on."""

    at: int
    """Unix seconds."""
    subscription: str
    customer: str
    status: str
    items: tuple[Item, ...]
    discounts: tuple[Discount, ...] = ()

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class Worth:
    """What an item comes to."""

    mrr: Decimal = Decimal(0)
    unpriced: int = 0
    unknown: int = 0
    item: Item | None = None


def rounded(value: Fraction, unit: Fraction = MILLIONTH) -> Fraction:
    """Return a value that is not negative, rounded half up."""
    return int(value / unit + Fraction(1, 2)) * unit


def as_decimal(value: Fraction) -> Decimal:
    return Decimal(int(value / MILLIONTH)).scaleb(-6)


def is_known(discount: Discount, currency: str) -> bool:
    if discount.seen == "nowhere":
        return False
    coupon = discount.coupon
    other = coupon.amount_off is not None and coupon.currency != currency
    return coupon.duration != "forever" or not other


def after(amount: Fraction, discounts: Iterable[Discount], currency: str) -> Fraction:
    """Return an amount after those discounts that never end, one after the other."""
    for discount in discounts:
        coupon = discount.coupon
        if coupon.duration != "forever" or not is_known(discount, currency):
            continue
        if coupon.percent_off is not None:
            amount *= 1 - Fraction(coupon.percent_off) / 100
        else:
            amount = max(Fraction(0), amount - Fraction(coupon.amount_off or 0))
    return amount


def invoice_amount(item: Item) -> Fraction | None:
    """Return what an invoice has for an item, in the smallest unit; none where no one can tell."""
    if item.price.is_metered or item.price.unit_amount is None:
        return None
    quantity = 1 if item.quantity is None else item.quantity
    if by := item.price.divide_by:
        quantity = -(-quantity // by) if item.price.rounding == "up" else quantity // by
    return after(Fraction(item.price.unit_amount) * quantity, item.discounts, item.price.currency)


def worth(state: State) -> dict[str, Worth]:
    """Return what each item of a subscription comes to."""
    if state.status not in ("active", "past_due"):
        return {item.id: Worth(item=item) for item in state.items}
    amounts = {item.id: invoice_amount(item) for item in state.items}
    total = sum((amount for amount in amounts.values() if amount), Fraction(0))
    found = {}
    for nth, item in enumerate(state.items):
        price, amount = item.price, amounts[item.id]
        off = [*item.discounts, *(state.discounts if nth == 0 else ())]
        unknown = sum(not is_known(discount, price.currency) for discount in off)
        if amount is None:
            found[item.id] = Worth(unpriced=int(not price.is_metered), unknown=unknown, item=item)
            continue
        if any(
            discount.coupon.amount_off and discount.coupon.duration == "forever"
            and is_known(discount, price.currency)
            for discount in state.discounts
        ):  # fmt: skip
            # what is spread is spread by amounts with 6 decimals
            left = rounded(after(total, state.discounts, price.currency))
            amount = rounded(amount) * left / rounded(total) if total else amount
        else:
            amount = after(amount, state.discounts, price.currency)
        mrr = as_decimal(rounded(amount * price.months * MINOR_UNITS[price.currency]))
        found[item.id] = Worth(mrr, 0, unknown, item)
    return found


def timelines(states: Iterable[State]) -> Iterator[list[tuple[State, dict[str, Worth]]]]:
    """Yield the states of each subscription in order, of a second the last, with their worth."""
    by_subscription: dict[str, dict[int, State]] = {}
    for state in states:
        by_subscription.setdefault(state.subscription, {})[state.at] = state
    for timeline in by_subscription.values():
        yield [(timeline[at], worth(timeline[at])) for at in sorted(timeline)]


def changes(states: Iterable[State]) -> list[dict[str, object]]:
    """Return the rows of subscription_item_changes, without account, livemode and event."""
    rows: list[dict[str, object]] = []
    for timeline in timelines(states):
        last: dict[str, Worth] = {}
        began: set[str] = set()
        for state, now in timeline:
            for id_ in {**last, **now}:
                old, new = last.get(id_, Worth()), now.get(id_, Worth(item=None))
                if old.mrr == new.mrr:
                    continue
                if old.mrr and new.mrr:
                    kind = "increase" if new.mrr > old.mrr else "decrease"
                elif new.mrr:
                    kind = "resume" if id_ in began else "start"
                else:
                    kind = "end"
                began.add(id_)
                item = new.item or old.item
                assert item
                rows.append({
                    "changed_at": state.moment, "customer": state.customer,
                    "subscription": state.subscription, "subscription_item": id_,
                    "product": item.price.product, "price": item.price.id,
                    "currency": item.price.currency, "quantity": item.quantity,
                    "mrr_before": old.mrr, "mrr_after": new.mrr,
                    "mrr_change": new.mrr - old.mrr, "kind": kind,
                })  # fmt: skip
            last = now
    return rows


def months(states: Iterable[State], today: date) -> list[dict[str, object]]:
    """Return the rows of mrr_by_month, without account and livemode."""
    all_timelines = list(timelines(states))
    currencies = {
        item.price.currency for timeline in all_timelines for s, _ in timeline for item in s.items
    }
    rows: list[dict[str, object]] = []
    for currency in sorted(currencies):
        rows += _months_of(all_timelines, currency, today)
    return rows


def _months_of(
    all_timelines: list[list[tuple[State, dict[str, Worth]]]], currency: str, today: date
) -> Iterator[dict[str, object]]:
    midnight = datetime.combine(today + timedelta(days=1), datetime.min.time())
    # each moment, customer, subscription and what it comes to in this currency
    known = [
        (state.moment, state.customer, state.subscription, [
            one for one in now.values() if one.item and one.item.price.currency == currency
        ])
        for timeline in all_timelines
        for state, now in timeline
        if state.moment < midnight
    ]  # fmt: skip
    telling = [m for m, _, _, of in known if any(w.mrr or w.unpriced or w.unknown for w in of)]
    if not telling:
        return
    month = min(telling).date().replace(day=1)
    while month <= today:
        following = (month + timedelta(days=32)).replace(day=1)
        start = datetime.combine(month, datetime.min.time())
        end = min(datetime.combine(following, datetime.min.time()), midnight)
        yield _month(known, currency, month, start, end, following <= today)
        month = following


def _month(
    known: list[tuple[datetime, str, str, list[Worth]]],
    currency: str,
    month: date,
    start: datetime,
    end: datetime,
    is_complete: bool,
) -> dict[str, object]:
    opening, closing = _by_customer(known, start), _by_customer(known, end)
    had_mrr = {c for at, c, _, of in known if at < start and any(one.mrr for one in of)}
    moved = {name: Decimal(0) for name in ("new", "reactivation", "expansion", "contraction",
                                           "churned")}  # fmt: skip
    count = dict.fromkeys(moved, 0)
    for customer in {**opening, **closing}:
        before, now = opening.get(customer, Decimal(0)), closing.get(customer, Decimal(0))
        if before == now:
            continue
        if not before:
            name = "reactivation" if customer in had_mrr else "new"
        elif not now:
            name = "churned"
        else:
            name = "expansion" if now > before else "contraction"
        moved[name] += now - before
        count[name] += 1
    opened, closed = sum(opening.values(), Decimal(0)), sum(closing.values(), Decimal(0))
    customers = sum(1 for mrr in opening.values() if mrr), sum(1 for m in closing.values() if m)
    kept = opened + moved["contraction"] + moved["churned"]
    latest = {sub: of for at, _, sub, of in sorted(known, key=lambda k: k[0]) if at < end}
    return {
        "month": month, "currency": currency, "opening_mrr": opened,
        **{f"{name}_mrr": value for name, value in moved.items()},
        "closing_mrr": closed, "opening_customers": customers[0],
        "new_customers": count["new"], "reactivated_customers": count["reactivation"],
        "churned_customers": count["churned"], "closing_customers": customers[1],
        "customer_churn_rate": ratio(Decimal(count["churned"]), customers[0]),
        "gross_revenue_retention": ratio(kept, opened),
        "net_revenue_retention": ratio(kept + moved["expansion"] + moved["reactivation"], opened),
        "arpa": ratio(closed, customers[1]), "arr": closed * 12,
        "unpriced_items": sum(one.unpriced for of in latest.values() for one in of),
        "unknown_discounts": sum(one.unknown for of in latest.values() for one in of),
        "is_complete": is_complete,
    }  # fmt: skip


def _by_customer(
    known: list[tuple[datetime, str, str, list[Worth]]], moment: datetime
) -> dict[str, Decimal]:
    latest = {
        (customer, subscription): sum((one.mrr for one in of), Decimal(0))
        for at, customer, subscription, of in sorted(known, key=lambda k: k[0])
        if at < moment
    }
    found: dict[str, Decimal] = {}
    for (customer, _), mrr in latest.items():
        found[customer] = found.get(customer, Decimal(0)) + mrr
    return found


def ratio(part: Decimal, whole: Decimal | int) -> Decimal | None:
    return as_decimal(rounded(Fraction(part) / Fraction(whole))) if whole else None

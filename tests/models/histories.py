"""Histories of subscriptions, drawn by hypothesis, and the events and snapshots that tell them."""

import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.models.oracle import Coupon, Discount, Item, Price, State
from webhook_app.events.record import webhook_record

#: The API versions whose shapes differ in what MRR is made of.
OLD, MIDDLE, BASIL, CLOVER = "2020-08-27", "2023-10-16", "2025-03-31.basil", "2025-09-30.clover"

START = int(datetime(2025, 10, 3, 9, tzinfo=UTC).timestamp())
DAY = 86_400

Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass(frozen=True)
class Event:
    """What Stripe tells of an object at a moment: by an event, or in a snapshot."""

    created: int
    type: str
    object: dict[str, Any]
    previous: dict[str, Any] | None = None


@dataclass(frozen=True)
class History:
    """States in the order in which they came about, of one account."""

    states: list[State]
    version: str
    prices: str
    """What an item carries: `objects`, `plans` alone, or `ids` of prices."""
    began: int | None = None
    """How many of the states are from before the archive, which has a snapshot after them."""

    @property
    def known(self) -> list[State]:
        """The states that the archive can tell of."""
        if self.began is None:
            return self.states
        now = {state.subscription: state for state in self.states[: self.began]}
        snapshots = [replace(state, at=self.snapshot_at) for state in now.values()]
        return snapshots + self.states[self.began :]

    @property
    def snapshot_at(self) -> int:
        assert self.began
        return self.states[self.began - 1].at + 60


@st.composite
def prices(draw: Draw, name: str, number: int, currency: str) -> Price:
    is_tiered = draw(st.booleans()) and draw(st.booleans())
    amounts = ["999", "4900", "0", "1", "12.5", "12.3456", "33.333333333333", "9999999"]
    by = draw(st.sampled_from([None, None, None, 10]))
    return Price(
        f"price_{name}_{number}",
        f"prod_{number % 2}",
        currency,
        None if is_tiered else draw(st.sampled_from(amounts)),
        draw(st.sampled_from(["month", "year", "week", "day"])),
        draw(st.sampled_from([1, 1, 3, 7])),
        is_metered=draw(st.sampled_from([False, False, False, True])),
        divide_by=by,
        rounding=draw(st.sampled_from(["up", "down"])) if by else "up",
    )


@st.composite
def discounts(draw: Draw, number: str, currency: str, version: str) -> Discount:
    duration = draw(st.sampled_from(["forever", "forever", "once", "repeating"]))
    if draw(st.booleans()):
        percent = draw(st.sampled_from(["10", "25", "33.33", "12.5", "100"]))
        coupon = Coupon(f"coupon-{number}", duration, percent_off=percent)
    else:
        amount, of = draw(st.sampled_from([1, 500, 7777, 2_000_000])), currency
        if draw(st.sampled_from([False, False, True])):
            of = "gbp"
        coupon = Coupon(f"coupon-{number}", duration, amount_off=amount, currency=of)
    places = ["event", "customer", "invoice", "nowhere"]
    seen = "embedded" if version in (OLD, MIDDLE) else draw(st.sampled_from(places))
    return Discount(f"di_{number}", coupon, seen)


@st.composite
def histories(draw: Draw) -> History:
    version = draw(st.sampled_from([OLD, MIDDLE, BASIL, CLOVER]))
    states: list[State] = []
    for number in range(draw(st.integers(1, 3))):
        customer = f"cus_{number and draw(st.integers(0, number))}"
        currency = draw(st.sampled_from(["usd", "usd", "eur", "jpy", "kwd"]))
        states += draw(_subscriptions(f"sub_{number}", customer, currency, version))
    states.sort(key=lambda state: state.at)
    began = draw(st.one_of(st.none(), st.integers(1, len(states))))
    if began and (began < len(states) and states[began].at - states[began - 1].at < DAY):
        began = None
    carried = "objects" if version == OLD else "ids"
    return History(states, version, draw(st.sampled_from(["objects", "plans", carried])), began)


@st.composite
def _subscriptions(
    draw: Draw, name: str, customer: str, currency: str, version: str
) -> list[State]:
    of_items = version not in (OLD, MIDDLE)
    pool = [draw(prices(name, n, currency)) for n in range(draw(st.integers(1, 3)))]
    quantities = st.sampled_from([1, 1, 3, 250, 0, None])

    def item(number: int) -> Item:
        off: tuple[Discount, ...] = ()
        if of_items and draw(st.sampled_from([False, False, True])):
            off = (draw(discounts(f"{name}_{number}", currency, version)),)
        return Item(f"si_{name}_{number}", draw(st.sampled_from(pool)), draw(quantities), off)

    items = tuple(item(n) for n in range(draw(st.integers(1, 2))))
    at = START + draw(st.integers(0, 90)) * DAY
    status = draw(st.sampled_from(["active", "trialing", "incomplete"]))
    states = [State(at, name, customer, status, items)]
    for step in range(draw(st.integers(0, 6))):
        last = states[-1]
        gaps = [0, 1, DAY, 9 * DAY, 31 * DAY, 75 * DAY]
        at = last.at + draw(st.sampled_from(gaps))
        action = draw(st.sampled_from(["status", "status", "change", "add", "remove", "discount"]))
        items, off = last.items, last.discounts
        status = last.status
        if action == "status":
            status = draw(st.sampled_from(
                ["active", "active", "past_due", "unpaid", "paused", "canceled"]
            ))  # fmt: skip
        elif action == "change" and items:
            changed = replace(items[0], price=draw(st.sampled_from(pool)),
                quantity=draw(quantities))  # fmt: skip
            items = (changed, *items[1:])
        elif action == "add":
            items = (*items, item(10 + step))
        elif action == "remove" and len(items) > 1:
            items = items[1:]
        elif action == "discount":
            count = draw(st.integers(0, 2 if of_items else 1))
            off = tuple(
                draw(discounts(f"{name}_{step}_{n}", currency, version)) for n in range(count)
            )
        state = State(at, name, customer, status, items, off)
        if _is_told_apart(states, state):
            states.append(state)
        if status == "canceled":
            break
    return states


def _is_told_apart(states: list[State], state: State) -> bool:
    """Whether a state is another one, and its place within its second can be told.

    What goes back to what it was before the second could be the first or the last change of it.
    """
    recent = [s for s in states if s.at == state.at]
    recent += [s for s in states if s.at < state.at][-1:]
    parts = [_parts(s) for s in recent]
    changed = [n for n, part in enumerate(_parts(state)) if part != _parts(states[-1])[n]]
    return bool(changed) and all(part[n] != _parts(state)[n] for part in parts for n in changed)


def _parts(state: State) -> tuple[object, ...]:
    return state.status, state.items, state.discounts


# what Stripe says of it


def price_object(price: Price) -> dict[str, Any]:
    whole = price.unit_amount if price.unit_amount and "." not in price.unit_amount else None
    by = {"divide_by": price.divide_by, "round": price.rounding} if price.divide_by else None
    return {
        "id": price.id, "object": "price", "product": price.product, "currency": price.currency,
        "type": "recurring", "unit_amount": whole and int(whole),
        "unit_amount_decimal": price.unit_amount,
        "billing_scheme": "per_unit" if price.unit_amount else "tiered",
        "transform_quantity": by,
        "recurring": {
            "interval": price.interval, "interval_count": price.interval_count,
            "usage_type": "metered" if price.is_metered else "licensed",
        },
    }  # fmt: skip


def plan_object(price: Price) -> dict[str, Any]:
    of = price_object(price)
    return {
        "id": price.id, "object": "plan", "product": price.product, "currency": price.currency,
        "amount": of["unit_amount"], "amount_decimal": price.unit_amount,
        "transform_usage": of["transform_quantity"], **of["recurring"],
    }  # fmt: skip


def coupon_object(coupon: Coupon) -> dict[str, Any]:
    percent = coupon.percent_off and json.loads(coupon.percent_off)
    return {
        "id": coupon.id, "object": "coupon", "duration": coupon.duration, "percent_off": percent,
        "amount_off": coupon.amount_off, "currency": coupon.currency,
    }  # fmt: skip


def discount_object(discount: Discount, version: str) -> dict[str, Any]:
    of = (
        {"source": {"coupon": discount.coupon.id, "type": "coupon"}}
        if version == CLOVER
        else {"coupon": coupon_object(discount.coupon)}
    )
    return {"id": discount.id, "object": "discount", **of}


def subscription_object(state: State, version: str, carried: str = "objects") -> dict[str, Any]:
    """Return a subscription as an event of an API version has it."""
    forms: dict[str, Callable[[Price], dict[str, Any]]] = {
        "objects": lambda price: {"price": price_object(price), "plan": plan_object(price)},
        "plans": lambda price: {"plan": plan_object(price)},
        "ids": lambda price: {"price": price.id},
    }
    items = [
        {
            "id": item.id,
            "object": "subscription_item",
            "subscription": state.subscription,
            **({} if item.quantity is None else {"quantity": item.quantity}),
            **forms[carried](item.price),
            **(
                {}
                if version in (OLD, MIDDLE)
                else {"discounts": [discount.id for discount in item.discounts]}
            ),
        }
        for item in state.items
    ]
    found: dict[str, Any] = {
        "id": state.subscription,
        "object": "subscription",
        "customer": state.customer,
        "status": state.status,
        "items": {"object": "list", "data": items, "has_more": False},
    }
    if version != OLD:
        found["currency"] = state.items[0].price.currency
    if version in (OLD, MIDDLE):
        of = [discount_object(discount, version) for discount in state.discounts]
        found["discount"] = of[0] if of else None
    else:
        found["discounts"] = [discount.id for discount in state.discounts]
    return found


def told(history: History) -> tuple[list[Event], list[Event]]:
    """Return a history's events, and the objects of its snapshot."""
    version, carried = history.version, history.prices
    events, listed = [], []
    before: dict[str, dict[str, Any]] = {}
    for number, state in enumerate(history.states):
        now = subscription_object(state, version, carried)
        old = before.get(state.subscription)
        before[state.subscription] = now
        previous = old and {key: old[key] for key in now if now[key] != old[key]}
        kind = "created" if old is None else "deleted" if state.status == "canceled" else "updated"
        if number >= (history.began or 0):
            events.append(Event(state.at, f"customer.subscription.{kind}", now, previous))
        if history.began == number + 1:
            at = history.snapshot_at
            listed = [Event(at, "", of) for of in before.values()]
    for discount in {d.id: d for s in history.states for d in all_discounts(s)}.values():
        of = _telling(discount, version)
        if listed and discount.seen in ("customer", "event"):
            listed += [replace(event, created=listed[0].created) for event in of if event.object[
                "object"] in ("coupon", "customer")]  # fmt: skip
            of = [event for event in of if event.object["object"] == "discount"]
        events += of
    if carried == "ids":
        found = {item.price.id: item.price for state in history.states for item in state.items}
        events += [Event(START - 9, "price.created", price_object(p)) for p in found.values()]
    return events, listed


def all_discounts(state: State) -> list[Discount]:
    return [*state.discounts, *(d for item in state.items for d in item.discounts)]


def _telling(discount: Discount, version: str) -> list[Event]:
    """Return the events that carry a discount and its coupon."""
    of, at = discount_object(discount, version), START - 5
    found = {
        "event": [Event(at, "customer.discount.created", of)],
        "customer": [
            Event(at, "customer.updated",
                {"id": f"cus_of_{discount.id}", "object": "customer", "discount": of})
        ],
        "invoice": [
            Event(at, "invoice.created",
                {"id": f"in_of_{discount.id}", "object": "invoice", "discounts": [of]})
        ],
    }.get(discount.seen, [])  # fmt: skip
    if version == CLOVER and (found or len(discount.id) % 2):
        # of a coupon alone nobody knows which discount is of it
        found = [*found, Event(at, "coupon.created", coupon_object(discount.coupon))]
    return found


# archives


def archive(folder: Path, told_of: dict[str | None, tuple[Sequence[Event], Sequence[Event]]],
    random: Random, copies: float = 0.0, last: datetime | None = None) -> None:  # fmt: skip
    """Write the events and snapshots of some accounts, in a random order and some of them again."""
    lines = []
    latest = last or datetime(2026, 10, 1, tzinfo=UTC)
    for account, (events, _) in told_of.items():
        for number, event in enumerate(events):
            body = _body(event, f"evt_{account}_{number}", account)
            for _ in range(1 + (random.random() < copies) + (random.random() < copies)):
                arrived = latest + timedelta(microseconds=random.randrange(10**12))
                lines.append((arrived, webhook_record(body, "", arrived).line()))
    lines.sort() if not copies else random.shuffle(lines)
    _write(folder / "webhooks/year=2026/month=10/day=01/all.json.gz", [line for _, line in lines])
    _write(
        folder / "snapshots/year=2026/month=10/day=01/all.json.gz",
        [snapshot_line(of, account) for account, (_, many) in told_of.items() for of in many],
    )


def _body(event: Event, id_: str, account: str | None) -> bytes:
    data: dict[str, Any] = {"object": event.object}
    if event.previous:
        data["previous_attributes"] = event.previous
    whole = {
        "id": id_, "object": "event", "type": event.type, "created": event.created,
        "livemode": True, "api_version": "2020-08-27", "data": data,
    }  # fmt: skip
    if account:
        whole["account"] = account
    return json.dumps(whole).encode()


def snapshot_line(of: Event, account: str | None) -> bytes:
    at = datetime.fromtimestamp(of.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    record = {
        "snapshot_at": at, "object": of.object["object"], "id": of.object["id"], "livemode": True,
        "account": account, "api_version": CLOVER, "payload": json.dumps(of.object),
    }  # fmt: skip
    return json.dumps(record).encode() + b"\n"


def _write(path: Path, lines: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"".join(lines), 1))

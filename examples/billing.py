"""Stripe's side of a subscription business: what a shop's customers do becomes events.

An event has the shape of the API version that the webhook endpoint has on its day. Who the
customers are, and what they do, is not known here: examples/year.py tells it.
"""

import calendar
import copy
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

Json = dict[str, Any]

#: Versions of the endpoint, each with the day on which it was upgraded to it.
VERSIONS = (
    (datetime(2026, 11, 2, 9, tzinfo=UTC), "2026-10-28.endive"),
    (datetime(2026, 4, 15, 9, tzinfo=UTC), "2025-09-30.clover"),
    (datetime(2000, 1, 1, tzinfo=UTC), "2024-06-20"),
)
_BASIL, _ENDIVE = "2025-03-31", "2026-10-28"

#: What Stripe keeps of a charge: parts of a thousand, and so much besides in the smallest unit.
FEES = {"eur": (15, 25), "usd": (29, 30), "jpy": (36, 0)}
DISPUTE_FEES = {"eur": 2000, "usd": 1500, "jpy": 1300}

#: Days after an invoice's first attempt at which a payment is tried.
RETRY_DAYS = (0, 3, 8, 15)

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


def version_of(moment: datetime) -> str:
    """Return the endpoint's API version at a time."""
    return next(version for since, version in VERSIONS if moment >= since)


def seconds(moment: datetime) -> int:
    """Return a time as Stripe gives it."""
    return int(moment.timestamp())


def months_after(anchor: datetime, months: int) -> datetime:
    """Return the same day and hour so many months later, or the last day of a shorter month."""
    years, month = divmod(anchor.month - 1 + months, 12)
    last = calendar.monthrange(anchor.year + years, month + 1)[1]
    return anchor.replace(year=anchor.year + years, month=month + 1, day=min(anchor.day, last))


def rendered(thing: Json, version: str) -> Json:
    """Return an object, which is kept in the newest shape, as an API version shows it.

    What only older versions show is kept under names with an underscore.
    """
    shown = copy.deepcopy(thing)
    if version < _BASIL:
        _OLDER.get(thing["object"], lambda _: None)(shown)
    if version < _ENDIVE and "billing_cycle_anchor" in shown:
        shown["billing_cycle_anchor"] = shown["billing_cycle_anchor"]["timestamp"]
    public: Json = _public(shown)
    return public


def _public(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _public(one) for name, one in value.items() if name[0] != "_"}
    return [_public(one) for one in value] if isinstance(value, list) else value


def _older_subscription(shown: Json) -> None:
    (item,) = shown["items"]["data"]
    for name in ("current_period_start", "current_period_end"):
        shown[name] = item.pop(name)
    item["plan"] = shown["plan"] = _plan(item["price"])
    shown["quantity"] = item["quantity"]
    shown["discount"] = shown["_discount"]
    if shown["discount"]:
        _older_discount(shown["discount"])


def _older_invoice(shown: Json) -> None:
    for name in ("charge", "payment_intent", "subscription"):
        shown[name] = shown[f"_{name}"]
    shown |= {"paid": shown["status"] == "paid", "tax": None}
    del shown["parent"], shown["total_taxes"]
    for line in shown["lines"]["data"]:
        details = line.pop("parent")["subscription_item_details"]
        del line["pricing"], line["taxes"]
        line |= {"price": line["_price"], "plan": _plan(line["_price"]), "type": "subscription"}
        line |= {name: details[name] for name in ("subscription", "subscription_item", "proration")}


def _older_payment(shown: Json) -> None:
    shown["invoice"] = shown["_invoice"]


def _older_discount(shown: Json) -> None:
    shown["coupon"] = shown["_coupon"]
    del shown["source"]


_OLDER = {
    "subscription": _older_subscription,
    "invoice": _older_invoice,
    "charge": _older_payment,
    "payment_intent": _older_payment,
    "discount": _older_discount,
}


def _plan(price: Json) -> Json:
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": True,
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "product": price["product"],
        "usage_type": "licensed",
    }


def _changed(before: Json, after: Json) -> Json:
    """Return `previous_attributes`: what was different before, lists as a whole."""
    found: Json = {}
    for name in before | after:
        old, new = before.get(name), after.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            if inner := _changed(old, new):
                found[name] = inner
        elif old != new:
            found[name] = old
    return found


@dataclass(frozen=True)
class Event:
    """An event and when it happens."""

    moment: datetime
    type: str
    object: Json
    previous: Json | None

    def body(self, number: int) -> bytes:
        """Return what Stripe sends, the id made of a number."""
        data = {"object": self.object}
        if self.previous is not None:
            data["previous_attributes"] = self.previous
        event = {
            "id": f"evt_1Year{number:06d}",
            "object": "event",
            "api_version": version_of(self.moment),
            "created": seconds(self.moment),
            "data": data,
            "livemode": True,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": self.type,
        }
        return json.dumps(event, indent=2, ensure_ascii=False).encode()


class Stripe:
    """One account at Stripe: its events and its balance."""

    def __init__(self, prices: Mapping[str, Json], coupons: Mapping[str, Json]) -> None:
        self.prices, self.coupons = prices, coupons
        self.events: list[Event] = []
        self.balance: list[Json] = []
        self.random = Random(2026)  # noqa: S311 - it tells a story and keeps no secret
        self._numbers: Counter[str] = Counter()

    def id(self, prefix: str) -> str:
        """Return a new id."""
        self._numbers[prefix] += 1
        return f"{prefix}_1Year{self._numbers[prefix]:04d}"

    def send(self, moment: datetime, kind: str, thing: Json, previous: Json | None = None) -> None:
        """Note an event on an object as it is now."""
        shown = rendered(thing, version_of(moment))
        self.events.append(Event(moment, kind, shown, previous))

    def update(self, moment: datetime, kind: str, thing: Json, **fields: Any) -> None:
        """Change an object, and note an event with what it was before."""
        version = version_of(moment)
        before = rendered(thing, version)
        thing.update(fields)
        self.send(moment, kind, thing, _changed(before, rendered(thing, version)))

    def transaction(self, moment: datetime, kind: str, source: Json, amount: int, fee: int) -> str:
        """Move the balance and return the transaction's id; it is available three days later."""
        available = datetime.combine((moment + 3 * _DAY).date(), datetime.min.time(), UTC)
        details = {"amount": fee, "currency": source["currency"], "type": "stripe_fee"}
        self.balance.append(
            {
                "id": self.id("txn"),
                "object": "balance_transaction",
                "amount": amount,
                "available_on": seconds(available),
                "created": seconds(moment),
                "currency": source["currency"],
                "description": None,
                "exchange_rate": None,
                "fee": fee,
                "fee_details": [details] if fee else [],
                "net": amount - fee,
                "reporting_category": kind if kind != "adjustment" else "dispute",
                "source": source["id"],
                "status": "available",
                "type": kind,
            }
        )
        transaction: str = self.balance[-1]["id"]
        return transaction

    def pay_out(self, first: datetime, end: datetime) -> None:
        """Pay each currency's balance out every week."""
        moment = first
        waiting = sorted(self.balance, key=lambda one: one["available_on"])
        while moment < end:
            ready = [one for one in waiting if one["available_on"] <= seconds(moment)]
            waiting = waiting[len(ready) :]
            for currency in FEES:
                of_currency = [one for one in ready if one["currency"] == currency]
                amount = sum(one["net"] for one in of_currency)
                if amount > 0:
                    self._payout(moment, currency, amount, end)
                else:
                    # a debt is paid by what comes next
                    waiting = of_currency + waiting
            moment += 7 * _DAY

    def _payout(self, moment: datetime, currency: str, amount: int, end: datetime) -> None:
        payout = {
            "id": self.id("po"),
            "object": "payout",
            "amount": amount,
            "arrival_date": seconds(moment + 2 * _DAY),
            "automatic": True,
            "balance_transaction": None,
            "created": seconds(moment),
            "currency": currency,
            "destination": f"ba_1Year{currency}",
            "failure_code": None,
            "livemode": True,
            "metadata": {},
            "method": "standard",
            "status": "in_transit",
            "type": "bank_account",
        }
        payout["balance_transaction"] = self.transaction(moment, "payout", payout, -amount, 0)
        self.send(moment, "payout.created", payout)
        if moment + 2 * _DAY < end:
            self.update(moment + 2 * _DAY, "payout.paid", payout, status="paid")

    def bodies(self, end: datetime) -> Iterator[tuple[datetime, bytes]]:
        """Yield the time and the body of each event up to `end`, the oldest first."""
        ordered = sorted(self.events, key=lambda event: event.moment)
        for number, event in enumerate(one for one in ordered if one.moment < end):
            yield event.moment, event.body(number)


@dataclass
class Customer:
    """A customer of the shop, with a card."""

    stripe: Stripe
    name: str
    currency: str
    country: str
    since: datetime
    declines: list[tuple[datetime, datetime]] = field(default_factory=list)
    """From when to when the card is declined."""

    def __post_init__(self) -> None:
        """Tell of the new customer."""
        self.id = f"cus_Year{self.name}"
        self.email = f"{self.name.lower()}@example.com"
        self.card = {
            "brand": self.stripe.random.choice(("visa", "visa", "mastercard", "amex")),
            "country": self.country,
            "exp_month": self.stripe.random.randint(1, 12),
            "exp_year": 2029,
            "funding": "credit",
            "last4": f"{self.stripe.random.randint(0, 9999):04d}",
        }
        customer = {
            "id": self.id,
            "object": "customer",
            "address": {"city": None, "country": self.country, "line1": None, "postal_code": None},
            "balance": 0,
            "created": seconds(self.since),
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": None,
            "email": self.email,
            "invoice_prefix": self.name.upper(),
            "livemode": True,
            "metadata": {},
            "name": self.name,
            "phone": None,
            "tax_exempt": "none",
        }
        self.stripe.send(self.since, "customer.created", customer)

    def intent(self, moment: datetime, amount: int, text: str, invoice: str | None) -> Json:
        """Return a payment that is still to be made."""
        return {
            "id": self.stripe.id("pi"),
            "object": "payment_intent",
            "amount": amount,
            "amount_received": 0,
            "capture_method": "automatic",
            "created": seconds(moment),
            "currency": self.currency,
            "customer": self.id,
            "description": text,
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": True,
            "metadata": {},
            "payment_method": f"pm_Year{self.name}",
            "payment_method_types": ["card"],
            "status": "requires_confirmation",
            "_invoice": invoice,
        }

    def charge(self, moment: datetime, intent: Json) -> Json:
        """Charge the card for a payment and return the charge, which says whether it is `paid`."""
        declined = any(since <= moment < until for since, until in self.declines)
        charge: Json = {
            "id": self.stripe.id("ch"),
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": 0 if declined else intent["amount"],
            "amount_refunded": 0,
            "balance_transaction": None,
            "billing_details": {
                "address": {"country": self.country, "postal_code": None},
                "email": self.email,
                "name": self.name,
                "phone": None,
            },
            "captured": not declined,
            "created": seconds(moment),
            "currency": self.currency,
            "customer": self.id,
            "description": intent["description"],
            "dispute": None,
            "disputed": False,
            "failure_code": "card_declined" if declined else None,
            "failure_message": "Your card has insufficient funds." if declined else None,
            "livemode": True,
            "metadata": {},
            "outcome": {
                "network_status": "declined_by_network" if declined else "approved_by_network",
                "reason": "insufficient_funds" if declined else None,
                "risk_level": "normal",
                "seller_message": "The bank declined." if declined else "Payment complete.",
                "type": "issuer_declined" if declined else "authorized",
            },
            "paid": not declined,
            "payment_intent": intent["id"],
            "payment_method": intent["payment_method"],
            "payment_method_details": {"card": self.card, "type": "card"},
            "receipt_url": None,
            "refunded": False,
            "status": "failed" if declined else "succeeded",
            "_invoice": intent["_invoice"],
        }
        intent["latest_charge"] = charge["id"]
        if declined:
            self.stripe.send(moment, "charge.failed", charge)
            error = {"code": "card_declined", "decline_code": "insufficient_funds"}
            intent |= {"status": "requires_payment_method", "last_payment_error": error}
            self.stripe.send(moment, "payment_intent.payment_failed", intent)
            return charge
        self.stripe.send(moment, "charge.succeeded", charge)
        intent |= {"status": "succeeded", "amount_received": charge["amount"]}
        intent["last_payment_error"] = None
        self.stripe.send(moment, "payment_intent.succeeded", intent)
        share, fixed = FEES[self.currency]
        fee = (charge["amount"] * share + 500) // 1000 + fixed
        transaction = self.stripe.transaction(moment, "charge", charge, charge["amount"], fee)
        later = moment + timedelta(seconds=4)
        self.stripe.update(later, "charge.updated", charge, balance_transaction=transaction)
        return charge

    def buys(self, moment: datetime, amount: int, text: str) -> Json:
        """Pay once, in Checkout, and return the charge."""
        intent = self.intent(moment, amount, text, None)
        charge = self.charge(moment, intent)
        while not charge["paid"]:
            moment += timedelta(minutes=10)
            charge = self.charge(moment, intent)
        self.checkout(moment, "payment", amount, payment_intent=intent["id"])
        return charge

    def checkout(self, moment: datetime, mode: str, amount: int, **made: str) -> None:
        """Complete a Checkout session, which made some objects."""
        session = {
            "id": self.stripe.id("cs"),
            "object": "checkout.session",
            "amount_subtotal": amount,
            "amount_total": amount,
            "created": seconds(moment - timedelta(minutes=3)),
            "currency": self.currency,
            "customer": self.id,
            "customer_details": {"email": self.email, "name": self.name},
            "expires_at": seconds(moment + _DAY),
            "invoice": None,
            "livemode": True,
            "metadata": {},
            "mode": mode,
            "payment_intent": None,
            "payment_status": "paid" if amount else "no_payment_required",
            "status": "complete",
            "subscription": None,
        } | made
        self.stripe.send(moment + timedelta(seconds=3), "checkout.session.completed", session)

    def refund(self, moment: datetime, charge: Json, amount: int, invoice: Json | None) -> None:
        """Get money back, with a credit note for the invoice that it was paid for."""
        refund: Json = {
            "id": self.stripe.id("re"),
            "object": "refund",
            "amount": amount,
            "balance_transaction": None,
            "charge": charge["id"],
            "created": seconds(moment),
            "currency": self.currency,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": "requested_by_customer",
            "receipt_number": None,
            "status": "succeeded",
        }
        transaction = self.stripe.transaction(moment, "refund", refund, -amount, 0)
        refund["balance_transaction"] = transaction
        self.stripe.send(moment, "refund.created", refund)
        refunded = charge["amount_refunded"] + amount
        whole = refunded == charge["amount"]
        self.stripe.update(
            moment, "charge.refunded", charge, amount_refunded=refunded, refunded=whole
        )
        if invoice:
            note = {
                "id": self.stripe.id("cn"),
                "object": "credit_note",
                "amount": amount,
                "created": seconds(moment),
                "currency": self.currency,
                "customer": self.id,
                "discount_amount": 0,
                "effective_at": seconds(moment),
                "invoice": invoice["id"],
                "livemode": True,
                "memo": None,
                "metadata": {},
                "number": f"{invoice['number']}-CN-01",
                "post_payment_amount": amount,
                "pre_payment_amount": 0,
                "reason": "order_change",
                "refunds": [{"amount_refunded": amount, "refund": refund["id"]}],
                "status": "issued",
                "subtotal": amount,
                "total": amount,
                "type": "post_payment",
                "voided_at": None,
            }
            self.stripe.send(moment, "credit_note.created", note)

    def dispute(self, moment: datetime, charge: Json, outcome: str) -> None:
        """Dispute a charge: `won` and `lost` are the shop's, `warning_closed` is an inquiry."""
        inquiry = outcome == "warning_closed"
        dispute = {
            "id": self.stripe.id("du"),
            "object": "dispute",
            "amount": charge["amount"],
            "balance_transactions": [],
            "charge": charge["id"],
            "created": seconds(moment),
            "currency": self.currency,
            "evidence_details": {
                "due_by": seconds(moment + 9 * _DAY),
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": inquiry,
            "livemode": True,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": "fraudulent",
            "status": "warning_needs_response" if inquiry else "needs_response",
        }
        send, update = self.stripe.send, self.stripe.update
        send(moment, "charge.dispute.created", dispute)
        update(moment, "charge.updated", charge, disputed=True, dispute=dispute["id"])
        if not inquiry:
            fee = DISPUTE_FEES[self.currency]
            self._moved(moment, "charge.dispute.funds_withdrawn", dispute, -1, fee)
        status = "warning_under_review" if inquiry else "under_review"
        update(moment + 5 * _DAY, "charge.dispute.updated", dispute, status=status)
        closed = moment + 40 * _DAY
        update(closed, "charge.dispute.closed", dispute, status=outcome)
        if outcome == "won":
            self._moved(closed, "charge.dispute.funds_reinstated", dispute, 1, 0)

    def _moved(self, moment: datetime, kind: str, dispute: Json, sign: int, fee: int) -> None:
        self.stripe.transaction(moment, "adjustment", dispute, sign * dispute["amount"], fee)
        made = [*dispute["balance_transactions"], dict(self.stripe.balance[-1])]
        self.stripe.update(moment, kind, dispute, balance_transactions=made)

    def subscribes(
        self,
        moment: datetime,
        price: str,
        quantity: int = 1,
        *,
        coupon: str | None = None,
        trial_days: int = 0,
        in_checkout: bool = False,
    ) -> "Subscription":
        """Begin a subscription and pay for it, unless there is a trial first."""
        return Subscription(self, moment, price, quantity, coupon, trial_days, in_checkout)


class Subscription:
    """A subscription to one price, and the invoices that it leads to."""

    def __init__(
        self,
        customer: Customer,
        moment: datetime,
        price: str,
        quantity: int,
        coupon: str | None,
        trial_days: int,
        in_checkout: bool,
    ) -> None:
        self.customer, self.stripe = customer, customer.stripe
        self._invoices = 0
        self._paid_with: list[tuple[Json, Json]] = []
        self._trial_end = moment + trial_days * _DAY if trial_days else None
        self._anchor, self._periods = self._trial_end or moment, 0
        item: Json = {
            "id": self.stripe.id("si"),
            "object": "subscription_item",
            "created": seconds(moment),
            "current_period_end": seconds(self._anchor if trial_days else self._end(price)),
            "current_period_start": seconds(moment),
            "discounts": [],
            "metadata": {},
            "price": self.stripe.prices[price],
            "quantity": quantity,
            "subscription": self.stripe.id("sub"),
        }
        trial_end = seconds(self._trial_end) if self._trial_end else None
        self.state: Json = {
            "id": item["subscription"],
            "object": "subscription",
            "billing_cycle_anchor": {"timestamp": seconds(self._anchor)},
            "cancel_at": None,
            "cancel_at_period_end": False,
            "canceled_at": None,
            "cancellation_details": {"comment": None, "feedback": None, "reason": None},
            "collection_method": "charge_automatically",
            "created": seconds(moment),
            "currency": customer.currency,
            "customer": customer.id,
            "discounts": [],
            "ended_at": None,
            "items": {"object": "list", "data": [item], "has_more": False, "total_count": 1},
            "latest_invoice": None,
            "livemode": True,
            "metadata": {},
            "start_date": seconds(moment),
            "status": "trialing" if trial_days else "incomplete",
            "trial_end": trial_end,
            "trial_start": seconds(moment) if trial_days else None,
            "_discount": self._discount(moment, item["subscription"], coupon),
        }
        if self.state["_discount"]:
            self.state["discounts"] = [self.state["_discount"]["id"]]
        line = self._line(0 if trial_days else item["price"]["unit_amount"] * quantity, False)
        invoice = self._invoice(moment, "subscription_create", [line])
        self.state["latest_invoice"] = invoice["id"]
        self.stripe.send(moment, "customer.subscription.created", self.state)
        self._finalize(moment, invoice)
        self._pay(moment, invoice)
        if in_checkout:
            made = {"subscription": self.state["id"], "invoice": invoice["id"]}
            customer.checkout(moment, "subscription", invoice["total"], **made)

    @property
    def _item(self) -> Json:
        item: Json = self.state["items"]["data"][0]
        return item

    def _end(self, price: str | None = None) -> datetime:
        """Return the end of the current period, for a price."""
        recurring = self.stripe.prices[price or self._item["price"]["lookup_key"]]["recurring"]
        months = 12 if recurring["interval"] == "year" else 1
        return months_after(self._anchor, months * (self._periods + 1))

    def last_paid(self) -> tuple[Json, Json]:
        """Return the latest invoice that was paid, and the charge that paid it."""
        return self._paid_with[-1]

    def advance(self, until: datetime) -> None:
        """Let everything happen that is due before a time: the ends of trials and periods."""
        while not self.state["ended_at"]:
            trialing = self.state["status"] == "trialing" and self._trial_end
            due = trialing or self._end()
            if due >= until:
                return
            if trialing:
                self.stripe.send(due - 3 * _DAY, "customer.subscription.trial_will_end", self.state)
            if self.state["cancel_at_period_end"]:
                self._finish(due)
            else:
                self._renew(due, bool(trialing))

    def _renew(self, due: datetime, trialing: bool) -> None:
        if not trialing:
            self._periods += 1
        discount = self.state["_discount"]
        if discount and discount["end"] and discount["end"] <= seconds(due):
            self.stripe.send(due, "customer.discount.deleted", discount)
            self.state |= {"_discount": None, "discounts": []}
        item = self._item | {
            "current_period_start": seconds(due),
            "current_period_end": seconds(self._end()),
        }
        line = self._line(item["price"]["unit_amount"] * item["quantity"], False, item)
        invoice = self._invoice(due, "subscription_cycle", [line])
        self._update(due, item, status="active", latest_invoice=invoice["id"])
        self._finalize(due + _HOUR, invoice)
        self._pay(due + _HOUR, invoice)

    def change(
        self, moment: datetime, price: str | None = None, quantity: int | None = None
    ) -> None:
        """Change to another price or quantity: more is charged for at once, less from now on."""
        self.advance(moment)
        old = self._item
        new = old | {
            "price": self.stripe.prices[price or old["price"]["lookup_key"]],
            "quantity": quantity or old["quantity"],
        }
        amounts = [one["price"]["unit_amount"] * one["quantity"] for one in (old, new)]
        if amounts[1] < amounts[0]:
            self._update(moment, new)
            return
        left = old["current_period_end"] - seconds(moment)
        share = left / (old["current_period_end"] - old["current_period_start"])
        lines = [
            self._line(
                sign * round(amount * share), True, one | {"current_period_start": seconds(moment)}
            )
            for sign, amount, one in zip((-1, 1), amounts, (old, new), strict=True)
        ]
        invoice = self._invoice(moment, "subscription_update", lines)
        self._update(moment, new, latest_invoice=invoice["id"])
        self._finalize(moment, invoice)
        self._pay(moment, invoice)

    def cancel(self, moment: datetime, feedback: str = "unused") -> None:
        """Cancel at the end of the period, or of the trial."""
        self.advance(moment)
        details = {"comment": None, "feedback": feedback, "reason": "cancellation_requested"}
        self._update(
            moment,
            cancel_at_period_end=True,
            cancel_at=self._item["current_period_end"],
            canceled_at=seconds(moment),
            cancellation_details=details,
        )

    def _update(self, moment: datetime, item: Json | None = None, **fields: Any) -> None:
        if item:
            fields["items"] = self.state["items"] | {"data": [item]}
        self.stripe.update(moment, "customer.subscription.updated", self.state, **fields)

    def _finish(self, moment: datetime, **fields: Any) -> None:
        fields |= {"status": "canceled", "ended_at": seconds(moment)}
        self.state.update(fields)
        self.stripe.send(moment, "customer.subscription.deleted", self.state)

    def _discount(self, moment: datetime, subscription: str, name: str | None) -> Json | None:
        if name is None:
            return None
        coupon = self.stripe.coupons[name]
        months = coupon["duration_in_months"]
        discount = {
            "id": self.stripe.id("di"),
            "object": "discount",
            "customer": self.customer.id,
            "end": seconds(months_after(moment, months)) if months else None,
            "invoice": None,
            "promotion_code": None,
            "source": {"coupon": name, "type": "coupon"},
            "start": seconds(moment),
            "subscription": subscription,
            "_coupon": coupon,
        }
        self.stripe.send(moment, "customer.discount.created", discount)
        return discount

    def _line(self, amount: int, proration: bool, item: Json | None = None) -> Json:
        item = item or self._item
        price = item["price"]
        return {
            "id": self.stripe.id("il"),
            "object": "line_item",
            "amount": amount,
            "currency": self.customer.currency,
            "description": f"{item['quantity']} x {price['nickname']}",
            "discount_amounts": [],
            "discountable": not proration,
            "livemode": True,
            "metadata": {},
            "parent": {
                "invoice_item_details": None,
                "subscription_item_details": {
                    "invoice_item": self.stripe.id("ii") if proration else None,
                    "proration": proration,
                    "subscription": self.state["id"],
                    "subscription_item": item["id"],
                },
                "type": "subscription_item_details",
            },
            "period": {"start": item["current_period_start"], "end": item["current_period_end"]},
            "pricing": {
                "price_details": {"price": price["id"], "product": price["product"]},
                "type": "price_details",
                "unit_amount_decimal": price["unit_amount_decimal"],
            },
            "quantity": item["quantity"],
            "taxes": [],
            "_price": price,
        }

    def _invoice(self, moment: datetime, reason: str, lines: list[Json]) -> Json:
        subtotal = sum(line["amount"] for line in lines)
        discount = self.state["_discount"]
        off = 0
        if discount and reason != "subscription_update":
            coupon = discount["_coupon"]
            percent = round(subtotal * (coupon["percent_off"] or 0) / 100)
            off = min(subtotal, coupon["amount_off"] or percent)
            lines[0]["discount_amounts"] = [{"amount": off, "discount": discount["id"]}]
        total = subtotal - off
        invoice: Json = {
            "id": self.stripe.id("in"),
            "object": "invoice",
            "account_country": "DE",
            "account_name": "Atelier Analytics GmbH",
            "amount_due": total,
            "amount_paid": 0,
            "amount_remaining": total,
            "attempt_count": 0,
            "attempted": False,
            "auto_advance": True,
            "billing_reason": reason,
            "collection_method": "charge_automatically",
            "created": seconds(moment),
            "currency": self.customer.currency,
            "customer": self.customer.id,
            "customer_email": self.customer.email,
            "customer_name": self.customer.name,
            "discounts": self.state["discounts"],
            "lines": {
                "object": "list",
                "data": lines,
                "has_more": False,
                "total_count": len(lines),
            },
            "livemode": True,
            "metadata": {},
            "next_payment_attempt": None,
            "number": None,
            "parent": {
                "quote_details": None,
                "subscription_details": {"metadata": {}, "subscription": self.state["id"]},
                "type": "subscription_details",
            },
            "period_end": seconds(moment),
            "period_start": seconds(moment),
            "starting_balance": 0,
            "status": "draft",
            "status_transitions": {
                "finalized_at": None,
                "marked_uncollectible_at": None,
                "paid_at": None,
                "voided_at": None,
            },
            "subtotal": subtotal,
            "total": total,
            "total_taxes": [],
            "_charge": None,
            "_payment_intent": None,
            "_subscription": self.state["id"],
        }
        self.stripe.send(moment, "invoice.created", invoice)
        return invoice

    def _finalize(self, moment: datetime, invoice: Json) -> None:
        self._invoices += 1
        number = f"{self.customer.name.upper()}-{self._invoices:04d}"
        transitions = invoice["status_transitions"] | {"finalized_at": seconds(moment)}
        fields = {"status": "open", "number": number, "status_transitions": transitions}
        self.stripe.update(moment, "invoice.finalized", invoice, **fields)

    def _pay(self, moment: datetime, invoice: Json) -> None:
        """Try to pay an invoice until it works, or the subscription ends."""
        if not invoice["total"]:
            self._paid(moment, invoice, None)
            return
        intent = self.customer.intent(moment, invoice["total"], "Subscription", invoice["id"])
        invoice["_payment_intent"] = intent["id"]
        tries = (0,) if self.state["status"] == "incomplete" else RETRY_DAYS
        for number, days in enumerate(tries, 1):
            at = moment + days * _DAY
            charge = self.customer.charge(at, intent)
            invoice |= {"attempt_count": number, "attempted": True, "_charge": charge["id"]}
            if charge["paid"]:
                self._paid(at, invoice, charge)
                return
            following = [seconds(moment + later * _DAY) for later in tries[number : number + 1]]
            invoice["next_payment_attempt"] = following[0] if following else None
            self.stripe.send(at, "invoice.payment_failed", invoice)
            if self.state["status"] == "active":
                self._update(at, status="past_due")
        if self.state["status"] == "incomplete":
            expired = moment + 23 * _HOUR
            self._update(expired, status="incomplete_expired", ended_at=seconds(expired))
            return
        details = {"comment": None, "feedback": None, "reason": "payment_failed"}
        self._finish(at, canceled_at=seconds(at), cancellation_details=details)
        lost = invoice["status_transitions"] | {"marked_uncollectible_at": seconds(at)}
        self.stripe.update(
            at,
            "invoice.marked_uncollectible",
            invoice,
            status="uncollectible",
            status_transitions=lost,
        )

    def _paid(self, moment: datetime, invoice: Json, charge: Json | None) -> None:
        moment += timedelta(seconds=1)
        if charge:
            self._paid_with.append((invoice, charge))
        invoice |= {
            "amount_paid": invoice["total"],
            "amount_remaining": 0,
            "attempted": True,
            "next_payment_attempt": None,
            "status": "paid",
        }
        invoice["status_transitions"]["paid_at"] = seconds(moment)
        self.stripe.send(moment, "invoice.paid", invoice)
        self.stripe.send(moment, "invoice.payment_succeeded", invoice)
        if charge and version_of(moment) >= _BASIL:
            payment = {
                "id": self.stripe.id("inpay"),
                "object": "invoice_payment",
                "amount_paid": charge["amount"],
                "amount_requested": charge["amount"],
                "created": seconds(moment),
                "currency": charge["currency"],
                "invoice": invoice["id"],
                "is_default": True,
                "livemode": True,
                "payment": {"payment_intent": charge["payment_intent"], "type": "payment_intent"},
                "status": "paid",
                "status_transitions": {"canceled_at": None, "paid_at": seconds(moment)},
            }
            self.stripe.send(moment, "invoice_payment.paid", payment)
        if self.state["status"] in ("incomplete", "past_due"):
            self._update(moment, status="active")

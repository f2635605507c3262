"""A large archive to try the tools on: signed events in objects as Firehose writes them.

Each customer has a dozen events: a subscription, two payments of it, a change and an end. Every
object has an id of its own. Event n is the same wherever it is asked for, so Stripe's side of it
can be played without keeping a list. About 3.3 KB an event and 3.8 KB a record, of which gzip
leaves a ninth.
"""

import gzip
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import click
from stripe import WebhookSignature

from archive_tools.parallel import cores
from archive_tools.storage import folder_of
from examples import stripe
from tests.support.service import PROJECT
from webhook_app.events.record import webhook_record

SECRET = "whsec_sample"

#: A buffer of 5 MiB holds as many.
EVENTS_AN_OBJECT = 2500

#: What Stripe still lists a day later.
DAYS = 28

CURRENCIES = ("eur", "usd", "eur", "gbp")
_EVENTS = PROJECT / "examples/events"


@dataclass(frozen=True, eq=False)
class _Step:
    """An event of a customer's life."""

    template: str
    """A file of examples/events, without .json."""
    after: float = 0.0
    """When it happens, in parts of the whole time after the customer is created."""
    type: str = ""
    """Its type, where the template's is another."""
    fields: dict[str, Any] = field(default_factory=dict)
    """What is different in its object."""
    previous: dict[str, Any] | None = None
    """Its `previous_attributes`."""
    payment: str = "a"
    """Tells the customer's payments apart."""


_INVOICE_PAYMENT = {
    "id": "inpay_1SDemoZoe1",
    "object": "invoice_payment",
    "amount_paid": 4900,
    "amount_requested": 4900,
    "invoice": "in_1SDemoZoe1",
    "is_default": True,
    "payment": {"payment_intent": "pi_3SDemoZoe1", "type": "payment_intent"},
    "status": "paid",
    "status_transitions": {"canceled_at": None, "paid_at": 1795392041},
}


def _paid(after: float, payment: str) -> tuple[_Step, ...]:
    return (
        _Step("charge.succeeded", after, payment=payment),
        _Step("payment_intent.succeeded", after, payment=payment),
        _Step("invoice.paid", after, payment=payment),
        _Step("invoice.paid", after, "invoice_payment.paid", _INVOICE_PAYMENT, payment=payment),
    )


_SUBSCRIPTION = "customer.subscription.created"
_LIFE = (
    _Step("customer.created"),
    _Step(_SUBSCRIPTION),
    *_paid(0, "a"),
    _Step(
        _SUBSCRIPTION,
        0.3,
        "customer.subscription.updated",
        {"cancel_at_period_end": True},
        {"cancel_at_period_end": False},
    ),
    *_paid(0.5, "b"),
)

#: The last event of a life, of which customers have one or another.
_ENDS = (
    *[_Step("customer.subscription.deleted", 0.8)] * 4,
    *[_Step("charge.refunded", 0.8)] * 2,
    _Step("charge.dispute.created", 0.8, fields={"charge": "ch_3SDemoZoe1"}),
    _Step("checkout.session.completed", 0.8, payment="c"),
    _Step("invoice.payment_failed", 0.8, payment="c"),
    _Step("payout.paid", 0.8),
)


@cache
def _template(step: _Step) -> tuple[str, list[str]]:
    """Return a step's type and its text, cut where something of the event stands.

    Every second part is the name of what stands there.
    """
    event = json.loads((_EVENTS / f"{step.template}.json").read_text())
    # an object of another kind shares what all objects have
    keep = (
        {"created", "currency", "livemode"} if "object" in step.fields else event["data"]["object"]
    )
    whole = event["data"]["object"]
    event["data"]["object"] = {name: whole[name] for name in whole if name in keep} | step.fields
    event["data"]["object"] |= {
        "livemode": True,
        "metadata": {f"note_{n}": f"<note_{n}>" for n in range(20)},
    }
    event |= {"id": "<event>", "created": "<time>", "livemode": True}
    event["type"] = step.type or event["type"]
    if step.previous is not None:
        event["data"]["previous_attributes"] = step.previous
    text = json.dumps(event, indent=2, ensure_ascii=False)
    # the samples' customers and what is theirs, and the hour in which they came
    text = re.sub(r"(?<=_[13]SDemo)[A-Z][a-z]{2}\d", f"<customer>{step.payment}", text)
    text = re.sub(r"(sub|si)(_1SDemo<customer>)[a-c]", r"\1\2", text)
    text = re.sub(r"(?<=cus_)[A-Z][a-z]{2}\d{4}", "<customer>", text)
    text = re.sub(r"\b1795[34]\d{5}\b", "<time>", text).replace('"<time>"', "<time>")
    text = re.sub(r'(?<="currency": ")\w{3}', "<currency>", text)
    return event["type"], re.split(r"<(\w+)>", text)


def _step(n: int, events: int) -> tuple[_Step, int]:
    """Return what event `n` of so many is, and the number of its customer.

    At every moment some customers come and others are further on: those who are at the beginning
    came before it.
    """
    lives = events // (len(_LIFE) + 1)
    life, step = divmod(n, len(_LIFE) + 1)
    if step < len(_LIFE):
        return _LIFE[step], life - int(_LIFE[step].after * lives) + lives
    customer = life - int(_ENDS[0].after * lives) + lives
    return _ENDS[customer % len(_ENDS)], customer


def created(n: int, events: int, last: date, days: int = DAYS) -> int:
    """Return when event `n` of so many happened, in Unix seconds; they are evenly spread."""
    end = datetime.combine(last, datetime.min.time(), UTC) + timedelta(days=1)
    return int(end.timestamp()) - days * 86_400 + n * days * 86_400 // events


def event_id(n: int) -> str:
    """Return the id of event `n`."""
    return f"evt_{n:012d}"


def event(n: int, events: int, last: date, days: int = DAYS) -> bytes:
    """Return the body of event `n` of so many, over so many days up to `last`."""
    step, customer = _step(n, events)
    _, parts = _template(step)
    unique = hashlib.sha512(str(n).encode()).hexdigest()
    values = {f"note_{at}": unique[at : at + 60] for at in range(20)} | {
        "event": event_id(n),
        "time": str(created(n, events, last, days)),
        "customer": f"{customer:09d}",
        "currency": CURRENCIES[customer % len(CURRENCIES)],
    }
    return "".join(values[part] if at % 2 else part for at, part in enumerate(parts)).encode()


def archive(folder: Path, events: int, last: date, days: int = DAYS) -> None:
    """Write an archive of so many events over so many days up to `last`."""
    pieces = range(0, events, EVENTS_AN_OBJECT)
    work = partial(_write_object, folder=folder, events=events, last=last, days=days)
    with (
        ProcessPoolExecutor(cores()) as pool,
        click.progressbar(length=events, label=f"Making {events:,} events", file=sys.stderr) as bar,
    ):
        for written in pool.map(work, pieces):
            bar.update(written)


def _write_object(first: int, *, folder: Path, events: int, last: date, days: int) -> int:
    """Write the events from `first` on, as many as belong into an object of one day."""
    numbers = range(first, min(first + EVENTS_AN_OBJECT, events))
    by_day: dict[date, list[bytes]] = {}
    for day, line in _lines(numbers, events, last, days):
        by_day.setdefault(day, []).append(line)
    for day, lines in by_day.items():
        path = folder / folder_of(day) / f"stripe-webhook-stream-1-{first:012d}.json.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(b"".join(lines), 6))
    return len(numbers)


def _lines(numbers: range, events: int, last: date, days: int) -> Iterator[tuple[date, bytes]]:
    for n in numbers:
        body = event(n, events, last, days)
        moment = datetime.fromtimestamp(created(n, events, last, days), UTC) + timedelta(
            seconds=1.7
        )
        header = WebhookSignature.generate_signature_header(
            body.decode(), SECRET, timestamp=int(moment.timestamp())
        )
        yield moment.date(), webhook_record(body, header, moment).line()


def stripes_side(events: int, last: date) -> stripe.Stripe:
    """Return what Stripe has of an archive of so many events; each is made when it is asked for."""
    return stripe.Stripe(
        stripe.Event(
            event_id(n),
            _template(_step(n, events)[0])[0],
            created(n, events, last),
            partial(event, n, events, last),
        )
        for n in range(events)
    )


@click.command()
@click.argument("events", type=int)
@click.argument("last", type=click.DateTime(["%Y-%m-%d"]))
def main(events: int, last: datetime) -> None:
    """Play Stripe with so many events up to the day LAST, until standard input ends."""
    with stripe.serving(stripes_side(events, last.date())) as address:
        click.echo(address)
        sys.stdin.read()


if __name__ == "__main__":
    main()

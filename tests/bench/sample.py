"""A large archive to try the tools on: signed events in objects as Firehose writes them.

Event n is the same wherever it is asked for, so Stripe's side of it can be played without keeping
a list. About 3.3 KB an event and 3.8 KB a record, of which gzip leaves a twelfth.
"""

import gzip
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from pathlib import Path

import click
from stripe import WebhookSignature

from archive_tools.parallel import cores
from archive_tools.storage import folder_of
from examples import month, stripe
from webhook_app.events.record import webhook_record

SECRET = "whsec_sample"

#: A buffer of 5 MiB holds as many.
EVENTS_AN_OBJECT = 2500

#: What Stripe still lists a day later.
_DAYS = 28


@cache
def _templates() -> list[tuple[str, str]]:
    """Return the demo month's events as texts around their id, their time and something unique."""
    found = []
    for delivery in month.deliveries():
        event = json.loads(delivery.body)
        if not isinstance(event, dict) or "data" not in event or len(delivery.body) > 10_000:
            continue
        event |= {"id": "<id>", "created": "<created>"}
        event["data"]["object"]["metadata"] = {f"note_{n}": f"<unique_{n}>" for n in range(20)}
        found.append((event["type"], json.dumps(event, indent=2, ensure_ascii=False)))
    return found


def created(n: int, events: int, last: date) -> int:
    """Return when event `n` of so many happened, in Unix seconds; they are evenly spread."""
    end = datetime.combine(last, datetime.min.time(), UTC) + timedelta(days=1)
    return int(end.timestamp()) - _DAYS * 86_400 + n * _DAYS * 86_400 // events


def event_id(n: int) -> str:
    """Return the id of event `n`."""
    return f"evt_{n:012d}"


def event(n: int, events: int, last: date) -> bytes:
    """Return the body of event `n` of so many, over the 28 days up to `last`."""
    templates = _templates()
    _, text = templates[n % len(templates)]
    unique = hashlib.sha512(str(n).encode()).hexdigest()
    text = re.sub(r"<unique_(\d+)>", lambda found: unique[int(found[1]) :][:60], text)
    text = text.replace("<id>", event_id(n))
    return text.replace('"<created>"', str(created(n, events, last))).encode()


def archive(folder: Path, events: int, last: date) -> None:
    """Write an archive of so many events over the 28 days up to `last`."""
    pieces = range(0, events, EVENTS_AN_OBJECT)
    work = partial(_write_object, folder=folder, events=events, last=last)
    with (
        ProcessPoolExecutor(cores()) as pool,
        click.progressbar(length=events, label=f"Making {events:,} events", file=sys.stderr) as bar,
    ):
        for written in pool.map(work, pieces):
            bar.update(written)


def _write_object(first: int, *, folder: Path, events: int, last: date) -> int:
    """Write the events from `first` on, as many as belong into an object of one day."""
    numbers = range(first, min(first + EVENTS_AN_OBJECT, events))
    by_day: dict[date, list[bytes]] = {}
    for day, line in _lines(numbers, events, last):
        by_day.setdefault(day, []).append(line)
    for day, lines in by_day.items():
        path = folder / folder_of(day) / f"stripe-webhook-stream-1-{first:012d}.json.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(b"".join(lines), 6))
    return len(numbers)


def _lines(numbers: range, events: int, last: date) -> Iterator[tuple[date, bytes]]:
    for n in numbers:
        body = event(n, events, last)
        moment = datetime.fromtimestamp(created(n, events, last), UTC) + timedelta(seconds=1.7)
        header = WebhookSignature.generate_signature_header(
            body.decode(), SECRET, timestamp=int(moment.timestamp())
        )
        yield moment.date(), webhook_record(body, header, moment).line()


def stripes_side(events: int, last: date) -> stripe.Stripe:
    """Return what Stripe has of an archive of so many events; each is made when it is asked for."""
    types = [kind for kind, _ in _templates()]
    return stripe.Stripe(
        stripe.Event(
            event_id(n),
            types[n % len(types)],
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

"""The deliveries that are measured with: signed invoices of any size, behind a platform's router.

The events are made here and not taken from `examples/events`: cost is measured against size.
"""

import json
from typing import Any

from tests.support.stripe_client import head, signature

SECRET = "whsec_bench"
#: A middling event; of the demo's, the largest has 2 KB, and invoices with many lines have 50.
EVENT_BYTES = 5_000

#: What Stripe sends beside its signature.
_STRIPE = {
    "Accept": "*/*; q=0.5, application/xml",
    "Cache-Control": "no-cache",
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
}
#: What Heroku's router adds. Render's, Fly's and AWS's load balancers add much the same.
#: https://devcenter.heroku.com/articles/http-routing#heroku-headers
_ROUTER = {
    "X-Request-Id": "8601b555-6a83-4c12-8269-97c8e32f8d11",
    "X-Forwarded-For": "54.187.174.169",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "443",
    "Via": "1.1 vegur",
    "Connect-Time": "0",
    "X-Request-Start": "1795392044123",
    "Total-Route-Time": "0",
}

_AT = 1_795_392_044


def event_body(number: int, size: int = EVENT_BYTES) -> bytes:
    """Return the body of an event of exactly that many bytes, 1,000 or more.

    It grows as real invoices do, by lines; the last bytes are its footer's.
    """
    none, one, two = (len(_dumped(number, lines, "")) for lines in range(3))
    lines = 0 if size < one else 1 + (size - one) // (two - one)
    footer = size - (none if lines == 0 else one + (lines - 1) * (two - one))
    return _dumped(number, lines, "." * footer)


def headers(body: bytes) -> dict[str, str]:
    """Return the headers of a delivery as a platform's router hands it on, signed now."""
    return {**_STRIPE, "Stripe-Signature": signature(body, SECRET), **_ROUTER}


def request(body: bytes) -> bytes:
    """Return a delivery of a body as it goes over the wire, signed now."""
    lines = [f"{name}: {value}" for name, value in headers(body).items()]
    return head(*lines, f"Content-Length: {len(body)}") + body


def _dumped(number: int, lines: int, footer: str) -> bytes:
    event = {
        "id": f"evt_1SBench{number:014d}",
        "object": "event",
        "api_version": "2025-09-30.clover",
        "created": _AT,
        "data": {
            "object": {
                "id": "in_1SBench",
                "object": "invoice",
                "account_name": "Atelier Analytics GmbH",
                "amount_due": 4900,
                "billing_reason": "subscription_cycle",
                "currency": "eur",
                "customer": "cus_Bench",
                "customer_email": "zoe@example.com",
                "customer_name": "Zoë Müller",
                "footer": footer,
                "lines": {"object": "list", "data": [_line(line) for line in range(lines)]},
                "metadata": {},
                "number": "8F3A21C0-0001",
                "status": "paid",
            }
        },
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "invoice.paid",
    }
    return json.dumps(event, indent=2, ensure_ascii=False).encode()


def _line(number: int) -> dict[str, Any]:
    return {
        "id": f"il_1SBench{number:06d}",
        "object": "line_item",
        "amount": 4900,
        "currency": "eur",
        "description": "1 × Studio (at €49.00 / month)",  # noqa: RUF001 - Stripe's
        "discountable": True,
        "metadata": {"seat": f"{number:06d}"},
        "period": {"end": _AT + 2_592_000, "start": _AT},
        "quantity": 1,
    }

import json

import pytest
from stripe import WebhookSignature

from tests.bench.deliveries import SECRET, event_body, request

from .conftest import SIZES


@pytest.mark.parametrize("size", [1_000, 1_234, *SIZES])
def test_an_event_has_the_size_asked_for(size: int) -> None:
    body = event_body(7, size)
    assert len(body) == size
    assert json.loads(body)["type"] == "invoice.paid"


def test_no_two_events_are_the_same() -> None:
    assert len({json.loads(event_body(number))["id"] for number in range(50)}) == 50


def test_a_request_is_signed_and_whole() -> None:
    head, _, body = request(event_body(1)).partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert int(fields["Content-Length"]) == len(body)
    assert WebhookSignature.verify_header(body.decode(), fields["Stripe-Signature"], SECRET, 300)


def test_a_request_has_the_headers_that_stripe_and_a_router_send() -> None:
    """https://devcenter.heroku.com/articles/http-routing#heroku-headers"""
    head, _, _ = request(event_body(1)).partition(b"\r\n\r\n")
    names = {line.split(b":")[0].decode() for line in head.split(b"\r\n")[1:]}
    of_stripe = {"Accept", "Cache-Control", "Content-Type", "Stripe-Signature", "User-Agent"}
    of_router = {
        "X-Request-Id",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "Via",
        "Connect-Time",
        "X-Request-Start",
        "Total-Route-Time",
    }
    assert names == {"Host", "Content-Length"} | of_stripe | of_router
    assert b",v0=" in head

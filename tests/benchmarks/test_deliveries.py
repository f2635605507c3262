import json

import pytest

from tests.bench.deliveries import SECRET, event_body, request
from webhook_app.events.signature import verify

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
    assert verify(body, fields["Stripe-Signature"], [SECRET], 300) is None

"""Stripe is asked with patience, at a pace, and for every event of a range exactly once."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_tools.errors import ToolError
from archive_tools.reconciling import stripe_api
from archive_tools.reconciling.listing import Fetched, Window, events_of, listing, windows
from archive_tools.reconciling.pages import Event, Page, decoder
from archive_tools.reconciling.rate_limiter import RateLimiter, backoff_s
from archive_tools.reconciling.stripe_api import RefusedError, StripeApi
from archive_tools.settings import ToolSettings
from tests.fakes.stripe import KEY, VERSION, FakeStripe, event
from tests.support.service import PROJECT

NOW = 1_795_392_000
EVENTS = [event(n, NOW - n) for n in range(250)]

decode_page = decoder(Event)


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    with FakeStripe(EVENTS).serving() as stripe:
        yield stripe


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def api(stripe: FakeStripe, clock: Clock) -> StripeApi:
    told = ToolSettings(stripe_api_key=KEY, stripe_api_base=stripe.url)
    return StripeApi(told, RateLimiter(1000, lambda: clock.now, clock.sleep))


def ids(page: Page[Event]) -> list[str]:
    return [event.id for event, _ in page.items]


def test_a_page_has_the_newest_of_the_range_and_both_of_its_ends(api: StripeApi) -> None:
    found = api.events(NOW - 20, NOW - 10)
    assert ids(found) == [f"evt_{n:06d}" for n in range(10, 21)]
    assert not found.has_more
    first = api.events(NOW - 249, NOW)
    assert (len(first.items), first.has_more) == (100, True)
    assert ids(api.events(NOW - 249, NOW, after=ids(first)[-1]))[0] == "evt_000100"


def test_only_the_types_that_are_asked_for_come(stripe: FakeStripe, api: StripeApi) -> None:
    stripe.hold(event(900, NOW, "invoice.paid"), event(901, NOW, "payout.paid"))
    assert ids(api.events(NOW, NOW, ["invoice.paid", "payout.paid"])) == [
        "evt_000900",
        "evt_000901",
    ]


def test_the_payload_is_the_page_s_own_bytes(stripe: FakeStripe, api: StripeApi) -> None:
    (listed,) = api.events(NOW, NOW).items
    assert listed.payload == stripe.shelf.rendered(0)
    # and not what an encoder would have made of it
    assert b'\n        "object": {' in listed.payload
    assert json.loads(listed.payload) == EVENTS[0]


def test_a_page_that_only_a_lenient_parser_reads_is_read_all_the_same(
    stripe: FakeStripe, api: StripeApi
) -> None:
    odd = event(900, NOW + 5) | {"data": {"object": {"name": "half a pair: \ud800"}}}
    stripe.hold(odd)
    found = api.events(NOW - 3, NOW + 5)
    assert ids(found) == ["evt_000900", "evt_000000", "evt_000001", "evt_000002", "evt_000003"]
    assert [listed.payload for listed in found.items] == [
        stripe.shelf.rendered(n) for n in range(5)
    ]


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"data": {}}', b'{"data": [1]}', b"\xff", b""])
def test_what_is_no_list_of_events_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own words and ours
        decode_page(body)


@pytest.mark.parametrize(
    "fault", ["429", "409", "500", "503", "400_for_now", "reset", "truncated", "html", "no_end"]
)
def test_what_may_pass_is_tried_again(
    stripe: FakeStripe, api: StripeApi, clock: Clock, fault: str
) -> None:
    stripe.script.extend([fault, fault])
    assert len(api.events(NOW - 9, NOW).items) == 10
    assert len(stripe.asked) == 3
    first, second = [seconds for seconds in clock.slept if seconds > 0.01]
    assert 0.25 <= first <= 0.5 <= second <= 1


def test_a_wait_is_announced(
    stripe: FakeStripe, api: StripeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stripe out of reach was 48 s of silence."""
    stripe.script.append("429_after_1_s")
    api.events(NOW, NOW)
    assert capsys.readouterr().err == (
        "Stripe gave status 429 to GET /v1/events, attempt 1 of 8; the next is in 1.0 s\n"
    )


def test_threads_that_wait_together_announce_it_once(clock: Clock) -> None:
    limiter = RateLimiter(1000, lambda: clock.now, clock.sleep)
    waits = (0.5, 0.4, 2, 2.5, 1)
    assert [limiter.hold(seconds) for seconds in waits] == [True, False, True, False, False]
    clock.now = 2
    assert limiter.hold(4)


def test_a_page_tells_when_it_was_asked_for_and_in_which_version(
    stripe: FakeStripe, api: StripeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the request that was answered, not the first, and not after it."""

    class Requests:
        """A time that passes with the requests that have arrived."""

        @staticmethod
        def time() -> float:
            return len(stripe.asked)

    monkeypatch.setattr(stripe_api, "time", Requests)
    stripe.script.extend(["429", "500"])
    page = api.events(NOW, NOW)
    assert (page.asked_at, page.api_version) == (2, VERSION)


def test_all_items_of_a_subscription_are_listed(stripe: FakeStripe, api: StripeApi) -> None:
    items = [{"id": f"si_{n}", "object": "subscription_item", "created": n} for n in range(230)]
    stripe.objects["subscriptions"] = [{"id": "sub_1", "items": items}]
    found = [json.loads(item)["id"] for item in api.subscription_items("sub_1")]
    assert found == [item["id"] for item in items]
    with pytest.raises(RefusedError, match="404 resource_missing"):
        api.subscription_items("sub_2")


def test_an_event_is_known_or_not(stripe: FakeStripe, api: StripeApi) -> None:
    assert api.has_event("evt_000007")
    assert not api.has_event("evt_../000007?")
    stripe.script.append("403")
    with pytest.raises(RefusedError, match="may not read Events"):
        api.has_event("evt_000007")


def test_the_wait_that_stripe_asks_for_is_kept(
    stripe: FakeStripe, api: StripeApi, clock: Clock
) -> None:
    stripe.script.append("429_after_1_s")
    api.events(NOW, NOW)
    assert max(clock.slept) >= 1


@pytest.mark.parametrize("fault", ["429", "500", "reset"])
def test_it_gives_up_after_some_tries_and_names_a_cure(
    stripe: FakeStripe, api: StripeApi, fault: str
) -> None:
    stripe.fault = fault
    with pytest.raises(ToolError, match=r"8 times\n  Fix: ") as raised:
        api.events(NOW, NOW)
    assert len(stripe.asked) == 8
    assert KEY not in str(raised.value)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("401", "does not accept STRIPE_API_KEY .*\n  Fix: make a restricted key"),
        ("403", "may not read Events .*\n  Fix: give the restricted key the permission"),
        ("400", "400 told_by_the_test\n  Fix: "),
        ("429_for_good", "429 told_by_the_test\n  Fix: "),
    ],
)
def test_what_would_be_refused_again_is_not_tried_again(
    stripe: FakeStripe, api: StripeApi, fault: str, said: str
) -> None:
    stripe.script.append(fault)
    with pytest.raises(RefusedError, match=said) as raised:
        api.events(NOW, NOW)
    assert len(stripe.asked) == 1
    # Stripe's own message quotes the request and, in this fake, the key
    assert KEY not in str(raised.value)


def test_without_a_key_nothing_is_asked(stripe: FakeStripe) -> None:
    with pytest.raises(ToolError, match=r"STRIPE_API_KEY is not set\n  Fix: .*restricted key"):
        StripeApi(ToolSettings(stripe_api_base=stripe.url), RateLimiter(100))
    assert stripe.asked == []


def test_all_threads_together_keep_the_pace(stripe: FakeStripe) -> None:
    api = StripeApi(ToolSettings(stripe_api_key=KEY, stripe_api_base=stripe.url), RateLimiter(50))
    began = time.monotonic()
    threads = [threading.Thread(target=api.events, args=(NOW, NOW)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stripe.asked) == 16
    assert time.monotonic() - began >= 15 / 50


def test_the_wait_grows_and_has_an_end() -> None:
    assert 0.25 <= backoff_s(1) <= 0.5
    assert 2 <= backoff_s(4) <= 4
    assert 15 <= backoff_s(50) <= 30


class Straight(StripeApi):
    """The fake's pages without its sockets, and small ones."""

    def __init__(self, stripe: FakeStripe, page_events: int = 3) -> None:
        self.stripe = stripe
        self.page_events = page_events

    def events(
        self, first: int, last: int, types: Sequence[str] = (), after: str | None = None
    ) -> Page[Event]:
        query = {"created[gte]": [str(first)], "created[lte]": [str(last)]}
        query["limit"] = [str(self.page_events)]
        if after:
            query["starting_after"] = [after]
        return decode_page(self.stripe.page(query))


def listed(api: StripeApi, first: int, last: int) -> list[Fetched[Event]]:
    return list(listing(events_of(api), windows(first, last)))


def listed_ids(pages: list[Fetched[Event]]) -> list[str]:
    return sorted(one.columns.id for fetched in pages for one in fetched.page.items)


@settings(max_examples=60, deadline=None)
@given(
    # many to a second, and on both sides of midnight: the edges are where one could be lost
    moments=st.lists(st.integers(-3, 3) | st.integers(-200_000, 200_000), max_size=40),
    first=st.integers(-200_000, 0),
    length=st.integers(0, 250_000),
    oldest_first=st.booleans(),
)
def test_every_event_of_a_range_is_listed_exactly_once(
    moments: list[int], first: int, length: int, oldest_first: bool
) -> None:
    events = [event(n, NOW + moment) for n, moment in enumerate(moments)]
    stripe = FakeStripe(events)
    stripe.oldest_first = oldest_first
    pages = listed(Straight(stripe), NOW + first, NOW + first + length)
    inside = (e for e in events if NOW + first <= e["created"] <= NOW + first + length)
    assert listed_ids(pages) == sorted(e["id"] for e in inside)
    assert sum(fetched.finished.seconds for fetched in pages) == length + 1


def test_an_event_that_happens_meanwhile_shifts_no_page() -> None:
    stripe = FakeStripe(EVENTS)
    pages = listing(events_of(Straight(stripe, 10)), windows(NOW - 500, NOW + 500))
    found = [next(pages)]
    for n in range(30):
        stripe.hold(event(1000 + n, NOW + n))
    found += pages
    of_before = [name for name in listed_ids(found) if name < "evt_001000"]
    assert of_before == sorted(e["id"] for e in EVENTS)


def test_a_crowded_day_is_shared_out() -> None:
    """One day of a billing run is not to be listed by one thread while the others wait."""
    crowded = [event(n, NOW + 10 * n) for n in range(2000)]

    class Slow(Straight):
        def events(
            self, first: int, last: int, types: Sequence[str] = (), after: str | None = None
        ) -> Page[Event]:
            time.sleep(0.002)
            seen.add(threading.get_ident())
            return super().events(first, last, types, after)

    seen: set[int] = set()
    pages = listed(Slow(FakeStripe(crowded), 10), NOW, NOW + 80_000)
    assert listed_ids(pages) == sorted(e["id"] for e in crowded)
    assert len(seen) == 8


def test_a_stand_in_that_cannot_turn_the_page_is_told_of() -> None:
    stripe = FakeStripe(EVENTS)
    stripe.deaf = True
    with pytest.raises(ToolError, match=r"the same page twice\n  Fix: .*starting_after"):
        listed(Straight(stripe), NOW - 10, NOW)


def test_who_waits_for_a_page_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar of progress is drawn only when it is told something."""
    monkeypatch.setattr("archive_tools.reconciling.listing._TICK_S", 0.01)
    told = threading.Event()

    def fetch(window: Window) -> Page[Event]:
        assert told.wait(10)
        return Page([], has_more=False)

    assert len(list(listing(fetch, windows(NOW, NOW), told.set))) == 1


def test_an_empty_page_in_the_middle_is_no_end(stripe: FakeStripe, api: StripeApi) -> None:
    """To take it for one would call an archive whole that is not."""
    stripe.fault = "endless"
    with pytest.raises(ToolError, match=r"an empty page and said that there are more"):
        listed(api, NOW - 9, NOW)


def test_who_stops_waits_for_no_thread(stripe: FakeStripe) -> None:
    """A process ends while threads of it wait for Stripe."""
    stripe.fault = "hang"
    code = (
        "import threading, time\n"
        "from archive_tools.reconciling.listing import events_of, listing, windows\n"
        "from archive_tools.reconciling.rate_limiter import RateLimiter\n"
        "from archive_tools.reconciling.stripe_api import StripeApi\n"
        "from archive_tools.settings import ToolSettings\n"
        f"told = ToolSettings(stripe_api_key={KEY!r}, stripe_api_base={stripe.url!r})\n"
        "api = StripeApi(told, RateLimiter(100))\n"
        f"pages = listing(events_of(api), windows({NOW - 900_000}, {NOW}))\n"
        "threading.Thread(target=lambda: next(pages), daemon=True).start()\n"
        "time.sleep(1)\n"
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, timeout=20)
    assert len(stripe.asked) == 8
    assert time.monotonic() - began < 15

"""What Stripe has and the archive has not is found, named and put back; nothing else is."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from archive_tools.reconciling.subscription import NEWEST_VERSION
from archive_tools.storage import BucketStorage
from examples import month
from tests.archive_tools.conftest import Run, stop_clock, store
from tests.fakes.stripe import ENDPOINT, KEY, FakeStripe, Shelf, delivered, event
from tests.support.service import PROJECT
from webhook_app.events.record import webhook_record
from webhook_app.storage.local import LocalArchive

HOUR = 3600


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> int:
    """Twenty minutes into a day and a month: what is an hour old is of the day before."""
    now = int(datetime(2026, 3, 1, 0, 20, 30, tzinfo=UTC).timestamp())
    stop_clock(monkeypatch, now)
    return now


@pytest.fixture
def stripe(now: int) -> Iterator[FakeStripe]:
    """Ten events, an hour apart."""
    with FakeStripe([event(n, now - (n + 1) * HOUR) for n in range(10)]).serving() as stripe:
        stripe.endpoints = [ENDPOINT]
        yield stripe


@pytest.fixture
def archive(folder: Path) -> LocalArchive:
    return LocalArchive(folder)


def reconcile(run: Run, stripe: FakeStripe, *arguments: str, **variables: str) -> Result:
    words = ("reconcile", "--last", "2", "--rate", "100", *arguments)
    return run(*words, **stripe.variables(), **variables)


def found(run: Run, stripe: FakeStripe, *arguments: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(reconcile(run, stripe, "--json", *arguments).stdout)
    return told


def ids(told: list[dict[str, Any]]) -> list[str]:
    return sorted(one["id"] for one in told)


def put(archive: LocalArchive, *events: dict[str, Any], after_s: float = 2.0) -> None:
    for one in events:
        archive.put(delivered(one, after_s))


def test_where_all_is_well_a_line_says_so(
    run: Run, stripe: FakeStripe, archive: LocalArchive, now: int
) -> None:
    put(archive, *stripe.shelf.events)
    put(archive, stripe.shelf.events[3], after_s=90)
    stripe.hold(event(99, now - 5))
    result = reconcile(run, stripe)
    assert result.stdout == (
        "All 10 events of 2026-02-28 to 2026-03-01 are in the archive; 1 in flight; 1 duplicate.\n"
    )
    assert (result.exit_code, result.stderr) == (0, "")


def test_what_is_missing_is_named_by_type_hour_and_id(
    run: Run, stripe: FakeStripe, archive: LocalArchive, now: int
) -> None:
    tried = event(70, now - 3 * HOUR, "invoice.paid", pending_webhooks=1)
    stripe.hold(tried)
    put(archive, *stripe.shelf.events)
    lost = [event(80, now - 3 * HOUR), event(81, now - 3 * HOUR), event(82, now - 7 * HOUR)]
    stripe.hold(*lost, event(83, now - 7 * HOUR, "payout.paid", pending_webhooks=2))
    result = reconcile(run, stripe)
    assert result.exit_code == 1
    assert "Missing: 4 events, of which Stripe still tries to deliver 1 and has given up 3" in (
        result.stdout
    )
    hour = f"{datetime.fromtimestamp(now - 3 * HOUR, UTC):%Y-%m-%d %H}h"
    assert [line.split() for line in result.stdout.splitlines() if line.startswith(hour)] == [
        [*hour.split(), "charge.succeeded", "2"]
    ]
    assert all(f"  evt_0000{n}\n" in result.stdout for n in (80, 81, 82, 83))
    assert "evt_000070" not in result.stdout
    told = found(run, stripe)
    assert ids(told["missing"]) == [f"evt_0000{n}" for n in (80, 81, 82, 83)]
    assert told["missing_still_tried"] == 1
    assert told["archived"] == 11


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (None, "we_1 has no API version of its own: its events change when the account's default"),
        ("2026-11-24.endive", "we_1 has API version 2026-11-24.endive, and the models know none"),
    ],
)
def test_an_endpoint_whose_events_can_change_their_form_is_a_finding(
    run: Run, stripe: FakeStripe, archive: LocalArchive, version: str | None, said: str
) -> None:
    put(archive, *stripe.shelf.events)
    elsewhere = {**ENDPOINT, "id": "we_2", "url": "https://example.com/", "api_version": None}
    stripe.endpoints = [{**ENDPOINT, "api_version": version}, elsewhere]
    result = reconcile(run, stripe)
    assert result.exit_code == 1
    first, last = result.stdout.splitlines()
    assert first.startswith(said)
    assert f"make the endpoint anew with api_version={NEWEST_VERSION}" in first
    # for the alarm that looks for it, all is there
    assert last.startswith("All 10 events of ")
    assert found(run, stripe)["endpoint_findings"] == [first]


@pytest.mark.parametrize("version", ["2020-08-27", "2025-09-30.clover", NEWEST_VERSION])
def test_an_endpoint_with_a_known_version_is_none(
    run: Run, stripe: FakeStripe, archive: LocalArchive, version: str
) -> None:
    put(archive, *stripe.shelf.events)
    stripe.endpoints = [{**ENDPOINT, "api_version": version}]
    assert reconcile(run, stripe).exit_code == 0


def test_the_newest_known_version_is_that_of_the_tests_stripe() -> None:
    assert ENDPOINT["api_version"] == NEWEST_VERSION


def test_a_late_delivery_is_no_loss(run: Run, stripe: FakeStripe, archive: LocalArchive) -> None:
    """Stripe tries for three days, and a gap can be filled at any time after."""
    put(archive, *stripe.shelf.events[:9])
    put(archive, stripe.shelf.events[9], after_s=9 * HOUR)
    told = found(run, stripe)
    assert (told["missing"], told["archived"]) == ([], 10)


def test_a_young_event_may_still_come(run: Run, stripe: FakeStripe, now: int) -> None:
    stripe.hold(event(90, now - 40), event(91, now - 200))
    young = found(run, stripe)
    assert young["in_flight"] == 1
    assert "evt_000091" in ids(young["missing"])
    assert found(run, stripe, "--in-flight", "0")["in_flight"] == 0
    assert found(run, stripe, "--in-flight", "600")["in_flight"] == 2


def test_duplicates_are_counted_with_their_copies(
    run: Run, stripe: FakeStripe, archive: LocalArchive
) -> None:
    events = stripe.shelf.events
    put(archive, *events, *events[:2], events[0], events[0])
    assert found(run, stripe)["duplicates"] == {"events": 2, "extra_copies": 4}


def test_an_archived_event_that_stripe_does_not_know_is_shown_with_its_place(
    run: Run, stripe: FakeStripe, archive: LocalArchive, folder: Path, now: int
) -> None:
    put(archive, *stripe.shelf.events)
    stranger = delivered(event(66, now - 5 * HOUR, "invoice.paid"))
    day = datetime.fromtimestamp(now, UTC)
    store(
        folder,
        delivered(stripe.shelf.events[0]).line(),
        stranger.line(),
        day=f"webhooks/{day:year=%Y/month=%m/day=%d}",
    )
    result = reconcile(run, stripe)
    assert result.exit_code == 1
    assert "Archived, and unknown to Stripe: 1 event\n" in result.stdout
    (told,) = found(run, stripe)["unknown"]
    assert told["id"] == "evt_000066"
    assert told["where"].endswith("/a.json.gz line 2")


def test_what_the_key_cannot_see_is_not_unknown(
    run: Run, stripe: FakeStripe, archive: LocalArchive, now: int
) -> None:
    put(archive, *stripe.shelf.events)
    put(
        archive,
        event(20, now - HOUR, livemode=True),
        event(21, now - HOUR, account="acct_1"),
        event(22, now - HOUR, object="v2.core.event"),
        # Stripe has forgotten it, or will any minute
        event(23, now - 30 * 24 * HOUR + 60),
    )
    result = run("reconcile", "--last", "31", "--rate", "100", **stripe.variables())
    assert "1 live mode event of the archive left out" in result.stderr
    assert "1 event of connected accounts left out" in result.stderr
    assert "1 record left out: thin events, or no events" in result.stderr
    assert (result.exit_code, result.stdout[:13]) == (0, "All 10 events")


def test_only_what_the_endpoint_receives_is_expected(
    run: Run, stripe: FakeStripe, archive: LocalArchive, now: int
) -> None:
    stripe.endpoints = [
        {**ENDPOINT, "enabled_events": ["charge.succeeded"]},
        {**ENDPOINT, "id": "we_2", "url": ENDPOINT["url"] + "/", "enabled_events": ["payout.paid"]},
        {**ENDPOINT, "id": "we_3", "url": "https://example.com/", "enabled_events": ["*"]},
    ]
    put(archive, *stripe.shelf.events)
    stripe.hold(event(30, now - HOUR, "payout.paid"), event(31, now - HOUR, "invoice.paid"))
    told = found(run, stripe)
    assert (ids(told["missing"]), told["not_subscribed"]) == (["evt_000030"], 1)
    assert found(run, stripe, "--endpoint", "we_1")["not_subscribed"] == 2
    everything = found(run, stripe, "--endpoint", "https://example.com/")
    assert ids(everything["missing"]) == ["evt_000030", "evt_000031"]


SELECTION_REQUIRED = [
    "identity.verification_session.redacted",
    "issuing_authorization.request",
    "reporting.report_type.updated",
]


def test_a_star_leaves_out_the_types_that_need_explicit_selection(
    run: Run, stripe: FakeStripe, archive: LocalArchive, folder: Path, now: int
) -> None:
    """Stripe makes such events where any endpoint names their type, and lists them."""
    put(archive, *stripe.shelf.events)
    stripe.hold(*(event(30 + n, now - HOUR, name) for n, name in enumerate(SELECTION_REQUIRED)))
    told = found(run, stripe, "--repair")
    assert (told["missing"], told["repaired"], told["not_subscribed"]) == ([], [], 3)
    assert len(list(folder.rglob("*.gz"))) == 10
    stripe.endpoints = [{**ENDPOINT, "enabled_events": ["*", SELECTION_REQUIRED[1]]}]
    assert ids(found(run, stripe)["missing"]) == ["evt_000031"]


def test_where_it_cannot_be_known_whether_a_star_includes_a_type_nothing_is_put_back(
    run: Run, stripe: FakeStripe, archive: LocalArchive, now: int
) -> None:
    put(archive, *stripe.shelf.events)
    stripe.hold(event(30, now - HOUR, "treasury.received_credit.created"), event(31, now - HOUR))
    result = reconcile(run, stripe, "--repair")
    assert result.exit_code == 1
    assert "Put back 1 missing event:" in result.stdout
    assert "not known whether an endpoint for * receives treasury.received_credit.created:" in (
        result.stdout
    )
    told = found(run, stripe)
    assert ids(told["missing"]) == ["evt_000030"]
    assert told["uncertain_types"] == ["treasury.received_credit.created"]
    assert "Put them back" not in reconcile(run, stripe).stdout
    told = found(run, stripe, "--repair", "--type", "treasury.received_credit.created")
    assert ids(told["repaired"]) == ["evt_000030"]


def test_nothing_of_the_archive_or_of_stripe_moves_the_cursor(
    run: Run, stripe: FakeStripe, archive: LocalArchive, folder: Path, now: int
) -> None:
    put(archive, *stripe.shelf.events)
    day = f"webhooks/{datetime.fromtimestamp(now, UTC):year=%Y/month=%m/day=%d}"
    store(folder, b"[1]\n", day=day, name="\x1b]0;odd\x07.json.gz")
    put(archive, event(66, now - HOUR, id="evt_\x1b[2J"))
    stripe.hold(event(31, now - HOUR, "charge.\x1b[31m", id="evt_\x1b[1m"))
    stripe.endpoints = [ENDPOINT, {**ENDPOINT, "id": "we_\x1b[1m", "enabled_events": ["a"]}]
    result = reconcile(run, stripe)
    assert result.exit_code == 1
    assert "evt_\N{REPLACEMENT CHARACTER}[2J" in result.stdout
    assert "odd" in result.stdout
    assert "we_1 and we_" in result.stderr
    assert not {character for character in result.output if character < " "} - {"\n"}


@pytest.mark.parametrize(
    ("endpoints", "strangers", "variables", "said"),
    [
        ([], [], {}, "The address of no endpoint at Stripe ends in /webhook/stripe, so it is"),
        ([ENDPOINT], [50], {}, "Stripe does not know what the archive has, evt_000050 for one"),
        (
            [ENDPOINT],
            [],
            {"ARCHIVE_BUCKET": "archive", "ARCHIVE_DIR": "", "AWS_REGION": "eu-west-1"},
            "The stream that fills s3://archive is not named",
        ),
    ],
)
def test_a_repair_that_would_be_refused_is_not_recommended(
    run: Run,
    stripe: FakeStripe,
    archive: LocalArchive,
    now: int,
    monkeypatch: pytest.MonkeyPatch,
    endpoints: list[dict[str, Any]],
    strangers: list[int],
    variables: dict[str, str],
    said: str,
) -> None:
    monkeypatch.setattr(BucketStorage, "days", lambda _: [])
    stripe.endpoints = endpoints
    put(archive, *(event(n, now - HOUR) for n in strangers))
    result = reconcile(run, stripe, **variables)
    assert result.exit_code == 1
    assert "Missing: 10 events" in result.stdout
    assert "Put them back" not in result.stdout
    assert f"--repair would write nothing: {said}" in result.stdout
    told = json.loads(reconcile(run, stripe, "--json", **variables).stdout)
    assert told["repair_refused"].startswith(said)


def test_types_take_the_place_of_the_endpoint(
    run: Run, stripe: FakeStripe, archive: LocalArchive, now: int
) -> None:
    stripe.endpoints = []
    stripe.hold(event(30, now - HOUR, "payout.paid"), event(31, now - HOUR, "invoice.paid"))
    # unknown to Stripe, but of a type that it was not asked for
    put(archive, event(32, now - HOUR, "customer.created"))
    told = found(run, stripe, "--type", "payout.paid", "--type", "invoice.paid")
    assert ids(told["missing"]) == ["evt_000030", "evt_000031"]
    assert (told["archived"], told["unknown"], told["notes"]) == (0, [], [])
    listed = [asked for asked in stripe.asked if asked.startswith("/v1/events?")]
    assert listed
    assert all("types%5B%5D=payout.paid" in asked for asked in listed)


def test_more_types_than_stripe_takes_are_sifted_here(
    run: Run, stripe: FakeStripe, now: int
) -> None:
    stripe.hold(event(30, now - HOUR, "payout.paid"))
    types = [word for n in range(30) for word in ("--type", f"made.up_{n}")]
    assert ids(found(run, stripe, *types, "--type", "payout.paid")["missing"]) == ["evt_000030"]
    assert ids(found(run, stripe, "--type", "payout.*")["missing"]) == ["evt_000030"]


@pytest.mark.parametrize(
    ("endpoints", "forbidden", "said"),
    [
        ([ENDPOINT], {"/v1/webhook_endpoints"}, "cannot be read (403): events of all types"),
        (
            [{**ENDPOINT, "url": "https://example.com/x"}],
            set(),
            "no endpoint at Stripe ends in /webhook/stripe",
        ),
        ([{**ENDPOINT, "status": "disabled"}], set(), "we_1 is disabled: Stripe delivers nothing"),
    ],
)
def test_what_is_odd_about_the_endpoint_is_noted(
    run: Run,
    stripe: FakeStripe,
    archive: LocalArchive,
    endpoints: list[dict[str, Any]],
    forbidden: set[str],
    said: str,
) -> None:
    put(archive, *stripe.shelf.events)
    stripe.endpoints, stripe.forbidden = endpoints, forbidden
    result = reconcile(run, stripe)
    assert said in result.stderr
    assert (result.exit_code, result.stdout[:13]) == (0, "All 10 events")


def test_an_endpoint_that_is_not_there_is_an_error_that_names_those_that_are(
    run: Run, stripe: FakeStripe
) -> None:
    result = reconcile(run, stripe, "--endpoint", "we_9")
    assert result.exit_code == 2
    assert "we_1 https://example.com/webhook/stripe" in result.stderr


def test_endpoints_of_several_pages_are_read(
    run: Run, stripe: FakeStripe, archive: LocalArchive
) -> None:
    others = [{**ENDPOINT, "id": f"we_x{n}", "url": "https://x.example/"} for n in range(120)]
    stripe.endpoints = [*others, {**ENDPOINT, "enabled_events": ["payout.paid"]}]
    assert found(run, stripe)["not_subscribed"] == 10


def test_damage_in_the_archive_is_something_to_look_at(
    run: Run, stripe: FakeStripe, archive: LocalArchive, folder: Path, now: int
) -> None:
    put(archive, *stripe.shelf.events)
    day = f"webhooks/{datetime.fromtimestamp(now, UTC):year=%Y/month=%m/day=%d}"
    store(folder, b"[1]\n", day=day, name="odd.json.gz")
    path = store(folder, delivered(event(1, now)).line(), day=day, name="cut.json.gz")
    path.write_bytes(path.read_bytes()[:-12])
    result = reconcile(run, stripe)
    assert result.exit_code == 1
    assert "odd.json.gz line 1: not a record\n" in result.stdout
    assert "cut.json.gz line 1: gzip is cut short\n" in result.stdout


def test_repair_puts_back_what_is_missing_and_nothing_twice(
    run: Run, stripe: FakeStripe, archive: LocalArchive, folder: Path, now: int
) -> None:
    put(archive, *stripe.shelf.events)
    lost = [event(80, now - 3 * HOUR), event(81, now - 30 * HOUR, pending_webhooks=1)]
    stripe.hold(*lost, event(90, now - 5))
    told = found(run, stripe, "--last", "3", "--repair")
    assert (told["missing"], ids(told["repaired"])) == ([], ["evt_000080", "evt_000081"])
    files = sorted(folder.rglob("*.gz"))
    # one was young, and may come by itself
    assert len(files) == 12
    again = reconcile(run, stripe, "--last", "3", "--repair")
    assert (again.exit_code, again.stdout[:13]) == (0, "All 12 events")
    assert sorted(folder.rglob("*.gz")) == files


def test_a_repair_ends_with_0_only_where_nobody_has_to_look(
    run: Run, stripe: FakeStripe, archive: LocalArchive, now: int
) -> None:
    result = reconcile(run, stripe, "--repair")
    assert result.exit_code == 0
    assert "Put back 10 missing events:" in result.stdout
    put(archive, event(66, now - HOUR))
    stripe.hold(event(67, now - HOUR))
    result = reconcile(run, stripe, "--repair")
    assert result.exit_code == 1
    assert "Put back 1 missing event:" in result.stdout


def test_nothing_is_put_into_the_archive_of_another_account(
    run: Run, stripe: FakeStripe, archive: LocalArchive, folder: Path, now: int
) -> None:
    put(archive, *(event(n, now - n * HOUR) for n in range(101, 103)))
    put(archive, *(event(n, now - HOUR) for n in range(103, 109)))
    result = reconcile(run, stripe, "--last", "10", "--repair")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Stripe does not know what the archive has, evt_0001" in result.stderr
    assert "is of another account; nothing is written\n  Fix: use a key of" in result.stderr
    assert len(list(folder.rglob("*.gz"))) == 8
    assert len(found(run, stripe, "--last", "10")["missing"]) == 10
    told = reconcile(run, stripe, "--last", "10", "--repair", "--force")
    assert "Put back 10 missing events" in told.stdout


def test_a_few_events_that_somebody_made_up_do_not_stop_a_repair(
    run: Run, stripe: FakeStripe, archive: LocalArchive, now: int
) -> None:
    put(archive, event(66, now - 60), event(67, now - 70), *stripe.shelf.events[1:])
    told = found(run, stripe, "--repair")
    assert (ids(told["repaired"]), ids(told["unknown"])) == (
        [stripe.shelf.id(0)],
        ["evt_000066", "evt_000067"],
    )


def test_nothing_is_put_into_an_archive_of_the_other_mode(
    run: Run, stripe: FakeStripe, archive: LocalArchive, folder: Path, now: int
) -> None:
    put(archive, event(50, now - HOUR, livemode=True))
    result = reconcile(run, stripe, "--repair")
    assert result.exit_code == 2
    assert (
        "only events of live mode or of connected accounts, and STRIPE_API_KEY sees its own"
        in result.stderr
    )
    # of both modes
    put(archive, stripe.shelf.events[0])
    assert reconcile(run, stripe, "--repair").exit_code == 0
    assert len(list(folder.rglob("*.gz"))) == 11


def test_a_key_that_sees_nothing_of_the_archive_does_not_say_that_all_is_well(
    run: Run, stripe: FakeStripe, archive: LocalArchive, now: int
) -> None:
    stripe.shelf = Shelf()
    assert reconcile(run, stripe).exit_code == 0
    put(archive, event(50, now - HOUR, livemode=True), event(51, now - HOUR, account="acct_1"))
    result = reconcile(run, stripe)
    assert result.exit_code == 1
    assert "Nothing was compared: STRIPE_API_KEY sees none of the 2 archived" in result.stdout


@pytest.mark.parametrize("endpoints", [[], [{**ENDPOINT, "url": "https://example.com/x"}]])
def test_what_nobody_may_have_subscribed_to_is_not_put_back(
    run: Run, stripe: FakeStripe, folder: Path, endpoints: list[dict[str, Any]]
) -> None:
    stripe.endpoints = endpoints
    result = reconcile(run, stripe, "--repair")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "not known which types the archive should have; nothing is written" in result.stderr
    assert list(folder.rglob("*.gz")) == []
    assert reconcile(run, stripe, "--repair", "--type", "charge.succeeded").exit_code == 0


def test_what_an_object_hides_is_not_put_in_again(
    run: Run, stripe: FakeStripe, archive: LocalArchive, folder: Path, now: int
) -> None:
    put(archive, *stripe.shelf.events[:9])
    day = folder / "webhooks/year=2026/month=02/day=28"
    (day / "elsewhere.json.gz").symlink_to("/no/such/file")
    result = reconcile(run, stripe, "--repair")
    assert result.exit_code == 2
    assert "1 object of the archive cannot be opened, and what is in there would" in result.stderr
    told = reconcile(run, stripe)
    assert told.exit_code == 1
    assert "1 fault in the archive; what cannot be read counts as missing:\n" in (told.stdout)
    assert "elsewhere.json.gz: cannot be read: No such file or directory\n" in told.stdout
    assert "Put back 1 missing event" in reconcile(run, stripe, "--repair", "--force").stdout


def test_what_is_damaged_for_good_is_put_back(
    run: Run, stripe: FakeStripe, archive: LocalArchive, folder: Path
) -> None:
    put(archive, *stripe.shelf.events)
    damaged = sorted(folder.rglob("*.gz"))[3]
    damaged.write_bytes(damaged.read_bytes()[:-30])
    told = found(run, stripe, "--repair")
    assert (len(told["repaired"]), len(told["faults"])) == (1, 1)


def test_what_a_platform_hears_of_connected_accounts_is_not_expected_of_its_own(
    run: Run, stripe: FakeStripe, archive: LocalArchive, now: int
) -> None:
    connect = {**ENDPOINT, "id": "we_2", "application": "ca_1"}
    stripe.endpoints = [{**ENDPOINT, "enabled_events": ["payout.paid"]}, connect]
    stripe.hold(event(30, now - HOUR, "payout.paid"))
    told = found(run, stripe)
    assert (ids(told["missing"]), told["not_subscribed"]) == (["evt_000030"], 10)
    (noted,) = told["notes"]
    assert noted == "we_2 is for connected accounts: what it alone receives is not expected"
    # an application can have made the endpoint, and nothing says for whom
    stripe.endpoints = [connect]
    assert len(found(run, stripe)["missing"]) == 11


def test_endpoints_that_differ_are_named(
    run: Run, stripe: FakeStripe, archive: LocalArchive
) -> None:
    put(archive, *stripe.shelf.events)
    staging = {"id": "we_2", "url": "https://staging.example.com/hooks/webhook/stripe"}
    stripe.endpoints = [ENDPOINT, {**ENDPOINT, **staging, "enabled_events": ["payout.paid"]}]
    result = reconcile(run, stripe)
    assert "we_1 and we_2 differ, and what any of them receives is expected" in result.stderr
    assert reconcile(run, stripe, "--endpoint", "we_1").stderr == ""


def test_what_a_script_reads(
    run: Run, stripe: FakeStripe, archive: LocalArchive, folder: Path, now: int
) -> None:
    put(archive, *stripe.shelf.events[1:], event(66, now - HOUR), event(66, now - HOUR))
    put(archive, event(20, now - HOUR, livemode=True), event(21, now - HOUR, account="acct_1"))
    archive.put(webhook_record(b'["no event"]', "t=1,v1=00", datetime.fromtimestamp(now, UTC)))
    stripe.hold(event(90, now - 5))
    told = found(run, stripe)
    assert told.pop("at") == told.pop("last") == now
    assert told.pop("first") % 86_400 == 0
    assert told.pop("days") == "2026-02-28 to 2026-03-01"
    (missing,), (unknown,) = told.pop("missing"), told.pop("unknown")
    assert missing == {
        "id": stripe.shelf.id(1),
        "type": "charge.succeeded",
        "created": now - HOUR,
        "pending_webhooks": 0,
    }
    assert unknown.pop("where").endswith(".json.gz line 1")
    assert unknown == {"id": "evt_000066"}
    assert told.pop("notes")[0].startswith("1 live mode event of the archive left out")
    assert told == {
        "archive": str(folder),
        "livemode": False,
        "archived": 9,
        "missing_still_tried": 0,
        "repaired": [],
        "in_flight": 1,
        "not_subscribed": 0,
        "other_mode": 1,
        "connect": 1,
        "not_listed": 1,
        "duplicates": {"events": 1, "extra_copies": 1},
        "uncertain_types": [],
        "repair_refused": None,
        "endpoint_findings": [],
        "faults": [],
        "fault_count": 0,
    }


@pytest.mark.parametrize("days", [("--last", "36600"), ("--to", "9999-12-31")])
def test_days_without_an_end_are_cut(
    run: Run, stripe: FakeStripe, archive: LocalArchive, days: tuple[str, str]
) -> None:
    put(archive, *stripe.shelf.events)
    result = run("reconcile", "--rate", "100", *days, **stripe.variables())
    assert (result.exit_code, result.stdout[:13]) == (0, "All 10 events")


def test_a_repaired_record_has_the_api_s_bytes_and_says_where_it_is_from(
    run: Run, stripe: FakeStripe, folder: Path, now: int
) -> None:
    reconcile(run, stripe, "--repair")
    records = records_of(*folder.rglob("*.gz"))
    assert {record["source"] for record in records} == {"events_api"}
    assert {record["stripe_signature"] for record in records} == {None}
    by_id = {record["id"]: record["payload"].encode() for record in records}
    assert by_id == {stripe.shelf.id(n): stripe.shelf.rendered(n) for n in range(10)}
    day = datetime.fromtimestamp(now, UTC)
    assert {path.parent for path in folder.rglob("*.gz")} == {
        folder / f"webhooks/{day:year=%Y/month=%m/day=%d}"
    }


def test_a_folder_that_takes_nothing_is_an_error_with_a_cure(
    run: Run, stripe: FakeStripe, folder: Path
) -> None:
    (folder / "webhooks").write_text("a file where the folder should be")
    result = reconcile(run, stripe, "--repair")
    assert result.exit_code == 2
    assert "did not take an event" in result.stderr
    assert "Fix: `flask doctor`" in result.stderr


def test_a_day_that_stripe_has_forgotten_is_an_error(run: Run, stripe: FakeStripe) -> None:
    result = run("reconcile", "--to", "2020-01-01", **stripe.variables())
    assert result.exit_code == 2
    assert "it keeps them for 30 days\n  Fix: ask for days from 20" in result.stderr
    assert stripe.asked == []


def test_a_range_that_begins_too_early_is_cut_with_a_note(
    run: Run, stripe: FakeStripe, archive: LocalArchive
) -> None:
    put(archive, *stripe.shelf.events)
    result = run("reconcile", "--last", "40", "--rate", "100", **stripe.variables())
    assert "Stripe no longer has the events before 20" in result.stderr
    assert (result.exit_code, result.stdout[:13]) == (0, "All 10 events")


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (("--type", "a", "--endpoint", "b"), {}, "give one of them"),
        ((), {"STRIPE_API_KEY": ""}, "STRIPE_API_KEY is not set"),
        ((), {"STRIPE_API_KEY": "rk_test_wrong"}, "does not accept STRIPE_API_KEY (401)"),
        (("--rate", "0"), {}, "0.1<=x<=100"),
    ],
)
def test_what_it_cannot_do_is_said_without_the_key(
    run: Run, stripe: FakeStripe, arguments: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    told = stripe.variables() | variables
    result = run("reconcile", *arguments, **told)
    assert result.exit_code == 2
    assert said in result.stderr
    assert KEY not in result.output
    assert "wrong" not in result.output
    assert result.stdout == ""


def test_no_payload_is_ever_printed(
    run: Run, stripe: FakeStripe, archive: LocalArchive, now: int
) -> None:
    put(archive, event(66, now - HOUR), *stripe.shelf.events[:3])
    for arguments in ((), ("--json",), ("--repair",)):
        result = reconcile(run, stripe, *arguments)
        assert result.exit_code == 1
        assert "Zoë" not in result.output
        assert "ch_" not in result.output


def test_a_deletion_from_a_month_of_the_service_s_own_archive_is_found_and_put_back(
    run: Run, folder: Path, now: int
) -> None:
    """The end of the shop's month, moved to now, archived by the service itself."""
    newest = datetime.fromtimestamp(now, UTC) - timedelta(hours=1)
    shift = newest - month.deliveries()[-1].arrives
    planned = [_moved(delivery, shift) for delivery in month.deliveries()[-100:]]
    shown = {}
    for delivery in planned:
        body = json.loads(delivery.body)
        event = isinstance(body, dict) and body["object"] == "event"
        if event and body["livemode"] and not body.get("account"):
            shown[body["id"]] = body
    month.archive(folder, planned)
    with FakeStripe(list(shown.values())).serving() as stripe:
        stripe.key = "rk_live_reader"
        stripe.endpoints = [ENDPOINT]
        words = ("reconcile", "--last", "31", "--rate", "100")
        assert run(*words, **stripe.variables()).exit_code == 0
        deleted = sorted(folder.rglob("*.gz"))[50]
        (lost,) = records_of(deleted)
        deleted.unlink()
        missing = json.loads(run(*words, "--json", **stripe.variables()).stdout)["missing"]
        assert ids(missing) == [lost["id"]]
        assert run(*words, "--repair", **stripe.variables()).exit_code == 0
        assert run(*words, **stripe.variables()).exit_code == 0


def records_of(*paths: Path) -> list[dict[str, Any]]:
    lines = (line for path in paths for line in gzip.decompress(path.read_bytes()).splitlines())
    return [json.loads(line) for line in lines]


def _moved(delivery: month.Delivery, shift: timedelta) -> month.Delivery:
    body = json.loads(delivery.body)
    if not isinstance(body, dict) or body["object"] != "event":
        return month.Delivery(delivery.arrives + shift, delivery.body)
    body["created"] += int(shift.total_seconds())
    return month.Delivery(delivery.arrives + shift, json.dumps(body).encode())


def test_the_processes_that_read_the_archive_do_without_stripe_s_library() -> None:
    """Each would need 25 MB more."""
    code = "import sys, archive_tools.reconciling.index as _; sys.exit('stripe' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0

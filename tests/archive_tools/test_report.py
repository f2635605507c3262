"""`stripe-archive report`: from an archive to a page or its figures."""

import errno
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from archive_tools import report
from examples import month
from tests.support.service import PROJECT
from webhook_app.events.record import events_api_record
from webhook_app.version import __version__

from .conftest import Run, signed_record, store

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
DELIVERIES = ("--only", "deliveries")
RANGE = ("--from", "2026-11-01", "--to", "2026-11-20", "--today", "2026-11-20", *DELIVERIES)


def event(id_: str, created: datetime, type_: str = "t", **charge: Any) -> bytes:
    fields = {"id": id_, "object": "event", "type": type_, "livemode": True}
    fields |= {"created": int(created.timestamp())}
    return json.dumps(fields | {"data": {"object": charge}}).encode()


def put(
    folder: Path, arrived: datetime, *bodies: bytes, in_folder_of: datetime | None = None
) -> None:
    """Archive bodies that arrive at some time, in one object."""
    lines = [signed_record(body, arrived=arrived).line() for body in bodies]
    store(folder, *lines, name=f"{arrived:%H%M%S%f}.json.gz", day=key(in_folder_of or arrived))


def key(day: datetime) -> str:
    return f"webhooks/year={day:%Y}/month={day:%m}/day={day:%d}"


def charge(currency: str, amount: int, **others: Any) -> dict[str, Any]:
    fields = {"object": "charge", "currency": currency, "captured": True}
    return fields | {"amount": amount, "amount_captured": amount, **others}


@pytest.fixture
def figures(run: Run) -> Any:
    """Call with more arguments to get the figures of the deliveries in the test's archive."""

    def call(*arguments: str, status: int = 0) -> dict[str, Any]:
        result = run("report", "--json", *(arguments or RANGE), *DELIVERIES)
        assert result.exit_code == status, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return {**found, **found["deliveries"]}

    return call


def arrivals(figures: dict[str, Any], day: str) -> dict[str, Any]:
    found: dict[str, Any] = next(d["arrivals"] for d in figures["days"] if d["day"] == day)
    return found


def test_the_page_is_written_and_its_summary_printed(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    put(folder, NOON, event("evt_1", NOON))
    target = tmp_path / "report.html"
    result = run("report", "--output", str(target), *RANGE)
    assert result.exit_code == 0
    assert "1 event in 1 delivery on 1 of 20 days" in result.stdout
    assert "Nothing unusual." in result.stdout
    text = target.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "1 November to 20 November 2026" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "report.html"]


def test_the_same_archive_and_day_give_the_same_page(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    put(folder, NOON, event("evt_1", NOON), event("evt_2", NOON, "u"))
    pages = [tmp_path / "one.html", tmp_path / "two.html"]
    for page in pages:
        assert run("report", "--output", str(page), *RANGE).exit_code == 0
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert f"Stripe Analytics Backend {__version__}, 2026-11-20<" in pages[0].read_text()


def test_json_has_the_figures_and_writes_no_file(
    figures: Any, folder: Path, tmp_path: Path
) -> None:
    put(folder, NOON, event("evt_1", NOON))
    found = figures()
    assert found["summary"].startswith("1 event in 1 delivery")
    assert found["findings"] == []
    assert found["origin"]["first"] == "2026-11-01"
    assert found["days"][9]["stored"]["objects"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]


@pytest.mark.parametrize("arguments", [(), ("--json", "--output", "report.html")])
def test_either_a_file_or_json_is_asked_for(run: Run, arguments: tuple[str, ...]) -> None:
    result = run("report", *arguments)
    assert result.exit_code == 2
    assert "Give --output FILE for the page, or --json" in result.stderr


def test_an_empty_range_has_a_page_that_says_so(run: Run, folder: Path, tmp_path: Path) -> None:
    put(folder, NOON, event("evt_1", NOON))
    target = tmp_path / "report.html"
    october = ("--from", "2026-10-01", "--to", "2026-10-20")
    result = run("report", "--output", str(target), *october, *DELIVERIES)
    assert result.exit_code == 0
    assert "Nothing arrived in these days" in target.read_text()


def test_an_archive_without_any_day_has_a_page_too(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    assert run("report", "--output", str(target), *DELIVERIES).exit_code == 0
    assert "Nothing arrived in these days" in target.read_text()


def test_an_unreadable_object_is_named_and_the_rest_counted(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    put(folder, NOON, event("evt_1", NOON))
    broken = folder / key(NOON) / "broken.json.gz"
    broken.write_bytes(gzip.compress(signed_record(arrived=NOON).line())[:-9])
    target = tmp_path / "report.html"
    result = run("report", "--output", str(target), *RANGE)
    assert result.exit_code == 1
    assert "A part of the archive could not be read: 1 fault." in result.stdout
    text = target.read_text()
    assert f"<code>{key(NOON)}/broken.json.gz</code>" in text
    assert 'id="deliveries"' in text


def test_what_is_far_from_the_range_is_not_read(figures: Any, folder: Path) -> None:
    put(folder, NOON, event("evt_1", NOON))
    far = folder / key(NOON - timedelta(days=9)) / "broken.json.gz"
    far.parent.mkdir(parents=True)
    far.write_bytes(b"not gzip")
    found = figures("--from", "2026-11-10", "--to", "2026-11-10", "--today", "2026-11-20")
    assert found["faults"] == []
    assert found["total"]["deliveries"] == 1


def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "collect", None)
    result = run("report", "--output", str(tmp_path / "missing/report.html"), *RANGE)
    assert result.exit_code == 2
    assert "name a file in a folder that is there and may be written to" in result.stderr


@pytest.mark.parametrize(
    ("error", "words"), [(KeyboardInterrupt, ()), (OSError, (errno.ENOSPC, "No space left"))]
)
def test_a_page_that_cannot_be_finished_leaves_the_old_one_alone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Any, words: Any
) -> None:
    def failing(*_: object) -> None:
        raise error(*words)

    target = tmp_path / "report.html"
    target.write_text("the old one")
    monkeypatch.setattr(Path, "replace", failing)
    result = run("report", "--output", str(target), *RANGE)
    assert result.exit_code == 2
    assert target.read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "report.html"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--from", "2026-12-01", "--today", "2026-11-20"), "is in the future"),
        (("--from", "2020-01-01", "--to", "2026-11-20"), "too long for a page"),
        (("--from", "0001-01-01", "--to", "0001-01-03"), "No archive has the day 0001-01-01"),
        (("--today", "0001-01-03"), "No archive has the day 0001-01-03"),
        (("--today", "9999-12-31"), "No archive has the day 9999-12-31"),
    ],
)
def test_a_range_that_makes_no_page_is_refused(
    run: Run, arguments: tuple[str, ...], error: str
) -> None:
    result = run("report", "--json", *arguments)
    assert result.exit_code == 2
    assert error in result.stderr


def test_an_open_range_goes_from_the_first_day_of_the_archive_to_today(
    figures: Any, folder: Path
) -> None:
    put(folder, NOON, event("evt_1", NOON))
    found = figures("--to", "2026-11-12")["origin"]
    assert (found["first"], found["last"]) == ("2026-11-10", "2026-11-12")
    found = figures("--from", "2026-11-09", "--today", "2026-11-11")["origin"]
    assert (found["first"], found["last"]) == ("2026-11-09", "2026-11-11")


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        ((), "2026-10-22"),
        (("--last", "3"), "2026-11-18"),
        (("--from", "2026-11-01"), "2026-11-01"),
        (("--from", "2026-11-01", "--to", "2026-11-30"), "2026-11-01"),
    ],
)
def test_a_range_ends_on_the_day_that_today_is_given_as(
    figures: Any, arguments: tuple[str, ...], first: str
) -> None:
    found = figures(*arguments, "--today", "2026-11-20")["origin"]
    assert (found["first"], found["last"]) == (first, "2026-11-20")


def test_an_event_that_came_before_the_range_is_not_new_in_it(figures: Any, folder: Path) -> None:
    before = NOON - timedelta(days=2)
    put(folder, before, event("evt_1", before))
    put(folder, NOON, event("evt_1", before))
    found = figures("--from", "2026-11-10", "--to", "2026-11-10", "--today", "2026-11-20")
    total = found["total"]
    assert (total["deliveries"], total["events"], total["copies"]) == (1, 0, 1)
    assert total["repeated"] == 1
    assert found["repeated"][0]["arrivals"] == 2


def test_an_event_that_came_again_after_the_range_came_once_in_it(
    figures: Any, folder: Path
) -> None:
    put(folder, NOON, event("evt_1", NOON))
    put(folder, NOON + timedelta(days=1), event("evt_1", NOON))
    found = figures("--from", "2026-11-10", "--to", "2026-11-10", "--today", "2026-11-20")
    assert (found["total"]["events"], found["total"]["copies"]) == (1, 0)
    assert found["repeated"] == []


def test_a_record_in_the_folder_of_the_day_before_counts_on_its_own_day(
    figures: Any, folder: Path
) -> None:
    after_midnight = datetime(2026, 11, 11, 0, 0, 5, tzinfo=UTC)
    put(folder, after_midnight, event("evt_1", after_midnight), in_folder_of=NOON)
    found = figures("--from", "2026-11-11", "--to", "2026-11-12", "--today", "2026-11-20")
    assert arrivals(found, "2026-11-11")["events"] == 1


def test_a_first_arrival_is_late_after_60_seconds(figures: Any, folder: Path) -> None:
    put(folder, NOON, event("evt_1", NOON - timedelta(seconds=60)))
    put(folder, NOON + timedelta(seconds=1), event("evt_2", NOON - timedelta(seconds=60)))
    found = figures()
    assert found["total"]["late"] == 1
    assert [(one["id"], one["delay"]) for one in found["late"]] == [("evt_2", 61.0)]
    assert found["findings"] == [
        {
            "section": "failures",
            "text": "1 event (50.0% of all) arrived first more than a minute late: "
            "an earlier attempt failed, or Stripe was late.",
        }
    ]


def test_a_redelivery_makes_no_first_arrival_late(figures: Any, folder: Path) -> None:
    put(folder, NOON, event("evt_1", NOON))
    put(folder, NOON + timedelta(hours=9), event("evt_1", NOON))
    total = figures()["total"]
    assert total["late"] == 0
    assert total["first"]["p99"] == 0
    assert total["every"]["p99"] == 32_400


def test_what_was_fetched_from_the_api_has_no_delay_and_fills_no_silence(
    figures: Any, folder: Path
) -> None:
    put(folder, NOON, event("evt_1", NOON))
    later = NOON + timedelta(hours=5)
    fetched = events_api_record(event("evt_2", NOON), later).line()
    store(folder, fetched, name="api.json.gz", day=key(later))
    found = figures()
    day = next(day for day in found["days"] if day["day"] == "2026-11-10")
    assert found["total"]["from_api"] == 1
    assert found["total"]["late"] == 0
    assert day["hours"] == [0] * 12 + [1] + [0] * 11


def test_days_with_nothing_but_records_of_the_api_have_a_page(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    fetched = events_api_record(event("evt_1", NOON), NOON).line()
    store(folder, fetched, name="api.json.gz", day=key(NOON))
    result = run("report", "--output", str(tmp_path / "report.html"), *RANGE)
    assert result.exit_code == 0, result.output
    assert "1 record came from the Events API" in result.stdout


def test_what_is_no_event_is_a_delivery_without_an_id(figures: Any, folder: Path) -> None:
    put(folder, NOON, b"[1]", b"[2]", event("evt_1", NOON))
    found = figures()
    total = found["total"]
    assert (total["deliveries"], total["events"], total["without_id"]) == (3, 1, 2)
    assert total["copies"] == 0
    assert [one["section"] for one in found["findings"]] == ["deliveries"]


def test_the_seven_largest_types_have_a_name_and_the_rest_is_together(
    figures: Any, folder: Path
) -> None:
    bodies = [
        event(f"evt_{size}_{n}", NOON, f"type.{size}") for size in range(1, 11) for n in range(size)
    ]
    put(folder, NOON, *bodies)
    found = figures()
    types = {one["name"]: sum(one["counts"]) for one in found["types"]}
    assert types == {f"type.{size}": size for size in range(4, 11)} | {"others": 6}
    assert next(iter(types)) == "type.10"
    assert found["type_count"] == 10


def test_money_is_exact_and_has_the_decimals_of_its_currency(figures: Any, folder: Path) -> None:
    succeeded = [
        event("evt_1", NOON, "charge.succeeded", **charge("jpy", 5400)),
        event("evt_2", NOON, "charge.succeeded", **charge("kwd", 12_345)),
        event("evt_3", NOON, "charge.succeeded", **charge("eur", 10)),
        event("evt_4", NOON, "charge.succeeded", **charge("eur", 20)),
        event("evt_5", NOON, "charge.refunded", **charge("eur", 20, amount_refunded=5)),
        event("evt_6", NOON, "charge.succeeded", **charge("eur", 900, captured=False)),
    ]
    put(folder, NOON, *succeeded)
    # a redelivery is no second payment
    put(folder, NOON + timedelta(hours=1), succeeded[0])
    found = {one["code"]: one for one in figures()["currencies"]}
    assert {code: one["decimals"] for code, one in found.items()} == {"JPY": 0, "KWD": 3, "EUR": 2}
    assert float(found["JPY"]["gross"][9]) == 5400
    assert found["KWD"]["gross"][9] == "12.345"
    assert found["EUR"]["gross"][9] == "0.300"
    assert found["EUR"]["refunded"][9] == "0.050"


def test_money_counts_on_the_day_of_the_event_however_late_it_came(
    figures: Any, folder: Path
) -> None:
    late = NOON + timedelta(days=2)
    put(folder, late, event("evt_1", NOON, "charge.succeeded", **charge("eur", 700)))
    found = figures("--from", "2026-11-10", "--to", "2026-11-10", "--today", "2026-11-20")
    assert found["total"]["deliveries"] == 0
    assert [one["gross"] for one in found["currencies"]] == [["7.000"]]


def test_a_payload_with_absurd_values_is_counted_and_breaks_nothing(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    odd = [
        {"id": "evt_1", "type": "<script>", "created": 2**63 - 1},
        {"id": "evt_2", "type": "charge.succeeded", "created": -5, "data": {"object": {}}},
        {"id": "evt_3", "type": None, "created": None, "data": []},
        json.loads(event("evt_4", NOON, "charge.succeeded", **charge("<i>", 10**17))),
        json.loads(event("evt_5", NOON, "charge.succeeded", **charge("eur", 10**30))),
    ]
    put(folder, NOON, *(json.dumps(one).encode() for one in odd))
    target = tmp_path / "report.html"
    result = run("report", "--output", str(target), *RANGE)
    assert result.exit_code == 0
    assert "late" not in result.stdout
    text = target.read_text()
    assert "5 events in 5 deliveries" in text
    assert "<script" not in text
    assert "&lt;I&gt;" in text


def test_the_money_is_that_of_the_query_library(run: Run, figures: Any, folder: Path) -> None:
    month.archive(folder)
    sql = (PROJECT / "deploy/athena/queries/revenue_by_day.sql").read_text()
    asked = sql.replace("current_date - INTERVAL '30' DAY", "DATE '2026-11-01'")
    assert asked != sql
    rows = json.loads(run("query", "--format", "json", "--", asked).stdout)
    expected = {
        (row["day"], row["livemode"], row["currency"].upper()): (
            Decimal(row["gross"]),
            Decimal(row["refunded"]),
        )
        for row in rows
    }
    found = figures("--from", "2026-11-01", "--today", "2026-11-23")
    days = [day["day"] for day in found["days"]]
    sums = {
        (day, one["livemode"], one["code"]): (Decimal(gross), Decimal(back))
        for one in found["currencies"]
        for day, gross, back in zip(days, one["gross"], one["refunded"], strict=True)
    }
    assert len(expected) > 40
    assert {key: sums[key] for key in expected} == expected
    assert sum(any(pair) for pair in sums.values()) == sum(any(pair) for pair in expected.values())


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="an-archive")
        yield s3


def test_a_bucket_gives_the_same_figures_as_a_folder(
    run: Run, figures: Any, folder: Path, bucket: Any
) -> None:
    put(folder, NOON, event("evt_1", NOON), event("evt_2", NOON - timedelta(hours=1)))
    put(folder, NOON + timedelta(days=1), event("evt_1", NOON))
    for path in folder.rglob("*.json.gz"):
        stored = path.relative_to(folder).as_posix()
        bucket.put_object(Bucket="an-archive", Key=stored, Body=path.read_bytes())
    there = ("--archive", "s3://an-archive", "--engine", "duckdb", *RANGE)
    of_bucket, of_folder = figures(*there), figures()
    assert of_bucket.pop("origin")["archive"] == "s3://an-archive"
    of_folder.pop("origin")
    assert of_bucket == of_folder
    assert of_bucket["total"]["deliveries"] == 3

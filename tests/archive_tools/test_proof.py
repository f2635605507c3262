"""Every byte of a record is held against something, and a changed one is found."""

import json
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_tools.proof import Proof, proof
from archive_tools.reading import BrokenError
from tests.archive_tools.conftest import ARRIVED, OTHER_SECRET, SECRET, signed_record
from webhook_app.events.record import Record, events_api_record, webhook_record

DAY = ARRIVED.date()
BODY = (
    b'{\n  "id": "evt_1", "type": "charge.succeeded", "object": "event", "created": 1795424624,\n'
    b'  "livemode": true, "api_version": "2026-10-29", "account": null,\n'
    b'  "data": {"object": {"amount": 100, "name": "Zo\xc3\xab \\u00eb"}}\n}'
)


def judged(record: Record, day: date = DAY, secrets: tuple[str, ...] = (SECRET,)) -> Proof:
    return proof(record.line()[:-1], day, secrets, 300)


def changed(record: Record, **fields: object) -> Record:
    return msgspec.structs.replace(record, **fields)


def test_a_genuine_record_names_its_secret() -> None:
    found = judged(signed_record(BODY, OTHER_SECRET), secrets=(SECRET, OTHER_SECRET))
    assert (found.secret, found.json, found.signed) == (1, True, True)
    assert found.record.payload.encode() == BODY


def test_age_says_nothing_against_a_signature() -> None:
    long_ago = datetime(2016, 2, 29, tzinfo=UTC)
    assert judged(signed_record(BODY, arrived=long_ago), long_ago.date()).secret == 0


def test_another_secret_proves_nothing() -> None:
    assert judged(signed_record(BODY, OTHER_SECRET)).secret is None


def test_what_the_events_api_gave_is_not_signed() -> None:
    found = judged(events_api_record(BODY, ARRIVED))
    assert (found.secret, found.signed) == (None, False)


def test_what_stripe_signed_need_not_be_json() -> None:
    found = judged(signed_record(b"no JSON"))
    assert (found.secret, found.json) == (0, False)
    with pytest.raises(BrokenError, match="payload is not JSON, and no given secret"):
        judged(signed_record(b"no JSON", OTHER_SECRET))


def test_an_event_without_an_id_is_json_all_the_same() -> None:
    assert judged(signed_record(b'["not", "an", "event"]')).json


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_changed_byte_is_found_wherever_it_is(data: st.DataObject) -> None:
    line = bytearray(signed_record(BODY).line()[:-1])
    at = data.draw(st.integers(0, len(line) - 1), "position")
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != line[at]), "byte")
    start = line.index(b'"received_at":"') + len(b'"received_at":"')
    original = bytes(line)
    line[at] = byte
    try:
        found = proof(bytes(line), DAY, (SECRET,), 300)
    except BrokenError:
        return
    if found.secret is None:
        return
    # nobody signed the time of arrival: it can move by as much as the service allows
    assert start <= at < start + len("2026-11-23T09:03:45.123456"), (original[at:], bytes(line))
    moved = datetime.fromisoformat(found.record.received_at) - ARRIVED
    assert abs(moved) <= timedelta(seconds=361)


@pytest.mark.parametrize(
    "column", ["id", "type", "object", "api_version", "account", "created", "livemode"]
)
def test_a_column_that_is_not_the_payloads_is_found(column: str) -> None:
    other = {"created": 1, "livemode": False}.get(column, "other")
    with pytest.raises(BrokenError, match=f"column {column} is not"):
        judged(changed(signed_record(BODY), **{column: other}))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"hello", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"id": "\xff"}', "not UTF-8|not JSON"),
        (b"[1]", "not a record: Expected `object`, got `array`"),
        (b'{"id": "evt_1"}', "not a record: Object missing required field"),
    ],
)
def test_a_line_that_is_no_record_is_told(line: bytes, what: str) -> None:
    with pytest.raises(BrokenError, match=what):
        proof(line, DAY, (SECRET,), 300)


def test_two_records_on_a_line_are_told() -> None:
    line = signed_record(BODY).line()[:-1]
    with pytest.raises(BrokenError, match="two records on one line"):
        proof(line + line, DAY, (SECRET,), 300)
    with pytest.raises(BrokenError, match="more than a record"):
        proof(line + b" 2", DAY, (SECRET,), 300)


def test_a_record_has_one_line_that_is_sound() -> None:
    """A reader takes the first of two keys, or the last; the forged payload could be either."""
    line = signed_record(BODY).line()[:-1]
    fields = json.loads(line)
    other = json.dumps(BODY.decode().replace("100", "900"), ensure_ascii=False).encode()
    reordered = {"payload": fields.pop("payload"), **fields}
    for forged, what in (
        (line.replace(b'"payload":', b'"payload":' + other + b',"payload":'), "field payload is"),
        (line[:-1] + b"," + line[1:], "field received_at is there more than once"),
        (line.replace(b'"id":', b'"id": '), "the order, spaces or escapes are others"),
        (line + b" ", "the order, spaces or escapes are others"),
        (line.replace(b"evt_1", b"\\u0065vt_1"), "the order, spaces or escapes are others"),
        (line.replace(b'"source"', b'"sourc\\u0065"'), "the order, spaces or escapes are others"),
        (msgspec.json.encode(reordered), "the order, spaces or escapes are others"),
    ):
        assert forged != line
        assert json.loads(forged) == json.loads(line)
        with pytest.raises(BrokenError, match=what):
            proof(forged, DAY, (SECRET,), 300)


@pytest.mark.parametrize("day", [date.min, date.max])
def test_the_ends_of_the_calendar_are_days_like_others(day: date) -> None:
    arrived = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    created = f"{day.isoformat()}T00:00:00+23:59".encode()
    record = webhook_record(b'{"id": "evt_1", "created": "%s"}' % created, "t=1,v1=0", arrived)
    with pytest.raises(BrokenError, match=r"received_at is .* s (before|after) the signature"):
        judged(record, day)
    assert not judged(events_api_record(record.payload.encode(), arrived), day).signed


@pytest.mark.parametrize("change", [{"id": 5}, {"extra": 1}, {"livemode": "yes"}])
def test_a_field_that_is_wrong_or_unknown_is_told(change: dict[str, object]) -> None:
    fields = json.loads(signed_record(BODY).line()) | change
    with pytest.raises(BrokenError, match="not a record: "):
        proof(json.dumps(fields).encode(), DAY, (SECRET,), 300)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"source": "other"}, "neither webhook nor events_api"),
        ({"source": "events_api"}, "there is one"),
        ({"stripe_signature": None}, "there is no signature"),
        ({"stripe_signature": "v1=00"}, "not the form"),
        ({"received_at": "2026-11-23 09:03:45"}, "not a UTC time"),
        ({"received_at": "2026-13-23T09:03:45.123456Z"}, "not a UTC time"),
        ({"received_at": "2026-11-23T09:13:45.123456Z"}, "received_at is 601 s after"),
        ({"received_at": "2026-11-23T08:53:45.123456Z"}, "received_at is 599 s before"),
    ],
)
def test_a_record_that_contradicts_itself_is_told(fields: dict[str, object], what: str) -> None:
    with pytest.raises(BrokenError, match=what):
        judged(changed(signed_record(BODY), **fields))


def test_a_neighbouring_days_folder_is_right_and_a_further_one_is_not() -> None:
    record = signed_record(BODY)
    for days in (-1, 0, 1):
        assert judged(record, DAY + timedelta(days=days)).secret == 0
    for days in (-2, 2):
        with pytest.raises(BrokenError, match="lies in the folder of"):
            judged(record, DAY + timedelta(days=days))


def test_a_longer_tolerance_of_the_service_is_allowed_for() -> None:
    record = signed_record(BODY, delay_s=3000)
    with pytest.raises(BrokenError, match="3000 s after"):
        judged(record)
    assert proof(record.line()[:-1], DAY, (SECRET,), 3600).secret == 0


def test_no_message_holds_anything_of_the_payload() -> None:
    record = signed_record(b'{"id": "evt_secret_value", "type": 5}')
    for line in (
        record.line().replace(b'"evt_secret_value"', b'["evt_secret_value"]', 1)[:-1],
        record.line()[:-30],
        changed(record, id="evt_other").line()[:-1],
    ):
        with pytest.raises(BrokenError) as told:
            proof(line, DAY, (SECRET,), 300)
        assert "secret_value" not in str(told.value)


def test_the_columns_of_a_thin_event_and_of_lenient_json_agree() -> None:
    for body in (
        b'{"id": "evt_1", "object": "v2.core.event", "created": "2026-11-23T09:03:44.000Z"}',
        b'{"id": 5, "type": "t"}',
        b'{"id": "evt_1", "name": "\\ud800"}',
    ):
        assert judged(signed_record(body)).secret == 0
        assert webhook_record(body, "", ARRIVED).payload.encode() == body

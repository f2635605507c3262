import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.events.record import Record, events_api_record, webhook_record

NOW = datetime(2026, 11, 23, 9, 3, 45, 120, tzinfo=UTC)
FIELDS = [
    "received_at",
    "id",
    "type",
    "object",
    "api_version",
    "account",
    "created",
    "livemode",
    "source",
    "stripe_signature",
    "payload",
]
COLUMNS = ["id", "type", "object", "api_version", "account", "created", "livemode"]
UNREADABLE = dict.fromkeys(COLUMNS)


def record_of(body: bytes) -> Record:
    return webhook_record(body, "t=1,v1=a", NOW)


def line_of(body: bytes) -> dict[str, Any]:
    """The record as a reader of the archive sees it, after the checks that hold for every one."""
    line = record_of(body).line()
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert b"\r" not in line  # Hadoop's line reader, and so Athena's, ends a line there too
    fields: dict[str, Any] = json.loads(line)
    assert list(fields) == FIELDS
    assert fields["payload"].encode() == body
    return fields


def columns_of(body: bytes) -> dict[str, Any]:
    fields = line_of(body)
    return {name: fields[name] for name in COLUMNS}


def test_the_columns_of_a_snapshot_event() -> None:
    body = (
        b'{\n  "id": "evt_1", "object": "event", "account": "acct_1",'
        b'\n  "api_version": "2025-09-30.clover", "created": 1795425825,'
        b'\n  "data": {"object": {"id": "ch_1", "object": "charge", "created": 5}},'
        b'\n  "livemode": true, "type": "charge.succeeded"\n}'
    )
    assert line_of(body) == {
        "received_at": "2026-11-23T09:03:45.000120Z",
        "id": "evt_1",
        "type": "charge.succeeded",
        "object": "event",
        "api_version": "2025-09-30.clover",
        "account": "acct_1",
        "created": 1795425825,
        "livemode": True,
        "source": "webhook",
        "stripe_signature": "t=1,v1=a",
        "payload": body.decode(),
    }


def test_a_thin_event_has_its_time_converted() -> None:
    body = b'{"id":"evt_2","object":"v2.core.event","created":"2026-11-23T09:03:45.900Z"}'
    assert columns_of(body) == UNREADABLE | {
        "id": "evt_2",
        "object": "v2.core.event",
        "created": 1795424625,
    }


@pytest.mark.parametrize(
    "created",
    ['"yesterday"', '"2026-11-23T09:03:45"', "1.5", "true", "[1]", "1e400", str(2**63), "null"],
)
def test_a_time_that_cannot_be_read_is_null_and_alone(created: str) -> None:
    assert columns_of(f'{{"id":"evt_3","created":{created}}}'.encode()) == UNREADABLE | {
        "id": "evt_3"
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"not json",
        b"[]",
        b'[{"id": "evt_1"}]',
        b"null",
        b"1",
        b'"evt_1"',
        b'{"id": "evt_1"',
        b'{"id": "evt_1"}}',
        b'{"id": "evt_1",}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"id": ' + b"9" * 5000 + b', "created": 1.5}',
        b'\xef\xbb\xbf{"id": "evt_1"}',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_cannot_be_read_is_archived_with_nulls(body: bytes) -> None:
    assert columns_of(body) == UNREADABLE


@pytest.mark.parametrize(
    "body",
    [
        '{"id":"evt_1","x":"\u2028\u2029\x85"}',
        '{"id":"evt_1",\r\n"x":1}\r\n',
        '{"id":"evt_1"}\n',
        '{"id":"evt_1","x":"\\u0000"}',
        '{"id":"evt_1","x":"\\ud800"}',
        '{"id":"evt_1","x":"\\ud83d\\ude00 😀"}',
        '{"id":"evt_0","id":"evt_1"}',
        '{"id":"evt_1","x":123456789012345678901234567890}',
        '{"id":"evt_1","x":1e999}',
        '{"id":"evt_1","type":5}',
        '{"id":"evt_1","type":{"id":"no"}}',
        '{"id":"evt_1","type":"\\ud800"}',
        '{"id":"evt_1","livemode":"yes"}',
        '{"id":"evt_1","ID":"evt_2","Id":3}',
        '{"data":{"id":"no"},"id":"evt_1"}',
    ],
)
def test_odd_bodies_are_kept_to_the_byte_and_their_id_is_read(body: str) -> None:
    assert columns_of(body.encode()) == UNREADABLE | {"id": "evt_1"}


@given(st.text().map(lambda text: text.encode(errors="ignore")))
def test_any_text_is_kept_to_the_byte(body: bytes) -> None:
    line_of(body)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
events = st.dictionaries(st.sampled_from([*COLUMNS, "data", "request"]), values)


@given(events, st.booleans())
def test_any_event_is_kept_and_its_columns_are_what_json_says(
    event: dict[str, Any], ascii_only: bool
) -> None:
    """Against the standard library's JSON, whichever of the two ways the record was made."""
    body = json.dumps(event, ensure_ascii=ascii_only).encode(errors="ignore")
    expected = json.loads(body)
    columns = columns_of(body)
    for name in ("id", "type", "object", "api_version", "account"):
        value = expected.get(name)
        readable = isinstance(value, str) and value.isprintable()
        if readable or not isinstance(value, str):
            assert columns[name] == (value if readable else None)
    livemode = expected.get("livemode")
    assert columns["livemode"] == (livemode if isinstance(livemode, bool) else None)
    created = expected.get("created")
    if type(created) is int:
        assert columns["created"] == (created if abs(created) < 2**63 else None)


def test_what_the_events_api_gave_has_the_same_columns_and_no_signature() -> None:
    body = b'{"id": "evt_1", "type": "t", "created": 1, "livemode": true}'
    received, fetched = webhook_record(body, "t=1,v1=a", NOW), events_api_record(body, NOW)
    assert (fetched.source, fetched.stripe_signature) == ("events_api", None)
    assert (received.source, received.stripe_signature) == ("webhook", "t=1,v1=a")
    for name in set(FIELDS) - {"source", "stripe_signature"}:
        assert getattr(fetched, name) == getattr(received, name)

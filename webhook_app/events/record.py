"""The record: one event as it goes into the archive, one JSON object on one line.

Knows the fields and how they are read out of an event; knows nothing of where records go.
"""

import json
from datetime import datetime
from typing import Any

import msgspec


class _Event(msgspec.Struct):
    """The columns of an event; the rest of the body is skipped over, not decoded."""

    id: str | None = None
    type: str | None = None
    object: str | None = None
    api_version: str | None = None
    account: str | None = None
    created: int | str | None = None
    livemode: bool | None = None


_decode_event = msgspec.json.Decoder(_Event).decode


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One archived event: the fields of the contract, in its order."""

    received_at: str
    """UTC, ISO 8601 with microseconds and Z."""
    id: str | None
    type: str | None
    object: str | None
    api_version: str | None
    account: str | None
    created: int | None
    """Unix seconds."""
    livemode: bool | None
    source: str
    """How it came here: `webhook`, or `events_api` where a tool filled a gap."""
    stripe_signature: str | None
    payload: str
    """The body as received; encoded as UTF-8 it is the same bytes."""

    def line(self) -> bytes:
        """Return the record as JSON, ending in the one newline it has."""
        return _encode(self) + b"\n"


_encode = msgspec.json.Encoder().encode


def webhook_record(body: bytes, signature: str, received_at: datetime) -> Record:
    """Return the record of a verified delivery. `body` is UTF-8, `received_at` is in UTC.

    Whatever the body holds is kept; what cannot be read out of it is null in the columns.
    """
    return _record(body, signature, received_at, "webhook")


def events_api_record(body: bytes, received_at: datetime) -> Record:
    """Return the record of an event as Stripe's Events API gave it, which has no signature.

    `body` is UTF-8, and not equal to the bytes of the webhook: the API renders events anew.
    """
    return _record(body, None, received_at, "events_api")


def _record(body: bytes, signature: str | None, received_at: datetime, source: str) -> Record:
    payload = body.decode()
    event = _event(body, payload)
    return Record(
        received_at=received_at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z",
        id=event.id,
        type=event.type,
        object=event.object,
        api_version=event.api_version,
        account=event.account,
        created=_unix_seconds(event.created),
        livemode=event.livemode,
        source=source,
        stripe_signature=signature,
        payload=payload,
    )


def _event(body: bytes, payload: str) -> _Event:
    try:
        return _decode_event(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _lenient_event(payload)


def _lenient_event(payload: str) -> _Event:
    """Read what can be read where the typed decoder gives up as a whole.

    That is a column of another type, or an escaped lone surrogate anywhere in the event, which
    msgspec refuses and JSON allows.
    """
    try:
        columns = json.loads(payload)
    except (ValueError, RecursionError):
        return _Event()
    if not isinstance(columns, dict):
        return _Event()
    return _Event(
        id=_text(columns.get("id")),
        type=_text(columns.get("type")),
        object=_text(columns.get("object")),
        api_version=_text(columns.get("api_version")),
        account=_text(columns.get("account")),
        created=created if type(created := columns.get("created")) in (int, str) else None,
        livemode=livemode if isinstance(livemode := columns.get("livemode"), bool) else None,
    )


def _text(value: Any) -> str | None:
    """Return a string that UTF-8 can carry, None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def _unix_seconds(created: int | str | None) -> int | None:
    """Return `created` as Unix seconds: a snapshot event has them, a thin one an ISO 8601 time.

    https://docs.stripe.com/api/v2/core/events/object
    """
    if created is None:
        return None
    if isinstance(created, str):
        try:
            moment = datetime.fromisoformat(created)
        except (ValueError, OverflowError):
            return None
        # without a zone it could be any of 26 hours
        return int(moment.timestamp()) if moment.tzinfo else None
    # Athena's bigint holds 64 bits, and a row with more would not be read at all
    return created if -(2**63) <= created < 2**63 else None

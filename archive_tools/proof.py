"""Is a line of the archive what the service writes of its payload, and did Stripe sign that?

Judges one line; knows nothing of objects and storage. A record has one line that is sound: the line
that is made again of the payload, the signature, the source and the arrival. Nobody signed
`received_at`: it is held against the time in the signature.
"""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

import msgspec

from webhook_app.events.record import Record, events_api_record, webhook_record
from webhook_app.events.signature import signed_at, signer

from .erasing.erased import Erased
from .erasing.redaction import REDACTED, tombstone
from .reading import BrokenError

_COLUMNS = ("id", "type", "object", "api_version", "account", "created", "livemode")

_NOTHING = Erased()

#: The service takes the time after it has read the body, and clocks differ.
_SLACK_S = 60


class _Line(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record with all of its fields and no other."""


_decode = msgspec.json.Decoder(_Line).decode


class Proof(NamedTuple):
    """What a sound record is."""

    record: Record
    secret: int | None
    """Index of the secret that signed it; None where none of them did."""
    json: bool
    """Whether the payload is JSON: what Stripe signed is archived, whatever it is."""

    @property
    def signed(self) -> bool:
        """Whether it came with a signature, as everything that the service received did."""
        return self.record.source == "webhook"

    @property
    def redacted(self) -> bool:
        """Whether it is what an erasure has left of a record."""
        return self.record.source == REDACTED


def proof(
    line: bytes, day: date, secrets: Sequence[str], tolerance_s: int, erased: Erased = _NOTHING
) -> Proof:
    """Return what a line proves.

    Args:
        line: without its newline.
        day: in whose folder it lies.
        secrets: with which the signature is tried.
        tolerance_s: between the signature's time and the arrival.
        erased: what was erased: of these events there is nothing, or what a redaction leaves.

    Raises:
        BrokenError: it is no record, contradicts itself, or was erased.
    """
    record = _record(line)
    arrived = _arrival(record, day)
    is_erased = erased.has_event(record.id)
    if record.source == REDACTED:
        if not is_erased:
            raise BrokenError("redacted, and no erasure names it")
        if tombstone(record).line()[:-1] != line:
            raise BrokenError("redacted, and more is left than a redaction leaves")
        return Proof(record, None, True)
    if is_erased:
        raise BrokenError("it was erased, and is there again: erase it again")
    secret = _secret(record, arrived, secrets, tolerance_s)
    expected = _written(record, arrived)
    # not field by field: of two fields of one name some readers take the first, some the last
    if expected.line()[:-1] != line:
        raise BrokenError(_difference(record, expected, line))
    is_json = expected.id is not None or _is_json(record.payload)
    if not is_json and secret is None:
        raise BrokenError("the payload is not JSON, and no given secret signed it")
    return Proof(record, secret, is_json)


def _record(line: bytes) -> Record:
    try:
        return _decode(line)
    except UnicodeDecodeError:
        raise BrokenError("not UTF-8") from None
    except msgspec.ValidationError as error:
        # msgspec names fields and types, never values
        raise BrokenError(f"not a record: {error}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise BrokenError(_malformed(line, str(error))) from None


def _malformed(line: bytes, error: str) -> str:
    if "trailing characters" in error:
        return "two records on one line" if b"}{" in line else "more than a record on the line"
    return "not JSON"


def _arrival(record: Record, day: date) -> datetime:
    try:
        arrived = datetime.fromisoformat(record.received_at)
    except ValueError:
        raise BrokenError("received_at is not a UTC time with microseconds") from None
    # Firehose names the folder by the oldest record of the object
    if not -1 <= (arrived.date() - day).days <= 1:
        raise BrokenError(f"it arrived on {arrived.date()} and lies in the folder of {day}")
    return arrived


def _secret(
    record: Record, arrived: datetime, secrets: Sequence[str], tolerance_s: int
) -> int | None:
    header = record.stripe_signature
    if record.source == "events_api":
        if header is not None:
            raise BrokenError("source is events_api, which has no signature, and there is one")
        return None
    if record.source != "webhook":
        raise BrokenError("source is neither webhook nor events_api")
    if header is None:
        raise BrokenError("source is webhook and there is no signature")
    signed = signed_at(header)
    if signed is None:
        raise BrokenError("the signature has not the form of Stripe's")
    late_s = arrived.replace(tzinfo=UTC).timestamp() - signed
    if not -tolerance_s - _SLACK_S <= late_s <= tolerance_s + _SLACK_S:
        side = "after" if late_s > 0 else "before"
        raise BrokenError(f"received_at is {abs(late_s):.0f} s {side} the signature's time")
    return signer(record.payload, header, secrets)


def _written(record: Record, arrived: datetime) -> Record:
    """Return what the service makes of the payload."""
    payload = record.payload.encode()
    if record.stripe_signature is None:
        return events_api_record(payload, arrived)
    return webhook_record(payload, record.stripe_signature, arrived)


def _difference(record: Record, expected: Record, line: bytes) -> str:
    if record.received_at != expected.received_at:
        return "received_at is not a UTC time with microseconds"
    for column in _COLUMNS:
        if getattr(record, column) != getattr(expected, column):
            return f"the column {column} is not what the payload says"
    names: list[str] = json.loads(line, object_pairs_hook=lambda pairs: [name for name, _ in pairs])
    if twice := next((name for name in names if names.count(name) > 1), None):
        return f"the field {twice} is there more than once"
    return "not as the service writes a record: the order, spaces or escapes are others"


def _is_json(payload: str) -> bool:
    try:
        msgspec.json.decode(payload, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True

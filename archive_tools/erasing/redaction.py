"""What is left of a record that was redacted: the event's id, type and times, and no payload."""

import msgspec

from webhook_app.events.record import Record

#: The `source` of such a record.
REDACTED = "redacted"

_PAYLOAD = "{}"

_decode = msgspec.json.Decoder(Record).decode


def tombstone(record: Record) -> Record:
    """Return what is left of a record. The account goes too: it can be a person's."""
    return msgspec.structs.replace(
        record, source=REDACTED, account=None, stripe_signature=None, payload=_PAYLOAD
    )


def tombstone_line(line: bytes) -> bytes | None:
    """Return what is left of a line, without its newline.

    None where the line is no record of an event with an id: of that nothing can be kept.
    """
    try:
        record = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if record.id is None else tombstone(record).line()[:-1]

"""Verifies and makes signatures: the only module that touches the endpoint's secrets.

Knows bytes and headers, not events: a body is verified before anything parses it.
https://docs.stripe.com/webhooks#verify-manually
"""

import hmac
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from stripe import SignatureVerificationError, WebhookSignature

_LARGE_BYTES = 65_536


class Refusal(StrEnum):
    """Why a delivery is refused: for the log, never for the sender."""

    MISSING_HEADER = "missing header"
    MALFORMED_HEADER = "malformed header"
    NOT_UTF8 = "body not UTF-8"
    NO_MATCH = "no matching signature"
    TOO_OLD = "too old"
    IN_THE_FUTURE = "signed in the future"


class _Header(NamedTuple):
    """A header in Stripe's form: `t=…,v1=…`."""

    time: int
    """Unix seconds."""
    signatures: list[str]
    """Of the scheme v1, in hexadecimal digits."""


def verify(
    body: bytes, header: str | None, secrets: Sequence[str], tolerance_s: int
) -> Refusal | None:
    """Return None if one of the secrets signed the body within the tolerance, else the refusal.

    Never raises, whatever the header and the body hold. `header` is the value of
    `Stripe-Signature`; while a secret is rolled it carries one v1 for each.
    """
    if not header:
        return Refusal.MISSING_HEADER
    parsed = _parse(header)
    if parsed is None:
        return Refusal.MALFORMED_HEADER
    if len(body) > _LARGE_BYTES and not any(_has_mac(body, parsed, each) for each in secrets):
        return Refusal.NO_MATCH
    try:
        # decoded once here, not once for every secret in there
        payload = body.decode()
    except UnicodeDecodeError:
        return Refusal.NOT_UTF8
    if not any(_signed(payload, header, secret) for secret in secrets):
        return Refusal.NO_MATCH
    age_s = time.time() - parsed.time
    if age_s > tolerance_s:
        return Refusal.TOO_OLD
    # Stripe's check has no bound on this side
    return Refusal.IN_THE_FUTURE if age_s < -tolerance_s else None


def signer(payload: str, header: str, secrets: Sequence[str]) -> int | None:
    """Return the index of the first of the secrets that signed a payload, whenever that was.

    None where none of them did. For what has been archived: its age says nothing against it.
    """
    if _parse(header) is None:
        return None
    return next((n for n, secret in enumerate(secrets) if _signed(payload, header, secret)), None)


def sign(body: bytes, secret: str) -> str:
    """Return the value of a `Stripe-Signature` header for a UTF-8 body, signed now."""
    header: str = WebhookSignature.generate_signature_header(body.decode(), secret)
    return header


def signed_at(header: str) -> int | None:
    """Return the Unix seconds of a header in Stripe's form (`t=…,v1=…`), None for any other."""
    parsed = _parse(header)
    return parsed.time if parsed else None


def _parse(header: str) -> _Header | None:
    items = [item.split("=") for item in header.split(",")]
    times = [item[1] for item in items if item[0] == "t" and len(item) > 1]
    signatures = [item[1] for item in items if item[0] == "v1" and len(item) > 1]
    # ASCII alone: a comparison with a v1 that is not raises TypeError, in Stripe's check too
    if not times or not signatures or not header.isascii():
        return None
    # 12 digits reach past the year 30000 and are far from what int() refuses
    return (
        _Header(int(times[0]), signatures) if times[0].isdigit() and len(times[0]) <= 12 else None
    )


def _has_mac(body: bytes, header: _Header, secret: str) -> bool:
    """Whether the bytes of a body have one of the header's signatures.

    A first check, for large bodies: Stripe's decodes, formats and encodes a body before it refuses
    it, which takes up to 25 times its memory. It is to see only those that are signed.
    """
    mac = hmac.new(secret.encode(), b"%d." % header.time, "sha256")
    mac.update(body)
    expected = mac.hexdigest()
    return any(hmac.compare_digest(expected, signature) for signature in header.signatures)


def _signed(payload: str, header: str, secret: str) -> bool:
    """Return what Stripe's own check says, which decides. It is not asked about the age."""
    try:
        WebhookSignature.verify_header(payload, header, secret)
    except SignatureVerificationError:
        # not to be logged: it carries the body and the header
        return False
    return True

"""Did Stripe sign this body? The only module that touches the endpoint's secrets.

It knows bytes and headers, not events: the answer comes before anything parses the body.
https://docs.stripe.com/webhooks#verify-manually
"""

import time
from collections.abc import Iterable
from enum import StrEnum

from stripe import SignatureVerificationError, WebhookSignature


class Refusal(StrEnum):
    """Why a delivery is refused: for the log, never for the sender."""

    MISSING_HEADER = "missing header"
    MALFORMED_HEADER = "malformed header"
    NOT_UTF8 = "body not UTF-8"
    NO_MATCH = "no matching signature"
    TOO_OLD = "too old"


def refusal(
    body: bytes, header: str | None, secrets: Iterable[str], tolerance_s: int
) -> Refusal | None:
    """Return None if one of the secrets signed the body within the tolerance, else the reason.

    Never raises, whatever the header and the body hold. `header` is the value of
    `Stripe-Signature`; while a secret is rolled it carries one v1 for each.
    """
    if not header:
        return Refusal.MISSING_HEADER
    time_signed = signed_at(header)
    if time_signed is None:
        return Refusal.MALFORMED_HEADER
    try:
        # decoded once here, not once for every secret in there
        payload = body.decode()
    except UnicodeDecodeError:
        return Refusal.NOT_UTF8
    secrets = tuple(secrets)
    if any(_signed(payload, header, secret, tolerance_s) for secret in secrets):
        return None
    # a second look without the age tells a clock that is wrong from a stranger
    stale = time_signed < time.time() - tolerance_s
    if stale and any(_signed(payload, header, secret, None) for secret in secrets):
        return Refusal.TOO_OLD
    return Refusal.NO_MATCH


def signer(payload: str, header: str, secrets: Iterable[str]) -> int | None:
    """Return the index of the first of the secrets that signed a payload, whenever that was.

    None where none of them did. For what has been archived: its age says nothing against it.
    """
    if signed_at(header) is None:
        return None
    return next((n for n, s in enumerate(secrets) if _signed(payload, header, s, None)), None)


def signed_at(header: str) -> int | None:
    """Return the Unix seconds of a header in Stripe's form (`t=…,v1=…`), None for any other."""
    items = [item.partition("=") for item in header.split(",")]
    times = [value for scheme, _, value in items if scheme == "t"]
    # ASCII alone: verify_header raises TypeError when it compares a v1 that is not
    if not times or not header.isascii() or not any(scheme == "v1" for scheme, _, _ in items):
        return None
    # 12 digits reach past the year 30000 and are far from what int() refuses
    return int(times[0]) if times[0].isdigit() and len(times[0]) <= 12 else None


def _signed(payload: str, header: str, secret: str, tolerance_s: int | None) -> bool:
    try:
        WebhookSignature.verify_header(payload, header, secret, tolerance_s)
    except SignatureVerificationError:
        # not to be logged: it carries the body and the header
        return False
    return True


def sign(body: bytes, secret: str) -> str:
    """Return the value of a `Stripe-Signature` header for a UTF-8 body, signed now."""
    header: str = WebhookSignature.generate_signature_header(body.decode(), secret)
    return header

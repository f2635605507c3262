"""Who is to be erased, and whether a line of the archive names one of them.

An id is found where a string of the payload is the id or has it as a word, as an address does. An
e-mail address is found in either case, with composed or decomposed letters, and percent-encoded.
Escapes of JSON make no difference: only decoded strings are compared.
"""

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

from ..errors import ToolError

_ID = re.compile(r"[a-z]{2,}_[A-Za-z0-9_]+", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_WORD = re.compile(r"\w+", re.ASCII)
_ESCAPE = re.compile(rb"\\+u([0-9a-fA-F]{4})")
_ANY_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_ANY_CUSTOMER = re.compile(r"\bcus_[A-Za-z0-9]+")

#: Above so many ids the words of a line are looked up; below, each id is searched for.
_FEW = 8

#: Objects that belong to one person or company: what names such an object is about them.
#: https://docs.stripe.com/api
PERSONAL = frozenset(
    {
        "bank_account",
        "card",
        "cash_balance",
        "charge",
        "checkout.session",
        "credit_note",
        "customer",
        "customer_balance_transaction",
        "customer_cash_balance_transaction",
        "dispute",
        "identity.verification_report",
        "identity.verification_session",
        "invoice",
        "invoiceitem",
        "issuing.cardholder",
        "mandate",
        "order",
        "payment_intent",
        "payment_method",
        "person",
        "promotion_code",
        "quote",
        "radar.early_fraud_warning",
        "refund",
        "review",
        "setup_attempt",
        "setup_intent",
        "source",
        "subscription",
        "subscription_item",
        "subscription_schedule",
        "tax_id",
        "token",
    }
)


@dataclass(frozen=True)
class People:
    """Ids and e-mail addresses. It can be pickled."""

    ids: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()
    """As `folded` makes them."""

    def with_ids(self, ids: Iterable[str]) -> "People":
        """Return the same, and these ids besides."""
        return People(self.ids | set(ids), self.emails)

    def names(self, line: bytes) -> bool:
        """Whether a line of webhooks/ or snapshots/ names one of them."""
        return self._may_be_in(line) and any(map(self.in_text, strings(line)))

    def in_text(self, text: str) -> bool:
        """Whether a decoded string has an id as a word in it, or an e-mail address."""
        if self.ids and not self.ids.isdisjoint(_WORD.findall(text)):
            return True
        if not self.emails:
            return False
        found = self._email.search(folded(text))
        return bool(found or ("%" in text and self._email.search(folded(unquote(text)))))

    @cached_property
    def _email(self) -> re.Pattern[str]:
        # not in joanna@example.com, anna@example.company or anna@example.com.au
        some = "|".join(map(re.escape, sorted(self.emails)))
        return re.compile(rf"(?<![\w.+-])(?:{some})(?![\w-]|\.\w)")

    @cached_property
    def _searched(self) -> list[bytes]:
        return [one.encode() for one in self.ids] if len(self.ids) <= _FEW else []

    @cached_property
    def _words(self) -> re.Pattern[bytes]:
        beginnings = "|".join(sorted({one.partition("_")[0] for one in self.ids}))
        # without a boundary before it: an escape of JSON can end in a letter
        return re.compile(rf"(?:{beginnings})_\w+".encode(), re.ASCII)

    @cached_property
    def _id_bytes(self) -> frozenset[bytes]:
        return frozenset(one.encode() for one in self.ids)

    @cached_property
    def _parts(self) -> list[str]:
        # between characters that JSON can escape otherwise than by their number
        both = [form for one in self.emails for form in (one, quote(one, safe="").lower())]
        return [max(re.split(r'["\\/]', one), key=len) for one in both]

    def _may_be_in(self, line: bytes) -> bool:
        """Return quickly: false only where no string of the line can name one of them."""
        if b"\\u" in line:
            line = _ESCAPE.sub(_unescaped, line)
        if self._searched:
            if any(one in line for one in self._searched):
                return True
        elif self.ids and not self._id_bytes.isdisjoint(self._words.findall(line)):
            return True
        if not self.emails:
            return False
        text = folded(line.decode(errors="replace"))
        return any(part in text for part in self._parts)


def people(who: Iterable[str]) -> People:
    """Return whom the words of a command line name.

    Raises:
        ToolError: one is neither an id nor an e-mail address.
    """
    ids, emails = set(), set()
    for one in who:
        if _ID.fullmatch(one):
            ids.add(one)
        elif _EMAIL.fullmatch(one):
            emails.add(folded(one))
        else:
            raise ToolError(
                "What was given is neither an id of Stripe's nor an e-mail address",
                "give a customer's id as cus_…, the id of another object, or an address",
            )
    return People(frozenset(ids), frozenset(emails))


def folded(text: str) -> str:
    """Return a text in which case and composed letters make no difference."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _unescaped(found: re.Match[bytes]) -> bytes:
    # half a surrogate pair is in no id and no address; replaced, it hides nothing
    return chr(int(found[1], 16)).encode(errors="replace")


def strings(line: bytes) -> Iterator[str]:
    """Yield the decoded strings of a line and, where it is JSON, of its payload, names included.

    A line or payload that is no JSON is one string, with the escapes of its letters decoded.
    """
    record = decoded(line)
    if not isinstance(record, dict):
        yield from _strings(record)
        return
    for name, value in record.items():
        if name == "payload" and isinstance(value, str):
            yield from _strings(decoded(value.encode(errors="surrogatepass")))
        elif name != "stripe_signature":
            yield from _strings(value)


def decoded(text: bytes) -> Any:
    """Return what JSON says; the text itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _ESCAPE.sub(_unescaped, text).decode(errors="replace")


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def undelivered(line: bytes) -> bytes:
    """Return the record in a line of errors/, where Firehose keeps it in base64.

    https://docs.aws.amazon.com/firehose/latest/dev/retry.html
    """
    failure = decoded(line)
    raw = failure.get("rawData") if isinstance(failure, dict) else None
    if not isinstance(raw, str):
        return line
    try:
        return base64.b64decode(raw, validate=True).rstrip(b"\n")
    except binascii.Error:
        return line


def others(line: bytes, but: People) -> frozenset[str]:
    """Return the customers' ids and e-mail addresses in a line that are not these people's."""
    found: set[str] = set()
    for text in strings(line):
        found |= set(_ANY_CUSTOMER.findall(text)) - but.ids
        if "@" in text:
            found |= {folded(one) for one in _ANY_EMAIL.findall(text)} - but.emails
    return frozenset(found)

"""An object of the archive as lines, as far as it can be read, and what is wrong where it cannot.

Knows gzip and newlines, not what a line holds.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .storage import Storage

#: No record is longer: MAX_BODY_BYTES is 64 MiB at most, and JSON writes a byte as 6 at worst.
MAX_LINE_BYTES = 500_000_000

_CHUNK_BYTES = 1 << 18
# what is lost before a damage: zlib keeps the piece in which it finds one
_UNPACKED_BYTES = 1 << 16
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Fault:
    """Something wrong in the archive, and where. Never with anything of a payload in it."""

    key: str
    line: int | None
    """Counted from 1; None where the object as a whole is meant."""
    what: str

    def __str__(self) -> str:
        """Return where and what in one line."""
        where = self.key if self.line is None else f"{self.key} line {self.line}"
        return f"{where}: {self.what}"


class DamageError(Exception):
    """An object could not be read on. `line` is the one that could not be read as a whole."""

    def __init__(self, line: int | None, what: str) -> None:
        """Take the place and what is wrong there."""
        super().__init__(what)
        self.line = line
        self.what = what


class UnreachableError(DamageError):
    """An object could not be got at. It may be sound: rights, the network or a storage class."""


def lines(storage: Storage, key: str) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each line of an object, without its newline.

    Streams: what it holds at a time is one line and a few hundred kilobytes.

    Raises:
        DamageError: after the last line that could be read, where the object is damaged.
    """
    number, size = 0, 0
    parts: list[bytes] = []
    try:
        with storage.open(key) as stored:
            for chunk in _unpacked(stored):
                end, *begun = chunk.split(b"\n")
                parts.append(end)
                size += len(end)
                for begin in begun:
                    number += 1
                    yield number, b"".join(parts)
                    parts, size = [begin], len(begin)
                if size > MAX_LINE_BYTES:
                    raise DamageError(number + 1, "a line without an end")
    except zlib.error as error:
        # zlib's own words: Error -3 while decompressing data: incorrect data check
        reason = str(error).rpartition(": ")[2]
        raise DamageError(number + 1, f"gzip is damaged: {reason}") from error
    except EOFError as error:
        raise DamageError(number + 1, "gzip is cut short") from error
    except OSError as error:
        raise UnreachableError(None, f"cannot be read: {error.strerror or error}") from error
    except _NotGzipError as error:
        raise DamageError(number + 1 if number else None, str(error)) from error
    if rest := b"".join(parts):
        # complete, as gzip's sum has shown; but the next record would be on the same line
        yield number + 1, rest
        raise DamageError(number + 1, "no newline at its end")


class _NotGzipError(Exception):
    pass


def _unpacked(stored: BinaryIO) -> Iterator[bytes]:
    """Yield what one or more gzip members hold, in pieces of a bounded size.

    Raises:
        EOFError: the last member has no end.
        zlib.error: a member is damaged.
        _NotGzipError: there is something else than gzip.
    """
    head = stored.read(_CHUNK_BYTES)
    if not head:
        raise _NotGzipError("empty")
    while head:
        if not head.startswith(_GZIP[: len(head)]):
            raise _NotGzipError(_resembled(head))
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            if not head and not (head := stored.read(_CHUNK_BYTES)):
                raise EOFError
            if piece := member.decompress(head, _UNPACKED_BYTES):
                yield piece
            head = member.unconsumed_tail
        head = member.unused_data or stored.read(_CHUNK_BYTES)


def _resembled(head: bytes) -> str:
    if re.match(rb'\s*\{"received_at"', head):
        return "not gzip, but records as they are: it was unpacked or stored by something else"
    return "not gzip: nothing that this service writes"

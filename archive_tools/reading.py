"""An object of the archive as lines and records, as far as it can be read, and what is wrong in it.

Knows gzip, newlines and how much may be wrong, not what a line holds. A small object can unpack to
a thousand times its size: memory and time are bounded for whatever is in it.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec

from .output import cell
from .storage import Storage

T = TypeVar("T")

#: No record is longer: MAX_BODY_BYTES is 64 MiB at most, and JSON in JSON doubles at worst.
MAX_LINE_BYTES = 140_000_000

#: So many faults are kept, all are counted. An object with so many is not read on.
MAX_FAULTS = 1000

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
        """Return where and what in one line, safe to print: a key can hold any character."""
        where = self.key if self.line is None else f"{self.key} line {self.line}"
        return cell(f"{where}: {self.what}")


@dataclass
class Faults:
    """What is wrong in an archive: all of it counted, the first of it kept."""

    count: int = 0
    first: list[Fault] = field(default_factory=list)
    unreachable: int = 0
    """Objects among them that may be sound, and hide what is in them."""

    def add(self, fault: Fault) -> None:
        """Count a fault."""
        self.count += 1
        if len(self.first) < MAX_FAULTS:
            self.first.append(fault)

    def extend(self, other: "Faults") -> None:
        """Add what was found elsewhere."""
        self.count += other.count
        self.first += other.first[: MAX_FAULTS - len(self.first)]
        self.unreachable += other.unreachable


class Readable(Protocol):
    """What can be read in pieces."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most so many; none at the end."""


class BrokenError(Exception):
    """A line is no record. `str()` says why, with nothing of its values."""


class DamageError(Exception):
    """An object could not be read on. `line` is the one that could not be read as a whole."""

    def __init__(self, line: int | None, what: str) -> None:
        """Take the line and what is wrong there."""
        super().__init__(what)
        self.line = line
        self.what = what


class UnreachableError(DamageError):
    """An object could not be got at. It may be sound: rights, the network or a storage class."""


def records(
    storage: Storage, key: str, decode: Callable[[bytes], T], faults: Faults
) -> Iterator[tuple[int, T]]:
    """Yield number and record of each line of an object; what is wrong is added to `faults`.

    Args:
        storage: with the object.
        key: of the object.
        decode: makes a record of a line, without its newline. It raises BrokenError, or an error of
            msgspec, for one that is none.
        faults: gets the lines that are no records, and what keeps the object from being read on.
    """
    most = faults.count + MAX_FAULTS
    try:
        for number, line in lines(storage, key):
            try:
                record = decode(line)
            except BrokenError as error:
                faults.add(Fault(key, number, str(error)))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                faults.add(Fault(key, number, "not a record"))
            else:
                yield number, record
            if faults.count == most:
                faults.add(Fault(key, number, "the rest is not read: too much is broken"))
                return
    except DamageError as damage:
        faults.add(Fault(key, damage.line, damage.what))
        faults.unreachable += isinstance(damage, UnreachableError)


def lines(storage: Storage, key: str) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each line of an object, as `lines_of` does.

    Raises:
        DamageError: after the last line that could be read.
    """
    try:
        with storage.open(key) as stored:
            yield from lines_of(stored)
    except OSError as error:
        raise UnreachableError(None, f"cannot be read: {error.strerror or error}") from error


def lines_of(stored: Readable) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each line of gzip, without its newline and if it has any.

    Streams: what it holds at a time is one line and a few hundred kilobytes.

    Raises:
        DamageError: after the last line that could be read, where the gzip is damaged. Empty
            lines are one damage.
        OSError: it cannot be read on.
    """
    number, size = 0, 0
    parts: list[bytes] = []
    empty: list[int] = []
    try:
        for chunk in _unpacked(stored):
            end, *begun = chunk.split(b"\n")
            parts.append(end)
            size += len(end)
            for begin in begun:
                number += 1
                if size:
                    yield number, b"".join(parts)
                else:
                    empty.append(number)
                    if len(empty) == MAX_FAULTS:
                        raise _empty_lines(empty, "; it is not read on")
                parts, size = [begin], len(begin)
            if size > MAX_LINE_BYTES:
                raise DamageError(number + 1, "a line without an end")
    except zlib.error as error:
        # zlib's own words: Error -3 while decompressing data: incorrect data check
        reason = str(error).rpartition(": ")[2]
        raise DamageError(number + 1, f"gzip is damaged: {reason}") from error
    except EOFError as error:
        raise DamageError(number + 1, "gzip is cut short") from error
    except _NotGzipError as error:
        raise DamageError(number + 1 if number else None, str(error)) from error
    if size:
        # complete, as gzip's sum has shown; but the next record would be on the same line
        yield number + 1, b"".join(parts)
        raise DamageError(number + 1, "no newline at its end")
    if empty:
        raise _empty_lines(empty)


def _empty_lines(numbers: list[int], rest: str = "") -> DamageError:
    what = "an empty line" if len(numbers) == 1 else f"{len(numbers):,} empty lines from here on"
    return DamageError(numbers[0], what + rest)


class _NotGzipError(Exception):
    pass


def _unpacked(stored: Readable) -> Iterator[bytes]:
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

"""What `verify --sealed` says: as JSON, as a table, and in one sentence what is proved."""

import re
from dataclasses import asdict, dataclass
from datetime import date

from ..days import Days
from ..errors import ToolError
from ..output import as_json, bytes_text, count_text, table
from ..reading import Faults
from .chain import Chain
from .check import Compared
from .erasures import Erasures
from .signing import Signatures

#: Of a kind, without --json.
_SHOWN = 20

_HEAD = re.compile(r"(?:head )?([0-9a-fA-F]{64})(?: of (\d{4}-\d{2}-\d{2}))?", re.ASCII)


@dataclass(frozen=True)
class Head:
    """A head that was noted: the SHA-256 of the newest manifest at that time."""

    sha256: str
    day: date | None = None

    @classmethod
    def parsed(cls, text: str) -> "Head":
        """Return the head of a text: a SHA-256, or the whole line that `seal` prints.

        Raises:
            ToolError: it is neither.
        """
        found = _HEAD.fullmatch(text.strip())
        try:
            if found:
                return cls(found[1].lower(), date.fromisoformat(found[2]) if found[2] else None)
        except ValueError:
            pass
        raise ToolError(
            "--head is not a SHA-256 of 64 hexadecimal digits",
            "give it as `seal` has printed it: the digits, or the whole line in quotes",
        )


class SealReport:
    """The result of a check of the sealed days."""

    def __init__(
        self,
        name: str,
        days: Days,
        chain: Chain,
        erasures: Erasures,
        compared: Compared,
        head: Head | None,
        signatures: Signatures | None = None,
    ) -> None:
        """Take the archive's name, the days that were compared, and what was found."""
        self.signatures = signatures
        self.name, self.days, self.head = name, days, head
        self.chain, self.erasures, self.compared = chain, erasures, compared
        self.head_day = chain.day_of(head.sha256) if head else None
        for number, (objects, lines) in compared.by_erasure.items():
            erasures.found[number].objects = objects
            erasures.found[number].records = lines

    @property
    def head_problem(self) -> str | None:
        """What is wrong with the head that was given, None if it is in the chain."""
        if self.head is None or self.head_day:
            return None
        day, sealed = self.head.day, self.chain.days
        if not sealed:
            return "no day is sealed: all manifests were removed"
        if day is None:
            return (
                "no manifest has the SHA-256 of --head: the end of the chain was cut off, or a "
                "manifest of it was written anew"
            )
        if day not in sealed:
            side = f"ends with {sealed.last}" if day > max(self.chain.sha256) else "begins later"
            return f"the manifest of {day}, the day of --head, was removed: the chain {side}"
        return f"the manifest of {day} is not that of --head: it or one before it was written anew"

    @property
    def findings(self) -> list[tuple[str, Faults]]:
        """What somebody should look at, by its title."""
        kinds = [
            ("Wrong in the chain", self.chain.faults),
            ("Changed", self.compared.changed),
            ("Missing", self.compared.missing),
            ("Added", self.compared.added),
            ("Cannot be read", self.compared.unreadable),
            ("Erasures that cannot be read", self.erasures.faults),
            ("Erasures that are not carried out", self.compared.pending),
        ]
        if self.signatures:
            kinds.insert(1, ("Not signed as it should be", self.signatures.faults))
        return [(title, faults) for title, faults in kinds if faults.count]

    @property
    def is_unsigned(self) -> bool:
        """Whether signatures were asked for and there is none."""
        return self.signatures is not None and self.signatures.signed_from is None

    @property
    def is_proved(self) -> bool:
        """Whether nothing was found that somebody should look at."""
        if not self.chain.sha256 or self.is_unsigned:
            return False
        return not self.findings and not self.head_problem

    def sentence(self) -> str:
        """Return what is proved and what is not."""
        sealed = self.chain.days
        if sealed is None:
            return "Nothing is proved: no day is sealed."
        if not self.is_proved:
            return "Not proved: that the archive is as it was sealed, for what is named above."
        erased = self.compared.erased_objects
        but = f" but for {count_text(erased, 'object')} that erasures account for" if erased else ""
        if self.head_day:
            later = [late for late in self.compared.late if late.sealed > self.head_day]
            plus = f", and {count_text(len(later), 'object')} added since" if later else ""
            return (
                f"Proved: of what was sealed up to {self.head_day}, when the head was noted, "
                f"nothing was removed or changed{but}{plus}."
            )
        if self.signatures:
            return (
                f"Proved: the archive is what the signed manifests say{but}. Not proved: that the "
                f"chain was not cut off behind {sealed.last}, nor, where somebody else has the "
                "key, that it was not written anew; a head that was noted elsewhere shows both "
                "(--head)."
            )
        return (
            f"Proved: the archive is what the manifests say{but}. Not proved: that they are the "
            "first ones. Whoever can write to the archive could have changed it and written the "
            "whole chain anew; a head that was noted elsewhere shows that (--head)."
        )

    def as_json(self) -> str:
        """Return all of it as JSON."""
        compared, sealed = self.compared, self.chain.days
        newest = max(self.chain.sha256, default=None)
        head = {"sha256": self.chain.sha256[newest], "day": newest} if newest else None
        result: dict[str, object] = {
            "archive": self.name,
            "days": str(self.days),
            "sealed_from": sealed and sealed.first,
            "sealed_to": sealed and sealed.last,
            "manifests": len(self.chain.sha256),
            "head": head,
            "given_head": self.head
            and {
                "sha256": self.head.sha256,
                "day": self.head_day,
                "problem": self.head_problem,
            },
            "proved": self.is_proved,
            "sentence": self.sentence(),
            "objects": compared.objects,
            "records": compared.records,
            "stored_bytes": compared.stored_bytes,
            "erased_objects": compared.erased_objects,
            "erased_records": compared.erased_records,
            "not_yet_sealed": compared.unsealed,
            "erasures": [asdict(erasure) for erasure in self.erasures.found],
            "late": [asdict(late) for late in compared.late],
            "chain": self.chain.faults.count,
            "chain_at": [asdict(fault) for fault in self.chain.faults.first],
            "erasures_unreadable": self.erasures.faults.count,
            "erasures_unreadable_at": [asdict(fault) for fault in self.erasures.faults.first],
        }
        if self.signatures:
            unsigned = self.signatures.faults
            result["signed_from"] = self.signatures.signed_from
            result["unsigned"] = unsigned.count
            result["unsigned_at"] = [asdict(fault) for fault in unsigned.first]
        for kind in Compared.KINDS:
            faults: Faults = getattr(compared, kind)
            result[kind] = faults.count
            result[f"{kind}_at"] = [asdict(fault) for fault in faults.first]
        return as_json(result)

    def text(self) -> str:
        """Return all of it for people."""
        compared, chain = self.compared, self.chain
        size = bytes_text(compared.stored_bytes)
        parts = []
        if chain.days:
            newest = max(chain.sha256)
            parts += [
                f"{self.name}, {self.days}: {count_text(len(chain.sha256), 'manifest')}, "
                f"{chain.days}",
                f"head {chain.sha256[newest]} of {newest}\n",
            ]
        rows: list[tuple[str, object]] = [
            (f"objects as they were sealed, {size}", compared.objects),
            ("  records in them", compared.records),
            ("  of these objects late", len(compared.late)),
            ("objects that erasures account for", compared.erased_objects),
            ("  records that these have lost", compared.erased_records),
            ("objects of days that are not sealed", compared.unsealed),
        ]
        rows += [(title.lower(), faults.count) for title, faults in self.findings]
        parts.append(table(["", "found"], rows))
        for erasure in self.erasures.found:
            state = f"sealed with {erasure.sealed}" if erasure.sealed else "not sealed yet"
            since = self.head_day and (not erasure.sealed or erasure.sealed > self.head_day)
            parts.append(
                f"\nErasure of {erasure.erased_at}, {state}{', after the head' if since else ''}: "
                f"{count_text(erasure.events, 'event')}, {count_text(erasure.objects, 'object')}, "
                f"{count_text(erasure.records, 'record')} less"
                f"\n  {erasure.key}\n  reason: {erasure.reason}; by: {erasure.by or 'not said'}"
            )
        for title, faults in self.findings:
            parts += [f"\n{title}:", *(f"  {fault}" for fault in faults.first[:_SHOWN])]
            if faults.count > _SHOWN:
                parts.append(f"  … and {faults.count - _SHOWN:,} more; --json lists more")
        if self.head_problem:
            parts.append(f"\nThe head: {self.head_problem}")
        if self.is_unsigned:
            parts.append("\nThe signatures: no manifest is signed with a key that was given")
        elif self.signatures:
            parts.append(f"\nSigned with a given key from {self.signatures.signed_from} on")
        return "\n".join([*parts, f"\n{self.sentence()}"])

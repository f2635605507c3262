"""What a check of `flask doctor` found, and how it is told."""

from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAULT = "FAULT"
    UNKNOWN = "?"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor. No field ever holds a secret, a key or a signature."""

    mark: Mark
    check: str
    found: str
    cure: str = ""

    def __str__(self) -> str:
        """Return the line, and below it the cure, or how to find out what could not be told."""
        line = f"{self.mark:<5}  {self.check:<13}  {self.found}"
        if not self.cure:
            return line
        word = "Cure" if self.mark is Mark.FAULT else "To be sure"
        return f"{line}\n{'':22}{word}: {self.cure}"


def ok(check: str, found: str) -> Finding:
    """Return that a check found nothing wrong."""
    return Finding(Mark.OK, check, found)


def fault(check: str, found: str, cure: str) -> Finding:
    """Return what is wrong and has to be cured."""
    return Finding(Mark.FAULT, check, found, cure)


def unknown(check: str, found: str, cure: str) -> Finding:
    """Return what could not be told from here, and how to find out."""
    return Finding(Mark.UNKNOWN, check, found, cure)

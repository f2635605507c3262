"""The result of one check of `flask doctor`, and its line."""

from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAULT = "FAULT"
    UNKNOWN = "?"


@dataclass(frozen=True)
class CheckResult:
    """One line of the doctor. No field ever holds a secret, a key or a signature."""

    mark: Mark
    check: str
    found: str
    fix: str = ""

    def __str__(self) -> str:
        """Return the line, and below it the fix, or how to determine what could not be."""
        line = f"{self.mark:<5}  {self.check:<13}  {self.found}"
        if not self.fix:
            return line
        word = "Fix" if self.mark is Mark.FAULT else "To be sure"
        return f"{line}\n{'':22}{word}: {self.fix}"


def ok(check: str, found: str) -> CheckResult:
    """Return that a check found nothing wrong."""
    return CheckResult(Mark.OK, check, found)


def fault(check: str, found: str, fix: str) -> CheckResult:
    """Return what is wrong and has to be fixed."""
    return CheckResult(Mark.FAULT, check, found, fix)


def unknown(check: str, found: str, fix: str) -> CheckResult:
    """Return what could not be determined from here, and how to find out."""
    return CheckResult(Mark.UNKNOWN, check, found, fix)

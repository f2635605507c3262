"""How variables are read: the environment first, then `.env`, and every problem named at once.

It knows kinds of values, and where a value came from. What the variables mean is in `settings`.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from dotenv import dotenv_values

PROJECT = Path(__file__).resolve().parent.parent

#: Each names an archive. They count as one setting, because exactly one of them may be set.
ARCHIVES = ("FIREHOSE_DELIVERY_STREAM_NAME", "ARCHIVE_DIR")

# python-dotenv's own switch, and Flask's: either keeps `.env` out, for every command
_DOTENV_SWITCHES = ("PYTHON_DOTENV_DISABLED", "FLASK_SKIP_DOTENV")


class Problem(NamedTuple):
    """One thing that is wrong with the environment. No field holds a value: it may be a secret."""

    variable: str
    wrong: str
    fix: str


class SettingsError(Exception):
    """The environment is not fit to start with. `str()` names every problem and its fix."""

    def __init__(self, problems: list[Problem], subject: str = "The service") -> None:
        """Take what is wrong, and who cannot start."""
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = [f"{subject} cannot start: {count} in its configuration."]
        for variable, wrong, fix in problems:
            lines += ["", f"  {variable} {wrong}.", f"      Fix: {fix}."]
        super().__init__("\n".join(lines))


class EnvironReader:
    """Reads variables of one environment, and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Read `environ`, or the environment of this process, completed by `.env`.

        Raises:
            SettingsError: there is a `.env` that cannot be read.
        """
        dotenv = _dotenv() if environ is None else {}
        self._has_dotenv = bool(dotenv)
        self._from_dotenv = _complete_environ(dotenv)
        self._environ = os.environ if environ is None else environ
        self._problems: list[Problem] = []
        self.outrank(ARCHIVES)
        if environ is None:
            # boto3 reads these by itself, and a key with a newline behind it signs nothing
            for name, value in os.environ.items():
                if name.startswith("AWS_"):
                    os.environ[name] = value.strip()

    def text(self, name: str) -> str | None:
        """Return the value of a variable, None where it is not set or blank."""
        return self._environ.get(name, "").strip() or None

    def origin(self, name: str) -> str:
        """Return where the value of a variable came from."""
        return ".env" if name in self._from_dotenv else "the environment"

    def outrank(self, names: Collection[str]) -> None:
        """Leave out what `.env` sets of some variables, if the environment sets one of them.

        They count as one setting.
        """
        if any(self.text(name) for name in names if name not in self._from_dotenv):
            for name in self._from_dotenv & {*names}:
                os.environ.pop(name, None)

    def path(self, name: str) -> Path | None:
        """Return a path. A relative one is relative to the folder of the `.env` that sets it."""
        text = self.text(name)
        if text and self.origin(name) == ".env" and Path.cwd() != PROJECT:
            return PROJECT / text
        return Path(text) if text else None

    def problem(self, names: str, wrong: str, fix: str) -> None:
        """Add a problem of the variables in `names`; beside a `.env`, say where each came from."""
        labelled = re.sub(r"[A-Z_]+", lambda name: self._labelled(name[0]), names)
        self._problems.append(Problem(labelled, wrong, fix))

    def raise_problems(self, subject: str = "The service") -> None:
        """Raise a `SettingsError` if there has been a problem."""
        if self._problems:
            raise SettingsError(self._problems, subject)

    def match(self, name: str, pattern: str, fix: str) -> str | None:
        """Return a text of the form `pattern`."""
        text = self.text(name)
        if text and not re.fullmatch(pattern, text, re.ASCII):
            self.problem(name, "is not a valid name", f"give {fix}")
        return text

    def choice(
        self, name: str, default: str, choices: tuple[str, ...], fold: Callable[[str], str]
    ) -> str:
        """Return one of the choices, whose letters `fold` has brought into one case."""
        text = fold(self.text(name) or default)
        if text not in choices:
            self.problem(name, "is not known", f"choose one of {', '.join(choices)}")
        return text

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number in the bounds."""
        text = self.text(name)
        if text is None:
            return default
        if re.fullmatch(r"[0-9]{1,18}", text) and low <= int(text) <= high:
            return int(text)
        self.problem(name, "is out of range", f"give a whole number from {low} to {high}")
        return default

    def seconds(self, name: str, default: float, low: float, high: float) -> float:
        """Return a decimal number in the bounds."""
        text = self.text(name)
        if text is None:
            return default
        if re.fullmatch(r"[0-9]{0,9}\.?[0-9]{1,9}", text) and low <= float(text) <= high:
            return float(text)
        self.problem(name, "is out of range", f"give seconds from {low:g} to {high:g}")
        return default

    def folder(self, name: str) -> Path | None:
        """Return a folder in which files can be made, or which can be made."""
        path = self.path(name)
        if path and not _can_write_in(path):
            wrong = "names a folder that cannot be written to, or made"
            self.problem(name, wrong, "name one that this user may write to")
        return path

    def file(self, name: str) -> Path | None:
        """Return a file that can be written to, or made."""
        path = self.path(name)
        if not path:
            return None
        if _exists(path):
            usable = os.access(path, os.W_OK) and not path.is_dir()
        else:
            usable = _can_write_in(path.parent)
        if not usable:
            fix = "name a file, in a folder that this user may write to"
            self.problem(name, "names a file that cannot be written to", fix)
        return path

    def _labelled(self, name: str) -> str:
        known = self._has_dotenv and self.text(name)
        return f"{name} (from {self.origin(name)})" if known else name


def nearest_folder(folder: Path) -> Path:
    """Return the folder, or the closest one above it that this user can see."""
    return next(path for path in (folder, *folder.absolute().parents) if _exists(path))


def _can_write_in(folder: Path) -> bool:
    """Whether files can be made in a folder that exists or can be made."""
    existing = nearest_folder(folder)
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        # it lies below a folder that this user may not enter
        return False


def _dotenv() -> dict[str, str]:
    """Return what a developer's `.env` sets; nothing where there is none, or it is switched off."""
    if any(
        os.environ.get(name, "").lower() not in ("", "0", "false", "f", "no", "n")
        for name in _DOTENV_SWITCHES
    ):
        return {}
    try:
        values = dotenv_values(PROJECT / ".env")
    except (OSError, UnicodeDecodeError):
        fix = "let this user read it, as UTF-8, or set PYTHON_DOTENV_DISABLED=1"
        raise SettingsError([Problem(".env", "cannot be read", fix)]) from None
    return {name: value for name, value in values.items() if value is not None}


def _complete_environ(dotenv: dict[str, str]) -> frozenset[str]:
    """Set what only `.env` sets, and return the names of the variables that came from there.

    A variable with just the value that the file gives it counts as the file's: the `flask` command
    has copied the file into the environment before any of our code runs. It does so in this folder
    alone; elsewhere `stripe-archive` is called, and what is set there is the environment's.
    """
    copied = bool(dotenv) and Path.cwd().is_relative_to(PROJECT)
    ours = {
        name: value
        for name, value in dotenv.items()
        if name not in os.environ or (copied and os.environ[name] == value)
    }
    os.environ.update(ours)
    return frozenset(ours)

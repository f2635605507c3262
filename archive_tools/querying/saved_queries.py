"""The queries by name, from a file or as they are typed, ready to be run.

Knows where they are and what is to be filled in; nothing of what runs them.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from webhook_app.environ import PROJECT

from ..errors import ToolError
from .model_files import model_names

_FOLDER = PROJECT / "deploy/athena/queries"
_PLACEHOLDER = re.compile(r"\w+_replace_me")


def questions() -> list[tuple[str, str]]:
    """Return the name of each query of the library, and the question that it answers."""
    return [(path.stem, _question(path.read_text())) for path in _paths()]


def sql_of(argument: str) -> str:
    """Return the SQL that an argument means.

    Args:
        argument: `-` for standard input, a file *.sql, a name of the library or of a model, or
            SQL itself.

    Raises:
        ToolError: it is none of them.
    """
    if argument == "-":
        return sys.stdin.read()
    file = Path(argument)
    if argument.endswith(".sql") and "\n" not in argument and file.is_file():
        try:
            return file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ToolError(f"{file} cannot be read as text") from error
    named = {path.stem: path for path in _paths()}
    if found := named.get(argument.removesuffix(".sql")):
        return found.read_text()
    if argument in model_names():
        return f"SELECT * FROM {argument}"  # noqa: S608 - a name of ours
    # a query is more than a word
    if len(argument.split()) > 1 and not argument.endswith(".sql"):
        return argument
    raise ToolError(
        f"{argument!r} is no file, and no query of the library or model",
        "`flask archive query --list` names them; SQL is given in quotes",
    )


def filled(sql: str, values: Mapping[str, str]) -> str:
    """Return a query with a value for each of its placeholders.

    Args:
        sql: has placeholders as `evt_replace_me`, each within a text in quotes.
        values: by placeholder.

    Raises:
        ToolError: a value has no place, or a place has no value.
    """
    found = set(_PLACEHOLDER.findall(sql))
    for name, value in values.items():
        if name not in found:
            raise ToolError(
                f"The query has no placeholder {name}",
                f"it has {', '.join(sorted(found))}" if found else "leave --set out",
            )
        if not value.isprintable():
            raise ToolError(f"The value for {name} has a character that cannot be printed")
        sql = re.sub(rf"\b{name}\b", lambda _, v=value: v.replace("'", "''"), sql)  # type: ignore[misc]
    if left := sorted(found - set(values)):
        raise ToolError(
            f"The query still has {' and '.join(left)} in it",
            " ".join(f"--set {name}=…" for name in left),
        )
    return sql


def _paths() -> list[Path]:
    return sorted(_FOLDER.glob("*.sql"))


def _question(sql: str) -> str:
    return sql.partition("\n")[0].removeprefix("--").strip()

"""The models of deploy/athena/models: views over `stripe_events` and `stripe_snapshots`, by name.

A file is a view of Athena's: its head says what it answers and by which rules, then comes
`CREATE OR REPLACE VIEW name AS` and the query.
"""

import functools
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ..errors import ToolError
from .dialect import parsed, tables_of
from .schema import SCHEMA, relations
from .translation import Relation, translated
from .types import Type

FOLDER = SCHEMA / "models"

_CREATE = re.compile(r"^CREATE OR REPLACE VIEW (\w+) AS\n", re.MULTILINE)


@dataclass(frozen=True)
class Model:
    """A view, and what it reads."""

    name: str
    head: str
    """The comment that the file begins with, without its dashes: question, rules, columns."""
    sql: str
    """The query, in Athena's dialect."""
    columns: dict[str, Type]
    reads: frozenset[str]
    """The tables, views and models of its FROM."""

    def translated(self, today: date) -> str:
        """Return the query in DuckDB's dialect, for a current day."""
        return translated(self.sql, known_relations(), today).sql


@functools.cache
def models() -> dict[str, Model]:
    """Return the models by name, each after those that it reads.

    Raises:
        ToolError: one cannot be read, or reads what is not there.
    """
    files = {path.stem: _parts(path) for path in sorted(FOLDER.glob("*.sql"))}
    reads = {name: tables_of(parsed(sql)) for name, (_, sql) in files.items()}
    found: dict[str, Model] = {}
    known = dict(relations())
    while waiting := [name for name in files if name not in found]:
        ready = [name for name in waiting if not (reads[name] & files.keys()) - found.keys()]
        if not ready:
            raise ToolError(f"The models {', '.join(waiting)} read each other in a circle")
        for name in ready:
            head, sql = files[name]
            columns = dict(translated(sql, known).columns)
            known[name] = Relation(name, columns, is_archive=True)
            found[name] = Model(name, head, sql, columns, frozenset(reads[name]))
    return found


@functools.cache
def known_relations() -> dict[str, Relation]:
    """Return the tables, the view and the models by name, with their columns."""
    of_models = {
        name: Relation(name, model.columns, is_archive=True) for name, model in models().items()
    }
    return {**relations(), **of_models}


def needed(tables: set[str]) -> list[Model]:
    """Return the models among some tables and all that these read, each after what it reads."""
    wanted = set(tables)
    found = []
    for model in reversed(models().values()):
        if model.name in wanted:
            wanted |= model.reads
            found.append(model)
    return found[::-1]


def _parts(path: Path) -> tuple[str, str]:
    text = path.read_text()
    created = _CREATE.search(text)
    if not created or created[1] != path.stem:
        raise ToolError(f"{path} does not create the view {path.stem}")
    lines = text[: created.start()].splitlines()
    head = "\n".join(line.removeprefix("--").removeprefix(" ") for line in lines)
    return head.strip(), text[created.end() :].strip().rstrip(";")

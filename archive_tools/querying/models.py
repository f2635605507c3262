"""The models of deploy/athena/models: views over `stripe_events` and `stripe_snapshots`, by name.

A file is a view of Athena's: its head says what it answers and by which rules, then comes
`CREATE OR REPLACE VIEW name AS` and the query. A model is read when it is first asked for.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ..errors import ToolError
from .dialect import parsed, tables_of
from .expressions import Read
from .schema import SCHEMA, VIEW, relations
from .translation import Relation, translated
from .types import Type

FOLDER = SCHEMA / "models"

#: The views of every state of every object, on which the others are built: a row is of one kind of
#: object, and the second is made of rows of the first that are of the same kind.
STATES = ("object_events", "object_states")

_CREATE = re.compile(r"^CREATE OR REPLACE VIEW (\w+) AS\n", re.MULTILINE)
_COLUMNS = re.compile(r"^Columns:\n", re.MULTILINE)
_COLUMN = re.compile(r"^  (\w+): +(.*(?:\n    .*)*)", re.MULTILINE)


_READ: dict[Path, "Model"] = {}


@dataclass(frozen=True)
class Model:
    """A view, and what it reads."""

    name: str
    head: str
    """The comment that the file begins with, without its dashes: question, rules, columns."""
    sql: str
    """The query, in Athena's dialect."""
    columns: dict[str, Type]
    reads: tuple[Read, ...]
    """Each reading of a table, a view or a model."""

    @property
    def question(self) -> str:
        """What it answers."""
        return self.head.partition("\n")[0]

    @property
    def rules(self) -> str:
        """The sentences between its question and its columns."""
        return _COLUMNS.split(self.head.partition("\n")[2])[0].strip()

    @property
    def meanings(self) -> dict[str, str]:
        """What its columns mean, by name, for those that need words."""
        _, _, listed = self.head.partition("\nColumns:\n")
        return {name: " ".join(text.split()) for name, text in _COLUMN.findall(listed)}

    @property
    def statement(self) -> str:
        """What makes the view in Athena."""
        return f"CREATE OR REPLACE VIEW {self.name} AS\n{self.sql}"

    def translated(self, today: date) -> str:
        """Return the query in DuckDB's dialect, for a current day."""
        return translated(self.sql, known_relations(self.sql), today).sql


def model_names() -> list[str]:
    """Return the names of all models, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.sql"))


def questions() -> list[tuple[str, str]]:
    """Return the name of each model, and the question that it answers."""
    return [(name, _parts(FOLDER / f"{name}.sql")[0].partition("\n")[0]) for name in model_names()]


def model(name: str) -> Model:
    """Return a model.

    Raises:
        ToolError: there is none of this name, it cannot be read, or it reads itself.
    """
    if name not in model_names():
        raise ToolError(f"There is no model {name}", "`flask archive query --list` names them")
    return _model(name, ())


def models() -> list[Model]:
    """Return all models, each after those that it reads.

    Raises:
        ToolError: as `model`.
    """
    return needed(model_names())


def needed(names: Iterable[str]) -> list[Model]:
    """Return the models among some tables and all that these read, each after what it reads."""
    found: dict[str, Model] = {}
    for name in names:
        if name in model_names() and name not in found:
            wanted = model(name)
            found |= {other.name: other for other in needed(read.table for read in wanted.reads)}
            found[name] = wanted
    return list(found.values())


@dataclass(frozen=True)
class Needs:
    """What has to be made before something can be read."""

    models: list[Model]
    """Each after those that it reads."""
    tables: set[str]
    """All that is read, the models among them."""
    shared: set[str]
    """The models that are read more than once, which are computed once and kept."""
    kinds: str
    """The condition on `object` of the rows of `STATES` that are used; empty for all of them."""
    steps: int
    """Statements that take time."""


def needs(reads: Sequence[Read], wanted: Sequence[str] = ()) -> Needs:
    """Return what some readings need, and some models that are wanted besides."""
    models = needed([*(read.table for read in reads), *wanted])
    inner = [read for model in models for read in model.reads]
    counts = Counter(read.table for read in [*reads, *inner])
    outside = [read for model in models if model.name not in STATES for read in model.reads]
    if wanted:
        # what was built is asked of them at the end
        counts[STATES[0]] += 1
    shared = {model.name for model in models if counts[model.name] > 1}
    kinds = _kinds([*reads, *outside], set(wanted))
    steps = (VIEW in counts) + len(shared | set(wanted))
    return Needs(models, set(counts), shared, kinds, steps)


def known_relations(sql: str) -> dict[str, Relation]:
    """Return the tables, the view and the models that a query names, with their columns."""
    return _known(sql, ())


def _kinds(reads: Iterable[Read], wanted: set[str]) -> str:
    conditions = {" AND ".join(read.conditions) for read in reads if read.table in STATES}
    if wanted & set(STATES) or not all(conditions):
        return ""
    return " OR ".join(f"({one})" for one in sorted(conditions))


def _known(sql: str, above: tuple[str, ...]) -> dict[str, Relation]:
    found = dict(relations())
    for name in sorted(tables_of(parsed(sql)) & set(model_names())):
        partitions = ("object",) if name in STATES else ()
        columns = _model(name, above).columns
        found[name] = Relation(name, columns, is_archive=True, partitions=partitions)
    return found


def _model(name: str, above: tuple[str, ...]) -> Model:
    """Return a model; `above` are those that read it, of which it can read none."""
    path = FOLDER / f"{name}.sql"
    if name in above:
        raise ToolError(f"The models {', '.join(above)} read each other in a circle")
    if path not in _READ:
        head, sql = _parts(path)
        query = translated(sql, _known(sql, (*above, name)))
        _READ[path] = Model(name, head, sql, dict(query.columns), tuple(query.reads))
    return _READ[path]


def _parts(path: Path) -> tuple[str, str]:
    text = path.read_text()
    created = _CREATE.search(text)
    if not created or created[1] != path.stem:
        raise ToolError(f"{path} does not create the view {path.stem}")
    lines = text[: created.start()].splitlines()
    head = "\n".join(line.removeprefix("--").removeprefix(" ") for line in lines)
    return head.strip(), text[created.end() :].strip().rstrip(";")

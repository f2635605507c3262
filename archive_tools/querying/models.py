"""The models of deploy/athena/models as relations: their columns, what they read, what they need.

A model is translated when it is first asked for.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from ..errors import ToolError
from .dialect import parsed, tables_of
from .expressions import Read
from .model_files import ModelFile, model_file, model_names
from .schema import VIEW, relations
from .translation import Relation, translated
from .types import Type

#: The views of every state of every object, on which the others are built: a row is of one kind of
#: object, and the second is made of rows of the first that are of the same kind.
STATES = ("object_events", "object_states")

_READ: dict[ModelFile, "Model"] = {}


@dataclass(frozen=True)
class Model(ModelFile):
    """A view, and what it reads."""

    columns: dict[str, Type]
    reads: tuple[Read, ...]
    """Each reading of a table, a view or a model."""

    def translated(self, today: date) -> str:
        """Return the query in DuckDB's dialect, for a current day."""
        return translated(self.sql, known_relations(self.sql), today).sql


def model(name: str) -> Model:
    """Return a model.

    Raises:
        ToolError: there is none of this name, it cannot be read, or it reads itself.
    """
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
    if name in above:
        raise ToolError(f"The models {', '.join(above)} read each other in a circle")
    file = model_file(name)
    if file not in _READ:
        query = translated(file.sql, _known(file.sql, (*above, name)))
        _READ[file] = Model(name, file.head, file.sql, dict(query.columns), tuple(query.reads))
    return _READ[file]

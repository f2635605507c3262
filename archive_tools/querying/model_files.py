"""The files of deploy/athena/models, as they are written: what a model answers, and its SQL.

A file is a view of Athena's: its head says what it answers and by which rules, then comes
`CREATE OR REPLACE VIEW name AS` and the query. Knows nothing of what reads or runs it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from webhook_app.environ import PROJECT

from ..errors import ToolError

FOLDER = PROJECT / "deploy/athena/models"

_CREATE = re.compile(r"^CREATE OR REPLACE VIEW (\w+) AS\n", re.MULTILINE)
_COLUMNS = re.compile(r"^Columns:\n", re.MULTILINE)
_COLUMN = re.compile(r"^  (\w+): +(.*(?:\n    .*)*)", re.MULTILINE)


@dataclass(frozen=True)
class ModelFile:
    """A model as it is written."""

    name: str
    head: str
    """The comment that the file begins with, without its dashes: question, rules, columns."""
    sql: str
    """The query, in Athena's dialect."""

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


def model_names() -> list[str]:
    """Return the names of all models, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.sql"))


def model_file(name: str) -> ModelFile:
    """Return a model as it is written.

    Raises:
        ToolError: there is none of this name, or it creates another view.
    """
    path: Path = FOLDER / f"{name}.sql"
    if name not in model_names():
        raise ToolError(f"There is no model {name}", "`flask archive query --list` names them")
    text = path.read_text()
    created = _CREATE.search(text)
    if not created or created[1] != name:
        raise ToolError(f"{path} does not create the view {name}")
    lines = text[: created.start()].splitlines()
    head = "\n".join(line.removeprefix("--").removeprefix(" ") for line in lines)
    return ModelFile(name, head.strip(), text[created.end() :].strip().rstrip(";"))

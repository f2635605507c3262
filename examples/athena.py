"""The query library's results for docs/QUERYING.md: `python -m examples.athena docs/QUERYING.md`.

Runs the library on the sample month, and writes its chapter of the document.
"""

import re
import tempfile
from pathlib import Path

import click

from archive_tools.querying.duckdb_engine import open_duckdb
from archive_tools.querying.engine import Result
from archive_tools.querying.saved_queries import filled
from archive_tools.storage import FolderStorage
from examples import month
from tests.support.service import PROJECT

_MARKERS = "<!-- the library: generated -->", "<!-- end of the library -->"

LIBRARY = sorted((PROJECT / "deploy/athena/queries").glob("*.sql"))


def markdown(result: Result, limit: int = 6) -> str:
    """Return a result as a table of so many rows."""
    rows = [list(map(_cell, row)) for row in result.rows[:limit]]
    lines = [result.names, ["---"] * len(result.names), *rows]
    left = len(result.rows) - limit
    more = f"\n… and {left} more\n" if left > 0 else ""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + more


def _cell(value: object) -> str:
    text = "" if value is None else " ".join(str(value).split())
    text = text.lower() if isinstance(value, bool) else text
    # an object's name ends in random characters
    text = re.sub(r"^.*(webhooks/.*)-[0-9a-f]{16}(\.json\.gz)$", r"\1-…\2", text)
    return text if len(text) <= 75 else f"{text[:40]}…"


def library_chapter(folder: Path) -> str:
    """Return a section for each query of the library, with its result on the sample month."""
    sections = []
    with open_duckdb(FolderStorage(folder, str(folder)), month.TODAY) as engine:
        for path in LIBRARY:
            sql = path.read_text()
            given = {name: value for name, value in month.EXAMPLES.items() if name in sql}
            sql = filled(sql, given)
            head = f"{sql[3 : sql.index('?')]}? [{path.name}](../{path.relative_to(PROJECT)})"
            sections.append(f"### {path.stem}\n\n{head}\n\n{markdown(engine.run(sql))}\n")
    return "".join(sections)


@click.command()
@click.argument("document", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(document: Path) -> None:
    """Renew the results of the library in DOCUMENT."""
    with tempfile.TemporaryDirectory() as scratch:
        month.archive(Path(scratch))
        chapter = f"{_MARKERS[0]}\n\n{library_chapter(Path(scratch))}{_MARKERS[1]}"
    before, _, rest = document.read_text().partition(_MARKERS[0])
    document.write_text(before + chapter + rest.partition(_MARKERS[1])[2])


if __name__ == "__main__":
    main()

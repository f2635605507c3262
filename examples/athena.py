"""What docs/QUERYING.md has of the code: `python -m examples.athena docs/QUERYING.md`.

The functions that run on DuckDB, and the library's results on the sample month.
"""

import re
import tempfile
import textwrap
from pathlib import Path

import click

from archive_tools.querying.calls import supported
from archive_tools.querying.duckdb_engine import open_duckdb
from archive_tools.querying.engine import Result
from archive_tools.querying.functions import INSTEAD
from archive_tools.querying.saved_queries import filled
from archive_tools.storage import FolderStorage
from examples import month
from tests.support.service import PROJECT

_LIBRARY = "<!-- the library: generated -->", "<!-- end of the library -->"
_FUNCTIONS = "<!-- the functions: generated -->", "<!-- end of the functions -->"

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


def functions_chapter() -> str:
    """Return the functions that DuckDB runs, and what to write in place of some others."""
    names = textwrap.fill(", ".join(f"`{name}`" for name in supported()), 108)
    others = "".join(f"- `{name}`: {_code(instead)}\n" for name, instead in INSTEAD.items())
    return f"{names}.\n\nInstead of some others, write:\n\n{others}"


def _code(text: str) -> str:
    return re.sub(r"[\w]+ ?\(.*\)( IS NOT NULL)?|^\w+$", lambda found: f"`{found[0]}`", text)


def renewed(text: str, markers: tuple[str, str], chapter: str) -> str:
    """Return a document with a chapter in place of what is between two markers."""
    before, _, rest = text.partition(markers[0])
    return f"{before}{markers[0]}\n\n{chapter}{markers[1]}{rest.partition(markers[1])[2]}"


@click.command()
@click.argument("document", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(document: Path) -> None:
    """Renew the functions and the results of the library in DOCUMENT."""
    with tempfile.TemporaryDirectory() as scratch:
        month.archive(Path(scratch))
        library = library_chapter(Path(scratch))
    text = renewed(document.read_text(), _FUNCTIONS, f"{functions_chapter()}\n")
    document.write_text(renewed(text, _LIBRARY, library))


if __name__ == "__main__":
    main()

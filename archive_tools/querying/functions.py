"""Trino's functions that have an equal in DuckDB: what they take, what they give, how to call it.

`trino_functions.txt` has them. What is in none of its tables is refused. The source is
https://trino.io/docs/current/functions.html, and for what it leaves open Trino's own code.
"""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

_ALIASES = {
    "arbitrary": "any_value",
    "ceiling": "ceil",
    "day_of_month": "day",
    "dow": "day_of_week",
    "doy": "day_of_year",
    "every": "bool_and",
    "pow": "power",
    "random": "rand",
    "stddev_samp": "stddev",
    "substring": "substr",
    "var_samp": "variance",
    "week_of_year": "week",
    "yow": "year_of_week",
}

#: What to write in place of some of those that are refused.
INSTEAD = {
    "approx_distinct": "count(DISTINCT …)",
    "json_array_get": "json_extract(…, '$[0]')",
    "json_exists": "json_extract(…) IS NOT NULL",
    "json_query": "json_extract",
    "json_size": "json_array_length(json_extract(…))",
    "json_value": "json_extract_scalar",
    "parse_datetime": "date_parse",
    "typeof": "CAST(… AS …), which gives the type that you want",
}

_FOLDER = Path(__file__).parent

#: The statements that teach DuckDB what it does in another way than Trino.
MACROS = (_FOLDER / "trino_macros.sql").read_text()


@dataclass(frozen=True)
class Function:
    """One way in which a function can be called. `sql` is DuckDB's, to be formatted."""

    name: str
    parameters: tuple[str, ...]
    result: str
    sql: str


@functools.cache
def tables() -> tuple[dict[str, list[Function]], ...]:
    """Return the functions by name: of a row, of many rows, and of a window."""
    found: list[dict[str, list[Function]]] = []
    for line in (_FOLDER / "trino_functions.txt").read_text().splitlines():
        if line.startswith("["):
            found.append({})
        elif words := re.fullmatch(r"(\w+)\((.*?)\) (\S.*?) = (.*)", line):
            name, parameters, result, sql = words.groups()
            split = re.split(r", (?![^(]*\))", parameters) if parameters else []
            found[-1].setdefault(name, []).append(Function(name, tuple(split), result, sql))
    return tuple(found)


def canonical(name: str) -> str:
    """Return the name under which a function is in the tables."""
    return _ALIASES.get(name.lower(), name.lower())


def names() -> set[str]:
    """Return the names of all functions of the tables, aliases included."""
    listed = {name for table in tables() for name in table}
    return listed | {alias for alias, name in _ALIASES.items() if name in listed}

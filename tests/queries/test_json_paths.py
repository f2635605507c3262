"""What is at a path of a JSON document: Trino's scalar, however many paths the query asks for."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_tools.querying.duckdb_engine import DuckDBEngine, open_duckdb
from archive_tools.storage import FolderStorage

NAMES = ["a", "b", "c"]
PATHS = ["$", "$.a", "$.b", "$.c", "$.a.a", "$.a.b", "$.b.c", "$.a[0]", "$.a[1].b", "$.c[2]"]

#: As they are written in a document; no two have the same value.
SCALARS = [
    *("0", "7", "-12", "1.0", "2.50", "1e3", "1E-7", "-0.125", "25.0", "25"),
    *("12345678901234567890", "12345678901234567890123", "9223372036854775807"),
    *("true", "false", "null", '""', '"x"', '"25.00"', '"a: 25.00"', '"null"', '"[1]"'),
    *(r'"\u00e9\n\"\\"', '"é😀"', r'"\/"', '"  "'),
]
BROKEN = ["", " ", "{", '{"a": 1', "no", "[1,]", "{'a': 1}", '{"a": 1} 2']

values = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[ {','.join(items)}]"),
        st.lists(st.tuples(st.sampled_from(NAMES), inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f'"{name}" : {value}' for name, value in pairs) + "}"
        ),
    ),
    max_leaves=8,
)
documents = st.one_of(st.none(), st.sampled_from(BROKEN), values)


class Number(str):
    """A number as it is written in a document."""

    __slots__ = ()


def first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object in which the first of two equal keys counts, as in Trino."""
    return dict(reversed(pairs))


def scalar(document: str | None, path: str) -> str | None:
    """Return what Trino's json_extract_scalar documents."""
    try:
        found = json.loads(
            document or "", parse_int=Number, parse_float=Number, object_pairs_hook=first
        )
        for step in path.replace("[", ".").replace("]", "").split(".")[1:]:
            found = found[int(step)] if isinstance(found, list) else dict(found)[step]
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    if isinstance(found, bool):
        return str(found).lower()
    return str(found) if isinstance(found, str) else None


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBEngine]:
    with ExitStack() as stack:
        folder: Path = tmp_path_factory.mktemp("archive")
        yield stack.enter_context(open_duckdb(FolderStorage(folder, "archive"), date(2026, 11, 23)))


@settings(max_examples=20, deadline=None)
@given(st.lists(documents, min_size=1, max_size=30))
def test_a_scalar_is_the_same_alone_and_among_others(
    engine: DuckDBEngine, some: list[str | None]
) -> None:
    rows = ", ".join(
        f"({n}, {'NULL' if text is None else repr_sql(text)})" for n, text in enumerate(some)
    )
    together = [f"json_extract_scalar(d, '{path}')" for path in PATHS]
    alone = [f"transform(ARRAY[d], x -> json_extract_scalar(x, '{path}'))[1]" for path in PATHS]
    sql = (
        f"SELECT {', '.join(together + alone)} "
        f"FROM (VALUES {rows}, ({len(some)}, '')) AS t (n, d) ORDER BY n"
    )
    expected = [[scalar(text, path) for path in PATHS] for text in [*some, ""]]
    found = [list(row) for row in engine.run(sql).rows]
    assert found == [row * 2 for row in expected]


def repr_sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

"""The grammar of Athena's SELECT: sqlglot's Trino, with each function as it is written.

sqlglot would give functions of several engines one name, and lose what they do differently.
"""

import logging
from collections.abc import Callable
from typing import Any, ClassVar

from ..errors import ToolError
from . import not_installed
from .types import Type, decimal, timestamp, zoned

try:
    import sqlglot
    from sqlglot import exp
    from sqlglot.dialects.trino import Trino
    from sqlglot.errors import SqlglotError
    from sqlglot.parsers.trino import TrinoParser
    from sqlglot.tokenizer_core import TokenType
except ModuleNotFoundError as missing:
    raise not_installed(missing) from missing

# what it would log about a statement that it cannot read, the error says
logging.getLogger("sqlglot").setLevel(logging.ERROR)

_SHOWN = 60
_ELSEWHERE = (
    "docs/QUERYING.md lists what runs on this machine; --engine athena runs all of Athena's"
)

_NO_SELECT = "a query reads the archive, and changes nothing"

_BY_SYNTAX = ("CAST", "TRY_CAST", "EXTRACT", "TRIM", "POSITION", "SUBSTRING", "LISTAGG")


def _marked(parse: Callable[[Any], exp.Expr | None]) -> Callable[[Any], exp.Expr | None]:
    """Mark a cast that is written as one: `DECIMAL '1.5'` becomes the same node."""

    def marked(parser: Any) -> exp.Expr | None:
        node = parse(parser)
        if node:
            node.meta["call"] = True
        return node

    return marked


_SIMPLE = {
    exp.DType.BOOLEAN: "boolean",
    exp.DType.TINYINT: "tinyint",
    exp.DType.SMALLINT: "smallint",
    exp.DType.INT: "integer",
    exp.DType.BIGINT: "bigint",
    exp.DType.DOUBLE: "double",
    exp.DType.DATE: "date",
    exp.DType.JSON: "json",
    exp.DType.VARBINARY: "varbinary",
}


class AthenaSelect(Trino):
    """What a SELECT of Athena engine version 3 looks like."""

    INDEX_OFFSET = 0  # a subscript stays as it is written

    class Parser(TrinoParser):
        """Keep every function as `Anonymous`, but for those with a syntax of their own."""

        FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
            name: _marked(parse)
            for name, parse in TrinoParser.FUNCTION_PARSERS.items()
            if name in _BY_SYNTAX
        }


def parsed(sql: str) -> exp.Query:
    """Return the tree of the one SELECT that a text is.

    Raises:
        ToolError: it is none, or more than one.
    """
    refuse_all_but_select(sql)
    try:
        (tree,) = (tree for tree in sqlglot.parse(sql, dialect=AthenaSelect) if tree)
    except (SqlglotError, RecursionError) as error:
        # the first line says what is wrong, the rest quotes the query with marks for a terminal
        reason = str(error).partition("\n")[0].partition("\x1b")[0].strip().rstrip(".")
        raise ToolError(f"The query cannot be read: {reason}", "check its spelling") from error
    # a Command is what sqlglot keeps as text
    if not isinstance(tree, exp.Query | exp.Values) or tree.find(exp.Command, exp.Into):
        raise ToolError("This is no SELECT", _NO_SELECT)
    return tree  # type: ignore[return-value]


def tables_of(tree: exp.Query) -> set[str]:
    """Return the names of the tables that a query reads, those that it makes by WITH among them."""
    return {table.name.lower() for table in tree.find_all(exp.Table)}


def refuse_all_but_select(sql: str) -> None:
    """Refuse what is no SELECT, without reading the rest of it: Athena knows more than sqlglot.

    Raises:
        ToolError: it begins with another word, or is more than one statement.
    """
    try:
        words = AthenaSelect().tokenize(sql)
    except SqlglotError as error:
        raise ToolError("The query has a quote or a comment without an end") from error
    while words and words[-1].token_type == TokenType.SEMICOLON:
        words.pop()
    first = next((w.text.upper() for w in words if w.token_type != TokenType.L_PAREN), "")
    if first not in ("SELECT", "WITH", "VALUES", "TABLE"):
        raise ToolError("This is no SELECT", _NO_SELECT)
    if any(word.token_type == TokenType.SEMICOLON for word in words):
        raise ToolError("The query holds more than one statement", "run one at a time")


def refused(node: exp.Expr, why: str, instead: str = "") -> ToolError:
    """Return the refusal of a part of a query, to be raised."""
    text = node.sql(AthenaSelect, comments=False)
    shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
    return ToolError(f"{why}: {shown}", instead or _ELSEWHERE)


def only(node: exp.Expr, *known: str) -> None:
    """Refuse a node that has a part besides those that are known.

    Raises:
        ToolError: it has one.
    """
    for name, value in node.args.items():
        if value and name not in known:
            raise refused(node, f"{type(node).__name__} with {name.strip('_')} is not supported")


def named_type(node: exp.DataType) -> Type | None:
    """Return the type that a query names, None for one that is not supported."""
    kind = node.this
    parts = node.expressions
    numbers = [int(p.name) for p in parts if isinstance(p, exp.DataTypeParam) and p.name.isdigit()]
    if kind in _SIMPLE:
        return Type(_SIMPLE[kind])
    if kind == exp.DType.VARCHAR or (kind == exp.DType.TEXT and not parts):
        return Type("varchar", tuple(numbers))
    if kind == exp.DType.DECIMAL:
        precision, scale = (*numbers, 38, 0)[:2] if len(numbers) != 1 else (numbers[0], 0)
        return decimal(precision, scale) if scale <= precision <= 38 else None
    if kind == exp.DType.TIMESTAMP and numbers in ([], [0], [3], [6]):
        return timestamp(*numbers)
    if kind == exp.DType.TIMESTAMPTZ and numbers in ([], [3]):
        return zoned()
    if kind in (exp.DType.ARRAY, exp.DType.MAP):
        inner = [named_type(p) if isinstance(p, exp.DataType) else None for p in parts]
        return Type(kind.value.lower(), tuple(inner)) if inner and None not in inner else None
    if kind == exp.DType.STRUCT:
        fields = [
            (p.name.lower(), named_type(p.args["kind"])) if isinstance(p, exp.ColumnDef) else None
            for p in parts
        ]
        found = [field for field in fields if field and field[1]]
        return Type("row", tuple(found)) if found and len(found) == len(fields) else None
    return None

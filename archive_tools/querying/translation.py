"""Athena's SELECT in DuckDB's SQL: with the same result, or refused with the reason.

Every name is resolved and every expression has Trino's type, since what a division, a cast or a
comparison means hangs on types. What is written down neither here nor in `calls` and `casts` is
refused. Runs nothing.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TypeVar

from sqlglot import exp

from ..errors import ToolError
from .calls import Calls
from .casts import cast, coerced
from .dialect import AthenaSelect, named_type, only, parsed, refused
from .types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DAYS,
    DOUBLE,
    INTEGER,
    JSON,
    MONTHS,
    UNKNOWN,
    VARBINARY,
    VARCHAR,
    Type,
    Typed,
    array,
    common,
    decimal,
    quoted,
    text_literal,
    timestamp,
    zoned,
)

_T = TypeVar("_T")

PARTITIONS = ("year", "month", "day")

#: A condition with one of these can be another for each row.
_UNSTEADY = (exp.Query, exp.Subquery, exp.Window, exp.Filter)

_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}
_ARITHMETIC: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
}
_SETS: dict[type[exp.Expr], str] = {
    exp.Union: "UNION",
    exp.Intersect: "INTERSECT",
    exp.Except: "EXCEPT",
}
_UNITS = {
    "SECOND": DAYS, "MINUTE": DAYS, "HOUR": DAYS, "DAY": DAYS, "MONTH": MONTHS, "YEAR": MONTHS
}  # fmt: skip


@dataclass
class Read:
    """A reading of the table, and what of its WHERE is about the partitions alone."""

    table: str
    alias: str
    """That DuckDB knows this reading by."""
    conditions: list[str] = field(default_factory=list)
    """In DuckDB's dialect, on the columns year, month and day; all of them have to hold."""


@dataclass(frozen=True)
class Relation:
    """A table, a view or a part of the query: its name for DuckDB, and its columns."""

    name: str
    columns: Mapping[str, Type]
    is_archive: bool = False


@dataclass(frozen=True)
class Translation:
    """A query as DuckDB runs it."""

    sql: str
    columns: list[tuple[str, Type]]
    reads: list[Read]


@dataclass
class _Source:
    alias: str
    columns: dict[str, Typed]
    hidden: frozenset[str] = frozenset()
    read: Read | None = None


@dataclass
class Scope:
    """The names that an expression can use."""

    sources: list[_Source] = field(default_factory=list)
    outer: "Scope | None" = None
    shared: dict[str, Typed] = field(default_factory=dict)
    """Columns that USING has joined, and parameters of a lambda."""
    windows: dict[str, exp.Window] = field(default_factory=dict)

    def find(self, name: str, table: str) -> list[Typed]:
        """Return what a name can mean, in the innermost scope that knows it."""
        if not table and name in self.shared:
            return [self.shared[name]]
        found = [
            source.columns[name]
            for source in self.sources
            if name in source.columns and table in ("", source.alias)
        ]
        return found or (self.outer.find(name, table) if self.outer else [])


def translated(
    sql: str, relations: Mapping[str, Relation], today: date | None = None
) -> Translation:
    """Return a query of Athena's dialect in DuckDB's.

    Args:
        sql: one SELECT.
        relations: the tables that there are, by their names in lower case.
        today: what `current_date` is; the current day in UTC where it is left out.

    Raises:
        ToolError: it is no SELECT, or has something whose result could be another than Athena's.
    """
    translator = Translator(relations, today)
    try:
        text, columns = translator.query(parsed(sql), None)
    except RecursionError as error:
        raise ToolError("The query is nested too deeply", "make it of parts, by WITH") from error
    for name, type_ in columns:
        if type_.is_interval:
            raise ToolError(
                f"The column {name} is an interval, which no file format has",
                "give the difference as a number: date_diff('second', …, …)",
            )
    return Translation(_without_zones(text, columns), columns, translator.reads)


def translated_condition(
    condition: str, relation: Relation, today: date | None = None
) -> tuple[str, Read]:
    """Return a condition on the rows of one relation in DuckDB's dialect, and what it reads.

    Raises:
        ToolError: it is no condition on a row alone.
    """
    # on a line of its own, so that a comment at its end stays one
    tree = parsed(f"SELECT 1 FROM {relation.name} WHERE ({condition or 'TRUE'}\n)")  # noqa: S608
    clauses = [name for name, value in tree.args.items() if value]
    if clauses != ["expressions", "from_", "where"] or len(list(tree.find_all(exp.Query))) > 1:
        raise ToolError(
            "The condition holds a query of its own, or is none",
            "compare the columns of a row, as in type = 'charge.failed'",
        )
    translator = Translator({relation.name: relation}, today)
    scope = Scope([translator.source_of(relation, relation.name)])
    where = tree.args["where"].this
    text = translator.boolean(where, scope)
    translator.keep_conditions(where, scope)
    return text, translator.reads[0]


def _without_zones(sql: str, columns: Sequence[tuple[str, Type]]) -> str:
    """Return the query with times in UTC in place of instants, for which Python has no type."""
    if not any(type_.name == "timestamp with time zone" for _, type_ in columns):
        return sql
    items = ", ".join(
        f"{f'''timezone('UTC', #{n})''' if type_.name == 'timestamp with time zone' else f'#{n}'}"
        f" AS {quoted(name)}"
        for n, (name, type_) in enumerate(columns, 1)
    )
    return f"SELECT {items} FROM ({sql})"  # noqa: S608


class Translator:
    """Translates one query; collects what it reads."""

    def __init__(self, relations: Mapping[str, Relation], today: date | None) -> None:
        """Take the tables and the current day."""
        self.reads: list[Read] = []
        self._relations: list[dict[str, Relation]] = [dict(relations)]
        self._names = 0
        now = datetime.now(UTC)
        self._now = datetime.combine(today or now.date(), now.time())
        self._calls = Calls(self)

    # queries

    def query(self, node: exp.Expr, outer: Scope | None) -> tuple[str, list[tuple[str, Type]]]:
        """Return a query and the names and types of its columns.

        Raises:
            ToolError: it has something that is not supported.
        """
        with self._ctes(node) as ctes:
            match node:
                case exp.Select():
                    sql, columns = self._select(node, outer)
                case exp.SetOperation():
                    sql, columns = self._set_operation(node, outer)
                case exp.Values():
                    sql, columns = self._values(node, outer)
                case exp.Subquery():
                    only(node, "this", "with_", "order", "limit", "offset")
                    inner, columns = self.query(node.this, outer)
                    sql = f"SELECT * FROM ({inner})" + self._rest(node, columns)  # noqa: S608
                case _:
                    raise refused(node, "This kind of query is not supported")
        return f"{ctes}{sql}", columns

    @contextmanager
    def _ctes(self, node: exp.Expr) -> Iterator[str]:
        with_ = node.args.get("with_")
        if not with_:
            yield ""
            return
        only(with_, "expressions")
        made: dict[str, Relation] = {}
        self._relations.append(made)
        texts = []
        for cte in with_.expressions:
            only(cte, "this", "alias")
            sql, columns = self.query(cte.this, None)
            names = [c.name for c in cte.args["alias"].args.get("columns") or []]
            columns = self._renamed(cte, columns, names)
            relation = Relation(self._name(), dict(columns))
            texts.append(f"{relation.name} ({', '.join(quoted(n) for n, _ in columns)}) AS ({sql})")
            made[cte.alias.lower()] = relation
        yield f"WITH {', '.join(texts)}\n"
        self._relations.pop()

    def _renamed(
        self, node: exp.Expr, columns: list[tuple[str, Type]], names: list[str]
    ) -> list[tuple[str, Type]]:
        if names and len(names) != len(columns):
            raise refused(node, f"{len(names)} names are given to {len(columns)} columns")
        named = list(zip(names or [n for n, _ in columns], [t for _, t in columns], strict=True))
        named = [(name.lower(), type_) for name, type_ in named]
        if len(dict(named)) < len(named):
            raise refused(node, "Two columns have one name", "give each a name of its own, with AS")
        return named

    def _name(self) -> str:
        self._names += 1
        return f"part_{self._names}"

    def _set_operation(
        self, node: exp.SetOperation, outer: Scope | None
    ) -> tuple[str, list[tuple[str, Type]]]:
        only(node, "this", "expression", "distinct", "order", "limit", "offset", "with_")
        (left, of_left), (right, of_right) = (
            self.query(side, outer) for side in (node.this, node.expression)
        )
        if len(of_left) != len(of_right):
            raise refused(node, "The two queries have different numbers of columns")
        types = [self._common(node, a, b) for (_, a), (_, b) in zip(of_left, of_right, strict=True)]
        columns = [(name, type_) for (name, _), type_ in zip(of_left, types, strict=True)]
        if isinstance(node, exp.Except | exp.Intersect) and not node.args.get("distinct"):
            raise refused(node, "INTERSECT ALL and EXCEPT ALL are not supported")
        all_ = "" if node.args.get("distinct") else " ALL"
        sides = [
            self._converted(sql, of, types) for sql, of in ((left, of_left), (right, of_right))
        ]
        sql = f"({sides[0]}) {_SETS[type(node)]}{all_} ({sides[1]})"
        return f"SELECT * FROM ({sql})" + self._rest(node, columns), columns  # noqa: S608

    def _converted(
        self, sql: str, columns: Sequence[tuple[str, Type]], types: Sequence[Type]
    ) -> str:
        if [type_ for _, type_ in columns] == list(types):
            return sql
        items = ", ".join(
            f"{coerced(f'#{n}', of, to)} AS {quoted(name)}"
            for n, ((name, of), to) in enumerate(zip(columns, types, strict=True), 1)
        )
        return f"SELECT {items} FROM ({sql})"  # noqa: S608

    def _values(self, node: exp.Values, outer: Scope | None) -> tuple[str, list[tuple[str, Type]]]:
        only(node, "expressions", "alias", "order", "limit", "offset")
        scope = Scope(outer=outer)
        rows = [[self.value(item, scope) for item in row.expressions] for row in node.expressions]
        if len({len(row) for row in rows}) != 1:
            raise refused(node, "The rows have different numbers of values")
        types = [
            self._common(node, *(v.type for v in column)) for column in zip(*rows, strict=True)
        ]
        texts = (
            ", ".join(coerced(v.sql, v.type, to) for v, to in zip(row, types, strict=True))
            for row in rows
        )
        columns = [(f"_col{n}", type_) for n, type_ in enumerate(types)]
        names = ", ".join(quoted(name) for name, _ in columns)
        sql = f"SELECT * FROM (VALUES {', '.join(f'({text})' for text in texts)}) AS v ({names})"  # noqa: S608
        return sql + self._rest(node, columns), columns

    def _select(self, node: exp.Select, outer: Scope | None) -> tuple[str, list[tuple[str, Type]]]:
        only(node, "expressions", "from_", "joins", "where", "group", "having", "order", "limit",
              "offset", "distinct", "with_", "windows")  # fmt: skip
        scope = Scope(outer=outer)
        clauses = self._from(node, scope)
        for window in node.args.get("windows") or []:
            scope.windows[window.name.lower()] = window
        where = node.args.get("where")
        if where:
            clauses += f"\nWHERE {self.boolean(where.this, scope)}"
        self.keep_conditions(where and where.this, scope, self._is_outer(node))
        items = self._items(node, scope)
        clauses += self._group(node, scope, items)
        if having := node.args.get("having"):
            clauses += f"\nHAVING {self.boolean(having.this, scope)}"
        distinct = node.args.get("distinct")
        if distinct:
            only(distinct)
        selected = ", ".join(f"{value.sql} AS {quoted(name)}" for name, value, _ in items)
        columns = [(name, value.type) for name, value, _ in items]
        head = f"SELECT {'DISTINCT ' if distinct else ''}{selected}{clauses}"
        return head + self._rest(node, columns, scope, items), columns

    @staticmethod
    def _is_outer(node: exp.Select) -> bool:
        # of an outer join, rows that a condition refuses can show as missing ones
        return any(join.side for join in node.args.get("joins") or [])

    def _items(self, node: exp.Select, scope: Scope) -> list[tuple[str, Typed, exp.Expr]]:
        items: list[tuple[str, Typed, exp.Expr]] = []
        for item in node.expressions:
            if isinstance(item, exp.Star) or (
                isinstance(item, exp.Column) and isinstance(item.this, exp.Star)
            ):
                only(item, "this", "table")
                items += self._star(item, scope)
            elif isinstance(item, exp.Alias):
                items.append((item.alias, self.value(item.this, scope), item.this))
            else:
                name = item.name if isinstance(item, exp.Column | exp.Dot) else ""
                items.append((name or f"_col{len(items)}", self.value(item, scope), item))
        return items

    def _star(self, item: exp.Expr, scope: Scope) -> list[tuple[str, Typed, exp.Expr]]:
        table = "" if isinstance(item, exp.Star) else item.table.lower()  # type: ignore[attr-defined]
        sources = [source for source in scope.sources if table in ("", source.alias)]
        if not sources:
            raise refused(item, "There is no table of this name in FROM")
        shared = {} if table else scope.shared
        found = [(name, value, item) for name, value in shared.items()]
        for source in sources:
            found += [
                (name, value, item)
                for name, value in source.columns.items()
                if name not in source.hidden and name not in shared
            ]
        return found

    def _group(
        self, node: exp.Select, scope: Scope, items: list[tuple[str, Typed, exp.Expr]]
    ) -> str:
        group = node.args.get("group")
        if not group:
            return ""
        only(group, "expressions")

        def key(item: exp.Expr) -> str:
            match item:
                case exp.GroupingSets() | exp.Rollup() | exp.Cube():
                    name = {"GroupingSets": "GROUPING SETS"}.get(
                        type(item).__name__, item.key.upper()
                    )
                    return f"{name} ({', '.join(map(key, item.expressions))})"
                case exp.Tuple():
                    return f"({', '.join(map(key, item.expressions))})"
                case exp.Literal(is_string=False):
                    return self._numbered(item, items)[1].sql
                case exp.Paren():
                    return f"({key(item.this)})"
            return self.value(item, scope).sql

        return f"\nGROUP BY {', '.join(map(key, group.expressions))}"

    @staticmethod
    def _numbered(item: exp.Expr, items: Sequence[_T]) -> _T:
        number = int(item.name) if item.name.isdigit() else 0
        if not 1 <= number <= len(items):
            raise refused(item, "There is no column with this number")
        return items[number - 1]

    def _rest(
        self,
        node: exp.Expr,
        columns: Sequence[tuple[str, Type]],
        scope: Scope | None = None,
        items: Sequence[tuple[str, Typed, exp.Expr]] = (),
    ) -> str:
        """Return ORDER BY, LIMIT and OFFSET."""
        text = ""
        if order := node.args.get("order"):
            keys = [self._sort_key(key, columns, scope, items) for key in order.expressions]
            text += f"\nORDER BY {', '.join(keys)}"
        if limit := node.args.get("limit"):
            if isinstance(limit, exp.Fetch):
                options = limit.args.get("limit_options")
                if options and (options.args.get("percent") or options.args.get("with_ties")):
                    raise refused(limit, "FETCH with PERCENT or TIES is not supported")
                count = limit.args.get("count") or exp.Literal.number(1)
            else:
                only(limit, "expression")
                count = limit.expression
            if not (count.name == "ALL" or count.name.isdigit()):
                raise refused(limit, "LIMIT takes a number")
            text += f" LIMIT {count.name}"
        if offset := node.args.get("offset"):
            if not offset.expression.name.isdigit():
                raise refused(offset, "OFFSET takes a number")
            text += f" OFFSET {offset.expression.name}"
        return text

    def _sort_key(
        self,
        key: exp.Expr,
        columns: Sequence[tuple[str, Type]],
        scope: Scope | None,
        items: Sequence[tuple[str, Typed, exp.Expr]],
    ) -> str:
        only(key, "this", "desc", "nulls_first")
        inner = key.this
        names = [name.lower() for name, _ in columns]
        if isinstance(inner, exp.Literal) and not inner.is_string:
            type_ = self._numbered(inner, columns)[1]
            sql = inner.name
        elif isinstance(inner, exp.Column) and not inner.table and inner.name.lower() in names:
            sql = str(names.index(inner.name.lower()) + 1)
            type_ = columns[int(sql) - 1][1]
        elif scope is None:
            raise refused(
                inner, "ORDER BY of a combined query takes a name or a number of a column"
            )
        else:
            # what the query itself has named comes before the columns of its tables
            named = {name.lower(): value for name, value, of in items if of is not inner}
            value = self.value(inner, Scope(outer=scope, shared=named, windows=scope.windows))
            sql, type_ = value.sql, value.type
        self._orderable(inner, type_)
        return sql + _direction(key)

    def _orderable(self, node: exp.Expr, type_: Type) -> None:
        if type_.name in ("json", "map"):
            raise refused(node, f"Values of the type {type_} have no order", "cast to varchar")

    # FROM

    def _from(self, node: exp.Select, scope: Scope) -> str:
        from_ = node.args.get("from_")
        if not from_:
            return ""
        only(from_, "this")
        text = f"\nFROM {self._factor(from_.this, scope)}"
        for join in node.args.get("joins") or []:
            text += self._join(join, scope)
        return text

    def _join(self, join: exp.Join, scope: Scope) -> str:
        only(join, "this", "side", "kind", "on", "using")
        side, kind, on = join.side, join.kind, join.args.get("on")
        if kind not in ("", "INNER", "CROSS", "OUTER"):
            raise refused(join, "This kind of join is not supported")
        before = list(scope.sources)
        factor = self._factor(join.this, scope)
        if isinstance(join.this, exp.Unnest):
            if side not in ("", "LEFT") or (on and not (isinstance(on, exp.Boolean) and on.this)):
                raise refused(join, "UNNEST is joined by CROSS JOIN, or by LEFT JOIN … ON TRUE")
            return f" LEFT JOIN {factor} ON true" if side else f" CROSS JOIN {factor}"
        if using := join.args.get("using"):
            return f" {side} JOIN {factor} ON {self._using(join, using, before, scope)}"
        if on:
            return f" {side} JOIN {factor} ON {self.boolean(on, scope)}"
        if side or kind == "INNER":
            raise refused(join, "A join needs ON or USING")
        return f" CROSS JOIN {factor}"

    def _using(
        self, join: exp.Join, using: list[exp.Expr], before: list[_Source], scope: Scope
    ) -> str:
        conditions = []
        for item in using:
            name = item.name.lower()
            left = Scope(before, shared=scope.shared).find(name, "")
            right = scope.sources[-1].columns.get(name)
            if len(left) != 1 or not right:
                raise refused(join, f"{name} has to be one column on each side")
            type_ = self._common(join, left[0].type, right.type)
            pair = [coerced(v.sql, v.type, type_) for v in (left[0], right)]
            conditions.append(f"{pair[0]} = {pair[1]}")
            scope.shared[name] = Typed(f"coalesce({pair[0]}, {pair[1]})", type_)
        return " AND ".join(conditions)

    def _factor(self, node: exp.Expr, scope: Scope) -> str:
        """Return a part of FROM, and add it to the scope."""
        alias = node.args.get("alias")
        names = [column.name for column in alias.args.get("columns") or []] if alias else []
        if names and isinstance(node.args.get("offset"), exp.Identifier):
            names.append(node.args["offset"].name)
        match node:
            case exp.Table():
                return self._table(node, names, scope)
            case exp.Subquery() if not isinstance(node.this, exp.Table):
                only(node, "this", "alias", "order", "limit", "offset", "with_")
                sql, columns = self._unnamed(node, scope)
            case exp.Values():
                sql, columns = self._unnamed(node, scope)
            case exp.Unnest():
                sql, columns = self._unnest(node, scope)
            case _:
                raise refused(node, "This is not supported in FROM")
        columns = self._renamed(node, columns, names)
        name = self._name()
        self._add(scope, (node.alias or name).lower(), name, columns)
        lateral = "LATERAL " if isinstance(node, exp.Unnest) else ""
        return f"{lateral}({sql}) AS {name} ({', '.join(quoted(n) for n, _ in columns)})"

    def _unnamed(self, node: exp.Expr, scope: Scope) -> tuple[str, list[tuple[str, Type]]]:
        bare = node.copy()
        bare.set("alias", None)
        return self.query(bare, scope.outer)

    def _add(
        self, scope: Scope, alias: str, name: str, columns: Sequence[tuple[str, Type]]
    ) -> None:
        found = {column: Typed(f"{name}.{quoted(column)}", type_) for column, type_ in columns}
        scope.sources.append(_Source(alias, found))

    def _table(self, node: exp.Table, names: list[str], scope: Scope) -> str:
        only(node, "this", "db", "catalog", "alias")
        wanted = node.name.lower()
        made = [] if node.args.get("db") else self._relations[:0:-1]
        known = next((of[wanted] for of in [*made, self._relations[0]] if wanted in of), None)
        if not known or not isinstance(node.this, exp.Identifier):
            tables = " or ".join(self._relations[0])
            raise ToolError(f"There is no table {node.this.sql(AthenaSelect)}", f"read {tables}")
        source = self.source_of(known, (node.alias or wanted).lower())
        if names:
            renamed = self._renamed(node, [(n, v.type) for n, v in source.columns.items()], names)
            source.columns = dict(
                zip([name for name, _ in renamed], source.columns.values(), strict=True)
            )
        scope.sources.append(source)
        first = next(iter(source.columns.values())).sql.partition(".")[0]
        return f"{known.name} AS {first}"

    def source_of(self, relation: Relation, alias: str) -> _Source:
        """Return a relation as a part of FROM; its reading is kept."""
        name = self._name()
        columns = {
            column: Typed(f"{name}.{quoted(column)}", type_)
            for column, type_ in relation.columns.items()
        }
        source = _Source(alias, columns, frozenset({"$path"} & columns.keys()))
        if relation.is_archive:
            source.read = Read(relation.name, name)
            self.reads.append(source.read)
        return source

    def _unnest(self, node: exp.Unnest, scope: Scope) -> tuple[str, list[tuple[str, Type]]]:
        only(node, "expressions", "alias", "offset")
        items: list[tuple[str, Type]] = []
        lists = []
        for item in node.expressions:
            value = self.value(item, scope)
            match value.type.name, value.type.args:
                case "array", (Type("row", fields),):
                    for n, (name, type_) in enumerate(fields, 1):
                        lists.append(f"list_transform({value.sql}, lambda r: r[{n}])")
                        if name:
                            lists[-1] = f"list_transform({value.sql}, lambda r: r.{quoted(name)})"
                        items.append((f"_col{len(items)}", type_))
                case "array", (of,):
                    lists.append(value.sql)
                    items.append((f"_col{len(items)}", of))
                case "map", (key, of):
                    lists += [f"map_keys({value.sql})", f"map_values({value.sql})"]
                    items += [(f"_col{len(items)}", key), (f"_col{len(items) + 1}", of)]
                case _:
                    raise refused(item, f"UNNEST takes an array or a map, not {value.type}")
        if node.args.get("offset"):
            longest = ", ".join(f"coalesce(len({sql}), 0)" for sql in lists)
            lists.append(f"generate_series(1, greatest({longest}))")
            items.append((f"_col{len(items)}", BIGINT))
        return f"SELECT {', '.join(f'unnest({sql})' for sql in lists)}", items

    # what is read

    def keep_conditions(self, where: exp.Expr | None, scope: Scope, is_outer: bool = False) -> None:
        """Add to each reading of the table what WHERE says of its partitions alone."""
        if where is None or is_outer:
            return
        whole = where.unnest()
        parts = whole.flatten() if isinstance(whole, exp.And) else [whole]
        for part in parts:
            columns = list(part.find_all(exp.Column))
            if part.find(*_UNSTEADY) or not columns or _is_random(part):
                continue
            if any(column.name.lower() not in PARTITIONS for column in columns):
                continue
            source = self._one_source(columns, scope)
            if source and source.read and not scope.shared:
                names = {name: Typed(f'"{name}"', VARCHAR) for name in PARTITIONS}
                bare = Scope([_Source(source.alias, names)])
                source.read.conditions.append(self.boolean(part, bare))

    @staticmethod
    def _one_source(columns: Sequence[exp.Column], scope: Scope) -> _Source | None:
        """Return the part of FROM that all columns are of, if it is one."""
        found = None
        for column in columns:
            sources = [
                source
                for source in scope.sources
                if column.name.lower() in source.columns
                and column.table.lower() in ("", source.alias)
            ]
            if len(sources) != 1 or found not in (None, sources[0]):
                return None
            (found,) = sources
        return found

    # expressions

    def value(self, node: exp.Expr, scope: Scope) -> Typed:
        """Return an expression with its type.

        Raises:
            ToolError: it is not supported, or has a wrong type.
        """
        if type(node) in _COMPARISONS:
            return self._comparison(node, scope)
        if type(node) in _ARITHMETIC:
            return self._arithmetic(node, scope)
        translate = self._expressions.get(type(node))
        if not translate:
            raise refused(node, f"{node.key.upper()} is not supported")
        return translate(self, node, scope)

    def boolean(self, node: exp.Expr, scope: Scope) -> str:
        """Return a condition."""
        return self.converted(node, scope, BOOLEAN)

    def converted(self, node: exp.Expr, scope: Scope, type_: Type) -> str:
        """Return an expression that has a type, or is converted to it by Trino itself."""
        value = self.value(node, scope)
        if common(value.type, type_) != type_:
            raise refused(
                node, f"{type_} is needed here, and this is {value.type}", _cast_hint(type_)
            )
        return coerced(value.sql, value.type, type_)

    @staticmethod
    def nested(scope: Scope, names: dict[str, Typed]) -> Scope:
        """Return the scope of a lambda's body."""
        return Scope(outer=scope, shared=scope.shared | names, windows=scope.windows)

    def together(self, node: exp.Expr, values: Sequence[Typed]) -> tuple[list[str], Type]:
        """Return expressions in the one type that they share."""
        type_ = self._common(node, *(value.type for value in values))
        return [coerced(value.sql, value.type, type_) for value in values], type_

    def _common(self, node: exp.Expr, *types: Type) -> Type:
        found = UNKNOWN
        for type_ in types:
            merged = common(found, type_)
            if merged is None:
                raise refused(node, f"{found} and {type_} do not mix", "CAST one of them")
            found = merged
        return found

    def _column(self, node: exp.Column, scope: Scope) -> Typed:
        only(node, "this", "table", "db", "catalog")
        names = [part.name.lower() for part in node.parts]
        # schema.table.column is table.column; otherwise what follows a column is a field of a row
        for used in (2, 1, 3, 4):
            table, name = (
                ("", names[0])
                if used == 1
                else (names[used - 2], names[used - 1])
                if len(names) >= used
                else ("", "")
            )
            found = scope.find(name, table) if name else []
            if len(found) > 1:
                raise refused(node, "More than one column has this name", "put its table before it")
            if found:
                value = found[0]
                for name in names[used:]:
                    value = self._field(node, value, name)
                return value
        known = sorted({name for source in scope.sources for name in source.columns})
        near = f"columns here: {', '.join(known)}" if known else ""
        raise refused(node, "There is no column of this name", near)

    def _field(self, node: exp.Expr, value: Typed, name: str) -> Typed:
        fields = dict(value.type.args) if value.type.name == "row" else {}
        if name not in fields:
            raise refused(node, f"There is no field {name}")
        return Typed(f"({value.sql}).{quoted(name)}", fields[name])

    def _dot(self, node: exp.Dot, scope: Scope) -> Typed:
        return self._field(node, self.value(node.this, scope), node.expression.name.lower())

    def _identifier(self, node: exp.Identifier, scope: Scope) -> Typed:
        found = scope.find(node.name.lower(), "")
        if len(found) != 1:
            raise refused(node, "There is no column of this name")
        return found[0]

    def _literal(self, node: exp.Literal, _: Scope) -> Typed:
        if node.is_string:
            return Typed(text_literal(node.name), VARCHAR)
        return self._number(node, node.name)

    def _number(self, node: exp.Expr, text: str) -> Typed:
        if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
            raise refused(node, "This is no number")
        if "e" in text.lower():
            return Typed(f"CAST('{text}' AS DOUBLE)", DOUBLE)
        whole, _, fraction = text.strip("+-").partition(".")
        if "." in text or isinstance(node, exp.Cast):
            type_ = decimal(max(1, len(whole.lstrip("0")) + len(fraction)), len(fraction))
            return Typed(f"CAST('{text}' AS {type_.duckdb})", type_)
        if int(text) >= 2**63:
            raise refused(node, "This number has more than 64 bits", f"DECIMAL '{text}'")
        return Typed(text, INTEGER if int(text) < 2**31 else BIGINT)

    def _null(self, _: exp.Expr, __: Scope) -> Typed:
        return Typed("NULL", UNKNOWN)

    def _true_or_false(self, node: exp.Boolean, _: Scope) -> Typed:
        return Typed(str(bool(node.this)).lower(), BOOLEAN)

    def _hexadecimal(self, node: exp.HexString, _: Scope) -> Typed:
        return Typed(f"unhex({text_literal(node.name)})", VARBINARY)

    def _paren(self, node: exp.Paren, scope: Scope) -> Typed:
        value = self.value(node.this, scope)
        return Typed(f"({value.sql})", value.type)

    def _connective(self, node: exp.Connector, scope: Scope) -> Typed:
        word = " AND " if isinstance(node, exp.And) else " OR "
        # flat, since a chain of hundreds is deeper than Python's stack
        return Typed(
            f"({word.join(self.boolean(part, scope) for part in node.flatten())})", BOOLEAN
        )

    def _not(self, node: exp.Not, scope: Scope) -> Typed:
        return Typed(f"(NOT {self.boolean(node.this, scope)})", BOOLEAN)

    def _neg(self, node: exp.Neg, scope: Scope) -> Typed:
        value = self.value(node.this, scope)
        if not (value.type.is_number or value.type.is_interval):
            raise refused(node, f"{value.type} has no sign")
        return Typed(f"(- {value.sql})", value.type)

    def _is(self, node: exp.Is, scope: Scope) -> Typed:
        if not isinstance(node.expression, exp.Null):
            raise refused(node, "IS is supported with NULL only")
        return Typed(f"({self.value(node.this, scope).sql} IS NULL)", BOOLEAN)

    def _comparison(self, node: exp.Expr, scope: Scope) -> Typed:
        sides = [self.value(side, scope) for side in (node.this, node.expression)]
        return Typed(self.compared(node, _COMPARISONS[type(node)], *sides), BOOLEAN)

    def compared(self, node: exp.Expr, operator: str, left: Typed, right: Typed) -> str:
        """Return a comparison. In Trino a NaN equals nothing, and is neither less nor greater."""
        (a, b), type_ = self.together(node, [left, right])
        if type_.name in ("json", "map"):
            raise refused(node, f"Values of the type {type_} cannot be compared", "cast to varchar")
        text = f"({a} {operator} {b})"
        if type_ != DOUBLE or "DISTINCT" in operator:
            return text
        greater = {"<": b, "<=": b, ">": a, ">=": a, "=": a, "<>": a}[operator]
        if operator == "<>":
            return f"({text} OR isnan({greater}))"
        return f"({text} AND NOT isnan({greater}))"

    def _between(self, node: exp.Between, scope: Scope) -> Typed:
        only(node, "this", "low", "high")
        value, low, high = (self.value(node.args[n], scope) for n in ("this", "low", "high"))
        above = self.compared(node, ">=", value, low)
        return Typed(f"({above} AND {self.compared(node, '<=', value, high)})", BOOLEAN)

    def _in(self, node: exp.In, scope: Scope) -> Typed:
        only(node, "this", "expressions", "query")
        value = self.value(node.this, scope)
        if query := node.args.get("query"):
            sql, columns = self.query(query, scope)
            if len(columns) != 1:
                raise refused(node, "The query has more than one column")
            type_ = self._common(node, value.type, columns[0][1])
            wanted = coerced(value.sql, value.type, type_)
            return Typed(f"({wanted} IN ({self._converted(sql, columns, [type_])}))", BOOLEAN)
        items = [value, *(self.value(item, scope) for item in node.expressions)]
        texts, type_ = self.together(node, items)
        if type_.name in ("json", "map"):
            raise refused(node, f"Values of the type {type_} cannot be compared", "cast to varchar")
        return Typed(f"({texts[0]} IN ({', '.join(texts[1:])}))", BOOLEAN)

    def _like(self, node: exp.Expr, scope: Scope) -> Typed:
        escape = ""
        if isinstance(node, exp.Escape):
            escape = f" ESCAPE {self.converted(node.expression, scope, VARCHAR)}"
            node = node.this
        if not isinstance(node, exp.Like):
            raise refused(node, "ESCAPE belongs to LIKE")
        sides = [self.converted(side, scope, VARCHAR) for side in (node.this, node.expression)]
        return Typed(f"({sides[0]} LIKE {sides[1]}{escape})", BOOLEAN)

    def _exists(self, node: exp.Exists, scope: Scope) -> Typed:
        return Typed(f"EXISTS ({self.query(node.this, scope)[0]})", BOOLEAN)

    def _subquery(self, node: exp.Subquery, scope: Scope) -> Typed:
        sql, columns = self.query(node, scope)
        if len(columns) != 1:
            raise refused(node, "The query has more than one column")
        return Typed(f"({sql})", columns[0][1])

    def _case(self, node: exp.Case, scope: Scope) -> Typed:
        only(node, "this", "ifs", "default")
        default = node.args.get("default") or exp.Null()
        results, type_ = self.together(
            node,
            [
                self.value(e, scope)
                for e in (*(if_.args["true"] for if_ in node.args["ifs"]), default)
            ],
        )
        text = ""
        for if_, result in zip(node.args["ifs"], results, strict=False):
            if node.this:
                sides = self.value(node.this, scope), self.value(if_.this, scope)
                condition = self.compared(if_.this, "=", *sides)
            else:
                condition = self.boolean(if_.this, scope)
            text += f" WHEN {condition} THEN {result}"
        return Typed(f"CASE{text} ELSE {results[-1]} END", type_)

    def _if(self, node: exp.If, scope: Scope) -> Typed:
        condition = self.boolean(node.this, scope)
        branches = [self.value(node.args.get(n) or exp.Null(), scope) for n in ("true", "false")]
        (true, false), type_ = self.together(node, branches)
        return Typed(f"CASE WHEN {condition} THEN {true} ELSE {false} END", type_)

    def _cast(self, node: exp.Cast, scope: Scope) -> Typed:
        only(node, "this", "to", "safe", "requires_string")
        target = named_type(node.to)
        if target is None:
            raise refused(node, f"The type {node.to.sql(AthenaSelect)} is not supported")
        if not node.meta.get("call"):
            return self._typed_literal(node, target)
        value = self.value(node.this, scope)
        sql = cast(value.sql, value.type, target, isinstance(node, exp.TryCast))
        if sql is None:
            hint = "CAST to a decimal first" if value.type == DOUBLE else ""
            raise refused(node, f"A cast from {value.type} to {target} is not supported", hint)
        zone = (
            value.type if value.type.name == target.name == "timestamp with time zone" else target
        )
        return Typed(sql, VARCHAR if target.name == "varchar" else zone)

    def _typed_literal(self, node: exp.Cast, target: Type) -> Typed:
        text = node.this.name
        match target.name:
            case "decimal":
                return self._number(node, text)
            case "date" if re.fullmatch(r"\d{4}-\d\d?-\d\d?", text):
                return Typed(f"CAST('{text}' AS DATE)", DATE)
            case "timestamp" if re.fullmatch(
                r"\d{4}-\d\d?-\d\d?( \d\d?:\d\d?(:\d\d?(\.\d{1,6})?)?)?", text
            ):
                digits = len(text.partition(".")[2])
                precision = next(n for n in (0, 3, 6) if n >= digits)
                return Typed(f"CAST('{text}' AS TIMESTAMP)", timestamp(precision))
        sql = cast(text_literal(text), VARCHAR, target)
        if sql is None or target.is_time:
            raise refused(node, f"This literal of the type {target} is not supported")
        return Typed(sql, VARCHAR if target.name == "varchar" else target)

    def _json_literal(self, node: exp.ParseJSON, _: Scope) -> Typed:
        return Typed(f"json_extract(CAST({text_literal(node.this.name)} AS JSON), '$')", JSON)

    def _array(self, node: exp.Array, scope: Scope) -> Typed:
        items, of = self.together(node, [self.value(item, scope) for item in node.expressions])
        return Typed(f"[{', '.join(items)}]" if items else "[]", array(of))

    def _bracket(self, node: exp.Bracket, scope: Scope) -> Typed:
        value, (key,) = self.value(node.this, scope), node.expressions
        match value.type.name, value.type.args:
            case "array", (of,):
                index = self.converted(key, scope, BIGINT)
                return Typed(f"trino_subscript({value.sql}, {index})", of)
            case "map", (of_key, of):
                wanted = self.converted(key, scope, of_key)
                # a key that is not there is an error
                at = f"trino_subscript(map_extract({value.sql}, {wanted}), 1)"
                return Typed(at, of)
        raise refused(node, f"{value.type} has no elements")

    def _concatenation(self, node: exp.DPipe, scope: Scope) -> Typed:
        return self._calls.concatenated(
            node, [self.value(p, scope) for p in (node.this, node.expression)]
        )

    def _now_(self, node: exp.Expr, _: Scope) -> Typed:
        only(node)
        match node:
            case exp.CurrentDate():
                return Typed(f"CAST('{self._now.date()}' AS DATE)", DATE)
            case exp.Localtimestamp():
                return Typed(f"CAST('{self._millis}' AS TIMESTAMP)", timestamp())
        return self.now()

    @property
    def _millis(self) -> str:
        return self._now.isoformat(" ", "milliseconds")

    def now(self) -> Typed:
        """Return the time at which the query began."""
        return Typed(f"timezone('UTC', CAST('{self._millis}' AS TIMESTAMP))", zoned())

    def _interval(self, node: exp.Interval, _: Scope) -> Typed:
        unit = node.unit.name.upper() if node.unit else ""
        if unit not in _UNITS or not re.fullmatch(r"-?\d+", node.this.name):
            raise refused(node, "This form of an interval is not supported", "INTERVAL '30' DAY")
        return Typed(f"INTERVAL '{node.this.name}' {unit}", _UNITS[unit])

    def _arithmetic(self, node: exp.Expr, scope: Scope) -> Typed:
        left, right = (self.value(side, scope) for side in (node.this, node.expression))
        return self._calculated(node, _ARITHMETIC[type(node)], left, right)

    def _calculated(self, node: exp.Expr, operator: str, left: Typed, right: Typed) -> Typed:
        if left.type == UNKNOWN or right.type == UNKNOWN:
            raise refused(node, "NULL is calculated with", "CAST(NULL AS …)")
        if left.type.is_number and right.type.is_number:
            return self.number(operator, left, right, node)
        if left.type.is_interval or right.type.is_interval or left.type.is_time:
            return self._with_times(node, operator, left, right)
        raise refused(
            node, f"{left.type} {operator} {right.type} is not possible", "CAST one of them"
        )

    def number(self, operator: str, left: Typed, right: Typed, node: exp.Expr) -> Typed:
        """Return a calculation with two numbers.

        https://trino.io/docs/current/functions/decimal.html
        """
        (a, b), type_ = self.together(node, [left, right])
        if type_.is_integer:
            return Typed(f"({a} {operator.replace('/', '//')} {b})", type_)
        if type_ == DOUBLE:
            return Typed(f"({a} {operator} {b})", DOUBLE)
        (p1, s1), (p2, s2) = left.type.as_decimal, right.type.as_decimal
        whole, scale = max(p1 - s1, p2 - s2), max(s1, s2)
        match operator:
            case "+" | "-":
                result = decimal(whole + scale + 1, scale)
            case "*":
                result = decimal(p1 + p2, s1 + s2)
            case "/":
                result = decimal(p1 + s2 + max(s2 - s1, 0), scale)
            case _:
                result = decimal(min(p1 - s1, p2 - s2) + scale, scale)
        if result.args[1] > 38 or result.args[1] > result.args[0]:
            raise refused(node, "The result has more than 38 digits", "CAST to fewer digits first")
        if operator == "/":
            up = f"trino_unscaled({coerced(left.sql, left.type, decimal(p1, s1))})"
            up += f" * {10 ** (scale - s1 + s2)}::HUGEINT"
            down = f"trino_unscaled({coerced(right.sql, right.type, decimal(p2, s2))})"
            return self.scaled(f"trino_divide({up}, {down})", result)
        of_left = result if operator != "*" else decimal(min(38, max(p1, 19)), s1)
        of_right = result if operator != "*" else decimal(p2, s2)
        if operator == "%":
            of_left = of_right = decimal(whole + scale, scale)
        sides = [f"CAST({v.sql} AS {of.duckdb})" for v, of in ((left, of_left), (right, of_right))]
        return Typed(f"CAST({sides[0]} {operator} {sides[1]} AS {result.duckdb})", result)

    @staticmethod
    def scaled(sql: str, type_: Type) -> Typed:
        """Return a decimal out of its digits as a whole number."""
        scale = type_.args[1]
        unit = f"CAST('{10**-scale:.{scale}f}' AS DECIMAL({scale + 1},{scale}))"
        return Typed(f"CAST(CAST({sql} AS DECIMAL(38,0)) * {unit} AS {type_.duckdb})", type_)

    def _with_times(self, node: exp.Expr, operator: str, left: Typed, right: Typed) -> Typed:
        if operator == "*" and {left.type.is_integer, right.type.is_integer} == {True, False}:
            number, interval = (left, right) if left.type.is_integer else (right, left)
            found = re.fullmatch(r"INTERVAL '(-?\d+)' (\w+)", interval.sql)
            if found:
                unit = f"to_{found[2].lower()}s"
                return Typed(f"{unit}({number.sql} * {found[1]})", interval.type)
        if operator == "+" and left.type.is_interval and right.type.is_time:
            left, right = right, left
        if operator in "+-" and left.type.is_interval and left.type == right.type:
            return Typed(f"({left.sql} {operator} {right.sql})", left.type)
        if operator in "+-" and left.type.is_time and right.type.is_interval:
            text = f"{left.sql} {operator} {right.sql}"
            if left.type == DATE:
                units = {str(i.args.get("unit")).upper() for i in node.find_all(exp.Interval)}
                if right.type == DAYS and units != {"DAY"}:
                    raise refused(node, "Hours, minutes or seconds cannot be added to a date")
                return Typed(f"CAST({text} AS DATE)", DATE)
            if left.type.name == "timestamp with time zone" and right.type == MONTHS:
                return self.in_zone(left, lambda time: f"{time} {operator} {right.sql}")
            finer = left.type.name == "timestamp" and right.type == DAYS
            precision = max(3, left.type.args[0]) if finer else 0
            return Typed(f"({text})", timestamp(precision) if finer else left.type)
        if operator == "-" and left.type.is_time and right.type.is_time:
            (a, b), type_ = self.together(node, [left, right])
            difference = f"to_days(CAST({a} - {b} AS INTEGER))" if type_ == DATE else f"({a} - {b})"
            return Typed(difference, DAYS)
        raise refused(node, f"{left.type} {operator} {right.type} is not supported")

    @staticmethod
    def in_zone(value: Typed, change: Callable[[str], str]) -> Typed:
        """Return an instant that is changed as a clock in its zone shows it."""
        zone = value.type.args[0]
        time = f"timezone('{zone}', {value.sql})"
        return Typed(f"timezone('{zone}', {change(time)})", value.type)

    # calls

    def _call(self, node: exp.Expr, scope: Scope) -> Typed:
        return self._calls.call(node, scope)

    def _window(self, node: exp.Window, scope: Scope) -> Typed:
        only(node, "this", "partition_by", "order", "spec", "alias", "over")
        if node.args.get("alias"):
            if node.args.get("partition_by") or node.args.get("order") or node.args.get("spec"):
                raise refused(node, "A named window cannot be changed here")
            named = scope.windows.get(node.args["alias"].name.lower())
            if not named:
                raise refused(node, "There is no window of this name")
            over = self._over(named, scope)
        else:
            over = self._over(node, scope)
        return self._calls.call(node.this, scope, f" OVER ({over})")

    def _over(self, node: exp.Window, scope: Scope) -> str:
        parts = []
        if keys := node.args.get("partition_by"):
            parts.append(f"PARTITION BY {', '.join(self.value(key, scope).sql for key in keys)}")
        if order := node.args.get("order"):
            parts.append(self.order(order, scope))
        if spec := node.args.get("spec"):
            only(spec, "kind", "start", "start_side", "end", "end_side")
            bounds = [
                self._bound(spec, side, scope) for side in ("start", "end") if spec.args.get(side)
            ]
            between = f"BETWEEN {' AND '.join(bounds)}" if len(bounds) == 2 else bounds[0]
            parts.append(f"{spec.args['kind']} {between}")
        return " ".join(parts)

    def _bound(self, spec: exp.Expr, side: str, scope: Scope) -> str:
        value, word = spec.args[side], spec.args.get(f"{side}_side")
        if isinstance(value, str):
            return f"{value} {word}" if word else value
        if spec.args["kind"] == "RANGE":
            raise refused(spec, "RANGE with a distance is not supported", "ROWS or GROUPS")
        return f"{self.converted(value, scope, BIGINT)} {word}"

    def order(self, order: exp.Order, scope: Scope) -> str:
        """Return an ORDER BY within a window or an aggregate, where a number is only a number."""
        keys = []
        for key in order.expressions:
            only(key, "this", "desc", "nulls_first")
            value = self.value(key.this, scope)
            self._orderable(key.this, value.type)
            keys.append(value.sql + _direction(key))
        return f"ORDER BY {', '.join(keys)}"

    _expressions: dict[type[exp.Expr], Callable[..., Typed]] = {  # noqa: RUF012
        exp.Column: _column,
        exp.Dot: _dot,
        exp.Identifier: _identifier,
        exp.Literal: _literal,
        exp.Null: _null,
        exp.Boolean: _true_or_false,
        exp.HexString: _hexadecimal,
        exp.Paren: _paren,
        exp.And: _connective,
        exp.Or: _connective,
        exp.Not: _not,
        exp.Neg: _neg,
        exp.Is: _is,
        exp.Between: _between,
        exp.In: _in,
        exp.Like: _like,
        exp.Escape: _like,
        exp.Exists: _exists,
        exp.Subquery: _subquery,
        exp.Case: _case,
        exp.If: _if,
        exp.Cast: _cast,
        exp.TryCast: _cast,
        exp.ParseJSON: _json_literal,
        exp.Array: _array,
        exp.Bracket: _bracket,
        exp.DPipe: _concatenation,
        exp.CurrentDate: _now_,
        exp.CurrentTimestamp: _now_,
        exp.Localtimestamp: _now_,
        exp.Interval: _interval,
        exp.Window: _window,
        **dict.fromkeys(
            (exp.Anonymous, exp.Filter, exp.IgnoreNulls, exp.RespectNulls, exp.GroupConcat,
             exp.WithinGroup, exp.Extract, exp.Trim, exp.StrPosition, exp.Substring,
             exp.AtTimeZone), _call),
    }  # fmt: skip


def _direction(key: exp.Expr) -> str:
    way = "DESC" if key.args.get("desc") else "ASC"
    return f" {way} NULLS {'FIRST' if key.args.get('nulls_first') else 'LAST'}"


def _is_random(node: exp.Expr) -> bool:
    return any(call.name.lower() in ("rand", "random") for call in node.find_all(exp.Anonymous))


def _cast_hint(type_: Type) -> str:
    return f"CAST(… AS {type_})"

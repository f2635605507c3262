"""Athena's SELECT in DuckDB's SQL: with the same result, or refused with the reason.

Knows clauses and FROM, and what of WHERE is about the partitions; `expressions` has the rest. Every
name is resolved and every expression has Trino's type, since what a division, a cast or a
comparison means hangs on types. What is written down in none of these modules is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from sqlglot import exp

from ..errors import ToolError
from .calls import Document, json_path
from .casts import coerced
from .dialect import AthenaSelect, only, parsed, refused
from .expressions import Expressions, Read, Scope, Source, direction
from .types import (
    BIGINT,
    JSON,
    VARCHAR,
    Type,
    Typed,
    quoted,
    text_literal,
)

_T = TypeVar("_T")

PARTITIONS = ("year", "month", "day")

_JSON_CALLS = ("json_extract", "json_extract_scalar")

#: A condition with one of these can be another for each row.
_UNSTEADY = (exp.Query, exp.Subquery, exp.Window, exp.Filter)

_SETS: dict[type[exp.Expr], str] = {
    exp.Union: "UNION",
    exp.Intersect: "INTERSECT",
    exp.Except: "EXCEPT",
}


@dataclass(frozen=True)
class Relation:
    """A table, a view or a part of the query: its name for DuckDB, and its columns."""

    name: str
    columns: Mapping[str, Type]
    is_archive: bool = False
    partitions: tuple[str, ...] = PARTITIONS
    """Its columns, of text, of which the conditions in a query are kept: they say what it reads."""


@dataclass(frozen=True)
class Translation:
    """A query as DuckDB runs it."""

    sql: str
    columns: list[tuple[str, Type]]
    reads: list[Read]


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


class Translator(Expressions):
    """Translates one query; collects what it reads."""

    def __init__(self, relations: Mapping[str, Relation], today: date | None) -> None:
        """Take the tables and the current day."""
        super().__init__(today)
        self.reads: list[Read] = []
        self._relations: list[dict[str, Relation]] = [dict(relations)]
        self._names = 0

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
        asked = _asked(node) if outer is None else []
        clauses = self._from(node, scope, asked)
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
        return sql + direction(key)

    # FROM

    def _from(self, node: exp.Select, scope: Scope, asked: list[exp.Anonymous]) -> str:
        from_ = node.args.get("from_")
        if not from_:
            return ""
        only(from_, "this")
        text = f"\nFROM {self._factor(from_.this, scope)}"
        for join in node.args.get("joins") or []:
            if isinstance(join.this, exp.Unnest):
                text += self._parsed_once(asked, scope)
            text += self._join(join, scope)
        return text + self._parsed_once(asked, scope)

    def _parsed_once(self, asked: list[exp.Anonymous], scope: Scope) -> str:
        """Return a part of FROM that parses each document of the parts before it once a row.

        Without it DuckDB would parse a document of 4 KB in some 4 us for each path.
        """
        paths: dict[str, list[str]] = {}
        for call in asked:
            column, path = call.expressions
            source = self._one_source([column], scope)
            if source and column.name.lower() not in scope.shared:
                value = source.columns[column.name.lower()]
                steps = json_path(path)
                known = paths.setdefault(value.sql, [])
                if value.type in (VARCHAR, JSON) and steps not in known:
                    known.append(steps)
        text = ""
        for sql in [sql for sql in paths if sql not in self.documents]:
            values = f"trino_json({sql}, [{', '.join(map(text_literal, paths[sql]))}])"
            once, names = self._computed([values, f"trino_json_scalars({sql}, {values})"])
            self.documents[sql] = Document(paths[sql], *names)
            text += once
        return text

    def _computed(self, values: Sequence[str]) -> tuple[str, list[str]]:
        """Return a part of FROM that computes some values once a row, and their names after it."""
        name = self._name()
        names = [f"value_{n}" for n, _ in enumerate(values, 1)]
        sql = f" CROSS JOIN LATERAL (SELECT {', '.join(values)}) AS {name} ({', '.join(names)})"
        return sql, [f"{name}.{n}" for n in names]

    def _join(self, join: exp.Join, scope: Scope) -> str:
        only(join, "this", "side", "kind", "on", "using")
        side, kind, on = join.side, join.kind, join.args.get("on")
        if kind not in ("", "INNER", "CROSS", "OUTER"):
            raise refused(join, "This kind of join is not supported")
        before = list(scope.sources)
        if isinstance(join.this, exp.Unnest):
            if side not in ("", "LEFT") or (on and not (isinstance(on, exp.Boolean) and on.this)):
                raise refused(join, "UNNEST is joined by CROSS JOIN, or by LEFT JOIN … ON TRUE")
            lists = [self.value(item, scope) for item in join.this.expressions]
            once = ""
            if not scope.outer:
                once, names = self._computed([value.sql for value in lists])
                lists = [Typed(name, of.type) for name, of in zip(names, lists, strict=True)]
            factor = self._factor(join.this, scope, lists)
            return once + (f" LEFT JOIN {factor} ON true" if side else f" CROSS JOIN {factor}")
        factor = self._factor(join.this, scope)
        if using := join.args.get("using"):
            return f" {side} JOIN {factor} ON {self._using(join, using, before, scope)}"
        if on:
            return f" {side} JOIN {factor} ON {self.boolean(on, scope)}"
        if side or kind == "INNER":
            raise refused(join, "A join needs ON or USING")
        return f" CROSS JOIN {factor}"

    def _using(
        self, join: exp.Join, using: list[exp.Expr], before: list[Source], scope: Scope
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

    def _factor(self, node: exp.Expr, scope: Scope, lists: Sequence[Typed] = ()) -> str:
        """Return a part of FROM, and add it to the scope; `lists` are what an UNNEST is of."""
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
                lists = lists or [self.value(item, scope) for item in node.expressions]
                sql, columns = self._unnest(node, lists)
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
        scope.sources.append(Source(alias, found))

    def _table(self, node: exp.Table, names: list[str], scope: Scope) -> str:
        only(node, "this", "db", "catalog", "alias")
        wanted = node.name.lower()
        made = [] if node.args.get("db") else self._relations[:0:-1]
        known = next((of[wanted] for of in [*made, self._relations[0]] if wanted in of), None)
        if not known or not isinstance(node.this, exp.Identifier):
            tables = ", ".join(self._relations[0])
            raise ToolError(
                f"There is no table {node.this.sql(AthenaSelect)}",
                f"read {tables} or a model; `flask archive query --list` names those",
            )
        source = self.source_of(known, (node.alias or wanted).lower())
        if names:
            renamed = self._renamed(node, [(n, v.type) for n, v in source.columns.items()], names)
            source.columns = dict(
                zip([name for name, _ in renamed], source.columns.values(), strict=True)
            )
        scope.sources.append(source)
        first = next(iter(source.columns.values())).sql.partition(".")[0]
        return f"{known.name} AS {first}"

    def source_of(self, relation: Relation, alias: str) -> Source:
        """Return a relation as a part of FROM; its reading is kept."""
        name = self._name()
        columns = {
            column: Typed(f"{name}.{quoted(column)}", type_)
            for column, type_ in relation.columns.items()
        }
        source = Source(alias, columns, frozenset({"$path"} & columns.keys()))
        if relation.is_archive:
            source.read = Read(relation.name, name, partitions=relation.partitions)
            self.reads.append(source.read)
        return source

    def _unnest(
        self, node: exp.Unnest, values: Sequence[Typed]
    ) -> tuple[str, list[tuple[str, Type]]]:
        only(node, "expressions", "alias", "offset")
        items: list[tuple[str, Type]] = []
        lists = []
        for item, value in zip(node.expressions, values, strict=True):
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
            source = self._one_source(columns, scope)
            if not source or not source.read or scope.shared:
                continue
            partitions = source.read.partitions
            if all(column.name.lower() in partitions for column in columns):
                names = {name: Typed(f'"{name}"', VARCHAR) for name in partitions}
                bare = Scope([Source(source.alias, names)])
                source.read.conditions.append(self.boolean(part, bare))

    @staticmethod
    def _one_source(columns: Sequence[exp.Column], scope: Scope) -> Source | None:
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


def _asked(node: exp.Select) -> list[exp.Anonymous]:
    """Return the calls that ask a path of a JSON document in a column, but those of subqueries."""
    keys = set()
    for key in (node.args.get("group") or exp.Group()).find_all(exp.Column, exp.Literal):
        if not key.find_ancestor(exp.Anonymous):
            number = int(key.name) if key.name.isdigit() else 0
            item = node.expressions[number - 1] if number <= len(node.expressions) else key
            keys.add((item.unalias() if number else key).name.lower())
    found = []
    for call in node.walk(prune=lambda part: isinstance(part, exp.Query) and part is not node):
        if isinstance(call, exp.Anonymous) and call.name.lower() in _JSON_CALLS:
            column, path = (*call.expressions, None, None)[:2]
            is_plain = isinstance(column, exp.Column) and len(column.parts) <= 2
            # beside a document that is a key of GROUP BY, what is in it would have to be one too
            if is_plain and isinstance(path, exp.Literal) and column.name.lower() not in keys:
                found.append(call)
    return found


def _is_random(node: exp.Expr) -> bool:
    return any(call.name.lower() in ("rand", "random") for call in node.find_all(exp.Anonymous))

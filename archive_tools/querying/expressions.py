"""Expressions of Athena's dialect in DuckDB's SQL, each with Trino's type.

Knows names, operators, casts and literals; `calls` knows the functions.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from sqlglot import exp

from .calls import Calls, Document
from .casts import cast, coerced, fields_of
from .dialect import AthenaSelect, named_type, only, refused
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
    """In DuckDB's dialect, on the partitions alone; all of them have to hold."""
    partitions: tuple[str, ...] = ()


@dataclass
class Source:
    """A part of FROM: its columns, and the reading of the table that it is, if it is one."""

    alias: str
    columns: dict[str, Typed]
    hidden: frozenset[str] = frozenset()
    read: Read | None = None


@dataclass
class Scope:
    """The names that an expression can use."""

    sources: list[Source] = field(default_factory=list)
    outer: "Scope | None" = None
    shared: dict[str, Typed] = field(default_factory=dict)
    """Columns that USING has joined, and parameters of a lambda."""
    windows: dict[str, exp.Window] = field(default_factory=dict)
    depth: int = 0
    """How many lambdas there are around it."""

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


class Expressions(ABC):
    """Translates the expressions of one query."""

    def __init__(self, today: date | None) -> None:
        """Take the current day; the day in UTC where it is left out."""
        now = datetime.now(UTC)
        self._now = datetime.combine(today or now.date(), now.time())
        self._calls = Calls(self)
        #: The columns of FROM that are parsed once a row.
        self.documents: dict[str, Document] = {}

    @abstractmethod
    def query(self, node: exp.Expr, outer: "Scope | None") -> tuple[str, list[tuple[str, Type]]]:
        """Return a query, as a subquery here, and the names and types of its columns."""

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

    def _orderable(self, node: exp.Expr, type_: Type) -> None:
        if type_.name in ("json", "map", "array", "row"):
            raise refused(node, f"Values of the type {type_} are not sorted here", "sort by parts")

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
        shared = scope.shared | names
        return Scope(outer=scope, shared=shared, windows=scope.windows, depth=scope.depth + 1)

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
        if "DISTINCT" in operator:
            return text
        if type_.name in ("row", "array"):
            return self._nested_compared(node, operator, Typed(a, type_), Typed(b, type_))
        if type_ != DOUBLE:
            return text
        greater = {"<": b, "<=": b, ">": a, ">=": a, "=": a, "<>": a}[operator]
        if operator == "<>":
            return f"({text} OR isnan({greater}))"
        return f"({text} AND NOT isnan({greater}))"

    def _nested_compared(self, node: exp.Expr, operator: str, left: Typed, right: Typed) -> str:
        """Return whether two rows or arrays are equal: NULL where a NULL in them hides it."""
        if operator not in ("=", "<>"):
            raise refused(node, f"{operator} of {left.type} is not supported", "compare its parts")
        if left.type.name == "row":
            pairs = zip(fields_of(left), fields_of(right), strict=True)
            equal = " AND ".join(self.compared(node, "=", Typed(*a), Typed(*b)) for a, b in pairs)
        else:
            (of,) = left.type.args
            pair = self.compared(node, "<>", Typed("pair[1]", of), Typed("pair[2]", of))
            both = f"list_zip({left.sql}, {right.sql})"
            differ = f"trino_contains(list_transform({both}, lambda pair: {pair}), true)"
            lengths = f"len({left.sql}) = len({right.sql})"
            equal = f"CASE {lengths} WHEN true THEN NOT {differ} WHEN false THEN false END"
        return f"(NOT ({equal}))" if operator == "<>" else f"({equal})"

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
        if type_.name in ("json", "map", "row", "array"):
            pairs = [self.compared(node, "=", value, item) for item in items[1:]]
            return Typed(f"({' OR '.join(pairs)})", BOOLEAN)
        return Typed(f"({texts[0]} IN ({', '.join(texts[1:])}))", BOOLEAN)

    def _like(self, node: exp.Expr, scope: Scope) -> Typed:
        escape = ""
        if isinstance(node, exp.Escape):
            escape = f" ESCAPE {self.converted(node.expression, scope, VARCHAR)}"
            node = node.this
        if not isinstance(node, exp.Like):
            raise refused(node, "ESCAPE belongs to LIKE")
        only(node, "this", "expression", "negate")
        like = "NOT LIKE" if node.args.get("negate") else "LIKE"
        sides = [self.converted(side, scope, VARCHAR) for side in (node.this, node.expression)]
        return Typed(f"({sides[0]} {like} {sides[1]}{escape})", BOOLEAN)

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
            case "row", fields if isinstance(key, exp.Literal) and key.name.isdigit():
                if 1 <= int(key.name) <= len(fields):
                    return Typed(*fields_of(value)[int(key.name) - 1])
        raise refused(node, f"{value.type} has no such element")

    def _concatenation(self, node: exp.DPipe, scope: Scope) -> Typed:
        return self._calls.concatenated(node, scope)

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
            keys.append(value.sql + direction(key))
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
             exp.AtTimeZone, exp.Tuple), _call),
    }  # fmt: skip


def direction(key: exp.Expr) -> str:
    """Return how a sort key is sorted; in Trino NULL is last both ways."""
    way = "DESC" if key.args.get("desc") else "ASC"
    return f" {way} NULLS {'FIRST' if key.args.get('nulls_first') else 'LAST'}"


def _cast_hint(type_: Type) -> str:
    return f"CAST(… AS {type_})"

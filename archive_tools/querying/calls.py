"""Calls of functions: which one the types of the arguments mean, and what it is in DuckDB."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlglot import exp

from . import functions
from .casts import cast, coerced, fields_of, local
from .dialect import AthenaSelect, only, refused
from .types import (
    BIGINT,
    DATE,
    DOUBLE,
    INTEGER,
    JSON,
    MONTHS,
    UNKNOWN,
    VARCHAR,
    Type,
    Typed,
    array,
    common,
    decimal,
    text_literal,
    timestamp,
    zoned,
)

if TYPE_CHECKING:
    from .expressions import Expressions, Scope

#: Signs of Java's regular expressions that RE2 lacks, or reads in another way.
_FOREIGN_PATTERN = re.compile(r"\(\?[=!<>]|[*+?}]\+|\\[1-9kRXhHZG]|&&|\[[^\]]*\[")
#: A group that may take no part in a match: NULL in Trino, empty in DuckDB.
_OPTIONAL_GROUP = re.compile(r"\)[?*]|\)\{0|\|")

#: A nested type in a signature, and what separates its parts.
_NESTED = re.compile(r"(array|map|row)\((.*)\)")
_COMMA = re.compile(r",(?![^(]*\))")

_TEXT_TYPES = ("varchar", "boolean", "decimal", "date", "tinyint", "smallint", "integer", "bigint")

_LAMBDA = Type("lambda")

_DAY_UNITS = ("day", "week", "month", "quarter", "year")
_CLOCK_UNITS = ("millisecond", "second", "minute", "hour")
_UNITS = {"day unit": _DAY_UNITS, "clock unit": _CLOCK_UNITS, "unit": _DAY_UNITS + _CLOCK_UNITS}

#: MySQL's marks, which date_format and date_parse take, as those of strftime.
_MYSQL = {
    **{mark: f"%{mark}" for mark in "YmdHfyjpIbaS%"},
    "i": "%M", "s": "%S", "T": "%H:%M:%S", "r": "%I:%M:%S %p", "M": "%B", "W": "%A",
    "e": "%-d", "c": "%-m", "k": "%-H", "l": "%-I", "h": "%I", "v": "%V", "x": "%G",
}  # fmt: skip
_PARSED = "YmcdeHkiSsTf%"
_JODA = {
    "yyyy": "%Y", "yy": "%y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "M": "%-m", "dd": "%d",
    "d": "%-d", "HH": "%H", "H": "%-H", "mm": "%M", "ss": "%S", "SSS": "%g", "EEEE": "%A",
    "EEE": "%a", "ww": "%V", "xxxx": "%G",
}  # fmt: skip

_EXTRACTED = {
    "YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DAY_OF_MONTH", "DAY_OF_WEEK", "DOW", "DAY_OF_YEAR",
    "DOY", "YEAR_OF_WEEK", "YOW", "HOUR", "MINUTE", "SECOND",
}  # fmt: skip


@dataclass(frozen=True)
class Document:
    """A JSON document of FROM that is parsed once a row, for all paths that are asked of it."""

    paths: list[str]
    values: str
    """A list in DuckDB's dialect: what is at each path, as JSON."""
    scalars: str
    """A list of the texts of the scalars among them."""


class Calls:
    """Translates the calls of one query."""

    def __init__(self, translator: "Expressions") -> None:
        """Take what translates the arguments."""
        self._of = translator

    def call(self, node: exp.Expr, scope: "Scope", over: str = "") -> Typed:
        """Return a call with its FILTER; `over` is the OVER of a window.

        Raises:
            ToolError: there is no such function, or not with these arguments.
        """
        condition, nulls, call = "", "", node
        while isinstance(call, exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
            if isinstance(call, exp.Filter):
                condition = self._of.boolean(call.expression.this, scope)
            elif isinstance(call, exp.IgnoreNulls):
                nulls = " IGNORE NULLS"
            call = call.this
        if isinstance(call, exp.GroupConcat):
            return self._listagg(call, scope, condition, over)
        if not isinstance(call, exp.Anonymous):
            if condition or nulls or over:
                raise refused(node, "This is no aggregate")
            return self._by_syntax(call, scope)
        only(call, "this", "expressions")
        name = functions.canonical(call.name)
        _, aggregates, windows = functions.tables()
        if name in windows and over:
            return self._aggregate(call, windows[name], scope, condition, over, nulls)
        if name in aggregates and not nulls:
            return self._aggregate(call, aggregates[name], scope, condition, over)
        if condition or nulls or over or name in windows:
            raise refused(node, "This function is not supported with these clauses")
        return self._scalar(call, name, scope)

    # aggregates

    def _aggregate(
        self,
        call: exp.Anonymous,
        ways: list[functions.Function],
        scope: "Scope",
        condition: str,
        over: str,
        nulls: str = "",
    ) -> Typed:
        nodes, order, distinct = list(call.expressions), "", ""
        if nodes and isinstance(nodes[-1], exp.Order):
            order = f" {self._of.order(nodes[-1], scope)}"
            nodes[-1] = nodes[-1].this
        if nodes and isinstance(nodes[0], exp.Distinct):
            only(nodes[0], "expressions")
            nodes[:1] = nodes[0].expressions
            distinct = "DISTINCT "
        if [type(node) for node in nodes] == [exp.Star]:
            nodes = []
        name = ways[0].name
        if (order and name != "array_agg") or (distinct and len(nodes) != 1):
            raise refused(call, "ORDER BY and DISTINCT are not supported in this aggregate")
        if name == "map_agg" and nodes:
            present = f"{self._of.value(nodes[0], scope).sql} IS NOT NULL"
            condition = f"{condition} AND {present}" if condition else present
        suffix = (f" FILTER (WHERE {condition})" if condition else "") + over
        if name in ("sum", "avg") and len(nodes) == 1:
            value = self._of.value(nodes[0], scope)
            if value.type.name == "decimal":
                return self._decimal_aggregate(name, f"{distinct}{value.sql}", value.type, suffix)
        texts, type_, sql = self._resolved(call, ways, nodes, scope)
        if texts:
            texts[0] = distinct + texts[0]
            texts[-1] += order
        return Typed(sql.format(*texts, s=suffix, n=nulls), type_)

    def _decimal_aggregate(self, name: str, sql: str, type_: Type, suffix: str) -> Typed:
        total = decimal(38, type_.args[1])
        added = f"CAST(sum({sql}){suffix} AS {total.duckdb})"
        if name == "sum":
            return Typed(added, total)
        # Trino's average has the type of what it is of, and is rounded half up
        many = f"CAST(nullif(count({sql}){suffix}, 0) AS HUGEINT)"
        return self._of.scaled(f"trino_divide(trino_unscaled({added}), {many})", type_)

    def _listagg(self, call: exp.GroupConcat, scope: "Scope", condition: str, over: str) -> Typed:
        only(call, "this", "separator")
        item, order = call.this, ""
        if isinstance(item, exp.Order):
            order = f" {self._of.order(item, scope)}"
            item = item.this
        if isinstance(item, exp.Distinct):
            raise refused(call, "LISTAGG with DISTINCT is not supported")
        separator = text_literal(call.args["separator"].name if call.args.get("separator") else "")
        filter_ = f" FILTER (WHERE {condition})" if condition else ""
        value = self._of.converted(item, scope, VARCHAR)
        return Typed(f"string_agg({value}, {separator}{order}){filter_}{over}", VARCHAR)

    # one value for a row

    def _by_syntax(self, call: exp.Expr, scope: "Scope") -> Typed:
        """Return a call that has words between its arguments."""
        match call:
            case exp.Extract():
                if call.this.name.upper() not in _EXTRACTED:
                    raise refused(call, "This field is not supported")
                return self._named(call, call.this.name, [call.expression], scope)
            case exp.StrPosition():
                only(call, "this", "substr")
                return self._named(call, "strpos", [call.this, call.args["substr"]], scope)
            case exp.Substring():
                items = [call.this, call.args["start"], call.args.get("length")]
                return self._named(call, "substr", [item for item in items if item], scope)
            case exp.Tuple():
                return self._row(call, call.expressions, scope)
            case exp.AtTimeZone():
                return self._at_timezone(call, [call.this, call.args["zone"]], scope)
            case exp.Trim():
                only(call, "this", "position", "expression")
                side = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(
                    call.args.get("position") or "", "trim"
                )
                characters = call.args.get("expression")
                of = (
                    self._of.converted(characters, scope, VARCHAR)
                    if characters
                    else "trino_spaces()"
                )
                return Typed(
                    f"{side}({self._of.converted(call.this, scope, VARCHAR)}, {of})", VARCHAR
                )
        raise refused(call, "This is not supported")

    def _scalar(self, call: exp.Anonymous, name: str, scope: "Scope") -> Typed:
        nodes = list(call.expressions)
        if name in _SPECIAL:
            found: Typed | None = _SPECIAL[name](self, call, nodes, scope)
            if found:
                return found
        return self._named(call, name, nodes, scope)

    def _named(self, call: exp.Expr, name: str, nodes: Sequence[exp.Expr], scope: "Scope") -> Typed:
        ways = functions.tables()[0].get(functions.canonical(name))
        if not ways:
            if name in _SPECIAL:
                raise refused(call, "This function is not supported with these arguments")
            raise refused(call, f"The function {name} is not supported", _instead(name))
        texts, type_, sql = self._resolved(call, ways, nodes, scope)
        zone = type_.args[0] if type_.name == "timestamp with time zone" else ""
        joined = " || ".join(texts)
        filled = sql.format(*texts, all=", ".join(texts), joined=joined, x=_item(scope), zone=zone)
        return Typed(filled, type_)

    def concatenated(self, node: exp.DPipe, scope: "Scope") -> Typed:
        """Return texts or arrays one after the other: NULL where one of them is."""
        return self._named(node, "concat", [node.this, node.expression], scope)

    def _resolved(
        self,
        call: exp.Expr,
        ways: list[functions.Function],
        nodes: Sequence[exp.Expr],
        scope: "Scope",
    ) -> tuple[list[str], Type, str]:
        """Return the arguments as the first fitting way takes them, and its result."""
        values = [
            Typed("", _LAMBDA) if isinstance(node, exp.Lambda) else self._of.value(node, scope)
            for node in nodes
        ]
        for is_exact in (True, False):
            for way in ways:
                bound: dict[str, Type] = {}
                taken = self._taken(call, way, values, nodes, scope, bound, is_exact)
                if taken is not None:
                    texts = [_argument(*one, bound) for one in taken]
                    return texts, _type(way.result, bound), way.sql
        given = ", ".join(str(value.type) for value in values)
        takes = " or ".join(f"{way.name}({', '.join(way.parameters)})" for way in ways)
        takes = re.sub(r"\b[TKV]:", "", takes)
        raise refused(call, f"{ways[0].name} does not take ({given})", f"it is {takes}")

    def _taken(
        self,
        call: exp.Expr,
        way: functions.Function,
        values: Sequence[Typed],
        nodes: Sequence[exp.Expr],
        scope: "Scope",
        bound: dict[str, Type],
        is_exact: bool,
    ) -> list[tuple[str, Typed, exp.Expr]] | None:
        """Return each argument with its pattern, None where one does not fit."""
        parameters = way.parameters
        if parameters and parameters[-1].endswith("..."):
            more = max(1, len(values) - len(parameters) + 1)
            parameters = (*parameters[:-1], *[parameters[-1].removesuffix("...")] * more)
        if len(parameters) != len(values):
            return None
        taken = []
        for parameter, value, node in zip(parameters, values, nodes, strict=True):
            of, arrow, pattern = parameter.rpartition("->")
            if bool(arrow) != (value.type == _LAMBDA):
                return None
            if arrow:
                types = [bound[name] for name in of.strip("()").split(",")]
                value = self._applied(call, node, scope, *_parts(_item(scope), types))
            is_unit = pattern not in _UNITS or node.name.lower() in _UNITS[pattern]
            if not is_unit or not _fits(pattern, value.type, bound, is_exact):
                return None
            taken.append((pattern, value, node))
        return taken

    def _applied(self, call: exp.Expr, function: exp.Expr, scope: "Scope", *values: Typed) -> Typed:
        """Return the body of a lambda, with values for its parameters."""
        if not isinstance(function, exp.Lambda):
            raise refused(call, "A lambda, as in x -> x + 1, is needed here")
        names = [item.name.lower() for item in function.expressions]
        if len(names) != len(values):
            raise refused(call, f"A lambda with {len(values)} parameters is needed here")
        inner = self._of.nested(scope, dict(zip(names, values, strict=True)))
        return self._of.value(function.this, inner)

    # functions whose result or whose SQL hangs on more than a signature

    def _nullif(self, call: exp.Expr, nodes: list[exp.Expr], scope: "Scope") -> Typed:
        first, second = (self._of.value(node, scope) for node in _some(call, nodes, 2))
        equal = self._of.compared(call, "=", first, second)
        return Typed(f"CASE WHEN {equal} THEN NULL ELSE {first.sql} END", first.type)

    def _json_extract(self, call: exp.Anonymous, nodes: list[exp.Expr], scope: "Scope") -> Typed:
        document, path = _some(call, nodes, 2)
        value, path_ = self._of.value(document, scope), json_path(path)
        if value.type not in (VARCHAR, JSON):
            raise refused(call, f"{value.type} is no JSON")
        is_whole = call.name.lower() == "json_extract"
        type_ = JSON if is_whole else VARCHAR
        parsed = self._of.documents.get(value.sql)
        if parsed and path_ in parsed.paths:
            found = parsed.values if is_whole else parsed.scalars
            return Typed(f"{found}[{parsed.paths.index(path_) + 1}]", type_)
        how = "trino_json" if is_whole else "trino_json_scalar"
        return Typed(f"{how}({value.sql}, {text_literal(path_)})", type_)

    def _mod(self, call: exp.Expr, nodes: list[exp.Expr], scope: "Scope") -> Typed | None:
        left, right = (self._of.value(node, scope) for node in _some(call, nodes, 2))
        if not (left.type.is_number and right.type.is_number):
            return None
        return self._of.number("%", left, right, call)

    def _rounded(self, call: exp.Anonymous, nodes: list[exp.Expr], scope: "Scope") -> Typed | None:
        """Return a decimal with fewer digits; other numbers are in the table."""
        value = self._of.value(nodes[0], scope) if nodes else Typed("", UNKNOWN)
        if value.type.name != "decimal":
            return None
        precision, scale = value.type.args
        name = functions.canonical(call.name)
        if name == "round" and len(nodes) == 2:
            digits = nodes[1].name
            if not digits.isdigit():
                raise refused(call, "round takes a number of digits")
            result = decimal(precision + 1, scale)
            return Typed(
                f"CAST(round({value.sql}, {min(int(digits), scale)}) AS {result.duckdb})", result
            )
        if len(nodes) != 1:
            return None
        if name == "sign":
            return Typed(f"CAST(sign({value.sql}) AS DECIMAL(1,0))", decimal(1, 0))
        digits = precision - scale + (min(scale, 1) if name != "truncate" else 0)
        result = decimal(max(1, digits), 0)
        how = {"truncate": "trunc"}.get(name, name)
        return Typed(f"CAST({how}({value.sql}) AS {result.duckdb})", result)

    # times

    def _time(self, node: exp.Expr, scope: "Scope") -> Typed:
        value = self._of.value(node, scope)
        if not value.type.is_time:
            raise refused(node, f"A date or a time is needed here, and this is {value.type}",
                    "CAST(… AS timestamp)")  # fmt: skip
        return value

    def _clock(self, node: exp.Expr, scope: "Scope") -> str:
        """Return a time without a zone: of an instant, what a clock in its zone shows."""
        value = self._time(node, scope)
        if value.type.name == "timestamp with time zone":
            return local(value.sql, value.type)
        return coerced(value.sql, value.type, timestamp(6)) if value.type == DATE else value.sql

    def _unit(self, node: exp.Expr, type_: Type) -> str:
        unit = node.name.lower() if isinstance(node, exp.Literal) and node.is_string else ""
        if unit not in _DAY_UNITS and (unit not in _CLOCK_UNITS or type_ == DATE):
            raise refused(node, f"This is no unit of a {type_}", "as in 'day'")
        return unit

    def _date_diff(self, call: exp.Expr, nodes: list[exp.Expr], scope: "Scope") -> Typed:
        first, *rest = _some(call, nodes, 3)
        values = [self._time(node, scope) for node in rest]
        (begin, end), type_ = self._of.together(call, values)
        unit = self._unit(first, type_)
        if type_.name == "timestamp with time zone":
            zone = values[0].type if values[0].type.name == type_.name else zoned()
            begin, end = local(begin, zone), local(end, zone)
            if zone.args != ("UTC",) and unit in _CLOCK_UNITS:
                raise refused(call, "Clock times are compared in UTC", "… AT TIME ZONE 'UTC'")
        return Typed(f"date_sub('{unit}', {begin}, {end})", BIGINT)

    def _date_format(self, call: exp.Anonymous, nodes: list[exp.Expr], scope: "Scope") -> Typed:
        time, pattern = _some(call, nodes, 2)
        marks = _mysql(pattern, _MYSQL.keys())
        return Typed(f"strftime({self._clock(time, scope)}, {text_literal(marks)})", VARCHAR)

    def _date_parse(self, call: exp.Expr, nodes: list[exp.Expr], scope: "Scope") -> Typed:
        text, pattern = _some(call, nodes, 2)
        marks = text_literal(_mysql(pattern, _PARSED).replace("%-", "%"))
        value = self._of.converted(text, scope, VARCHAR)
        return Typed(f"trino_milliseconds(strptime({value}, {marks}))", timestamp())

    def _format_datetime(self, call: exp.Expr, nodes: list[exp.Expr], scope: "Scope") -> Typed:
        time, pattern = _some(call, nodes, 2)
        marks = ""
        words = r"'(?P<quoted>[^']*)'|(?P<mark>([A-Za-z])\3*)|(?P<other>.)"
        for part in re.finditer(words, _literal(pattern)):
            if mark := part["mark"]:
                if mark not in _JODA:
                    raise refused(pattern, f"The mark {mark} is not supported")
                marks += _JODA[mark]
            else:
                marks += (part["quoted"] or part["other"] or "'").replace("%", "%%")
        return Typed(f"strftime({self._clock(time, scope)}, {text_literal(marks)})", VARCHAR)

    def _from_unixtime(self, call: exp.Expr, nodes: list[exp.Expr], scope: "Scope") -> Typed | None:
        if len(nodes) != 2:
            return None
        seconds = self._of.converted(nodes[0], scope, DOUBLE)
        return Typed(f"trino_from_unixtime({seconds})", zoned(_zone(nodes[1])))

    def _at_timezone(self, call: exp.Expr, nodes: list[exp.Expr], scope: "Scope") -> Typed:
        time, zone = _some(call, nodes, 2)
        value = _anywhere(self._time(time, scope))
        return Typed(coerced(value.sql, value.type, zoned()), zoned(_zone(zone)))

    def _with_timezone(self, call: exp.Expr, nodes: list[exp.Expr], scope: "Scope") -> Typed:
        time, zone = _some(call, nodes, 2)
        value = self._of.converted(time, scope, timestamp(6))
        return Typed(f"timezone('{_zone(zone)}', {value})", zoned(_zone(zone)))

    def _to_unixtime(self, call: exp.Expr, nodes: list[exp.Expr], scope: "Scope") -> Typed | None:
        value = _anywhere(self._of.value(_some(call, nodes, 1)[0], scope))
        return Typed(f"epoch({value.sql})", DOUBLE) if "anywhere" in value.sql[:30] else None

    def _now(self, call: exp.Expr, nodes: list[exp.Expr], _: "Scope") -> Typed:
        _some(call, nodes, 0)
        return self._of.now()

    # arrays

    def _sequence(self, call: exp.Expr, nodes: list[exp.Expr], scope: "Scope") -> Typed:
        values = [self._of.value(node, scope) for node in nodes]
        if len(values) not in (2, 3):
            raise refused(call, "sequence takes a first and a last value, and a step")
        (first, last), type_ = self._of.together(call, values[:2])
        if type_.is_integer:
            first, last = (f"CAST({text} AS BIGINT)" for text in (first, last))
            step = f"CASE WHEN {first} <= {last} THEN 1 ELSE -1 END"
            if len(values) == 3:
                step = self._of.converted(nodes[2], scope, BIGINT)
            return Typed(f"trino_sequence({first}, {last}, {step})", array(BIGINT))
        if type_.name not in ("date", "timestamp") or (len(values) == 2 and type_ != DATE):
            raise refused(call, "sequence of these types is not supported")
        step = f"to_days(CASE WHEN {first} <= {last} THEN 1 ELSE -1 END)"
        if len(values) == 3:
            step = values[2].sql
            if not values[2].type.is_interval:
                raise refused(call, "The step between times is an interval", "INTERVAL '1' DAY")
        is_months = len(values) == 3 and values[2].type == MONTHS
        if type_ == DATE and not is_months:
            step = f"trino_whole_days({step})"
        first, last = (f"CAST({text} AS TIMESTAMP)" for text in (first, last))
        made = f"trino_{'months' if is_months else 'times'}({first}, {last}, {step})"
        return Typed(f"CAST({made} AS {type_.duckdb}[])", array(type_))

    def _reduce(self, call: exp.Expr, nodes: list[exp.Expr], scope: "Scope") -> Typed:
        first, start, step, last = _some(call, nodes, 4)
        items, state = self._of.value(first, scope), self._of.value(start, scope)
        if items.type.name != "array":
            raise refused(call, "reduce goes through an array")
        (of,) = items.type.args
        name, so_far = _item(scope), f"state_{scope.depth}"
        # DuckDB's list_reduce has one type for the state and the items: a pair of both
        body = self._applied(
            call, step, scope, Typed(f"{so_far}.s", state.type), Typed(f"{name}.x", of)
        )
        if body.type not in (state.type, UNKNOWN):
            raise refused(
                call,
                f"The state is {state.type} at first and {body.type} then",
                f"CAST({start.sql(AthenaSelect)} AS {body.type})",
            )
        none = [f"CAST(NULL AS {type_.duckdb})" for type_ in (state.type, of)]
        begin = f"struct_pack(s := CAST({state.sql} AS {state.type.duckdb}), x := {none[1]})"
        pairs = (
            f"list_transform({items.sql}, lambda {name}: struct_pack(s := {none[0]}, x := {name}))"
        )
        both = f"struct_pack(s := CAST({body.sql} AS {state.type.duckdb}), x := {name}.x)"
        made = f"(list_reduce([{begin}] || {pairs}, lambda {so_far}, {name}: {both})).s"
        return self._applied(call, last, scope, Typed(made, state.type))

    def _row(self, _: exp.Expr, nodes: list[exp.Expr], scope: "Scope") -> Typed:
        values = [self._of.value(node, scope) for node in nodes]
        fields = tuple(("", value.type) for value in values)
        return Typed(f"row({', '.join(value.sql for value in values)})", Type("row", fields))

    def _grouping(self, _: exp.Expr, nodes: list[exp.Expr], scope: "Scope") -> Typed:
        keys = ", ".join(self._of.value(node, scope).sql for node in nodes)
        return Typed(f"CAST(grouping({keys}) AS INTEGER)", INTEGER)

    def _format(self, call: exp.Expr, nodes: list[exp.Expr], scope: "Scope") -> Typed:
        """Return a text out of a pattern of Java's, as far as `%s`, `%d` and `%.2f` go."""
        if not nodes:
            raise refused(call, "format takes a pattern")
        pattern = _literal(nodes[0])
        values = iter([self._of.value(node, scope) for node in nodes[1:]])
        parts = []
        for text, mark in re.findall(r"([^%]+)|%([^a-zA-Z%]*[a-zA-Z%])", pattern):
            if text or mark == "%":
                parts.append(text_literal(text or "%"))
                continue
            value = next(values, None)
            if value is None:
                raise refused(call, "There are fewer values than marks")
            parts.append(self._formatted(call, mark, value))
        if next(values, None):
            raise refused(call, "There are more values than marks")
        # Java writes a NULL as a word
        return Typed(f"({' || '.join(parts) or repr('')})", VARCHAR)

    def _formatted(self, call: exp.Expr, mark: str, value: Typed) -> str:
        type_ = value.type
        if mark == "s" and type_.name in _TEXT_TYPES:
            return f"coalesce({cast(value.sql, type_, VARCHAR)}, 'null')"
        if type_.is_integer and re.fullmatch(r",?d|0\d\d?d", mark):
            return f"coalesce(printf('%{mark}', {value.sql}), 'null')"
        if found := re.fullmatch(r"(,?)\.(\d\d?)f", mark):
            if type_.name != "decimal" or found[1]:
                raise refused(
                    call, f"%{mark} is supported for decimals alone", "CAST to a decimal first"
                )
            digits = min(int(found[2]), 38)
            return f"coalesce(CAST(CAST({value.sql} AS DECIMAL(38,{digits})) AS VARCHAR), 'null')"
        raise refused(call, f"The mark %{mark} is not supported for {type_}")


_SPECIAL: dict[str, Callable[..., Typed | None]] = {
    "at_timezone": Calls._at_timezone,
    "ceil": Calls._rounded,
    "date_diff": Calls._date_diff,
    "date_format": Calls._date_format,
    "date_parse": Calls._date_parse,
    "floor": Calls._rounded,
    "format": Calls._format,
    "format_datetime": Calls._format_datetime,
    "from_unixtime": Calls._from_unixtime,
    "grouping": Calls._grouping,
    "json_extract": Calls._json_extract,
    "json_extract_scalar": Calls._json_extract,
    "mod": Calls._mod,
    "now": Calls._now,
    "nullif": Calls._nullif,
    "reduce": Calls._reduce,
    "round": Calls._rounded,
    "row": Calls._row,
    "sequence": Calls._sequence,
    "sign": Calls._rounded,
    "to_unixtime": Calls._to_unixtime,
    "truncate": Calls._rounded,
    "with_timezone": Calls._with_timezone,
}


def supported() -> list[str]:
    """Return the names of all functions that can be called, in their order."""
    return sorted(functions.names() | set(_SPECIAL) | {"if", "listagg", "extract", "position"})


def _instead(name: str) -> str:
    known = functions.INSTEAD.get(name)
    return f"write {known}" if known else ""


def _some(call: exp.Expr, nodes: Sequence[exp.Expr], count: int) -> list[exp.Expr]:
    if len(nodes) != count:
        raise refused(call, f"{count} arguments are needed here")
    return list(nodes)


def _item(scope: "Scope") -> str:
    """Return the variable of a lambda of DuckDB's that no lambda around it has."""
    return f"item_{scope.depth}"


def _parts(item: str, types: list[Type]) -> list[Typed]:
    """Return what a lambda goes through: items of an array, or the two parts of pairs."""
    if len(types) == 1:
        return [Typed(item, types[0])]
    return [Typed(f"struct_extract_at({item}, {n})", of) for n, of in enumerate(types, 1)]


def _literal(node: exp.Expr) -> str:
    if not isinstance(node, exp.Literal) or not node.is_string:
        raise refused(node, "A text in quotes is needed here")
    return node.name


def _zone(node: exp.Expr) -> str:
    name = _literal(node)
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise refused(node, "This time zone is not known", "as in 'Europe/Berlin'") from None
    return name


def _anywhere(value: Typed) -> Typed:
    """Return an instant whatever its own zone was, for what depends on the instant alone."""
    name = "trino_from_iso8601("
    if value.sql.startswith(name):
        return Typed(f"trino_from_iso8601_anywhere({value.sql.removeprefix(name)}", value.type)
    return value


def _mysql(pattern: exp.Expr, known: object) -> str:
    text = ""
    for mark, other in re.findall(r"%(.)|([^%]+)", _literal(pattern)):
        if mark and mark not in known:  # type: ignore[operator]
            raise refused(pattern, f"The mark %{mark} is not supported")
        text += _MYSQL[mark] if mark else other
    return text


def json_path(node: exp.Expr) -> str:
    """Return a path of Trino's as DuckDB takes it.

    https://trino.io/docs/current/functions/json.html#json_extract
    """
    text = _literal(node)
    steps = r'\.([A-Za-z_][\w:-]*)|\["([^"\\]+)"\]|\[(\d+)\]'
    if not re.fullmatch(rf"\$({steps})*", text):
        raise refused(node, "This JSON path is not supported", "as in '$.data.object[0].id'")
    return "$" + "".join(
        f"[{number}]" if number else f'."{plain or quoted}"'
        for plain, quoted, number in re.findall(steps, text)
    )


def _type(pattern: str, bound: dict[str, Type]) -> Type:
    """Return the type that a word of a signature means."""
    name = pattern.partition(":")[0]
    if name in bound:
        return bound[name]
    if nested := _NESTED.fullmatch(pattern):
        parts = [_type(part, bound) for part in _COMMA.split(nested[2])]
        return Type(nested[1], tuple(("", of) if nested[1] == "row" else of for of in parts))
    match pattern:
        case "decimal":
            return bound["T"]
        case "timestamp":
            return timestamp()
        case "timestamp with time zone":
            return zoned()
        case "pattern" | "grouped pattern" | "replacement" | "unit" | "day unit" | "clock unit":
            return VARCHAR
    return Type(pattern)


def _fits(pattern: str, type_: Type, bound: dict[str, Type], is_exact: bool) -> bool:
    name, _, kind = pattern.partition(":")
    if name in ("T", "K", "V", "R"):
        merged = common(bound.get(name, UNKNOWN), type_)
        if merged is None or (kind == "integer" and not type_.is_integer):
            return False
        if (
            (kind == "ordered" and type_.name in ("json", "map", "array"))
            or (kind == "plain" and type_.name in ("json", "map", "array", "row"))
            or (kind == "text" and type_.name not in _TEXT_TYPES)
            or (kind == "time" and type_.name not in ("timestamp", "timestamp with time zone"))
            or (kind == "instant" and type_.name != "timestamp with time zone")
        ):
            return False
        bound[name] = merged
        return True
    if nested := _NESTED.fullmatch(pattern):
        inner = _COMMA.split(nested[2])
        parts = [of for _, of in type_.args] if type_.name == "row" else type_.args
        return (type_.name, len(parts)) == (nested[1], len(inner)) and all(
            _fits(part, of, bound, is_exact) for part, of in zip(inner, parts, strict=True)
        )
    if pattern == "decimal":
        bound["T"] = type_
        return type_.name == "decimal"
    target = _type(pattern, bound)
    if is_exact:
        return type_.name == target.name
    if target.name == "timestamp" and type_.is_time:
        return True
    return common(type_, target) == target


def _argument(pattern: str, value: Typed, node: exp.Expr, bound: dict[str, Type]) -> str:
    """Return an argument in the type of its parameter."""
    target = _type(pattern, bound)
    match pattern:
        case "pattern" | "grouped pattern":
            text = _literal(node)
            if _FOREIGN_PATTERN.search(text) or (
                pattern != "pattern" and _OPTIONAL_GROUP.search(text)
            ):
                raise refused(
                    node, "This regular expression means something else in DuckDB, or nothing"
                )
            return value.sql
        case "unit" | "day unit" | "clock unit":
            return text_literal(_literal(node).lower())
        case "replacement":
            text = _literal(node)
            if "\\" in text or "${" in text:
                raise refused(node, "This replacement is not supported", "as in '$1'")
            return text_literal(re.sub(r"\$(\d)", r"\\\1", text))
        case "timestamp":
            if value.type.name == "timestamp with time zone":
                return local(value.sql, value.type)
            return (
                value.sql if value.type.name == "timestamp" else f"CAST({value.sql} AS TIMESTAMP)"
            )
    if pattern.endswith(":ordered") and target.name == "row":
        # Trino compares no rows with a NULL in them
        fields = (f"{text} IS NOT NULL" for text, _ in fields_of(value))
        return f"CASE trino_check({' AND '.join(fields)}) WHEN 1 THEN {value.sql} END"
    if value.type.name == target.name and target.name in ("timestamp with time zone",):
        return value.sql
    return coerced(value.sql, value.type, target)

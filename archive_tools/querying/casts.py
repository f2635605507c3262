"""Conversions between Trino's types, as DuckDB's expressions with the same result.

https://trino.io/docs/current/functions/conversion.html
"""

from .types import BOOLEAN, DATE, JSON, VARCHAR, Type, Typed, common, quoted

_TEXT_READERS = {
    "boolean": "trino_boolean",
    "decimal": "trino_decimal",
    "double": "trino_number",
    "date": "trino_date",
    "timestamp": "trino_timestamp",
}


def fields_of(row: Typed) -> list[tuple[str, Type]]:
    """Return the fields of a row, as expressions with their types."""
    return [
        (f"struct_extract_at({row.sql}, {n})", of) for n, (_, of) in enumerate(row.type.args, 1)
    ]


def coerced(sql: str, source: Type, target: Type) -> str:
    """Return the conversion that Trino does by itself: `common` says that it does."""
    if source == target:
        return sql
    if target.name == "timestamp with time zone":
        if source.name == target.name:
            return sql
        return f"timezone('UTC', CAST({sql} AS TIMESTAMP))"
    if source.duckdb == target.duckdb and source.name != "unknown":
        return sql
    return f"CAST({sql} AS {target.duckdb})"


def cast(sql: str, source: Type, target: Type, is_safe: bool = False) -> str | None:
    """Return a cast of the query's, None where there is none or it is not supported.

    Args:
        sql: the value, in DuckDB's dialect.
        source: its type.
        target: the type to give it.
        is_safe: for TRY_CAST, which has NULL for what cannot be converted.
    """
    how = "TRY_CAST" if is_safe else "CAST"
    if source == target and source.name != "varchar":
        return sql
    match source.name, target.name:
        case _, "varchar":
            text = _to_varchar(sql, source)
            if text and target.args:
                text = f"substr({text}, 1, {target.args[0]})"
            return f"TRY({text})" if text and is_safe and source == JSON else text
        case "unknown", _:
            return f"CAST(NULL AS {target.duckdb})"
        case "varchar", "json":
            return f"to_json({sql})"
        case "varchar", _ if target.is_integer:
            return f"{how}(trino_integer({sql}) AS {target.duckdb})"
        case "varchar", name if name in _TEXT_READERS:
            value = f"{how}({_TEXT_READERS[name]}({sql}) AS {target.duckdb})"
            return _rounded(value, target) if name == "timestamp" else value
        case "double", _ if target.is_integer:
            return f"{how}(round({sql}) AS {target.duckdb})"
        case _, "boolean" if source.is_number:
            return f"({sql} <> 0)"
        case _ if source.is_number and target.is_number:
            return f"{how}({sql} AS {target.duckdb})"
        case "boolean", _ if target.is_number:
            return f"CAST({sql} AS {target.duckdb})"
        case "timestamp", "timestamp":
            return _rounded(sql, target) if source.args[0] > target.args[0] else sql
        case "timestamp with time zone", "timestamp with time zone":
            return sql
        case "timestamp with time zone", "timestamp":
            return local(sql, source)
        case "timestamp with time zone", "date":
            return f"CAST({local(sql, source)} AS DATE)"
        case _ if source.is_time and target.is_time:
            return coerced(sql, source, target) if target != DATE else f"CAST({sql} AS DATE)"
        case "json", _:
            found = _from_json(sql, target)
            return f"TRY({found})" if found and is_safe else found
        case "map", "json" if _is_plain(source):
            return f"to_json(map_from_entries(list_sort(map_entries({sql}))))"
        case _, "json" if _is_plain(source):
            return f"to_json({sql})"
        case "row", "row" if len(source.args) == len(target.args):
            values = [
                (name, cast(text, of, to, is_safe))
                for (text, of), (name, to) in zip(
                    fields_of(Typed(sql, source)), target.args, strict=True
                )
            ]
            if not all(value for _, value in values):
                return None
            packed = ", ".join(f"{quoted(name)} := {value}" for name, value in values)
            return f"CASE WHEN {sql} IS NOT NULL THEN struct_pack({packed}) END"
        case "array", "array":
            item = cast("item", source.args[0], target.args[0], is_safe)
            return item and f"list_transform({sql}, lambda item: {item})"
    return coerced(sql, source, target) if common(source, target) == target else None


def local(sql: str, type_: Type) -> str:
    """Return the time without a zone that an instant is in its zone."""
    return f"timezone('{type_.args[0]}', {sql})"


def _rounded(sql: str, target: Type) -> str:
    match target.args:
        case (0,):
            return f"date_trunc('second', {sql} + INTERVAL 500 MILLISECOND)"
        case (3,):
            return f"trino_milliseconds({sql})"
    return sql


def _to_varchar(sql: str, source: Type) -> str | None:
    match source.name:
        case "varchar":
            return sql
        case "boolean" | "decimal" | "date" | "unknown":
            return f"CAST({sql} AS VARCHAR)"
        case "timestamp":
            fraction = {0: "", 3: ".%g", 6: ".%f"}[source.args[0]]
            return f"strftime({sql}, '%Y-%m-%d %H:%M:%S{fraction}')"
        case "timestamp with time zone":
            text = f"strftime({local(sql, source)}, '%Y-%m-%d %H:%M:%S.%g')"
            return f"({text} || ' {source.args[0]}')"
        case "json":
            return _from_json(sql, VARCHAR)
    return f"CAST({sql} AS VARCHAR)" if source.is_integer else None


def _from_json(sql: str, target: Type) -> str | None:
    """Return what the value of a JSON document is as another type."""
    match target.name, target.args:
        case "json", _:
            return f"coalesce({sql}, 'null'::JSON)"
        case "array", (of,):
            items, item = f"trino_json_items({sql})", _from_json("item", of)
            if of == JSON:
                return items
            return item and f"list_transform({items}, lambda item: {item})"
        case "map", (key, of) if key == VARCHAR:
            value = _from_json("item.value", of)
            entries = f"map_entries(CAST({sql} AS MAP(VARCHAR, JSON)))"
            many = (
                f"list_transform({entries}, lambda item: struct_pack(k := item.key, v := {value}))"
            )
            return (
                value and f"CASE WHEN json_type({sql}) <> 'NULL' THEN map_from_entries({many}) END"
            )
        case "row", fields:
            values = [
                (name, _from_json(f"json_extract({sql}, '$.\"{name}\"')", of))
                for name, of in fields
            ]
            if not all(value for _, value in values):
                return None
            packed = ", ".join(f"{quoted(name)} := {value}" for name, value in values)
            # a list has the fields by place, which is refused
            right = f"CAST(CAST({sql} AS MAP(VARCHAR, JSON)) AS VARCHAR) IS NOT NULL"
            return (
                f"CASE WHEN json_type({sql}) <> 'NULL' AND {right} THEN struct_pack({packed}) END"
            )
    return _scalar_from_json(sql, target)


def _scalar_from_json(sql: str, target: Type) -> str | None:
    text = f"({sql} ->> '$')"
    if target.name not in ("varchar", "boolean", "double", "decimal") and not target.is_integer:
        return None
    # neither a list nor an object is a scalar: to divide by 0 fails
    refused = f"1 // (0 * length(json_type({sql})))"
    if target == VARCHAR:
        other = f"CASE WHEN json_type({sql}) IN ('ARRAY', 'OBJECT', 'DOUBLE') THEN"
        return f"{other} CAST({refused} AS VARCHAR) ELSE {text} END"
    from_text = cast(text, VARCHAR, target)
    from_double = (
        from_text
        if target.name == "decimal"
        else cast(f"CAST({text} AS DOUBLE)", Type("double"), target)
    )
    number = (
        f"CAST({text} AS BIGINT) <> 0" if target == BOOLEAN else f"CAST({text} AS {target.duckdb})"
    )
    boolean = f"CAST(CAST({text} AS BOOLEAN) AS {target.duckdb})"
    failed = f"CAST({refused} AS {target.duckdb})"
    return (
        f"CASE json_type({sql}) WHEN 'VARCHAR' THEN {from_text} WHEN 'DOUBLE' THEN {from_double}"
        f" WHEN 'BOOLEAN' THEN {boolean} WHEN 'ARRAY' THEN {failed} WHEN 'OBJECT' THEN {failed}"
        f" ELSE {number} END"
    )


def _is_plain(type_: Type) -> bool:
    """Whether JSON has the value as it is: a double would be written in another way."""
    match type_.name, type_.args:
        case "array", (of,):
            return _is_plain(of) and of.name != "map"
        case "map", (key, of):
            return key == VARCHAR and _is_plain(of) and of.name != "map"
    return type_.name in ("varchar", "boolean", "json", "unknown") or type_.is_integer

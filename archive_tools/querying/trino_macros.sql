-- Each does what the function of Trino's does where DuckDB's own differs. What Trino refuses has to fail here
-- too: DuckDB's error() cannot be within TRY, so 1 is divided by 0.

CREATE MACRO trino_spaces() AS list_aggregate(list_transform([9, 10, 11, 12, 13, 28, 29, 30, 31, 32, 5760, 8192, 8193, 8194, 8195, 8196, 8197, 8198, 8200, 8201, 8202, 8232, 8233, 8287, 12288], lambda c: chr(c)), 'string_agg', '');
CREATE MACRO trino_check(fine) AS 1 // CASE WHEN fine IS DISTINCT FROM false THEN 1 ELSE 0 END;
CREATE MACRO trino_fits(x, pattern) AS CASE WHEN regexp_full_match(x, pattern) THEN x WHEN x IS NOT NULL THEN '?' END;
CREATE MACRO trino_integer(x) AS trino_fits(x, '[+-]?[0-9]+');
CREATE MACRO trino_number(x) AS regexp_replace(
    trino_fits(trim(x, trino_spaces()), '[+-]?(([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?[dDfF]?|NaN|Infinity)'),
    '([0-9.])[dDfF]$', '\1');
CREATE MACRO trino_decimal(x) AS trino_fits(x, '[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?');
CREATE MACRO trino_boolean(x) AS CASE WHEN lower(x) IN ('t', '1', 'true') THEN 'true'
    WHEN lower(x) IN ('f', '0', 'false') THEN 'false' WHEN x IS NOT NULL THEN '?' END;
CREATE MACRO trino_date(x) AS trino_fits(trim(x, trino_spaces()), '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}');
CREATE MACRO trino_timestamp(x) AS trino_fits(trim(x, trino_spaces()),
    '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}( [0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}([.][0-9]{1,6})?)?)?');
CREATE MACRO trino_milliseconds(x) AS date_trunc('millisecond', x + INTERVAL 500 MICROSECOND);
CREATE MACRO trino_only(texts) AS texts[trino_check(len(texts) = 1)];
-- the digits of a number as the document has them, which DuckDB forgets for all but whole numbers of 64 bits
CREATE MACRO trino_json_number(document, number) AS trino_only(list_distinct(list_filter(
    regexp_extract_all(regexp_replace(document, '"([^"\\]|\\.)*"', '', 'g'), '(?:^|[:\[,])\s*(-?[0-9]+(?:[.][0-9]+)?(?:[eE][+-]?[0-9]+)?)', 1),
    lambda text: NOT regexp_full_match(text, '-?[0-9]{1,18}') AND TRY_CAST(text AS DOUBLE) = CAST(number AS DOUBLE))));
-- of one path, or a list of many
CREATE MACRO trino_json(document, path) AS TRY(json_extract(document, path));
CREATE MACRO trino_json_scalars(document, found) AS list_transform(CAST(found AS VARCHAR[]), lambda item:
    CASE WHEN item[1] = '"' THEN item ->> '$' WHEN item IS NULL OR item[1] IN ('{', '[', 'n') THEN NULL
        WHEN item[1] IN ('t', 'f') OR NOT regexp_matches(item, '[.e]') THEN item
        ELSE trino_json_number(CAST(document AS VARCHAR), item) END);
CREATE MACRO trino_json_scalar(document, path) AS trino_json_scalars(document, trino_json(document, [path]))[1];
CREATE MACRO trino_json_items(document) AS list_transform([CAST(document AS VARCHAR)], lambda text:
    CASE WHEN text[1] = '[' THEN json_extract(text, '$[*]')
        WHEN text <> 'null' THEN [CAST(trino_check(text = 'null') AS JSON)] END)[1];
CREATE MACRO trino_json_array_length(x) AS CASE json_type(TRY_CAST(x AS JSON))
    WHEN 'ARRAY' THEN CAST(json_array_length(TRY_CAST(x AS JSON)) AS BIGINT) END;
CREATE MACRO trino_divide(a, b) AS (CASE WHEN (a < 0) = (b < 0) THEN 1 ELSE -1 END)
    * (abs(a) // abs(b) + CASE WHEN abs(a) % abs(b) >= abs(b) - abs(a) % abs(b) THEN 1 ELSE 0 END);
CREATE MACRO trino_unscaled(x) AS CAST(replace(CAST(x AS VARCHAR), '.', '') AS HUGEINT);
CREATE MACRO trino_from_iso8601(x) AS CAST(regexp_replace(trino_fits(x,
    '[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}(:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?)?(Z|[+-]00(:?00)?)?)?'),
    '([.,][0-9]{3})[0-9]+', '\1') AS TIMESTAMPTZ);
CREATE MACRO trino_from_iso8601_anywhere(x) AS CAST(regexp_replace(trino_fits(x,
    '[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}(:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?'),
    '([.,][0-9]{3})[0-9]+', '\1') AS TIMESTAMPTZ);
CREATE MACRO trino_from_unixtime(x) AS timezone('UTC', make_timestamp(CAST(floor(x * 1000 + 0.5e0) AS BIGINT) * 1000));
CREATE MACRO trino_upper(x) AS replace(upper(replace(x, 'ß', chr(57344))), chr(57344), 'ß');
CREATE MACRO trino_not_empty(x) AS substr(x, trino_check(x IS NULL OR x <> ''));
CREATE MACRO trino_replace(x, old, new) AS replace(x, trino_not_empty(old), new);
CREATE MACRO trino_substr(x, start) AS CASE WHEN start = 0 OR abs(start) > length(x) THEN '' ELSE substr(x, start) END;
CREATE MACRO trino_substr_length(x, start, n) AS CASE WHEN start = 0 OR abs(start) > length(x) OR n <= 0 THEN ''
    ELSE substr(x, start, n) END;
CREATE MACRO trino_split(x, delimiter) AS CASE WHEN delimiter IS NOT NULL THEN string_split(x, trino_not_empty(delimiter)) END;
CREATE MACRO trino_split_part(x, delimiter, n) AS trino_split(x, delimiter)[n * trino_check(n > 0)];
CREATE MACRO trino_element_at(x, n) AS x[n * trino_check(n <> 0)];
CREATE MACRO trino_subscript(x, n) AS x[n * trino_check(x IS NULL OR n IS NULL OR n BETWEEN 1 AND len(x))];
CREATE MACRO trino_slice(x, start, n) AS CASE WHEN n = 0 OR abs(start) > len(x) THEN list_slice(x, 1, 0)
    WHEN start < 0 THEN list_slice(x, len(x) + start + 1, len(x) + start + n * trino_check(n >= 0))
    ELSE list_slice(x, start * trino_check(start <> 0), start + n * trino_check(n >= 0) - 1) END;
CREATE MACRO trino_contains(x, item) AS CASE WHEN item IS NULL THEN NULL WHEN list_contains(x, item) THEN true
    WHEN len(list_filter(x, lambda i: i IS NULL)) > 0 THEN NULL WHEN x IS NOT NULL THEN false END;
CREATE MACRO trino_array_position(x, item) AS CASE WHEN x IS NOT NULL AND item IS NOT NULL
    THEN CAST(coalesce(list_position(x, item), 0) AS BIGINT) END;
CREATE MACRO trino_regexp_extract(x, pattern, n) AS CASE WHEN regexp_matches(x, pattern)
    THEN regexp_extract(x, pattern, CAST(n AS INTEGER)) END;
CREATE MACRO trino_sequence(a, b, step) AS generate_series(a, b, step * trino_check(
    coalesce(step <> 0 AND (a = b OR (a < b) = (step > 0)), true)
    AND coalesce(abs(CAST(b AS HUGEINT) - a) // greatest(abs(CAST(step AS HUGEINT)), 1) < 10000, true)));
CREATE MACRO trino_whole_days(step) AS to_days(CAST(epoch(step) AS INTEGER) // 86400 * trino_check(epoch(step) % 86400 = 0));
CREATE MACRO trino_times(a, b, step) AS list_transform(
    trino_sequence(0, epoch_us(b) - epoch_us(a), CAST(epoch(step) * 1000000 AS BIGINT)), lambda i: a + to_microseconds(i));
CREATE MACRO trino_months(a, b, step) AS list_transform(trino_sequence(0, date_sub('month', a, b),
    (date_part('year', step) * 12 + date_part('month', step)) * trino_check(a = b OR (a < b) = (step > INTERVAL 0 MONTH))),
    lambda i: a + to_months(CAST(i AS INTEGER)));
CREATE MACRO trino_ln(x) AS CASE WHEN x = 0 THEN CAST('-Infinity' AS DOUBLE) WHEN x < 0 THEN CAST('NaN' AS DOUBLE) ELSE ln(x) END;
CREATE MACRO trino_sqrt(x) AS CASE WHEN x < 0 THEN CAST('NaN' AS DOUBLE) ELSE sqrt(x) END;
CREATE MACRO trino_array_max(x) AS CASE WHEN len(x) = list_count(x) THEN list_max(x) END;
CREATE MACRO trino_array_min(x) AS CASE WHEN len(x) = list_count(x) THEN list_min(x) END;
CREATE MACRO trino_interval(unit, n) AS CASE unit WHEN 'millisecond' THEN to_microseconds(n * 1000)
    WHEN 'second' THEN to_seconds(n) WHEN 'minute' THEN to_minutes(n) WHEN 'hour' THEN to_hours(n)
    WHEN 'day' THEN to_days(CAST(n AS INTEGER)) WHEN 'week' THEN to_days(CAST(n * 7 AS INTEGER))
    WHEN 'month' THEN to_months(CAST(n AS INTEGER)) WHEN 'quarter' THEN to_months(CAST(n * 3 AS INTEGER))
    WHEN 'year' THEN to_years(CAST(n AS INTEGER)) END;

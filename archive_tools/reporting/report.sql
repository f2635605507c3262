-- All figures of a report, in Athena's dialect. statistics.py fills in the names in braces, and appends
-- the UNION ALL of the parts that come after `deliveries`. DuckDB keeps the rows of `deliveries`, which
-- all parts use, and reads the archive once; Athena reads it again for each part.
WITH records AS (
  SELECT
    id, type, source, received_at, created, livemode, payload_bytes, folder, arrived,
    json_extract_scalar(charge, '$.data.object.captured') = 'true' AS is_captured,
    json_extract_scalar(charge, '$.data.object.currency') AS currency,
    -- money as in queries/revenue_by_day.sql
    IF(type = 'charge.refunded', 0,
      TRY_CAST(json_extract_scalar(charge, '$.data.object.amount_captured') AS bigint)) AS captured,
    IF(type = 'charge.refunded',
      TRY_CAST(json_extract_scalar(charge, '$.data.object.amount_refunded') AS bigint) - coalesce(
        TRY_CAST(json_extract_scalar(charge, '$.data.previous_attributes.amount_refunded') AS bigint),
        0), 0) AS refunded
  FROM (
    SELECT
      id, type, source, received_at, created, livemode,
      length(to_utf8(payload)) AS payload_bytes,
      year || '-' || month || '-' || day AS folder,
      TRY_CAST(replace(substr(received_at, 1, 23), 'T', ' ') AS timestamp(3)) AS arrived,
      IF(account IS NULL AND type IN ('charge.succeeded', 'charge.captured', 'charge.refunded'),
        payload) AS charge
    FROM stripe_webhooks
    WHERE year || '-' || month || '-' || day BETWEEN '{scan_first}' AND '{scan_last}'
  )
),
-- after the payloads are read, so that the window sorts small rows
numbered AS (
  SELECT *, row_number() OVER (PARTITION BY id ORDER BY received_at) AS arrival FROM records
),
deliveries AS (
  SELECT
    id, type, source, created, livemode, payload_bytes, arrived,
    is_captured, currency, captured, refunded,
    coalesce(CAST(CAST(arrived AS date) AS varchar), folder) AS day,
    -- a payload can claim any time: up to the year 9999 it counts
    IF(source = 'webhook' AND created BETWEEN 0 AND 253402300799,
      to_unixtime(arrived) - created) AS delay,
    id IS NULL OR arrival = 1 AS is_first
  FROM numbered
),
days AS (
  SELECT
    day,
    count(*) AS deliveries,
    count_if(is_first AND id IS NOT NULL) AS events,
    count_if(id IS NULL) AS without_id,
    count_if(NOT is_first) AS copies,
    count(DISTINCT IF(NOT is_first, id)) AS repeated,
    count_if(is_first AND delay > {late_s}) AS late,
    count_if(source = 'events_api') AS from_api,
    sum(payload_bytes) AS payload_bytes,
    approx_percentile(IF(is_first, delay), 0.5) AS first_p50,
    approx_percentile(IF(is_first, delay), 0.95) AS first_p95,
    approx_percentile(IF(is_first, delay), 0.99) AS first_p99,
    approx_percentile(delay, 0.5) AS every_p50,
    approx_percentile(delay, 0.95) AS every_p95,
    approx_percentile(delay, 0.99) AS every_p99
  FROM deliveries
  WHERE day BETWEEN '{first}' AND '{last}'
  GROUP BY GROUPING SETS ((day), ())
),
types AS (
  SELECT
    day, IF(rank <= {shown_types}, rank, {shown_types} + 1) AS rank,
    IF(rank <= {shown_types}, type) AS type, sum(n) AS deliveries, max(rank) AS last_rank
  FROM (
    SELECT day, type, n, dense_rank() OVER (ORDER BY total DESC, type) AS rank
    FROM (
      SELECT day, type, n, sum(n) OVER (PARTITION BY type) AS total
      FROM (
        SELECT day, type, count(*) AS n
        FROM deliveries
        WHERE day BETWEEN '{first}' AND '{last}'
        GROUP BY 1, 2
      )
    )
  )
  GROUP BY 1, 2, 3
),
-- what a tool fetched from the Events API must not hide the silence that it was fetched for
hours AS (
  SELECT day, hour(arrived) AS hour, count(*) AS deliveries
  FROM deliveries
  WHERE day BETWEEN '{first}' AND '{last}' AND arrived IS NOT NULL
    AND coalesce(source, '') <> 'events_api'
  GROUP BY 1, 2
),
unusual AS (
  SELECT id, type, arrivals, earliest, latest, delay, is_late
  FROM (
    SELECT *,
      row_number() OVER (ORDER BY arrivals DESC, earliest, id) AS repeated_rank,
      row_number() OVER (PARTITION BY is_late ORDER BY delay DESC, id) AS late_rank
    FROM (
      SELECT
        id, max(type) AS type, count(*) AS arrivals, min(arrived) AS earliest,
        max(arrived) AS latest, min(delay) AS delay,
        coalesce(min(delay) > {late_s} AND min(day) >= '{first}', FALSE) AS is_late
      FROM deliveries
      WHERE id IS NOT NULL AND arrived IS NOT NULL AND day <= '{last}'
      GROUP BY id
      HAVING max(day) >= '{first}' AND (count(*) > 1 OR min(delay) > {late_s})
    )
  )
  WHERE (arrivals > 1 AND repeated_rank <= {shown_events})
    OR (is_late AND late_rank <= {shown_events})
),
money AS (
  SELECT
    day, livemode, currency, max(minor_unit) AS minor_unit, count(*) AS movements,
    sum(captured * minor_unit) AS gross, sum(refunded * minor_unit) AS refunded
  FROM (
    SELECT
      livemode, currency, captured, refunded,
      CAST(CAST(TIMESTAMP '1970-01-01 00:00:00.000' + created * INTERVAL '1' SECOND AS date)
        AS varchar) AS day,
      CAST({minor_unit} AS decimal(4, 3)) AS minor_unit
    FROM deliveries
    WHERE is_captured AND is_first AND id IS NOT NULL
      AND created BETWEEN {first_second} AND {last_second}
  )
  GROUP BY 1, 2, 3
)

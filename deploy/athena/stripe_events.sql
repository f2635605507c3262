-- Makes the view stripe_events: one row an event id, its earliest arrival.
-- What cannot be read out of a payload is NULL. Times are UTC, without a zone, which is why none is cast
-- from one that has a zone.
--
-- A filter on year, month or day of this view does not reduce what is scanned: the earliest arrival of
-- an event can lie in any day. docs/QUERYING.md says how to bound a query.
--
-- Decimals of currencies: https://docs.stripe.com/currencies. Stripe lists ugx without decimals, but
-- gives its amounts, like those of isk, in hundredths.
CREATE OR REPLACE VIEW stripe_events AS
SELECT
  id, type, created_at, received_at, livemode, account, api_version, source,
  object_type, object_id,
  CASE WHEN object_type = 'customer' THEN object_id ELSE customer END AS customer,
  status, amount, currency, minor_unit,
  CAST(CAST(amount AS decimal(19, 0)) * minor_unit AS decimal(38, 3)) AS amount_major,
  payload, year, month, day
FROM (
  SELECT *,
    CAST(CASE
      WHEN currency IS NULL THEN NULL
      WHEN currency IN ('bif', 'clp', 'djf', 'gnf', 'jpy', 'kmf', 'krw', 'mga', 'pyg', 'rwf', 'vnd',
        'vuv', 'xaf', 'xof', 'xpf') THEN DECIMAL '1.000'
      WHEN currency IN ('bhd', 'jod', 'kwd', 'omr', 'tnd') THEN DECIMAL '0.001'
      ELSE DECIMAL '0.010'
    END AS decimal(4, 3)) AS minor_unit
  FROM (
    SELECT
      id, type, livemode, account, api_version, source, payload, year, month, day,
      -- up to the year 9999: a payload can claim any number
      CAST(IF(created BETWEEN 0 AND 253402300799,
        TIMESTAMP '1970-01-01 00:00:00.000' + created * INTERVAL '1' SECOND) AS timestamp(3))
        AS created_at,
      TRY_CAST(replace(substr(received_at, 1, 23), 'T', ' ') AS timestamp(3)) AS received_at,
      json_extract_scalar(payload, '$.data.object.object') AS object_type,
      json_extract_scalar(payload, '$.data.object.id') AS object_id,
      json_extract_scalar(payload, '$.data.object.customer') AS customer,
      json_extract_scalar(payload, '$.data.object.status') AS status,
      TRY_CAST(coalesce(
        json_extract_scalar(payload, '$.data.object.amount'),
        json_extract_scalar(payload, '$.data.object.amount_total'),
        json_extract_scalar(payload, '$.data.object.total')) AS bigint) AS amount,
      json_extract_scalar(payload, '$.data.object.currency') AS currency,
      row_number() OVER (PARTITION BY id ORDER BY received_at) AS arrival
    FROM stripe_webhooks
    WHERE id IS NOT NULL
  )
)
WHERE arrival = 1

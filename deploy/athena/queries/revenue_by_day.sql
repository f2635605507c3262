-- How much money came in each day, by currency, and how much was refunded?
-- To change: the number of days.
-- Counted: captured charges of your own account, on the day of the capture; refunds of them, on the day
-- of the refund. Not counted: fees, disputes, refunds that fail later, connected accounts, money that
-- moves without a charge.
SELECT
  CAST(created_at AS date) AS day, livemode, currency,
  sum(captured * minor_unit) AS gross, sum(refunded * minor_unit) AS refunded,
  sum((captured - refunded) * minor_unit) AS net
FROM (
  SELECT
    created_at, livemode, currency, minor_unit,
    IF(type = 'charge.refunded', 0,
      TRY_CAST(json_extract_scalar(payload, '$.data.object.amount_captured') AS bigint)) AS captured,
    -- amount_refunded is the sum so far
    IF(type = 'charge.refunded',
      TRY_CAST(json_extract_scalar(payload, '$.data.object.amount_refunded') AS bigint) - coalesce(
        TRY_CAST(json_extract_scalar(payload, '$.data.previous_attributes.amount_refunded') AS bigint),
        0), 0) AS refunded
  FROM stripe_events
  WHERE type IN ('charge.succeeded', 'charge.captured', 'charge.refunded')
    -- neither an authorisation nor its release moves money
    AND json_extract_scalar(payload, '$.data.object.captured') = 'true'
    AND account IS NULL
    AND created_at >= current_date - INTERVAL '30' DAY
)
GROUP BY 1, 2, 3
ORDER BY 1 DESC, 2 DESC, 3

-- Which charges were refunded or disputed, and how much of each?
-- To change: the number of days.
SELECT
  created_at, livemode, type,
  coalesce(json_extract_scalar(payload, '$.data.object.charge'), object_id) AS charge,
  -- of a refund this one's part, in the view's unit; a dispute has its own amount
  CASE
    WHEN type <> 'charge.refunded' THEN amount_major
    ELSE (TRY_CAST(json_extract_scalar(payload, '$.data.object.amount_refunded') AS bigint) - coalesce(
        TRY_CAST(json_extract_scalar(payload, '$.data.previous_attributes.amount_refunded') AS bigint), 0))
      * minor_unit
  END AS amount_major,
  currency, customer, status,
  json_extract_scalar(payload, '$.data.object.reason') AS dispute_reason
FROM stripe_events
WHERE type IN ('charge.refunded', 'charge.dispute.created', 'charge.dispute.closed')
  -- the release of an authorisation is no refund
  AND coalesce(json_extract_scalar(payload, '$.data.object.captured'), 'true') = 'true'
  AND created_at >= current_date - INTERVAL '30' DAY
ORDER BY created_at DESC, charge

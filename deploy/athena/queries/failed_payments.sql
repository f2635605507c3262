-- Which payments failed, why, of whom, and how much was it?
-- To change: the number of days. A payment that never became a charge is not here.
SELECT
  created_at, livemode, customer, amount_major, currency,
  json_extract_scalar(payload, '$.data.object.failure_code') AS failure_code,
  json_extract_scalar(payload, '$.data.object.outcome.reason') AS reason,
  json_extract_scalar(payload, '$.data.object.outcome.type') AS outcome,
  object_id AS charge
FROM stripe_events
WHERE type = 'charge.failed'
  AND created_at >= current_date - INTERVAL '30' DAY
ORDER BY created_at DESC, charge

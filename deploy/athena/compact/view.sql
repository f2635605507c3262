-- Makes the view stripe_events over the compacted events, with what has arrived since on top.
-- `flask archive compact` runs this after each merge, with the query of stripe_events.sql over the
-- days that can have got objects since in the place of arrivals_replace_me.
--
-- It takes the place of the view that the stack has made, with the same columns and rows. A stack
-- update, or `terraform apply`, puts the stack's own view back, which reads all objects: the next
-- run makes this one again.
--
-- What arrives now was made at most 30 days ago, since Stripe keeps no event for longer. So only
-- the last weeks of the table are looked through for it; what claims to be older is in the view from
-- the next run on.
CREATE OR REPLACE VIEW stripe_events AS
SELECT
  id, type, CAST(created_at AS timestamp(3)) AS created_at,
  CAST(received_at AS timestamp(3)) AS received_at, livemode, account, api_version, source,
  object_type, object_id, customer, status, amount, currency, minor_unit, amount_major, payload,
  year, month, day
FROM stripe_events_compacted
UNION ALL
SELECT
  arrived.id, type, created_at, received_at, livemode, account, api_version, source, object_type,
  object_id, customer, status, amount, currency, minor_unit, amount_major, payload, year, month, day
FROM (arrivals_replace_me) AS arrived
LEFT JOIN (
  SELECT id, true AS is_compacted FROM stripe_events_compacted
  WHERE received_at >= TIMESTAMP 'oldest_replace_me' OR received_at IS NULL
) AS known ON arrived.id = known.id
WHERE is_compacted IS NULL
  AND (created_at >= TIMESTAMP 'oldest_replace_me' OR created_at IS NULL)

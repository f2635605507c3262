-- Which states of Stripe's objects does the archive hold?
--
-- One row for each object and event: the object as the event carries it (`data.object`), as of the
-- event's `created`. One row for each object and snapshot, as of `snapshot_at`. API versions before
-- 2022-11-15 embed the refunds of a charge: each is a state of the refund as of the charge's event.
-- Thin events carry no object, and `invoice.upcoming` carries a preview: neither is here. The objects
-- are those that the models read.
--
-- Columns:
--   account: connected account; null for the own account
--   as_of: time of the state, UTC
--   event_id: event that carries the state; null for a snapshot
--   type: type of the event; null for a snapshot
--   source: webhook, events_api or snapshot
--   received_at: earliest arrival of the event, UTC; of a snapshot, its time
--   data: the object as JSON text
--   previous: `previous_attributes` of the event as JSON text; null without
--   state_key: tells the states of an object apart: the event id, or time and checksum of a snapshot
--   is_id_only: whether the object carries nothing but its id, as some deletions do
CREATE OR REPLACE VIEW object_events AS
SELECT
  account, livemode, object_type AS object, object_id AS id, created_at AS as_of,
  id AS event_id, type, api_version, source, received_at,
  json_format(json_extract(payload, '$.data.object')) AS data,
  json_format(json_extract(payload, '$.data.previous_attributes')) AS previous,
  id AS state_key,
  -- id, object and deleted
  CASE WHEN type LIKE '%.deleted'
    THEN cardinality(CAST(json_extract(payload, '$.data.object') AS map(varchar, json))) <= 3
    ELSE false END AS is_id_only
FROM stripe_events
WHERE object_type IN ('balance_transaction', 'charge', 'checkout.session', 'coupon', 'credit_note',
    'customer', 'discount', 'dispute', 'invoice', 'invoice_payment', 'payment_intent', 'payout',
    'price', 'product', 'refund', 'subscription')
  AND object_id IS NOT NULL AND created_at IS NOT NULL AND type <> 'invoice.upcoming'
UNION ALL
SELECT
  account, livemode, 'refund', json_extract_scalar(refund, '$.id'), created_at,
  id, type, api_version, source, received_at, json_format(refund), NULL, id, false
FROM stripe_events
CROSS JOIN UNNEST(CAST(json_extract(payload, '$.data.object.refunds.data') AS array(json)))
  AS refunds (refund)
WHERE coalesce(api_version, '') < '2022-11-15' AND object_type = 'charge' AND created_at IS NOT NULL
UNION ALL
-- the same row twice is one state
SELECT DISTINCT
  account, livemode, object, id, as_of, CAST(NULL AS varchar), CAST(NULL AS varchar), api_version,
  'snapshot', as_of, payload, CAST(NULL AS varchar),
  snapshot_at || ' ' || coalesce(account, '') || ' ' || to_hex(md5(to_utf8(payload))), false
FROM (
  SELECT *, TRY_CAST(replace(substr(snapshot_at, 1, 23), 'T', ' ') AS timestamp(3)) AS as_of
  FROM stripe_snapshots
)
WHERE id IS NOT NULL AND payload IS NOT NULL AND as_of IS NOT NULL

-- What are the subscriptions for, at which price?
--
-- One row for each item of a subscription's latest state. An item that this state no longer has is
-- gone. Stripe embeds the first ten items: subscriptions.items_complete says whether there were more.
-- Of a subscription that is cancelled the items stay; `status` says so.
--
-- Columns:
--   status: of the subscription
--   unit_amount: in the smallest unit of `currency`; null for tiers and for fractions of that unit
--   unit_amount_decimal: the same with up to 12 decimals; null for tiers
--   quantity: null for metered prices
CREATE OR REPLACE VIEW subscription_items AS
SELECT
  account, livemode,
  json_extract_scalar(item, '$.id') AS id,
  id AS subscription,
  customer,
  status,
  coalesce(json_extract_scalar(item, '$.price.product'),
    json_extract_scalar(item, '$.plan.product')) AS product,
  coalesce(json_extract_scalar(item, '$.price.id'), json_extract_scalar(item, '$.plan.id'))
    AS price,
  TRY_CAST(json_extract_scalar(item, '$.quantity') AS bigint) AS quantity,
  coalesce(json_extract_scalar(item, '$.price.currency'),
    json_extract_scalar(item, '$.plan.currency')) AS currency,
  TRY_CAST(coalesce(json_extract_scalar(item, '$.price.unit_amount'),
    json_extract_scalar(item, '$.plan.amount')) AS bigint) AS unit_amount,
  TRY_CAST(coalesce(json_extract_scalar(item, '$.price.unit_amount_decimal'),
    json_extract_scalar(item, '$.plan.amount_decimal')) AS decimal(26,12)) AS unit_amount_decimal,
  coalesce(json_extract_scalar(item, '$.price.billing_scheme'),
    json_extract_scalar(item, '$.plan.billing_scheme')) AS billing_scheme,
  coalesce(json_extract_scalar(item, '$.price.tiers_mode'),
    json_extract_scalar(item, '$.plan.tiers_mode')) AS tiers_mode,
  coalesce(json_extract_scalar(item, '$.price.recurring.interval'),
    json_extract_scalar(item, '$.plan.interval')) AS recurring_interval,
  TRY_CAST(coalesce(json_extract_scalar(item, '$.price.recurring.interval_count'),
    json_extract_scalar(item, '$.plan.interval_count')) AS bigint) AS recurring_interval_count,
  coalesce(json_extract_scalar(item, '$.price.recurring.usage_type'),
    json_extract_scalar(item, '$.plan.usage_type')) AS recurring_usage_type,
  TRY_CAST(coalesce(json_extract_scalar(item, '$.price.transform_quantity.divide_by'),
    json_extract_scalar(item, '$.plan.transform_usage.divide_by')) AS bigint)
    AS transform_quantity_divide_by,
  coalesce(json_extract_scalar(item, '$.price.transform_quantity.round'),
    json_extract_scalar(item, '$.plan.transform_usage.round')) AS transform_quantity_round,
  coalesce(
    nullif(json_format(CAST(transform(TRY_CAST(json_extract(item, '$.discounts') AS array(json)),
      d -> coalesce(json_extract_scalar(d, '$.id'), json_extract_scalar(d, '$'))) AS json)), '[]'),
    '["' || json_extract_scalar(item, '$.discount.id') || '"]',
    '[]') AS discounts,
  json_format(json_extract(item, '$.metadata')) AS metadata,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(item, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  CAST(from_unixtime(TRY_CAST(coalesce(json_extract_scalar(item, '$.current_period_start'),
    period_start) AS bigint)) AS timestamp(3))
    AS current_period_start_at,
  CAST(from_unixtime(TRY_CAST(coalesce(json_extract_scalar(item, '$.current_period_end'),
    period_end) AS bigint)) AS timestamp(3))
    AS current_period_end_at,
  is_deleted, as_of, event_id, api_version, source
FROM (
  SELECT account, livemode, id, is_deleted, as_of, event_id, api_version, source,
    json_extract_scalar(data, '$.customer') AS customer,
    json_extract_scalar(data, '$.status') AS status,
    json_extract_scalar(data, '$.current_period_start') AS period_start,
    json_extract_scalar(data, '$.current_period_end') AS period_end,
    TRY_CAST(json_extract(data, '$.items.data') AS array(json)) AS list
  FROM object_states
  WHERE object = 'subscription' AND is_latest
)
CROSS JOIN UNNEST(list) AS items (item)

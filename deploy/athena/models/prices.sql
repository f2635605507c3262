-- What do the products cost?
--
-- One row for each price, with the latest state that the archive knows.
--
-- Columns:
--   unit_amount: in the smallest unit of `currency`; null for tiers and for fractions of that unit
--   unit_amount_decimal: the same with up to 12 decimals; null for tiers
CREATE OR REPLACE VIEW prices AS
SELECT
  account, livemode, id,
  json_extract_scalar(data, '$.product') AS product,
  TRY_CAST(json_extract_scalar(data, '$.active') AS boolean) AS active,
  json_extract_scalar(data, '$.nickname') AS nickname,
  json_extract_scalar(data, '$.lookup_key') AS lookup_key,
  json_extract_scalar(data, '$.currency') AS currency,
  TRY_CAST(json_extract_scalar(data, '$.unit_amount') AS bigint) AS unit_amount,
  TRY_CAST(json_extract_scalar(data, '$.unit_amount_decimal') AS decimal(26,12))
    AS unit_amount_decimal,
  json_extract_scalar(data, '$.type') AS type,
  json_extract_scalar(data, '$.billing_scheme') AS billing_scheme,
  json_extract_scalar(data, '$.tiers_mode') AS tiers_mode,
  json_extract_scalar(data, '$.recurring.interval') AS recurring_interval,
  TRY_CAST(json_extract_scalar(data, '$.recurring.interval_count') AS bigint)
    AS recurring_interval_count,
  json_extract_scalar(data, '$.recurring.usage_type') AS recurring_usage_type,
  json_extract_scalar(data, '$.recurring.meter') AS recurring_meter,
  TRY_CAST(json_extract_scalar(data, '$.recurring.trial_period_days') AS bigint)
    AS recurring_trial_period_days,
  TRY_CAST(json_extract_scalar(data, '$.transform_quantity.divide_by') AS bigint)
    AS transform_quantity_divide_by,
  json_extract_scalar(data, '$.transform_quantity.round') AS transform_quantity_round,
  json_extract_scalar(data, '$.tax_behavior') AS tax_behavior,
  json_format(json_extract(data, '$.metadata')) AS metadata,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  is_deleted, as_of, event_id, api_version, source
FROM object_states
WHERE object = 'price' AND is_latest

-- Which coupons are there, and how often were they redeemed?
--
-- One row for each coupon, with the latest state that the archive knows.
CREATE OR REPLACE VIEW coupons AS
SELECT
  account, livemode, id,
  json_extract_scalar(data, '$.name') AS name,
  TRY_CAST(json_extract_scalar(data, '$.percent_off') AS decimal(12,8)) AS percent_off,
  TRY_CAST(json_extract_scalar(data, '$.amount_off') AS bigint) AS amount_off,
  json_extract_scalar(data, '$.currency') AS currency,
  json_extract_scalar(data, '$.duration') AS duration,
  TRY_CAST(json_extract_scalar(data, '$.duration_in_months') AS bigint) AS duration_in_months,
  TRY_CAST(json_extract_scalar(data, '$.max_redemptions') AS bigint) AS max_redemptions,
  TRY_CAST(json_extract_scalar(data, '$.times_redeemed') AS bigint) AS times_redeemed,
  TRY_CAST(json_extract_scalar(data, '$.valid') AS boolean) AS valid,
  nullif(json_format(json_extract(data, '$.applies_to.products')), 'null') AS applies_to_products,
  json_format(json_extract(data, '$.metadata')) AS metadata,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.redeem_by') AS bigint)) AS timestamp(3)) AS redeem_by_at,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  is_deleted, as_of, event_id, api_version, source
FROM object_states
WHERE object = 'coupon' AND is_latest

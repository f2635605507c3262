-- What does each discount take off?
--
-- Newer API versions carry a discount as an id, and its coupon as another one. Each is looked up: a
-- discount wherever an object holds one (customer.discount.… events, customers, subscriptions and
-- their items, invoices and their lines), a coupon in a discount, in coupon.… events
-- and snapshots. The terms of a coupon do not change, so any state of it serves.
--
-- A discount whose coupon was never seen has no duration.
--
-- Columns:
--   coupon: id of the coupon
--   duration: forever, repeating or once; null where the coupon is unknown
--   percent_off: of 100, to 8 decimals
--   amount_off: in the smallest unit of currency
--   currency_options: JSON, what it takes off in other currencies, where Stripe was asked for them
CREATE OR REPLACE VIEW discount_terms AS
WITH holders AS (
  -- few objects hold a coupon, and the text of one that does not need not be parsed
  SELECT account, livemode, object, data
  FROM object_states
  WHERE object = 'coupon'
    OR (object IN ('customer', 'discount', 'invoice', 'subscription')
      AND strpos(data, '"coupon"') > 0)
),
found AS (
  SELECT account, livemode, found
  FROM holders
  CROSS JOIN UNNEST(
    ARRAY[IF(object IN ('coupon', 'discount'), json_parse(data)),
      json_extract(data, '$.discount'), json_extract(data, '$.coupon')]
      || coalesce(TRY_CAST(json_extract(data, '$.discounts') AS array(json)), ARRAY[])
      || flatten(transform(
        coalesce(TRY_CAST(json_extract(data, '$.items.data') AS array(json)), ARRAY[])
          || coalesce(TRY_CAST(json_extract(data, '$.lines.data') AS array(json)), ARRAY[]),
        part -> coalesce(TRY_CAST(json_extract(part, '$.discounts') AS array(json)), ARRAY[])))
  ) AS t (found)
),
discounts_and_coupons AS (
  SELECT
    account, livemode,
    IF(json_extract_scalar(found, '$.object') = 'discount', json_extract_scalar(found, '$.id'))
      AS discount,
    IF(json_extract_scalar(found, '$.object') = 'coupon', found, coalesce(
      IF(json_extract_scalar(found, '$.coupon.id') IS NOT NULL, json_extract(found, '$.coupon')),
      IF(json_extract_scalar(found, '$.source.coupon.id') IS NOT NULL,
        json_extract(found, '$.source.coupon')))) AS coupon,
    coalesce(json_extract_scalar(found, '$.coupon'), json_extract_scalar(found, '$.source.coupon'))
      AS coupon_id
  FROM found
  WHERE json_extract_scalar(found, '$.object') IN ('coupon', 'discount')
),
terms AS (
  SELECT
    account, livemode, discount,
    coalesce(coupon_id, json_extract_scalar(coupon, '$.id')) AS coupon,
    json_extract_scalar(coupon, '$.duration') AS duration,
    TRY_CAST(json_extract_scalar(coupon, '$.percent_off') AS decimal(11, 8)) AS percent_off,
    TRY_CAST(json_extract_scalar(coupon, '$.amount_off') AS bigint) AS amount_off,
    json_extract_scalar(coupon, '$.currency') AS currency,
    json_format(json_extract(coupon, '$.currency_options')) AS currency_options
  FROM discounts_and_coupons
)
SELECT
  account, livemode, discount, max(coupon) AS coupon, max(duration) AS duration,
  max(percent_off) AS percent_off, max(amount_off) AS amount_off, max(currency) AS currency,
  max(currency_options) AS currency_options
FROM (
  SELECT
    account, livemode, discount, coupon, max(duration) OVER same AS duration,
    max(percent_off) OVER same AS percent_off, max(amount_off) OVER same AS amount_off,
    max(currency) OVER same AS currency, max(currency_options) OVER same AS currency_options
  FROM terms
  WINDOW same AS (PARTITION BY account, livemode, coupon)
)
WHERE discount IS NOT NULL
GROUP BY account, livemode, discount

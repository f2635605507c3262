-- Which checkouts were begun and completed?
--
-- One row for each Checkout session, with the latest state that the archive knows. Amounts are in the
-- smallest unit of `currency`.
CREATE OR REPLACE VIEW checkout_sessions AS
SELECT
  account, livemode, id,
  json_extract_scalar(data, '$.mode') AS mode,
  json_extract_scalar(data, '$.status') AS status,
  json_extract_scalar(data, '$.payment_status') AS payment_status,
  json_extract_scalar(data, '$.currency') AS currency,
  TRY_CAST(json_extract_scalar(data, '$.amount_subtotal') AS bigint) AS amount_subtotal,
  TRY_CAST(json_extract_scalar(data, '$.amount_total') AS bigint) AS amount_total,
  TRY_CAST(json_extract_scalar(data, '$.total_details.amount_discount') AS bigint)
    AS total_details_amount_discount,
  TRY_CAST(json_extract_scalar(data, '$.total_details.amount_tax') AS bigint)
    AS total_details_amount_tax,
  TRY_CAST(json_extract_scalar(data, '$.total_details.amount_shipping') AS bigint)
    AS total_details_amount_shipping,
  json_extract_scalar(data, '$.customer') AS customer,
  coalesce(json_extract_scalar(data, '$.customer_email'),
    json_extract_scalar(data, '$.customer_details.email')) AS customer_email,
  json_extract_scalar(data, '$.client_reference_id') AS client_reference_id,
  json_extract_scalar(data, '$.payment_intent') AS payment_intent,
  json_extract_scalar(data, '$.subscription') AS subscription,
  json_extract_scalar(data, '$.invoice') AS invoice,
  json_extract_scalar(data, '$.setup_intent') AS setup_intent,
  json_extract_scalar(data, '$.payment_link') AS payment_link,
  json_extract_scalar(data, '$.locale') AS locale,
  json_extract_scalar(data, '$.recovered_from') AS recovered_from,
  json_format(json_extract(data, '$.metadata')) AS metadata,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.expires_at') AS bigint)) AS timestamp(3)) AS expires_at,
  is_deleted, as_of, event_id, api_version, source
FROM object_states
WHERE object = 'checkout.session' AND is_latest

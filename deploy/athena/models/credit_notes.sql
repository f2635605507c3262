-- Which credit notes reduce which invoices?
--
-- One row for each credit note, with the latest state that the archive knows. Amounts are in the
-- smallest unit of `currency`.
--
-- Columns:
--   refund: the first refund
--   tax: sum of the taxes; null without any
CREATE OR REPLACE VIEW credit_notes AS
SELECT
  account, livemode, id,
  json_extract_scalar(data, '$.number') AS number,
  json_extract_scalar(data, '$.invoice') AS invoice,
  json_extract_scalar(data, '$.customer') AS customer,
  json_extract_scalar(data, '$.status') AS status,
  json_extract_scalar(data, '$.type') AS type,
  json_extract_scalar(data, '$.reason') AS reason,
  json_extract_scalar(data, '$.memo') AS memo,
  json_extract_scalar(data, '$.currency') AS currency,
  TRY_CAST(json_extract_scalar(data, '$.amount') AS bigint) AS amount,
  TRY_CAST(json_extract_scalar(data, '$.subtotal') AS bigint) AS subtotal,
  TRY_CAST(json_extract_scalar(data, '$.subtotal_excluding_tax') AS bigint)
    AS subtotal_excluding_tax,
  TRY_CAST(json_extract_scalar(data, '$.discount_amount') AS bigint) AS discount_amount,
  TRY_CAST(json_extract_scalar(data, '$.total') AS bigint) AS total,
  TRY_CAST(json_extract_scalar(data, '$.total_excluding_tax') AS bigint) AS total_excluding_tax,
  coalesce(
    reduce(TRY_CAST(json_extract(data, '$.tax_amounts') AS array(json)), CAST(NULL AS bigint),
      (s, x) -> coalesce(s, 0) + TRY_CAST(json_extract_scalar(x, '$.amount') AS bigint), s -> s),
    reduce(TRY_CAST(json_extract(data, '$.total_taxes') AS array(json)), CAST(NULL AS bigint),
      (s, x) -> coalesce(s, 0) + TRY_CAST(json_extract_scalar(x, '$.amount') AS bigint), s -> s))
    AS tax,
  TRY_CAST(json_extract_scalar(data, '$.pre_payment_amount') AS bigint) AS pre_payment_amount,
  TRY_CAST(json_extract_scalar(data, '$.post_payment_amount') AS bigint) AS post_payment_amount,
  TRY_CAST(json_extract_scalar(data, '$.out_of_band_amount') AS bigint) AS out_of_band_amount,
  coalesce(json_extract_scalar(data, '$.refund'),
    json_extract_scalar(data, '$.refunds[0].refund')) AS refund,
  json_extract_scalar(data, '$.customer_balance_transaction') AS customer_balance_transaction,
  json_extract_scalar(data, '$.pdf') AS pdf,
  json_format(json_extract(data, '$.metadata')) AS metadata,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.effective_at') AS bigint)) AS timestamp(3)) AS effective_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.voided_at') AS bigint)) AS timestamp(3)) AS voided_at,
  is_deleted, as_of, event_id, api_version, source
FROM object_states
WHERE object = 'credit_note' AND is_latest

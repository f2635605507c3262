-- Which fees were paid, and what did each transaction leave?
--
-- One row for each balance transaction, with the latest state that the archive knows. Stripe sends no
-- events for them: they come with `flask archive snapshot`. Amounts are in the smallest unit of
-- `currency`, that of the balance.
--
-- Columns:
--   source_id: charge, refund, dispute, payout, … that the transaction is of; Stripe's `source`
--   fee_details: JSON text
CREATE OR REPLACE VIEW balance_transactions AS
SELECT
  account, livemode, id,
  TRY_CAST(json_extract_scalar(data, '$.amount') AS bigint) AS amount,
  TRY_CAST(json_extract_scalar(data, '$.fee') AS bigint) AS fee,
  TRY_CAST(json_extract_scalar(data, '$.net') AS bigint) AS net,
  json_extract_scalar(data, '$.currency') AS currency,
  json_extract_scalar(data, '$.type') AS type,
  json_extract_scalar(data, '$.reporting_category') AS reporting_category,
  json_extract_scalar(data, '$.source') AS source_id,
  json_extract_scalar(data, '$.status') AS status,
  json_extract_scalar(data, '$.description') AS description,
  TRY_CAST(json_extract_scalar(data, '$.exchange_rate') AS decimal(20,10)) AS exchange_rate,
  nullif(json_format(json_extract(data, '$.fee_details')), 'null') AS fee_details,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.available_on') AS bigint)) AS timestamp(3)) AS available_on_at,
  is_deleted, as_of, event_id, api_version, source
FROM object_states
WHERE object = 'balance_transaction' AND is_latest

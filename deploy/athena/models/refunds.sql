-- What was refunded?
--
-- One row for each refund, with the latest state that the archive knows. API versions before 2022-11-15
-- embed refunds in their charge; they are here too. `amount` is in the smallest unit of `currency`.
CREATE OR REPLACE VIEW refunds AS
SELECT
  account, livemode, id,
  json_extract_scalar(data, '$.charge') AS charge,
  json_extract_scalar(data, '$.payment_intent') AS payment_intent,
  TRY_CAST(json_extract_scalar(data, '$.amount') AS bigint) AS amount,
  json_extract_scalar(data, '$.currency') AS currency,
  json_extract_scalar(data, '$.status') AS status,
  json_extract_scalar(data, '$.reason') AS reason,
  json_extract_scalar(data, '$.failure_reason') AS failure_reason,
  json_extract_scalar(data, '$.balance_transaction') AS balance_transaction,
  json_extract_scalar(data, '$.failure_balance_transaction') AS failure_balance_transaction,
  json_extract_scalar(data, '$.description') AS description,
  json_extract_scalar(data, '$.receipt_number') AS receipt_number,
  json_format(json_extract(data, '$.metadata')) AS metadata,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  is_deleted, as_of, event_id, api_version, source
FROM object_states
WHERE object = 'refund' AND is_latest

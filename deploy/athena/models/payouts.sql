-- What was paid out to the bank?
--
-- One row for each payout, with the latest state that the archive knows. `amount` is in the smallest
-- unit of `currency`.
CREATE OR REPLACE VIEW payouts AS
SELECT
  account, livemode, id,
  TRY_CAST(json_extract_scalar(data, '$.amount') AS bigint) AS amount,
  json_extract_scalar(data, '$.currency') AS currency,
  json_extract_scalar(data, '$.status') AS status,
  json_extract_scalar(data, '$.type') AS type,
  json_extract_scalar(data, '$.method') AS method,
  TRY_CAST(json_extract_scalar(data, '$.automatic') AS boolean) AS automatic,
  json_extract_scalar(data, '$.source_type') AS source_type,
  json_extract_scalar(data, '$.destination') AS destination,
  json_extract_scalar(data, '$.balance_transaction') AS balance_transaction,
  json_extract_scalar(data, '$.failure_code') AS failure_code,
  json_extract_scalar(data, '$.failure_message') AS failure_message,
  json_extract_scalar(data, '$.failure_balance_transaction') AS failure_balance_transaction,
  json_extract_scalar(data, '$.reconciliation_status') AS reconciliation_status,
  json_extract_scalar(data, '$.statement_descriptor') AS statement_descriptor,
  json_extract_scalar(data, '$.description') AS description,
  json_extract_scalar(data, '$.original_payout') AS original_payout,
  json_extract_scalar(data, '$.reversed_by') AS reversed_by,
  json_format(json_extract(data, '$.metadata')) AS metadata,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.arrival_date') AS bigint)) AS timestamp(3)) AS arrival_date_at,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  is_deleted, as_of, event_id, api_version, source
FROM object_states
WHERE object = 'payout' AND is_latest

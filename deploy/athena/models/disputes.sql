-- Which payments are disputed, and how did that end?
--
-- One row for each dispute, with the latest state that the archive knows. A status `warning_…` is an
-- inquiry. `amount` is in the smallest unit of `currency`.
--
-- Columns:
--   balance_transactions: JSON text, as Stripe embeds them
CREATE OR REPLACE VIEW disputes AS
SELECT
  account, livemode, id,
  json_extract_scalar(data, '$.charge') AS charge,
  json_extract_scalar(data, '$.payment_intent') AS payment_intent,
  TRY_CAST(json_extract_scalar(data, '$.amount') AS bigint) AS amount,
  json_extract_scalar(data, '$.currency') AS currency,
  json_extract_scalar(data, '$.status') AS status,
  json_extract_scalar(data, '$.reason') AS reason,
  json_extract_scalar(data, '$.network_reason_code') AS network_reason_code,
  TRY_CAST(json_extract_scalar(data, '$.is_charge_refundable') AS boolean) AS is_charge_refundable,
  json_extract_scalar(data, '$.payment_method_details.type') AS payment_method_type,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.evidence_details.due_by') AS bigint)) AS timestamp(3))
    AS evidence_due_by_at,
  TRY_CAST(json_extract_scalar(data, '$.evidence_details.has_evidence') AS boolean)
    AS evidence_has_evidence,
  TRY_CAST(json_extract_scalar(data, '$.evidence_details.past_due') AS boolean)
    AS evidence_past_due,
  TRY_CAST(json_extract_scalar(data, '$.evidence_details.submission_count') AS bigint)
    AS evidence_submission_count,
  nullif(json_format(json_extract(data, '$.balance_transactions')), 'null') AS balance_transactions,
  json_format(json_extract(data, '$.metadata')) AS metadata,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  is_deleted, as_of, event_id, api_version, source
FROM object_states
WHERE object = 'dispute' AND is_latest

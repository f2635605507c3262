-- Which payments were attempted, and how far did each get?
--
-- One row for each payment intent, with the latest state that the archive knows. Amounts are in the
-- smallest unit of `currency`.
CREATE OR REPLACE VIEW payment_intents AS
SELECT
  account, livemode, id,
  TRY_CAST(json_extract_scalar(data, '$.amount') AS bigint) AS amount,
  TRY_CAST(json_extract_scalar(data, '$.amount_capturable') AS bigint) AS amount_capturable,
  TRY_CAST(json_extract_scalar(data, '$.amount_received') AS bigint) AS amount_received,
  json_extract_scalar(data, '$.currency') AS currency,
  json_extract_scalar(data, '$.status') AS status,
  json_extract_scalar(data, '$.customer') AS customer,
  coalesce(json_extract_scalar(data, '$.latest_charge'),
    json_extract_scalar(data, '$.charges.data[0].id')) AS latest_charge,
  json_extract_scalar(data, '$.payment_method') AS payment_method,
  nullif(json_format(json_extract(data, '$.payment_method_types')), 'null') AS payment_method_types,
  json_extract_scalar(data, '$.capture_method') AS capture_method,
  json_extract_scalar(data, '$.confirmation_method') AS confirmation_method,
  json_extract_scalar(data, '$.setup_future_usage') AS setup_future_usage,
  json_extract_scalar(data, '$.cancellation_reason') AS cancellation_reason,
  json_extract_scalar(data, '$.last_payment_error.code') AS last_payment_error_code,
  json_extract_scalar(data, '$.last_payment_error.decline_code') AS last_payment_error_decline_code,
  json_extract_scalar(data, '$.last_payment_error.message') AS last_payment_error_message,
  TRY_CAST(json_extract_scalar(data, '$.application_fee_amount') AS bigint)
    AS application_fee_amount,
  json_extract_scalar(data, '$.on_behalf_of') AS on_behalf_of,
  json_extract_scalar(data, '$.transfer_group') AS transfer_group,
  json_extract_scalar(data, '$.description') AS description,
  json_extract_scalar(data, '$.statement_descriptor') AS statement_descriptor,
  json_extract_scalar(data, '$.receipt_email') AS receipt_email,
  json_format(json_extract(data, '$.metadata')) AS metadata,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.canceled_at') AS bigint)) AS timestamp(3)) AS canceled_at,
  is_deleted, as_of, event_id, api_version, source
FROM object_states
WHERE object = 'payment_intent' AND is_latest

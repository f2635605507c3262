-- Which payment intents and charges are attached to which invoices?
--
-- One row for each invoice payment, with the latest state that the archive knows. Stripe has them from
-- API version 2025-03-31 (basil) on, where invoices and charges no longer name each other; its event is
-- `invoice_payment.paid`. Amounts are in the smallest unit of `currency`.
CREATE OR REPLACE VIEW invoice_payments AS
SELECT
  account, livemode, id,
  json_extract_scalar(data, '$.invoice') AS invoice,
  json_extract_scalar(data, '$.status') AS status,
  TRY_CAST(json_extract_scalar(data, '$.is_default') AS boolean) AS is_default,
  json_extract_scalar(data, '$.payment.type') AS payment_type,
  json_extract_scalar(data, '$.payment.payment_intent') AS payment_intent,
  json_extract_scalar(data, '$.payment.charge') AS charge,
  TRY_CAST(json_extract_scalar(data, '$.amount_requested') AS bigint) AS amount_requested,
  TRY_CAST(json_extract_scalar(data, '$.amount_paid') AS bigint) AS amount_paid,
  json_extract_scalar(data, '$.currency') AS currency,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.status_transitions.paid_at') AS bigint)) AS timestamp(3))
    AS paid_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.status_transitions.canceled_at') AS bigint)) AS timestamp(3))
    AS canceled_at,
  is_deleted, as_of, event_id, api_version, source
FROM object_states
WHERE object = 'invoice_payment' AND is_latest

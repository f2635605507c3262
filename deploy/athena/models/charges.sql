-- Which charges were made, and what became of them?
--
-- One row for each charge, with the latest state that the archive knows. Amounts are in the smallest
-- unit of `currency`.
--
-- Columns:
--   invoice: from API version 2025-03-31 on out of `invoice_payment.paid`, so null until paid
--   balance_transaction: null in the events of API versions from 2024-04-10 on until it exists
CREATE OR REPLACE VIEW charges AS
SELECT
  states.account, states.livemode, states.id,
  TRY_CAST(json_extract_scalar(data, '$.amount') AS bigint) AS amount,
  TRY_CAST(json_extract_scalar(data, '$.amount_captured') AS bigint) AS amount_captured,
  TRY_CAST(json_extract_scalar(data, '$.amount_refunded') AS bigint) AS amount_refunded,
  json_extract_scalar(data, '$.currency') AS currency,
  json_extract_scalar(data, '$.status') AS status,
  TRY_CAST(json_extract_scalar(data, '$.paid') AS boolean) AS paid,
  TRY_CAST(json_extract_scalar(data, '$.captured') AS boolean) AS captured,
  TRY_CAST(json_extract_scalar(data, '$.refunded') AS boolean) AS refunded,
  TRY_CAST(json_extract_scalar(data, '$.disputed') AS boolean) AS disputed,
  json_extract_scalar(data, '$.dispute') AS dispute,
  json_extract_scalar(data, '$.customer') AS customer,
  json_extract_scalar(data, '$.payment_intent') AS payment_intent,
  coalesce(json_extract_scalar(data, '$.invoice'), payments.invoice) AS invoice,
  json_extract_scalar(data, '$.payment_method') AS payment_method,
  json_extract_scalar(data, '$.payment_method_details.type') AS payment_method_type,
  json_extract_scalar(data, '$.payment_method_details.card.brand') AS card_brand,
  json_extract_scalar(data, '$.payment_method_details.card.last4') AS card_last4,
  json_extract_scalar(data, '$.payment_method_details.card.country') AS card_country,
  json_extract_scalar(data, '$.payment_method_details.card.funding') AS card_funding,
  json_extract_scalar(data, '$.failure_code') AS failure_code,
  json_extract_scalar(data, '$.failure_message') AS failure_message,
  json_extract_scalar(data, '$.outcome.type') AS outcome_type,
  json_extract_scalar(data, '$.outcome.reason') AS outcome_reason,
  json_extract_scalar(data, '$.outcome.network_status') AS outcome_network_status,
  json_extract_scalar(data, '$.outcome.risk_level') AS outcome_risk_level,
  TRY_CAST(json_extract_scalar(data, '$.outcome.risk_score') AS bigint) AS outcome_risk_score,
  json_extract_scalar(data, '$.outcome.seller_message') AS outcome_seller_message,
  json_extract_scalar(data, '$.balance_transaction') AS balance_transaction,
  TRY_CAST(json_extract_scalar(data, '$.application_fee_amount') AS bigint)
    AS application_fee_amount,
  json_extract_scalar(data, '$.on_behalf_of') AS on_behalf_of,
  json_extract_scalar(data, '$.transfer_group') AS transfer_group,
  json_extract_scalar(data, '$.description') AS description,
  json_extract_scalar(data, '$.statement_descriptor') AS statement_descriptor,
  json_extract_scalar(data, '$.calculated_statement_descriptor') AS calculated_statement_descriptor,
  json_extract_scalar(data, '$.receipt_email') AS receipt_email,
  json_extract_scalar(data, '$.receipt_number') AS receipt_number,
  json_extract_scalar(data, '$.receipt_url') AS receipt_url,
  json_extract_scalar(data, '$.billing_details.email') AS billing_email,
  json_extract_scalar(data, '$.billing_details.name') AS billing_name,
  json_extract_scalar(data, '$.billing_details.address.country') AS billing_country,
  json_format(json_extract(data, '$.metadata')) AS metadata,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  states.is_deleted, states.as_of, states.event_id, states.api_version, states.source
FROM object_states AS states
LEFT JOIN invoice_payments AS payments
  ON payments.payment = coalesce(json_extract_scalar(data, '$.payment_intent'), states.id)
  AND payments.account IS NOT DISTINCT FROM states.account
  AND payments.livemode IS NOT DISTINCT FROM states.livemode
WHERE states.object = 'charge' AND states.is_latest

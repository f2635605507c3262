-- Which payment intent and which charge belong to which invoice?
--
-- From API version 2025-03-31 (basil) on, invoices, charges and payment intents no longer name each
-- other. What belongs together is in the event `invoice_payment.paid`, so it is known once an invoice
-- is paid. Charges of older versions name their invoice, also where a later state of a newer version
-- does not. The views invoices and charges read it here. One row for each payment intent, or charge
-- without one, of an invoice. `amount_paid` is in the smallest unit of `currency`.
--
-- Columns:
--   payment: the payment intent, else the charge
--   charge: the latest of the payment intent
--   is_default: whether it is the payment that Stripe makes for the invoice by itself
CREATE OR REPLACE VIEW invoice_payments AS
SELECT
  account, livemode,
  max(invoice) AS invoice,
  payment,
  max(payment_intent) AS payment_intent,
  max(charge) AS charge,
  bool_or(is_default) AS is_default,
  max(amount_paid) AS amount_paid,
  max(currency) AS currency,
  max(paid_at) AS paid_at
FROM (
  SELECT
    account, livemode,
    IF(object <> 'payment_intent', json_extract_scalar(data, '$.invoice')) AS invoice,
    CASE object
      WHEN 'payment_intent' THEN id
      WHEN 'charge' THEN coalesce(json_extract_scalar(data, '$.payment_intent'), id)
      ELSE coalesce(json_extract_scalar(data, '$.payment.payment_intent'),
        json_extract_scalar(data, '$.payment.charge'))
    END AS payment,
    CASE object
      WHEN 'payment_intent' THEN id
      WHEN 'charge' THEN json_extract_scalar(data, '$.payment_intent')
      ELSE json_extract_scalar(data, '$.payment.payment_intent')
    END AS payment_intent,
    coalesce(json_extract_scalar(data, '$.payment.charge'),
      json_extract_scalar(data, '$.latest_charge')) AS charge,
    TRY_CAST(json_extract_scalar(data, '$.is_default') AS boolean) AS is_default,
    TRY_CAST(json_extract_scalar(data, '$.amount_paid') AS bigint) AS amount_paid,
    IF(object <> 'payment_intent', json_extract_scalar(data, '$.currency')) AS currency,
    CAST(from_unixtime(TRY_CAST(
      json_extract_scalar(data, '$.status_transitions.paid_at') AS bigint)) AS timestamp(3))
      AS paid_at
  FROM object_states
  WHERE (object IN ('invoice_payment', 'payment_intent') AND is_latest)
    OR (object = 'charge' AND json_extract_scalar(data, '$.invoice') IS NOT NULL)
)
GROUP BY account, livemode, payment
HAVING max(invoice) IS NOT NULL

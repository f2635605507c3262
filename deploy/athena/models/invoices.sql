-- Which invoices are there, and are they paid?
--
-- One row for each invoice, with the latest state that the archive knows. Its lines are in
-- invoice_line_items. Amounts are in the smallest unit of `currency`.
--
-- Columns:
--   charge: the latest charge; from API version 2025-03-31 on that of the payment intent
--   payment_intent: from API version 2025-03-31 on out of `invoice_payment.paid`, so null until paid
--   tax: sum of the taxes; null without any
--   discounts: ids, a JSON array
--   lines_complete: whether the list of lines was whole; Stripe embeds the first ten
CREATE OR REPLACE VIEW invoices AS
SELECT
  states.account, states.livemode, states.id,
  json_extract_scalar(data, '$.number') AS number,
  json_extract_scalar(data, '$.customer') AS customer,
  coalesce(json_extract_scalar(data, '$.subscription'),
    json_extract_scalar(data, '$.parent.subscription_details.subscription')) AS subscription,
  json_extract_scalar(data, '$.status') AS status,
  json_extract_scalar(data, '$.billing_reason') AS billing_reason,
  json_extract_scalar(data, '$.collection_method') AS collection_method,
  json_extract_scalar(data, '$.currency') AS currency,
  TRY_CAST(json_extract_scalar(data, '$.amount_due') AS bigint) AS amount_due,
  TRY_CAST(json_extract_scalar(data, '$.amount_paid') AS bigint) AS amount_paid,
  TRY_CAST(json_extract_scalar(data, '$.amount_remaining') AS bigint) AS amount_remaining,
  TRY_CAST(json_extract_scalar(data, '$.amount_overpaid') AS bigint) AS amount_overpaid,
  TRY_CAST(json_extract_scalar(data, '$.amount_shipping') AS bigint) AS amount_shipping,
  TRY_CAST(json_extract_scalar(data, '$.subtotal') AS bigint) AS subtotal,
  TRY_CAST(json_extract_scalar(data, '$.subtotal_excluding_tax') AS bigint)
    AS subtotal_excluding_tax,
  TRY_CAST(json_extract_scalar(data, '$.total') AS bigint) AS total,
  TRY_CAST(json_extract_scalar(data, '$.total_excluding_tax') AS bigint) AS total_excluding_tax,
  coalesce(
    TRY_CAST(json_extract_scalar(data, '$.tax') AS bigint),
    reduce(TRY_CAST(json_extract(data, '$.total_taxes') AS array(json)), CAST(NULL AS bigint),
      (s, x) -> coalesce(s, 0) + TRY_CAST(json_extract_scalar(x, '$.amount') AS bigint), s -> s)) AS tax,
  TRY_CAST(json_extract_scalar(data, '$.starting_balance') AS bigint) AS starting_balance,
  TRY_CAST(json_extract_scalar(data, '$.ending_balance') AS bigint) AS ending_balance,
  TRY_CAST(json_extract_scalar(data, '$.pre_payment_credit_notes_amount') AS bigint)
    AS pre_payment_credit_notes_amount,
  TRY_CAST(json_extract_scalar(data, '$.post_payment_credit_notes_amount') AS bigint)
    AS post_payment_credit_notes_amount,
  TRY_CAST(json_extract_scalar(data, '$.attempt_count') AS bigint) AS attempt_count,
  TRY_CAST(json_extract_scalar(data, '$.attempted') AS boolean) AS attempted,
  TRY_CAST(json_extract_scalar(data, '$.auto_advance') AS boolean) AS auto_advance,
  coalesce(json_extract_scalar(data, '$.charge'),
    json_extract_scalar(data, '$.payments.data[0].payment.charge'), payments.charge) AS charge,
  coalesce(json_extract_scalar(data, '$.payment_intent'),
    json_extract_scalar(data, '$.payments.data[0].payment.payment_intent'),
    payments.payment_intent) AS payment_intent,
  coalesce(json_extract_scalar(data, '$.quote'),
    json_extract_scalar(data, '$.parent.quote_details.quote')) AS quote,
  json_extract_scalar(data, '$.default_payment_method') AS default_payment_method,
  coalesce(
    nullif(json_format(CAST(transform(TRY_CAST(json_extract(data, '$.discounts') AS array(json)),
      d -> coalesce(json_extract_scalar(d, '$.id'), json_extract_scalar(d, '$'))) AS json)), '[]'),
    '["' || json_extract_scalar(data, '$.discount.id') || '"]',
    '[]') AS discounts,
  TRY_CAST(json_extract_scalar(data, '$.lines.has_more') AS boolean) = false AS lines_complete,
  json_extract_scalar(data, '$.customer_name') AS customer_name,
  json_extract_scalar(data, '$.customer_email') AS customer_email,
  json_extract_scalar(data, '$.description') AS description,
  json_extract_scalar(data, '$.receipt_number') AS receipt_number,
  json_extract_scalar(data, '$.hosted_invoice_url') AS hosted_invoice_url,
  json_extract_scalar(data, '$.invoice_pdf') AS invoice_pdf,
  json_extract_scalar(data, '$.on_behalf_of') AS on_behalf_of,
  json_extract_scalar(data, '$.test_clock') AS test_clock,
  json_format(json_extract(data, '$.metadata')) AS metadata,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.period_start') AS bigint)) AS timestamp(3)) AS period_start_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.period_end') AS bigint)) AS timestamp(3)) AS period_end_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.effective_at') AS bigint)) AS timestamp(3)) AS effective_at,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.due_date') AS bigint)) AS timestamp(3))
    AS due_date_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.next_payment_attempt') AS bigint)) AS timestamp(3))
    AS next_payment_attempt_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.status_transitions.finalized_at') AS bigint)) AS timestamp(3))
    AS finalized_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.status_transitions.paid_at') AS bigint)) AS timestamp(3))
    AS paid_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.status_transitions.voided_at') AS bigint)) AS timestamp(3))
    AS voided_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.status_transitions.marked_uncollectible_at') AS bigint))
    AS timestamp(3))
    AS marked_uncollectible_at,
  states.is_deleted, states.as_of, states.event_id, states.api_version, states.source
FROM object_states AS states
LEFT JOIN (
  SELECT account, livemode, invoice, payment_intent, charge,
    row_number() OVER (PARTITION BY account, livemode, invoice
      ORDER BY is_default DESC, paid_at DESC, payment) AS nth
  FROM invoice_payments
) AS payments
  ON payments.invoice = states.id AND payments.account IS NOT DISTINCT FROM states.account
  AND payments.livemode IS NOT DISTINCT FROM states.livemode AND payments.nth = 1
WHERE states.object = 'invoice' AND states.is_latest

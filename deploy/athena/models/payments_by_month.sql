-- How many payments failed at the first attempt, and how many of those came in later?
--
-- By the month of the first attempt, in UTC; amounts in the currency's major unit. A payment is
-- an invoice with an amount due, from its first state with attempt_count of 1 or more. Its first
-- attempt failed if attempt_count came above 1 or there is an invoice.payment_failed of it; it is
-- recovered if it failed first and is paid now. Its amount is amount_due.
--
-- Charges without an invoice are payments too: those of one payment intent are one payment, else each
-- is one. The first attempt is the first charge, which tells the amount; recovered means that it
-- failed and a later one succeeded. API versions from 2025-03-31 on tell the invoice of a charge only
-- once it is paid: until then the failed charges of an invoice are a payment of their own besides.
--
-- Columns:
--   month: its first day
--   failure_rate: failed_first / first_attempts
--   recovery_rate: recovered / failed_first; null where none failed
CREATE OR REPLACE VIEW payments_by_month AS
WITH of_invoices AS (
  SELECT
    account, livemode, max(IF(is_latest, currency)) AS currency,
    max(IF(is_latest, amount_due)) AS amount,
    min(IF(attempt_count >= 1, as_of)) AS attempted_at,
    bool_or(attempt_count > 1 OR coalesce(type = 'invoice.payment_failed', false)) AS has_failed,
    bool_or(is_latest AND status = 'paid') AS is_paid,
    max(payment_intent) AS payment_intent, max(charge) AS charge
  FROM (
    SELECT
      account, livemode, id, type, as_of, is_latest,
      json_extract_scalar(data, '$.currency') AS currency,
      json_extract_scalar(data, '$.status') AS status,
      TRY_CAST(json_extract_scalar(data, '$.amount_due') AS bigint) AS amount_due,
      TRY_CAST(json_extract_scalar(data, '$.attempt_count') AS bigint) AS attempt_count,
      coalesce(json_extract_scalar(data, '$.payment_intent'),
        json_extract_scalar(data, '$.payments.data[0].payment.payment_intent')) AS payment_intent,
      coalesce(json_extract_scalar(data, '$.charge'),
        json_extract_scalar(data, '$.payments.data[0].payment.charge')) AS charge
    FROM object_states
    WHERE object = 'invoice'
  )
  GROUP BY account, livemode, id
),
ranked AS (
  SELECT
    account, livemode, currency, amount, created_at, status, invoice,
    coalesce(payment_intent, id) AS payment,
    row_number() OVER (PARTITION BY account, livemode, coalesce(payment_intent, id)
      ORDER BY created_at, status) AS nth
  FROM charges
),
of_charges AS (
  SELECT
    account, livemode, payment, max(IF(nth = 1, currency)) AS currency,
    max(IF(nth = 1, amount)) AS amount, min(created_at) AS attempted_at,
    bool_or(nth = 1 AND status = 'failed') AS has_failed,
    bool_or(nth > 1 AND status = 'succeeded') AS is_paid
  FROM ranked
  GROUP BY account, livemode, payment
  HAVING count(invoice) = 0
),
invoiced AS (
  SELECT DISTINCT account, livemode, payment
  FROM of_invoices
  CROSS JOIN UNNEST(ARRAY[payment_intent, charge]) AS t (payment)
),
payments AS (
  SELECT account, livemode, currency, amount, attempted_at, has_failed, is_paid
  FROM of_invoices
  WHERE amount > 0
  UNION ALL
  SELECT
    of_charges.account, of_charges.livemode, currency, amount, attempted_at, has_failed, is_paid
  FROM of_charges
  LEFT JOIN invoiced
    ON invoiced.payment = of_charges.payment
    AND invoiced.account IS NOT DISTINCT FROM of_charges.account
    AND invoiced.livemode IS NOT DISTINCT FROM of_charges.livemode
  WHERE invoiced.payment IS NULL
),
by_month AS (
  SELECT
    CAST(date_trunc('month', attempted_at) AS date) AS month, account, livemode,
    payments.currency, coalesce(minor_unit, DECIMAL '0.010') AS minor_unit,
    count(*) AS first_attempts,
    count_if(has_failed) AS failed_first,
    count_if(has_failed AND is_paid) AS recovered,
    sum(CAST(amount AS decimal(38, 0))) AS amount,
    sum(CAST(IF(has_failed, amount, 0) AS decimal(38, 0))) AS failed_amount,
    sum(CAST(IF(has_failed AND is_paid, amount, 0) AS decimal(38, 0))) AS recovered_amount
  FROM payments
  LEFT JOIN currencies ON currencies.currency = payments.currency
  WHERE attempted_at IS NOT NULL
  GROUP BY 1, 2, 3, 4, 5
)
SELECT
  month, account, livemode, currency,
  first_attempts, failed_first,
  CAST(failed_first AS decimal(18, 6)) / first_attempts AS failure_rate,
  recovered,
  CAST(recovered AS decimal(18, 6)) / nullif(failed_first, 0) AS recovery_rate,
  CAST(amount * minor_unit AS decimal(38, 3)) AS first_attempts_amount,
  CAST(failed_amount * minor_unit AS decimal(38, 3)) AS failed_first_amount,
  CAST(failed_amount AS decimal(38, 6)) / nullif(amount, 0) AS failure_rate_by_amount,
  CAST(recovered_amount * minor_unit AS decimal(38, 3)) AS recovered_amount,
  CAST(recovered_amount AS decimal(38, 6)) / nullif(failed_amount, 0) AS recovery_rate_by_amount
FROM by_month

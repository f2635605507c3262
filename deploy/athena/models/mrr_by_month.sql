-- How did the recurring revenue of each month come about?
--
-- A row for each month, account, livemode and currency, from the month of the first MRR (or the first
-- unpriced item or unknown discount) to the month of current_date, whether or not anything changed.
-- Months are in UTC, amounts in the currency's major unit; subscription_item_states has the rules of
-- MRR.
--
-- A movement is the difference between what a customer's subscriptions in the currency come to at the
-- end of the month before and at the end of this one. Every customer has one of these at most:
--   new: nothing before this month, ever
--   reactivation: nothing at its start, something at a moment before it
--   expansion, contraction: more, or less, than at its start
--   churned: nothing left
-- contraction_mrr and churned_mrr are negative, so opening_mrr and the five add up to closing_mrr.
--
-- Rates are null where opening is 0. The counts of unpriced items and unknown discounts are those of
-- the month's end. The month of current_date is not complete, and ends with that day here.
--
-- Columns:
--   month: its first day
--   customer_churn_rate: churned_customers / opening_customers
--   gross_revenue_retention: (opening_mrr + contraction_mrr + churned_mrr) / opening_mrr
--   net_revenue_retention: gross_revenue_retention with expansion_mrr and reactivation_mrr besides
--   arpa: closing_mrr / closing_customers
--   arr: closing_mrr x 12
--   unpriced_items: items that count nothing because their price has no unit amount
--   unknown_discounts: discounts that reduce nothing because their terms are not in the archive
CREATE OR REPLACE VIEW mrr_by_month AS
WITH by_customer AS (
  SELECT
    CAST(date_trunc('month', as_of) AS date) AS month, account, livemode, currency, customer,
    sum(mrr - mrr_before) AS change, bool_or(mrr > 0) AS had_mrr,
    sum(unpriced_items - unpriced_items_before) AS unpriced_items,
    sum(unknown_discounts - unknown_discounts_before) AS unknown_discounts
  FROM subscription_item_states
  WHERE as_of < date_add('day', 1, CAST(current_date AS timestamp(3)))
    AND (mrr <> mrr_before OR unpriced_items <> unpriced_items_before
      OR unknown_discounts <> unknown_discounts_before)
  GROUP BY 1, 2, 3, 4, 5
),
balances AS (
  SELECT *,
    sum(change) OVER (PARTITION BY account, livemode, currency, customer ORDER BY month) - change
      AS opening,
    sum(change) OVER (PARTITION BY account, livemode, currency, customer ORDER BY month) AS closing,
    coalesce(bool_or(had_mrr) OVER (PARTITION BY account, livemode, currency, customer
      ORDER BY month ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), false) AS had_mrr_before
  FROM by_customer
),
movements AS (
  SELECT *,
    CASE
      WHEN opening = closing THEN 'none'
      WHEN opening = 0 AND had_mrr_before THEN 'reactivation'
      WHEN opening = 0 THEN 'new'
      WHEN closing = 0 THEN 'churned'
      WHEN closing > opening THEN 'expansion'
      ELSE 'contraction'
    END AS movement
  FROM balances
),
by_month AS (
  SELECT
    month, account, livemode, currency,
    sum(IF(movement = 'new', change, 0)) AS new_mrr,
    sum(IF(movement = 'reactivation', change, 0)) AS reactivation_mrr,
    sum(IF(movement = 'expansion', change, 0)) AS expansion_mrr,
    sum(IF(movement = 'contraction', change, 0)) AS contraction_mrr,
    sum(IF(movement = 'churned', change, 0)) AS churned_mrr,
    count_if(movement = 'new') AS new_customers,
    count_if(movement = 'reactivation') AS reactivated_customers,
    count_if(movement = 'churned') AS churned_customers,
    sum(unpriced_items) AS unpriced_items, sum(unknown_discounts) AS unknown_discounts,
    coalesce(date_add('month', -1, lead(month)
      OVER (PARTITION BY account, livemode, currency ORDER BY month)),
      date_trunc('month', current_date)) AS until_month
  FROM movements
  GROUP BY month, account, livemode, currency
),
-- months without a change as well
every_month AS (
  SELECT
    calendar.month, account, livemode, currency,
    IF(calendar.month = by_month.month, new_mrr, 0) AS new_mrr,
    IF(calendar.month = by_month.month, reactivation_mrr, 0) AS reactivation_mrr,
    IF(calendar.month = by_month.month, expansion_mrr, 0) AS expansion_mrr,
    IF(calendar.month = by_month.month, contraction_mrr, 0) AS contraction_mrr,
    IF(calendar.month = by_month.month, churned_mrr, 0) AS churned_mrr,
    IF(calendar.month = by_month.month, new_customers, 0) AS new_customers,
    IF(calendar.month = by_month.month, reactivated_customers, 0) AS reactivated_customers,
    IF(calendar.month = by_month.month, churned_customers, 0) AS churned_customers,
    IF(calendar.month = by_month.month, unpriced_items, 0) AS unpriced_items,
    IF(calendar.month = by_month.month, unknown_discounts, 0) AS unknown_discounts
  FROM by_month
  CROSS JOIN UNNEST(sequence(by_month.month, until_month, INTERVAL '1' MONTH)) AS calendar (month)
),
totals AS (
  SELECT *,
    sum(new_mrr + reactivation_mrr + expansion_mrr + contraction_mrr + churned_mrr) OVER so_far
      AS closing_mrr,
    sum(new_customers + reactivated_customers - churned_customers) OVER so_far AS closing_customers,
    sum(unpriced_items) OVER so_far AS unpriced,
    sum(unknown_discounts) OVER so_far AS unknown
  FROM every_month
  WINDOW so_far AS (PARTITION BY account, livemode, currency ORDER BY month)
),
with_opening AS (
  SELECT *,
    lag(closing_mrr, 1, 0) OVER following AS opening_mrr,
    lag(closing_customers, 1, 0) OVER following AS opening_customers
  FROM totals
  WINDOW following AS (PARTITION BY account, livemode, currency ORDER BY month)
)
SELECT
  month, account, livemode, currency, opening_mrr, new_mrr, reactivation_mrr, expansion_mrr,
  contraction_mrr, churned_mrr, closing_mrr, opening_customers, new_customers,
  reactivated_customers, churned_customers, closing_customers,
  CAST(churned_customers AS decimal(18, 6)) / nullif(opening_customers, 0) AS customer_churn_rate,
  (opening_mrr + contraction_mrr + churned_mrr) / nullif(opening_mrr, 0) AS gross_revenue_retention,
  (opening_mrr + contraction_mrr + churned_mrr + expansion_mrr + reactivation_mrr)
    / nullif(opening_mrr, 0) AS net_revenue_retention,
  closing_mrr / nullif(closing_customers, 0) AS arpa,
  closing_mrr * 12 AS arr,
  unpriced AS unpriced_items, unknown AS unknown_discounts,
  month < date_trunc('month', current_date) AS is_complete
FROM with_opening

-- Rows where what the customers pay is not the MRR at the end of the newest month.
WITH paid AS (
  SELECT account, livemode, currency, sum(mrr) AS mrr, count(*) AS customers
  FROM {{ ref('customer_mrr') }}
  GROUP BY account, livemode, currency
)
SELECT month.currency, month.closing_mrr, paid.mrr, month.closing_customers, paid.customers
FROM {{ source('stripe', 'mrr_by_month') }} AS month
LEFT JOIN paid
  ON paid.currency = month.currency
  AND paid.livemode = month.livemode
  AND paid.account IS NOT DISTINCT FROM month.account
WHERE month.month = (SELECT max(month) FROM {{ source('stripe', 'mrr_by_month') }})
  AND (month.closing_mrr <> coalesce(paid.mrr, 0)
    OR month.closing_customers <> coalesce(paid.customers, 0))

-- What does each customer pay a month now, and since when?
{{ config(materialized='table') }}

WITH paying AS (
  SELECT account, livemode, customer, currency, sum(mrr_change) AS mrr, min(changed_at) AS since
  FROM {{ source('stripe', 'subscription_item_changes') }}
  GROUP BY account, livemode, customer, currency
  HAVING sum(mrr_change) > 0
)
SELECT paying.account, paying.livemode, paying.customer, customers.name, customers.email,
  paying.currency, paying.mrr, paying.since
FROM paying
LEFT JOIN {{ source('stripe', 'customers') }} AS customers
  ON customers.id = paying.customer
  AND customers.livemode = paying.livemode
  AND customers.account IS NOT DISTINCT FROM paying.account

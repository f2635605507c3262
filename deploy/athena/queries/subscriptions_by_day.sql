-- How many subscriptions began and how many ended each day?
-- To change: the number of days. One that is to end with its period counts when it does.
SELECT
  CAST(created_at AS date) AS day, livemode,
  count_if(type = 'customer.subscription.created') AS created,
  count_if(type = 'customer.subscription.deleted') AS cancelled
FROM stripe_events
WHERE type IN ('customer.subscription.created', 'customer.subscription.deleted')
  AND created_at >= current_date - INTERVAL '30' DAY
GROUP BY 1, 2
ORDER BY 1 DESC, 2 DESC

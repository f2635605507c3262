-- Which customers had the most events, with how many charges paid and failed?
-- To change: the number of days, the number of customers.
SELECT
  customer, livemode, count(*) AS events,
  count_if(type = 'charge.succeeded') AS paid, count_if(type = 'charge.failed') AS failed,
  max(created_at) AS latest
FROM stripe_events
WHERE customer IS NOT NULL
  AND created_at >= current_date - INTERVAL '30' DAY
GROUP BY 1, 2
ORDER BY 3 DESC, 1, 2
LIMIT 20

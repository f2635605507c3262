-- How many events of each type did Stripe make each day, and how many of them in live mode?
-- To change: the number of days. Days are UTC, by the event's own time.
SELECT CAST(created_at AS date) AS day, type, count(*) AS events, count_if(livemode) AS live
FROM stripe_events
WHERE created_at >= current_date - INTERVAL '30' DAY
GROUP BY 1, 2
ORDER BY 1 DESC, 3 DESC, 2

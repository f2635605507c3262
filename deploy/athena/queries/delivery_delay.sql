-- How many seconds after an event did its deliveries arrive, by day of arrival?
-- To change: the number of days. Stripe gives whole seconds; redeliveries count too.
SELECT
  year || '-' || month || '-' || day AS day, count(*) AS deliveries,
  round(approx_percentile(delay, 0.5), 1) AS p50,
  round(approx_percentile(delay, 0.95), 1) AS p95,
  round(approx_percentile(delay, 0.99), 1) AS p99
FROM (
  SELECT year, month, day, to_unixtime(from_iso8601_timestamp(received_at)) - created AS delay
  FROM stripe_webhooks
  WHERE source = 'webhook' AND created IS NOT NULL
    AND year || '-' || month || '-' || day >= date_format(current_date - INTERVAL '30' DAY, '%Y-%m-%d')
)
GROUP BY 1
ORDER BY 1 DESC

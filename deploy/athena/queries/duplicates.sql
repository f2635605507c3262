-- Which events arrived more than once, how often, and over what time?
-- To change: the number of days. Duplicates are normal; the view stripe_events has each event once.
SELECT
  id, max(type) AS type, count(*) AS arrivals,
  min(received_at) AS earliest, max(received_at) AS latest
FROM stripe_webhooks
WHERE id IS NOT NULL
  AND year || '-' || month || '-' || day >= date_format(current_date - INTERVAL '30' DAY, '%Y-%m-%d')
GROUP BY id
HAVING count(*) > 1
ORDER BY 3 DESC, 4, 1

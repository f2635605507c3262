-- What has arrived today, by type?
-- To change: nothing; for another day put it into year, month and day, as in year = '2025'.
SELECT type, COUNT(*) AS count FROM stripe_webhooks
WHERE year = date_format(current_date, '%Y')
  AND month = date_format(current_date, '%m')
  AND day = date_format(current_date, '%d')
GROUP BY type ORDER BY count DESC, type

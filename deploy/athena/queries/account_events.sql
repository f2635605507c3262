-- What happened in one connected account?
-- To change: acct_replace_me, the number of days.
SELECT created_at, livemode, type, object_id, status, amount_major, currency, id
FROM stripe_events
WHERE account = 'acct_replace_me'
  AND created_at >= current_date - INTERVAL '30' DAY
ORDER BY created_at DESC, id

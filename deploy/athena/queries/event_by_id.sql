-- What did Stripe send under one event id, and when did each copy arrive?
-- To change: evt_replace_me; for an older event the number of days, as an event can be of any day.
SELECT received_at, type, account, livemode, source, stripe_signature, payload
FROM stripe_webhooks
WHERE id = 'evt_replace_me'
  AND year || '-' || month || '-' || day >= date_format(current_date - INTERVAL '30' DAY, '%Y-%m-%d')
ORDER BY received_at

-- Which events were too large for Firehose and are objects of their own in S3?
-- To change: the number of days. A record of more than 1,024,000 bytes goes to S3 directly. The record is
-- the payload, escaped, and the columns: one of up to a fifth less can have been too large as well.
SELECT received_at, id, type, length(to_utf8(payload)) AS payload_bytes, "$path" AS path
FROM stripe_webhooks
WHERE length(to_utf8(payload)) > 1024000
  AND year || '-' || month || '-' || day >= date_format(current_date - INTERVAL '30' DAY, '%Y-%m-%d')
ORDER BY received_at DESC

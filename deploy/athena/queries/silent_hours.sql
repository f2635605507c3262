-- When did nothing arrive for so long that it can hardly be chance?
-- To change: 28 days, in both places; the threshold, 5. Today is left out.
-- `usual` is what arrived in the same hours of the other days on average, summed over the silence. Where
-- arrivals are independent, a silence that has 5 is one of less than 1 % chance. Stripe's come in
-- groups, so this says where to look, not what was lost.
WITH arrivals AS (
  SELECT
    TRY_CAST(replace(substr(received_at, 1, 13), 'T', ' ') || ':00:00' AS timestamp(3)) AS started,
    count(*) AS n
  FROM stripe_webhooks
  WHERE year || '-' || month || '-' || day >= date_format(current_date - INTERVAL '28' DAY, '%Y-%m-%d')
  GROUP BY 1
),
hours AS (
  SELECT h.started, coalesce(a.n, 0) AS n
  FROM UNNEST(sequence(
    CAST(current_date - INTERVAL '28' DAY AS timestamp(3)),
    CAST(current_date AS timestamp(3)) - INTERVAL '1' HOUR,
    INTERVAL '1' HOUR)) AS h (started)
  LEFT JOIN arrivals a ON a.started = h.started
  -- a young archive is not silent before its first event
  WHERE h.started >= (SELECT min(started) FROM arrivals)
),
compared AS (
  SELECT
    started, n,
    -- of the other days: a silent hour adds nothing to the sum
    CAST(sum(n) OVER (PARTITION BY hour(started)) AS double)
      / nullif(count(*) OVER (PARTITION BY hour(started)) - 1, 0) AS usual,
    -- the same for all hours of one silence
    count_if(n > 0) OVER (ORDER BY started) AS silence
  FROM hours
)
SELECT min(started) AS silent_from, count(*) AS hours, round(sum(usual), 1) AS usual
FROM compared
WHERE n = 0
GROUP BY silence
HAVING sum(usual) >= 5
ORDER BY 3 DESC, 1

-- How many trials ended in each month, and how many became paying subscriptions?
--
-- A trial is a subscription whose latest state has a trial_end and is no longer trialing. It ended at
-- trial_end, or at ended_at where that was before. It is converted if the subscription was active or
-- past_due then or later, and an invoice of it over zero was paid within 7 days: at the trial's end at
-- the earliest, 7 times 24 hours later at the latest. Stripe makes that invoice at the trial's end.
--
-- Trials that end after current_date are not counted yet. Months are in UTC.
--
-- Columns:
--   month: its first day
--   conversion_rate: converted / trials_ended
--   is_complete: whether the month, and the 7 days of its last trial, are over
CREATE OR REPLACE VIEW trials_by_month AS
WITH trials AS (
  SELECT
    account, livemode, id AS subscription,
    max(IF(is_latest AND status <> 'trialing', least(trial_end, coalesce(ended_at, trial_end))))
      AS ended_at,
    max(IF(status IN ('active', 'past_due'), as_of)) AS last_active_at
  FROM (
    SELECT
      account, livemode, id, is_latest, as_of, json_extract_scalar(data, '$.status') AS status,
      CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.trial_end') AS bigint))
        AS timestamp(3)) AS trial_end,
      CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.ended_at') AS bigint))
        AS timestamp(3)) AS ended_at
    FROM object_states
    WHERE object = 'subscription'
  )
  GROUP BY account, livemode, id
),
paid AS (
  SELECT
    account, livemode,
    coalesce(json_extract_scalar(data, '$.subscription'),
      json_extract_scalar(data, '$.parent.subscription_details.subscription')) AS subscription,
    CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.status_transitions.paid_at') AS bigint))
      AS timestamp(3)) AS paid_at
  FROM object_states
  WHERE object = 'invoice' AND is_latest
    AND TRY_CAST(json_extract_scalar(data, '$.amount_paid') AS bigint) > 0
),
with_payment AS (
  SELECT
    trials.account, trials.livemode, trials.subscription, trials.ended_at,
    bool_or(trials.last_active_at >= trials.ended_at AND paid_at IS NOT NULL) AS is_converted
  FROM trials
  LEFT JOIN paid
    ON paid.subscription = trials.subscription
    AND paid.account IS NOT DISTINCT FROM trials.account
    AND paid.livemode IS NOT DISTINCT FROM trials.livemode
    AND paid_at BETWEEN trials.ended_at AND trials.ended_at + INTERVAL '7' DAY
  WHERE trials.ended_at < date_add('day', 1, CAST(current_date AS timestamp(3)))
  GROUP BY trials.account, trials.livemode, trials.subscription, trials.ended_at
)
SELECT
  CAST(date_trunc('month', ended_at) AS date) AS month, account, livemode,
  count(*) AS trials_ended,
  count_if(is_converted) AS converted,
  CAST(count_if(is_converted) AS decimal(18, 6)) / count(*) AS conversion_rate,
  CAST(date_trunc('month', max(ended_at)) AS date) < date_trunc('month', current_date)
    AND max(ended_at) + INTERVAL '7' DAY < CAST(current_date AS timestamp(3)) AS is_complete
FROM with_payment
GROUP BY 1, 2, 3

-- How many charges of each month were disputed, and how did that end?
--
-- By the month of the charge, in UTC, not that of the dispute: that is what card networks watch.
-- Charges are those that succeeded. An inquiry (status warning_…) is no dispute. A dispute whose
-- charge is not in the archive is counted nowhere here. Disputes arrive for months: the rate of a
-- young month still grows.
--
-- Columns:
--   month: its first day
--   disputed: charges with a dispute
--   dispute_rate: disputed / charges
--   won, lost: disputed charges with a dispute that ended so
CREATE OR REPLACE VIEW disputes_by_month AS
WITH charges_and_disputes AS (
  SELECT
    account, livemode, object, json_extract_scalar(data, '$.status') AS status,
    IF(object = 'charge', id, json_extract_scalar(data, '$.charge')) AS charge,
    CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
      AS created_at
  FROM object_states
  WHERE object IN ('charge', 'dispute') AND is_latest
),
by_charge AS (
  SELECT
    account, livemode, charge,
    min(IF(object = 'charge' AND status = 'succeeded', created_at)) AS charged_at,
    bool_or(object = 'dispute' AND status NOT LIKE 'warning%') AS is_disputed,
    bool_or(object = 'dispute' AND status = 'won') AS is_won,
    bool_or(object = 'dispute' AND status = 'lost') AS is_lost
  FROM charges_and_disputes
  GROUP BY account, livemode, charge
)
SELECT
  CAST(date_trunc('month', charged_at) AS date) AS month, account, livemode,
  count(*) AS charges,
  count_if(is_disputed) AS disputed,
  CAST(count_if(is_disputed) AS decimal(18, 6)) / count(*) AS dispute_rate,
  count_if(is_won) AS won,
  count_if(is_lost) AS lost
FROM by_charge
WHERE charged_at IS NOT NULL
GROUP BY 1, 2, 3

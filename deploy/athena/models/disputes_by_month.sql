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
WITH disputed AS (
  SELECT
    account, livemode, charge, bool_or(status = 'won') AS is_won, bool_or(status = 'lost') AS is_lost
  FROM disputes
  WHERE status NOT LIKE 'warning%'
  GROUP BY account, livemode, charge
)
SELECT
  CAST(date_trunc('month', charges.created_at) AS date) AS month,
  charges.account, charges.livemode,
  count(*) AS charges,
  count(disputed.charge) AS disputed,
  CAST(count(disputed.charge) AS decimal(18, 6)) / count(*) AS dispute_rate,
  count_if(is_won) AS won,
  count_if(is_lost) AS lost
FROM charges
LEFT JOIN disputed
  ON disputed.charge = charges.id AND disputed.account IS NOT DISTINCT FROM charges.account
  AND disputed.livemode IS NOT DISTINCT FROM charges.livemode
WHERE charges.status = 'succeeded'
GROUP BY 1, 2, 3

-- How much money came in, and what was left of it?
--
-- Months are in UTC, amounts in the currency's major unit.
--
-- gross: amount_captured of the charges that succeeded, in the month of charge.captured where there
-- was one, else of the charge. refunded: what amount_refunded of captured charges grew by, by the time
-- of the state; a refund that failed takes it back, and what a capture released is no refund. disputed: amounts of disputes as they open, taken
-- back where one is won or prevented; an inquiry (status warning_…) is no dispute. net_before_fees:
-- gross - refunded - disputed.
--
-- fees, net and paid_out come from balance transactions, by their created_at, in the currency of the
-- balance, which can be another than that of the charge. They are null where there is no balance
-- transaction of that month, account and currency. fees: the fees of all, and what was taken for
-- stripe_fee, stripe_fx_fee, tax_fee and network_cost. net: the net of all but payouts. paid_out:
-- payouts, less those that failed or were cancelled.
--
-- Columns:
--   month: its first day
CREATE OR REPLACE VIEW revenue_by_month AS
WITH states AS (
  SELECT
    account, livemode, object, id, type, as_of, is_latest, is_last,
    json_extract_scalar(data, '$.currency') AS currency,
    json_extract_scalar(data, '$.status') AS status,
    TRY_CAST(json_extract_scalar(data, '$.captured') AS boolean) AS is_captured,
    TRY_CAST(json_extract_scalar(data, '$.amount') AS bigint) AS amount,
    TRY_CAST(json_extract_scalar(data, '$.amount_captured') AS bigint) AS amount_captured,
    TRY_CAST(json_extract_scalar(data, '$.amount_refunded') AS bigint) AS amount_refunded,
    CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
      AS created_at,
    min(IF(type = 'charge.captured', as_of)) OVER (PARTITION BY account, livemode, object, id)
      AS captured_at
  FROM object_states
  WHERE object IN ('charge', 'dispute')
),
-- what the object has taken in, given back or withdrawn by each of its states
so_far AS (
  SELECT *,
    lag(coalesce(is_captured, false), 1, true)
      OVER (PARTITION BY account, livemode, object, id ORDER BY as_of) AS was_captured,
    IF(object = 'charge' AND is_latest AND is_captured AND status = 'succeeded',
      coalesce(amount_captured, amount), 0) AS gross,
    IF(object = 'charge' AND is_captured, coalesce(amount_refunded, 0), 0) AS refunded,
    IF(object = 'dispute' AND status NOT LIKE 'warning%' AND status NOT IN ('won', 'prevented'),
      coalesce(amount, 0), 0) AS disputed
  FROM states
  WHERE is_last
),
moved AS (
  SELECT
    account, livemode, currency, coalesce(captured_at, created_at) AS moved_at, gross,
    0 AS refunded, 0 AS disputed,
    CAST(NULL AS bigint) AS fees, CAST(NULL AS bigint) AS net, CAST(NULL AS bigint) AS paid_out
  FROM so_far
  WHERE gross <> 0
  UNION ALL
  SELECT
    account, livemode, currency, as_of, 0,
    IF(was_captured, refunded - lag(refunded, 1, 0) OVER of_object, 0),
    disputed - lag(disputed, 1, 0) OVER of_object,
    NULL, NULL, NULL
  FROM so_far
  WINDOW of_object AS (PARTITION BY account, livemode, object, id ORDER BY as_of)
  UNION ALL
  SELECT
    account, livemode, currency, created_at, 0, 0, 0,
    fee - IF(type IN ('stripe_fee', 'stripe_fx_fee', 'tax_fee', 'network_cost'), amount, 0),
    IF(type IN ('payout', 'payout_cancel', 'payout_failure'), 0, net),
    IF(type IN ('payout', 'payout_cancel', 'payout_failure'), - amount, 0)
  FROM balance_transactions
),
by_month AS (
  SELECT
    CAST(date_trunc('month', moved_at) AS date) AS month, account, livemode, moved.currency,
    coalesce(minor_unit, DECIMAL '0.010') AS minor_unit,
    sum(CAST(gross AS decimal(38, 0))) AS gross,
    sum(CAST(refunded AS decimal(38, 0))) AS refunded,
    sum(CAST(disputed AS decimal(38, 0))) AS disputed,
    sum(CAST(fees AS decimal(38, 0))) AS fees,
    sum(CAST(net AS decimal(38, 0))) AS net,
    sum(CAST(paid_out AS decimal(38, 0))) AS paid_out
  FROM moved
  LEFT JOIN currencies ON currencies.currency = moved.currency
  WHERE gross <> 0 OR refunded <> 0 OR disputed <> 0 OR fees IS NOT NULL
  GROUP BY 1, 2, 3, 4, 5
)
SELECT
  month, account, livemode, currency,
  CAST(gross * minor_unit AS decimal(38, 3)) AS gross,
  CAST(refunded * minor_unit AS decimal(38, 3)) AS refunded,
  CAST(disputed * minor_unit AS decimal(38, 3)) AS disputed,
  CAST((gross - refunded - disputed) * minor_unit AS decimal(38, 3)) AS net_before_fees,
  CAST(fees * minor_unit AS decimal(38, 3)) AS fees,
  CAST(net * minor_unit AS decimal(38, 3)) AS net,
  CAST(paid_out * minor_unit AS decimal(38, 3)) AS paid_out
FROM by_month

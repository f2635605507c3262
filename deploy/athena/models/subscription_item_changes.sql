-- When did the MRR of a subscription item change, and by how much?
--
-- A row for each moment at which the MRR of an item changed; subscription_item_states has the rules
-- of MRR. The sum of mrr_change up to a moment is the MRR of that moment.
--
-- kind: start is the first time above zero, resume is above zero again, end is to zero; increase and
-- decrease are between two amounts above zero.
--
-- Columns:
--   event_id: of the event that carried the state; null for a snapshot
CREATE OR REPLACE VIEW subscription_item_changes AS
SELECT
  as_of AS changed_at, account, livemode, customer, subscription, subscription_item, product, price,
  currency, quantity, mrr_before, mrr AS mrr_after, mrr - mrr_before AS mrr_change,
  CASE
    WHEN row_number() OVER (PARTITION BY account, livemode, subscription, subscription_item, currency
      ORDER BY as_of) = 1 THEN 'start'
    WHEN mrr_before = 0 THEN 'resume'
    WHEN mrr = 0 THEN 'end'
    WHEN mrr > mrr_before THEN 'increase'
    ELSE 'decrease'
  END AS kind,
  event_id
FROM subscription_item_states
WHERE mrr <> mrr_before

-- What was the MRR of each subscription item after each state of its subscription?
--
-- MRR: unit amount x quantity x months, in the currency's major unit, rounded once, half up to 6
-- decimals. Months are 1/n for month, 1/(12n) for year, 52/(12n) for week, 365/(12n) for day, n being
-- interval_count. unit_amount_decimal counts before unit_amount; transform_quantity is applied; an
-- item without a quantity counts once. The price is the item's own price, else its plan, else the
-- price of that id.
--
-- It counts while the status of the subscription is active or past_due; pause_collection changes
-- nothing. A metered price counts nothing. A price without a unit amount (tiers, a price without an
-- amount in the currency of the subscription) counts nothing and is unpriced.
--
-- Discounts: those of coupons of duration forever, in the order of their lists, those of the item
-- before those of the subscription. percent_off takes that share of what is left; amount_off of the
-- subscription is per invoice, and spread over its items by their amounts (rounded to 6 decimals of
-- the smallest unit); nothing falls below zero. A discount of the customer alone reduces nothing. A
-- discount that is not known (discount_terms), or whose amount in the currency is not, reduces
-- nothing and is counted, while the status counts.
--
-- The last state of a second counts. An item that is missing from the next state of its subscription
-- has a row with 0 at that state. A row follows each state, so most rows change nothing:
-- subscription_item_changes has those that change the MRR.
--
-- Columns:
--   as_of: time of the state
--   mrr: from then on
--   mrr_before: until then; 0 for an item that is new
--   unpriced_items: 1 while the item has no amount and would count
--   unknown_discounts: of the item; those of the subscription are counted at its first item
CREATE OR REPLACE VIEW subscription_item_states AS
WITH states AS (
  SELECT
    account, livemode, id AS subscription, as_of, event_id,
    lead(as_of) OVER following AS until_at, lead(event_id) OVER following AS until_event_id,
    coalesce(json_extract_scalar(data, '$.customer'), json_extract_scalar(data, '$.customer.id'))
      AS customer,
    json_extract_scalar(data, '$.currency') AS currency,
    NOT is_deleted AND json_extract_scalar(data, '$.status') IN ('active', 'past_due')
      AS is_counted,
    TRY_CAST(json_extract(data, '$.items.data') AS array(json)) AS items,
    -- older versions have one discount, newer ones a list, some both
    CASE
      WHEN json_array_length(json_extract(data, '$.discounts')) > 0
        THEN TRY_CAST(json_extract(data, '$.discounts') AS array(json))
      ELSE ARRAY[json_extract(data, '$.discount')]
    END AS discounts
  FROM object_states
  WHERE object = 'subscription' AND is_last
  WINDOW following AS (PARTITION BY account, livemode, id ORDER BY as_of)
),
items AS (
  SELECT
    states.*, place,
    json_extract_scalar(item, '$.id') AS subscription_item,
    TRY_CAST(json_extract_scalar(item, '$.quantity') AS bigint) AS quantity,
    coalesce(TRY_CAST(json_extract(item, '$.discounts') AS array(json)), ARRAY[])
      AS item_discounts,
    coalesce(
      json_extract_scalar(item, '$.price.id'), json_extract_scalar(item, '$.price'),
      json_extract_scalar(item, '$.plan.id'), json_extract_scalar(item, '$.plan')) AS price,
    CASE
      WHEN json_extract_scalar(item, '$.price.id') IS NOT NULL THEN json_extract(item, '$.price')
      WHEN json_extract_scalar(item, '$.plan.id') IS NOT NULL THEN json_extract(item, '$.plan')
    END AS own_terms
  FROM states
  CROSS JOIN UNNEST(states.items) WITH ORDINALITY AS t (item, place)
),
-- the terms are a price, or a plan in the form of older versions
with_terms AS (
  SELECT
    items.*, coalesce(own_terms, json_parse(known.data)) AS terms,
    TRY_CAST(coalesce(json_extract(own_terms, '$.currency_options'),
      json_extract(known.data, '$.currency_options')) AS map(varchar, json)) AS options
  FROM items
  LEFT JOIN (
    SELECT account, livemode, id, data FROM object_states WHERE object = 'price' AND is_latest
  ) AS known
    ON known.id = items.price AND known.livemode IS NOT DISTINCT FROM items.livemode
      AND known.account IS NOT DISTINCT FROM items.account
),
in_currency AS (
  SELECT *,
    IF(currency <> json_extract_scalar(terms, '$.currency'), element_at(options, currency), terms)
      AS amounts
  FROM with_terms
),
priced AS (
  SELECT
    account, livemode, customer, subscription, subscription_item, place, price, quantity,
    as_of, event_id, until_at, until_event_id, coalesce(is_counted, false) AS is_counted,
    coalesce(json_extract_scalar(terms, '$.product'), json_extract_scalar(terms, '$.product.id'))
      AS product,
    coalesce(currency, json_extract_scalar(terms, '$.currency')) AS currency,
    coalesce(json_extract_scalar(terms, '$.recurring.usage_type'),
      json_extract_scalar(terms, '$.usage_type'), 'licensed') = 'metered' AS is_metered,
    coalesce(json_extract_scalar(terms, '$.recurring.interval'),
      json_extract_scalar(terms, '$.interval')) AS period,
    TRY_CAST(coalesce(json_extract_scalar(terms, '$.recurring.interval_count'),
      json_extract_scalar(terms, '$.interval_count'), '1') AS bigint) AS periods,
    coalesce(quantity, 1) AS units,
    TRY_CAST(coalesce(json_extract_scalar(terms, '$.transform_quantity.divide_by'),
      json_extract_scalar(terms, '$.transform_usage.divide_by'), '1') AS bigint) AS divide_by,
    coalesce(json_extract_scalar(terms, '$.transform_quantity.round'),
      json_extract_scalar(terms, '$.transform_usage.round'), 'down') AS rounding,
    TRY_CAST(coalesce(json_extract_scalar(amounts, '$.unit_amount_decimal'),
      json_extract_scalar(amounts, '$.unit_amount'), json_extract_scalar(amounts, '$.amount_decimal'),
      json_extract_scalar(amounts, '$.amount')) AS decimal(38, 12)) AS unit_amount,
    transform(item_discounts || discounts, discount -> coalesce(
      json_extract_scalar(discount, '$'), json_extract_scalar(discount, '$.id'))) AS discounts,
    cardinality(item_discounts) AS item_discounts
  FROM in_currency
),
each_discount AS (
  SELECT
    priced.*, t.discount, nth <= item_discounts AS is_of_item, nth, duration,
    CAST((100 - coalesce(percent_off, 0)) * DECIMAL '0.01' AS decimal(11, 10)) AS keep,
    CASE
      WHEN amount_off IS NULL OR percent_off IS NOT NULL THEN 0
      WHEN known.currency = priced.currency THEN amount_off
      ELSE TRY_CAST(json_extract_scalar(element_at(
        TRY_CAST(json_parse(currency_options) AS map(varchar, json)), priced.currency),
        '$.amount_off') AS bigint)
    END AS amount_off
  FROM priced
  LEFT JOIN UNNEST(discounts) WITH ORDINALITY AS t (discount, nth) ON TRUE
  LEFT JOIN discount_terms AS known
    ON known.discount = t.discount AND known.livemode IS NOT DISTINCT FROM priced.livemode
      AND known.account IS NOT DISTINCT FROM priced.account
),
-- amounts are of an invoice, in the currency's smallest unit
amounts AS (
  SELECT
    account, livemode, customer, subscription, subscription_item, product, price, currency,
    quantity, as_of, event_id, until_at, until_event_id, is_counted, is_metered, period, periods,
    IF(NOT is_metered, TRY(unit_amount * IF(rounding = 'up',
      (units + divide_by - 1) / divide_by, units / divide_by))) AS amount,
    array_agg(CAST(ROW(keep, amount_off) AS ROW(keep decimal(11, 10), amount_off bigint))
      ORDER BY nth) FILTER (WHERE duration = 'forever' AND amount_off >= 0 AND is_of_item)
      AS item_discounts,
    array_agg(CAST(ROW(keep, amount_off) AS ROW(keep decimal(11, 10), amount_off bigint))
      ORDER BY nth) FILTER (WHERE duration = 'forever' AND amount_off >= 0 AND NOT is_of_item)
      AS discounts,
    count_if(discount IS NOT NULL AND (is_of_item OR place = 1)
      AND (duration IS NULL OR (duration = 'forever' AND amount_off IS NULL))) AS unknown
  FROM each_discount
  GROUP BY account, livemode, customer, subscription, subscription_item, place, product, price,
    currency, quantity, as_of, event_id, until_at, until_event_id, is_counted, is_metered, period,
    periods, unit_amount, rounding, units, divide_by
),
billed AS (
  SELECT *, TRY(greatest(0, coalesce(reduce(item_discounts, amount,
    (s, d) -> CAST(s * d.keep - d.amount_off AS decimal(38, 12)), s -> s), amount))) AS billed
  FROM amounts
),
invoices AS (
  SELECT *,
    sum(billed) OVER (PARTITION BY account, livemode, subscription, as_of) AS invoice,
    lead(as_of) OVER (PARTITION BY account, livemode, subscription, subscription_item, currency
      ORDER BY as_of) AS next_at
  FROM billed
),
discounted AS (
  SELECT *, TRY(CASE
    WHEN discounts IS NULL OR invoice = 0 THEN billed
    WHEN none_match(discounts, d -> d.amount_off > 0) THEN reduce(discounts, billed,
      (s, d) -> CAST(s * d.keep AS decimal(38, 12)), s -> s)
    ELSE CAST(billed AS decimal(20, 6)) * CAST(greatest(0, reduce(discounts, invoice,
      (s, d) -> CAST(s * d.keep - d.amount_off AS decimal(38, 12)), s -> s)) AS decimal(18, 6))
      / CAST(invoice AS decimal(18, 6))
  END) AS discounted
  FROM invoices
),
monthly AS (
  -- a quotient has the decimals of what is divided: 6, with 10^9 on both sides so that none is lost
  SELECT discounted.*, TRY(CAST(
    CAST(CAST(discounted * 1000000000 AS decimal(38, 3)) * coalesce(minor_unit, DECIMAL '0.010')
      * CASE period WHEN 'week' THEN 52 WHEN 'day' THEN 365 ELSE 1 END AS decimal(38, 6))
    / (1000000000 * periods * CASE period WHEN 'month' THEN 1 WHEN 'year' THEN 12 WHEN 'week' THEN 12
      WHEN 'day' THEN 12 END) AS decimal(38, 6))) AS mrr
  FROM discounted
  LEFT JOIN currencies ON currencies.currency = discounted.currency
),
moments AS (
  SELECT
    account, livemode, customer, subscription, subscription_item, product, price, currency,
    quantity, IF(is_gone, until_at, as_of) AS as_of, IF(is_gone, until_event_id, event_id) AS event_id,
    IF(is_gone OR NOT is_counted OR is_metered, 0, coalesce(mrr, 0)) AS mrr,
    IF(is_counted AND NOT is_gone AND NOT is_metered AND mrr IS NULL, 1, 0) AS unpriced_items,
    IF(is_counted AND NOT is_gone, unknown, 0) AS unknown_discounts
  FROM monthly
  CROSS JOIN UNNEST(ARRAY[false, true]) AS t (is_gone)
  WHERE NOT is_gone OR (until_at < next_at OR (until_at IS NOT NULL AND next_at IS NULL))
)
SELECT
  as_of, account, livemode, customer, subscription, subscription_item, product, price, currency,
  quantity, mrr, lag(mrr, 1, 0) OVER of_item AS mrr_before,
  unpriced_items, lag(unpriced_items, 1, 0) OVER of_item AS unpriced_items_before,
  unknown_discounts, lag(unknown_discounts, 1, 0) OVER of_item AS unknown_discounts_before,
  event_id
FROM moments
WINDOW of_item AS (PARTITION BY account, livemode, subscription, subscription_item, currency
  ORDER BY as_of)

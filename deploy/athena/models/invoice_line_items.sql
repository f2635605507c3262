-- What do the invoices charge for?
--
-- One row for each line of an invoice's latest state. A line that this state no longer has is gone.
-- Stripe embeds the first ten lines: invoices.lines_complete says whether there were more. Amounts are
-- in the smallest unit of `currency`.
--
-- Columns:
--   subscription_item: null for an invoice item without a subscription
--   price: null for an amount without a price
--   unit_amount_decimal: with up to 12 decimals; null for tiers
CREATE OR REPLACE VIEW invoice_line_items AS
SELECT
  account, livemode,
  json_extract_scalar(line, '$.id') AS id,
  id AS invoice,
  customer,
  coalesce(json_extract_scalar(line, '$.subscription'),
    json_extract_scalar(line, '$.parent.subscription_item_details.subscription'),
    json_extract_scalar(line, '$.parent.invoice_item_details.subscription')) AS subscription,
  coalesce(json_extract_scalar(line, '$.subscription_item'),
    json_extract_scalar(line, '$.parent.subscription_item_details.subscription_item'))
    AS subscription_item,
  coalesce(json_extract_scalar(line, '$.invoice_item'),
    json_extract_scalar(line, '$.parent.subscription_item_details.invoice_item'),
    json_extract_scalar(line, '$.parent.invoice_item_details.invoice_item')) AS invoice_item,
  CASE json_extract_scalar(line, '$.parent.type')
    WHEN 'subscription_item_details' THEN 'subscription'
    WHEN 'invoice_item_details' THEN 'invoiceitem'
    ELSE json_extract_scalar(line, '$.type') END AS type,
  coalesce(json_extract_scalar(line, '$.price.product'),
    json_extract_scalar(line, '$.plan.product'),
    json_extract_scalar(line, '$.pricing.price_details.product')) AS product,
  coalesce(json_extract_scalar(line, '$.price.id'), json_extract_scalar(line, '$.plan.id'),
    json_extract_scalar(line, '$.pricing.price_details.price')) AS price,
  TRY_CAST(json_extract_scalar(line, '$.amount') AS bigint) AS amount,
  json_extract_scalar(line, '$.currency') AS currency,
  TRY_CAST(json_extract_scalar(line, '$.quantity') AS bigint) AS quantity,
  json_extract_scalar(line, '$.description') AS description,
  TRY_CAST(coalesce(json_extract_scalar(line, '$.price.unit_amount_decimal'),
    json_extract_scalar(line, '$.plan.amount_decimal'),
    json_extract_scalar(line, '$.pricing.unit_amount_decimal')) AS decimal(26,12))
    AS unit_amount_decimal,
  TRY_CAST(coalesce(json_extract_scalar(line, '$.proration'),
    json_extract_scalar(line, '$.parent.subscription_item_details.proration'),
    json_extract_scalar(line, '$.parent.invoice_item_details.proration')) AS boolean) AS proration,
  TRY_CAST(json_extract_scalar(line, '$.discountable') AS boolean) AS discountable,
  nullif(json_format(json_extract(line, '$.discount_amounts')), 'null') AS discount_amounts,
  json_format(json_extract(line, '$.metadata')) AS metadata,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(line, '$.period.start') AS bigint)) AS timestamp(3)) AS period_start_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(line, '$.period.end') AS bigint)) AS timestamp(3)) AS period_end_at,
  is_deleted, as_of, event_id, api_version, source
FROM (
  SELECT account, livemode, id, is_deleted, as_of, event_id, api_version, source,
    json_extract_scalar(data, '$.customer') AS customer,
    TRY_CAST(json_extract(data, '$.lines.data') AS array(json)) AS list
  FROM object_states
  WHERE object = 'invoice' AND is_latest
)
CROSS JOIN UNNEST(list) AS lines (line)

-- Which subscriptions are there, and how do they stand now?
--
-- One row for each subscription, with the latest state that the archive knows. A cancelled one keeps
-- its row: its status is `canceled`. What it is for is in subscription_items.
--
-- Columns:
--   current_period_start_at: of the first item from API version 2025-03-31 on, which has it by item
--   discounts: ids, a JSON array
--   items_complete: whether the list of items was whole; Stripe embeds the first ten
CREATE OR REPLACE VIEW subscriptions AS
SELECT
  account, livemode, id,
  json_extract_scalar(data, '$.customer') AS customer,
  json_extract_scalar(data, '$.status') AS status,
  json_extract_scalar(data, '$.collection_method') AS collection_method,
  json_extract_scalar(data, '$.currency') AS currency,
  json_extract_scalar(data, '$.description') AS description,
  json_extract_scalar(data, '$.latest_invoice') AS latest_invoice,
  json_extract_scalar(data, '$.schedule') AS schedule,
  json_extract_scalar(data, '$.default_payment_method') AS default_payment_method,
  json_extract_scalar(data, '$.default_source') AS default_source,
  TRY_CAST(json_extract_scalar(data, '$.days_until_due') AS bigint) AS days_until_due,
  TRY_CAST(json_extract_scalar(data, '$.application_fee_percent') AS decimal(12,8))
    AS application_fee_percent,
  json_extract_scalar(data, '$.on_behalf_of') AS on_behalf_of,
  json_extract_scalar(data, '$.test_clock') AS test_clock,
  json_extract_scalar(data, '$.pending_setup_intent') AS pending_setup_intent,
  coalesce(
    nullif(json_format(CAST(transform(TRY_CAST(json_extract(data, '$.discounts') AS array(json)),
      d -> coalesce(json_extract_scalar(d, '$.id'), json_extract_scalar(d, '$'))) AS json)), '[]'),
    '["' || json_extract_scalar(data, '$.discount.id') || '"]',
    '[]') AS discounts,
  TRY_CAST(json_extract_scalar(data, '$.items.has_more') AS boolean) = false AS items_complete,
  TRY_CAST(json_extract_scalar(data, '$.cancel_at_period_end') AS boolean) AS cancel_at_period_end,
  json_extract_scalar(data, '$.cancellation_details.reason') AS cancellation_reason,
  json_extract_scalar(data, '$.cancellation_details.feedback') AS cancellation_feedback,
  json_extract_scalar(data, '$.cancellation_details.comment') AS cancellation_comment,
  json_extract_scalar(data, '$.pause_collection.behavior') AS pause_collection_behavior,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.pause_collection.resumes_at') AS bigint)) AS timestamp(3))
    AS pause_collection_resumes_at,
  json_extract_scalar(data, '$.trial_settings.end_behavior.missing_payment_method')
    AS trial_settings_missing_payment_method,
  TRY_CAST(json_extract_scalar(data, '$.automatic_tax.enabled') AS boolean)
    AS automatic_tax_enabled,
  json_format(json_extract(data, '$.metadata')) AS metadata,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.start_date') AS bigint)) AS timestamp(3)) AS start_date_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.trial_start') AS bigint)) AS timestamp(3)) AS trial_start_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.trial_end') AS bigint)) AS timestamp(3)) AS trial_end_at,
  CAST(from_unixtime(TRY_CAST(coalesce(json_extract_scalar(data, '$.current_period_start'),
    json_extract_scalar(data, '$.items.data[0].current_period_start')) AS bigint)) AS timestamp(3))
    AS current_period_start_at,
  CAST(from_unixtime(TRY_CAST(coalesce(json_extract_scalar(data, '$.current_period_end'),
    json_extract_scalar(data, '$.items.data[0].current_period_end')) AS bigint)) AS timestamp(3))
    AS current_period_end_at,
  CAST(from_unixtime(TRY_CAST(coalesce(json_extract_scalar(data, '$.billing_cycle_anchor'),
    json_extract_scalar(data, '$.billing_cycle_anchor.timestamp')) AS bigint)) AS timestamp(3))
    AS billing_cycle_anchor_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.cancel_at') AS bigint)) AS timestamp(3)) AS cancel_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.canceled_at') AS bigint)) AS timestamp(3)) AS canceled_at,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.ended_at') AS bigint)) AS timestamp(3))
    AS ended_at,
  CAST(from_unixtime(TRY_CAST(
    json_extract_scalar(data, '$.next_pending_invoice_item_invoice') AS bigint)) AS timestamp(3))
    AS next_pending_invoice_item_invoice_at,
  is_deleted, as_of, event_id, api_version, source
FROM object_states
WHERE object = 'subscription' AND is_latest

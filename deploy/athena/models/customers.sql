-- Which customers are there, and how do they stand now?
--
-- One row for each customer, with the latest state that the archive knows.
--
-- Columns:
--   balance: credit (negative) or debt for the next invoice, in the smallest unit of `currency`
--   discount: id of the customer-wide discount
CREATE OR REPLACE VIEW customers AS
SELECT
  account, livemode, id,
  json_extract_scalar(data, '$.name') AS name,
  json_extract_scalar(data, '$.email') AS email,
  json_extract_scalar(data, '$.phone') AS phone,
  json_extract_scalar(data, '$.description') AS description,
  json_extract_scalar(data, '$.individual_name') AS individual_name,
  json_extract_scalar(data, '$.business_name') AS business_name,
  json_extract_scalar(data, '$.currency') AS currency,
  TRY_CAST(json_extract_scalar(data, '$.balance') AS bigint) AS balance,
  TRY_CAST(json_extract_scalar(data, '$.delinquent') AS boolean) AS delinquent,
  json_extract_scalar(data, '$.tax_exempt') AS tax_exempt,
  json_extract_scalar(data, '$.invoice_prefix') AS invoice_prefix,
  TRY_CAST(json_extract_scalar(data, '$.next_invoice_sequence') AS bigint) AS next_invoice_sequence,
  json_extract_scalar(data, '$.default_source') AS default_source,
  json_extract_scalar(data, '$.invoice_settings.default_payment_method') AS default_payment_method,
  json_extract_scalar(data, '$.address.line1') AS address_line1,
  json_extract_scalar(data, '$.address.line2') AS address_line2,
  json_extract_scalar(data, '$.address.city') AS address_city,
  json_extract_scalar(data, '$.address.state') AS address_state,
  json_extract_scalar(data, '$.address.postal_code') AS address_postal_code,
  json_extract_scalar(data, '$.address.country') AS address_country,
  nullif(json_format(json_extract(data, '$.shipping')), 'null') AS shipping,
  nullif(json_format(json_extract(data, '$.preferred_locales')), 'null') AS preferred_locales,
  json_extract_scalar(data, '$.discount') AS discount,
  json_extract_scalar(data, '$.test_clock') AS test_clock,
  json_format(json_extract(data, '$.metadata')) AS metadata,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  is_deleted, as_of, event_id, api_version, source
FROM object_states
WHERE object = 'customer' AND is_latest

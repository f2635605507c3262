-- Which products are sold?
--
-- One row for each product, with the latest state that the archive knows.
CREATE OR REPLACE VIEW products AS
SELECT
  account, livemode, id,
  json_extract_scalar(data, '$.name') AS name,
  json_extract_scalar(data, '$.description') AS description,
  TRY_CAST(json_extract_scalar(data, '$.active') AS boolean) AS active,
  json_extract_scalar(data, '$.type') AS type,
  json_extract_scalar(data, '$.default_price') AS default_price,
  json_extract_scalar(data, '$.tax_code') AS tax_code,
  json_extract_scalar(data, '$.unit_label') AS unit_label,
  json_extract_scalar(data, '$.statement_descriptor') AS statement_descriptor,
  json_extract_scalar(data, '$.url') AS url,
  TRY_CAST(json_extract_scalar(data, '$.shippable') AS boolean) AS shippable,
  nullif(json_format(json_extract(data, '$.images')), 'null') AS images,
  coalesce(nullif(json_format(
    json_extract(data, '$.marketing_features')), 'null'), nullif(json_format(
    json_extract(data, '$.features')), 'null')) AS marketing_features,
  json_format(json_extract(data, '$.metadata')) AS metadata,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.created') AS bigint)) AS timestamp(3))
    AS created_at,
  CAST(from_unixtime(TRY_CAST(json_extract_scalar(data, '$.updated') AS bigint)) AS timestamp(3))
    AS updated_at,
  is_deleted, as_of, event_id, api_version, source
FROM object_states
WHERE object = 'product' AND is_latest

-- Takes the arrivals of some days into the table of compacted events, each event once.
-- `flask archive compact` runs this for each month, or for some days of a large one, with the query
-- of stripe_events.sql over these days in the place of arrivals_replace_me.
--
-- An event that is there already stays as it is, unless this arrival of it was the earlier one. So
-- late objects, redeliveries and days that are merged again change nothing.
--
-- oldest_replace_me is earlier than any of these events was made, and so than each arrival of it:
-- Iceberg knows the times in each file, and older files are not read.
-- https://docs.aws.amazon.com/athena/latest/ug/merge-into-statement.html
MERGE INTO stripe_events_compacted AS compacted
USING (arrivals_replace_me) AS arrived
ON compacted.id = arrived.id
  AND (compacted.received_at >= TIMESTAMP 'oldest_replace_me' OR compacted.received_at IS NULL)
WHEN MATCHED AND arrived.received_at < compacted.received_at THEN UPDATE SET
  year = arrived.year, month = arrived.month, day = arrived.day, type = arrived.type,
  created_at = CAST(arrived.created_at AS timestamp(6)),
  received_at = CAST(arrived.received_at AS timestamp(6)),
  livemode = arrived.livemode, account = arrived.account,
  api_version = arrived.api_version, source = arrived.source, object_type = arrived.object_type,
  object_id = arrived.object_id, customer = arrived.customer, status = arrived.status,
  amount = arrived.amount, currency = arrived.currency, minor_unit = arrived.minor_unit,
  amount_major = arrived.amount_major, payload = arrived.payload
WHEN NOT MATCHED THEN INSERT (
  year, month, day, id, type, created_at, received_at, livemode, account, api_version, source,
  object_type, object_id, customer, status, amount, currency, minor_unit, amount_major, payload
) VALUES (
  arrived.year, arrived.month, arrived.day, arrived.id, arrived.type,
  CAST(arrived.created_at AS timestamp(6)), CAST(arrived.received_at AS timestamp(6)),
  arrived.livemode, arrived.account, arrived.api_version, arrived.source,
  arrived.object_type, arrived.object_id, arrived.customer, arrived.status, arrived.amount,
  arrived.currency, arrived.minor_unit, arrived.amount_major, arrived.payload
)

-- The table of compacted events: each event once, in columns, by month of arrival.
-- `flask archive compact` runs this, with your bucket's name in LOCATION.
--
-- It is partitioned by the earliest arrival, not by `created_at`: a day's run then writes to one
-- month whatever has arrived, `year` and `month` mean what they mean in stripe_webhooks, and the
-- folder in which a record lies tells which partition has its event, for whoever has to erase it.
-- Each file has the least and the greatest `created_at` of its rows, by which queries skip it.
--
-- Iceberg has neither timestamp(3) nor varchar: the view casts back.
-- https://docs.aws.amazon.com/athena/latest/ug/querying-iceberg-supported-data-types.html
-- What partitions it comes first.
-- https://docs.aws.amazon.com/athena/latest/ug/querying-iceberg-creating-tables.html
CREATE TABLE IF NOT EXISTS stripe_events_compacted (
  year string COMMENT 'of the earliest arrival',
  month string COMMENT 'of the earliest arrival',
  day string COMMENT 'of the earliest arrival',
  id string COMMENT 'event id, evt_...; once',
  type string COMMENT 'event type, as in charge.succeeded',
  created_at timestamp COMMENT 'when it happened at Stripe, UTC',
  received_at timestamp COMMENT 'when it arrived first, UTC, to the millisecond',
  livemode boolean COMMENT 'false in test mode',
  account string COMMENT 'connected account, with Connect',
  api_version string COMMENT 'Stripe API version that rendered the event',
  source string COMMENT 'webhook, or events_api where a tool filled a gap',
  object_type string COMMENT 'what the event is about: charge, invoice, ...',
  object_id string COMMENT 'its id',
  customer string COMMENT 'its customer; itself, where it is one',
  status string COMMENT 'its status',
  amount bigint COMMENT 'its amount, in the smallest unit of the currency',
  currency string COMMENT 'eur, in lower case',
  minor_unit decimal(4,3) COMMENT 'what 1 of the smallest unit is worth',
  amount_major decimal(38,3) COMMENT 'the amount in the currency itself',
  payload string COMMENT 'the event'
)
PARTITIONED BY (year, month)
LOCATION 's3://your-company-stripe-webhooks/parquet/stripe_events/'
TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet', 'write_compression' = 'zstd')

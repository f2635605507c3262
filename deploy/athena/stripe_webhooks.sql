-- The archive as a table. Put the name of your bucket into LOCATION and into
-- storage.location.template, then run it in Athena, in the database stripe_analytics.
--
-- Partitions are projected from the dates in the path: no crawler, no MSCK REPAIR, and a query
-- with year, month and day reads those folders only. The years end at NOW because a query that names
-- no year makes Athena list every projected day in S3: 372 a year up to today, but tens of thousands
-- of LIST requests up to some far year, and a near one would hide data once it has passed.
CREATE EXTERNAL TABLE IF NOT EXISTS stripe_analytics.stripe_webhooks (
  `received_at` string COMMENT 'arrival, UTC, ISO 8601 with microseconds and Z',
  `id` string COMMENT 'event id, evt_...; can occur more than once',
  `type` string COMMENT 'event type, as in charge.succeeded',
  `object` string COMMENT 'event, or v2.core.event for a thin event',
  `api_version` string COMMENT 'Stripe API version that rendered the event',
  `account` string COMMENT 'connected account, with Connect',
  `created` bigint COMMENT 'when it happened at Stripe, Unix seconds',
  `livemode` boolean COMMENT 'false in test mode',
  `source` string COMMENT 'webhook, or events_api where a tool filled a gap',
  `stripe_signature` string COMMENT 'header as received, to prove the payload by',
  `payload` string COMMENT 'body as received; json_extract reads it'
)
PARTITIONED BY (`year` string, `month` string, `day` string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES ('case.insensitive' = 'false')
STORED AS
  INPUTFORMAT 'org.apache.hadoop.mapred.TextInputFormat'
  OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'
LOCATION 's3://your-company-stripe-webhooks/webhooks/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.year.type' = 'date',
  'projection.year.format' = 'yyyy',
  'projection.year.range' = '2025,NOW',
  'projection.year.interval' = '1',
  'projection.year.interval.unit' = 'YEARS',
  'projection.month.type' = 'integer',
  'projection.month.range' = '1,12',
  'projection.month.digits' = '2',
  'projection.day.type' = 'integer',
  'projection.day.range' = '1,31',
  'projection.day.digits' = '2',
  'storage.location.template' =
    's3://your-company-stripe-webhooks/webhooks/year=${year}/month=${month}/day=${day}/'
);

-- Objects as Stripe's API lists them, which `flask archive snapshot` writes: a row an object and run.
-- Put the name of your bucket into LOCATION and into storage.location.template, then run it in
-- Athena, in the database stripe_analytics. Partitions are projected, as those of stripe_webhooks.
CREATE EXTERNAL TABLE IF NOT EXISTS stripe_analytics.stripe_snapshots (
  `snapshot_at` string COMMENT 'when it was listed, UTC, ISO 8601 with microseconds and Z',
  `object` string COMMENT 'type of the object, as in subscription',
  `id` string COMMENT 'id of the object',
  `livemode` boolean COMMENT 'false in test mode',
  `account` string COMMENT 'connected account, with Connect',
  `api_version` string COMMENT 'Stripe API version that rendered the object',
  `payload` string COMMENT 'the object as it stood in the list; json_extract reads it'
)
PARTITIONED BY (`year` string, `month` string, `day` string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES ('case.insensitive' = 'false')
STORED AS
  INPUTFORMAT 'org.apache.hadoop.mapred.TextInputFormat'
  OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'
LOCATION 's3://your-company-stripe-webhooks/snapshots/'
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
    's3://your-company-stripe-webhooks/snapshots/year=${year}/month=${month}/day=${day}/'
);

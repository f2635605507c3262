"""Where events are kept: Firehose with S3, or a local folder."""

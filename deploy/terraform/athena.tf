resource "aws_glue_catalog_database" "archive" {
  name        = var.database_name
  description = "Every Stripe webhook event as it was received."
}

locals {
  # deploy/athena/stripe_webhooks.sql and stripe_snapshots.sql say the same as DDL, and why
  webhooks_columns = [
    ["received_at", "string", "arrival, UTC, ISO 8601 with microseconds and Z"],
    ["id", "string", "event id, evt_...; can occur more than once"],
    ["type", "string", "event type, as in charge.succeeded"],
    ["object", "string", "event, or v2.core.event for a thin event"],
    ["api_version", "string", "Stripe API version that rendered the event"],
    ["account", "string", "connected account, with Connect"],
    ["created", "bigint", "when it happened at Stripe, Unix seconds"],
    ["livemode", "boolean", "false in test mode"],
    ["source", "string", "webhook, or events_api where a tool filled a gap"],
    ["stripe_signature", "string", "header as received, to prove the payload by"],
    ["payload", "string", "body as received; json_extract reads it"],
  ]
  snapshots_columns = [
    ["snapshot_at", "string", "when it was listed, UTC, ISO 8601 with microseconds and Z"],
    ["object", "string", "type of the object, as in subscription"],
    ["id", "string", "id of the object"],
    ["livemode", "boolean", "false in test mode"],
    ["account", "string", "connected account, with Connect"],
    ["api_version", "string", "Stripe API version that rendered the object"],
    ["payload", "string", "the object as it stood in the list; json_extract reads it"],
  ]
  projection = {
    "EXTERNAL"                      = "TRUE"
    "projection.enabled"            = "true"
    "projection.year.type"          = "date"
    "projection.year.format"        = "yyyy"
    "projection.year.range"         = "2025,NOW"
    "projection.year.interval"      = "1"
    "projection.year.interval.unit" = "YEARS"
    "projection.month.type"         = "integer"
    "projection.month.range"        = "1,12"
    "projection.month.digits"       = "2"
    "projection.day.type"           = "integer"
    "projection.day.range"          = "1,31"
    "projection.day.digits"         = "2"
  }
}

resource "aws_glue_catalog_table" "stripe_webhooks" {
  database_name = aws_glue_catalog_database.archive.name
  name          = "stripe_webhooks"
  description   = "One row a delivery, as received."
  table_type    = "EXTERNAL_TABLE"
  dynamic "partition_keys" {
    for_each = ["year", "month", "day"]
    content {
      name = partition_keys.value
      type = "string"
    }
  }
  parameters = merge(local.projection, {
    "storage.location.template" = "s3://${aws_s3_bucket.archive.bucket}/webhooks/year=$${year}/month=$${month}/day=$${day}/"
  })
  storage_descriptor {
    location      = "s3://${aws_s3_bucket.archive.bucket}/webhooks/"
    input_format  = "org.apache.hadoop.mapred.TextInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
    ser_de_info {
      serialization_library = "org.openx.data.jsonserde.JsonSerDe"
      parameters            = { "case.insensitive" = "false" }
    }
    dynamic "columns" {
      for_each = local.webhooks_columns
      content {
        name    = columns.value[0]
        type    = columns.value[1]
        comment = columns.value[2]
      }
    }
  }
}

resource "aws_glue_catalog_table" "stripe_snapshots" {
  database_name = aws_glue_catalog_database.archive.name
  name          = "stripe_snapshots"
  description   = "One row an object and run, as Stripe's API lists it."
  table_type    = "EXTERNAL_TABLE"
  dynamic "partition_keys" {
    for_each = ["year", "month", "day"]
    content {
      name = partition_keys.value
      type = "string"
    }
  }
  parameters = merge(local.projection, {
    "storage.location.template" = "s3://${aws_s3_bucket.archive.bucket}/snapshots/year=$${year}/month=$${month}/day=$${day}/"
  })
  storage_descriptor {
    location      = "s3://${aws_s3_bucket.archive.bucket}/snapshots/"
    input_format  = "org.apache.hadoop.mapred.TextInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
    ser_de_info {
      serialization_library = "org.openx.data.jsonserde.JsonSerDe"
      parameters            = { "case.insensitive" = "false" }
    }
    dynamic "columns" {
      for_each = local.snapshots_columns
      content {
        name    = columns.value[0]
        type    = columns.value[1]
        comment = columns.value[2]
      }
    }
  }
}

# A view of Athena is a Glue table with its SQL, and the types that Athena gives its columns, in a
# comment. If Athena ever calls it stale, the saved query stripe_events makes it anew.
locals {
  view         = file("${path.module}/../athena/stripe_events.sql")
  view_columns = jsondecode(file("${path.module}/../athena/stripe_events.columns.json"))
}

resource "aws_glue_catalog_table" "stripe_events" {
  depends_on = [aws_glue_catalog_table.stripe_webhooks]

  database_name = aws_glue_catalog_database.archive.name
  name          = "stripe_events"
  description   = "One row an event, with the fields that everybody wants."
  table_type    = "VIRTUAL_VIEW"
  parameters    = { presto_view = "true", comment = "Presto View" }
  view_original_text = "/* Presto View: ${base64encode(jsonencode({
    originalSql = trimspace(split("CREATE OR REPLACE VIEW stripe_events AS\n", local.view)[1])
    catalog     = "awsdatacatalog"
    schema      = var.database_name
    columns     = [for column in local.view_columns : { name = column[0], type = column[1] }]
  }))} */"
  view_expanded_text = "/* Presto View */"
  storage_descriptor {
    dynamic "columns" {
      for_each = local.view_columns
      content {
        name = columns.value[0]
        type = lookup({ varchar = "string", "timestamp(3)" = "timestamp" }, columns.value[1], columns.value[1])
      }
    }
  }
}

resource "aws_athena_workgroup" "archive" {
  name          = var.database_name
  description   = "Queries over the archive, with a limit on what one may read."
  force_destroy = true
  configuration {
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.scan_limit_bytes
    engine_version {
      selected_engine_version = "Athena engine version 3"
    }
    result_configuration {
      output_location = "s3://${aws_s3_bucket.archive.bucket}/athena-results/"
      encryption_configuration {
        encryption_option = local.key == null ? "SSE_S3" : "SSE_KMS"
        kms_key_arn       = local.key
      }
    }
  }
}

locals {
  query_files = concat(
    [for name in fileset("${path.module}/../athena/queries", "*.sql") : "queries/${name}"],
    ["stripe_events.sql"],
  )
  queries = { for file in local.query_files :
    trimsuffix(basename(file), ".sql") => trimspace(file("${path.module}/../athena/${file}"))
  }
}

# described by the first sentence of their comment
resource "aws_athena_named_query" "library" {
  for_each = local.queries

  name        = each.key
  description = trimprefix(split("\n", each.value)[0], "-- ")
  database    = aws_glue_catalog_database.archive.name
  workgroup   = aws_athena_workgroup.archive.name
  query       = each.value
}

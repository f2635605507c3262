resource "aws_s3_bucket" "archive" {
  bucket = var.bucket_name

  # docs/FIREHOSE_SETUP.md says how to take the rest away and keep the bucket
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "archive" {
  bucket = aws_s3_bucket.archive.bucket
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm     = local.key == null ? "AES256" : "aws:kms"
      kms_master_key_id = local.key
    }
    bucket_key_enabled = local.key == null ? null : true
  }
}

resource "aws_s3_bucket_public_access_block" "archive" {
  bucket                  = aws_s3_bucket.archive.bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "archive" {
  bucket = aws_s3_bucket.archive.bucket
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "archive" {
  bucket = aws_s3_bucket.archive.bucket
  versioning_configuration {
    status = "Enabled"
  }
}

# No transition to another storage class: Athena passes over what lies in Glacier without a word,
# and objects this small cost more in the infrequent-access classes, not less.
resource "aws_s3_bucket_lifecycle_configuration" "archive" {
  # rules on old versions count only where versions are kept
  depends_on = [aws_s3_bucket_versioning.archive]

  bucket = aws_s3_bucket.archive.bucket
  rule {
    id     = "abort-incomplete-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
  rule {
    id     = "remove-old-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = var.old_version_days
    }
    expiration {
      expired_object_delete_marker = true
    }
  }
  rule {
    id     = "expire-query-results"
    status = "Enabled"
    filter {
      prefix = "athena-results/"
    }
    expiration {
      days = 30
    }
  }
  # not parquet/: the table would name files that are gone, see compact --expire-days
  dynamic "rule" {
    for_each = var.archive_expiry_days > 0 ? ["webhooks", "errors", "snapshots"] : []
    content {
      id     = "expire-${rule.value}"
      status = "Enabled"
      filter {
        prefix = "${rule.value}/"
      }
      expiration {
        days = var.archive_expiry_days
      }
    }
  }
}

resource "aws_s3_bucket_object_lock_configuration" "archive" {
  count      = var.object_lock_days > 0 ? 1 : 0
  depends_on = [aws_s3_bucket_versioning.archive]

  bucket              = aws_s3_bucket.archive.bucket
  object_lock_enabled = "Enabled"
  rule {
    default_retention {
      mode = var.object_lock_mode
      days = var.object_lock_days
    }
  }
}

resource "aws_s3_bucket_logging" "archive" {
  count = var.access_log_bucket_name == "" ? 0 : 1

  bucket        = aws_s3_bucket.archive.bucket
  target_bucket = var.access_log_bucket_name
  target_prefix = "${var.bucket_name}/"
}

resource "aws_s3_bucket_policy" "archive" {
  depends_on = [aws_s3_bucket_public_access_block.archive]

  bucket = aws_s3_bucket.archive.bucket
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.archive.arn, "${aws_s3_bucket.archive.arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      # Firehose names each object anew. Everybody else says whether a put makes an object
      # (If-None-Match) or replaces the version that it names (If-Match).
      {
        Sid       = "NoBlindOverwrite"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource  = "${aws_s3_bucket.archive.arn}/webhooks/*"
        Condition = {
          Null         = { "s3:if-none-match" = "true", "s3:if-match" = "true" }
          Bool         = { "s3:ObjectCreationOperation" = "true" }
          ArnNotEquals = { "aws:PrincipalArn" = aws_iam_role.delivery.arn }
        }
      },
    ]
  })
}

resource "aws_kinesis_firehose_delivery_stream" "events" {
  depends_on = [aws_iam_role_policy.delivery]

  name        = var.stream_name
  destination = "extended_s3"
  server_side_encryption {
    enabled  = true
    key_type = local.key == null ? "AWS_OWNED_CMK" : "CUSTOMER_MANAGED_CMK"
    key_arn  = local.key
  }
  extended_s3_configuration {
    bucket_arn          = aws_s3_bucket.archive.arn
    role_arn            = aws_iam_role.delivery.arn
    prefix              = "webhooks/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/"
    error_output_prefix = "errors/!{firehose:error-output-type}/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/"
    custom_time_zone    = "UTC"
    compression_format  = "GZIP"
    file_extension      = ".json.gz"
    buffering_interval  = var.buffer_interval_seconds
    buffering_size      = var.buffer_size_megabytes
    cloudwatch_logging_options {
      enabled         = true
      log_group_name  = aws_cloudwatch_log_group.delivery.name
      log_stream_name = aws_cloudwatch_log_stream.delivery.name
    }
  }

  # to delete a stream is to delete the events that it still holds
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_cloudwatch_log_group" "delivery" {
  name              = "/aws/kinesisfirehose/${var.stream_name}"
  retention_in_days = 90
  kms_key_id        = local.key
}

resource "aws_cloudwatch_log_stream" "delivery" {
  log_group_name = aws_cloudwatch_log_group.delivery.name
  name           = "DestinationDelivery"
}

# `terraform test`: what the variables change, and which values are refused. It needs no account.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { region = "us-east-1" }
  }
}

variables {
  bucket_name = "acme-stripe-webhooks"
}

run "by_default_nothing_expires_and_silence_rings_after_two_days" {
  command = plan

  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.archive.rule) == 3
    error_message = "without archive_expiry_days no rule ends an event"
  }
  assert {
    condition     = length(aws_sns_topic_subscription.alarms) == 0
    error_message = "without alarm_email the topic has no reader"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.silent[0].evaluation_periods == 48
    error_message = "silence rings a day before Stripe gives up"
  }
  assert {
    condition     = length(aws_s3_bucket_object_lock_configuration.archive) == 0
    error_message = "without object_lock_days nothing is locked"
  }
  assert {
    condition     = length(aws_cloudwatch_log_metric_filter.service) == 0
    error_message = "without log_group_name no log is read"
  }
  assert {
    condition     = output.environment == "AWS_REGION=us-east-1\nFIREHOSE_DELIVERY_STREAM_NAME=stripe-webhook-stream\nARCHIVE_BUCKET=acme-stripe-webhooks\n"
    error_message = "the output is the environment of the service, line by line"
  }
}

run "every_option_is_taken" {
  command = plan

  variables {
    stream_name             = "live-events"
    buffer_interval_seconds = 900
    archive_expiry_days     = 3650
    alarm_email             = "ops@example.com"
    silence_hours           = 0
    object_lock_mode        = "COMPLIANCE"
    object_lock_days        = 2555
    log_group_name          = "/ecs/stripe-analytics-backend"
    reconcile_hours         = 26
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.archive.rule[3].expiration[0].days == 3650
    error_message = "archive_expiry_days ends events"
  }
  assert {
    condition     = aws_sns_topic_subscription.alarms[0].endpoint == "ops@example.com"
    error_message = "alarm_email reads the topic"
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.silent) == 0
    error_message = "0 silence_hours is no alarm"
  }
  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.archive.rule : rule.id if startswith(rule.id, "expire-")] == ["expire-query-results", "expire-webhooks", "expire-errors", "expire-snapshots"]
    error_message = "archive_expiry_days ends what is made of events, too"
  }
  assert {
    condition     = aws_s3_bucket_object_lock_configuration.archive[0].rule[0].default_retention[0].days == 2555
    error_message = "object_lock_days locks"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.not_reconciled[0].evaluation_periods == 26
    error_message = "reconcile_hours are hours"
  }
  assert {
    condition     = contains(aws_cloudwatch_metric_alarm.late.metric_query[*].expression, "freshness - 900")
    error_message = "the buffer's time is taken off what is late"
  }
}

run "a_bucket_in_capitals_is_refused" {
  command = plan
  variables {
    bucket_name = "Acme"
  }
  expect_failures = [var.bucket_name]
}

run "a_bucket_with_dots_is_refused" {
  command = plan
  variables {
    bucket_name = "acme..webhooks"
  }
  expect_failures = [var.bucket_name]
}

run "a_stream_with_a_dot_is_refused" {
  command = plan
  variables {
    stream_name = "live.events"
  }
  expect_failures = [var.stream_name]
}

run "an_alias_of_a_key_is_refused" {
  command = plan
  variables {
    kms_key_arn = "alias/archive"
  }
  expect_failures = [var.kms_key_arn]
}

run "a_buffer_beyond_firehose_is_refused" {
  command = plan
  variables {
    buffer_interval_seconds = 901
  }
  expect_failures = [var.buffer_interval_seconds]
}

run "an_address_without_at_is_refused" {
  command = plan
  variables {
    alarm_email = "ops"
  }
  expect_failures = [var.alarm_email]
}

run "more_than_a_week_of_silence_is_refused" {
  command = plan
  variables {
    silence_hours = 169
  }
  expect_failures = [var.silence_hours]
}

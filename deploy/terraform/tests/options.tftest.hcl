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

run "by_default_nothing_expires_and_nobody_is_told" {
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
    condition     = length(aws_cloudwatch_metric_alarm.silent) == 0
    error_message = "without silence_hours silence is no alarm"
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
    silence_hours           = 6
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
    condition     = aws_cloudwatch_metric_alarm.silent[0].evaluation_periods == 6
    error_message = "silence_hours are hours"
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

# encrypted with a key of yours only: CloudWatch cannot publish through the one that AWS manages
resource "aws_sns_topic" "alarms" {
  name              = "${var.stream_name}-alarms"
  kms_master_key_id = local.key
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Alarms"
      Effect    = "Allow"
      Principal = { Service = "cloudwatch.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms.arn
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_sns_topic_subscription" "alarms" {
  count = var.alarm_email == "" ? 0 : 1

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

# Firehose holds what S3 refuses for 24 hours and then loses it: this is the alarm that counts. The
# buffer's time is taken off, so that a long buffer does not ring: 300 s later than that is late,
# which is 10 minutes with the default buffer.
resource "aws_cloudwatch_metric_alarm" "late" {
  alarm_name        = "${var.stream_name}-late"
  alarm_description = "Events wait in Firehose and are not in S3. They are lost after 24 hours. See docs/OPERATIONS.md, S3 refuses Firehose."
  metric_query {
    id          = "late"
    label       = "Seconds beyond the buffer"
    expression  = "freshness - ${var.buffer_interval_seconds}"
    return_data = true
  }
  metric_query {
    id = "freshness"
    metric {
      namespace   = "AWS/Firehose"
      metric_name = "DeliveryToS3.DataFreshness"
      dimensions  = { DeliveryStreamName = aws_kinesis_firehose_delivery_stream.events.name }
      period      = 300
      stat        = "Maximum"
    }
    return_data = false
  }
  comparison_operator = "GreaterThanThreshold"
  threshold           = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "failing" {
  alarm_name          = "${var.stream_name}-failing"
  alarm_description   = "More than 5 % of Firehose's writes to S3 fail. See docs/OPERATIONS.md, S3 refuses Firehose."
  namespace           = "AWS/Firehose"
  metric_name         = "DeliveryToS3.Success"
  dimensions          = { DeliveryStreamName = aws_kinesis_firehose_delivery_stream.events.name }
  statistic           = "Average"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "LessThanThreshold"
  threshold           = 0.95
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "throttled" {
  alarm_name          = "${var.stream_name}-throttled"
  alarm_description   = "Firehose refuses events over the stream's quota; Stripe delivers them again. See docs/OPERATIONS.md, Throttling."
  namespace           = "AWS/Firehose"
  metric_name         = "ThrottledRecords"
  dimensions          = { DeliveryStreamName = aws_kinesis_firehose_delivery_stream.events.name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# the highest of the three shares of the stream's quotas, in percent
resource "aws_cloudwatch_metric_alarm" "quota" {
  alarm_name        = "${var.stream_name}-quota"
  alarm_description = "Over 80 % of one of the stream's quotas are used; beyond it Firehose refuses events. See docs/OPERATIONS.md, Throttling."
  metric_query {
    id          = "used"
    label       = "Percent of the quota"
    expression  = "MAX([bytes_share, records_share, requests_share])"
    return_data = true
  }
  # sums of 300 s against limits of one second: 100 / 300 makes percent
  dynamic "metric_query" {
    for_each = ["bytes", "records", "requests"]
    content {
      id          = "${metric_query.value}_share"
      expression  = "${metric_query.value} / ${metric_query.value}_limit / 3"
      return_data = false
    }
  }
  dynamic "metric_query" {
    for_each = {
      bytes          = ["IncomingBytes", "Sum"]
      bytes_limit    = ["BytesPerSecondLimit", "Minimum"]
      records        = ["IncomingRecords", "Sum"]
      records_limit  = ["RecordsPerSecondLimit", "Minimum"]
      requests       = ["IncomingPutRequests", "Sum"]
      requests_limit = ["PutRequestsPerSecondLimit", "Minimum"]
    }
    content {
      id = metric_query.key
      metric {
        namespace   = "AWS/Firehose"
        metric_name = metric_query.value[0]
        dimensions  = { DeliveryStreamName = aws_kinesis_firehose_delivery_stream.events.name }
        period      = 300
        stat        = metric_query.value[1]
      }
      return_data = false
    }
  }
  comparison_operator = "GreaterThanThreshold"
  threshold           = 80
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# A stream that gets nothing reports nothing: here missing data is the alarm. So it rings once after
# its creation, too, and ends with the first event.
resource "aws_cloudwatch_metric_alarm" "silent" {
  count = var.silence_hours == 0 ? 0 : 1

  alarm_name          = "${var.stream_name}-silent"
  alarm_description   = "No event has arrived for ${var.silence_hours} hours. See docs/OPERATIONS.md, Silence."
  namespace           = "AWS/Firehose"
  metric_name         = "IncomingRecords"
  dimensions          = { DeliveryStreamName = aws_kinesis_firehose_delivery_stream.events.name }
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = var.silence_hours
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

locals {
  has_log         = var.log_group_name != ""
  minds_reconcile = local.has_log && var.reconcile_hours != 0
  # the words of the service, and the last line of `flask archive reconcile` where every event is there
  filters = merge(
    local.has_log ? { not-archived = "\"Failed to persist webhook\"" } : {},
    local.minds_reconcile ? { reconciled = "?\"All \" ?\"The 1 event of\" ?\"Stripe has no events of\"" } : {},
  )
}

resource "aws_cloudwatch_log_metric_filter" "service" {
  for_each = local.filters

  log_group_name = var.log_group_name
  name           = "${var.stream_name}-${each.key}"
  pattern        = each.value
  metric_transformation {
    namespace = "StripeAnalyticsBackend"
    name      = "${var.stream_name}-${each.key}"
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "not_archived" {
  count = local.has_log ? 1 : 0

  alarm_name          = "${var.stream_name}-not-archived"
  alarm_description   = "The service answered 500: an event was not archived; Stripe delivers it again. See docs/OPERATIONS.md, 500s."
  namespace           = "StripeAnalyticsBackend"
  metric_name         = "${var.stream_name}-not-archived"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# it rings at its creation, too
resource "aws_cloudwatch_metric_alarm" "not_reconciled" {
  count = local.minds_reconcile ? 1 : 0

  alarm_name          = "${var.stream_name}-not-reconciled"
  alarm_description   = "No daily job has found every event in the archive for ${var.reconcile_hours} hours. See docs/OPERATIONS.md, Reconcile reports something."
  namespace           = "StripeAnalyticsBackend"
  metric_name         = "${var.stream_name}-reconciled"
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = var.reconcile_hours
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# a group without a registered target reports nothing
resource "aws_cloudwatch_metric_alarm" "no_target" {
  count = var.load_balancer != "" && var.target_group != "" ? 1 : 0

  alarm_name          = "${var.stream_name}-no-target"
  alarm_description   = "The load balancer has no healthy task of the service. See docs/OPERATIONS.md, Silence."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "HealthyHostCount"
  dimensions          = { LoadBalancer = var.load_balancer, TargetGroup = var.target_group }
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

locals {
  widgets = [
    { title = "Events received", stat = "Sum", metric = "IncomingRecords" },
    { title = "Events delivered to S3", stat = "Sum", metric = "DeliveryToS3.Records" },
    {
      title = "Seconds that the oldest event waits", stat = "Maximum", metric = "DeliveryToS3.DataFreshness"
      line  = { label = "the buffer", value = var.buffer_interval_seconds }
    },
    {
      title  = "Share of writes to S3 that succeed", stat = "Average", metric = "DeliveryToS3.Success"
      line   = { label = "alarm below", value = 0.95 }
      bounds = { min = 0, max = 1 }
    },
    { title = "Events throttled", stat = "Sum", metric = "ThrottledRecords" },
    { title = "Bytes received", stat = "Sum", metric = "IncomingBytes" },
  ]
}

resource "aws_cloudwatch_dashboard" "stream" {
  dashboard_name = "${var.stream_name}-${local.region}"
  dashboard_body = jsonencode({
    start = "-P1D"
    widgets = [for number, widget in local.widgets : {
      type   = "metric"
      x      = 12 * (number % 2)
      y      = 6 * floor(number / 2)
      width  = 12
      height = 6
      properties = merge(
        {
          title   = widget.title
          region  = local.region
          stat    = widget.stat
          period  = 300
          metrics = [["AWS/Firehose", widget.metric, "DeliveryStreamName", var.stream_name]]
        },
        try({ annotations = { horizontal = [{ label = widget.line.label, value = widget.line.value }] } }, {}),
        try({ yAxis = { left = { min = widget.bounds.min, max = widget.bounds.max } } }, {}),
      )
    }]
  })
}

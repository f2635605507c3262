# not encrypted: CloudWatch cannot publish through the key that AWS manages, and what an alarm says
# is no secret
resource "aws_sns_topic" "alarms" {
  name = "${var.stream_name}-alarms"
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

# a stream that gets nothing reports nothing: here missing data is the alarm
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
  widgets = [
    { title = "Events received", stat = "Sum", metric = "IncomingRecords" },
    { title = "Events delivered to S3", stat = "Sum", metric = "DeliveryToS3.Records" },
    {
      title  = "Seconds that the oldest event waits", stat = "Maximum", metric = "DeliveryToS3.DataFreshness"
      line   = { label = "the buffer", value = var.buffer_interval_seconds }
      bounds = null
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

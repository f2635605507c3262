resource "aws_iam_role" "delivery" {
  name        = "${var.stream_name}-${local.region}-delivery"
  description = "Lets the Firehose stream ${var.stream_name} write to its bucket and its log."

  # Against the confused deputy: Firehose names the account as its external id. Where it names the
  # account and the stream as the source too, they have to be these.
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Firehose"
      Effect    = "Allow"
      Principal = { Service = "firehose.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals         = { "sts:ExternalId" = local.account }
        StringEqualsIfExists = { "aws:SourceAccount" = local.account }
        ArnEqualsIfExists = {
          "aws:SourceArn" = "arn:${local.partition}:firehose:${local.region}:${local.account}:deliverystream/${var.stream_name}"
        }
      }
    }]
  })
}

# what Firehose is documented to need for S3, on these two prefixes only
# https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html#using-iam-s3
resource "aws_iam_role_policy" "delivery" {
  name = "delivery"
  role = aws_iam_role.delivery.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Bucket"
        Effect   = "Allow"
        Action   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
        Resource = aws_s3_bucket.archive.arn
      },
      {
        Sid      = "Objects"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
        Resource = ["${aws_s3_bucket.archive.arn}/webhooks/*", "${aws_s3_bucket.archive.arn}/errors/*"]
      },
      {
        Sid      = "Log"
        Effect   = "Allow"
        Action   = "logs:PutLogEvents"
        Resource = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/aws/kinesisfirehose/${var.stream_name}:log-stream:DestinationDelivery"
      },
    ]
  })
}

resource "aws_iam_policy" "application" {
  name        = "${var.stream_name}-${local.region}-application"
  description = "What the service that receives the webhooks may do, and nothing else."
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Archive"
        Effect   = "Allow"
        Action   = "firehose:PutRecord"
        Resource = aws_kinesis_firehose_delivery_stream.events.arn
      },
      {
        Sid      = "ArchiveOversize"
        Effect   = "Allow"
        Action   = "s3:PutObject"
        Resource = "${aws_s3_bucket.archive.arn}/webhooks/*"
      },
    ]
  })
}

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
    Statement = concat([
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
      ], [for key in local.keys : {
        Sid      = "Key"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = key
    }])
  })
}

resource "aws_iam_policy" "application" {
  name        = "${var.stream_name}-${local.region}-application"
  description = "What the service that receives the webhooks may do, and nothing else."
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "Archive"
        Effect   = "Allow"
        Action   = ["firehose:DescribeDeliveryStream", "firehose:PutRecord"]
        Resource = aws_kinesis_firehose_delivery_stream.events.arn
      },
      # new objects of the one form that the service gives a key: <time>-<16 digits>.json.gz
      {
        Sid       = "ArchiveOversize"
        Effect    = "Allow"
        Action    = "s3:PutObject"
        Resource  = "${aws_s3_bucket.archive.arn}/webhooks/year=????/month=??/day=??/????-??-??T??-??-??.??????Z-????????????????.json.gz"
        Condition = { Null = { "s3:if-none-match" = "false" } }
      },
      ], [for key in local.keys : {
        Sid      = "Key"
        Effect   = "Allow"
        Action   = "kms:GenerateDataKey"
        Resource = key
    }])
  })
}

resource "aws_iam_policy" "auditor" {
  name        = "${var.stream_name}-${local.region}-auditor"
  description = "Reads the archive with all its versions, as flask archive does; changes nothing."
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "List"
        Effect   = "Allow"
        Action   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketVersions"]
        Resource = aws_s3_bucket.archive.arn
      },
      {
        Sid      = "Read"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectRetention", "s3:GetObjectVersion"]
        Resource = [for prefix in ["webhooks", "snapshots", "erasures", "manifests"] : "${aws_s3_bucket.archive.arn}/${prefix}/*"]
      },
      ], [for key in local.keys : {
        Sid      = "Key"
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = key
    }])
  })
}

resource "aws_iam_policy" "snapshot" {
  name        = "${var.stream_name}-${local.region}-snapshot"
  description = "Writes new snapshots, as flask archive snapshot does; it reads by the policy of auditors."
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid       = "Snapshot"
        Effect    = "Allow"
        Action    = "s3:PutObject"
        Resource  = "${aws_s3_bucket.archive.arn}/snapshots/year=????/month=??/day=??/*.json.gz"
        Condition = { Null = { "s3:if-none-match" = "false" } }
      },
      ], [for key in local.keys : {
        Sid      = "Key"
        Effect   = "Allow"
        Action   = "kms:GenerateDataKey"
        Resource = key
    }])
  })
}

resource "aws_iam_policy" "analyst" {
  name        = "${var.stream_name}-${local.region}-analyst"
  description = "Runs queries and saved queries in the workgroup, in the console and by API."
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid    = "Query"
        Effect = "Allow"
        Action = [
          "athena:BatchGetNamedQuery",
          "athena:BatchGetQueryExecution",
          "athena:GetNamedQuery",
          "athena:GetQueryExecution",
          "athena:GetQueryResults",
          "athena:GetQueryResultsStream",
          "athena:GetQueryRuntimeStatistics",
          "athena:GetWorkGroup",
          "athena:ListNamedQueries",
          "athena:ListQueryExecutions",
          "athena:StartQueryExecution",
          "athena:StopQueryExecution",
        ]
        Resource = "arn:${local.partition}:athena:${local.region}:${local.account}:workgroup/${var.database_name}"
      },
      # what the console lists before a workgroup and a database are chosen
      {
        Sid    = "Console"
        Effect = "Allow"
        Action = [
          "athena:GetDataCatalog",
          "athena:GetDatabase",
          "athena:GetTableMetadata",
          "athena:ListDataCatalogs",
          "athena:ListDatabases",
          "athena:ListEngineVersions",
          "athena:ListTableMetadata",
          "athena:ListWorkGroups",
        ]
        Resource = "*"
      },
      {
        Sid    = "Tables"
        Effect = "Allow"
        Action = [
          "glue:BatchGetPartition",
          "glue:GetDatabase",
          "glue:GetDatabases",
          "glue:GetPartition",
          "glue:GetPartitions",
          "glue:GetTable",
          "glue:GetTables",
        ]
        Resource = [for path in ["catalog", "database/${var.database_name}", "table/${var.database_name}/*"] :
          "arn:${local.partition}:glue:${local.region}:${local.account}:${path}"
        ]
      },
      {
        Sid      = "List"
        Effect   = "Allow"
        Action   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
        Resource = aws_s3_bucket.archive.arn
      },
      {
        Sid      = "Read"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = [for prefix in ["webhooks", "snapshots", "parquet"] : "${aws_s3_bucket.archive.arn}/${prefix}/*"]
      },
      {
        Sid      = "Results"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
        Resource = "${aws_s3_bucket.archive.arn}/athena-results/*"
      },
      ], [for key in local.keys : {
        Sid      = "Key"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = key
    }])
  })
}

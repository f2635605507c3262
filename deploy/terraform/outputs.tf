output "environment" {
  description = "The variables of the service."
  value       = <<-EOT
    AWS_REGION=${local.region}
    FIREHOSE_DELIVERY_STREAM_NAME=${aws_kinesis_firehose_delivery_stream.events.name}
    ARCHIVE_BUCKET=${aws_s3_bucket.archive.bucket}
  EOT
}

output "application_policy_arn" {
  description = "The policy for the service's role or user."
  value       = aws_iam_policy.application.arn
}

output "auditor_policy_arn" {
  description = "The policy for those who check the archive, and for the daily job."
  value       = aws_iam_policy.auditor.arn
}

output "snapshot_policy_arn" {
  description = "The policy for flask archive snapshot, besides that of auditors."
  value       = aws_iam_policy.snapshot.arn
}

output "analyst_policy_arn" {
  description = "The policy for those who query it in Athena."
  value       = aws_iam_policy.analyst.arn
}

output "alarm_topic_arn" {
  description = "Where the alarms go; subscribe a pager here."
  value       = aws_sns_topic.alarms.arn
}

output "workgroup" {
  description = "The Athena workgroup with the queries."
  value       = aws_athena_workgroup.archive.name
}

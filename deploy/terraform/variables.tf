variable "bucket_name" {
  description = "The bucket to make. Names are unique in all of AWS, so put your company's into it."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "Give 3 to 63 lower-case letters, digits and '-'."
  }
}

variable "stream_name" {
  description = "The Firehose stream to make. Roles, policies and alarms are named after it."
  type        = string
  default     = "stripe-webhook-stream"
  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,40}$", var.stream_name))
    error_message = "Give 1 to 40 letters, digits, '_' and '-'."
  }
}

variable "buffer_interval_seconds" {
  description = "Firehose writes an object after this time, or sooner if the buffer is full."
  type        = number
  default     = 300
  validation {
    condition     = var.buffer_interval_seconds >= 60 && var.buffer_interval_seconds <= 900
    error_message = "Give 60 to 900 seconds."
  }
}

variable "buffer_size_megabytes" {
  description = "Firehose writes an object when it holds this much, before gzip."
  type        = number
  default     = 5
  validation {
    condition     = var.buffer_size_megabytes >= 1 && var.buffer_size_megabytes <= 128
    error_message = "Give 1 to 128 MB."
  }
}

variable "archive_expiry_days" {
  description = "Delete events, and what is made of them, after this many days. 0 keeps them for ever."
  type        = number
  default     = 0
  validation {
    condition     = var.archive_expiry_days >= 0
    error_message = "Give 0 or more days."
  }
}

variable "old_version_days" {
  description = "How long a deleted or overwritten object can still be brought back."
  type        = number
  default     = 30
  validation {
    condition     = var.old_version_days >= 1
    error_message = "Give 1 or more days."
  }
}

variable "object_lock_mode" {
  description = "Whether a permission of its own can end a lock early, in GOVERNANCE, or nothing, in COMPLIANCE."
  type        = string
  default     = "GOVERNANCE"
  validation {
    condition     = contains(["GOVERNANCE", "COMPLIANCE"], var.object_lock_mode)
    error_message = "Give GOVERNANCE or COMPLIANCE."
  }
}

variable "object_lock_days" {
  description = "No version of an object can be deleted for this many days. 0 is off."
  type        = number
  default     = 0
  validation {
    condition     = var.object_lock_days >= 0 && var.object_lock_days <= 36500
    error_message = "Give 0 to 36500 days."
  }
}

variable "kms_key_arn" {
  description = "A KMS key of yours for bucket, stream, results, topic and log. Empty takes AWS's keys."
  type        = string
  default     = ""
  validation {
    condition     = can(regex("^(|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+)$", var.kms_key_arn))
    error_message = "Give the ARN of a key, or nothing."
  }
}

variable "access_log_bucket_name" {
  description = "A bucket of yours for S3's access logs of the archive. Empty is off."
  type        = string
  default     = ""
  validation {
    condition     = can(regex("^(|[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])$", var.access_log_bucket_name))
    error_message = "Give the name of a bucket, or nothing."
  }
}

variable "alarm_email" {
  description = "Where alarms go. AWS asks the address to confirm. Empty leaves the topic without a reader."
  type        = string
  default     = ""
  validation {
    condition     = can(regex("^(|[^@\\s]+@[^@\\s]+)$", var.alarm_email))
    error_message = "Give an e-mail address, or nothing."
  }
}

variable "silence_hours" {
  description = "Alarm when no event has arrived for this many hours. 0 is off."
  type        = number
  default     = 48
  validation {
    condition     = var.silence_hours >= 0 && var.silence_hours <= 168
    error_message = "Give 0 to 168 hours."
  }
}

variable "log_group_name" {
  description = "The service's log group in CloudWatch, to alarm on events that it could not store."
  type        = string
  default     = ""
  validation {
    condition     = can(regex("^(|[a-zA-Z0-9_/.#-]{1,512})$", var.log_group_name))
    error_message = "Give the name of a log group, or nothing."
  }
}

variable "reconcile_hours" {
  description = "Alarm when that log shows no daily job that succeeded for this many hours. 0 is off."
  type        = number
  default     = 0
  validation {
    condition     = var.reconcile_hours >= 0 && var.reconcile_hours <= 168
    error_message = "Give 0 to 168 hours."
  }
}

variable "load_balancer" {
  description = "Alarm when this load balancer has no healthy target. As in app/name/0123456789abcdef."
  type        = string
  default     = ""
  validation {
    condition     = can(regex("^(|app/[a-zA-Z0-9-]+/[0-9a-f]{16})$", var.load_balancer))
    error_message = "Give the end of a load balancer's ARN, from app/ on, or nothing."
  }
}

variable "target_group" {
  description = "The target group of the load balancer. As in targetgroup/name/0123456789abcdef."
  type        = string
  default     = ""
  validation {
    condition     = can(regex("^(|targetgroup/[a-zA-Z0-9-]+/[0-9a-f]{16})$", var.target_group))
    error_message = "Give the end of a target group's ARN, from targetgroup/ on, or nothing."
  }
}

variable "database_name" {
  description = "The Glue database, and the Athena workgroup of the same name."
  type        = string
  default     = "stripe_analytics"
  validation {
    condition     = can(regex("^[a-z0-9_]{1,128}$", var.database_name))
    error_message = "Give lower-case letters, digits and '_'."
  }
}

variable "scan_limit_bytes" {
  description = "Athena stops a query that reads more. 107374182400 is 100 GiB, about 0.50 USD."
  type        = number
  default     = 107374182400
  validation {
    condition     = var.scan_limit_bytes >= 10000000
    error_message = "Give 10000000 or more bytes."
  }
}

# CloudFormation has `--tags` for this
variable "tags" {
  description = "Tags for everything that can have them."
  type        = map(string)
  default     = {}
}

variable "bucket_name" {
  description = "The bucket to make. Names are unique in all of AWS, so put your company's into it."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "Give 3 to 63 lower-case letters, digits, '-' and '.'."
  }
}

variable "stream_name" {
  description = "The Firehose stream to make. Roles, policies and alarms are named after it."
  type        = string
  default     = "stripe-webhook-stream"
  validation {
    condition     = can(regex("^[a-zA-Z0-9_.-]{1,40}$", var.stream_name))
    error_message = "Give 1 to 40 letters, digits, '_', '.' and '-'."
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
  description = "Delete events after this many days. 0 keeps them for ever."
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
  default     = 0
  validation {
    condition     = var.silence_hours >= 0 && var.silence_hours <= 168
    error_message = "Give 0 to 168 hours."
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
    error_message = "Give 10000000 bytes or more."
  }
}

# The AWS side of Stripe Analytics Backend: an S3 bucket that keeps every Stripe event, the Firehose
# stream that fills it, what watches the stream, and the Athena tables and queries to ask it.
# deploy/cloudformation.yaml makes the same; the tests compare the two.

terraform {
  required_version = ">= 1.7"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

# the region and the credentials are those of the environment, as for the AWS CLI
provider "aws" {
  default_tags {
    tags = var.tags
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region

  # the key as a list of one or none, and null where AWS's keys are taken
  keys = compact([var.kms_key_arn])
  key  = one(local.keys)
}

"""The `aws` plugin: one table row per resource type, over boto3."""

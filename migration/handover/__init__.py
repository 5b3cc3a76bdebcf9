"""To and from Terraform: who owns what, in its words."""

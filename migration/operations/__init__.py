"""The operations of an `up`: plain functions of (inputs, previous outputs, context) that know no Pulumi.

Each observes what is, does what is missing, verifies, and returns full outputs. `providers/` adapts them.
"""

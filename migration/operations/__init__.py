"""The operations of an `up`: plain functions of (inputs, previous result, context) that know no Pulumi.

Each observes what is, does what is missing, verifies, and returns its whole result. `providers/` adapts them.
"""

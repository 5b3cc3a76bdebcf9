"""The cluster that this program did not make: built with boto3 alone, as somebody's older tooling left it.

Nothing of the product is used here, and the product knows it only by what `discover` finds.
"""

"""`python -m lab.plugins.aws`: what the launcher runs."""

from __future__ import annotations

from lab.plugins.aws.provider import AwsPlugin
from lab.plugins.host import main

main(AwsPlugin())

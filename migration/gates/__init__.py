"""The gates: checks of live state around a stage's changes, by the names that `migration.stages` uses.

A check returns a sentence with what it saw, raises `Retryable` for what may pass by itself and `Permanent` for what
waiting doesn't cure. Checks read; none of them changes anything.
"""

from migration.gates.check import CHECKS, Check, Facts
from migration.gates.run import run_checks

__all__ = ["CHECKS", "Check", "Facts", "run_checks"]

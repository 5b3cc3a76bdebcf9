"""The gates: checks of live state around a stage's changes, by the names that `migration.stages` uses.

A check takes its question (`migration.contracts.gates`) and looks; checks read, none of them changes anything.
"""

from migration.gates.live import Live
from migration.gates.run import CHECKS, look, run_checks

__all__ = ["CHECKS", "Live", "look", "run_checks"]

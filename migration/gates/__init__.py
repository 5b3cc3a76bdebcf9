"""The gates: checks of live state around a stage's changes, by the names of `migration.stages` (being written)."""

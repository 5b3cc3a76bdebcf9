"""Benchmarks: each a command that measures as ratios in one run and writes one JSON file with what it saw."""

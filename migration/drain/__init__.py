"""Emptying a side's nodes under every PodDisruptionBudget at once: a pure planner and what carries it out."""

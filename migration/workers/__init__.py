"""Worker groups: their snapshot, the autoscaler's hold, and their size."""

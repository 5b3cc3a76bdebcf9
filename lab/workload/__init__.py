"""What runs on the lab's cluster: about 240 pods of the kinds that make a migration hard."""

from __future__ import annotations

from lab.workload.cluster import Summary, ready

__all__ = ["Summary", "ready"]

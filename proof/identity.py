"""Who answered: a probe that reached another cluster, or another application, found a good answer of somebody else.

The cluster is known by the UID of its namespace kube-system, which each API probe reads; an application by a text that
its answers hold.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

OBJECT = "/api/v1/namespaces/kube-system"
"""What API probes read: there in every cluster, small, from etcd, and its UID is the cluster's."""
MOST_SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class Answerer:
    """Whose answer is wanted: every body of his holds `text`."""

    text: bytes
    cluster: bool = False
    """`text` is the UID of a cluster, and answers are the object that has it."""

    def refuse(self, body: bytes) -> str | None:
        """None for an answer of his; otherwise who answered and who should have."""
        if self.text in body:
            return None
        wanted = self.text.decode(errors="replace")
        if self.cluster:
            return f"cluster {_uid(body)} answered, not {wanted}"
        shown = body[:MOST_SHOWN].decode(errors="replace").strip()
        return f"{shown!r} was answered, without {wanted!r}"


def _uid(body: bytes) -> str:
    try:
        found: Any = json.loads(body)
        return str(found["metadata"]["uid"])
    except (ValueError, KeyError, TypeError):
        return "of no name"

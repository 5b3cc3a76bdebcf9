"""What API servers count: evictions by answer, and how long writes took. Pure but for `read`.

https://kubernetes.io/docs/reference/instrumentation/metrics/: apiserver_request_total,
apiserver_request_duration_seconds.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.kubernetes.access import access
from lab.kubernetes.client import Client
from rehearsal.benches.drain.model import Latency

WRITES = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"})
_LINE = re.compile(r"(apiserver_request_(?:total|duration_seconds_bucket))\{(.*)\} (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
CREATED, REFUSED = "201", "429"


@dataclass(frozen=True)
class Counts:
    """Of one moment, summed over servers; differences are what happened between two."""

    evictions: Counter[str] = field(default_factory=Counter[str])
    """By the answer's code."""
    writes: dict[float, int] = field(default_factory=dict[float, int])
    """Cumulative, by upper edge in seconds."""

    def since(self, before: Counts) -> Counts:
        """What was counted between. A server that began anew counts as having counted nothing: see `went_back`."""
        return Counts(
            Counter({code: count - before.evictions[code] for code, count in self.evictions.items()}),
            {edge: count - before.writes.get(edge, 0) for edge, count in self.writes.items()},
        )

    @property
    def went_back(self) -> bool:
        """Of a difference: whether a counter fell, as it does when a server starts anew."""
        return any(count < 0 for count in (*self.evictions.values(), *self.writes.values()))

    def latency(self) -> Latency | None:
        """Of a difference: how long writes took; None where there were none."""
        total = self.writes.get(math.inf, 0)
        if total <= 0:
            return None
        return Latency(samples=total, p50=self._quantile(0.5), p99=self._quantile(0.99))

    def _quantile(self, share: float) -> float:
        """By linear interpolation within a bucket, as PromQL's histogram_quantile; the last finite edge beyond it."""
        rank, below, low = share * self.writes[math.inf], 0.0, 0.0
        for edge in sorted(self.writes):
            count = self.writes[edge]
            if count >= rank:
                if math.isinf(edge):
                    return low
                inside = count - below
                return round(low + (edge - low) * ((rank - below) / inside if inside else 1.0), 4)
            below, low = count, edge
        return low


def parse(text: str) -> Counts:
    """One server's metrics."""
    counts = Counts()
    for name, labels, value in _lines(text.splitlines()):
        if name == "apiserver_request_total":
            if labels.get("subresource") == "eviction" and labels.get("resource") == "pods":
                counts.evictions[labels["code"]] += int(value)
        elif labels.get("verb") in WRITES:
            edge = float(labels["le"])
            counts.writes[edge] = counts.writes.get(edge, 0) + round(value)
    return counts


def _lines(lines: Iterable[str]) -> Iterator[tuple[str, Mapping[str, str], float]]:
    for line in lines:
        if found := _LINE.match(line):
            yield found[1], dict(_LABEL.findall(found[2])), float(found[3])


def read(members: Iterable[Path]) -> Counts:
    """The sum over API servers, by a kubeconfig each. Raises ApiError, also where a server counts nothing."""
    total = Counts()
    for member in members:
        one = parse(Client(access(member.read_text()), patience_s=10.0).text("/metrics"))
        total.evictions.update(one.evictions)
        for edge, count in one.writes.items():
            total.writes[edge] = total.writes.get(edge, 0) + count
    return total

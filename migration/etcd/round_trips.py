"""Round trips between members, from what etcd itself measures of each of its peers.

Every member probes its peers every 4 s and puts the smoothed time into a histogram, the first after 5 s of a
connection and then one each 30 s (etcd, server/etcdserver/api/rafthttp/probing_status.go; the smoothing starts at 0, so
a young connection looks better than it is).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from migration.clients.etcd import Etcd, Member
from migration.runtime.deadline import Retryable

NAME = "etcd_network_peer_round_trip_time_seconds"
# Two probers observe each connection: five times each is two minutes, after which the smoothed time is within 3 %.
OBSERVATIONS = 10

_SAMPLE = re.compile(rf"{NAME}_(bucket|sum|count)\{{(.*)\}}\s+(\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, kw_only=True)
class RoundTrip:
    """From one member to another. Seconds: `mean` of all observations; 99 % of them took at least `p99` or less."""

    observations: int
    mean: float
    p99: float

    @property
    def judged(self) -> float:
        """What limits are held against: the worse of both. As a bucket's lower bound `p99` overstates nothing."""
        return max(self.mean, self.p99)


def parsed(lines: Iterable[str]) -> dict[str, RoundTrip]:
    """By the peer's id as decimal text, as in the member list. Peers without an observation are left out."""
    buckets: dict[str, list[tuple[float, float]]] = {}
    totals: dict[tuple[str, str], float] = {}
    for line in lines:
        sample = _SAMPLE.match(line)
        if sample is None:
            continue
        kind, labels, value = sample[1], dict(_LABEL.findall(sample[2])), float(sample[3])
        peer = str(int(labels["To"], 16))
        if kind == "bucket":
            buckets.setdefault(peer, []).append((float(labels["le"]), value))
        else:
            totals[peer, kind] = value
    return {
        peer: RoundTrip(
            observations=int(totals[peer, "count"]),
            mean=totals[peer, "sum"] / totals[peer, "count"],
            p99=_at_least(sorted(found), 0.99),
        )
        for peer, found in buckets.items()
        if totals.get((peer, "count"))
    }


def _at_least(buckets: Sequence[tuple[float, float]], quantile: float) -> float:
    """The lower bound of the bucket that a quantile lies in."""
    below, wanted = 0.0, buckets[-1][1] * quantile
    for bound, count in buckets:
        if count >= wanted:
            break
        below = bound
    return below


def slowest(etcd: Etcd, voters: Sequence[Member], observations: int) -> tuple[float, str]:
    """The longest round trip among all pairs, in seconds, and whose it is.

    Raises `Retryable` where a pair isn't measured, or too seldom yet: what can't be seen isn't short.
    """
    worst, whose = 0.0, "nobody: there is one voter"
    for member in voters:
        seen = parsed(_samples(etcd, member))
        for other in voters:
            if other.id == member.id:
                continue
            found = seen.get(other.id)
            if found is None or found.observations < observations:
                times = found.observations if found else 0
                raise Retryable(
                    f"{member.name} has measured the round trip to {other.name} {times} times since its etcd started, "
                    f"{observations} are wanted (that takes a few minutes); its /metrics has {NAME}"
                )
            if found.judged >= worst:
                worst, whose = found.judged, f"{member.name} to {other.name}"
    return worst, whose


def _samples(etcd: Etcd, member: Member) -> list[str]:
    url = member.client_urls[0] if member.client_urls else ""
    try:
        return etcd.metrics(url, NAME)
    except Retryable as reason:
        raise Retryable(
            f"round trips between members can't be seen: {url}/metrics isn't answered ({reason}); the client port must "
            f"let in the operator's networks (migration:operatorNetworks) and etcd certificate"
        ) from reason

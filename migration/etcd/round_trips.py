"""Round trips between members, from what etcd itself measures of each of its peers.

Every member probes its peers every 4 s and puts the smoothed time into a histogram, the first after 5 s of a
connection and then one each 30 s (etcd, server/etcdserver/api/rafthttp/probing_status.go; the smoothing starts at 0, so
a young connection looks better than it is).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from migration.clients.etcd import Etcd, Member
from migration.runtime.deadline import Retryable

NAME = "etcd_network_peer_round_trip_time_seconds"
OBSERVATIONS = 10
"""How many are enough. Two probers observe each connection: five times each is two minutes, after which the smoothed
time is within 3 %."""

_SAMPLE = re.compile(rf"{NAME}_(bucket|sum|count)\{{(.*)\}}\s+(\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, kw_only=True)
class RoundTrip:
    """From one member to another, as a histogram: how many took at most so many seconds, by bound; seconds in all."""

    buckets: Mapping[float, int]
    seconds: float

    @property
    def observations(self) -> int:
        """How often it was measured."""
        return max(self.buckets.values(), default=0)

    @property
    def judged(self) -> float:
        """Seconds that limits are held against: the mean, or what 99 % take at least, whichever is worse.

        As the lower bound of its bucket the latter overstates nothing.
        """
        below, wanted = 0.0, self.observations * 0.99
        for bound, count in sorted(self.buckets.items()):
            if count >= wanted:
                break
            below = bound
        return max(self.seconds / self.observations, below)

    def since(self, earlier: RoundTrip) -> RoundTrip | None:
        """What was measured after `earlier`; None where that was of an etcd that was started again since."""
        rest = {bound: count - earlier.buckets.get(bound, 0) for bound, count in self.buckets.items()}
        if any(count < 0 for count in rest.values()):
            return None
        return RoundTrip(buckets=rest, seconds=self.seconds - earlier.seconds)


def parsed(lines: Iterable[str]) -> dict[str, RoundTrip]:
    """By the peer's id as decimal text, as in the member list. Peers without an observation are left out."""
    buckets: dict[str, dict[float, int]] = {}
    seconds: dict[str, float] = {}
    for line in lines:
        sample = _SAMPLE.match(line)
        if sample is None:
            continue
        kind, labels, value = sample[1], dict(_LABEL.findall(sample[2])), float(sample[3])
        peer = str(int(labels["To"], 16))
        if kind == "bucket":
            buckets.setdefault(peer, {})[float(labels["le"])] = int(value)
        elif kind == "sum":
            seconds[peer] = value
    found = {peer: RoundTrip(buckets=buckets[peer], seconds=seconds[peer]) for peer in buckets.keys() & seconds.keys()}
    return {peer: one for peer, one in found.items() if one.observations}


@dataclass
class RoundTrips:
    """Round trips of one wait. Everything since etcd started counts, until enough was measured since the first look.

    So a bad minute that is long over doesn't keep anybody waiting, and a good week doesn't hide a bad minute.
    """

    _first: dict[tuple[str, str], RoundTrip] = field(default_factory=dict)

    def slowest(self, etcd: Etcd, voters: Sequence[Member], observations: int) -> tuple[float, str]:
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
                        f"{member.name} has measured the round trip to {other.name} {times} times since its etcd "
                        f"started, {observations} are wanted (that takes a few minutes); its /metrics has {NAME}"
                    )
                judged = self._lately((member.id, other.id), found).judged
                if judged >= worst:
                    worst, whose = judged, f"{member.name} to {other.name}"
        return worst, whose

    def _lately(self, pair: tuple[str, str], found: RoundTrip) -> RoundTrip:
        rest = found.since(self._first.setdefault(pair, found))
        if rest is None:
            self._first[pair] = found
        return rest if rest is not None and rest.observations >= OBSERVATIONS else found


def _samples(etcd: Etcd, member: Member) -> list[str]:
    url = member.client_urls[0] if member.client_urls else ""
    try:
        return etcd.metrics(url, NAME)
    except Retryable as reason:
        raise Retryable(
            f"round trips between members can't be seen: {url}/metrics isn't answered ({reason}); the client port must "
            f"let in the operator's networks (migration:operatorNetworks) and etcd certificate"
        ) from reason

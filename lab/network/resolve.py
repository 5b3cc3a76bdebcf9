"""Names to addresses as Route 53 and the VPC resolver answer: views per VPC, weights, chains, wildcards. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lab.addresses import ip_of_private_dns_name
from lab.network.outward import addresses_of
from lab.network.state import LoadBalancer, Record, State, Zone, name_key
from lab.settings import LabSettings

NEGATIVE_TTL_S = 5
_MAX_CHAIN = 8

BalancerAddresses = Callable[[LoadBalancer], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Answer:
    name: str
    type: str
    ttl: int
    value: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a query finds. `exists` False is NXDOMAIN; True without an answer of that type is NODATA."""

    answers: tuple[Answer, ...] = ()
    exists: bool = True
    zone: str | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(a.value for a in self.answers if a.type == "A")

    @property
    def ttl(self) -> int:
        """How long the whole chain may be kept: its shortest TTL, in seconds."""
        return min((a.ttl for a in self.answers), default=NEGATIVE_TTL_S)


@dataclass
class Resolver:
    """Answers over one State. `forwards` tells which clients outside a zone's VPCs may use it all the same, because
    their network forwards to a resolver endpoint (the lab's corp does)."""

    state: State = field(default_factory=State)
    forwards: Callable[[str], bool] = lambda ip: False
    balancer_addresses: BalancerAddresses = lambda balancer: (a.ip for a in balancer.addresses)
    rng: random.Random = field(default_factory=random.Random)
    balancer_ttl_s: int = LabSettings().alias_ttl_s
    """Of a load balancer's own name."""

    def resolve(self, name: str, from_ip: str, qtype: str = "A") -> Result:
        """Follows CNAMEs across zones and into load balancers' names."""
        answers: list[Answer] = []
        current, zone_name = name_key(name), None
        for _ in range(_MAX_CHAIN):
            amazon = self._amazon(current, from_ip, qtype)
            if amazon is not None:
                return Result((*answers, *amazon), True, zone_name)
            zone = self._zone_for(current, from_ip)
            zone_name = zone.name if zone else zone_name
            found = self._lookup(zone, current, qtype) if zone else None
            if found is None:
                return Result(tuple(answers), False, zone_name)
            answers.extend(found)
            if not found or found[-1].type == qtype or found[-1].type != "CNAME":
                return Result(tuple(answers), True, zone_name)
            current = name_key(found[-1].value)
        return Result(tuple(answers), True, zone_name)

    def _zone_for(self, name: str, from_ip: str) -> Zone | None:
        """The most specific zone this client may use; of two with one name the private one, as in a VPC."""
        vpc = self.state.vpc_of(from_ip)
        mine = [
            zone
            for zone in self.state.zones
            if (name == zone.name or name.endswith("." + zone.name))
            and (not zone.private or vpc in zone.vpcs or self.forwards(from_ip))
        ]
        return max(mine, key=lambda zone: (len(zone.name), zone.private), default=None)

    def _lookup(self, zone: Zone, name: str, qtype: str) -> list[Answer] | None:
        """None: no such name. An empty list: the name exists, without this type."""
        owner = name
        if name not in zone.names:
            encloser = name
            while encloser not in zone.names:
                encloser = encloser.partition(".")[2]
            owner = "*." + encloser
            if owner not in zone.names:
                return None
        for wanted in (qtype, "CNAME"):
            records = zone.records.get((owner, wanted))
            if records:
                return self._answers(self._choose(records), name, wanted)
        return []

    def _choose(self, records: tuple[Record, ...]) -> Record:
        """One of a weighted set, by weight; all of them alike if every weight is 0 (Route 53)."""
        weights = [record.weight or 0 for record in records]
        if not any(weights):
            return self.rng.choice(records)
        return self.rng.choices(records, weights)[0]

    def _answers(self, record: Record, name: str, rtype: str) -> list[Answer]:
        if record.alias is not None:
            addresses = self._amazon(record.alias, None, rtype) or []
            return [Answer(name, rtype, a.ttl, a.value) for a in addresses]
        values = list(record.values)
        self.rng.shuffle(values)
        return [Answer(name, rtype, record.ttl, value) for value in values]

    def _amazon(self, name: str, from_ip: str | None, qtype: str) -> list[Answer] | None:
        """Names AWS itself answers: load balancers', instances' and APIs', the last as `from_ip`'s VPC has them (None:
        as everybody has). None if it is none of them."""
        addresses: list[str] | None = None
        # The name that Route 53's console puts into aliases: the same balancer, asked for both kinds of addresses.
        bare = name.removeprefix("dualstack.")
        for balancer in self.state.load_balancers.values():
            if balancer.dns_name == bare:
                addresses = list(self.balancer_addresses(balancer))
                self.rng.shuffle(addresses)
        if addresses is None and name.endswith(".compute.internal"):
            ip = ip_of_private_dns_name(name)
            addresses = [ip] if ip is not None and ip in self.state.hosts else None
        if addresses is None:
            found = addresses_of(self.state, name, self.state.vpc_of(from_ip) if from_ip else None)
            addresses = None if found is None else self.rng.sample(found, len(found))
        if addresses is None:
            return None
        return [Answer(name, "A", self.balancer_ttl_s, ip) for ip in addresses] if qtype == "A" else []

"""AWS as the data plane sees it: an immutable picture of one revision of the backplane."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network
from typing import Any, NamedTuple

ALIVE = ("pending", "running")
TCP, UDP = "tcp", "udp"
NUMBERS = {TCP: "6", UDP: "17"}
"""Transports as ACLs' entries name them."""
NETWORK, APPLICATION = "network", "application"


@lru_cache(maxsize=65_536)
def ip_number(ip: str) -> int:
    """An IPv4 address as a number. Raises ValueError for anything else."""
    a, b, c, d = ip.split(".")
    return int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)


class Cidr(NamedTuple):
    """A network as two numbers: membership is one `and`, which matters at one check per connection."""

    base: int
    mask: int
    length: int
    text: str

    def __contains__(self, ip: object) -> bool:
        return isinstance(ip, int) and ip & self.mask == self.base

    def overlaps(self, other: Cidr) -> bool:
        mask = self.mask & other.mask
        return self.base & mask == other.base & mask


@lru_cache(maxsize=4_096)
def cidr(text: str) -> Cidr:
    network = IPv4Network(text, strict=False)
    return Cidr(int(network.network_address), int(network.netmask), network.prefixlen, text)


@dataclass(frozen=True, slots=True)
class Vpc:
    id: str
    cidrs: tuple[Cidr, ...]
    name: str


@dataclass(frozen=True, slots=True)
class Subnet:
    id: str
    vpc: str
    cidr: Cidr
    zone: str
    route_table: str | None


@dataclass(frozen=True, slots=True)
class Instance:
    id: str
    state: str
    ip: str
    vpc: str
    subnet: str
    zone: str
    groups: tuple[str, ...]

    @property
    def alive(self) -> bool:
        return self.state in ALIVE


@dataclass(frozen=True, slots=True)
class Rule:
    """One permission. `protocol` "-1" is all protocols; ports None are all ports."""

    protocol: str
    first: int | None
    last: int | None
    cidrs: tuple[Cidr, ...]
    groups: frozenset[str]

    def covers(self, port: int, transport: str = TCP) -> bool:
        if self.protocol == "-1":
            return True
        if self.protocol not in (transport, NUMBERS[transport]):
            return False
        return (self.first is None or self.first <= port) and (self.last is None or port <= self.last)


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    id: str
    vpc: str
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class AclEntry:
    number: int
    allow: bool
    egress: bool
    rule: Rule


@dataclass(frozen=True, slots=True)
class NetworkAcl:
    """Stateless: the first entry that fits decides, and none is a no."""

    id: str
    entries: tuple[AclEntry, ...]
    """By number."""

    def admits(self, ip: int, port: int, *, egress: bool, transport: str = TCP) -> bool:
        for entry in self.entries:
            if entry.egress is egress and entry.rule.covers(port, transport) and any(ip in c for c in entry.rule.cidrs):
                return entry.allow
        return False


@dataclass(frozen=True, slots=True)
class Peering:
    id: str
    requester: str
    accepter: str
    state: str

    def joins(self, one: str, other: str) -> bool:
        return self.state == "active" and {one, other} == {self.requester, self.accepter}


@dataclass(frozen=True, slots=True)
class Route:
    cidr: Cidr
    target: str
    active: bool


@dataclass(frozen=True, slots=True)
class RouteTable:
    id: str
    vpc: str
    main: bool
    routes: tuple[Route, ...]

    def lookup(self, ip: int) -> Route | None:
        """The most specific route to an address."""
        return max((r for r in self.routes if ip in r.cidr), key=lambda r: r.cidr.length, default=None)


@dataclass(frozen=True, slots=True)
class NatGateway:
    id: str
    subnet: str
    active: bool


@dataclass(frozen=True, slots=True)
class ServiceEndpoint:
    """An interface endpoint: where a VPC has one of AWS's APIs. `service` is the name's end: ssm, ecr.api."""

    id: str
    vpc: str
    service: str
    addresses: tuple[str, ...]
    private_names: bool
    """Whether the public name leads here within the VPC."""


@dataclass(frozen=True, slots=True)
class BalancerAddress:
    zone: str
    subnet: str
    ip: str


@dataclass(frozen=True, slots=True)
class Forward:
    """A target group and its share of the new flows, or requests."""

    target_group: str
    weight: int


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rule: any of the values will do."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListenerRule:
    priority: int
    conditions: tuple[Condition, ...]
    forwards: tuple[Forward, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in ACM, the names it is for; the lab makes one of its own for them."""

    arn: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BalancerListener:
    arn: str
    port: int
    protocol: str
    forwards: tuple[Forward, ...]
    rules: tuple[ListenerRule, ...] = ()
    """By priority."""
    certificates: tuple[Certificate, ...] = ()
    """The default one first."""
    alpn: tuple[str, ...] = ()

    @property
    def transports(self) -> tuple[str, ...]:
        return {"UDP": (UDP,), "TCP_UDP": (TCP, UDP)}.get(self.protocol, (TCP,))

    @property
    def secure(self) -> bool:
        return self.protocol in ("TLS", "HTTPS")

    @property
    def target_groups(self) -> tuple[str, ...]:
        """Every group that something may be sent to, once each."""
        every = (*self.forwards, *(one for rule in self.rules for one in rule.forwards))
        return tuple(dict.fromkeys(one.target_group for one in every))


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    arn: str
    name: str
    dns_name: str
    vpc: str
    groups: tuple[str, ...]
    cross_zone: bool
    addresses: tuple[BalancerAddress, ...]
    listeners: tuple[BalancerListener, ...]
    type: str = NETWORK
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def dimension(self) -> str:
        """CloudWatch's name of it: net/<name>/<hash>."""
        return self.arn.partition(":loadbalancer/")[2] or self.name


@dataclass(frozen=True, slots=True)
class Target:
    id: str
    port: int
    zone: str
    draining: bool
    since: float
    """When it was registered (epoch, s): another time means that it was deregistered in between."""

    @property
    def key(self) -> str:
        return f"{self.id}:{self.port}"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    protocol: str
    port: str
    path: str
    matcher: str = "200-399"
    """Statuses that pass, as ELB writes them: 200, 200-299, 200,301."""


@dataclass(frozen=True, slots=True)
class TargetGroup:
    arn: str
    name: str
    vpc: str
    target_type: str
    port: int
    health: HealthCheck
    attributes: Mapping[str, str]
    targets: tuple[Target, ...]
    protocol: str = "TCP"

    @property
    def proxy_protocol(self) -> bool:
        return self.attributes.get("proxy_protocol_v2.enabled") == "true"

    @property
    def sticky_by_source(self) -> bool:
        """Whether a client's address stays with its target."""
        known = self.attributes
        return known.get("stickiness.enabled") == "true" and known.get("stickiness.type") == "source_ip"

    @property
    def cuts_when_drained(self) -> bool:
        """Connection termination at the end of the deregistration delay: on by default for UDP only.

        https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroupAttribute.html
        """
        usual = str(self.protocol in ("UDP", "TCP_UDP")).lower()
        return self.attributes.get("deregistration_delay.connection_termination.enabled", usual) == "true"

    @property
    def dimension(self) -> str:
        """CloudWatch's name of it: targetgroup/<name>/<hash>."""
        return self.arn.rpartition(":")[2] or self.name


@dataclass(frozen=True, slots=True)
class Record:
    name: str
    type: str
    ttl: int
    values: tuple[str, ...]
    alias: str | None
    weight: int | None


@dataclass(frozen=True, slots=True)
class Zone:
    id: str
    name: str
    private: bool
    vpcs: frozenset[str]
    records: Mapping[tuple[str, str], tuple[Record, ...]]
    names: frozenset[str]
    """Every name that exists, empty non-terminals included (RFC 4592: those stop a wildcard)."""


@dataclass(frozen=True, slots=True)
class Host:
    """Whose address that is: VPC, subnet (None outside every subnet) and security groups (none: unfiltered)."""

    ip: str
    vpc: str
    subnet: str | None
    groups: tuple[str, ...]
    filtered: bool
    what: str


@dataclass(frozen=True)
class State:
    revision: int = -1
    vpcs: Mapping[str, Vpc] = field(default_factory=dict)
    subnets: Mapping[str, Subnet] = field(default_factory=dict)
    instances: Mapping[str, Instance] = field(default_factory=dict)
    security_groups: Mapping[str, SecurityGroup] = field(default_factory=dict)
    acls: Mapping[str, NetworkAcl] = field(default_factory=dict)
    """By subnet."""
    peerings: tuple[Peering, ...] = ()
    route_tables: Mapping[str, RouteTable] = field(default_factory=dict)
    nat_gateways: Mapping[str, NatGateway] = field(default_factory=dict)
    service_endpoints: tuple[ServiceEndpoint, ...] = ()
    load_balancers: Mapping[str, LoadBalancer] = field(default_factory=dict)
    target_groups: Mapping[str, TargetGroup] = field(default_factory=dict)
    zones: tuple[Zone, ...] = ()
    hosts: Mapping[str, Host] = field(default_factory=dict)
    """Addresses somebody owns: instances that are alive, and interfaces."""
    verdicts: dict[tuple[str, str, int, str], Any] = field(default_factory=dict, compare=False, repr=False)
    """Memory of `reachability.allowed`: it lives and dies with this revision."""

    def vpc_of(self, ip: str) -> str | None:
        """The VPC whose CIDR holds this address."""
        number = ip_number(ip)
        return next((v.id for v in self.vpcs.values() if any(number in c for c in v.cidrs)), None)

    def subnet_of(self, ip: str) -> Subnet | None:
        number = ip_number(ip)
        return next((s for s in self.subnets.values() if number in s.cidr), None)

    def host(self, ip: str) -> Host | None:
        """Who has this address. One nobody owns but that lies in a VPC is a machine without security groups: the
        operator's workstation, a client on a connected network. None outside every VPC."""
        known = self.hosts.get(ip)
        if known is not None:
            return known
        subnet = self.subnet_of(ip)
        vpc = subnet.vpc if subnet else self.vpc_of(ip)
        return Host(ip, vpc, subnet.id if subnet else None, (), False, "client") if vpc else None

    def table_of(self, host: Host) -> RouteTable | None:
        """The route table that applies to a host: its subnet's, else its VPC's main one."""
        subnet = self.subnets.get(host.subnet or "")
        explicit = self.route_tables.get(subnet.route_table or "") if subnet else None
        if explicit is not None:
            return explicit
        return next((t for t in self.route_tables.values() if t.vpc == host.vpc and t.main), None)


def name_key(name: str) -> str:
    """A DNS name as it is compared: lower case, without the last dot, Route 53's `\\052` being the asterisk."""
    return re.sub(r"\\052", "*", name).rstrip(".").lower()

"""What is there: AWS and the cluster as a recording, and what differs between two of them. Pure.

A way back must leave nothing and take nothing along: the world at 0 is compared with a recording made before stage 1.
A recording names everything that a stage may touch, and leaves out what changes by itself (addresses of nodes, when
something was seen). `rehearsal/recording.py` makes one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

Tags = dict[str, str]
NO_GROUP = "no group"
"""Under which instances and nodes stand that no Auto Scaling group has launched."""


class Fact(BaseModel):
    """Something that was seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Record(Fact):
    """A record set; TTL in seconds. `values` are an alias's target where it is one."""

    ttl: int | None
    weight: int | None
    values: tuple[str, ...]


class Zone(Fact):
    """A hosted zone: the VPCs that resolve by it, its records by type, name and set identifier."""

    vpcs: tuple[str, ...]
    records: dict[str, Record]


class Vpc(Fact):
    """A VPC; `dns`: its two DNS attributes."""

    cidrs: tuple[str, ...]
    dns: dict[str, bool]
    tags: Tags


class Subnet(Fact):
    """A subnet."""

    vpc: str
    cidr: str
    zone: str
    tags: Tags


class SecurityGroup(Fact):
    """A security group; each rule as a sentence, with its description."""

    vpc: str
    name: str
    rules: dict[str, str]
    tags: Tags


class RouteTable(Fact):
    """A route table; each destination with target and state."""

    vpc: str
    routes: dict[str, str]
    subnets: tuple[str, ...]
    tags: Tags


class Peering(Fact):
    """A peering connection that isn't deleted. `dns`: whether each end resolves the other's names."""

    vpcs: tuple[str, ...]
    state: str
    dns: dict[str, bool]
    tags: Tags


class Gateway(Fact):
    """An internet or NAT gateway, an endpoint, or an elastic address."""

    kind: str
    vpcs: tuple[str, ...]
    tags: Tags


class Interface(Fact):
    """A network interface that no instance has."""

    vpc: str
    description: str


TYPE_LABEL = "node.kubernetes.io/instance-type"
CHOSEN = "one that its group may choose"


class Group(Fact):
    """An Auto Scaling group. `running`: instances in service; `types`: those that its mixed policy may choose from."""

    minimum: int
    maximum: int
    desired: int
    running: int
    suspended: tuple[str, ...]
    subnets: tuple[str, ...]
    template: str
    types: tuple[str, ...]
    target_groups: tuple[str, ...]
    health_check: str
    tags: Tags


class Template(Fact):
    """A launch template with its versions' numbers."""

    name: str
    default: int
    latest: int
    tags: Tags


class Volume(Fact):
    """An EBS volume that doesn't end with an instance."""

    attached: bool
    tags: Tags


class Balancer(Fact):
    """A load balancer; each listener (protocol and port) with the target groups that it leads to."""

    arn: str
    vpc: str
    scheme: str
    state: str
    subnets: tuple[str, ...]
    listeners: dict[str, str]
    attributes: dict[str, str]
    tags: Tags


class TargetGroup(Fact):
    """A target group. `targets`: how many there are of each, by their group (or address) and port.

    `health`: how many are in each state. Behind a node port it is how many are as is due: with a policy of `Local`
    those are healthy whose machine an ingress pod runs on, and pods that were moved there and back run elsewhere.
    """

    arn: str
    vpc: str
    kind: str
    port: int
    health_check: dict[str, str]
    attributes: dict[str, str]
    targets: dict[str, int]
    health: dict[str, int]
    tags: Tags


class Cloud(Fact):
    """AWS, by id or by name where that is unique. `roles`: policies by digest; `parameters`: values by digest."""

    zones: dict[str, Zone]
    vpcs: dict[str, Vpc]
    subnets: dict[str, Subnet]
    security_groups: dict[str, SecurityGroup]
    route_tables: dict[str, RouteTable]
    peerings: dict[str, Peering]
    gateways: dict[str, Gateway]
    interfaces: dict[str, Interface]
    groups: dict[str, Group]
    instances: dict[str, dict[str, str]]
    """Those that aren't ended, by group: each with its VPC."""
    templates: dict[str, Template]
    volumes: dict[str, Volume]
    balancers: dict[str, Balancer]
    target_groups: dict[str, TargetGroup]
    roles: dict[str, dict[str, str]]
    parameters: dict[str, str]


class Node(Fact):
    """A node, without what tells it from others of its group."""

    ready: bool
    unschedulable: bool
    taints: tuple[str, ...]
    labels: dict[str, str]
    annotations: dict[str, str]


class Service(Fact):
    """A Service: how it is reached."""

    kind: str
    policy: str
    """externalTrafficPolicy."""
    ports: tuple[str, ...]
    annotations: dict[str, str]
    labels: dict[str, str]


class Workload(Fact):
    """A Deployment, StatefulSet or DaemonSet. `annotations` are its pods'; `spec` is a digest of all the rest."""

    replicas: int
    ready: int
    annotations: dict[str, str]
    spec: str


class Cluster(Fact):
    """Kubernetes. Nodes by the Auto Scaling group of their instance; `objects`: what else may be left, by name."""

    nodes: dict[str, tuple[Node, ...]]
    services: dict[str, Service]
    workloads: dict[str, Workload]
    objects: dict[str, str]


class World(Cloud, Cluster):
    """Everything."""

    @classmethod
    def of(cls, cloud: Cloud, cluster: Cluster) -> World:
        """Both parts together. Which of its policy's types a machine is of is Auto Scaling's choice at each launch."""
        nodes = {
            name: tuple(_any_of(found.types, one) for one in members) if (found := cloud.groups.get(name)) else members
            for name, members in cluster.nodes.items()
        }
        return cls.model_validate({**dict(cloud), **dict(cluster), "nodes": nodes})


def _any_of(types: tuple[str, ...], node: Node) -> Node:
    if node.labels.get(TYPE_LABEL) not in types:
        return node
    return node.model_copy(update={"labels": {**node.labels, TYPE_LABEL: CHOSEN}})


MAY_BE_EMPTY = frozenset({"interfaces"})


def blanks(world: World) -> list[str]:
    """What a recording shows nothing of, and must: two that saw nothing would be alike."""
    return [name for name in World.model_fields if not getattr(world, name) and name not in MAY_BE_EMPTY]


class Difference(Fact):
    """Something that is another way: where, and how it was and is. None: it isn't there."""

    path: tuple[str, ...]
    before: JsonValue
    after: JsonValue

    @property
    def text(self) -> str:
        """As a sentence."""
        return f"{_named(self.path)}: was {_shown(self.before)}, is {_shown(self.after)}"


class Meant(Fact):
    """A difference that is meant, and why: all below `path`. `after`: what must be there; None: whatever it is.

    `due`: the difference must be there. Otherwise it may.
    """

    path: tuple[str, ...]
    reason: str
    after: JsonValue = None
    due: bool = True

    def covers(self, difference: Difference) -> bool:
        """Whether the difference is this one."""
        inside = difference.path[: len(self.path)] == self.path
        return inside and (self.after is None or difference.after == self.after)


class Allowed(Fact):
    """A difference, with why it is meant."""

    difference: Difference
    reason: str


class Comparison(Fact):
    """Two recordings compared: what was meant, what wasn't, and what was meant and isn't there."""

    allowed: tuple[Allowed, ...] = ()
    undue: tuple[Difference, ...] = ()
    missing: tuple[Meant, ...] = ()

    @property
    def wrong(self) -> tuple[str, ...]:
        """A sentence for everything that must not be so."""
        return (
            *(difference.text for difference in self.undue),
            *(f"{_named(one.path)}: nothing differs, and something must: {one.reason}" for one in self.missing),
        )


def differences(before: World, after: World) -> list[Difference]:
    """Everything that differs, each at the innermost place."""
    return different(before.model_dump(mode="json"), after.model_dump(mode="json"))


def different(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """The same of two documents."""
    return list(_differ((), dict(before), dict(after)))


def compare(before: World, after: World, meant: Iterable[Meant]) -> Comparison:
    """What differs, told apart by what is meant."""
    return sort_out(differences(before, after), meant)


def sort_out(found: Iterable[Difference], meant: Iterable[Meant]) -> Comparison:
    """Differences, told apart by what is meant."""
    wanted = list(meant)
    allowed: list[Allowed] = []
    undue: list[Difference] = []
    seen: set[int] = set()
    for difference in found:
        number = next((n for n, one in enumerate(wanted) if one.covers(difference)), None)
        if number is None:
            undue.append(difference)
        else:
            seen.add(number)
            allowed.append(Allowed(difference=difference, reason=wanted[number].reason))
    missing = tuple(one for n, one in enumerate(wanted) if one.due and n not in seen)
    return Comparison(allowed=tuple(allowed), undue=tuple(undue), missing=missing)


def _differ(path: tuple[str, ...], before: Any, after: Any) -> Iterator[Difference]:
    inside = [_parts(value) for value in (before, after)]
    if inside[0] is not None and inside[1] is not None:
        for key in sorted({*inside[0], *inside[1]}):
            if key in inside[0] and key in inside[1]:
                yield from _differ((*path, key), inside[0][key], inside[1][key])
            else:
                yield Difference(path=(*path, key), before=inside[0].get(key), after=inside[1].get(key))
    elif before != after:
        yield Difference(path=path, before=before, after=after)


def _parts(value: Any) -> Mapping[str, Any] | None:
    """What can be told apart inside a value: a list of objects by position; a list of words is one value."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return {str(number): item for number, item in enumerate(value, 1)}
    return None


def _named(path: tuple[str, ...]) -> str:
    return " / ".join((path[0].replace("_", " "), *path[1:]))


SHOWN = 300
"""Characters of a value that a sentence shows."""


def _shown(value: JsonValue) -> str:
    if value is None:
        return "absent"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"

"""What gates read: one question a check, with exactly what that check needs, taken from the settings.

Ids of a side that this program makes aren't in a question: a gate before a stage can't depend on the stage's own
resources, since those wait for the gate. Such a side is found by its tags when the gate asks (`migration.gates.live`).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import Field

from migration.contracts.base import Contract, Inputs, Manner, Result, Wanted
from migration.contracts.members import EtcdAccess, MemberForm, MemberPair, OldMember, api_members, member_pairs
from migration.contracts.parity import VpcPlanned
from migration.contracts.service_balancers import (
    ControllerInOldVpc,
    ControllerLeftOldVpc,
    NewNodesExcluded,
    ServicesCarried,
)
from migration.contracts.worker_gates import MachinesCopied, RoomForBoth
from migration.dns.wanted import weights_at
from migration.names import api_names, member_name
from migration.settings import Settings
from migration.settings.balancers import ApiBalancerForm, BalancerForm
from migration.settings.forms import (
    api_form,
    carried_services,
    group_name,
    ingress_forms,
    placed,
    serves_pool,
    services,
)
from migration.settings.groups import member_group, pool_group
from migration.settings.model import (
    AcceptedFlows,
    Balancer,
    Configuration,
    ExternalDns,
    LoadBalancerServices,
    ManagedSide,
    MemberFiles,
    MemberKeys,
    Name,
    ReferencedSide,
    Retired,
    SecurityGroups,
    Strategy,
)
from migration.stages.table import Stage, before, stage


class BalancerRef(Contract):
    """A network load balancer that is there: its ARN, its DNS name, and the ARNs of the target groups behind it."""

    arn: str
    dns_name: str
    target_groups: tuple[str, ...]


class SideRef(Contract):
    """A side: by name and suffix alone where this program made it, with its ids where it was there before.

    Further ingress balancers: `more` by role with their ids, or their `roles` alone.
    """

    name: str
    suffix: str
    cidr: str
    secondary_cidrs: tuple[str, ...] = ()
    vpc_id: str | None = None
    route_tables: tuple[str, ...] = ()
    ingress: BalancerRef | None = None
    api: BalancerRef | None = None
    more: dict[str, BalancerRef] = Field(default_factory=dict)
    roles: tuple[str, ...] = ()

    @classmethod
    def of(cls, s: Settings, name: str) -> Self:
        """The side of that name, as the configuration has it."""
        side = s.configuration.sides[name]
        if not isinstance(side, ReferencedSide):
            roles = tuple(one.name for one in s.configuration.more_ingress)
            return cls(name=name, suffix=side.suffix, cidr=side.cidr, roles=roles)
        balancers = side.load_balancers
        return cls(
            name=name,
            suffix=side.suffix,
            cidr=side.cidr,
            secondary_cidrs=side.secondary_cidrs,
            vpc_id=side.vpc_id,
            route_tables=side.route_tables,
            ingress=_ref(balancers.ingress),
            api=_ref(balancers.api),
            more={role: _ref(one) for role, one in balancers.more.items()},
        )


def _ref(balancer: Balancer) -> BalancerRef:
    return BalancerRef(arn=balancer.arn, dns_name=balancer.dns_name, target_groups=balancer.target_groups)


def _sides(s: Settings) -> tuple[SideRef, SideRef]:
    return SideRef.of(s, s.configuration.from_), SideRef.of(s, s.configuration.to)


def worker_groups(s: Settings, side: str) -> tuple[str, ...]:
    """Names of a side's worker groups, pool by pool."""
    c = s.configuration
    return tuple(pool_group(c.sides[side], pool) for pool in c.pools)


def member_groups(s: Settings, side: str) -> tuple[str, ...]:
    """Names of a side's member groups, member by member."""
    c = s.configuration
    return tuple(member_group(c.sides[side], member) for member in c.members)


def server_groups(s: Settings, side: str) -> tuple[str, ...]:
    """Names of a side's groups of API machines, where they aren't its members'."""
    c = s.configuration
    return tuple(member_group(c.sides[side], one) for member in c.members for one in member.api_servers)


def _server_names(s: Settings, side: str) -> dict[str, str]:
    """Names of a side's API machines by group, where they aren't its members'."""
    c, made = s.configuration, s.configuration.sides[side]
    every = (one for member in c.members for one in member.api_servers)
    return {member_group(made, one): member_name(one.name, made.suffix) for one in every}


def control_plane_groups(s: Settings, side: str) -> tuple[str, ...]:
    """Both together."""
    return (*member_groups(s, side), *server_groups(s, side))


def ended_groups(s: Settings) -> tuple[str, ...]:
    """Auto Scaling groups that may be gone: at the stage that ends the old side, those of it that are to go."""
    if not s.stage.finished:
        return ()
    if not isinstance(s.old, ReferencedSide):
        name = s.configuration.from_
        return (*worker_groups(s, name), *control_plane_groups(s, name))
    return tuple(item.id for item in s.configuration.retire if item.type == "autoscaling-group")


class Permissions(Contract):
    """May the operator do what a migration does, and is there room for the new groups?"""

    check: Literal["permissions"] = "permissions"
    old: SideRef
    worker_groups: tuple[str, ...]
    new_groups: tuple[str, ...]
    zone_id: str
    control_plane_role: str

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(
            old=SideRef.of(s, c.from_),
            worker_groups=worker_groups(s, c.from_)[:1],
            new_groups=(*worker_groups(s, c.to), *control_plane_groups(s, c.to)),
            zone_id=c.traffic.zone_id,
            control_plane_role=c.control_plane_role,
        )


class ControlPlaneForm(Contract):
    """Is the control plane's form as configured, and could each new member's user data be made from it?

    `servers` are groups of API machines, where they aren't the members'.
    """

    check: Literal["control-plane-form"] = "control-plane-form"
    groups: tuple[str, ...]
    servers: tuple[str, ...] = ()
    form: MemberForm
    files: MemberFiles
    api_port: int
    client_port: int
    peer_port: int

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(
            groups=member_groups(s, c.from_),
            servers=server_groups(s, c.from_),
            form=MemberForm.of(c.control_plane),
            files=c.control_plane.files,
            api_port=c.api.on_members,
            client_port=c.etcd.client_port,
            peer_port=c.etcd.peer_port,
        )


class ClusterHealthy(Contract):
    """Are nodes ready, budgets met, and targets healthy behind the old balancers?"""

    check: Literal["cluster-healthy"] = "cluster-healthy"
    old: SideRef

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls(old=SideRef.of(s, s.configuration.from_))


class ConnectedRange(Contract):
    """Somebody else's network: its name and range; its VPC and route tables where this program peers it."""

    name: str
    cidr: str
    vpc_id: str | None = None
    route_tables: tuple[str, ...]


def _connected(s: Settings) -> tuple[ConnectedRange, ...]:
    return tuple(
        ConnectedRange(name=name, cidr=cidr, vpc_id=one.vpc_id, route_tables=one.route_tables)
        for one in s.configuration.connected_networks
        for name, cidr in one.ranges.items()
    )


class TrafficCarried(Contract):
    """Is everything in front of the old side carried: balancers, listeners, names, Services of type LoadBalancer?

    `ingress` and `api`: what is made; `described`: roles whose balancer is written out. `retired`: ARNs of balancers
    that the last stage deletes. `records`: names that move, by zone; `aliases`: those of them that are aliases, and
    whether each has its balancer's health evaluated.
    """

    check: Literal["traffic-carried"] = "traffic-carried"
    old: SideRef
    worker_groups: tuple[str, ...]
    ingress: dict[str, BalancerForm]
    api: ApiBalancerForm
    described: tuple[str, ...]
    retired: tuple[str, ...]
    records: dict[str, tuple[str, ...]]
    aliases: dict[str, dict[str, bool]] = Field(default_factory=dict)
    services: LoadBalancerServices

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        described = [one.name for one in c.more_ingress]
        described += ["ingress"] if c.ingress.balancer is not None else []
        described += ["api"] if c.api.balancer is not None else []
        return cls(
            old=SideRef.of(s, c.from_),
            worker_groups=worker_groups(s, c.from_),
            ingress=ingress_forms(c),
            api=api_form(c),
            described=tuple(described),
            retired=tuple(item.id for item in c.retire if item.type == "load-balancer"),
            records={zone: tuple(one.name for one in records) for zone, records in c.traffic.zones().items()},
            aliases={
                zone: {one.name: one.evaluate_target_health for one in aliases}
                for zone, records in c.traffic.zones().items()
                if (aliases := [one for one in records if one.is_alias])
            },
            services=c.traffic.load_balancer_services,
        )


class NamesUnclaimed(Contract):
    """Does external-dns claim any of the names, and is it as the configuration says?

    `records`: the names by zone. `first`: the configuration must say how, and it needn't be so yet. `last`: the old
    side goes next, so that nothing may lead names back to it. `carried`: Services of type LoadBalancer that become
    NodePorts then.
    """

    check: Literal["names-unclaimed"] = "names-unclaimed"
    old: SideRef
    records: dict[str, tuple[str, ...]]
    external_dns: ExternalDns
    first: bool = False
    last: bool
    carried: tuple[str, ...] = ()

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        traffic = s.configuration.traffic
        return cls(
            old=SideRef.of(s, s.configuration.from_),
            records={zone: tuple(one.name for one in records) for zone, records in traffic.zones().items()},
            external_dns=traffic.external_dns,
            first=row.number == 0,
            last=row.finished,
            carried=_carried_names(s),
        )


class NewBalancersAnswer(Contract):
    """Does every listener of the new side's balancers answer a connection?

    `from_here`: this machine reaches the sides; otherwise machines of `member_groups` are asked by Systems Manager.
    """

    check: Literal["new-balancers-answer"] = "new-balancers-answer"
    new: SideRef
    from_here: bool
    member_groups: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(new=SideRef.of(s, c.to), from_here=c.etcd.access.by_port, member_groups=member_groups(s, c.from_))


class NewMachinesReach(Contract):
    """Do machines of the new VPC reach registries, AWS's APIs, names and the old nodes, and old ones the new nodes?

    `by`: ``ssm`` tries it by commands on machines, ``skip`` doesn't. `names` are those of private zones, `reach` hosts
    with ports, `connected` and `resolver_rules` what can't be tried without being named there.
    """

    check: Literal["new-machines-reach"] = "new-machines-reach"
    by: Literal["ssm", "skip"]
    zones: tuple[str, ...]
    new_groups: tuple[str, ...]
    old_groups: tuple[str, ...]
    member_groups: tuple[str, ...]
    api: str
    names: tuple[str, ...]
    reach: tuple[str, ...]
    connected: tuple[str, ...]
    resolver_rules: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c, made = s.configuration, s.new
        assert isinstance(made, ManagedSide), "the new side is this program's"
        private = c.traffic.private_zones()
        records = (one for zone, found in c.traffic.zones().items() if zone in private for one in found)
        return cls(
            by=c.try_from_machines,
            zones=made.zones,
            new_groups=worker_groups(s, c.to),
            old_groups=worker_groups(s, c.from_),
            member_groups=member_groups(s, c.from_),
            api=c.api.name,
            names=tuple(one.name for one in records if one.name != c.api.name),
            reach=made.reach,
            connected=tuple(one.name for one in c.connected_networks),
            resolver_rules=made.resolver_rules,
        )


class NetworksDisjoint(Contract):
    """Does the new VPC overlap anything, and is the pod network an overlay?"""

    check: Literal["networks-disjoint"] = "networks-disjoint"
    old: SideRef
    new: SideRef
    pod_cidr: str
    service_cidr: str
    connected: tuple[ConnectedRange, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c, (old, new) = s.configuration, _sides(s)
        return cls(old=old, new=new, pod_cidr=c.pod_cidr, service_cidr=c.service_cidr, connected=_connected(s))


# Where API servers reach kubelets (Kubernetes documentation, Ports and Protocols).
KUBELET = 10250


class NetworksCarried(Contract):
    """Is everything of the old VPC's network, which the new one must have too, named in the configuration?

    `subnets` are those that the cluster's machines are in; `ipv6` whether addresses of that kind may be left behind.
    `ports`: those at which the sides' machines reach each other, which network ACLs must let through to `new_cidr`.
    """

    check: Literal["networks-carried"] = "networks-carried"
    old: SideRef
    new_cidr: str
    ports: tuple[int, ...]
    subnets: tuple[str, ...]
    ipv6: Literal["refuse", "leave"]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        ports = (c.api.on_members, c.etcd.client_port, c.etcd.peer_port, c.ingress.node_port)
        return cls(
            old=SideRef.of(s, c.from_),
            new_cidr=s.new.cidr,
            ports=tuple(sorted({*ports, KUBELET})),
            subnets=machine_subnets(s),
            ipv6=c.ipv6,
        )


class _References(Contract):
    """What rules elsewhere may name. `groups` are ids by role, none where this program made the side.

    `peered_vpcs`: connected VPCs.
    """

    old: SideRef
    new: SideRef
    groups: dict[str, str]
    peered_vpcs: tuple[str, ...]

    @classmethod
    def _of(cls, s: Settings) -> dict[str, Any]:
        c, (old, new) = s.configuration, _sides(s)
        groups = named_groups(s.old.security_groups) if isinstance(s.old, ReferencedSide) else {}
        return {"old": old, "new": new, "groups": groups, "peered_vpcs": peered_vpcs(c)}


def named_groups(groups: SecurityGroups) -> dict[str, str]:
    """Security groups' ids by role."""
    every = {"nodes": groups.nodes, "control-plane": groups.control_plane, "etcd": groups.etcd}
    return {role: id_ for role, id_ in every.items() if id_ is not None}


def peered_vpcs(c: Configuration) -> tuple[str, ...]:
    """Connected VPCs that this program peers."""
    return tuple(network.vpc_id for network in c.connected_networks if network.vpc_id)


class ReferencesAccepted(_References):
    """Is it decided what becomes of the rules elsewhere that name the old side?"""

    check: Literal["references-accepted"] = "references-accepted"
    mode: Literal["apply", "list"] | None = None

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls(mode=s.configuration.references, **cls._of(s))


class ReferencesAnswered(_References):
    """Does whatever names the old side elsewhere name the new one, too?"""

    check: Literal["references-answered"] = "references-answered"
    mode: Literal["apply", "list"] | None = None

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls(mode=s.configuration.references, **cls._of(s))


class NetworksAlike(Contract):
    """Does the new VPC offer machines what the old one does: a way out, names, endpoints?

    `subnets` are those that the old side's machines are in; `without` is what the new VPC needn't have, `planned` what
    it will have, for as long as it isn't made.
    """

    check: Literal["networks-alike"] = "networks-alike"
    old: SideRef
    new: SideRef
    subnets: tuple[str, ...]
    without: tuple[str, ...]
    planned: VpcPlanned

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        (old, new), made = _sides(s), s.new
        assert isinstance(made, ManagedSide), "the new side is this program's"
        planned = VpcPlanned.of(s.configuration, made, s.region)
        return cls(old=old, new=new, subnets=machine_subnets(s), without=made.without, planned=planned)


def machine_subnets(s: Settings) -> tuple[str, ...]:
    """The subnets of the old side's machines; none where this program made it, and tags say."""
    return tuple(one.private for _, one in sorted(s.old.zones.items())) if isinstance(s.old, ReferencedSide) else ()


class OldSideStands(Contract):
    """Is what earlier stages added to the old side still there: routes, and rules of its groups for the new side?

    `groups` are ids by role, none where this program made the side. `reached` is the stage that made it.
    """

    check: Literal["old-side-stands"] = "old-side-stands"
    old: SideRef
    new: SideRef
    groups: dict[str, str]
    client_port: int
    peer_port: int
    api_port: int
    reached: int

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c, (old, new) = s.configuration, _sides(s)
        return cls(
            old=old,
            new=new,
            reached=before(row).number,
            groups=named_groups(s.old.security_groups) if isinstance(s.old, ReferencedSide) else {},
            client_port=c.etcd.client_port,
            peer_port=c.etcd.peer_port,
            api_port=c.api.on_members,
        )


class FileSystemsReached(Contract):
    """Are EFS file systems that pods use reached from the new VPC, too?"""

    check: Literal["file-systems-reached"] = "file-systems-reached"
    old: SideRef
    efs: Literal["refuse", "reachable"]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls(old=SideRef.of(s, s.configuration.from_), efs=s.configuration.efs)


class KeptUnused(Contract):
    """Does the new side talk to nothing that is kept in the old VPC, or does the peering stay?

    `made`: the old side is this program's own. `retired_balancers`: ARNs of those that go.
    """

    check: Literal["kept-unused"] = "kept-unused"
    old: SideRef
    new: SideRef
    made: bool
    retain_peering: bool
    flows: Literal["refuse", "accept"]
    retired_balancers: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c, (old, new) = s.configuration, _sides(s)
        return cls(
            old=old,
            new=new,
            made=isinstance(s.old, ManagedSide),
            retain_peering=c.retain_peering,
            flows=c.kept_flows,
            retired_balancers=tuple(item.id for item in c.retire if item.type == "load-balancer"),
        )


class ReachableBothWays(Contract):
    """Is the peering active, with routes and names both ways?"""

    check: Literal["reachable-both-ways"] = "reachable-both-ways"
    old: SideRef
    new: SideRef
    zone_id: str
    more_zones: tuple[str, ...] = ()

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        old, new = _sides(s)
        first, *more = s.configuration.traffic.zones()
        return cls(old=old, new=new, zone_id=first, more_zones=tuple(more))


class ApiServedByNewBalancer(Contract):
    """Is every old member, by address, a healthy target of the new side's API balancer?"""

    check: Literal["api-served-by-new-balancer"] = "api-served-by-new-balancer"
    new: SideRef
    members: tuple[OldMember, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(new=SideRef.of(s, c.to), members=api_members(s))


class TtlsLowered(Contract):
    """Has no record of the names a longer TTL (seconds) than asked for? `more`: names of further zones.

    `aliases`: names by zone that have no TTL of their own; their answers are kept for `alias_ttl` seconds.
    """

    check: Literal["ttls-lowered"] = "ttls-lowered"
    zone_id: str
    names: tuple[str, ...]
    ttl: int
    more: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    aliases: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    alias_ttl: Manner[int] = 60

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        traffic = s.configuration.traffic
        names = {
            alias: {
                zone: tuple(one.name for one in records if one.is_alias is alias)
                for zone, records in traffic.zones().items()
            }
            for alias in (False, True)
        }
        first, *more = names[False].items()
        return cls(
            zone_id=first[0],
            names=first[1],
            ttl=traffic.ttl,
            more=dict(more),
            aliases={zone: some for zone, some in names[True].items() if some},
            alias_ttl=s.configuration.limits.alias_ttl_seconds,
        )


def _carried_names(s: Settings) -> tuple[str, ...]:
    return tuple(f"{one.namespace}/{one.service}" for one in carried_services(s.configuration).values())


class WritersKnown(Contract):
    """Would anybody write the ingress policy back, and has any Service a balancer of its own?

    `more`: further ingress Services, ``namespace/name``; `carried`: those of type LoadBalancer that are carried.
    """

    check: Literal["writers-known"] = "writers-known"
    old: SideRef
    namespace: str
    service: str
    more: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        more = tuple(f"{one.namespace}/{one.service}" for one in services(c)[1:])
        return cls(
            old=SideRef.of(s, c.from_),
            namespace=c.ingress.namespace,
            service=c.ingress.service,
            more=more,
            carried=_carried_names(s),
        )


class EveryOldNodeInAPool(Contract):
    """Does each Node of the old VPC run on an instance of the groups that this program knows?"""

    check: Literal["every-old-node-in-a-pool"] = "every-old-node-in-a-pool"
    old: SideRef
    worker_groups: tuple[str, ...]
    member_groups: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        name = s.configuration.from_
        members = control_plane_groups(s, name)
        return cls(old=SideRef.of(s, name), worker_groups=worker_groups(s, name), member_groups=members)


class GroupPair(Contract):
    """A worker group and its copy on the new side, by name."""

    old: str
    new: str


class NewNodesReady(Contract):
    """Is each new group as large as its old one, with all nodes ready, in every zone that has a volume?"""

    check: Literal["new-nodes-ready"] = "new-nodes-ready"
    groups: tuple[GroupPair, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        pairs = zip(worker_groups(s, c.from_), worker_groups(s, c.to), strict=True)
        return cls(groups=tuple(GroupPair(old=old, new=new) for old, new in pairs))


class BehindBalancer(Contract):
    """A target group by name, the Service behind it, and the worker groups whose nodes are its targets."""

    role: str
    name: str
    namespace: str
    service: str
    worker_groups: tuple[str, ...]


def _behind(s: Settings, side: str) -> tuple[BehindBalancer, ...]:
    """Every target group of a side of this program's; none where there is only the one that always was."""
    c, made = s.configuration, s.configuration.sides[side]
    every, forms = placed(c), ingress_forms(c)
    if len(every) == 1 and not every[0].form.pools:
        return ()
    return tuple(
        BehindBalancer(
            role=one.role,
            name=group_name(c, made.suffix, one.role, forms[one.role], one.key),
            namespace=one.service.namespace,
            service=one.service.service,
            worker_groups=tuple(pool_group(made, pool) for pool in c.pools if serves_pool(one.form, pool.name)),
        )
        for one in every
    )


class NewTargetsHealthy(Contract):
    """Is every running worker of the new side a healthy ingress target, and are the API's targets healthy?

    `behind`: each target group of several; none: the one that there is takes all workers.
    """

    check: Literal["new-targets-healthy"] = "new-targets-healthy"
    new: SideRef
    worker_groups: tuple[str, ...]
    namespace: str
    service: str
    behind: tuple[BehindBalancer, ...] = ()

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c, name = s.configuration, s.configuration.to
        return cls(
            new=SideRef.of(s, name),
            worker_groups=worker_groups(s, name),
            namespace=c.ingress.namespace,
            service=c.ingress.service,
            behind=_behind(s, name),
        )


class OldTargetsServe(Contract):
    """Has each old balancer a healthy target, with none still being looked at, before traffic may go back to it?"""

    check: Literal["old-targets-serve"] = "old-targets-serve"
    old: SideRef

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls(old=SideRef.of(s, s.configuration.from_))


class ClientsReachNewSide(Contract):
    """Does whoever reaches the old VPC reach the new one?"""

    check: Literal["clients-reach-new-side"] = "clients-reach-new-side"
    old: SideRef
    new: SideRef
    connected: tuple[ConnectedRange, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        old, new = _sides(s)
        return cls(old=old, new=new, connected=_connected(s))


class RecordsInSync(Contract):
    """Are the records exactly what the stage wants? Weights are the two sides' shares of 100."""

    check: Literal["records-in-sync"] = "records-in-sync"
    old: SideRef
    new: SideRef
    zone_id: str
    records: tuple[Name, ...]
    ttl: int
    old_weight: int
    new_weight: int

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        traffic, (old, new) = s.configuration.traffic, _sides(s)
        weights = weights_at(row, traffic.new_traffic_percent)
        return cls(
            old=old,
            new=new,
            zone_id=traffic.zone_id,
            records=tuple(Name.model_validate(one.model_dump(exclude={"ttl"})) for one in s.records),
            ttl=traffic.ttl,
            old_weight=weights.old,
            new_weight=weights.new,
        )


class Quiet(Contract):
    """Has a side's balancer had no new flow for long enough, and has it none open? Times in seconds.

    `accepted` says how many of either are known and may stay, and why.
    """

    side: SideRef
    ttl: int
    metric_period_seconds: Manner[int]
    quiet_periods: Manner[int]
    accepted: AcceptedFlows

    @classmethod
    def about(cls, s: Settings, side: str, accepted: AcceptedFlows) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(
            side=SideRef.of(s, side),
            ttl=c.traffic.kept(c.limits.alias_ttl_seconds),
            metric_period_seconds=c.limits.metric_period_seconds,
            quiet_periods=c.limits.quiet_periods,
            accepted=accepted,
        )


class IngressQuiet(Quiet):
    """Is the old ingress balancer quiet?"""

    check: Literal["ingress-quiet"] = "ingress-quiet"

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls.about(s, s.configuration.from_, s.configuration.traffic.accepted_flows.ingress)


class ApiQuiet(Quiet):
    """Is the old API balancer quiet?"""

    check: Literal["api-quiet"] = "api-quiet"

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls.about(s, s.configuration.from_, s.configuration.traffic.accepted_flows.api)


class NewIngressUnused(Quiet):
    """Is the new side's ingress balancer quiet, or without any target? Its targets go with the new workers."""

    check: Literal["new-ingress-unused"] = "new-ingress-unused"

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls.about(s, s.configuration.to, s.configuration.traffic.accepted_flows.ingress)


class NewApiUnused(Quiet):
    """Is the new side's API balancer quiet, or not there? It goes where the stage has no balancers on that side."""

    check: Literal["new-api-unused"] = "new-api-unused"

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls.about(s, s.configuration.to, s.configuration.traffic.accepted_flows.api)


class NothingMovableOnOldNodes(Contract):
    """Do only DaemonSet, mirror and ended pods run on what is left of the old nodes?"""

    check: Literal["nothing-movable-on-old-nodes"] = "nothing-movable-on-old-nodes"
    worker_groups: tuple[str, ...]
    new_groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(worker_groups=worker_groups(s, c.from_), new_groups=worker_groups(s, c.to))


class NothingMovableOnNewNodes(Contract):
    """Do only DaemonSet, mirror and ended pods run on the new side's nodes, where there are any?"""

    check: Literal["nothing-movable-on-new-nodes"] = "nothing-movable-on-new-nodes"
    worker_groups: tuple[str, ...]
    old_groups: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(worker_groups=worker_groups(s, c.to), old_groups=worker_groups(s, c.from_))


class EtcdPreflight(Contract):
    """Is every member one entry of etcd's list, and are all voters healthy, of a safe version and near each other?"""

    check: Literal["etcd-preflight"] = "etcd-preflight"
    etcd: EtcdAccess
    old_groups: tuple[str, ...]
    new_groups: tuple[str, ...]
    members: tuple[MemberPair, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(
            etcd=EtcdAccess.of(c),
            old_groups=member_groups(s, c.from_),
            new_groups=member_groups(s, c.to),
            members=member_pairs(s),
        )


class MemberPlace(Contract):
    """One member and where it shall be: the zone, and what its new machine is made of (None: as its old one).

    `more_disks`: how many disks the configuration adds to the copied ones.
    """

    pair: MemberPair
    zone: str
    instance_type: str | None = None
    more_disks: int = 0


class MemberVolumes(Contract):
    """Can every member's volume come along, into its zone and onto a machine with room for it?

    `retire`: the ids of volumes that the last stage is to delete. `made`: the old side is this program's own.
    """

    check: Literal["member-volumes"] = "member-volumes"
    strategy: Strategy
    made: bool
    members: tuple[MemberPlace, ...]
    retire: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c, side = s.configuration, s.new
        places: list[MemberPlace] = []
        for pair, member in zip(member_pairs(s), c.members, strict=True):
            keys = side.member(member.name) if isinstance(side, ManagedSide) else MemberKeys()
            kind = keys.type_wanted
            places.append(MemberPlace(pair=pair, zone=member.zone, instance_type=kind, more_disks=len(keys.disks)))
        return cls(
            strategy=c.etcd.strategy,
            made=isinstance(s.old, ManagedSide),
            members=tuple(places),
            retire=tuple(item.id for item in c.retire if item.type == "volume"),
        )

    @classmethod
    def asked(cls, s: Settings) -> bool:
        """Whether there is anything to ask: where volumes move, or may have moved before."""
        return s.configuration.etcd.strategy == "volume" or isinstance(s.old, ManagedSide)


class VersionsFit(Contract):
    """Do all voters run one safe version of etcd, and all API servers one minor version of Kubernetes that fits it?

    `old_servers` and `new_servers`: where the API servers are, if not on the voters' machines: names by group.
    """

    check: Literal["versions-fit"] = "versions-fit"
    etcd: EtcdAccess
    old_groups: tuple[str, ...]
    new_groups: tuple[str, ...]
    old_servers: dict[str, str] = Field(default_factory=dict)
    new_servers: dict[str, str] = Field(default_factory=dict)
    api_port: int

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(
            etcd=EtcdAccess.of(c),
            old_groups=member_groups(s, c.from_),
            new_groups=member_groups(s, c.to),
            old_servers=_server_names(s, c.from_),
            new_servers=_server_names(s, c.to),
            api_port=c.api.on_members,
        )


class DatabaseFits(Contract):
    """Is etcd's database far enough from its quota on every voter?"""

    check: Literal["database-fits"] = "database-fits"
    etcd: EtcdAccess
    old_groups: tuple[str, ...]
    new_groups: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(
            etcd=EtcdAccess.of(c),
            old_groups=member_groups(s, c.from_),
            new_groups=member_groups(s, c.to),
        )


class CertificatesLast(Contract):
    """Do the control plane's certificates and CAs outlive the migration, and hold the names they are asked by?

    `api_names` are what clients reach the API by: its name, and its Service's first address. `days` is how long.
    `old_servers` and `new_servers`: where the API servers are, if not on the voters' machines: names by group.
    """

    check: Literal["certificates-last"] = "certificates-last"
    etcd: EtcdAccess
    old_groups: tuple[str, ...]
    new_groups: tuple[str, ...]
    old_servers: dict[str, str] = Field(default_factory=dict)
    new_servers: dict[str, str] = Field(default_factory=dict)
    peer_port: int
    api_port: int
    api_names: tuple[str, ...]
    days: Manner[int]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        name, *_, inside = api_names(c.api.name, c.service_cidr)
        return cls(
            etcd=EtcdAccess.of(c),
            old_groups=member_groups(s, c.from_),
            new_groups=member_groups(s, c.to),
            old_servers=_server_names(s, c.from_),
            new_servers=_server_names(s, c.to),
            peer_port=c.etcd.peer_port,
            api_port=c.api.on_members,
            api_names=(name, inside),
            days=c.limits.certificate_days,
        )


class MembersAllNew(Contract):
    """Are there as many voters as ever, all healthy, `moved` of them on the new side, and no learner?"""

    check: Literal["members-all-new"] = "members-all-new"
    etcd: EtcdAccess
    old_groups: tuple[str, ...]
    new_groups: tuple[str, ...]
    new: SideRef
    moved: int

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(
            etcd=EtcdAccess.of(c),
            old_groups=member_groups(s, c.from_),
            new_groups=member_groups(s, c.to),
            new=SideRef.of(s, c.to),
            moved=s.moved_members,
        )


class MembersAllOld(Contract):
    """Are there as many voters as ever, all healthy and none on the new side, and no learner?"""

    check: Literal["members-all-old"] = "members-all-old"
    etcd: EtcdAccess
    old_groups: tuple[str, ...]
    new_groups: tuple[str, ...]
    new: SideRef

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(
            etcd=EtcdAccess.of(c),
            old_groups=member_groups(s, c.from_),
            new_groups=member_groups(s, c.to),
            new=SideRef.of(s, c.to),
        )


class NothingNamesTheOldVpc(Contract):
    """Does nothing in use in the cluster name ids or addresses of the old VPC?

    `carried`: Services of type LoadBalancer whose balancers go with the old side, in this very stage.
    """

    check: Literal["nothing-names-the-old-vpc"] = "nothing-names-the-old-vpc"
    old: SideRef
    carried: tuple[str, ...] = ()

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls(old=SideRef.of(s, s.configuration.from_), carried=_carried_names(s))


class ApiGroupHealthy(Contract):
    """Does the group of instances that is to serve the API hold every member, all healthy and new?"""

    check: Literal["api-group-healthy"] = "api-group-healthy"
    new: SideRef
    member_groups: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        name = s.configuration.to
        return cls(new=SideRef.of(s, name), member_groups=server_groups(s, name) or member_groups(s, name))


class Item(Contract):
    """An object that is left alone: its type, as the configuration calls it, and its id."""

    type: str
    id: str


class RetiredAndKept(Contract):
    """Is everything on the retire list gone, and everything to keep still there?

    `left`: an old side that this program made. The stack deletes it when this was answered, so nothing may run there.
    """

    check: Literal["retired"] = "retired"
    retire: tuple[Retired, ...]
    keep: tuple[Item, ...]
    left: str | None = None

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        if not isinstance(s.old, ReferencedSide):
            return cls(retire=(), keep=(), left=c.from_)
        return cls(retire=c.retire, keep=tuple(Item(type=one.type, id=one.id) for one in c.keep))


Question = (
    Permissions
    | ControlPlaneForm
    | ClusterHealthy
    | NetworksCarried
    | ReferencesAccepted
    | ReferencesAnswered
    | NetworksAlike
    | OldSideStands
    | FileSystemsReached
    | KeptUnused
    | TrafficCarried
    | NamesUnclaimed
    | NewBalancersAnswer
    | NewMachinesReach
    | NetworksDisjoint
    | ReachableBothWays
    | ApiServedByNewBalancer
    | TtlsLowered
    | WritersKnown
    | EveryOldNodeInAPool
    | NewNodesReady
    | NewTargetsHealthy
    | OldTargetsServe
    | ClientsReachNewSide
    | RecordsInSync
    | IngressQuiet
    | ApiQuiet
    | NewIngressUnused
    | NewApiUnused
    | NothingMovableOnOldNodes
    | NothingMovableOnNewNodes
    | EtcdPreflight
    | MemberVolumes
    | VersionsFit
    | DatabaseFits
    | CertificatesLast
    | MembersAllNew
    | MembersAllOld
    | NothingNamesTheOldVpc
    | ApiGroupHealthy
    | RetiredAndKept
    | MachinesCopied
    | RoomForBoth
    | ServicesCarried
    | ControllerInOldVpc
    | ControllerLeftOldVpc
    | NewNodesExcluded
)

QUESTIONS: dict[str, type[Question]] = {
    question.model_fields["check"].default: question for question in get_args(Question)
}


SOMETIMES = (MemberVolumes, ServicesCarried, ControllerInOldVpc, ControllerLeftOldVpc, NewNodesExcluded)
"""Questions that say themselves whether a configuration gives them anything to ask."""

EtcdQuestion = EtcdPreflight | VersionsFit | DatabaseFits | CertificatesLast | MembersAllNew | MembersAllOld
"""What etcd, or the machines of its members, must be asked for."""


class GateInputs(Inputs):
    """The checks around a stage's changes, each with what it reads.

    `unsettled`: the stage was begun and isn't reached. As long as that is so every `up` asks again: what held days ago,
    before an attempt that failed, says nothing of today. Once the migration is over nothing is asked any more, whatever
    the configuration changes of what would be looked at.
    """

    shown: ClassVar[str] = "checks"

    stage: Wanted[int]
    position: Wanted[Literal["before", "after"]]
    questions: Wanted[tuple[Annotated[Question, Field(discriminator="check")], ...]]
    unsettled: Manner[bool] = False

    @property
    def again(self) -> bool:
        """While the stage isn't reached."""
        return self.unsettled

    def wanted_part(self) -> dict[str, Any]:
        """As of all inputs; of a migration that is over, only that it is."""
        wanted = super().wanted_part()
        if stage(self.stage).finished:
            del wanted["questions"]
        return wanted

    @property
    def label(self) -> str:
        """Where the gate stands."""
        return f"{self.position} stage {self.stage}"

    def say(self) -> str:
        """The checks, by name."""
        names = ", ".join(question.check for question in self.questions) or "none"
        return f"{self.position} {self.stage} ({stage(self.stage).name}): {names}"


class CheckResult(Contract):
    """What one check saw, as a sentence."""

    check: str
    ok: bool
    detail: str


class GateResult(Result):
    """All checks of a gate that held."""

    stage: int
    position: Literal["before", "after"]
    results: tuple[CheckResult, ...]


def questions(s: Settings, names: tuple[str, ...]) -> tuple[Question, ...]:
    """The questions of these checks, for the settings' stage; raises `KeyError` for a check that doesn't exist.

    Without those that have nothing to ask of such a configuration.
    """
    wanted = (QUESTIONS[name] for name in names)
    return tuple(one.of(s, s.stage) for one in wanted if not issubclass(one, SOMETIMES) or one.asked(s))

"""Security groups of the new side, and the rules that let both sides work as one cluster over the peering.

Rules are single resources, not inline: stages add and remove them one at a time, and the old side's groups are
somebody else's, of which only our rules are ours. No rule opens anything to 0.0.0.0/0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pulumi
import pulumi_aws as aws

from components.base import Args, Component
from components.side_view import SideView
from migration.access_rules import ALL, NEW_ROLES, Carried, NewRole, PeerKind, Permission, carried, equal_to_one_of
from migration.settings import Settings
from migration.settings.forms import node_ports
from migration.settings.model import Configuration, Etcd, GroupRule, ManagedSide, ReferencedSide, Role


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One permission into a group, from another or from a CIDR: `protocol`, or all of them where `ports` is None."""

    name: str
    group: pulumi.Input[str]
    ports: tuple[int, int] | None
    source_group: pulumi.Input[str] | None = None
    source_cidr: str | None = None
    protocol: str = "tcp"


class _Rules(Component):
    def _carried(
        self, side: str, permissions: Iterable[Permission], groups: Mapping[str, pulumi.Input[str]], prefix: str = ""
    ) -> None:
        """What the old groups allow, for the new ones. `groups` are ids by role, or what a group's id stands for."""
        for one in permissions:
            name = f"{side}-{prefix}{one.name}"
            make = aws.vpc.SecurityGroupIngressRule if one.direction == "ingress" else aws.vpc.SecurityGroupEgressRule
            make(
                name,
                security_group_id=groups[one.group],
                ip_protocol=one.protocol,
                from_port=one.from_port,
                to_port=one.to_port,
                cidr_ipv4=one.peer if one.kind == "range" else None,
                prefix_list_id=one.peer if one.kind == "prefix-list" else None,
                referenced_security_group_id=groups.get(one.peer, one.peer) if one.kind in ("role", "group") else None,
                description=name,
                tags=self._scope.tags(side, name),
                opts=self.child(),
            )

    def _ingress(self, side: str, rules: Iterator[Rule]) -> None:
        for rule in rules:
            aws.vpc.SecurityGroupIngressRule(
                rule.name,
                security_group_id=rule.group,
                ip_protocol=rule.protocol if rule.ports else "-1",
                from_port=rule.ports[0] if rule.ports else None,
                to_port=rule.ports[1] if rule.ports else None,
                referenced_security_group_id=rule.source_group,
                cidr_ipv4=rule.source_cidr,
                description=rule.name,
                tags=self._scope.tags(side, rule.name),
                opts=self.child(),
            )


def _etcd(etcd: Etcd, name: str, group: pulumi.Input[str], source: pulumi.Input[str]) -> Iterator[Rule]:
    """Members and API servers reach the members of `group` for both of etcd's purposes."""
    for purpose, port in (("clients", etcd.client_port), ("peers", etcd.peer_port)):
        yield Rule(name=f"{name}-for-{purpose}", group=group, ports=(port, port), source_group=source)


def _node_ports(c: Configuration, name: str, origin: str, group: pulumi.Input[str], network: str) -> Iterator[Rule]:
    """A range reaches the nodes where the ingress balancers send its flows to, with its own address or theirs."""
    for position, (port, protocol) in enumerate(node_ports(c)):
        way = "" if protocol == "tcp" else f"-{protocol}"
        yield Rule(
            # The first has the name that it had when it was the only one.
            name=f"{name}-ingress-from-{origin}" if position == 0 else f"{name}-ingress-{port}{way}-from-{origin}",
            group=group,
            ports=(port, port),
            source_cidr=network,
            protocol=protocol,
        )


@dataclass(frozen=True, kw_only=True)
class SideSecurityGroupsArgs(Args):
    """The side by name, its VPC and range.

    `clients` and `targets` are ranges by name, besides its own and the connected networks': who comes, and who is
    reached.
    """

    side: str
    vpc_id: pulumi.Input[str]
    cidr: str
    clients: Mapping[str, str]
    targets: Mapping[str, str]


class SideSecurityGroups(_Rules):
    """A side's node and control-plane groups with the rules among themselves and for their clients."""

    def __init__(self, name: str, args: SideSecurityGroupsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("security_groups:Side", name, args, opts)
        scope, name, c = args.scope, args.side, args.scope.settings.configuration
        self.nodes, self.control_plane = (
            aws.ec2.SecurityGroup(
                f"{name}-{role}",
                name=f"{c.cluster}-{role}{c.sides[name].suffix}",
                description=f"{role} of {c.cluster} in {name}",
                vpc_id=args.vpc_id,
                tags=scope.tags(name, role),
                opts=self.child(),
            )
            for role in ("nodes", "control-plane")
        )
        connected = {name: cidr for network in c.connected_networks for name, cidr in network.ranges.items()}
        clients = {name: args.cidr, **args.clients, **connected}
        targets = {name: args.cidr, **args.targets, **connected}
        api = c.api.on_members

        def rules() -> Iterator[Rule]:
            nodes, control_plane = self.nodes.id, self.control_plane.id
            yield Rule(name=f"{name}-nodes-from-nodes", group=nodes, ports=None, source_group=nodes)
            yield Rule(name=f"{name}-nodes-from-control-plane", group=nodes, ports=None, source_group=control_plane)
            yield from _etcd(c.etcd, f"{name}-etcd-from-control-plane", control_plane, control_plane)
            yield Rule(name=f"{name}-api-from-nodes", group=control_plane, ports=(api, api), source_group=nodes)
            # Balancers have no group of their own here: their addresses lie in the side's subnets.
            for origin, network in clients.items():
                yield from _node_ports(c, name, origin, nodes, network)
                yield Rule(name=f"{name}-api-from-{origin}", group=control_plane, ports=(api, api), source_cidr=network)

        self._ingress(name, rules())
        extra = carried_by(scope.settings, name, args.clients, args.targets)
        self._carried(name, extra.staying, {"nodes": self.nodes.id, "control-plane": self.control_plane.id})
        for role, group in (("nodes", self.nodes), ("control-plane", self.control_plane)):
            for target, network in targets.items():
                rule = f"{name}-{role}-to-{target}"
                aws.vpc.SecurityGroupEgressRule(
                    rule,
                    security_group_id=group.id,
                    ip_protocol="-1",
                    cidr_ipv4=network,
                    description=rule,
                    tags=scope.tags(name, rule),
                    opts=self.child(),
                )


@dataclass(frozen=True, kw_only=True)
class CrossAccessArgs(Args):
    """Both sides, with their security groups."""

    old: SideView
    new: SideView


class CrossAccess(_Rules):
    """Rules that name the other side's groups over the peering, on both sides; they go when the peering goes."""

    def __init__(self, name: str, args: CrossAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("security_groups:Cross", name, args, opts)
        old, new, c = args.old, args.new, args.scope.settings.configuration
        api = c.api.on_members

        def rules(here: SideView, there: SideView) -> Iterator[Rule]:
            assert here.nodes_group is not None
            assert here.control_plane_group is not None and there.control_plane_group is not None
            name, other = here.name, there.name
            yield Rule(
                name=f"{name}-nodes-from-{other}-nodes",
                group=here.nodes_group,
                ports=None,
                source_group=there.nodes_group,
            )
            yield Rule(
                name=f"{name}-nodes-from-{other}-control-plane",
                group=here.nodes_group,
                ports=None,
                source_group=there.control_plane_group,
            )
            etcd = here.etcd_group if here.etcd_group is not None else here.control_plane_group
            yield from _etcd(c.etcd, f"{name}-etcd-from-{other}-control-plane", etcd, there.control_plane_group)
            if there.etcd_group is not None:
                yield from _etcd(c.etcd, f"{name}-etcd-from-{other}-etcd", etcd, there.etcd_group)
            yield Rule(
                name=f"{name}-api-from-{other}-nodes",
                group=here.control_plane_group,
                ports=(api, api),
                source_group=there.nodes_group,
            )
            if here is old:
                # The new side's balancers serve the old members, and clients over there use either ingress.
                yield Rule(
                    name=f"{name}-api-from-{other}-balancers",
                    group=here.control_plane_group,
                    ports=(api, api),
                    source_cidr=there.cidr,
                )
                yield from _node_ports(c, name, f"{other}-clients", here.nodes_group, there.cidr)

        for here, there in ((old, new), (new, old)):
            self._ingress(here.name, rules(here, there))
        self._beyond(carried_by(args.scope.settings, new.name, old.ranges, old.ranges), old, new)

    def _beyond(self, extra: Carried, old: SideView, new: SideView) -> None:
        """What the old groups allow besides, from each side to the other."""
        assert new.nodes_group is not None and new.control_plane_group is not None
        for here, there in ((old, new), (new, old)):
            made: set[tuple[Role, Role | None, Permission]] = set()
            for one in extra.mutual:
                group, peer = _own(here, one.group), None if one.peer is None else _own(there, one.peer)
                # Two roles that share a group on this side ask for one rule.
                if (group, peer, one.permission) in made:
                    continue
                made.add((group, peer, one.permission))
                ids: dict[str, pulumi.Input[str]] = {one.permission.group: _group(here, group)}
                if peer is None:
                    wanted = [replace(one.permission, peer=cidr) for cidr in there.ranges.values()]
                else:
                    named = replace(one.permission, kind="group", peer=f"{there.name}-{peer}")
                    ids[named.peer], wanted = _group(there, peer), [named]
                self._carried(here.name, wanted, ids, prefix="etcd-" if group == "etcd" else "")
        self._carried(new.name, extra.foreign, {"nodes": new.nodes_group, "control-plane": new.control_plane_group})
        # A side made here lets out to the other by rules of its own.
        referenced = isinstance(self._scope.settings.old, ReferencedSide)
        shut: list[Role] = [_own(old, one) for one in extra.shut] if referenced else []
        for role in dict.fromkeys(shut):
            name = f"{old.name}-{role}-to-{new.name}"
            aws.vpc.SecurityGroupEgressRule(
                name,
                security_group_id=_group(old, role),
                ip_protocol=ALL,
                cidr_ipv4=new.cidr,
                description=name,
                tags=self._scope.tags(old.name, name),
                opts=self.child(),
            )


def _own(side: SideView, role: Role) -> Role:
    """The role whose group a side's machines have: etcd's machines may share the control plane's."""
    return role if role != "etcd" or side.etcd_group is not None else "control-plane"


def _group(side: SideView, role: Role) -> pulumi.Input[str]:
    """A side's group of a role; etcd's machines share the control plane's where they have none of their own."""
    groups = {"nodes": side.nodes_group, "control-plane": side.control_plane_group, "etcd": side.etcd_group}
    found = groups[role] if groups[role] is not None else side.control_plane_group
    assert found is not None
    return found


def own_permissions(settings: Settings, clients: Iterable[str], targets: Iterable[str]) -> list[Permission]:
    """What this program's own rules of a side let through: from these ranges, and to those."""
    c = settings.configuration
    every: list[Permission] = [*_among_roles(settings)]
    for cidr in clients:
        every += [_permission("nodes", "ingress", "range", cidr, port, protocol) for port, protocol in node_ports(c)]
        every.append(_permission("control-plane", "ingress", "range", cidr, c.api.on_members))
    for cidr in targets:
        every += [_permission(group, "egress", "range", cidr, None) for group in NEW_ROLES]
    return every


def _among_roles(settings: Settings) -> Iterator[Permission]:
    """The same between roles, on each side and across."""
    c = settings.configuration
    for peer in ("nodes", "control-plane"):
        yield _permission("nodes", "ingress", "role", peer, None)
    for port in (c.etcd.client_port, c.etcd.peer_port):
        yield _permission("control-plane", "ingress", "role", "control-plane", port)
    yield _permission("control-plane", "ingress", "role", "nodes", c.api.on_members)


def _permission(
    group: NewRole,
    direction: Literal["ingress", "egress"],
    kind: PeerKind,
    peer: str,
    port: int | None,
    protocol: str = "tcp",
) -> Permission:
    return Permission(
        group=group,
        direction=direction,
        protocol=ALL if port is None else protocol,
        from_port=port,
        to_port=port,
        kind=kind,
        peer=peer,
    )


def carried_by(settings: Settings, side: str, clients: Mapping[str, str], targets: Mapping[str, str]) -> Carried:
    """What a side's groups get of its `rules`. `clients` and `targets` as `SideSecurityGroupsArgs` has them."""
    c = settings.configuration
    made = c.sides[side]
    rules = made.rules if isinstance(made, ManagedSide) else None
    connected = [cidr for network in c.connected_networks for cidr in network.ranges.values()]
    inward, outward = [made.cidr, *clients.values(), *connected], [made.cidr, *targets.values(), *connected]
    return carried(
        rules or (),
        own=own_permissions(settings, inward, outward),
        own_across=[*_among_roles(settings), *own_permissions(settings, [made.cidr], ())],
        cidr=made.cidr,
        peered_vpcs=[network.vpc_id for network in c.connected_networks if network.vpc_id],
    )


@dataclass(frozen=True, kw_only=True)
class SwapAccessArgs(Args):
    """The sides whose members the operator reaches."""

    sides: Sequence[SideView]


class SwapAccess(_Rules):
    """The operator's networks to etcd on both sides, while members are swapped (`etcd.access: direct`)."""

    def __init__(self, name: str, args: SwapAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("security_groups:Swap", name, args, opts)
        c = args.scope.settings.configuration
        known = self._rules()
        for side in args.sides:
            doors: tuple[tuple[Role, int, str], ...] = (
                ("etcd", c.etcd.client_port, "etcd"),
                ("control-plane", c.api.on_members, "api"),
            )
            for role, port, what in doors:
                # Without knowing the old groups' rules, none is made that could be there already.
                if what == "api" and known is None:
                    continue
                group = _own(side, role)
                free = (one for one in c.operator_networks if not self._there(side, group, port, one, known or ()))
                self._ingress(
                    side.name,
                    (
                        Rule(
                            name=f"{side.name}-{what}-from-operator-{network}",
                            group=_group(side, group),
                            ports=(port, port),
                            source_cidr=network,
                        )
                        for network in free
                    ),
                )

    def _rules(self) -> Sequence[GroupRule] | None:
        """What the old groups allow, as far as it is known."""
        new = self._scope.settings.new
        return new.rules if isinstance(new, ManagedSide) else None

    def _there(self, side: SideView, role: Role, port: int, cidr: str, known: Sequence[GroupRule]) -> bool:
        """Whether that very rule is there already: AWS refuses an equal one (`InvalidPermission.Duplicate`)."""
        settings = self._scope.settings
        c = settings.configuration
        if isinstance(c.sides[side.name], ReferencedSide):
            return equal_to_one_of(known, port, cidr, role)
        connected = {one for network in c.connected_networks for one in network.ranges.values()}
        wanted = _permission("control-plane", "ingress", "range", cidr, port)
        others = settings.old.ranges if side.name == c.to else ()
        own = own_permissions(settings, [side.cidr, *others, *connected], ())
        return wanted in own or wanted in carried_by(settings, side.name, {}, {}).staying

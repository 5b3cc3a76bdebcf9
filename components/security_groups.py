"""Security groups of the new side, and the rules that let both sides work as one cluster over the peering.

Rules are single resources, not inline: stages add and remove them one at a time, and the old side's groups are
somebody else's, of which only our rules are ours. No rule opens anything to 0.0.0.0/0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.base import Args, Component
from components.side_view import SideView
from migration.settings.forms import node_ports
from migration.settings.model import Configuration, Etcd


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
        connected = {network.name: network.cidr for network in c.connected_networks}
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


@dataclass(frozen=True, kw_only=True)
class SwapAccessArgs(Args):
    """The sides whose members the operator reaches."""

    sides: Sequence[SideView]


class SwapAccess(_Rules):
    """The operator's networks to etcd on both sides, while members are swapped (`etcd.access: direct`)."""

    def __init__(self, name: str, args: SwapAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("security_groups:Swap", name, args, opts)
        c = args.scope.settings.configuration
        for side in args.sides:
            group = side.etcd_group if side.etcd_group is not None else side.control_plane_group
            assert group is not None
            self._ingress(
                side.name,
                (
                    Rule(
                        name=f"{side.name}-etcd-from-operator-{network}",
                        group=group,
                        ports=(c.etcd.client_port, c.etcd.client_port),
                        source_cidr=network,
                    )
                    for network in c.operator_networks
                ),
            )

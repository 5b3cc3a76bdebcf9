"""Security groups of the new side, and the rules that let both sides work as one cluster over the peering.

Rules are single resources, not inline: stages add and remove them one at a time, and the old side's groups are
somebody else's, of which only our rules are ours. No rule opens anything to 0.0.0.0/0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.base import Component, Scope
from components.side_view import SideView
from migration.settings.model import Etcd


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One permission into a group: from another group or a CIDR; all protocols where `ports` is None."""

    name: str
    group: pulumi.Input[str]
    ports: tuple[int, int] | None
    source_group: pulumi.Input[str] | None = None
    source_cidr: str | None = None


class _Rules(Component):
    def _ingress(self, side: str, rules: Iterator[Rule]) -> None:
        for rule in rules:
            aws.vpc.SecurityGroupIngressRule(
                rule.name,
                security_group_id=rule.group,
                ip_protocol="tcp" if rule.ports else "-1",
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


class SideSecurityGroups(_Rules):
    """The new side's node and control-plane groups with the rules among themselves and for their clients."""

    def __init__(
        self,
        name: str,
        scope: Scope,
        vpc_id: pulumi.Input[str],
        cidr: str,
        other_cidr: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("security_groups:Side", f"{name}-security-groups", scope, opts)
        c = scope.settings.configuration
        self.nodes, self.control_plane = (
            aws.ec2.SecurityGroup(
                f"{name}-{role}",
                name=f"{c.cluster}-{role}{c.sides[name].suffix}",
                description=f"{role} of {c.cluster} in {name}",
                vpc_id=vpc_id,
                tags=scope.tags(name, role),
                opts=self.child(),
            )
            for role in ("nodes", "control-plane")
        )
        clients = {other: other_cidr for other in (c.from_, c.to) if other != name} | {
            network.name: network.cidr for network in c.connected_networks
        }
        reachable = {name: cidr, **clients}
        api, node_port = c.api.port, c.ingress.node_port

        def rules() -> Iterator[Rule]:
            nodes, masters = self.nodes.id, self.control_plane.id
            yield Rule(name=f"{name}-nodes-from-nodes", group=nodes, ports=None, source_group=nodes)
            yield Rule(name=f"{name}-nodes-from-control-plane", group=nodes, ports=None, source_group=masters)
            yield from _etcd(c.etcd, f"{name}-etcd-from-control-plane", masters, masters)
            yield Rule(name=f"{name}-api-from-nodes", group=masters, ports=(api, api), source_group=nodes)
            # Balancers have no group of their own here: their addresses lie in the side's subnets.
            for origin, network in reachable.items():
                yield Rule(
                    name=f"{name}-ingress-from-{origin}",
                    group=nodes,
                    ports=(node_port, node_port),
                    source_cidr=network,
                )
                yield Rule(name=f"{name}-api-from-{origin}", group=masters, ports=(api, api), source_cidr=network)

        self._ingress(name, rules())
        for role, group in (("nodes", self.nodes), ("control-plane", self.control_plane)):
            for target, network in reachable.items():
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
        self.register_outputs({"nodes": self.nodes.id, "controlPlane": self.control_plane.id})


class CrossAccess(_Rules):
    """Rules that name the other side's groups over the peering, on both sides; they go when the peering goes."""

    def __init__(self, scope: Scope, old: SideView, new: SideView, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("security_groups:Cross", f"{new.name}-{old.name}-access", scope, opts)
        c = scope.settings.configuration
        api, node_port = c.api.port, c.ingress.node_port

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
            yield from _etcd(
                c.etcd,
                f"{name}-etcd-from-{other}-control-plane",
                here.control_plane_group,
                there.control_plane_group,
            )
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
                yield Rule(
                    name=f"{name}-ingress-from-{other}-clients",
                    group=here.nodes_group,
                    ports=(node_port, node_port),
                    source_cidr=there.cidr,
                )

        for here, there in ((old, new), (new, old)):
            self._ingress(here.name, rules(here, there))
        self.register_outputs({})


class SwapAccess(_Rules):
    """The operator's networks to etcd on both sides, from the stage before the swaps (`etcd.access: direct`)."""

    def __init__(self, scope: Scope, sides: tuple[SideView, ...], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("security_groups:Swap", "swap-access", scope, opts)
        c = scope.settings.configuration
        for side in sides:
            group = side.control_plane_group
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
        self.register_outputs({})

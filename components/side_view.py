"""A side as its consumers see it, whether it is referenced or made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pulumi

from components.base import Args, Component
from migration.settings.model import Balancer, ManagedSide, ReferencedSide, named_ranges


@dataclass(frozen=True, kw_only=True)
class BalancerView:
    """A network load balancer: its DNS name, and the target groups behind it (ARNs)."""

    dns_name: pulumi.Input[str]
    target_groups: Sequence[pulumi.Input[str]]


@dataclass(frozen=True, kw_only=True)
class SideView:
    """A side's ids. What a stage hasn't made yet is None or empty; consumers can't tell the kinds of side apart.

    `cidr` is the VPC's first range, `ranges` are all. `route_tables` is keyed by something stable (an id or a zone),
    `subnets` by zone (private subnets). `etcd_group` is that of etcd's machines, where they have another than the
    API's. `more_groups`: the copied ones, by name.
    """

    name: str
    suffix: str
    cidr: str
    vpc_id: pulumi.Input[str]
    subnets: Mapping[str, pulumi.Input[str]]
    route_tables: Mapping[str, pulumi.Input[str]]
    nodes_group: pulumi.Input[str] | None = None
    control_plane_group: pulumi.Input[str] | None = None
    etcd_group: pulumi.Input[str] | None = None
    more_groups: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    secondary_cidrs: Sequence[str] = ()
    ingress: BalancerView | None = None
    api: BalancerView | None = None

    @property
    def ranges(self) -> dict[str, str]:
        """Every range by a name of its own; the first one has the side's."""
        return named_ranges(self.name, (self.cidr, *self.secondary_cidrs))

    def balancer(self, serves: Literal["ingress", "api"]) -> BalancerView:
        """The balancer for what a name serves; asked only at stages at which the side has one."""
        found = self.ingress if serves == "ingress" else self.api
        assert found is not None, f"side {self.name} has no {serves} balancer at this stage"
        return found


def abandoned(name: str, side: ManagedSide) -> SideView:
    """A side that this program made and doesn't declare any more: what is left of it goes with this `up`."""
    return SideView(name=name, suffix=side.suffix, cidr=side.cidr, vpc_id="", subnets={}, route_tables={})


@dataclass(frozen=True, kw_only=True)
class ReferencedSideArgs(Args):
    """The side by name and configuration."""

    name: str
    side: ReferencedSide


class ReferencedSideComponent(Component):
    """A side whose ids stand in the configuration; none of its objects are in this program's state."""

    def __init__(self, name: str, args: ReferencedSideArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("side:Referenced", name, args, opts)
        side, balancers = args.side, args.side.load_balancers
        self.view = SideView(
            name=args.name,
            suffix=side.suffix,
            cidr=side.cidr,
            secondary_cidrs=side.secondary_cidrs,
            vpc_id=side.vpc_id,
            subnets={zone: subnets.private for zone, subnets in side.zones.items()},
            route_tables={table: table for table in side.route_tables},
            nodes_group=side.security_groups.nodes,
            control_plane_group=side.security_groups.control_plane,
            etcd_group=side.security_groups.etcd,
            ingress=_view(balancers.ingress),
            api=_view(balancers.api),
        )


def _view(balancer: Balancer) -> BalancerView:
    return BalancerView(dns_name=balancer.dns_name, target_groups=balancer.target_groups)

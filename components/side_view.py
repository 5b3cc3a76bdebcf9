"""A side as its consumers see it, whether it is referenced or made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi

from components.base import Args, Component
from migration.settings.balancers import ServiceKeys
from migration.settings.forms import FIRST, placed
from migration.settings.model import Balancer, Configuration, ManagedSide, ReferencedSide, named_ranges


@dataclass(frozen=True, kw_only=True)
class IngressGroup:
    """A target group (ARN) of an ingress balancer, the Service behind it, and the pools it takes (none: all)."""

    arn: pulumi.Input[str]
    service: ServiceKeys
    pools: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class BalancerView:
    """A load balancer: its DNS name, and the target groups behind it (ARNs).

    `zone_id`: the hosted zone that AWS answers that name from, where it is known. `groups`: the target groups with what
    is behind each, of an ingress balancer.
    """

    dns_name: pulumi.Input[str]
    target_groups: Sequence[pulumi.Input[str]]
    zone_id: pulumi.Input[str] | None = None
    groups: Sequence[IngressGroup] = ()


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
    ingresses: Mapping[str, BalancerView] = field(default_factory=dict[str, BalancerView])
    api: BalancerView | None = None

    @property
    def ranges(self) -> dict[str, str]:
        """Every range by a name of its own; the first one has the side's."""
        return named_ranges(self.name, (self.cidr, *self.secondary_cidrs))

    @property
    def has_balancers(self) -> bool:
        """Whether the side has its balancers at this stage."""
        return bool(self.ingresses)

    def balancer(self, serves: str) -> BalancerView:
        """The balancer for what a name serves; asked only at stages at which the side has one."""
        found = self.api if serves == "api" else self.ingresses.get(serves)
        assert found is not None, f"side {self.name} has no {serves} balancer at this stage"
        return found

    def groups_of(self, service: ServiceKeys) -> list[pulumi.Input[str]]:
        """Target groups (ARNs) of all ingress balancers that lead to a Service."""
        named = (service.namespace, service.service)
        return [one.arn for one in self._groups() if (one.service.namespace, one.service.service) == named]

    def groups_for(self, pool: str) -> list[pulumi.Input[str]]:
        """Target groups (ARNs) of all ingress balancers that a pool's nodes are targets of."""
        return [one.arn for one in self._groups() if not one.pools or pool in one.pools]

    def every_group(self) -> list[pulumi.Input[str]]:
        """Target groups (ARNs) of all ingress balancers."""
        return [one.arn for one in self._groups()]

    def _groups(self) -> list[IngressGroup]:
        assert self.ingresses, f"side {self.name} has no ingress balancer at this stage"
        return [one for balancer in self.ingresses.values() for one in balancer.groups]


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
            ingresses={
                role: _view(args.scope.settings.configuration, role, one) for role, one in balancers.ingresses().items()
            },
            api=BalancerView(
                dns_name=balancers.api.dns_name,
                target_groups=balancers.api.target_groups,
                zone_id=balancers.api.zone_id,
            ),
        )


def _view(c: Configuration, role: str, balancer: Balancer) -> BalancerView:
    """A balancer that was there: its target groups stand in the order of its form's."""
    forms = [one for one in placed(c) if one.role == role]
    if role == FIRST and c.ingress.balancer is None:
        # Without a form all of them lead to the ingress Service.
        groups = [IngressGroup(arn=arn, service=forms[0].service) for arn in balancer.target_groups]
    else:
        groups = [
            IngressGroup(arn=arn, service=one.service, pools=one.form.pools)
            for arn, one in zip(balancer.target_groups, forms, strict=True)
        ]
    return BalancerView(
        dns_name=balancer.dns_name, target_groups=balancer.target_groups, zone_id=balancer.zone_id, groups=groups
    )

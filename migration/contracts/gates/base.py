"""What questions have in common: the two sides, and what several of them take from the settings alike."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from migration.contracts.base import Contract
from migration.settings import Settings
from migration.settings.forms import carried_services
from migration.settings.model import Balancer, ReferencedSide, SecurityGroups


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


def both_sides(s: Settings) -> tuple[SideRef, SideRef]:
    """The old side and the new one."""
    return SideRef.of(s, s.configuration.from_), SideRef.of(s, s.configuration.to)


def machine_subnets(s: Settings) -> tuple[str, ...]:
    """The subnets of the old side's machines; none where this program made it, and tags say."""
    return tuple(one.private for _, one in sorted(s.old.zones.items())) if isinstance(s.old, ReferencedSide) else ()


def named_groups(groups: SecurityGroups) -> dict[str, str]:
    """Security groups' ids by role."""
    every = {"nodes": groups.nodes, "control-plane": groups.control_plane, "etcd": groups.etcd}
    return {role: id_ for role, id_ in every.items() if id_ is not None}


def carried_names(s: Settings) -> tuple[str, ...]:
    """Services of type LoadBalancer that are carried, as ``namespace/name``."""
    return tuple(f"{one.namespace}/{one.service}" for one in carried_services(s.configuration).values())

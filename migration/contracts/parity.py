"""What a VPC offers its machines, and in what two of them differ."""

from __future__ import annotations

from typing import Self

from migration.contracts.base import Contract
from migration.settings.model import Configuration, ManagedSide

# Ways out, in words.
NAT, NONE = "NAT gateway", "none"


class VpcFacts(Contract):
    """One VPC as its machines find it.

    `default_route` is where the machines' subnets lead what nothing else covers: ``NAT gateway``, ``none``, a transit
    gateway's id. `endpoints` are services, with their kind in brackets; `zones` private hosted zones by id, with name.
    `dhcp` is by option, the default options empty.
    """

    dns_support: bool
    dns_hostnames: bool
    default_route: tuple[str, ...]
    endpoints: tuple[str, ...]
    resolver_rules: dict[str, str]
    zones: dict[str, str]
    dhcp: dict[str, str]


class VpcPlanned(Contract):
    """What a VPC will offer once this program has made it; resolver rules and zones by id."""

    default_route: str
    endpoints: tuple[str, ...]
    resolver_rules: tuple[str, ...]
    zones: tuple[str, ...]
    same_dhcp: bool

    @classmethod
    def of(cls, c: Configuration, side: ManagedSide, region: str) -> Self:
        """From the configuration."""
        endpoints = {f"com.amazonaws.{region}.s3 (Gateway)", *(f"{one.service} ({one.type})" for one in side.endpoints)}
        return cls(
            default_route=NAT if side.nat == "per-zone" else NONE,
            endpoints=tuple(sorted(endpoints)),
            resolver_rules=side.resolver_rules,
            zones=(c.traffic.zone_id, *side.private_zones),
            same_dhcp=side.dhcp_options is not None,
        )


class Difference(Contract):
    """Something that the old VPC has and the new one hasn't, or has otherwise.

    `key` is what accepts it (`sides.<new>.without`); `cure` what to do about it.
    """

    key: str
    old: str
    new: str
    cure: str

    def __str__(self) -> str:
        return f"{self.key} is {self.old} in the old VPC and {self.new} in the new one"


class Parity(Contract):
    """The comparison. `made`: the new VPC is there; else it is compared as the configuration will make it.

    `alike` names what both have; `accepted` are differences that the configuration accepts.
    """

    made: bool
    alike: tuple[str, ...]
    differences: tuple[Difference, ...]
    accepted: tuple[Difference, ...]

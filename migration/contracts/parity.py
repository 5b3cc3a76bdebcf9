"""What a VPC offers its machines, and in what two of them differ."""

from __future__ import annotations

from migration.contracts.base import Contract


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

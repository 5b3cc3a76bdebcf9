"""Which subnet each zone of a new VPC gets, and which range a new VPC may take. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

# AWS: a VPC is a /16 to a /28. https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html
VPC_PREFIX = 16
PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")


@dataclass(frozen=True, kw_only=True)
class ZoneSubnets:
    """The CIDRs of one zone's subnets."""

    private: str
    public: str


def subnet_plan(cidr: str, zones: Sequence[str], prefix: int) -> dict[str, ZoneSubnets]:
    """The subnets of each zone, of length `prefix`, within `cidr`.

    A zone's place follows from its own name (its last letter), not from its position, so adding, removing or
    reordering zones replaces no other zone's subnets. Only where two zones ask for one place (a local zone, or
    fewer places than letters) does the order count: the earlier keeps it, so append what is new.
    Private subnets lie in the lower half, public ones in the upper. Raises `ValueError` when they don't fit.
    """
    network = IPv4Network(cidr)
    places = 2 ** max(0, prefix - network.prefixlen) // 2
    if len(set(zones)) != len(zones):
        raise ValueError(f"{list(zones)} names a zone twice")
    if len(zones) > places:
        raise ValueError(
            f"{cidr} has room for {places} zones with a private and a public /{prefix}, not for {len(zones)}"
        )
    taken: dict[int, str] = {}
    for zone in zones:
        place = (ord(zone[-1]) - ord("a")) % places
        while place in taken:
            place = (place + 1) % places
        taken[place] = zone
    size = 2 ** (32 - prefix)

    def subnet(index: int) -> str:
        return f"{network.network_address + index * size}/{prefix}"

    by_zone = {zone: place for place, zone in taken.items()}
    return {zone: ZoneSubnets(private=subnet(by_zone[zone]), public=subnet(places + by_zone[zone])) for zone in zones}


def overlapping(cidr: str, others: Iterable[str]) -> list[str]:
    """Those of `others` that share an address with `cidr`."""
    network = IPv4Network(cidr)
    return [other for other in others if IPv4Network(other).overlaps(network)]


def free_range(taken: Iterable[str], *, near: str, prefix: int = VPC_PREFIX) -> str | None:
    """The next range of length `prefix` after `near` that overlaps nothing in `taken`; None when all are.

    Looks in the private range (RFC 1918) that `near` lies in first, then in the others. A `near` outside of them
    (100.64.0.0/10, say) is searched within its own /8.
    """
    used = [IPv4Network(one) for one in taken]
    start = IPv4Network(near)
    homes = [IPv4Network(one) for one in PRIVATE_RANGES]
    home = next((one for one in homes if start.subnet_of(one)), start.supernet(new_prefix=min(8, start.prefixlen)))
    size = 2 ** (32 - prefix)
    for space in [home, *(one for one in homes if one != home)]:
        if space.prefixlen > prefix:
            continue
        first = int(space.network_address) // size
        count = space.num_addresses // size
        offset = int(start.network_address) // size - first if space is home else -1
        for step in range(1, count + 1):
            address = IPv4Address((first + (offset + step) % count) * size)
            candidate = IPv4Network(f"{address}/{prefix}")
            if not any(candidate.overlaps(one) for one in used):
                return str(candidate)
    return None

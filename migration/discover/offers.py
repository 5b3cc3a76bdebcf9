"""What the old VPC offers its machines, in the words of the configuration of the new one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from migration.contracts.parity import NAT
from migration.discover.inventory import Inventory
from migration.parity.read import default_route

_GONE = ("deleting", "deleted", "rejected", "failed", "expired")


@dataclass(frozen=True, kw_only=True)
class Offer:
    """The way out, and the keys of `sides.<new>` for the rest; none for what isn't there."""

    nat: Literal["none", "per-zone"]
    keys: dict[str, Any]


def of_vpc(inventory: Inventory, subnets: Collection[str], traffic_zone: str) -> Offer:
    """What machines in `subnets` find."""
    ways = {default_route(inventory.route_tables, subnet) for subnet in subnets}
    endpoints = list(_endpoints(inventory))
    zones = sorted(zone for zone, private in _private_zones(inventory) if private and zone != traffic_zone)
    found: dict[str, Any] = {
        "endpoints": endpoints,
        "dhcpOptions": inventory.dhcp_options,
        "resolverRules": list(inventory.resolver_rules),
        "privateZones": zones,
    }
    return Offer(nat="per-zone" if NAT in ways else "none", keys={key: value for key, value in found.items() if value})


def _endpoints(inventory: Inventory) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for one in sorted(inventory.endpoints, key=lambda point: (point["ServiceName"], point["VpcEndpointId"])):
        kind, service = one.get("VpcEndpointType", "Gateway"), one["ServiceName"]
        made = kind == "Gateway" and service.endswith(".s3")
        alive = str(one.get("State", "")).lower() not in _GONE
        if made or not alive or service in seen or kind not in ("Gateway", "Interface"):
            continue
        seen.add(service)
        dns = {} if kind == "Gateway" or one.get("PrivateDnsEnabled", True) else {"privateDns": False}
        yield {"service": service, "type": kind, **dns}


def _private_zones(inventory: Inventory) -> Iterator[tuple[str, bool]]:
    for zone, _, _ in inventory.zones:
        yield zone, zone in inventory.private_zones

"""Gates of the network: nothing overlaps, both sides reach each other, clients reach the new one."""

from __future__ import annotations

from typing import Any

from migration.contracts.gates import ClientsReachNewSide, NetworksDisjoint, ReachableBothWays
from migration.gates.live import Live
from migration.reachability import (
    lacking,
    leads,
    overlaps,
    peering_between,
    resolves_both_ways,
    routes,
    unreached,
    vpc_cidrs,
)
from migration.runtime.deadline import Permanent, Retryable
from migration.sides import Side


def _pages(client: Any, call: str, key: str, **arguments: Any) -> list[dict[str, Any]]:
    return [item for page in client.get_paginator(call).paginate(**arguments) for item in page[key]]


def _tables(live: Live, vpc: str) -> list[dict[str, Any]]:
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    return _pages(live.aws.ec2, "describe_route_tables", "RouteTables", Filters=filters)


def _cidrs(live: Live, side: Side) -> list[str]:
    """A side's ranges as AWS has them, secondary ones too; as configured while it isn't made."""
    if side.vpc_id is None:
        return [side.cidr]
    return vpc_cidrs(live.aws.ec2.describe_vpcs(VpcIds=[side.vpc_id])["Vpcs"][0])


def disjoint(q: NetworksDisjoint, live: Live) -> str:
    """Live ranges of both VPCs, pods, Services and connected networks; and no natively routed pod network."""
    old, new = live.side(q.old), live.side(q.new)
    named = {f"side {new.name} {cidr}": cidr for cidr in _cidrs(live, new)}
    old_ranges = {f"side {old.name} {cidr}": cidr for cidr in _cidrs(live, old)}
    others = {
        f"pods {q.pod_cidr}": q.pod_cidr,
        f"Services {q.service_cidr}": q.service_cidr,
    }
    connected = {f"{one.name} {one.cidr}": one.cidr for one in q.connected}
    # The old VPC may collide with a connected network: that is what is being left behind.
    clashes = [*overlaps(named | old_ranges | others), *overlaps(named | others | connected)]
    tables = routes(_tables(live, live.vpc(old)))
    for table, table_routes in sorted(tables.items()):
        for destination, target in table_routes.items():
            if destination == "0.0.0.0/0":
                continue
            for name, cidr in named.items():
                # A route to the peering with the new VPC itself is this program's own, from an earlier `up`.
                if destination != cidr and overlaps({"route": destination, "side": cidr}):
                    clashes.append((f"route {destination} of {table} to {target}", name))
            if overlaps({"route": destination, "pods": q.pod_cidr}):
                raise Permanent(
                    f"{table} routes {destination} to {target}, inside the pods' range {q.pod_cidr}: pods are "
                    f"routed natively, and a peering drops packets whose destination lies outside of the peer's range, "
                    f"so pods of the two sides couldn't talk. Change to an overlay (VXLAN, Geneve, IP-in-IP) first"
                )
    if clashes:
        pairs = "; ".join(f"{one} and {other}" for one, other in dict.fromkeys(clashes))
        raise Permanent(f"these overlap: {pairs}. Choose another range for side {new.name}")
    return f"{', '.join([*named.values(), *old_ranges.values()])} overlap no other network"


def reachable(q: ReachableBothWays, live: Live) -> str:
    """An active peering with DNS both ways, a route in every table of both sides, the zone seen from both."""
    old, new, aws = live.side(q.old), live.side(q.new), live.aws
    old_vpc, new_vpc = live.vpc(old), live.vpc(new)
    peerings = _pages(aws.ec2, "describe_vpc_peering_connections", "VpcPeeringConnections")
    peering = peering_between(peerings, old_vpc, new_vpc)
    if peering is None:
        raise Retryable(f"no active peering between {old_vpc} and {new_vpc}")
    if not resolves_both_ways(peering):
        raise Retryable(f"{peering['VpcPeeringConnectionId']} doesn't allow DNS resolution both ways")
    count = 0
    for here, vpc, there in ((old, old_vpc, new), (new, new_vpc, old)):
        every = routes(_tables(live, vpc))
        wanted = {table: every.get(table, {}) for table in here.route_tables or every}
        for cidr in _cidrs(live, there):
            missing = lacking(wanted, cidr, peering["VpcPeeringConnectionId"])
            if missing:
                raise Retryable(f"{', '.join(missing)} of {here.name} have no active route to {cidr}")
        count += len(wanted)
    for zone_id in (q.zone_id, *q.more_zones):
        zone = aws.route53.get_hosted_zone(Id=zone_id)
        if zone["HostedZone"].get("Config", {}).get("PrivateZone"):
            seen = {vpc.get("VPCId") for vpc in zone.get("VPCs", [])}
            missing = sorted({old_vpc, new_vpc} - seen)
            if missing:
                raise Retryable(f"hosted zone {zone_id} isn't associated with {', '.join(missing)}")
    return (
        f"{peering['VpcPeeringConnectionId']} is active, {count} route tables lead through it, names resolve both ways"
    )


def clients_reach(q: ClientsReachNewSide, live: Live) -> str:
    """Whoever reaches the old VPC reaches the new one: connected networks, gateways, whatever old routes name."""
    old, new, aws = live.side(q.old), live.side(q.new), live.aws
    new_vpc = live.vpc(new)
    here = routes(_tables(live, new_vpc))
    wanted = {table: here.get(table, {}) for table in new.route_tables}
    peerings = _pages(aws.ec2, "describe_vpc_peering_connections", "VpcPeeringConnections")
    missing: list[str] = []
    for network in q.connected:
        if network.vpc_id:
            peering = peering_between(peerings, network.vpc_id, new_vpc)
            if peering is None:
                raise Retryable(f"no active peering between {network.name} ({network.vpc_id}) and {new.name}")
            tables = routes(_tables(live, network.vpc_id))
            via = peering["VpcPeeringConnectionId"]
            back = lacking({t: tables.get(t, {}) for t in network.route_tables or tables}, new.cidr, via)
            if back:
                raise Retryable(f"{', '.join(back)} of {network.name} have no active route to {new.cidr}")
        if lacking(wanted, network.cidr):
            missing.append(f"{network.name} {network.cidr}")
    every = routes(_tables(live, live.vpc(old)))
    own = [*_cidrs(live, old), *_cidrs(live, new)]
    missing += [cidr for cidr in unreached(every, wanted, own) if not any(cidr in name for name in missing)]
    if missing:
        through = {leads(table, cidr.split()[-1]) for table in every.values() for cidr in missing} - {""}
        raise Permanent(
            f"the old VPC reaches {', '.join(missing)} (through {', '.join(sorted(through)) or 'nothing now'}), the "
            f"new one doesn't: peering isn't transitive; connect the new VPC the same way and run the same up again"
        )
    names = ", ".join(network.name for network in q.connected) or "nobody"
    return f"connected with the new VPC as with the old one: {names}"

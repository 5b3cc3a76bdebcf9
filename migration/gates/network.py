"""Gates of the network: nothing overlaps, both sides reach each other, clients reach the new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent, Retryable

Facts = Mapping[str, Any]


def _pages(client: Any, call: str, key: str, **arguments: Any) -> list[dict[str, Any]]:
    return [item for page in client.get_paginator(call).paginate(**arguments) for item in page[key]]


def _tables(context: Context, vpc: str) -> list[dict[str, Any]]:
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    return _pages(context.clients.aws.ec2, "describe_route_tables", "RouteTables", Filters=filters)


def _cidrs(context: Context, side: Mapping[str, Any]) -> list[str]:
    """A side's ranges as AWS has them, secondary ones too; as configured while it isn't made."""
    if "vpcId" not in side:
        return [side["cidr"]]
    return vpc_cidrs(context.clients.aws.ec2.describe_vpcs(VpcIds=[side["vpcId"]])["Vpcs"][0])


def disjoint(facts: Facts, context: Context) -> str:
    """Live ranges of both VPCs, pods, Services and connected networks; and no natively routed pod network."""
    old, new = facts["old"], facts["new"]
    named = {f"side {new['name']} {cidr}": cidr for cidr in _cidrs(context, new)}
    old_ranges = {f"side {old['name']} {cidr}": cidr for cidr in _cidrs(context, old)}
    others = {
        f"pods {facts['podCidr']}": facts["podCidr"],
        f"Services {facts['serviceCidr']}": facts["serviceCidr"],
    }
    connected = {f"{one['name']} {one['cidr']}": one["cidr"] for one in facts["connectedNetworks"]}
    # The old VPC may collide with a connected network: that is what is being left behind.
    clashes = [*overlaps(named | old_ranges | others), *overlaps(named | others | connected)]
    tables = routes(_tables(context, old["vpcId"]))
    for table, table_routes in sorted(tables.items()):
        for destination, target in table_routes.items():
            if destination == "0.0.0.0/0":
                continue
            for name, cidr in named.items():
                # A route to the peering with the new VPC itself is this program's own, from an earlier `up`.
                if destination != cidr and overlaps({"route": destination, "side": cidr}):
                    clashes.append((f"route {destination} of {table} to {target}", name))
            if overlaps({"route": destination, "pods": facts["podCidr"]}):
                raise Permanent(
                    f"{table} routes {destination} to {target}, inside the pods' range {facts['podCidr']}: pods are "
                    f"routed natively, and a peering drops packets whose destination lies outside of the peer's range, "
                    f"so pods of the two sides couldn't talk. Change to an overlay (VXLAN, Geneve, IP-in-IP) first"
                )
    if clashes:
        pairs = "; ".join(f"{one} and {other}" for one, other in dict.fromkeys(clashes))
        raise Permanent(f"these overlap: {pairs}. Choose another range for side {new['name']}")
    return f"{', '.join([*named.values(), *old_ranges.values()])} overlap no other network"


def reachable(facts: Facts, context: Context) -> str:
    """An active peering with DNS both ways, a route in every table of both sides, the zone seen from both."""
    old, new, aws = facts["old"], facts["new"], context.clients.aws
    if "vpcId" not in new:
        raise Retryable(f"there is no VPC of side {new['name']} yet")
    peerings = _pages(aws.ec2, "describe_vpc_peering_connections", "VpcPeeringConnections")
    peering = peering_between(peerings, old["vpcId"], new["vpcId"])
    if peering is None:
        raise Retryable(f"no active peering between {old['vpcId']} and {new['vpcId']}")
    if not resolves_both_ways(peering):
        raise Retryable(f"{peering['VpcPeeringConnectionId']} doesn't allow DNS resolution both ways")
    count = 0
    for here, there in ((old, new), (new, old)):
        every = routes(_tables(context, here["vpcId"]))
        wanted = {table: every.get(table, {}) for table in here.get("routeTables") or every}
        for cidr in _cidrs(context, there):
            missing = lacking(wanted, cidr, peering["VpcPeeringConnectionId"])
            if missing:
                raise Retryable(f"{', '.join(missing)} of {here['name']} have no active route to {cidr}")
        count += len(wanted)
    zone = aws.route53.get_hosted_zone(Id=facts["zoneId"])
    if zone["HostedZone"].get("Config", {}).get("PrivateZone"):
        seen = {vpc.get("VPCId") for vpc in zone.get("VPCs", [])}
        missing = sorted({old["vpcId"], new["vpcId"]} - seen)
        if missing:
            raise Retryable(f"hosted zone {facts['zoneId']} isn't associated with {', '.join(missing)}")
    return (
        f"{peering['VpcPeeringConnectionId']} is active, {count} route tables lead through it, names resolve both ways"
    )


def clients_reach(facts: Facts, context: Context) -> str:
    """Whoever reaches the old VPC reaches the new one: connected networks, gateways, whatever old routes name."""
    old, new, aws = facts["old"], facts["new"], context.clients.aws
    here = routes(_tables(context, new["vpcId"]))
    wanted = {table: here.get(table, {}) for table in new["routeTables"]}
    peerings = _pages(aws.ec2, "describe_vpc_peering_connections", "VpcPeeringConnections")
    missing: list[str] = []
    for network in facts["connectedNetworks"]:
        if network.get("vpcId"):
            peering = peering_between(peerings, network["vpcId"], new["vpcId"])
            if peering is None:
                raise Retryable(f"no active peering between {network['name']} ({network['vpcId']}) and {new['name']}")
            tables = routes(_tables(context, network["vpcId"]))
            via = peering["VpcPeeringConnectionId"]
            back = lacking({t: tables.get(t, {}) for t in network.get("routeTables") or tables}, new["cidr"], via)
            if back:
                raise Retryable(f"{', '.join(back)} of {network['name']} have no active route to {new['cidr']}")
        if lacking(wanted, network["cidr"]):
            missing.append(f"{network['name']} {network['cidr']}")
    every = routes(_tables(context, old["vpcId"]))
    own = [*_cidrs(context, old), *_cidrs(context, new)]
    missing += [cidr for cidr in unreached(every, wanted, own) if not any(cidr in name for name in missing)]
    if missing:
        through = {leads(table, cidr.split()[-1]) for table in every.values() for cidr in missing} - {""}
        raise Permanent(
            f"the old VPC reaches {', '.join(missing)} (through {', '.join(sorted(through)) or 'nothing now'}), the "
            f"new one doesn't: peering isn't transitive; connect the new VPC the same way and run the same up again"
        )
    names = ", ".join(network["name"] for network in facts["connectedNetworks"]) or "nobody"
    return f"connected with the new VPC as with the old one: {names}"

"""The gate of the baseline: what the old VPC's network has, and the new one must have too, is known."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from migration.acls import Door, blocks
from migration.clients.aws import described
from migration.clients.documents import Document, listed, mapping
from migration.contracts.gates import NetworksCarried
from migration.gates.live import Live
from migration.reachability import vpc_cidrs
from migration.runtime.deadline import Permanent, Refused
from migration.sides import Side

_LEFT = ("disassociated", "disassociating", "failed", "failing")


def networks(q: NetworksCarried, live: Live) -> str:
    """Every range is named and none is IPv6 that machines use. Raises `Permanent` with all that isn't so."""
    side = live.side(q.old)
    vpc_id = live.vpc(side)
    vpc: Document = live.aws.ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]
    every = _acls(live, vpc_id)
    acls = _of(every, q.subnets) or every
    stopped = [
        f"{why}: the two sides couldn't talk; add an entry that allows {q.new_cidr} before it"
        for why in _stopped(q, acls, _of(every, _balancers_subnets(side, live)))
    ]
    refused = [*_ranges(side, vpc), *_ipv6(q, live, vpc_id), *stopped]
    if refused:
        raise Refused(refused)
    unused = [f"{one} (IPv6, not carried)" for one in _ipv6_of(vpc)]
    own = [acl["NetworkAclId"] for acl in acls if not acl.get("IsDefault")]
    listed_too = f"; network ACLs {', '.join(own)} aren't copied: the new VPC's lets everything through" if own else ""
    return f"{', '.join([*vpc_cidrs(vpc), *unused])} of {vpc_id}: every range is known{listed_too}"


def _stopped(q: NetworksCarried, machines: Sequence[Document], balancers: Sequence[Document]) -> Iterator[str]:
    """What stops packets at the machines' subnets, or at those of their balancers.

    Machines, and pods on them, ask the other side's balancers; nobody else does in their subnets.
    """
    ports, listeners = _doors(q.ports, q.udp_ports), _doors(q.listeners, q.udp_listeners)
    ids = {acl["NetworkAclId"] for acl in machines}
    for acl in (*machines, *(one for one in balancers if one["NetworkAclId"] not in ids)):
        asked = acl in balancers
        into = [*(ports if acl in machines else ()), *(listeners if asked else ())]
        yield from blocks(acl, q.new_cidr, into, [*ports, *listeners] if acl in machines else [])


def _doors(tcp: Iterable[int], udp: Iterable[int]) -> list[Door]:
    return [*((port, "tcp") for port in tcp), *((port, "udp") for port in udp)]


def _balancers_subnets(side: Side, live: Live) -> set[str]:
    """The subnets of the side's balancers."""
    arns = [one.arn for one in (*side.ingresses.values(), side.api) if one]
    if not arns:
        return set()
    pages = live.aws.elbv2.get_paginator("describe_load_balancers").paginate(LoadBalancerArns=arns)
    found = [one for page in pages for one in described(page["LoadBalancers"])]
    return {zone.get("SubnetId", "") for one in found for zone in listed(one, "AvailabilityZones")}


def _acls(live: Live, vpc_id: str) -> list[Document]:
    """All of the VPC's network ACLs."""
    inside: list[Any] = [{"Name": "vpc-id", "Values": [vpc_id]}]
    found = [
        one
        for page in live.aws.ec2.get_paginator("describe_network_acls").paginate(Filters=inside)
        for one in described(page["NetworkAcls"])
    ]
    if not found:
        raise Permanent(f"no network ACL of {vpc_id} can be seen, so whether packets pass can't be told")
    return found


def _of(acls: Sequence[Document], subnets: Collection[str]) -> list[Document]:
    """Those of some subnets."""
    return [one for one in acls if {a.get("SubnetId") for a in listed(one, "Associations")} & set(subnets)]


def _ranges(side: Side, vpc: Document) -> Iterator[str]:
    known = {side.cidr, *side.secondary_cidrs}
    seen = vpc_cidrs(vpc)
    for cidr in seen:
        if cidr not in known:
            yield (
                f"{vpc['VpcId']} has the range {cidr}, which migration:sides.{side.name}.secondaryCidrs doesn't name, "
                f"so nothing would route it to the other side: add it there"
            )
    for cidr in sorted(known - set(seen)):
        yield (
            f"migration:sides.{side.name} names the range {cidr}, which {vpc['VpcId']} hasn't "
            f"({', '.join(seen)}): correct it"
        )


def _ipv6_of(described_one: Document) -> list[str]:
    return [
        one["Ipv6CidrBlock"]
        for one in listed(described_one, "Ipv6CidrBlockAssociationSet")
        if mapping(one, "Ipv6CidrBlockState").get("State") not in _LEFT
    ]


def _ipv6(q: NetworksCarried, live: Live, vpc_id: str) -> Iterator[str]:
    """Subnets that give the cluster's machines IPv6 addresses: the new VPC has none, and nothing would tell."""
    if q.ipv6 == "leave":
        return
    chosen: list[Any] = [{"Name": "vpc-id", "Values": [vpc_id]}]
    if q.subnets:
        chosen.append({"Name": "subnet-id", "Values": list(q.subnets)})
    for subnet in described(live.aws.ec2.describe_subnets(Filters=chosen)["Subnets"]):
        ranges = _ipv6_of(subnet)
        if ranges and subnet.get("AssignIpv6AddressOnCreation"):
            yield (
                f"machines in {subnet['SubnetId']} get IPv6 addresses of {', '.join(ranges)}, and those of the new VPC "
                f"get none: if nothing needs them, set migration:ipv6 to leave"
            )

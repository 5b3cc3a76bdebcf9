"""What stages added to the old side still stands: rules and routes there are somebody's groups and tables, too.

The old Terraform takes away what isn't in its code, at its next run; traffic then stops without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from migration.clients.documents import Document, mapping
from migration.contracts.gates import OldSideStands
from migration.gates.live import Live
from migration.reachability import lacking, peering_between, routes, vpc_cidrs
from migration.references.read import groups_made
from migration.runtime.deadline import Permanent, Retryable


def _pages(client: Any, call: str, key: str, **arguments: Any) -> list[Document]:
    return [item for page in client.get_paginator(call).paginate(**arguments) for item in page[key]]


def stands(q: OldSideStands, live: Live) -> str:
    """Routes of both sides and the old groups' rules for the new side are there. Raises `Permanent` with what isn't."""
    if live.side(q.new).vpc_id is None:
        return f"nothing of side {q.new.name} is made yet, so nothing was added to {q.old.name}"
    missing = [*_routes(q, live), *_rules(q, live)]
    if missing:
        raise Permanent(
            f"{'; '.join(missing)}: taken away since an earlier stage added it, by whoever manages the old VPC? See to "
            f"it that it stays; then run `pulumi up --refresh` at stage {q.reached}, and this stage again"
        )
    return f"routes of {len(q.old.route_tables) or 'all'} old tables and the old groups' rules for {q.new.name} stand"


def _routes(q: OldSideStands, live: Live) -> Iterator[str]:
    old, new = live.side(q.old), live.side(q.new)
    old_vpc, new_vpc = live.vpc(old), live.vpc(new)
    peerings = _pages(live.aws.ec2, "describe_vpc_peering_connections", "VpcPeeringConnections")
    peering = peering_between(peerings, old_vpc, new_vpc)
    if peering is None:
        yield f"the peering of {old_vpc} and {new_vpc}"
        return
    for here, vpc, there, other in ((old, old_vpc, new, new_vpc), (new, new_vpc, old, old_vpc)):
        filters = [{"Name": "vpc-id", "Values": [vpc]}]
        every = routes(_pages(live.aws.ec2, "describe_route_tables", "RouteTables", Filters=filters))
        wanted = {table: every.get(table, {}) for table in here.route_tables or every}
        for cidr in vpc_cidrs(live.aws.ec2.describe_vpcs(VpcIds=[other])["Vpcs"][0]):
            lost = lacking(wanted, cidr, peering["VpcPeeringConnectionId"])
            if lost:
                yield f"the route to {cidr} ({there.name}) in {', '.join(lost)}"


def _rules(q: OldSideStands, live: Live) -> Iterator[str]:
    """The old groups let in the new side's, role by role, as `components.security_groups` made it."""
    new = groups_made(live.aws, live.cluster, q.new.name)
    old = dict(q.groups) or groups_made(live.aws, live.cluster, q.old.name)
    if not new or not old:
        raise Retryable(f"security groups of side {q.new.name if not new else q.old.name} can't be seen yet")
    chosen: list[Any] = [{"Name": "group-id", "Values": sorted(set(old.values()))}]
    rules = _pages(live.aws.ec2, "describe_security_group_rules", "SecurityGroupRules", Filters=chosen)
    masters, etcd = old["control-plane"], old.get("etcd", old["control-plane"])
    wanted = [
        (old["nodes"], None, new["nodes"]),
        (old["nodes"], None, new["control-plane"]),
        (etcd, q.client_port, new["control-plane"]),
        (etcd, q.peer_port, new["control-plane"]),
        (masters, q.api_port, new["nodes"]),
    ]
    for group, port, peer in wanted:
        if not any(_admits(rule, group, port, peer) for rule in rules):
            what = "every port" if port is None else f"port {port}"
            yield f"the rule of {group} that lets {peer} in on {what}"


def _admits(rule: Document, group: str, port: int | None, peer: str) -> bool:
    if rule["IsEgress"] or rule["GroupId"] != group:
        return False
    if mapping(rule, "ReferencedGroupInfo").get("GroupId") != peer:
        return False
    protocol = str(rule["IpProtocol"])
    if protocol == "-1" or port is None:
        return protocol == "-1"
    return protocol == "tcp" and rule.get("FromPort", -1) <= port <= rule.get("ToPort", -1)

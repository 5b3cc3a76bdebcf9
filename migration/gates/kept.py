"""The gate of the end about what is kept in the old VPC: nothing of the new side talks to it any more, or may go on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from migration.clients.documents import Document, mapping
from migration.contracts.gates import KeptUnused
from migration.gates.live import Live
from migration.runtime.deadline import Permanent

# Flow logs are delivered within ten minutes; half an hour is what is looked at (VPC user guide, Flow logs).
_WINDOW_SECONDS = 1800
_SHOWN = 6
# The default format: version account interface source destination ports … action status.
_SOURCE, _TARGET, _ACTION, _LENGTH = 3, 4, 12, 14


def _pages(client: Any, call: str, key: str, **arguments: Any) -> list[Document]:
    return [item for page in client.get_paginator(call).paginate(**arguments) for item in page[key]]


def unused(q: KeptUnused, live: Live) -> str:
    """No flow between the new side and an interface that stays in the old VPC. Raises `Permanent` where one is seen.

    Also where nothing would show one, unless it is said that this may be.
    """
    if q.retain_peering:
        return "the peering stays, so what is kept goes on being reached"
    if q.made:
        return f"side {q.old.name} was made by this program: nothing of others is kept there"
    vpc = live.vpc(live.side(q.old))
    kept = _kept(q, live, vpc)
    if not kept:
        return f"no interface is kept in {vpc}"
    if q.flows == "accept":
        return f"{len(kept)} interfaces are kept in {vpc}; that the new side loses them is accepted (keptFlows)"
    remedy = "move its clients or set migration:retainPeering to true; migration:keptFlows to accept if it may be lost"
    groups = _log_groups(live, vpc)
    if not groups:
        told = ", ".join(list(kept.values())[:_SHOWN])
        raise Permanent(
            f"{len(kept)} interfaces are kept in {vpc} ({told}), and no flow log of it in CloudWatch Logs with the "
            f"default format shows whether the new side uses them: make one, wait {_WINDOW_SECONDS // 60} min; {remedy}"
        )
    used = dict.fromkeys(_used(live, groups, kept, q.new.cidr))
    if used:
        raise Permanent(f"the new side talks to {'; '.join(list(used)[:_SHOWN])}: {remedy}")
    return f"{len(kept)} interfaces are kept in {vpc}; none had a flow with {q.new.cidr} in {_WINDOW_SECONDS // 60} min"


def _kept(q: KeptUnused, live: Live, vpc: str) -> dict[str, str]:
    """Addresses of interfaces that stay, each with what it is."""
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    going = [arn.partition("loadbalancer/")[2] for arn in q.retired_balancers]
    found: dict[str, str] = {}
    for one in _pages(live.aws.ec2, "describe_network_interfaces", "NetworkInterfaces", Filters=filters):
        said = one.get("Description", "")
        if any(name and said.endswith(name) for name in going):
            continue
        instance = mapping(one, "Attachment").get("InstanceId")
        if one.get("PrivateIpAddress"):
            what = instance or said or one["NetworkInterfaceId"]
            found[one["PrivateIpAddress"]] = f"{what} ({one['PrivateIpAddress']})"
    return found


def _log_groups(live: Live, vpc: str) -> list[str]:
    chosen = [{"Name": "resource-id", "Values": [vpc]}]
    return [
        one["LogGroupName"]
        for one in _pages(live.aws.ec2, "describe_flow_logs", "FlowLogs", Filters=chosen)
        if one.get("LogGroupName") and one.get("FlowLogStatus") == "ACTIVE" and one.get("TrafficType") != "REJECT"
    ]


def _used(live: Live, groups: list[str], kept: Mapping[str, str], cidr: str) -> Iterator[str]:
    network, since = IPv4Network(cidr), int((time.time() - _WINDOW_SECONDS) * 1000)
    for group in groups:
        events = _pages(live.aws.logs, "filter_log_events", "events", logGroupName=group, startTime=since)
        for event in events:
            words = str(event.get("message", "")).split()
            if len(words) != _LENGTH or words[_ACTION] != "ACCEPT":
                continue
            for one, other in ((words[_SOURCE], words[_TARGET]), (words[_TARGET], words[_SOURCE])):
                if one in kept and IPv4Address(other) in network:
                    yield f"{kept[one]} from {other}"

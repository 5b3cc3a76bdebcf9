"""What the rehearsal's operator does about an account's oddities.

That is what each sentence of stage 0's refusal says, and what `plan` leaves to others.

A sentence that nobody here understands isn't cured, and the next `up` says it again.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

import boto3

from lab.addresses import LabAddresses
from lab.controllers import EXTERNAL_DNS
from lab.legacy.awkward.networks import ON_PREMISES
from lab.shapes import BACKBONE
from lab.workload.awkward import EXTERNAL_DNS_NAMESPACE
from migration.gates.claims import HOSTNAME, TARGET
from migration.gates.cluster import PLAN

TTL_S = 5
"""Of a record that had none."""


@dataclass(frozen=True, kw_only=True)
class Cured:
    """The sentences that were understood, and keys of `migration:` that they ask for."""

    sentences: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict[str, str])


Act = Callable[[re.Match[str], LabAddresses], Mapping[str, str]]
"""Does what one sentence asks for; returns the keys that it asks for beside it."""


def cure(refusal: str, addresses: LabAddresses) -> Cured:
    """Does what the refusal of a gate asks for, sentence by sentence. Raises botocore's errors."""
    sentences: list[str] = []
    keys: dict[str, str] = {}
    for pattern, act in CURES.items():
        for sentence in re.finditer(pattern, refusal):
            keys |= act(sentence, addresses)
            sentences.append(sentence.group(0))
    return Cured(sentences=tuple(dict.fromkeys(sentences)), keys=keys)


def _nothing_here(_: re.Match[str], __: LabAddresses) -> Mapping[str, str]:
    """Discovery finds it now."""
    return {}


def _simple(sentence: re.Match[str], _: LabAddresses) -> Mapping[str, str]:
    """An alias, or a record with a policy, becomes a simple CNAME to the same place."""
    route53, zone, name = boto3.client("route53"), sentence["zone"], sentence["name"]
    pages = route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
    there = [
        one
        for page in pages
        for one in page["ResourceRecordSets"]
        if one["Name"].rstrip(".") == name and one["Type"] in ("A", "AAAA", "CNAME")
    ]
    if not there:
        return {}
    first: Any = there[0]
    target = first["AliasTarget"]["DNSName"] if "AliasTarget" in first else first["ResourceRecords"][0]["Value"]
    simple: Any = {
        "Name": name,
        "Type": "CNAME",
        "TTL": first.get("TTL", TTL_S),
        "ResourceRecords": [{"Value": target.removeprefix("dualstack.")}],
    }
    changes: Any = [{"Action": "DELETE", "ResourceRecordSet": one} for one in there]
    changes.append({"Action": "CREATE", "ResourceRecordSet": simple})
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    return {}


def _let_through(sentence: re.Match[str], _: LabAddresses) -> Mapping[str, str]:
    """The network ACL gets an entry for the new range, before all others, in both directions."""
    ec2, acl, cidr = boto3.client("ec2"), sentence["acl"], sentence["cidr"]
    [found] = ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"]
    known = {(one.get("Egress"), one.get("CidrBlock"), one.get("RuleAction")) for one in found.get("Entries", [])}
    taken = {(one.get("Egress"), one.get("RuleNumber")) for one in found.get("Entries", [])}
    for egress in (False, True):
        if (egress, cidr, "allow") in known:
            continue
        number = next(n for n in range(1, 100) if (egress, n) not in taken)
        ec2.create_network_acl_entry(
            NetworkAclId=acl, RuleNumber=number, Protocol="-1", RuleAction="allow", Egress=egress, CidrBlock=cidr
        )
    return {}


def _planned(sentence: re.Match[str], _: LabAddresses) -> Mapping[str, str]:
    """The Service says how it is moved."""
    namespace, name = sentence["service"].split("/")
    command = ["kubectl", "annotate", "--overwrite", "service", name, "-n", namespace, f"{PLAN}=replaced"]
    subprocess.run(command, check=True, capture_output=True)
    return {"traffic.loadBalancerServices": "planned"}


def _paused(_: re.Match[str], __: LabAddresses) -> Mapping[str, str]:
    """External-dns is scaled to zero, where there is one."""
    _scale_external_dns(0)
    return {"traffic.externalDns": "paused"}


def resume_external_dns() -> bool:
    """External-dns is scaled up again, once the migration is over; False where there is none."""
    return _scale_external_dns(1)


def _scale_external_dns(replicas: int) -> bool:
    where = [EXTERNAL_DNS, "-n", EXTERNAL_DNS_NAMESPACE]
    told = subprocess.run(
        ["kubectl", "get", "deployment", *where, "--ignore-not-found", "-o", "name"],
        check=True,
        capture_output=True,
        text=True,
    )
    if not told.stdout.strip():
        return False
    command = ["kubectl", "scale", "deployment", *where, f"--replicas={replicas}"]
    subprocess.run(command, check=True, capture_output=True)
    return True


_RECORD = r"record \w+ (?P<name>\S+) of zone \S+ \((?P<zone>\w+)\) leads to \S+"
CURES: Mapping[str, Act] = {
    _RECORD + r" (?:as an alias|with a policy of its own)": _simple,
    _RECORD + r" and isn't carried": _nothing_here,
    r"(?P<acl>acl-\w+) doesn't let (?:TCP|UDP) (?:in from|out to) (?P<cidr>[\d./]+) through": _let_through,
    r"external-dns claims ": _paused,
    r"Service (?P<service>\S+) is of type LoadBalancer": _planned,
}
"""By what a sentence of a refusal looks like."""


def join_backbone(addresses: LabAddresses) -> bool:
    """Another team attaches the new VPC to the old one's transit gateway, with the old one's route.

    False where there is no gateway, or no new VPC yet. Raises botocore's errors.
    """
    ec2 = boto3.client("ec2")
    gateways = ec2.describe_transit_gateways(Filters=[{"Name": "tag:Name", "Values": [BACKBONE]}])["TransitGateways"]
    if not gateways:
        return False
    gateway = gateways[0].get("TransitGatewayId", "")
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": [addresses.main_cidr]}])["Vpcs"]
    if not vpcs:
        return False
    vpc = vpcs[0]
    inside: Any = [{"Name": "vpc-id", "Values": [vpc.get("VpcId", "")]}]
    subnets = ec2.describe_subnets(Filters=inside)["Subnets"]
    private = {one.get("AvailabilityZone", ""): one.get("SubnetId", "") for one in sorted(subnets, key=_first_address)}
    if not ec2.describe_transit_gateway_vpc_attachments(Filters=inside)["TransitGatewayVpcAttachments"]:
        ec2.create_transit_gateway_vpc_attachment(
            TransitGatewayId=gateway, VpcId=vpc.get("VpcId", ""), SubnetIds=list(private.values())
        )
    for table in ec2.describe_route_tables(Filters=inside)["RouteTables"]:
        if ON_PREMISES not in [route.get("DestinationCidrBlock") for route in table.get("Routes", [])]:
            ec2.create_route(
                RouteTableId=table.get("RouteTableId", ""),
                DestinationCidrBlock=ON_PREMISES,
                TransitGatewayId=gateway,
            )
    return True


def leave_backbone(addresses: LabAddresses) -> bool:
    """That team takes the new VPC off again, before it is deleted; False where it isn't on.

    Raises botocore's errors.
    """
    ec2 = boto3.client("ec2")
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": [addresses.main_cidr]}])["Vpcs"]
    if not vpcs:
        return False
    inside: Any = [{"Name": "vpc-id", "Values": [vpcs[0].get("VpcId", "")]}]
    attached = ec2.describe_transit_gateway_vpc_attachments(Filters=inside)["TransitGatewayVpcAttachments"]
    there = [one for one in attached if one.get("State") not in ("deleting", "deleted")]
    if not there:
        return False
    for table in ec2.describe_route_tables(Filters=inside)["RouteTables"]:
        if ON_PREMISES in [route.get("DestinationCidrBlock") for route in table.get("Routes", [])]:
            ec2.delete_route(RouteTableId=table.get("RouteTableId", ""), DestinationCidrBlock=ON_PREMISES)
    for one in there:
        ec2.delete_transit_gateway_vpc_attachment(TransitGatewayAttachmentId=one.get("TransitGatewayAttachmentId", ""))
    return True


def tell_external_dns() -> tuple[str, ...]:
    """Services whose names external-dns makes say where they lead now, before the old side goes; which they are.

    Raises botocore's errors.
    """
    shown = subprocess.run(["kubectl", "get", "services", "-A", "-o", "json"], check=True, capture_output=True)
    told: list[str] = []
    for item in json.loads(shown.stdout)["items"]:
        metadata = item["metadata"]
        annotations = metadata.get("annotations") or {}
        leads = _leads(annotations.get(HOSTNAME, ""))
        if leads is None or TARGET in annotations:
            continue
        command = ["kubectl", "annotate", "service", metadata["name"], "-n", metadata["namespace"], f"{TARGET}={leads}"]
        subprocess.run(command, check=True, capture_output=True)
        told.append(f"{metadata['namespace']}/{metadata['name']}")
    return tuple(told)


def _leads(name: str) -> str | None:
    """Where a name of several records leads with the most weight; None where it isn't such a name."""
    if not name:
        return None
    route53 = boto3.client("route53")
    found: list[tuple[int, str]] = []
    for zone in route53.list_hosted_zones()["HostedZones"]:
        pages = route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone["Id"])
        for record in (one for page in pages for one in page["ResourceRecordSets"]):
            if record["Name"].rstrip(".") == name and "Weight" in record and record.get("ResourceRecords"):
                found.append((int(record["Weight"]), record.get("ResourceRecords", [])[0]["Value"]))
    return max(found)[1] if found else None


def _first_address(subnet: Any) -> int:
    return int(IPv4Network(subnet["CidrBlock"]).network_address)

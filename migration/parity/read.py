"""What a VPC offers its machines, as AWS describes it. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Literal, cast

from migration.clients.aws import described
from migration.clients.documents import Document, listed, mapping
from migration.contracts.parity import NAT, NONE, VpcFacts

if TYPE_CHECKING:
    from mypy_boto3_route53.literals import VPCRegionType

    from migration.clients.aws import Aws

_GONE = ("deleting", "deleted", "rejected", "failed", "expired")
_TARGETS = (
    "TransitGatewayId",
    "GatewayId",
    "VpcPeeringConnectionId",
    "NetworkInterfaceId",
    "InstanceId",
    "CoreNetworkArn",
)
_DEFAULTS = {"domain-name-servers": "AmazonProvidedDNS"}


def _pages(client: Any, call: str, key: str, **arguments: Any) -> list[Document]:
    return [item for page in client.get_paginator(call).paginate(**arguments) for item in page[key]]


def facts(aws: Aws, vpc_id: str, subnets: Collection[str]) -> VpcFacts:
    """The VPC as machines in `subnets` find it. AWS's own errors pass through: what can't be seen isn't there."""
    inside: list[Any] = [{"Name": "vpc-id", "Values": [vpc_id]}]
    [vpc] = described(aws.ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"])
    tables = _pages(aws.ec2, "describe_route_tables", "RouteTables", Filters=inside)
    return VpcFacts(
        dns_support=_attribute(aws, vpc_id, "enableDnsSupport"),
        dns_hostnames=_attribute(aws, vpc_id, "enableDnsHostnames"),
        default_route=tuple(sorted({default_route(tables, subnet) for subnet in subnets})),
        endpoints=tuple(sorted(_endpoints(aws, inside))),
        resolver_rules=resolver_rules(aws, vpc_id),
        zones=zones(aws, vpc_id),
        dhcp=dhcp(aws, vpc.get("DhcpOptionsId") or "default"),
    )


def _attribute(aws: Aws, vpc_id: str, name: Literal["enableDnsSupport", "enableDnsHostnames"]) -> bool:
    answer: Document = dict(aws.ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute=name))
    return bool(mapping(answer, name[0].upper() + name[1:]).get("Value"))


def table_of(tables: Collection[Document], subnet: str) -> Document | None:
    """The route table that a subnet uses: its own, or the VPC's main one."""
    main = None
    for table in tables:
        for association in listed(table, "Associations"):
            if association.get("SubnetId") == subnet:
                return table
            if association.get("Main"):
                main = table
    return main


def default_route(tables: Collection[Document], subnet: str) -> str:
    """Where a subnet leads what nothing else covers, in words."""
    table = table_of(tables, subnet) or {}
    for route in listed(table, "Routes"):
        if route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.get("State", "active") == "active":
            return _leads(route)
    return NONE


def _leads(route: Document) -> str:
    if route.get("NatGatewayId"):
        return NAT
    gateway = str(route.get("GatewayId") or "")
    if gateway.startswith("igw-"):
        return "internet gateway"
    if gateway.startswith("vpce-"):
        return "firewall endpoint"
    return next((str(route[key]) for key in _TARGETS if route.get(key)), "something unknown")


def _endpoints(aws: Aws, inside: list[Any]) -> Iterator[str]:
    for one in _pages(aws.ec2, "describe_vpc_endpoints", "VpcEndpoints", Filters=inside):
        if str(one.get("State", "")).lower() not in _GONE:
            yield f"{one['ServiceName']} ({one.get('VpcEndpointType', 'Gateway')})"


def resolver_rules(aws: Aws, vpc_id: str) -> dict[str, str]:
    """Forwarding rules that a VPC resolves by: id to name."""
    chosen = [{"Name": "VPCId", "Values": [vpc_id]}]
    found = _pages(aws.route53resolver, "list_resolver_rule_associations", "ResolverRuleAssociations", Filters=chosen)
    # AWS's own rule is in every VPC.
    own = [one for one in found if not one["ResolverRuleId"].startswith("rslvr-autodefined")]
    return {one["ResolverRuleId"]: one.get("Name", "") for one in own}


def zones(aws: Aws, vpc_id: str) -> dict[str, str]:
    """Private hosted zones that answer in a VPC, without those of AWS's services: id to name."""
    region, found = cast("VPCRegionType", aws.region), dict[str, str]()
    more: dict[str, str] = {}
    while True:
        answer = aws.route53.list_hosted_zones_by_vpc(VPCId=vpc_id, VPCRegion=region, **cast(Any, more))
        for one in answer["HostedZoneSummaries"]:
            # Zones of services (EFS, endpoints) belong to AWS and come with what they are for.
            if not mapping(dict(one), "Owner").get("OwningService"):
                found[one["HostedZoneId"].removeprefix("/hostedzone/")] = one["Name"].rstrip(".")
        if not answer.get("NextToken"):
            return found
        more = {"NextToken": answer.get("NextToken", "")}


def dhcp(aws: Aws, options: str) -> dict[str, str]:
    """A set of DHCP options, without what is so by default."""
    if options == "default":
        return {}
    [found] = described(aws.ec2.describe_dhcp_options(DhcpOptionsIds=[options])["DhcpOptions"])
    said = {
        one["Key"]: ",".join(str(value.get("Value")) for value in listed(one, "Values"))
        for one in listed(found, "DhcpConfigurations")
    }
    internal = {f"{aws.region}.compute.internal", "ec2.internal"}
    return {
        key: value
        for key, value in said.items()
        if _DEFAULTS.get(key) != value and not (key == "domain-name" and value in internal)
    }

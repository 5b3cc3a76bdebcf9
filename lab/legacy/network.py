"""VPC `legacy` with its subnets and routes, the connected network `corp`, and the peering between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.legacy.cloud import Cloud, once, specification
from lab.legacy.plan import subnets, tags


@dataclass(frozen=True)
class Network:
    vpc: str
    corp: str
    private: dict[str, str]
    """Subnet ids by zone."""
    public: dict[str, str]


def build(cloud: Cloud, cluster: str) -> Network:
    addresses = cloud.addresses
    vpc = _vpc(cloud, addresses.legacy_cidr, tags(f"legacy.{cluster}", cluster, "shared"))
    gateway = _gateway(cloud, vpc, tags(f"legacy.{cluster}", cluster, "shared"))
    private: dict[str, str] = {}
    public: dict[str, str] = {}
    common = _table(cloud, vpc, tags(f"utility.{cluster}", cluster, "shared"))
    _route(cloud, common, "0.0.0.0/0", GatewayId=gateway)
    tables = [common]
    for planned in subnets(addresses.legacy_cidr, cluster):
        role = "kubernetes.io/role/" + ("elb" if planned.public else "internal-elb")
        subnet = _subnet(cloud, vpc, planned.cidr, planned.zone, tags(planned.name, cluster, "shared", **{role: "1"}))
        (public if planned.public else private)[planned.zone] = subnet
        table = common
        if not planned.public:
            table = _table(cloud, vpc, tags(f"private-{planned.zone}.{cluster}", cluster, "shared"))
            tables.append(table)
        _associate(cloud, table, subnet)
    corp, corp_table = _corp(cloud)
    peering = _peering(cloud, vpc, corp)
    for table in tables:
        _route(cloud, table, addresses.corp_cidr, VpcPeeringConnectionId=peering)
    _route(cloud, corp_table, addresses.legacy_cidr, VpcPeeringConnectionId=peering)
    return Network(vpc, corp, private, public)


def _corp(cloud: Cloud) -> tuple[str, str]:
    corp = _vpc(cloud, cloud.addresses.corp_cidr, {"Name": "corp", "Owner": "network-team"})
    # The VPC's whole range: the operators' workstation has an address in it, too.
    subnet = _subnet(
        cloud, corp, cloud.addresses.corp_cidr, "eu-central-1a", {"Name": "corp-a", "Owner": "network-team"}
    )
    table = _table(cloud, corp, {"Name": "corp", "Owner": "network-team"})
    _associate(cloud, table, subnet)
    return corp, table


def _vpc(cloud: Cloud, cidr: str, named: dict[str, str]) -> str:
    found = cloud.named("describe_vpcs", "Vpcs", named["Name"])
    if found is None:
        found = cloud.ec2.create_vpc(CidrBlock=cidr, TagSpecifications=specification("vpc", named))["Vpc"]
        for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
            cloud.ec2.modify_vpc_attribute(VpcId=found["VpcId"], **{attribute: {"Value": True}})
    return found["VpcId"]


def _gateway(cloud: Cloud, vpc: str, named: dict[str, str]) -> str:
    found = cloud.named("describe_internet_gateways", "InternetGateways", named["Name"])
    if found is None:
        found = cloud.ec2.create_internet_gateway(TagSpecifications=specification("internet-gateway", named))[
            "InternetGateway"
        ]
    gateway = found["InternetGatewayId"]
    once("Resource.AlreadyAssociated", lambda: cloud.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc))
    return gateway


def _subnet(cloud: Cloud, vpc: str, cidr: str, zone: str, named: dict[str, str]) -> str:
    found = cloud.named("describe_subnets", "Subnets", named["Name"], vpc_id=vpc)
    if found is None:
        found = cloud.ec2.create_subnet(
            VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone, TagSpecifications=specification("subnet", named)
        )["Subnet"]
    return found["SubnetId"]


def _table(cloud: Cloud, vpc: str, named: dict[str, str]) -> str:
    found = cloud.named("describe_route_tables", "RouteTables", named["Name"], vpc_id=vpc)
    if found is None:
        found = cloud.ec2.create_route_table(VpcId=vpc, TagSpecifications=specification("route-table", named))[
            "RouteTable"
        ]
    return found["RouteTableId"]


def _associate(cloud: Cloud, table: str, subnet: str) -> None:
    found = cloud.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]
    if subnet not in [association.get("SubnetId") for association in found["Associations"]]:
        cloud.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)


def _route(cloud: Cloud, table: str, cidr: str, **target: str) -> None:
    found = cloud.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]
    if cidr not in [route.get("DestinationCidrBlock") for route in found["Routes"]]:
        cloud.ec2.create_route(RouteTableId=table, DestinationCidrBlock=cidr, **target)


def _peering(cloud: Cloud, vpc: str, corp: str) -> str:
    found: Any = cloud.named("describe_vpc_peering_connections", "VpcPeeringConnections", "legacy-corp")
    if found is None:
        named = {"Name": "legacy-corp", "Owner": "network-team"}
        found = cloud.ec2.create_vpc_peering_connection(
            VpcId=vpc,
            PeerVpcId=corp,
            TagSpecifications=specification("vpc-peering-connection", named),
        )["VpcPeeringConnection"]
    peering = found["VpcPeeringConnectionId"]
    state = cloud.ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[peering])
    if state["VpcPeeringConnections"][0]["Status"]["Code"] != "active":
        cloud.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering)
    return peering

"""The gates of the network on real answers of AWS (moto's)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from moto import mock_aws

from migration.clients import Clients
from migration.gates import CHECKS
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent, Retryable

REGION = "eu-central-1"


@dataclass
class Sides:
    """An old and a new VPC, each with one route table, and a zone."""

    context: Context
    ec2: Any
    facts: dict[str, Any] = field(default_factory=dict)

    def check(self, name: str) -> str:
        return CHECKS[name](self.facts, self.context)

    def route(self, role: str, cidr: str, **target: str) -> None:
        self.ec2.create_route(RouteTableId=self.facts[role]["routeTables"][0], DestinationCidrBlock=cidr, **target)

    def peer(self, one: str, other: str, *, dns: bool = True) -> str:
        made = self.ec2.create_vpc_peering_connection(VpcId=one, PeerVpcId=other)["VpcPeeringConnection"]
        peering = made["VpcPeeringConnectionId"]
        self.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering)
        if dns:
            allow = {"AllowDnsResolutionFromRemoteVpc": True}
            self.ec2.modify_vpc_peering_connection_options(
                VpcPeeringConnectionId=peering,
                RequesterPeeringConnectionOptions=allow,
                AccepterPeeringConnectionOptions=allow,
            )
        return peering


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        clients = Clients(region=REGION, kubeconfig=None)
        ec2: Any = clients.aws.ec2
        route53 = clients.aws.route53
        made = Sides(Context(log=lambda _: None, deadline=Deadline(5), clients=clients), ec2)
        for role, name, cidr in (("old", "legacy", "10.10.0.0/16"), ("new", "main", "10.30.0.0/16")):
            vpc = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
            tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
            made.facts[role] = {
                "name": name,
                "cidr": cidr,
                "vpcId": vpc,
                "routeTables": [table["RouteTableId"] for table in tables],
            }
        zone = route53.create_hosted_zone(
            Name="pet.internal",
            CallerReference="1",
            VPC={"VPCRegion": REGION, "VPCId": made.facts["old"]["vpcId"]},
            HostedZoneConfig={"PrivateZone": True},
        )["HostedZone"]["Id"]
        made.facts |= {
            "zoneId": zone.rsplit("/", 1)[-1],
            "podCidr": "100.64.0.0/16",
            "serviceCidr": "172.20.0.0/16",
            "connectedNetworks": [],
        }
        yield made


def connected(sides: Sides) -> str:
    old, new = sides.facts["old"], sides.facts["new"]
    peering = sides.peer(new["vpcId"], old["vpcId"])
    sides.route("old", new["cidr"], VpcPeeringConnectionId=peering)
    sides.route("new", old["cidr"], VpcPeeringConnectionId=peering)
    sides.context.clients.aws.route53.associate_vpc_with_hosted_zone(
        HostedZoneId=sides.facts["zoneId"], VPC={"VPCRegion": REGION, "VPCId": new["vpcId"]}
    )
    return peering


def test_two_sides_with_peering_routes_names_and_zone_reach_each_other(sides: Sides) -> None:
    peering = connected(sides)
    assert sides.check("reachable-both-ways").startswith(f"{peering} is active, 2 route tables")


def test_a_missing_peering_route_or_zone_is_named(sides: Sides) -> None:
    with pytest.raises(Retryable, match="no active peering"):
        sides.check("reachable-both-ways")
    old, new = sides.facts["old"], sides.facts["new"]
    peering = sides.peer(new["vpcId"], old["vpcId"])
    with pytest.raises(Retryable, match=r"of legacy have no active route to 10\.30\.0\.0/16"):
        sides.check("reachable-both-ways")
    sides.route("old", new["cidr"], VpcPeeringConnectionId=peering)
    with pytest.raises(Retryable, match=r"of main have no active route to 10\.10\.0\.0/16"):
        sides.check("reachable-both-ways")
    sides.route("new", old["cidr"], VpcPeeringConnectionId=peering)
    with pytest.raises(Retryable, match=f"isn't associated with {new['vpcId']}"):
        sides.check("reachable-both-ways")


def test_a_secondary_range_of_the_other_side_needs_its_route_too(sides: Sides) -> None:
    connected(sides)
    sides.ec2.associate_vpc_cidr_block(VpcId=sides.facts["old"]["vpcId"], CidrBlock="10.11.0.0/16")
    with pytest.raises(Retryable, match=r"no active route to 10\.11\.0\.0/16"):
        sides.check("reachable-both-ways")


def test_disjoint_networks_pass_before_and_after_the_new_vpc_is_made(sides: Sides) -> None:
    assert "10.30.0.0/16" in sides.check("networks-disjoint")
    connected(sides)
    assert "10.30.0.0/16" in sides.check("networks-disjoint")
    vpc = sides.facts["new"].pop("vpcId")
    assert vpc
    assert "10.30.0.0/16" in sides.check("networks-disjoint")


def test_a_secondary_range_that_overlaps_is_refused(sides: Sides) -> None:
    sides.ec2.associate_vpc_cidr_block(VpcId=sides.facts["old"]["vpcId"], CidrBlock="100.64.0.0/20")
    with pytest.raises(Permanent, match=r"side legacy 100\.64\.0\.0/20 and pods 100\.64\.0\.0/16"):
        sides.check("networks-disjoint")


def test_a_route_of_the_old_side_into_the_new_range_is_refused(sides: Sides) -> None:
    gateway = sides.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    sides.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=sides.facts["old"]["vpcId"])
    sides.route("old", "10.28.0.0/14", GatewayId=gateway)
    with pytest.raises(Permanent, match=r"route 10\.28\.0\.0/14"):
        sides.check("networks-disjoint")


def test_natively_routed_pods_are_refused(sides: Sides) -> None:
    gateway = sides.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    sides.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=sides.facts["old"]["vpcId"])
    sides.route("old", "100.64.3.0/24", GatewayId=gateway)
    with pytest.raises(Permanent, match="routed natively"):
        sides.check("networks-disjoint")


def test_a_connected_network_must_reach_the_new_side_both_ways(sides: Sides) -> None:
    connected(sides)
    new = sides.facts["new"]
    corp = sides.ec2.create_vpc(CidrBlock="10.50.0.0/16")["Vpc"]["VpcId"]
    table = sides.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [corp]}])["RouteTables"][0]
    sides.facts["connectedNetworks"] = [
        {"name": "corp", "cidr": "10.50.0.0/16", "vpcId": corp, "routeTables": [table["RouteTableId"]]}
    ]
    with pytest.raises(Retryable, match="no active peering between corp"):
        sides.check("clients-reach-new-side")
    peering = sides.peer(new["vpcId"], corp)
    with pytest.raises(Retryable, match=r"of corp have no active route to 10\.30\.0\.0/16"):
        sides.check("clients-reach-new-side")
    sides.ec2.create_route(
        RouteTableId=table["RouteTableId"], DestinationCidrBlock=new["cidr"], VpcPeeringConnectionId=peering
    )
    with pytest.raises(Permanent, match=r"corp 10\.50\.0\.0/16"):
        sides.check("clients-reach-new-side")
    sides.route("new", "10.50.0.0/16", VpcPeeringConnectionId=peering)
    assert sides.check("clients-reach-new-side").endswith(": corp")


def test_what_only_the_old_vpc_reaches_is_refused_with_its_way(sides: Sides) -> None:
    connected(sides)
    other = sides.ec2.create_vpc(CidrBlock="10.60.0.0/16")["Vpc"]["VpcId"]
    peering = sides.peer(sides.facts["old"]["vpcId"], other)
    sides.route("old", "10.60.0.0/16", VpcPeeringConnectionId=peering)
    with pytest.raises(Permanent, match=rf"reaches 10\.60\.0\.0/16 \(through {peering}\)"):
        sides.check("clients-reach-new-side")

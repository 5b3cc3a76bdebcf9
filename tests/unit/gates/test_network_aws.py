"""The gates of the network on real answers of AWS (moto's)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from moto import mock_aws

from migration.clients import Clients
from migration.contracts.gates import (
    ClientsReachNewSide,
    ConnectedRange,
    NetworksDisjoint,
    Question,
    ReachableBothWays,
    SideRef,
)
from migration.gates import Live, look
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent, Retryable

REGION = "eu-central-1"


@dataclass
class Sides:
    """An old and a new VPC, each with one route table, and a zone."""

    context: Context
    old: SideRef
    new: SideRef
    zone_id: str
    connected: tuple[ConnectedRange, ...] = ()

    @property
    def ec2(self) -> Any:
        return self.context.clients.aws.ec2

    def ask(self, question: Question) -> str:
        return look(question, Live("pet", self.context))

    def reachable(self) -> str:
        return self.ask(ReachableBothWays(old=self.old, new=self.new, zone_id=self.zone_id))

    def disjoint(self) -> str:
        return self.ask(
            NetworksDisjoint(
                old=self.old,
                new=self.new,
                pod_cidr="100.64.0.0/16",
                service_cidr="172.20.0.0/16",
                connected=self.connected,
            )
        )

    def clients_reach(self) -> str:
        return self.ask(ClientsReachNewSide(old=self.old, new=self.new, connected=self.connected))

    def route(self, side: SideRef, cidr: str, **target: str) -> None:
        self.ec2.create_route(RouteTableId=side.route_tables[0], DestinationCidrBlock=cidr, **target)

    def peer(self, one: str | None, other: str | None, *, dns: bool = True) -> str:
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

        def side(name: str, suffix: str, cidr: str) -> SideRef:
            vpc = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
            tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
            return SideRef(
                name=name,
                suffix=suffix,
                cidr=cidr,
                vpc_id=vpc,
                route_tables=tuple(table["RouteTableId"] for table in tables),
            )

        old, new = side("legacy", "", "10.10.0.0/16"), side("main", "-main", "10.30.0.0/16")
        zone = route53.create_hosted_zone(
            Name="pet.internal",
            CallerReference="1",
            VPC={"VPCRegion": REGION, "VPCId": old.vpc_id or ""},
            HostedZoneConfig={"PrivateZone": True},
        )["HostedZone"]["Id"]
        context = Context(log=lambda _: None, deadline=Deadline(5), clients=clients)
        yield Sides(context, old, new, zone.rsplit("/", 1)[-1])


def connected(sides: Sides) -> str:
    old, new = sides.old, sides.new
    peering = sides.peer(new.vpc_id, old.vpc_id)
    sides.route(sides.old, new.cidr, VpcPeeringConnectionId=peering)
    sides.route(sides.new, old.cidr, VpcPeeringConnectionId=peering)
    sides.context.clients.aws.route53.associate_vpc_with_hosted_zone(
        HostedZoneId=sides.zone_id, VPC={"VPCRegion": REGION, "VPCId": new.vpc_id or ""}
    )
    return peering


def test_two_sides_with_peering_routes_names_and_zone_reach_each_other(sides: Sides) -> None:
    peering = connected(sides)
    assert sides.reachable().startswith(f"{peering} is active, 2 route tables")


def test_a_missing_peering_route_or_zone_is_named(sides: Sides) -> None:
    with pytest.raises(Retryable, match="no active peering"):
        sides.reachable()
    old, new = sides.old, sides.new
    peering = sides.peer(new.vpc_id, old.vpc_id)
    with pytest.raises(Retryable, match=r"of legacy have no active route to 10\.30\.0\.0/16"):
        sides.reachable()
    sides.route(sides.old, new.cidr, VpcPeeringConnectionId=peering)
    with pytest.raises(Retryable, match=r"of main have no active route to 10\.10\.0\.0/16"):
        sides.reachable()
    sides.route(sides.new, old.cidr, VpcPeeringConnectionId=peering)
    with pytest.raises(Retryable, match=f"isn't associated with {new.vpc_id}"):
        sides.reachable()


def test_a_secondary_range_of_the_other_side_needs_its_route_too(sides: Sides) -> None:
    connected(sides)
    sides.ec2.associate_vpc_cidr_block(VpcId=sides.old.vpc_id, CidrBlock="10.11.0.0/16")
    with pytest.raises(Retryable, match=r"no active route to 10\.11\.0\.0/16"):
        sides.reachable()


def test_disjoint_networks_pass_before_and_after_the_new_vpc_is_made(sides: Sides) -> None:
    assert "10.30.0.0/16" in sides.disjoint()
    connected(sides)
    assert "10.30.0.0/16" in sides.disjoint()
    # Made by this program and not there yet: known by its range alone.
    absent = SideRef(name="main", suffix="-main", cidr="10.30.0.0/16")
    assert "10.30.0.0/16" in replace(sides, new=absent).disjoint()


def test_a_side_that_this_program_made_is_found_by_its_tags(sides: Sides) -> None:
    peering = connected(sides)
    tags = [{"Key": "migration:cluster", "Value": "pet"}, {"Key": "migration:side", "Value": "main"}]
    vpc = [{"Key": "migration:role", "Value": "vpc"}]
    made = replace(sides, new=SideRef(name="main", suffix="-main", cidr="10.30.0.0/16"))
    with pytest.raises(Retryable, match="no VPC of side main yet"):
        made.reachable()
    sides.ec2.create_tags(Resources=[sides.new.vpc_id], Tags=[*tags, *vpc])
    sides.ec2.create_tags(Resources=[*sides.new.route_tables], Tags=tags)
    assert made.reachable().startswith(f"{peering} is active, 2 route tables")


def test_a_secondary_range_that_overlaps_is_refused(sides: Sides) -> None:
    sides.ec2.associate_vpc_cidr_block(VpcId=sides.old.vpc_id, CidrBlock="100.64.0.0/20")
    with pytest.raises(Permanent, match=r"side legacy 100\.64\.0\.0/20 and pods 100\.64\.0\.0/16"):
        sides.disjoint()


def test_a_route_of_the_old_side_into_the_new_range_is_refused(sides: Sides) -> None:
    gateway = sides.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    sides.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=sides.old.vpc_id)
    sides.route(sides.old, "10.28.0.0/14", GatewayId=gateway)
    with pytest.raises(Permanent, match=r"route 10\.28\.0\.0/14"):
        sides.disjoint()


def test_natively_routed_pods_are_refused(sides: Sides) -> None:
    gateway = sides.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    sides.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=sides.old.vpc_id)
    sides.route(sides.old, "100.64.3.0/24", GatewayId=gateway)
    with pytest.raises(Permanent, match="routed natively"):
        sides.disjoint()


def test_a_connected_network_must_reach_the_new_side_both_ways(sides: Sides) -> None:
    connected(sides)
    new = sides.new
    corp = sides.ec2.create_vpc(CidrBlock="10.50.0.0/16")["Vpc"]["VpcId"]
    table = sides.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [corp]}])["RouteTables"][0]
    sides.connected = (
        ConnectedRange(name="corp", cidr="10.50.0.0/16", vpc_id=corp, route_tables=(table["RouteTableId"],)),
    )
    with pytest.raises(Retryable, match="no active peering between corp"):
        sides.clients_reach()
    peering = sides.peer(new.vpc_id, corp)
    with pytest.raises(Retryable, match=r"of corp have no active route to 10\.30\.0\.0/16"):
        sides.clients_reach()
    sides.ec2.create_route(
        RouteTableId=table["RouteTableId"], DestinationCidrBlock=new.cidr, VpcPeeringConnectionId=peering
    )
    with pytest.raises(Permanent, match=r"corp 10\.50\.0\.0/16"):
        sides.clients_reach()
    sides.route(sides.new, "10.50.0.0/16", VpcPeeringConnectionId=peering)
    assert sides.clients_reach().endswith(": corp")


def test_what_only_the_old_vpc_reaches_is_refused_with_its_way(sides: Sides) -> None:
    connected(sides)
    other = sides.ec2.create_vpc(CidrBlock="10.60.0.0/16")["Vpc"]["VpcId"]
    peering = sides.peer(sides.old.vpc_id, other)
    sides.route(sides.old, "10.60.0.0/16", VpcPeeringConnectionId=peering)
    with pytest.raises(Permanent, match=rf"reaches 10\.60\.0\.0/16 \(through {peering}\)"):
        sides.clients_reach()

"""Both VPCs beside each other: what differs, what was accepted, what is read of AWS (moto's)."""

from __future__ import annotations

from typing import Any

import pytest

from migration.contracts.gates import NetworksAlike
from migration.contracts.parity import VpcFacts, VpcPlanned
from migration.parity.compare import compared, planned
from migration.parity.read import default_route, facts
from migration.runtime.deadline import Permanent
from migration.settings.model import Configuration, ManagedSide
from tests.samples import configuration
from tests.unit.gates.test_network_aws import REGION, Sides
from tests.unit.gates.test_network_aws import sides as sides

S3 = f"com.amazonaws.{REGION}.s3 (Gateway)"
ECR = f"com.amazonaws.{REGION}.ecr.api"
PLAIN = VpcFacts(
    dns_support=True,
    dns_hostnames=True,
    default_route=("none",),
    endpoints=(S3,),
    resolver_rules={},
    zones={"Z1": "pet.internal"},
    dhcp={},
)


def but(**changes: Any) -> VpcFacts:
    return PLAIN.model_copy(update=changes)


@pytest.mark.parametrize(
    ("old", "new", "key", "cure"),
    [
        (but(default_route=("NAT gateway",)), PLAIN, "default-route", "nat to per-zone"),
        (
            but(default_route=("tgw-1",)),
            but(default_route=("NAT gateway",)),
            "default-route",
            "attach the new VPC",
        ),
        (but(endpoints=(S3, f"{ECR} (Interface)")), PLAIN, f"endpoint:{ECR}", "endpoints"),
        (but(resolver_rules={"rslvr-rr-1": "corp"}), PLAIN, "resolver-rule:rslvr-rr-1", "resolverRules"),
        (but(zones={"Z1": "", "Z2": "db.internal"}), PLAIN, "private-zone:Z2", "the zone's account"),
        (but(dhcp={"domain-name": "corp.example"}), PLAIN, "dhcp-options", "dhcpOptions"),
        (PLAIN, but(dhcp={"domain-name": "corp.example"}), "dhcp-options", "dhcpOptions"),
        (PLAIN, but(dns_hostnames=False), "dns:enableDnsHostnames", "switch it on"),
    ],
)
def test_each_difference_is_named_with_its_cure(old: VpcFacts, new: VpcFacts, key: str, cure: str) -> None:
    seen = compared(old, new, made=True)
    assert [one.key for one in seen.differences] == [key]
    assert cure in seen.differences[0].cure
    accepted = compared(old, new, made=True, without=[key])
    assert (accepted.differences, [one.key for one in accepted.accepted]) == ((), [key])
    # What is accepted isn't called alike.
    assert len(accepted.alike) == 5


def test_more_in_the_new_vpc_is_no_difference() -> None:
    more = but(default_route=("NAT gateway",), endpoints=(S3, ECR), zones={"Z1": "", "Z9": ""})
    assert compared(PLAIN, more, made=True).differences == ()
    assert len(compared(PLAIN, more, made=True).alike) == 6


def side(**keys: Any) -> tuple[Configuration, ManagedSide]:
    values = configuration()
    values["sides"]["main"].update(keys)
    c = Configuration.model_validate(values)
    made = c.sides["main"]
    assert isinstance(made, ManagedSide)
    return c, made


def test_a_vpc_that_isnt_there_is_compared_as_it_will_be_made() -> None:
    old = but(
        default_route=("NAT gateway",),
        endpoints=(S3, f"{ECR} (Interface)"),
        resolver_rules={"rslvr-rr-1": "corp"},
        zones={"Z1": "", "Z2": ""},
        dhcp={"domain-name": "corp.example"},
    )
    assert len(compared(old, planned(VpcPlanned.of(*side(), REGION), old), made=False).differences) == 5
    every = side(
        nat="per-zone",
        endpoints=[{"service": ECR, "type": "Interface"}],
        resolverRules=["rslvr-rr-1"],
        privateZones=["Z2"],
        dhcpOptions="dopt-1",
    )
    assert compared(old, planned(VpcPlanned.of(*every, REGION), old), made=False).differences == ()


@pytest.mark.parametrize(
    ("route", "says"),
    [
        ({"NatGatewayId": "nat-1"}, "NAT gateway"),
        ({"TransitGatewayId": "tgw-1"}, "tgw-1"),
        ({"GatewayId": "igw-1"}, "internet gateway"),
        ({"GatewayId": "vpce-1"}, "firewall endpoint"),
        ({"NetworkInterfaceId": "eni-1"}, "eni-1"),
        ({"NatGatewayId": "nat-1", "State": "blackhole"}, "none"),
        ({}, "something unknown"),
    ],
)
def test_where_what_nothing_covers_leads(route: dict[str, str], says: str) -> None:
    own = {"Associations": [{"SubnetId": "subnet-1"}], "Routes": [{"DestinationCidrBlock": "0.0.0.0/0", **route}]}
    main = {"Associations": [{"Main": True}], "Routes": [{"DestinationCidrBlock": "10.0.0.0/8", "GatewayId": "local"}]}
    assert default_route([main, own], "subnet-1") == says
    assert default_route([main, own], "subnet-2") == "none"


def test_a_vpc_is_read_as_its_machines_find_it(sides: Sides) -> None:
    aws, vpc = sides.context.clients.aws, sides.old.vpc_id or ""
    subnet = sides.ec2.create_subnet(VpcId=vpc, CidrBlock="10.10.0.0/20")["Subnet"]["SubnetId"]
    gateway = sides.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    sides.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    sides.route(sides.old, "0.0.0.0/0", GatewayId=gateway)
    sides.ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.s3", VpcEndpointType="Gateway")
    options = sides.ec2.create_dhcp_options(
        DhcpConfigurations=[
            {"Key": "domain-name", "Values": ["corp.example"]},
            {"Key": "domain-name-servers", "Values": ["AmazonProvidedDNS"]},
        ]
    )["DhcpOptions"]["DhcpOptionsId"]
    sides.ec2.associate_dhcp_options(VpcId=vpc, DhcpOptionsId=options)
    rule = aws.route53resolver.create_resolver_rule(
        CreatorRequestId="1",
        RuleType="FORWARD",
        DomainName="corp.example",
        TargetIps=[{"Ip": "10.50.0.2", "Port": 53}],
        Name="corp",
    )["ResolverRule"]["Id"]
    aws.route53resolver.associate_resolver_rule(ResolverRuleId=rule, VPCId=vpc, Name="corp")
    seen = facts(aws, vpc, [subnet])
    assert seen.default_route == ("internet gateway",)
    assert seen.endpoints == (S3,)
    assert seen.resolver_rules == {rule: "corp"}
    assert seen.zones == {sides.zone_id: "pet.internal"}
    assert seen.dhcp == {"domain-name": "corp.example"}
    assert (seen.dns_support, seen.dns_hostnames) == (True, False)


def test_machines_dont_come_where_they_would_lose_something(sides: Sides) -> None:
    question = NetworksAlike(
        old=sides.old, new=sides.new, subnets=(), without=(), planned=VpcPlanned.of(*side(), REGION)
    )
    with pytest.raises(Permanent, match="no subnet of side main can be seen"):
        sides.ask(question)
    marks = {"migration:cluster": "pet", "migration:side": "main", "migration:role": "private-eu-central-1a"}
    subnet = sides.ec2.create_subnet(VpcId=sides.new.vpc_id, CidrBlock="10.30.0.0/20")["Subnet"]["SubnetId"]
    sides.ec2.create_tags(Resources=[subnet], Tags=[{"Key": key, "Value": value} for key, value in marks.items()])
    with pytest.raises(Permanent, match=rf"private-zone:{sides.zone_id} is pet\.internal in the old VPC and missing"):
        sides.ask(question)
    without = question.model_copy(update={"without": (f"private-zone:{sides.zone_id}",)})
    assert "accepted without: private-zone" in sides.ask(without)
    # Nothing of it is there: a stack that begins at 3 makes it in the same `up`.
    absent = without.model_copy(update={"new": sides.new.model_copy(update={"vpc_id": None})})
    assert sides.ask(absent).startswith("both VPCs will be alike")

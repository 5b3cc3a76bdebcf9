"""Quotas: each with AWS's default, each a setting, each refused as its service says it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.addresses import REGION
from lab.aws.world import WORLD
from lab.settings import LabSettings, SettingsError
from lab.strictness import QUOTAS, asked


def few(**quotas: int) -> None:
    WORLD.settings = LabSettings(quotas={name.replace("_", "-"): most for name, most in quotas.items()})


def rules(count: int) -> list[dict[str, Any]]:
    return [
        {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "127.10.0.0/16"}]}
        for port in range(1, count + 1)
    ]


def test_rules_of_a_group_by_direction(aws: Any, old: Any, refuses: Any) -> None:
    aws.ec2.authorize_security_group_ingress(GroupId=old.group, IpPermissions=rules(60))
    more = [{"IpProtocol": "tcp", "FromPort": 99, "ToPort": 99, "IpRanges": [{"CidrIp": "127.10.0.0/16"}]}]
    code = "RulesPerSecurityGroupLimitExceeded"
    refuses(
        code,
        "too_many_rules_in",
        lambda: aws.ec2.authorize_security_group_ingress(GroupId=old.group, IpPermissions=more),
    )
    few(rules_per_group=2)
    aws.ec2.authorize_security_group_egress(GroupId=old.group, IpPermissions=more)
    again = rules(1)
    refuses(
        code,
        "too_many_rules_out",
        lambda: aws.ec2.authorize_security_group_egress(GroupId=old.group, IpPermissions=again),
    )


def test_a_prefix_list_counts_as_its_greatest_size(aws: Any, old: Any, refuses: Any) -> None:
    made = aws.ec2.create_managed_prefix_list(PrefixListName="offices", MaxEntries=50, AddressFamily="IPv4")
    named = [{"PrefixListId": made["PrefixList"]["PrefixListId"]}]
    permission = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "PrefixListIds": named}]
    aws.ec2.authorize_security_group_ingress(GroupId=old.group, IpPermissions=permission)
    other = [{"IpProtocol": "tcp", "FromPort": 2, "ToPort": 2, "PrefixListIds": named}]
    few(rules_per_group=40)
    refuses(
        "RulesPerSecurityGroupLimitExceeded",
        "too_many_rules_in",
        lambda: aws.ec2.authorize_security_group_ingress(GroupId=old.group, IpPermissions=other),
    )


def test_groups_and_interfaces(aws: Any, old: Any, refuses: Any) -> None:
    made = [
        aws.ec2.create_security_group(GroupName=f"g{n}", Description="x", VpcId=old.vpc)["GroupId"] for n in range(6)
    ]
    make = aws.ec2.create_network_interface
    refuses(
        "SecurityGroupsPerInterfaceLimitExceeded",
        "too_many_groups_on_an_interface",
        lambda: make(SubnetId=old.subnets[0], Groups=made),
    )
    few(groups=3)
    names = iter("abc")
    refuses(
        "SecurityGroupLimitExceeded",
        "too_many_groups",
        lambda: aws.ec2.create_security_group(GroupName=next(names), Description="x", VpcId=old.vpc),
    )


def test_routes_tables_subnets_and_ranges(aws: Any, old: Any, peering: str, refuses: Any) -> None:
    table = aws.ec2.create_route_table(VpcId=old.vpc)["RouteTable"]["RouteTableId"]
    few(routes_per_table=1, tables_per_vpc=2, subnets_per_vpc=3, ranges_per_vpc=1)
    create = aws.ec2.create_route
    create(RouteTableId=table, DestinationCidrBlock="10.1.0.0/16", VpcPeeringConnectionId=peering)
    refuses(
        "RouteLimitExceeded",
        "too_many_routes",
        lambda: create(RouteTableId=table, DestinationCidrBlock="10.2.0.0/16", VpcPeeringConnectionId=peering),
    )
    refuses("RouteTableLimitExceeded", "too_many_tables", lambda: aws.ec2.create_route_table(VpcId=old.vpc))
    refuses(
        "SubnetLimitExceeded",
        "too_many_subnets",
        lambda: aws.ec2.create_subnet(VpcId=old.vpc, CidrBlock="127.10.9.0/24", AvailabilityZone=f"{REGION}a"),
    )
    refuses(
        "CidrLimitExceeded",
        "too_many_ranges",
        lambda: aws.ec2.associate_vpc_cidr_block(VpcId=old.vpc, CidrBlock="127.11.0.0/16"),
    )


def test_vpcs_peerings_gateways_and_addresses(aws: Any, old: Any, new: Any, refuses: Any) -> None:
    few(vpcs=3, peerings_per_vpc=0, internet_gateways=0, nat_gateways_per_zone=0, addresses=0)
    refuses("VpcLimitExceeded", "too_many_vpcs", lambda: aws.ec2.create_vpc(CidrBlock="127.50.0.0/16"))
    asked_for = aws.ec2.create_vpc_peering_connection(VpcId=new.vpc, PeerVpcId=old.vpc)["VpcPeeringConnection"]
    peering = asked_for["VpcPeeringConnectionId"]
    refuses(
        "VpcPeeringConnectionsPerVpcLimitExceeded",
        "too_many_peerings",
        lambda: aws.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering),
    )
    refuses("InternetGatewayLimitExceeded", "too_many_internet_gateways", aws.ec2.create_internet_gateway)
    refuses(
        "NatGatewayLimitExceeded",
        "too_many_nat_gateways",
        lambda: aws.ec2.create_nat_gateway(SubnetId=old.subnets[0], ConnectivityType="private"),
    )
    refuses("AddressLimitExceeded", "too_many_addresses", lambda: aws.ec2.allocate_address(Domain="vpc"))


def test_balancers_listeners_and_targets(aws: Any, old: Any, refuses: Any) -> None:
    balancer = old.new_balancer("one")
    targets = old.new_targets("one", TargetType="ip")
    few(network_balancers=1, target_groups=1, targets_per_group=1, listeners_per_balancer=0, auto_scaling_groups=0)
    old.new_balancer("one")  # the same again makes none
    refuses("TooManyLoadBalancers", "too_many_balancers", lambda: old.new_balancer("two"))
    refuses("TooManyTargetGroups", "too_many_target_groups", lambda: old.new_targets("two"))
    refuses("TooManyListeners", "too_many_listeners", lambda: old.listen(balancer, targets))
    two = [{"Id": "127.10.1.7", "Port": 1}, {"Id": "127.10.1.8", "Port": 1}]
    register: Callable[[], Any] = lambda: aws.elb.register_targets(TargetGroupArn=targets, Targets=two)  # noqa: E731
    refuses("TooManyTargets", "too_many_targets", register)
    refuses("LimitExceeded", "too_many_auto_scaling_groups", lambda: old.new_group("g", 0))


def test_processors_by_market(aws: Any, refuses: Any) -> None:
    few(standard_processors=4, standard_spot_processors=2)

    def run(kind: str, count: int = 1, **more: Any) -> None:
        aws.ec2.run_instances(ImageId="ami-12c6146b", InstanceType=kind, MinCount=count, MaxCount=count, **more)

    spot: dict[str, Any] = {"InstanceMarketOptions": {"MarketType": "spot"}}
    run("m5.large", 2)
    run("m5.large", **spot)
    refuses("VcpuLimitExceeded", "too_many_processors", lambda: run("m5a.large"))
    refuses("MaxSpotInstanceCountExceeded", "too_many_processors", lambda: run("c5.large", **spot))
    run("g4dn.xlarge")  # of another family
    told = aws.client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode="L-1216C47A")["Quota"]
    assert told["Value"] == 4.0


def test_service_quotas_say_what_counts(aws: Any) -> None:
    few(rules_per_group=17)
    quotas = aws.client("service-quotas")
    told = quotas.get_service_quota(ServiceCode="vpc", QuotaCode="L-0EA8095F")["Quota"]
    assert (told["QuotaName"], told["Value"]) == ("Inbound or outbound rules per security group", 17.0)
    assert quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-0263D0A3")["Quota"]["Value"] == 5.0
    assert quotas.get_service_quota(ServiceCode="vpc", QuotaCode="L-29B6F2EB")["Quota"]["Value"] == 50.0
    limits = aws.asg.describe_account_limits()
    assert limits["MaxNumberOfAutoScalingGroups"] == QUOTAS["auto-scaling-groups"]


def test_settings_come_from_the_environment(tmp_path: Any) -> None:
    found = LabSettings.load(tmp_path, {"LAB_QUOTAS": "rules-per-group=20, addresses=2", "LAB_THROTTLE": "0.05"})
    assert (found.quotas, found.throttle) == ({"rules-per-group": 20, "addresses": 2}, 0.05)
    with pytest.raises(SettingsError, match=r"LAB_QUOTAS=\{'rules': 1\}: .*rules: must be of rules-per-group"):
        LabSettings.load(tmp_path, {"LAB_QUOTAS": "rules=1"})
    with pytest.raises(SettingsError, match="LAB_QUOTAS='rules': must be NAME=NUMBER"):
        LabSettings.load(tmp_path, {"LAB_QUOTAS": "rules"})
    with pytest.raises(SettingsError, match="LAB_IAM='loose'"):
        LabSettings.load(tmp_path, {"LAB_IAM": "loose"})
    assert asked({}) == {}

"""The gate that knows what the old VPC's network has, on real answers of AWS (moto's)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from migration.contracts.gates import NetworksCarried
from migration.runtime.deadline import Permanent
from tests.unit.gates.test_network_aws import Sides
from tests.unit.gates.test_network_aws import sides as sides

VALUES: dict[str, Any] = {"subnets": (), "ipv6": "refuse", "new_cidr": "10.30.0.0/16", "ports": (6443,)}


def carried(sides: Sides, **more: Any) -> str:
    return sides.ask(NetworksCarried(**{**VALUES, "old": sides.old, **more}))


def test_a_vpc_whose_ranges_are_all_named_passes(sides: Sides) -> None:
    assert carried(sides).startswith("10.10.0.0/16 of vpc-")
    sides.ec2.associate_vpc_cidr_block(VpcId=sides.old.vpc_id, CidrBlock="10.11.0.0/16")
    named = sides.old.model_copy(update={"secondary_cidrs": ("10.11.0.0/16",)})
    assert carried(replace(sides, old=named)).startswith("10.10.0.0/16, 10.11.0.0/16 of vpc-")


def test_a_range_that_nobody_named_is_refused(sides: Sides) -> None:
    sides.ec2.associate_vpc_cidr_block(VpcId=sides.old.vpc_id, CidrBlock="10.11.0.0/16")
    with pytest.raises(Permanent, match=r"10\.11\.0\.0/16, which migration:sides\.legacy\.secondaryCidrs doesn't name"):
        carried(sides)
    wrong = sides.old.model_copy(update={"secondary_cidrs": ("10.11.0.0/16", "10.12.0.0/16")})
    with pytest.raises(Permanent, match=r"names the range 10\.12\.0\.0/16, which vpc-"):
        carried(replace(sides, old=wrong))


def test_machines_with_ipv6_addresses_are_refused_until_it_is_said_that_nothing_needs_them(sides: Sides) -> None:
    sides.ec2.associate_vpc_cidr_block(VpcId=sides.old.vpc_id, AmazonProvidedIpv6CidrBlock=True)
    [block] = sides.ec2.describe_vpcs(VpcIds=[sides.old.vpc_id])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"]
    # A range that no machine has an address of is only named.
    assert "(IPv6, not carried)" in carried(sides)
    cidr = block["Ipv6CidrBlock"].replace("/56", "/64")
    made = sides.ec2.create_subnet(VpcId=sides.old.vpc_id, CidrBlock="10.10.0.0/20", Ipv6CidrBlock=cidr)["Subnet"]
    sides.ec2.modify_subnet_attribute(SubnetId=made["SubnetId"], AssignIpv6AddressOnCreation={"Value": True})
    with pytest.raises(Permanent, match="set migration:ipv6 to leave"):
        carried(sides, subnets=(made["SubnetId"],))
    assert carried(sides, subnets=(made["SubnetId"],), ipv6="leave")


def test_an_acl_that_would_stop_the_other_side_is_refused_with_its_entry(sides: Sides) -> None:
    [acl] = sides.ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [sides.old.vpc_id]}])["NetworkAcls"]
    sides.ec2.create_network_acl_entry(
        NetworkAclId=acl["NetworkAclId"],
        RuleNumber=90,
        Protocol="-1",
        RuleAction="deny",
        Egress=True,
        CidrBlock="10.16.0.0/12",
    )
    with pytest.raises(Permanent, match=r"doesn't let TCP out to 10\.30\.0\.0/16 .* entry 90 denies 10\.16\.0\.0/12"):
        carried(sides)
    assert "every range is known" in carried(sides, new_cidr="10.32.0.0/16")

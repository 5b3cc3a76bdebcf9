"""What discovery finds of an account's networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from migration.discover import inventory


def test_every_range_is_found(fresh: Callable[[], Any]) -> None:
    legacy = fresh()
    ec2 = legacy.cloud.ec2
    corp = legacy.cloud.named("describe_vpcs", "Vpcs", "corp")["VpcId"]
    ec2.associate_vpc_cidr_block(VpcId=legacy.vpc, CidrBlock="127.9.0.0/16")
    ec2.associate_vpc_cidr_block(VpcId=corp, CidrBlock="127.49.0.0/16")
    found = legacy.discover()
    assert found["sides"]["legacy"]["secondaryCidrs"] == ["127.9.0.0/16"]
    [network] = found["connectedNetworks"]
    assert (network["cidr"], network["secondaryCidrs"]) == ("127.50.0.0/16", ["127.49.0.0/16"])


def test_rules_are_read_and_what_isnt_carried_is_said(fresh: Callable[[], Any]) -> None:
    legacy, said = fresh(), list[str]()
    ec2 = legacy.cloud.ec2
    nodes = legacy.discover()["sides"]["legacy"]["securityGroups"]["nodes"]
    listed = ec2.create_managed_prefix_list(PrefixListName="office", MaxEntries=2, AddressFamily="IPv4")
    office = listed["PrefixList"]["PrefixListId"]
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    ec2.authorize_security_group_ingress(
        GroupId=nodes,
        IpPermissions=[
            {**ssh, "PrefixListIds": [{"PrefixListId": office}]},
            {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}]},
        ],
    )
    rules = legacy.discover(log=said.append)["sides"]["main"]["rules"]
    ports = {"protocol": "tcp", "fromPort": 22, "toPort": 22}
    assert {"group": "nodes", "direction": "ingress", **ports, "prefixList": office} in rules
    assert {"group": "nodes", "direction": "egress", "cidr": "0.0.0.0/0"} in rules
    assert {"group": "nodes", "direction": "ingress", "role": "control-plane"} in rules
    own = {"protocol": "tcp", "fromPort": 30080, "toPort": 30080, "ownVpc": True}
    assert {"group": "nodes", "direction": "ingress", **own} in rules
    assert [line for line in said if "2001:db8::/32" in line] == [
        f"{nodes}: a rule for 2001:db8::/32 isn't carried: the new VPC has no IPv6"
    ]


def test_what_the_old_vpc_offers_is_found(fresh: Callable[[], Any]) -> None:
    legacy = fresh()
    ec2, plain = legacy.cloud.ec2, legacy.discover()["sides"]["main"]
    assert plain["nat"] == "none"
    assert not {"endpoints", "dhcpOptions", "resolverRules", "privateZones"} & set(plain)
    service = "com.amazonaws.eu-central-1.ecr.api"
    subnet = legacy.discover()["sides"]["legacy"]["zones"]["eu-central-1a"]["private"]
    ec2.create_vpc_endpoint(VpcId=legacy.vpc, ServiceName=service, VpcEndpointType="Interface", SubnetIds=[subnet])
    options = ec2.create_dhcp_options(DhcpConfigurations=[{"Key": "domain-name", "Values": ["corp.example"]}])
    ec2.associate_dhcp_options(VpcId=legacy.vpc, DhcpOptionsId=options["DhcpOptions"]["DhcpOptionsId"])
    found = legacy.discover()["sides"]["main"]
    assert [(one["service"], one["type"]) for one in found["endpoints"]] == [(service, "Interface")]
    assert found["dhcpOptions"] == options["DhcpOptions"]["DhcpOptionsId"]


def test_interfaces_that_aws_made_for_somebody_are_kept_with_what_they_are_for(fresh: Callable[[], Any]) -> None:
    legacy = fresh()
    subnet = legacy.discover()["sides"]["legacy"]["zones"]["eu-central-1b"]["private"]
    made = {
        said: legacy.cloud.ec2.create_network_interface(SubnetId=subnet, Description=said)["NetworkInterface"]
        for said in ("EFS mount target for fs-0a1 (fsmt-0b2)", "Interface for NAT Gateway nat-1", "ELB net/x/1")
    }
    pages: Any = vars(inventory)["_pages"]

    def managed(client: Any, call: str, key: str, **how: Any) -> list[dict[str, Any]]:
        """moto knows no service that would make them."""
        found = pages(client, call, key, **how)
        ours = {one["NetworkInterfaceId"] for one in made.values()}
        return [{**one, "RequesterManaged": one.get("NetworkInterfaceId") in ours} for one in found]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inventory, "_pages", managed)
        kept = {one["id"]: one for one in legacy.discover()["keep"]}
    ids = {said: one["NetworkInterfaceId"] for said, one in made.items()}
    assert {said for said, id_ in ids.items() if id_ in kept} == {"EFS mount target for fs-0a1 (fsmt-0b2)"}
    assert kept[ids["EFS mount target for fs-0a1 (fsmt-0b2)"]]["owner"] == "EFS mount target for fs-0a1 (fsmt-0b2)"

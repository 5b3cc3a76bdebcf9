"""The gate that knows what the old VPC's network has, on real answers of AWS (moto's)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from migration.contracts.gates import BalancerRef, NetworksCarried
from migration.runtime.deadline import Permanent
from tests.samples import configuration, settings
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


class Tight:
    """An old VPC: machines and balancers in subnets of their own, each behind an ACL that knows today's networks."""

    def __init__(self, sides: Sides) -> None:
        self._sides, vpc = sides, sides.old.vpc_id
        self.machines, self.balancers = (
            sides.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)["Subnet"]["SubnetId"]
            for cidr in ("10.10.0.0/20", "10.10.16.0/20")
        )
        self.acls = {subnet: self._acl(subnet) for subnet in (self.machines, self.balancers)}
        elb: Any = sides.context.clients.aws.elbv2
        made = elb.create_load_balancer(Name="ingress", Type="network", Scheme="internal", Subnets=[self.balancers])
        arn = made["LoadBalancers"][0]["LoadBalancerArn"]
        self._old = sides.old.model_copy(update={"ingress": BalancerRef(arn=arn, dns_name="x", target_groups=())})

    def _acl(self, subnet: str) -> str:
        ec2, vpc = self._sides.ec2, self._sides.old.vpc_id
        acl = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
        for egress in (False, True):
            self.let(acl, 100, egress, "-1", "10.10.0.0/16")
            self.let(acl, 210, egress, "6", "0.0.0.0/0", (1024, 65535))
        inside = [{"Name": "association.subnet-id", "Values": [subnet]}]
        [before] = ec2.describe_network_acls(Filters=inside)["NetworkAcls"]
        [own] = [one for one in before["Associations"] if one["SubnetId"] == subnet]
        ec2.replace_network_acl_association(AssociationId=own["NetworkAclAssociationId"], NetworkAclId=acl)
        return acl

    def let(self, acl: str, number: int, egress: bool, protocol: str, cidr: str, ports: Any = None) -> None:
        self._sides.ec2.create_network_acl_entry(
            NetworkAclId=acl,
            RuleNumber=number,
            Protocol=protocol,
            RuleAction="allow",
            Egress=egress,
            CidrBlock=cidr,
            **({"PortRange": {"From": ports[0], "To": ports[1]}} if ports else {}),
        )

    def ask(self, **more: Any) -> str:
        return carried(replace(self._sides, old=self._old), subnets=(self.machines,), **more)


def test_an_acl_in_front_of_balancers_or_of_who_asks_them_is_refused_with_the_listeners_ports(sides: Sides) -> None:
    tight = Tight(sides)
    assert "every range is known" in tight.ask(listeners=(6443, 8080))
    with pytest.raises(Permanent) as refused:
        tight.ask(listeners=(80, 8080))
    machines, balancers = tight.acls[tight.machines], tight.acls[tight.balancers]
    assert f"{machines} doesn't let TCP out to 10.30.0.0/16 through to port 80: no entry" in str(refused.value)
    assert f"{balancers} doesn't let TCP in from 10.30.0.0/16 through to port 80: no entry" in str(refused.value)
    # Nobody asks for a listener in the machines' subnets, and no balancer asks the other side's machines.
    assert f"{machines} doesn't let TCP in" not in str(refused.value)
    assert f"{balancers} doesn't let TCP out" not in str(refused.value)
    for acl, egress in ((machines, True), (balancers, False)):
        tight.let(acl, 90, egress, "6", "10.30.0.0/16", (80, 80))
    assert "every range is known" in tight.ask(listeners=(80, 8080))


def test_an_acl_that_lets_no_udp_through_is_refused_where_something_is_asked_by_udp(sides: Sides) -> None:
    tight = Tight(sides)
    with pytest.raises(Permanent, match=r"doesn't let UDP in from 10\.30\.0\.0/16 through to port 30053"):
        tight.ask(udp_ports=(30053,), udp_listeners=(53,))


def test_every_port_of_the_configuration_is_asked_for() -> None:
    sample = configuration()
    sample["sides"]["legacy"]["loadBalancers"]["ingress"]["targetGroups"] *= 2
    groups = {"web": {"port": sample["ingress"]["nodePort"]}, "dns": {"port": 30053, "protocol": "UDP"}}
    listeners = [
        {"port": 80, "forward": [{"group": "web"}]},
        {"port": 53, "protocol": "UDP", "forward": [{"group": "dns"}]},
    ]
    said = {"listenerPort": 80, "balancer": {"groups": groups, "listeners": listeners}}
    asked = settings(0, sides=sample["sides"], ingress=sample["ingress"] | said)
    found = NetworksCarried.of(asked, asked.stage)
    c = asked.configuration
    assert {c.api.on_members, c.etcd.client_port, c.etcd.peer_port, 10250, c.ingress.node_port} <= set(found.ports)
    assert (found.udp_ports, found.udp_listeners) == ((30053,), (53,))
    assert {c.api.port, c.ingress.listener_port} <= set(found.listeners)

"""What discovery finds of an account's networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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

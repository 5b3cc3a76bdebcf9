"""Security groups besides the cluster's own, as discovery finds them."""

from __future__ import annotations

from typing import Any

from migration.discover.inventory import Group, Template
from migration.discover.more_groups import more_groups

OWN = {"nodes": "sg-n", "controlPlane": "sg-c", "etcd": "sg-e"}
SCRAPE: dict[str, Any] = {
    "GroupId": "sg-1",
    "GroupName": "scrape.pet",
    "Description": "scraping",
    "Tags": [
        {"Key": key, "Value": value}
        for key, value in (("Name", "scrape"), ("Team", "shop"), ("aws:cloudformation:stack-name", "scrape"))
    ],
    "IpPermissions": [
        {
            "IpProtocol": "tcp",
            "FromPort": 9100,
            "ToPort": 9100,
            "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "corp"}],
            "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}],
            "UserIdGroupPairs": [{"GroupId": "sg-1"}, {"GroupId": "sg-e"}, {"GroupId": "sg-x"}],
        }
    ],
    "IpPermissionsEgress": [{"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": "pl-1"}]}],
}


def group(name: str, *groups: str) -> Group:
    data: dict[str, Any] = {"NetworkInterfaces": [{"DeviceIndex": 0, "Groups": list(groups)}]}
    template = Template(id="lt", name="lt", data=data, tags={})
    return Group(name=name, template=template, subnets=(), target_groups=(), tags={}, instances=(), spot=False)


def found(*, log: list[str]) -> list[dict[str, Any]]:
    inventory: Any = type("Inventory", (), {"cluster": "pet", "security_groups": (SCRAPE,)})()
    workers = [group("a.pet", "sg-n", "sg-1"), group("b.pet", "sg-n")]
    return more_groups(inventory, workers, [group("m.pet", "sg-c")], OWN, log.append)


def test_more_groups_of_machines_are_found_with_their_rules() -> None:
    log: list[str] = []
    tcp = {"direction": "ingress", "protocol": "tcp", "fromPort": 9100, "toPort": 9100}
    assert found(log=log) == [
        {
            "name": "scrape",
            "id": "sg-1",
            "description": "scraping",
            "tags": {"Team": "shop"},
            "pools": ["a"],
            "rules": [
                {**tcp, "cidr": "10.0.0.0/8", "description": "corp"},
                {**tcp, "group": "scrape"},
                {**tcp, "group": "controlPlane"},
                {**tcp, "group": "sg-x"},
                {"direction": "egress", "prefixList": "pl-1"},
            ],
        }
    ]
    assert log == [
        "security group scrape (sg-1): rules for 2001:db8::/32 aren't carried: the new side has no IPv6 addresses"
    ]


def test_where_machines_have_no_other_group_there_is_none() -> None:
    inventory: Any = type("Inventory", (), {"cluster": "pet", "security_groups": (SCRAPE,)})()
    assert more_groups(inventory, [group("a.pet", "sg-n")], [group("m.pet", "sg-c")], OWN, print) == []

"""What the old security groups allow, in the words of the configuration (`sides.<new>.rules`). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from ipaddress import IPv4Network
from typing import Any

from migration.clients.documents import Document, listed
from migration.discover.inventory import Inventory
from migration.reachability import vpc_cidrs
from migration.settings.model import Role


def of_groups(inventory: Inventory, groups: Mapping[Role, str], log: Callable[[str], None]) -> list[dict[str, Any]]:
    """The rules of the groups by role. What can't be carried (IPv6) is said to `log`.

    What leads out to groups or into the VPC itself is left out: new groups let that out anyway.
    """
    roles: dict[str, Role] = {}
    for role, id_ in groups.items():
        roles.setdefault(id_, role)
    found: list[dict[str, Any]] = []
    for id_, role in roles.items():
        [group] = [one for one in inventory.security_groups if one["GroupId"] == id_] or [{}]
        for direction, key in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
            for permission in listed(group, key):
                for peer in _peers(inventory, permission, roles, direction, partial(_say, log, id_)):
                    rule = {"group": role, "direction": direction, **_ports(permission), **peer}
                    if rule not in found:
                        found.append(rule)
    return found


def _say(log: Callable[[str], None], group: str, said: str) -> None:
    log(f"{group}: {said}")


def _ports(permission: Document) -> dict[str, Any]:
    protocol = str(permission["IpProtocol"])
    if protocol == "-1":
        return {}
    ports = {
        key: permission[name] for key, name in (("fromPort", "FromPort"), ("toPort", "ToPort")) if name in permission
    }
    return {"protocol": protocol, **ports}


def _peers(
    inventory: Inventory,
    permission: Document,
    roles: Mapping[str, Role],
    direction: str,
    log: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    own = [IPv4Network(one) for one in vpc_cidrs(inventory.vpc)]
    for block in listed(permission, "IpRanges"):
        inside = any(IPv4Network(block["CidrIp"]).subnet_of(one) for one in own)
        if not inside:
            yield {"cidr": block["CidrIp"]}
        elif direction == "ingress":
            yield {"ownVpc": True}
    for prefixes in listed(permission, "PrefixListIds"):
        yield {"prefixList": prefixes["PrefixListId"]}
    for block in listed(permission, "Ipv6Ranges"):
        log(f"a rule for {block['CidrIpv6']} isn't carried: the new VPC has no IPv6")
    for pair in listed(permission, "UserIdGroupPairs") if direction == "ingress" else ():
        if pair["GroupId"] in roles:
            yield {"role": roles[pair["GroupId"]]}
        else:
            where = {"vpcId": pair["VpcId"]} if pair.get("VpcId") else {}
            yield {"securityGroup": pair["GroupId"], **where}

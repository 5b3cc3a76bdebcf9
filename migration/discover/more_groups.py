"""Security groups that machines are in besides the nodes' and the control plane's, with their rules. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from migration.clients.documents import Document, listed
from migration.discover.groups import short_name
from migration.discover.inventory import Group, Inventory
from migration.discover.tags import tags_of


def more_groups(
    inventory: Inventory,
    workers: Iterable[Group],
    others: Iterable[Group],
    own: Mapping[str, str],
    log: Callable[[str], None],
) -> list[dict[str, Any]]:
    """`securityGroups` of the configuration. `own`: ids of the cluster's own groups, by the names that rules have.

    What isn't carried (rules for IPv6) is said to `log`.
    """
    pools: dict[str, list[str]] = {}
    for group in workers:
        for one in group.template.security_groups:
            pools.setdefault(one, []).append(short_name(group.name, inventory.cluster))
    masters = {one for group in others for one in group.template.security_groups}
    known = set(own.values())
    wanted = sorted(({*pools} | masters) - known)
    described = {one["GroupId"]: one for one in inventory.security_groups}
    # On the new side etcd's machines are in the control plane's group, wherever they are here.
    names = {id_: "controlPlane" if name == "etcd" else name for name, id_ in own.items()}
    names |= {id_: short_name(described[id_]["GroupName"], inventory.cluster) for id_ in wanted if id_ in described}
    found: list[dict[str, Any]] = []
    for id_ in wanted:
        if id_ not in described:
            continue
        for sentence in _not_carried(described[id_]):
            log(f"security group {names[id_]} ({id_}): {sentence}")
        found.append(
            {
                "name": names[id_],
                "id": id_,
                "description": described[id_].get("Description", ""),
                **({"tags": tags} if (tags := _tags(described[id_])) else {}),
                **({"pools": sorted(pools[id_])} if id_ in pools else {}),
                **({"controlPlane": True} if id_ in masters else {}),
                "rules": list(_rules(described[id_], names)),
            }
        )
    return found


def _tags(group: Document) -> dict[str, str]:
    """What its owner has set: AWS's own can't be, and each new one gets a name of its own."""
    return {key: value for key, value in tags_of(group).items() if key != "Name" and not key.startswith("aws:")}


def _permissions(group: Document) -> Iterator[tuple[str, Document]]:
    for direction, key in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
        yield from ((direction, one) for one in listed(group, key))


def _rules(group: Document, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for direction, one in _permissions(group):
        ports = {} if one.get("FromPort") is None else {"fromPort": one["FromPort"], "toPort": one["ToPort"]}
        protocol = {} if one["IpProtocol"] == "-1" else {"protocol": one["IpProtocol"], **ports}
        sources: list[tuple[str, str, Document]] = [("cidr", each["CidrIp"], each) for each in listed(one, "IpRanges")]
        sources += [("prefixList", each["PrefixListId"], each) for each in listed(one, "PrefixListIds")]
        sources += [
            ("group", names.get(each["GroupId"], each["GroupId"]), each) for each in listed(one, "UserIdGroupPairs")
        ]
        for key, value, each in sources:
            told = {"description": each["Description"]} if each.get("Description") else {}
            yield {"direction": direction, **protocol, key: value, **told}


def _not_carried(group: Document) -> Iterator[str]:
    ranges = [each["CidrIpv6"] for _, one in _permissions(group) for each in listed(one, "Ipv6Ranges")]
    if ranges:
        yield f"rules for {', '.join(ranges)} aren't carried: the new side has no IPv6 addresses"

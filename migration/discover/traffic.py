"""The load balancers that clients use, and the names that lead to them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from migration.clients.documents import listed
from migration.discover.inventory import Group, Inventory, LoadBalancer
from migration.dns.ownership import plain_target
from migration.runtime.deadline import Permanent
from migration.settings.balancers import ServiceKeys


def serves(balancer: LoadBalancer, groups: Iterable[Group]) -> tuple[tuple[int, str], ...]:
    """The listeners of a balancer whose targets are machines of these groups (attached, or registered by hand)."""
    every = list(groups)
    attached = {arn for group in every for arn in group.target_groups}
    machines = {one[key] for group in every for one in group.instances for key in ("InstanceId", "PrivateIpAddress")}
    return tuple(
        (port, arn)
        for port, arn in balancer.listeners
        if arn in attached or machines & set(balancer.targets.get(arn, ()))
    )


def balancer_of(inventory: Inventory, groups: Iterable[Group], role: str) -> dict[str, Any]:
    """The balancer before a role's machines, as the configuration holds it.

    Raises `Permanent` when there is none, or several.
    """
    every = list(groups)
    found = {one.name: one for one in inventory.balancers if serves(one, every)}
    if len(found) != 1:
        seen = ", ".join(one.name for one in inventory.balancers) or "none"
        which = f"{len(found)} load balancers ({', '.join(found)})" if found else "no load balancer"
        more = " under one tag" if len(found) > 1 else ""
        raise Permanent(
            f"{which} of {inventory.vpc['VpcId']} send to the {role} machines of cluster "
            f"{inventory.cluster!r}{more}; there are: {seen}"
        )
    balancer = next(iter(found.values()))
    listeners = serves(balancer, every)
    return {
        "arn": balancer.arn,
        "dnsName": balancer.dns_name,
        "zoneId": balancer.zone_id,
        "port": listeners[0][0],
        "targetGroups": list(dict.fromkeys(arn for _, arn in listeners)),
    }


def ingress_service(services: Iterable[Mapping[str, Any]], port: int, wanted: str | None) -> Mapping[str, Any]:
    """The Service behind a NodePort; raises `Permanent` if none or another has it."""
    having = [one for one in services if any(entry.get("nodePort") == port for entry in listed(one, "spec", "ports"))]
    names = [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in having]
    if wanted is not None and wanted not in names:
        raise Permanent(
            f"the Service {wanted} has no NodePort {port}; Services that have it: {', '.join(names) or 'none'}"
        )
    if not having:
        raise Permanent(f"no Service has NodePort {port}, to which the ingress balancer sends; is this its cluster?")
    return having[names.index(wanted) if wanted is not None else 0]


def named_service(services: Iterable[Mapping[str, Any]], keys: ServiceKeys) -> Mapping[str, Any]:
    """The Service of that name, which is known to be there."""
    wanted = (keys.namespace, keys.service)
    return next(one for one in services if (one["metadata"]["namespace"], one["metadata"]["name"]) == wanted)


def _plain(name: str) -> str:
    """A record's name as people write it: Route 53 answers ``\\052`` for the asterisk."""
    return name.replace("\\052", "*").rstrip(".")


def _alias(target: Mapping[str, Any]) -> dict[str, Any]:
    """What the configuration holds of an alias, but for its name and what it serves."""
    evaluated = {"evaluateTargetHealth": True} if target.get("EvaluateTargetHealth") else {}
    return {"type": "alias", **evaluated, "value": str(target["DNSName"]).rstrip(".")}


def records(
    inventory: Inventory,
    balancers: Mapping[str, str],
    wanted_zone: str | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> tuple[str, list[dict[str, Any]]]:
    """The hosted zone and its names that lead to the balancers' DNS names, which are given by what a name serves.

    Raises `Permanent` when nothing leads to one of them. A record of another kind is logged: stage 0
    refuses it.
    """
    serves = {name.lower(): role for role, name in balancers.items()}
    found: dict[str, list[dict[str, Any]]] = {}
    for zone_id, zone, entries in inventory.zones:
        if wanted_zone is not None and wanted_zone.rstrip(".") not in (zone_id, zone):
            continue
        for entry in entries:
            name, alias = _plain(entry["Name"]), entry.get("AliasTarget", {}).get("DNSName", "")
            target = plain_target(alias)
            values = [one["Value"].rstrip(".") for one in entry.get("ResourceRecords", [])]
            cname = entry["Type"] == "CNAME" and len(values) == 1 and values[0].lower() in serves
            if not cname and target not in serves:
                continue
            if entry.get("SetIdentifier"):
                log(
                    f"must be put right before stage 0: {name} in zone {zone} has a policy of its own (set identifier "
                    f"{entry['SetIdentifier']}); make it a simple record"
                )
                continue
            if not cname and entry["Type"] != "A":
                log(
                    f"must be put right before stage 0: {name} in zone {zone} is an alias of type {entry['Type']} of "
                    f"{target}, which has IPv4 addresses only: it answers nothing, delete it"
                )
                continue
            record = {
                "name": name,
                "serves": serves[values[0].lower() if cname else target],
                **({"ttl": int(entry["TTL"]), "value": values[0]} if cname else _alias(entry["AliasTarget"])),
            }
            found.setdefault(zone_id, []).append(record)
    if not found:
        seen = ", ".join(f"{zone} ({zone_id})" for zone_id, zone, _ in inventory.zones) or "none"
        remedy = "clients must reach the balancers by a name that can be moved"
        raise Permanent(
            f"no CNAME or alias leads to {' or '.join(balancers.values())}; zones of this VPC: {seen}; {remedy}"
        )
    # The zone of the API's name comes first; the others' names say which is theirs.
    zone_id = min(found, key=lambda zone: (all(entry["serves"] != "api" for entry in found[zone]), zone))
    entries = [
        entry if zone == zone_id else {**entry, "zone": zone} for zone, records in found.items() for entry in records
    ]
    missing = sorted(balancers.keys() - {entry["serves"] for entry in entries})
    if missing:
        raise Permanent(
            f"no CNAME or alias leads to the {' and '.join(missing)} balancer "
            f"({', '.join(balancers[one] for one in missing)}): it can't be moved"
        )
    return zone_id, sorted(entries, key=lambda entry: (entry["serves"], entry["name"]))

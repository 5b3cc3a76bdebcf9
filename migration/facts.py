"""What gates are told: the settings as plain data. Ids of a side made here are found by tag (`migration.observe`).

A gate before a stage can't take ids from the stage's own resources: those wait for the gate.
"""

from __future__ import annotations

from typing import Any

from migration.names import physical_name
from migration.settings import Settings
from migration.settings.model import ReferencedSide


def side_facts(settings: Settings, name: str) -> dict[str, Any]:
    """One side as plain data; a side made here lacks the ids that `migration.observe.complete` adds."""
    c = settings.configuration
    side = c.sides[name]
    facts: dict[str, Any] = {
        "name": name,
        "kind": side.kind,
        "suffix": side.suffix,
        "cidr": side.cidr,
        "zones": sorted(side.zones),
        "workerGroups": [physical_name(pool.group, "", side.suffix) for pool in c.pools],
        "memberGroups": [physical_name(member.group, "", side.suffix) for member in c.members],
    }
    if isinstance(side, ReferencedSide):
        facts |= {
            "vpcId": side.vpc_id,
            "routeTables": list(side.route_tables),
            "nodeSecurityGroup": side.security_groups.nodes,
            "controlPlaneSecurityGroup": side.security_groups.control_plane,
            "ingress": side.load_balancers.ingress.model_dump(by_alias=True, mode="json"),
            "api": side.load_balancers.api.model_dump(by_alias=True, mode="json"),
        }
    return facts


def gate_facts(settings: Settings) -> dict[str, Any]:
    """Everything the gates of any stage need, as plain JSON-able data with the configuration's own key names."""
    c = settings.configuration
    data = c.model_dump(by_alias=True, mode="json")
    kept = [
        *("podCidr", "serviceCidr", "connectedNetworks", "operatorNetworks", "pools", "members", "ingress", "api"),
        *("etcd", "limits", "retire", "keep", "retainPeering", "drain", "controlPlaneRole", "workerRole"),
    ]
    return {
        "cluster": c.cluster,
        "old": side_facts(settings, c.from_),
        "new": side_facts(settings, c.to),
        "zoneId": c.traffic.zone_id,
        "records": data["traffic"]["records"],
        "ttl": c.traffic.ttl,
        "newTrafficPercent": c.traffic.new_traffic_percent,
        "allowTrafficOnOldBalancers": c.allow_traffic_on_old_balancers,
        "movedMembers": settings.moved_members,
        **{key: data[key] for key in kept},
    }

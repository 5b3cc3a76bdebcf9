"""A recording in words that don't depend on when and in which order things were made. Pure.

Two ways to the same world give other ids, and another lab gives others still. Here every object is called by what it
is for: its range, its name, its place. Two that are for the same are numbered, so a second one shows.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from migration.etcd.returning import RETURN_TAG
from rehearsal.world import World

Document = dict[str, Any]
OURS = "migration:"
"""Tags that say what an object is for begin so."""
TAGGED = "tagged"
"""The section that counts objects by those tags."""
_ONE_RETURNS = re.compile(r'\d{8}T\d{6}-[0-9a-f]{6}|(?<="over":")\d+')
"""What a member's return calls its version and volume, and the membership that it follows: others each time."""
KINDS = (
    "vpcs",
    "subnets",
    "security_groups",
    "route_tables",
    "peerings",
    "gateways",
    "groups",
    "templates",
    "volumes",
    "balancers",
    "target_groups",
)
"""Parts of a recording whose objects have tags."""


def plain(world: World) -> Document:
    """The recording with names in the place of ids; instances and parameters by how many and by name alone."""
    document = world.model_dump(mode="json")
    for kind in KINDS:
        for item in document[kind].values():
            if RETURN_TAG in item["tags"]:
                item["tags"][RETURN_TAG] = _ONE_RETURNS.sub("this return's", item["tags"][RETURN_TAG])
    tagged = dict(_tagged(document))
    document["instances"] = {
        group: dict(Counter(instances.values())) for group, instances in document["instances"].items()
    }
    # Keys and certificates are a lab's own, and the record says when.
    document["parameters"] = dict.fromkeys(document["parameters"], "present")
    return _renamed(document, _names(world)) | {TAGGED: tagged}


def _tagged(document: Document) -> Iterator[tuple[str, int]]:
    found: Counter[str] = Counter()
    for kind in KINDS:
        for item in document[kind].values():
            tags: Mapping[str, str] = item["tags"]
            if any(key.startswith(OURS) for key in tags):
                # The hold is a note on a group of somebody else's.
                said = (
                    f"{key}={value}" for key, value in sorted(tags.items()) if key.startswith(OURS) or key == "Name"
                )
                found[f"{kind.replace('_', ' ')} {' '.join(said)}"] += 1
    yield from sorted(found.items())


def _names(world: World) -> dict[str, str]:
    """A name for each id."""
    names: dict[str, str] = {}

    def call(id_: str, name: str) -> None:
        taken = set(names.values())
        number, called = 1, name
        while called in taken:
            number += 1
            called = f"{name} #{number}"
        names[id_] = called

    for id_, vpc in world.vpcs.items():
        call(id_, f"vpc {' '.join(vpc.cidrs)}")
    for id_, subnet in world.subnets.items():
        call(id_, f"subnet {subnet.cidr} {subnet.zone}")
    for id_, group in world.security_groups.items():
        call(id_, f"security group {group.name} of {names.get(group.vpc, group.vpc)}")
    for id_, table in world.route_tables.items():
        of = names.get(table.vpc, table.vpc)
        led = " ".join(sorted(names.get(subnet, subnet) for subnet in table.subnets))
        call(id_, f"route table {table.tags.get('Name', '')} of {of} for {led}")
    for id_, peering in world.peerings.items():
        call(id_, f"peering of {' and '.join(sorted(names.get(vpc, vpc) for vpc in peering.vpcs))}")
    for id_, gateway in world.gateways.items():
        of = " ".join(names.get(vpc, vpc) for vpc in gateway.vpcs)
        call(id_, f"{gateway.kind} {gateway.tags.get('Name', '')} of {of}")
    for table in world.route_tables.values():
        for destination, target in table.routes.items():
            # The provider's ranges: another lab's AWS has another id for them.
            if destination.startswith("pl-") and destination not in names:
                through = world.gateways.get(target.partition(" ")[0])
                call(destination, f"prefix list of {through.kind if through else 'nobody'}")
    for id_, template in world.templates.items():
        call(id_, f"template {template.name}")
    for id_, volume in world.volumes.items():
        # Members' volumes have one name, and whose is whose isn't in the order in which they were made.
        member = volume.tags.get(f"{OURS}member")
        call(id_, f"volume {volume.tags.get('Name', '')}{f' of {member}' if member else ''}")
    for name, balancer in world.balancers.items():
        call(balancer.arn, f"balancer {name}")
        # Its DNS name ends as its ARN does, and its interfaces' descriptions too.
        call(f"{name}-{balancer.arn.rpartition('/')[2]}", f"{name}'s own name")
        call(balancer.arn.partition(":loadbalancer/")[2] or balancer.arn, f"balancer {name} in short")
    for name, group in world.target_groups.items():
        call(group.arn, f"target group {name}")
    said = _sayer(names)
    for id_, interface in world.interfaces.items():
        call(id_, f"interface {said(interface.description)} in {names.get(interface.vpc, interface.vpc)}")
    return names


def _sayer(names: Mapping[str, str]) -> Callable[[str], str]:
    """What puts names in the place of a text's ids."""
    known = dict(names)
    if not known:
        return lambda text: text
    # The longest first: an id may be the beginning of another.
    pattern = re.compile("|".join(re.escape(id_) for id_ in sorted(known, key=len, reverse=True)))
    return lambda text: pattern.sub(lambda found: known[found[0]], text)


def _renamed(document: Document, names: Mapping[str, str]) -> Document:
    said = _sayer(names)

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {said(key): renamed(one) for key, one in value.items()}
        if isinstance(value, list):
            every = [renamed(one) for one in value]
            # Lists of ids are in their order.
            return sorted(every) if all(isinstance(one, str) for one in every) else every
        return said(value) if isinstance(value, str) else value

    return json.loads(json.dumps(renamed(document)))

"""What the end of the migration deletes (`retire`), and what it leaves alone (`keep`). Pure.

Only what the cluster's tags call its own is ever deleted, or what only its own groups use. Everything else in the
VPC is named under `keep`, with whoever answers for it, so that nothing is forgotten and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from migration.discover.groups import members
from migration.discover.inventory import Inventory
from migration.discover.tags import OWNER_KEYS, owned_by, owner_of, tags_of
from migration.settings.model import Strategy

Found = tuple[str, str, Mapping[str, str]]


def split(inventory: Inventory, strategy: Strategy = "learner") -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """`retire` and `keep` of the configuration. Members' volumes are left behind unless they move along."""
    cluster = inventory.cluster
    retire: list[Found] = []
    keep: list[Found] = [(other.type, other.id, other.tags) for other in inventory.others]
    for found in _candidates(inventory, strategy):
        (retire if owned_by(found[2], cluster) else keep).append(found)
    occupied = {other.subnet for other in inventory.others} - {""}
    for kind, id_, tags, free in _network(inventory, occupied):
        (retire if free and owned_by(tags, cluster) else keep).append((kind, id_, tags))
    return (
        [{"type": kind, "id": id_} for kind, id_, _ in _each_once(retire)],
        [
            {"type": kind, "id": id_} | ({"owner": owner} if (owner := owner_of(tags)) else {})
            for kind, id_, tags in _each_once(keep)
        ],
    )


def _each_once(found: list[Found]) -> list[Found]:
    return list({id_: (kind, id_, tags) for kind, id_, tags in found}.values())


def _candidates(inventory: Inventory, strategy: Strategy) -> Iterator[Found]:
    for group in inventory.groups:
        yield "autoscaling-group", group.name, group.tags
    for template in inventory.templates():
        # A template is tagged by few tools; one that only this cluster's groups use is the cluster's.
        users = [group.tags for group in inventory.groups if group.template.id == template.id]
        yield "launch-template", template.id, template.tags or users[0]
    behind: dict[str, Mapping[str, str]] = {}
    for balancer in inventory.balancers:
        yield "load-balancer", balancer.arn, balancer.tags
        behind |= {arn: balancer.tags for _, arn in balancer.listeners}
    for arn in sorted(inventory.target_groups):
        yield "target-group", arn, inventory.target_group_tags.get(arn) or behind.get(arn, {})
    for group in inventory.security_groups:
        if group["GroupName"] != "default":  # nobody can delete a VPC's default group
            yield "security-group", group["GroupId"], tags_of(group)
    own_disks = {
        mapping["Ebs"]["VolumeId"]
        for group in inventory.groups
        for machine in group.instances
        for mapping in machine.get("BlockDeviceMappings", [])
        if mapping["Ebs"].get("DeleteOnTermination")
    }
    left_behind = {member["volumeId"] for member in members(inventory)} if strategy == "learner" else set[str]()
    for volume in inventory.volumes:
        if volume["VolumeId"] in own_disks:
            continue  # goes with its machine
        # A volume belongs to a zone, not to a VPC: those of PersistentVolumes are the cluster's, too, and go on
        # holding its data on the new side. Only the old members' own are left behind, where they don't move along.
        yield "volume", volume["VolumeId"], tags_of(volume) if volume["VolumeId"] in left_behind else _kept(volume)


def _kept(volume: Mapping[str, Any]) -> dict[str, str]:
    """A volume's tags without those that call it the cluster's own: what isn't owned is kept."""
    tags = tags_of(volume)
    return {key: value for key, value in tags.items() if key in OWNER_KEYS}


def _network(inventory: Inventory, occupied: set[str]) -> Iterator[tuple[str, str, Mapping[str, str], bool]]:
    """The VPC's own parts, and whether each could go: not where something stays, and never the main table."""
    for subnet in inventory.subnets:
        yield "subnet", subnet["SubnetId"], tags_of(subnet), subnet["SubnetId"] not in occupied
    for table in inventory.route_tables:
        associations = table.get("Associations", [])
        main = any(one.get("Main") for one in associations)
        serves = {one.get("SubnetId") for one in associations} & occupied
        yield "route-table", table["RouteTableId"], tags_of(table), not (main or serves)
    for peering in inventory.peerings:
        yield "peering", peering["VpcPeeringConnectionId"], tags_of(peering), False
    yield "vpc", inventory.vpc["VpcId"], tags_of(inventory.vpc), False

"""Which groups are workers and which are members of the control plane. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from migration.clients.documents import Document, listed
from migration.discover import cloud_config
from migration.discover.inventory import Group, Inventory, profile_of
from migration.discover.tags import belongs_to, tags_of
from migration.layouts import separate_etcd
from migration.layouts.contract import Evidence, GroupSeen, Recognition
from migration.layouts.registry import recognise
from migration.runtime.deadline import Permanent

_NOT_COPIED = ("aws:", "migration:")


def evidence_of(inventory: Inventory) -> Evidence:
    """What an adapter is shown of the cluster."""
    return Evidence(groups=tuple(_seen(inventory, group) for group in inventory.groups))


def _seen(inventory: Inventory, group: Group) -> GroupSeen:
    asked = [inventory.running[one["InstanceId"]] for one in group.instances if one["InstanceId"] in inventory.running]
    return GroupSeen(
        name=group.name,
        tags=group.tags,
        user_data=group.template.user_data,
        running=tuple(line for lines in asked for line in lines) if asked else None,
    )


def control_plane_of(inventory: Inventory) -> Recognition:
    """The control plane's form, with its members; raises `Permanent` if none is recognised, or several are."""
    return recognise(evidence_of(inventory), inventory.layout)


def members_of(inventory: Inventory) -> list[Group]:
    """The control plane's groups; raises `Permanent` if there are none."""
    names = control_plane_of(inventory).members
    return [group for group in inventory.groups if group.name in names]


def servers_of(inventory: Inventory) -> list[Group]:
    """Groups of machines that serve the API, where those aren't the members'; else the members'."""
    names = control_plane_of(inventory).servers
    return [group for group in inventory.groups if group.name in names] or members_of(inventory)


def workers_of(inventory: Inventory) -> list[Group]:
    """Every other group of the cluster."""
    seen = control_plane_of(inventory)
    return [group for group in inventory.groups if group.name not in (*seen.members, *seen.servers)]


def zones_by_subnet(inventory: Inventory) -> dict[str, str]:
    """Subnet id to availability zone."""
    return {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in inventory.subnets}


def zones_of(inventory: Inventory, group: Group) -> list[str]:
    """The zones a group's subnets lie in, sorted."""
    where = zones_by_subnet(inventory)
    return sorted({where[subnet] for subnet in group.subnets if subnet in where})


def short_name(group: str, cluster: str) -> str:
    """A group's name without the cluster's: ``pet-nodes-a`` or ``nodes-a.pet`` → ``nodes-a``."""
    for separator in ("-", ".", "_"):
        group = group.removeprefix(cluster + separator).removesuffix(separator + cluster)
    return group


def pools(inventory: Inventory) -> list[dict[str, Any]]:
    """The `pools` of the configuration."""
    found: list[dict[str, Any]] = []
    for group in workers_of(inventory):
        kind = group.template.data.get("InstanceType") or next((one["InstanceType"] for one in group.instances), None)
        found.append(
            {
                "name": short_name(group.name, inventory.cluster),
                "group": group.name,
                "launchTemplate": group.template.id,
                # A group that says what its types must have, and has no machine, has none to show.
                **({"instanceType": kind} if kind is not None else {}),
                "market": "spot" if group.spot else "on-demand",
                "zones": zones_of(inventory, group),
                **_scaled(group),
            }
        )
    return found


def _scaled(group: Group) -> dict[str, Any]:
    """What a group is scaled by, where it is by anything; stage 0 names what isn't copied of it."""
    found = {"scaling": group.scaled.policies, "schedules": group.scaled.schedules}
    return {
        key: [one.model_dump(mode="json", by_alias=True, exclude_defaults=True) for one in several]
        for key, several in found.items()
        if several
    }


def members(inventory: Inventory) -> list[dict[str, Any]]:
    """The `members` of the configuration; raises `Permanent` for a group that isn't one running member."""
    found: list[dict[str, Any]] = []
    for group in members_of(inventory):
        if len(group.instances) != 1:
            raise Permanent(
                f"the control-plane group {group.name} has {len(group.instances)} running instances; a member is a "
                f"group of exactly one: repair it first"
            )
        instance = group.instances[0]
        volume = _etcd_volume(inventory, group, instance)
        name = (
            cloud_config.member_name(group.template.user_data)
            or separate_etcd.member_name(group.template.user_data)
            or tags_of(instance).get("Name")
            or short_name(group.name, inventory.cluster)
        )
        found.append(
            {
                "name": name,
                "group": group.name,
                "launchTemplate": group.template.id,
                "zone": instance["Placement"]["AvailabilityZone"],
                "address": instance["PrivateIpAddress"],
                "volumeId": volume["VolumeId"],
                "volumeSize": volume["Size"],
                "volumeType": volume.get("VolumeType", "gp3"),
                **_found_by(inventory, volume, name),
            }
        )
    found.sort(key=lambda member: (member["zone"], member["name"]))
    _with_servers(inventory, found)
    return found


def _found_by(inventory: Inventory, volume: Document, name: str) -> dict[str, Any]:
    """Tags by which an image may find a member's volume: all that it has, but for names and this program's own."""
    if not control_plane_of(inventory).servers:
        return {}
    own = {key: value for key, value in tags_of(volume).items() if key != "Name" and not key.startswith(_NOT_COPIED)}
    return {"volumeTags": {key: "{member}" if value == name else value for key, value in sorted(own.items())}}


def _with_servers(inventory: Inventory, found: list[dict[str, Any]]) -> None:
    """Each API machine moves with a member of its zone, or else with the one that has the fewest."""
    if not control_plane_of(inventory).servers:
        return
    for group in sorted(servers_of(inventory), key=lambda one: one.name):
        if len(group.instances) != 1:
            raise Permanent(
                f"the group {group.name} of API servers has {len(group.instances)} running instances; one that moves "
                f"with a member is a group of exactly one: repair it first"
            )
        zone = group.instances[0]["Placement"]["AvailabilityZone"]
        holder = min(found, key=lambda member: (member["zone"] != zone, len(member.get("apiServers", ()))))
        name = short_name(group.name, inventory.cluster)
        holder.setdefault("apiServers", []).append({"name": name, "group": group.name, "zone": zone})
    # The only API server can't be told, while it serves, that a member has left: its set goes first.
    found.sort(key=lambda member: "apiServers" not in member)


def _etcd_volume(inventory: Inventory, group: Group, instance: Document) -> Document:
    """The data volume attached to a member's machine: none of its own disks, and etcd's where there are several."""
    own_disks = {
        mapping["Ebs"]["VolumeId"]
        for mapping in listed(instance, "BlockDeviceMappings")
        if mapping["Ebs"].get("DeleteOnTermination")
    }
    attached = [
        volume
        for volume in inventory.volumes
        for one in listed(volume, "Attachments")
        if one["InstanceId"] == instance["InstanceId"] and volume["VolumeId"] not in own_disks
    ]
    named = [volume for volume in attached if belongs_to(tags_of(volume), inventory.cluster)] or attached
    if len(named) > 1:
        named = [one for one in named if any("etcd" in f"{k}={v}".lower() for k, v in tags_of(one).items())]
    if len(named) != 1:
        seen = ", ".join(volume["VolumeId"] for volume in attached) or "none"
        raise Permanent(
            f"the etcd volume of {group.name} ({instance['InstanceId']}) can't be told: attached data volumes are "
            f"{seen}; tag the one with etcd's data (for instance Name=etcd.…) as part of the cluster"
        )
    return named[0]


def security_group(inventory: Inventory, groups: Iterable[Group], role: str) -> str:
    """The security group that all machines of a role have; the cluster's own where there are several."""
    every = list(groups)
    counted = Counter(one for group in every for one in set(group.template.security_groups))
    common = [one for one, count in counted.items() if count == len(every)]
    if len(common) > 1:
        tagged = {one["GroupId"] for one in inventory.security_groups if belongs_to(tags_of(one), inventory.cluster)}
        common = [one for one in common if one in tagged] or common
    if not common:
        raise Permanent(f"the {role} groups of cluster {inventory.cluster!r} have no security group in common")
    return sorted(common)[0]


def role_name(inventory: Inventory, groups: Iterable[Group], role: str) -> str:
    """The IAM role of the machines of a role; raises `Permanent` when they have several, or none."""
    found = {inventory.roles.get(profile_of(group.template), "") for group in groups} - {""}
    if len(found) != 1:
        raise Permanent(
            f"the {role} groups of cluster {inventory.cluster!r} have {len(found)} IAM roles "
            f"({', '.join(sorted(found)) or 'none'}); this program expects one instance profile for all of them"
        )
    return found.pop()

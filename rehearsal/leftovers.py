"""What is still there and shouldn't be: objects of the old side that were to be retired, and orphaned processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.exceptions import ClientError

from rehearsal.recording import cloud_now
from rehearsal.world import Cloud

SIDE = "migration:side"


class Tagged(Protocol):
    """An object with tags."""

    @property
    def tags(self) -> Mapping[str, str]: ...


def left_in_aws(configuration: dict[str, Any], region: str) -> list[str]:
    """Objects found in the old VPC, or tagged as the cluster's, that neither are kept nor belong to the new side.

    `configuration` is the stack file's `migration:` keys without their prefix.
    """
    return left_of(cloud_now(region), configuration)


def left_of(cloud: Cloud, configuration: dict[str, Any]) -> list[str]:
    """The same of a recording. Pure."""
    side = configuration["sides"][configuration["from"]]
    if side["kind"] == "managed":
        return sorted(f"{kind} {id_}" for kind, id_ in _of_side(cloud, configuration["from"]))
    old = side["vpcId"]
    kept = {item["id"] for item in configuration.get("keep", [])}
    found = (*_in_vpc(cloud, old), *_by_tag(cloud, configuration["cluster"], old, configuration["to"]))
    return sorted(f"{kind} {id_}" for kind, id_ in found if id_ not in kept)


def _in_vpc(cloud: Cloud, vpc: str) -> Iterator[tuple[str, str]]:
    for instances in cloud.instances.values():
        yield from (("instance", id_) for id_, place in instances.items() if place == vpc)
    for id_, group in cloud.security_groups.items():
        if group.vpc == vpc and group.name != "default":  # AWS makes one with every VPC and lets nobody delete it
            yield "security-group", id_
    yield from (("network-interface", id_) for id_, one in cloud.interfaces.items() if one.vpc == vpc)
    for id_, table in cloud.route_tables.items():
        if table.vpc == vpc:
            yield from (("route", f"{id_} to {to}") for to, via in table.routes.items() if via.endswith("blackhole"))
    subnets = {id_ for id_, subnet in cloud.subnets.items() if subnet.vpc == vpc}
    yield from (("autoscaling-group", name) for name, group in cloud.groups.items() if subnets & set(group.subnets))
    yield from (("load-balancer", one.arn) for one in cloud.balancers.values() if one.vpc == vpc)
    yield from (("target-group", one.arn) for one in cloud.target_groups.values() if one.vpc == vpc)


def _of_side(cloud: Cloud, side: str) -> Iterator[tuple[str, str]]:
    """What the program made for a side and didn't delete with it; its machines, too."""
    tagged: tuple[tuple[str, Mapping[str, Tagged]], ...] = (
        ("vpc", cloud.vpcs),
        ("subnet", cloud.subnets),
        ("security-group", cloud.security_groups),
        ("route-table", cloud.route_tables),
        ("peering", {id_: one for id_, one in cloud.peerings.items() if one.state == "active"}),
        ("gateway", cloud.gateways),
        ("autoscaling-group", cloud.groups),
        ("launch-template", cloud.templates),
        ("volume", cloud.volumes),
        ("load-balancer", cloud.balancers),
        ("target-group", cloud.target_groups),
    )
    for kind, items in tagged:
        yield from ((kind, id_) for id_, one in items.items() if one.tags.get(SIDE) == side)


def _by_tag(cloud: Cloud, cluster: str, vpc: str, new: str) -> Iterator[tuple[str, str]]:
    for kind, items in (("volume", cloud.volumes), ("launch-template", cloud.templates)):
        for id_, item in items.items():
            if item.tags.get(f"kubernetes.io/cluster/{cluster}") == "owned" and item.tags.get(SIDE) != new:
                yield kind, id_
    for id_, peering in cloud.peerings.items():
        if vpc in peering.vpcs and peering.tags.get(SIDE) == new and peering.state == "active":
            yield "peering", id_


def orphaned_processes(lab_dir: Path, running: set[str]) -> list[str]:
    """Processes of this lab whose instance isn't among `running` instance ids."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            raw = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
        except OSError:  # ended meanwhile, or somebody else's
            continue
        values = dict(item.split(b"=", 1) for item in raw if b"=" in item)
        instance = values.get(b"LAB_INSTANCE", b"").decode()
        if instance and values.get(b"LAB_DIR", b"").decode() == str(lab_dir) and instance not in running:
            found.append(f"process {entry.name} ({Path(command).name}) of {instance}")
    return sorted(found)


def running_instances(region: str) -> set[str]:
    """Ids of all instances that AWS says are running or starting."""
    session: Any = boto3.Session(region_name=region)
    ec2 = session.client("ec2")
    states: list[Any] = [{"Name": "instance-state-name", "Values": ["running", "pending"]}]
    try:
        pages = ec2.get_paginator("describe_instances").paginate(Filters=states)
        return {i["InstanceId"] for page in pages for r in page["Reservations"] for i in r["Instances"]}
    except ClientError as error:
        raise RuntimeError(f"the lab's AWS doesn't list instances: {error}") from error

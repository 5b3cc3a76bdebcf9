"""The world of a swap with volumes that move: AWS's rules of attachments, and data that lies on a volume.

At every change it is looked whether what must never be is so: two writers on a volume's data, fewer voters than two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from migration.etcd.volume_swap import VolumeSwap
from tests.unit.etcd.world import TICKETS, Machine, World, of_group, swap, tags_of


@dataclass
class Disk:
    """One EBS volume; `holder` is an instance's id."""

    zone: str = "a"
    tags: dict[str, str] = field(default_factory=dict)
    holder: str | None = None
    device: str = "/dev/sdg"
    """By which name it has always been attached."""
    multi_attach: bool = False


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "AttachVolume")


@dataclass
class VolumeWorld(World):
    """`disks` by id; a machine's etcd runs with the data of the disk that it holds."""

    disks: dict[str, Disk] = field(default_factory=dict)
    lingers: bool = False
    """Whether a machine's end leaves its volume attached until it is asked to go."""
    ended: dict[str, str] = field(default_factory=dict)
    """Terminated instances' groups, by id."""
    limit: int = 28
    quick: bool = False
    """Whether a machine's own boot attaches its volume a moment before somebody else does."""
    starts: Callable[[Machine], bool] = lambda _: True
    """Whether a machine whose ticket has come starts its etcd."""

    def event(self, text: str) -> None:
        self.never()
        super().event(text)

    def never(self) -> None:
        """What must not be, at any moment."""
        running = [one for one in self.everyone if one.process is not None]
        folders = [one.data for one in running]
        assert len(folders) == len(set(folders)), f"two writers: {[one.id for one in running]}"
        assert len(running) >= 2, f"only {[one.id for one in running]} run"
        holders = [one.holder for one in self.disks.values() if one.holder]
        assert len(holders) == len(set(holders))
        for one in running:
            assert one.data is not None
            assert self.disks[one.data.name].holder == one.id, f"{one.id} writes where it has no volume"

    def machine(self, instance: str) -> Machine | None:
        return next((one for one in self.machines.values() if one.id == instance), None)

    # Volumes

    def described(self, volume: str) -> dict[str, Any]:
        disk = self.disks[volume]
        attached = [{"InstanceId": disk.holder, "State": "attached", "Device": disk.device}] if disk.holder else []
        return {
            "VolumeId": volume,
            "AvailabilityZone": disk.zone,
            "State": "in-use" if disk.holder else "available",
            "VolumeType": "io2" if disk.multi_attach else "gp3",
            "MultiAttachEnabled": disk.multi_attach,
            "Attachments": attached,
            "Tags": tags_of(disk.tags),
        }

    def describe_volumes(self, VolumeIds: list[str]) -> dict[str, Any]:
        return {"Volumes": [self.described(one) for one in VolumeIds]}

    def get_paginator(self, operation: str) -> Any:
        if operation != "describe_volumes":
            return super().get_paginator(operation)
        return type("Pages", (), {"paginate": lambda _, Filters: [{"Volumes": self.found(Filters)}]})()

    def found(self, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        def fits(disk: Disk) -> bool:
            for one in filters:
                [value] = one["Values"]
                name = one["Name"]
                if name == "attachment.instance-id":
                    ok = disk.holder == value
                elif name == "tag-key":
                    ok = value in disk.tags
                else:
                    ok = disk.tags.get(name.removeprefix("tag:")) == value
                if not ok:
                    return False
            return True

        return [self.described(id_) for id_, disk in self.disks.items() if fits(disk)]

    def describe_instances(self, InstanceIds: list[str]) -> dict[str, Any]:
        held = [id_ for id_, disk in self.disks.items() if disk.holder == InstanceIds[0]]
        mappings = [{"Ebs": {"VolumeId": "vol-root", "DeleteOnTermination": True}}]
        mappings += [{"Ebs": {"VolumeId": id_, "DeleteOnTermination": False}} for id_ in held]
        return {"Reservations": [{"Instances": [{"BlockDeviceMappings": mappings, "NetworkInterfaces": [{}]}]}]}

    def describe_instance_types(self, InstanceTypes: list[str]) -> dict[str, Any]:
        return {"InstanceTypes": [{"EbsInfo": {"MaximumEbsAttachments": self.limit, "AttachmentLimitType": "shared"}}]}

    def create_tags(self, Resources: list[str], Tags: list[dict[str, str]]) -> None:
        self.event("give volume")
        for one in Resources:
            self.disks[one].tags.update({tag["Key"]: tag["Value"] for tag in Tags})

    def attach_volume(self, VolumeId: str, InstanceId: str, Device: str) -> None:
        disk, here = self.disks[VolumeId], self.machine(InstanceId)
        assert not disk.holder, "a second attachment is asked for"
        assert Device == disk.device, "a boot would wait for the name that its machine knows"
        self.event("attach")
        if self.quick:
            assert here is not None
            disk.holder, here.data = InstanceId, self.folder / VolumeId
            raise refused("InvalidParameterValue")
        if disk.holder:
            raise refused("VolumeInUse")
        if here is None:
            raise refused("IncorrectState")
        if disk.zone != "a":
            raise refused("InvalidVolume.ZoneMismatch")
        disk.holder, here.data = InstanceId, self.folder / VolumeId

    def detach_volume(self, VolumeId: str, InstanceId: str) -> None:
        self.event("detach")
        assert self.machine(InstanceId) is None, "taken from a machine that runs"
        assert self.disks[VolumeId].holder == InstanceId
        self.disks[VolumeId].holder = None

    # Machines

    def instances_of_groups(self, groups: list[str], *, terminated: bool = False) -> Any:
        found = super().instances_of_groups(groups)
        if terminated:
            from migration.clients.aws import Instance

            found += [
                Instance(id=one, ip="", zone="a", vpc="vpc", group=group, state="terminated")
                for one, group in self.ended.items()
                if group in groups
            ]
        return found

    def update_auto_scaling_group(
        self, AutoScalingGroupName: str, LaunchTemplate: dict[str, str] | None = None, **size: int
    ) -> None:
        going = self.machines.get(AutoScalingGroupName)
        super().update_auto_scaling_group(AutoScalingGroupName, LaunchTemplate, **size)
        if LaunchTemplate is None and not size["DesiredCapacity"] and going is not None:
            self.ended[going.id] = AutoScalingGroupName
            for disk in self.disks.values():
                if disk.holder == going.id and not self.lingers:
                    disk.holder = None

    def put_parameter(self, Name: str, Value: str, **_: Any) -> None:
        self.event("ticket" if Name == "/ticket" else "ticket a")
        self.parameters[Name] = Value
        self.boot(next(one for one in self.machines.values() if one.name == TICKETS[Name]))

    def boot(self, machine: Machine) -> None:
        """As its boot does: the ticket is for this machine with its volume, whose data is there."""
        text = next((self.parameters.get(name) for name, whose in TICKETS.items() if whose == machine.name), None)
        said = json.loads(text or "{}")
        if said.get("instance") != machine.id or machine.process is not None or not self.starts(machine):
            return
        assert self.disks[said["volume"]].holder == machine.id
        assert machine.data is not None
        assert (machine.data / "member").is_dir()
        machine.start(said["initial_cluster"], said["state"])

    def send_command(self, InstanceIds: list[str], Parameters: dict[str, list[str]], **more: Any) -> dict[str, Any]:
        command, here = Parameters["commands"][0], self.machine(InstanceIds[0])
        if command not in ("systemctl stop etcd", "systemctl start etcd"):
            return super().send_command(InstanceIds, Parameters, **more)
        self.event(command)
        assert here is not None
        if command == "systemctl stop etcd":
            here.stop()
        else:
            here.start("", "existing")
        return {"Command": {"CommandId": "c"}}


def moving(
    world: World, log: Callable[[str], None] = lambda _: None, *, seconds: float = 60, back: bool = False
) -> VolumeSwap:
    """The move of member a to d's machine, or back."""
    found = swap(world, log, seconds=seconds, back=back, kind=VolumeSwap)
    assert isinstance(found, VolumeSwap)
    return found


def on_volumes(world: VolumeWorld, names: Iterable[str]) -> None:
    """The members' data lies on volumes, as a legacy cluster tags them."""
    for name in names:
        here = world.machines[f"group-{name}"]
        here.data = world.folder / f"vol-{name}"
        tags = {"KubernetesCluster": "test", "Name": f"etcd.{name}"}
        world.disks[f"vol-{name}"] = Disk(tags=tags, holder=here.id)


__all__ = ["Disk", "Machine", "Path", "VolumeWorld", "moving", "of_group", "on_volumes"]

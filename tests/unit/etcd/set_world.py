"""The world of a set's swap: etcd on machines of its own, API servers on others that are told etcd's members.

At every change it is looked whether what must never be is so: an API server that asks a member which has left, and too
few API servers behind the balancer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lab.legacy import userdata as legacy
from migration.contracts.members import ApiMachine, MemberForm, ServerPair
from migration.etcd.moving import Moving
from migration.etcd.swap import Swap
from tests.unit.etcd.volume_world import VolumeWorld
from tests.unit.etcd.world import CLIENT, NETWORK, Machine, World, swap

FORM = MemberForm(layout="separate-etcd")
SERVERS = "kube-scheduler kube-controller-manager kube-apiserver"
GROUPS = {"a": ("api-a",), "b": ("api-b",), "c": ("api-c",)}
"""By member, the API machines that move with it."""
NUMBERS = {"api-a": 11, "api-b": 12, "api-c": 13, "api-x": 14}


def url(number: int) -> str:
    return f"http://{NETWORK}.{number}:{CLIENT}"


@dataclass
class SetWorld(World):
    """`told` is what each API machine's server was started with, by its address."""

    told: dict[str, str] = field(default_factory=dict)
    least: int = 2
    """How many API servers are behind the new side's balancer at any time."""
    written: dict[str, str] = field(default_factory=dict)
    """What the file on an API machine says, by its address."""
    templates: dict[str, str] = field(default_factory=dict)
    sets: dict[str, Sequence[str]] = field(default_factory=lambda: dict(GROUPS))

    def event(self, text: str) -> None:
        assert len(self.targets["new"]) >= self.least, f"at {text!r}: only {self.targets['new']}"
        super().event(text)

    def nobody_asks(self, leaving: Machine) -> None:
        """What must be so before a member's etcd ends."""
        own = f"http://{leaving.ip}:{CLIENT}"
        for ip, told in self.serving().items():
            assert own not in told.split(","), f"{ip} asks {told}, and {leaving.name} is about to leave"

    def serving(self) -> dict[str, str]:
        here = {one.ip for one in self.machines.values()}
        return {ip: told for ip, told in self.told.items() if ip in here and ip not in self.stopped}

    # What a swap uses of `Aws`

    def _group(self, name: str) -> dict[str, Any]:
        template = {"LaunchTemplateId": f"lt-{name}", "Version": self.templates.get(name, "$Default")}
        return {**super()._group(name), "LaunchTemplate": template}

    def groups(self, names: list[str]) -> dict[str, Any]:
        return {name: self._group(name) for name in names if name.startswith("group-")}

    def put_parameter(self, Name: str, Value: str, **more: Any) -> None:
        said = json.loads(Value)
        if "etcd_servers" not in said:
            super().put_parameter(Name, Value, **more)
            return
        name = Name.split("/")[3]
        self.event(f"servers of {name}")
        self.parameters[Name] = Value
        here = self.machines.get(f"group-{name}")
        # Its boot has waited for it; one that runs isn't told by this.
        if here is not None and here.ip not in self.told:
            self.told_at_last(here)

    def delete_parameter(self, Name: str) -> None:
        if "/api-" in Name and Name in self.parameters:
            self.event(f"no servers of {Name.split('/')[3]}")
            del self.parameters[Name]
            return
        super().delete_parameter(Name)

    def told_at_last(self, here: Machine) -> None:
        text = self.parameters.get(f"/test/members/{here.name}/ticket")
        if text is not None:
            self.written[here.ip] = self.told[here.ip] = json.loads(text)["etcd_servers"]
            self.stopped.discard(here.ip)
            self.endpoints.add(here.ip)

    def update_auto_scaling_group(
        self, AutoScalingGroupName: str, LaunchTemplate: dict[str, str] | None = None, **size: int
    ) -> None:
        if LaunchTemplate is not None:
            self.event("template")
            self.templates[AutoScalingGroupName] = LaunchTemplate["Version"]
            return
        if not size["DesiredCapacity"] and AutoScalingGroupName in self.machines:
            self.nobody_asks(self.machines[AutoScalingGroupName])
        super().update_auto_scaling_group(AutoScalingGroupName, None, **size)
        if size["DesiredCapacity"] and AutoScalingGroupName.startswith("group-api-"):
            here = self.machines[AutoScalingGroupName]
            self.stopped.add(here.ip)
            self.told_at_last(here)

    def get_paginator(self, operation: str) -> Any:
        pages: Any = super().get_paginator(operation)
        if operation == "describe_volumes":
            return _Filtered(pages)
        return pages

    def send_command(self, InstanceIds: list[str], Parameters: dict[str, list[str]], **more: Any) -> dict[str, Any]:
        command = Parameters["commands"][0]
        here = next(one for one in self.machines.values() if one.id == InstanceIds[0])
        if command.startswith("cat /var/lib/member-boot/told"):
            return {"Command": {"CommandId": f"told {here.ip}"}}
        if command.startswith("# etcd's members"):
            self.event(f"tell {here.name}")
            assert here.ip not in self.targets["new"] | self.targets["old"], "restarted while clients are sent there"
            self.written[here.ip] = command.splitlines()[0].split(": ")[1]
            self.event(f"restart {here.name}")
            self.told[here.ip] = self.written[here.ip]
            return {"Command": {"CommandId": "c"}}
        if "member-boot/done" in command:
            # Nothing is started where the boot still waits.
            if here.ip not in self.told:
                return {"Command": {"CommandId": "c"}}
            Parameters = {"commands": [command.split("; fi; ")[1]]}
        if command.endswith(" etcd") and "start" not in command:
            self.nobody_asks(here)
        return super().send_command(InstanceIds, Parameters, **more)

    def get_command_invocation(self, CommandId: str, **more: Any) -> dict[str, str]:
        if CommandId.startswith("told "):
            return {"Status": "Success", "StandardOutputContent": self.told[CommandId.split()[1]]}
        return super().get_command_invocation(CommandId, **more)


@dataclass
class SetVolumeWorld(SetWorld, VolumeWorld):
    """The same with etcd's data on volumes that move."""

    least: int = 1

    def get_paginator(self, operation: str) -> Any:
        return VolumeWorld.get_paginator(self, operation)


class _Filtered:
    """Volumes by their tags."""

    def __init__(self, pages: Any) -> None:
        self._pages = pages

    def paginate(self, Filters: Sequence[dict[str, Any]] = (), **more: Any) -> list[dict[str, Any]]:
        wanted = {one["Name"].removeprefix("tag:"): one["Values"][0] for one in Filters if one["Name"] != "tag-key"}
        [page] = self._pages.paginate(**more)

        def fits(volume: dict[str, Any]) -> bool:
            tags = {tag["Key"]: tag["Value"] for tag in volume["Tags"]}
            return all(tags.get(key) == value for key, value in wanted.items())

        return [{"Volumes": [one for one in page["Volumes"] if fits(one)]}]


def set_servers(world: SetWorld) -> list[ServerPair]:
    """``api-a`` becomes ``api-a2``."""
    return [
        ServerPair(
            member=member,
            old=ApiMachine(name=name, group=f"group-{name}"),
            new=ApiMachine(name=f"{name}2", group=f"group-{name}2"),
        )
        for member, names in sorted(world.sets.items())
        for name in names
    ]


def set_swap(
    world: SetWorld,
    log: Callable[[str], None] = lambda _: None,
    *,
    seconds: float = 60,
    back: bool = False,
    kind: type[Moving] = Swap,
) -> Moving:
    """The swap of the first set, or its way back."""
    made = swap(world, log, seconds=seconds, back=back, kind=kind)
    place = made.place
    assert place is not None
    return replace(
        made,
        servers=set_servers(world),
        form=FORM,
        place=place.model_copy(update={"volume_tags": {"k8s.io/etcd/main": "{member}"}}),
    )


def settle(world: SetWorld) -> None:
    """API machines as the old tooling left them, and new ones that wait; told all members, their own zone's first."""
    own = {name: number for number, (_, names) in enumerate(sorted(world.sets.items()), 1) for name in names}
    for name, number in NUMBERS.items():
        if name not in own:
            continue
        machine = Machine(id=f"i-{name}", ip=f"{NETWORK}.{number}", name=name, folder=world.folder)
        world.machines[f"group-{name}"] = machine
        first = own[name]
        world.told[machine.ip] = ",".join(url(n) for n in (first, *(n for n in (1, 2, 3) if n != first)))
        waiting = Machine(id=f"i-{name}2", ip=f"{NETWORK}.{number + 10}", name=f"{name}2", folder=world.folder)
        world.machines[f"group-{name}2"] = waiting
        world.stopped.add(waiting.ip)
    there = [one for group, one in world.machines.items() if group.startswith("group-api-") and one.ip in world.told]
    world.targets = {"old": {one.id for one in there}, "new": {one.ip for one in there}}
    world.endpoints = {one.ip for one in there}
    etcd = legacy.etcd(cluster="test", member="a", initial_cluster=f"a=https://10.0.0.1:{CLIENT + 1}")
    world.versions = {"1": {"VersionNumber": 1, "LaunchTemplateData": {"UserData": _base64(etcd)}}}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


__all__ = ["SERVERS", "SetVolumeWorld", "SetWorld", "set_servers", "set_swap", "settle", "url"]

"""Real etcd processes on loopback, and the AWS and Kubernetes that a swap sees around them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from migration.clients.aws import Instance, Target
from migration.clients.etcd import Direct, Etcd
from migration.clients.kubernetes import ApiFailure
from migration.contracts.members import MemberPair, NewMember, OldMember, ReturnPlace
from migration.etcd.moving import Moving
from migration.etcd.swap import Swap
from migration.runtime.deadline import Deadline, Permanent
from migration.settings.model import Drilling

# Ports and a network of this process's own, so that two test runs on one machine don't meet (127.0.0.1 is shared).
CLIENT = 20_000 + 2 * (os.getpid() % 5_000)
PEER = CLIENT + 1
NETWORK = f"127.{150 + os.getpid() // 250 % 100}.{os.getpid() % 250}"


def etcd_binary() -> str:
    """The lab's etcd, or the one on PATH."""
    from lab.toolchain import tool_path

    found = shutil.which("etcd")
    return found or str(tool_path("etcd"))


@dataclass
class Machine:
    """One member's machine: its process and its data."""

    id: str
    ip: str
    name: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    generation: int = 0
    """Which of its group's machines it is: each has data of its own, as if on a blank volume."""
    host: str = ""
    """What its peer URL says instead of its address."""
    data: Path | None = None
    """Where its data is, if not on a volume of its own."""

    @property
    def peer_url(self) -> str:
        return f"http://{self.host or self.ip}:{PEER}"

    def start(self, initial: str, state: str) -> None:
        """Start etcd as a boot script would."""
        url, peer = f"http://{self.ip}:{CLIENT}", f"http://{self.ip}:{PEER}"
        if self.process is not None:
            return
        flags = {
            "name": self.name,
            "data-dir": str(self.data or self.folder / f"{self.name}-{self.generation}"),
            "initial-cluster": initial,
            "initial-cluster-state": state,
            "initial-cluster-token": "test",
            "initial-advertise-peer-urls": self.peer_url,
            "listen-peer-urls": peer,
            "advertise-client-urls": url,
            "listen-client-urls": url,
            "log-level": "error",
        }
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [etcd_binary(), *(f"--{key}={value}" for key, value in flags.items())], stdout=log, stderr=log
            )

    def stop(self) -> None:
        """End etcd."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=20)
            self.process = None


class Killed(BaseException):
    """The process ends here; nothing of it runs any more."""


class Missing(Exception):
    """A parameter or an invocation that isn't there."""


@dataclass
class World:
    """Groups of one machine, an API target group, parameters and commands; changes are in `events`, in order."""

    folder: Path
    machines: dict[str, Machine] = field(default_factory=dict)  # by group
    parameters: dict[str, str] = field(default_factory=dict)
    targets: dict[str, set[str]] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    endpoints: set[str] = field(default_factory=set)
    suspended: dict[str, set[str]] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    round_trip: float = 0.002
    joins: bool = True
    """Whether the new machine starts its etcd when its ticket comes."""
    before_event: Callable[[str], None] = lambda _: None
    volumes: dict[str, dict[str, str]] = field(default_factory=dict)
    """Tags by id."""
    attached: set[str] = field(default_factory=set)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of group-a's launch template."""
    template: str = "$Default"
    """The version that group-a launches."""
    kubernetes: dict[str, str] = field(default_factory=dict)
    """Versions of API servers by address, where they aren't 1.34.1."""
    stopped: set[str] = field(default_factory=set)
    """Addresses where no API server runs."""
    launched: int = 0
    everyone: list[Machine] = field(default_factory=list)
    region: str = "eu-central-1"

    def event(self, text: str) -> None:
        self.before_event(text)
        self.events.append(text)

    # What a swap uses of `Aws`

    def instances_of_groups(self, groups: list[str], *, terminated: bool = False) -> list[Instance]:
        return [
            Instance(id=one.id, ip=one.ip, zone="a", vpc="vpc", group=group, state="running")
            for group, one in self.machines.items()
            if group in groups
        ]

    def groups(self, names: list[str]) -> dict[str, Any]:
        known = {"group-a", "group-d", *self.machines, *self.tags}
        return {name: self._group(name) for name in names if name in known}

    def _group(self, name: str) -> dict[str, Any]:
        size = int(name in self.machines)
        return {
            "MinSize": size,
            "MaxSize": size,
            "DesiredCapacity": size,
            "SuspendedProcesses": [{"ProcessName": one} for one in sorted(self.suspended.get(name, ()))],
            "Tags": [{"Key": key, "Value": value} for key, value in self.tags.get(name, {}).items()],
            "LaunchTemplate": {"LaunchTemplateId": "lt-a", "Version": self.template},
        }

    def target_groups(self, arns: list[str]) -> list[dict[str, Any]]:
        return [{"VpcId": "vpc"} for _ in arns]

    def target_health(self, arn: str) -> list[Target]:
        return [Target(id=one, port=6443, zone="a", state="healthy") for one in sorted(self.targets[arn])]

    @property
    def aws(self) -> Any:
        return self

    ec2 = autoscaling = elbv2 = ssm = exceptions = property(lambda self: self)
    ParameterNotFound = InvocationDoesNotExist = Missing

    def describe_vpcs(self, VpcIds: list[str]) -> dict[str, Any]:
        return {"Vpcs": [{"CidrBlock": "127.0.0.0/8"}]}

    def get_parameter(self, Name: str) -> dict[str, Any]:
        if Name not in self.parameters:
            raise Missing(Name)
        return {"Parameter": {"Value": self.parameters[Name]}}

    def put_parameter(self, Name: str, Value: str, **_: Any) -> None:
        self.event("ticket")
        self.parameters[Name] = Value
        # The machine has waited for it.
        ticket = json.loads(Value)
        if self.joins:
            machine = next(one for one in self.machines.values() if one.name == TICKETS[Name])
            machine.start(ticket["initial_cluster"], ticket["state"])

    def delete_parameter(self, Name: str) -> None:
        if Name not in self.parameters:
            raise Missing(Name)
        self.event("ticket ends")
        del self.parameters[Name]

    def send_command(self, InstanceIds: list[str], Parameters: dict[str, list[str]], **_: Any) -> dict[str, Any]:
        command = Parameters["commands"][0]
        if command.startswith("python3"):
            return {"Command": {"CommandId": "python3"}}
        self.event(command.split(" --now ")[-1])
        machine = next(one for one in self.machines.values() if one.id == InstanceIds[0])
        if command.endswith("etcd"):
            machine.stop()
        if "kube-apiserver" in command and "disable" in command:
            self.endpoints.discard(machine.ip)
            self.stopped.add(machine.ip)
        elif "kube-apiserver" in command:
            self.stopped.discard(machine.ip)
        return {"Command": {"CommandId": "c"}}

    def get_command_invocation(self, CommandId: str, **_: Any) -> dict[str, str]:
        said = json.dumps({"status": 200, "text": "{}", "seconds": self.round_trip}) if CommandId == "python3" else ""
        return {"Status": "Success", "StandardOutputContent": said}

    def create_or_update_tags(self, Tags: list[dict[str, Any]]) -> None:
        self.event(keyed("note", Tags[0]["Key"]))
        for tag in Tags:
            self.tags.setdefault(tag["ResourceId"], {})[tag["Key"]] = tag["Value"]

    def delete_tags(self, Tags: list[dict[str, Any]], Resources: Iterable[str] = ()) -> None:
        for volume in Resources:
            self.event("release volume")
            del self.volumes[volume][Tags[0]["Key"]]
        if Resources:
            return
        self.event(keyed("forget", Tags[0]["Key"]))
        for tag in Tags:
            del self.tags[tag["ResourceId"]][tag["Key"]]

    def suspend_processes(self, AutoScalingGroupName: str, ScalingProcesses: list[str]) -> None:
        self.event(of_group("hold", AutoScalingGroupName))
        self.suspended.setdefault(AutoScalingGroupName, set()).update(ScalingProcesses)

    def resume_processes(self, AutoScalingGroupName: str, ScalingProcesses: list[str]) -> None:
        self.event(of_group("resume", AutoScalingGroupName))
        self.suspended.setdefault(AutoScalingGroupName, set()).difference_update(ScalingProcesses)

    def update_auto_scaling_group(
        self, AutoScalingGroupName: str, LaunchTemplate: dict[str, str] | None = None, **size: int
    ) -> None:
        if LaunchTemplate is not None:
            self.event("template")
            self.template = LaunchTemplate["Version"]
        elif size["DesiredCapacity"]:
            self.event(of_group("up", AutoScalingGroupName))
            assert "Launch" not in self.suspended.get(AutoScalingGroupName, ())
            self.launched += 1
            name, number = AutoScalingGroupName.removeprefix("group-"), 50 + self.launched
            here = Machine(f"i-{name}{number}", f"{NETWORK}.{number}", name, self.folder, generation=self.launched)
            self.machines[AutoScalingGroupName] = here
            self.everyone.append(here)
        else:
            self.event(of_group("away", AutoScalingGroupName))
            self.machines.pop(AutoScalingGroupName).stop()
            self.tags.setdefault(AutoScalingGroupName, {})

    def get_paginator(self, operation: str) -> Pages:
        return Pages(self, operation)

    def create_volume(self, TagSpecifications: list[dict[str, Any]], **_: Any) -> dict[str, str]:
        self.event("volume")
        id_ = f"vol-{len(self.volumes)}"
        self.volumes[id_] = {tag["Key"]: tag["Value"] for tag in TagSpecifications[0]["Tags"]}
        return {"VolumeId": id_}

    def create_launch_template_version(self, **asked: Any) -> dict[str, Any]:
        self.event("version")
        number = max(map(int, self.versions)) + 1
        self.versions[str(number)] = {
            "VersionNumber": number,
            "VersionDescription": asked["VersionDescription"],
            "LaunchTemplateData": asked["LaunchTemplateData"],
        }
        return {"LaunchTemplateVersion": {"VersionNumber": number}}

    def delete_launch_template_versions(self, Versions: list[str], **_: Any) -> dict[str, Any]:
        self.event("delete version")
        for version in Versions:
            del self.versions[version]
        return {"UnsuccessfullyDeletedLaunchTemplateVersions": []}

    def register_targets(self, TargetGroupArn: str, Targets: list[dict[str, Any]]) -> None:
        self.event("register" if TargetGroupArn == "new" else f"register {TargetGroupArn}")
        self.targets[TargetGroupArn] |= {one["Id"] for one in Targets}

    def deregister_targets(self, TargetGroupArn: str, Targets: list[dict[str, Any]]) -> None:
        self.event(f"deregister {TargetGroupArn}")
        self.targets[TargetGroupArn] -= {one["Id"] for one in Targets}

    # What a swap uses of `Kubernetes`

    def list(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return [{"endpoints": [{"addresses": sorted(self.endpoints)}]}]

    def at(self, server: str, **_: Any) -> Any:
        ready = not any(f"//{ip}:" in server for ip in self.stopped)
        version = next((text for ip, text in self.kubernetes.items() if f"//{ip}:" in server), "v1.34.1")
        return ReadyServer(server, ready=ready, version=version)

    def request(self, *_: Any, **__: Any) -> Any:
        return {"status": {"token": "t"}}


TICKETS = {"/ticket": "d", "/test/members/a/ticket": "a"}


def keyed(event: str, key: str) -> str:
    return event if key == "migration:swap" else f"{event} {key}"


def of_group(event: str, group: str) -> str:
    return event if group == "group-a" and event != "up" else f"{event} {group.removeprefix('group-')}"


@dataclass
class Pages:
    """Volumes and template versions, page by page."""

    world: World
    operation: str

    def attached(self, volume: str) -> dict[str, Any]:
        return {"Attachments": [{"InstanceId": "i-1"}]} if volume in self.world.attached else {}

    def paginate(self, Versions: Iterable[str] = (), **_: Any) -> list[dict[str, Any]]:
        if self.operation == "describe_volumes":
            volumes = self.world.volumes.items()
            return [
                {"Volumes": [{"VolumeId": one, "Tags": tags_of(tags), **self.attached(one)} for one, tags in volumes]}
            ]
        wanted = [("1" if one == "$Default" else one) for one in Versions] or list(self.world.versions)
        return [{"LaunchTemplateVersions": [self.world.versions[one] for one in wanted]}]


def tags_of(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


class ReadyServer:
    """An API server that is ready, if it is, and takes everything."""

    def __init__(self, server: str, *, ready: bool = True, version: str = "v1.34.1") -> None:
        self._ready = ready
        self.version = version
        self.config = type("Config", (), {"cluster": type("Cluster", (), {"server": server})()})()

    def at(self, server: str, **_: Any) -> ReadyServer:
        return ReadyServer(server)

    def request(self, _method: str, path: str, **_: Any) -> Any:
        if path == "/readyz" and not self._ready:
            raise ApiFailure(503, {}, path)
        if path == "/readyz":
            raise msgspec.DecodeError("ok")
        if path == "/version":
            return {"gitVersion": self.version}
        return {}


def plain_etcd(endpoints: Iterable[str]) -> Etcd:
    """A client without TLS."""
    return Etcd(endpoints, Direct(None))


def pairs(world: World, **first: str) -> list[MemberPair]:
    """The configuration: a, b and c, each with its new member; `first` says otherwise of a."""
    found: list[MemberPair] = []
    for name, number, new in (("a", 1, "d"), ("b", 2, "e"), ("c", 3, "f")):
        group = f"group-{name}"
        facts = {"name": name, "group": group, "address": f"{NETWORK}.{number}"}
        if group in world.machines:
            facts["address"] = world.machines[group].ip
        old = OldMember(**{**facts, **(first if name == "a" else {})})
        found.append(MemberPair(old=old, new=NewMember(name=new, group=f"group-{new}")))
    return found


def swap(
    world: World,
    log: Callable[[str], None] = lambda _: None,
    *,
    seconds: float = 60,
    back: bool = False,
    kind: type[Moving] = Swap,
    restore_drill: Drilling = "never",
    **first: str,
) -> Moving:
    """The swap of member a by member d, or back; `first` is what the configuration says of a.

    A drill is left out where it isn't the test's matter: this etcd holds no key that one could be known by.
    """
    anything: Any = world
    members = pairs(world, **first)
    old, new = members[0].old, members[0].new
    if back:
        old, new = OldMember(name=new.name, group=new.group), NewMember(name=old.name, group=old.group)
    return kind(
        cluster="test",
        old=old,
        new=new,
        members=members,
        back=back,
        place=ReturnPlace(zone="a", volume_size=20, volume_type="gp3", api_names=("api.pet",), tags={}),
        ticket_parameter="/test/members/a/ticket" if back else "/ticket",
        other_ticket="/ticket" if back else "/test/members/a/ticket",
        client_port=CLIENT,
        peer_port=PEER,
        api_port=6443,
        old_api_groups=["old"],
        new_api_group="new",
        snapshots=world.folder / "snapshots",
        restore_drill=restore_drill,
        aws=anything,
        kubernetes=anything,
        etcd=plain_etcd,
        deadline=Deadline(seconds),
        log=log,
        alive=lambda: None,
        scheme="http",
    )


def names(world: World) -> list[str]:
    """Who votes."""
    client = plain_etcd([f"http://{one.ip}:{CLIENT}" for one in world.machines.values()])
    try:
        return sorted(member.name for member in client.members() if not member.learner)
    finally:
        client.close()


def addresses(*numbers: int) -> set[str]:
    """Addresses of this process's network."""
    return {f"{NETWORK}.{number}" for number in numbers}


__all__ = [
    "CLIENT",
    "NETWORK",
    "PEER",
    "Killed",
    "Machine",
    "Permanent",
    "World",
    "addresses",
    "names",
    "pairs",
    "plain_etcd",
    "swap",
]

"""Members' machines replaced one at a time, on an etcd, an AWS and an API in memory: the order, and killed anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from migration.clients.aws import Instance, Target
from migration.clients.etcd import Member, Status
from migration.contracts.members import RolledMember
from migration.etcd import api_handover, machine, roll
from migration.etcd.roll import NOTE_TAG, MemberRoller
from migration.layouts.systemd import systemd_commands
from migration.runtime.deadline import Deadline, Permanent
from migration.settings.model import Units
from tests.unit.drain.world import Clock

NAMES = ("a", "b", "c")


@dataclass
class World:
    """Three members, each on a machine of a group of one. A group launches the next `sleep` after one ended."""

    version: str = "2"
    heals: bool = True
    machines: dict[str, Instance] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    listed_at: dict[str, str] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    not_adding: set[str] = field(default_factory=set)
    registered: set[str] = field(default_factory=set)
    leader: str = "1"
    learner: bool = False
    events: list[str] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    told: list[str] = field(default_factory=list)
    launched: int = 10

    def __post_init__(self) -> None:
        for number, name in enumerate(NAMES, 1):
            self._launch(name, f"10.0.0.{number}", "1")
            self.listed_at[str(number)] = f"10.0.0.{number}"
            self.tags[f"g-{name}"] = {}

    def _launch(self, name: str, ip: str, version: str) -> None:
        one = Instance(
            id=f"i-{name}-{ip}", ip=ip, zone="z", vpc="v", group=f"g-{name}", state="running", lifecycle="InService"
        )
        self.machines[name], self.versions[one.id] = one, version

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        for number, name in enumerate(NAMES, 1):
            if name not in self.machines:
                self.launched += 1
                self._launch(name, f"10.0.1.{self.launched}", self.version)
                if self.heals:
                    self.listed_at[str(number)] = self.machines[name].ip

    # AWS

    def groups(self, names: Sequence[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for group in names:
            one = self.machines.get(group.removeprefix("g-"))
            own = [
                {
                    "InstanceId": one.id,
                    "LifecycleState": "InService",
                    "LaunchTemplate": {"LaunchTemplateId": "lt", "Version": self.versions[one.id]},
                }
            ] if one else []  # fmt: skip
            if group in self.tags:
                found[group] = {
                    "AutoScalingGroupName": group,
                    "MinSize": 1,
                    "MaxSize": 1,
                    "DesiredCapacity": 1,
                    "LaunchTemplate": {"LaunchTemplateId": "lt", "Version": self.version},
                    "Instances": own,
                    "Tags": [{"Key": key, "Value": value} for key, value in self.tags[group].items()],
                }
        return found

    def instances_of_groups(self, names: Sequence[str]) -> list[Instance]:
        return [one for one in self.machines.values() if one.group in names]

    def target_health(self, arn: str) -> list[Target]:
        first = {f"i-{name}-10.0.0.{number}" for number, name in enumerate(NAMES, 1)}
        running = [one.id for one in self.machines.values() if one.id in first | self.registered]
        return [Target(id=one, port=6443, zone="z", state="healthy") for one in running]

    @property
    def autoscaling(self) -> Any:
        def tag(*, Tags: list[dict[str, Any]]) -> None:
            self.tags[Tags[0]["ResourceId"]][Tags[0]["Key"]] = Tags[0]["Value"]
            self.events.append(f"note {Tags[0]['ResourceId']}")

        def untag(*, Tags: list[dict[str, Any]]) -> None:
            del self.tags[Tags[0]["ResourceId"]][Tags[0]["Key"]]
            self.events.append(f"forget {Tags[0]['ResourceId']}")

        def terminate(*, InstanceId: str, ShouldDecrementDesiredCapacity: bool) -> None:
            assert not ShouldDecrementDesiredCapacity
            name = InstanceId.split("-")[1]
            assert self.stopped >= {InstanceId}, "etcd still runs there"
            assert f"g-{InstanceId.split('-')[1]}" in self.not_adding, "it would serve before it is ready"
            assert len(self.machines) == len(NAMES), "never two at a time"
            del self.machines[name]
            self.events.append(f"end {InstanceId}")

        def suspend(*, AutoScalingGroupName: str, ScalingProcesses: list[str]) -> None:
            assert ScalingProcesses == ["AddToLoadBalancer"]
            self.not_adding.add(AutoScalingGroupName)

        def resume(*, AutoScalingGroupName: str, ScalingProcesses: list[str]) -> None:
            assert ScalingProcesses == ["AddToLoadBalancer"]
            self.not_adding.discard(AutoScalingGroupName)

        return SimpleNamespace(
            create_or_update_tags=tag,
            delete_tags=untag,
            terminate_instance_in_auto_scaling_group=terminate,
            suspend_processes=suspend,
            resume_processes=resume,
        )

    # etcd, and how it is reached

    def etcd(self, machines: Sequence[Instance]) -> Any:
        members = [
            Member(
                id=one,
                name=NAMES[int(one) - 1],
                peer_urls=(f"https://{ip}:2380",),
                client_urls=(f"https://{ip}:2379",),
                learner=self.learner and one == "3",
            )
            for one, ip in self.listed_at.items()
        ]

        def status(at: str) -> Status:
            ip = at.removeprefix("https://").removesuffix(":2379")
            [one] = [member for member, own in self.listed_at.items() if own == ip]
            there = [item for item in self.machines.values() if item.ip == ip and item.id not in self.stopped]
            from migration.runtime.deadline import Retryable

            if not there:
                raise Retryable(f"nobody answers at {ip}")
            return Status(id=one, version="3.6.16", leader=self.leader, learner=False, term=1, raft_index=1, errors=())

        def transfer(at: str, to: str) -> None:
            self.events.append(f"lead {to}")
            self.leader = to

        return SimpleNamespace(
            members=lambda: members,
            status=status,
            transfer_leadership=transfer,
            close=lambda: None,
        )

    def keep_snapshot(self, on: Instance, endpoint: str, path: str) -> str:
        self.events.append(f"snapshot on {on.group}")
        return "99 bytes"

    def roller(self, alive: Callable[[], None] = lambda: None) -> MemberRoller:
        anything: Any = self
        return MemberRoller(
            cluster="pet",
            members=[RolledMember(name=name, group=f"g-{name}", template="lt", version=self.version) for name in NAMES],
            api_port=6443,
            instances_group="instances",
            addresses_group="addresses",
            aws=anything,
            kubernetes=anything,
            reach=anything,
            commands=systemd_commands(Units()),
            snapshots="/var/lib/etcd/snapshots",
            deadline=Deadline(60, self.clock, self.sleep),
            log=self.told.append,
            alive=alive,
        )


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests look at: preflight's own questions, the API's handover, commands on machines."""

    def stop(handover: api_handover.ApiHandover, old: Instance, serving: Callable[[], int]) -> None:
        world: Any = handover.aws
        assert serving() == 2
        world.events.append(f"api off {old.id}")

    def shell(aws: Any, instance: str, command: str, *_: Any) -> str:
        aws.stopped.add(instance)
        aws.events.append(f"etcd off {instance}")
        return ""

    def ready(aws: Any, address: str, *_: Any) -> bool:
        aws.events.append(f"api ready {address}")
        return True

    def healthy(etcd: Any, **_: Any) -> str:
        roll.healthy_voters(etcd, etcd.members())
        return "3 voters healthy"

    monkeypatch.setattr(roll, "preflight", healthy)
    monkeypatch.setattr(roll.ApiHandover, "stop_old", stop)
    monkeypatch.setattr(machine, "shell", shell)
    monkeypatch.setattr(roll, "verify_api_server", ready)

    def register(aws: Any, group: str, instance: str, port: int) -> None:
        assert f"api ready {instance.split('-')[2]}" in aws.events, "it serves before it is ready"
        aws.registered.add(instance)
        aws.events.append(f"serve {instance}")

    monkeypatch.setattr(roll.target_groups, "register_instance", register)
    monkeypatch.setattr(
        roll.target_groups, "register", lambda aws, group, ip, port: aws.events.append(f"register {ip}")
    )


def test_members_are_replaced_one_after_the_other_in_the_order_that_keeps_the_others_voting() -> None:
    world = World()
    assert world.roller().run() == ["a", "b", "c"]
    first = world.events[: world.events.index("forget g-a") + 1]
    assert first == [
        "snapshot on g-b",
        "note g-a",
        "lead 2",
        "api off i-a-10.0.0.1",
        "etcd off i-a-10.0.0.1",
        "end i-a-10.0.0.1",
        "api ready 10.0.1.11",
        "register 10.0.1.11",
        "serve i-a-10.0.1.11",
        "forget g-a",
    ]
    assert {world.versions[one.id] for one in world.machines.values()} == {"2"}
    assert any("a stops: 2 of 3 vote until its new machine is up; 0 more may fail" in line for line in world.told)


def test_what_is_of_its_version_is_left_alone() -> None:
    world = World(version="1")
    assert world.roller().run() == []
    assert world.events == []


def test_nothing_begins_while_a_voter_is_down_or_a_learner_is_there() -> None:
    for sick in ("down", "learner"):
        world = World()
        if sick == "down":
            world.stopped.add(world.machines["c"].id)
        else:
            world.learner = True
        with pytest.raises(Permanent, match=r"nobody answers at 10.0.0.3|etcd has a learner"):
            world.roller().run()
        assert not [event for event in world.events if not event.startswith("snapshot")]


def test_a_member_that_does_not_come_back_stops_it_before_the_next() -> None:
    world = World(heals=False)
    with pytest.raises(Permanent, match=r"a to be back in etcd.*still listed at https://10.0.0.1:2380"):
        world.roller().run()
    assert [event for event in world.events if event.startswith("end")] == ["end i-a-10.0.0.1"]
    assert NOTE_TAG in world.tags["g-a"]
    world.heals = True
    world.listed_at["1"] = world.machines["a"].ip
    assert world.roller().run() == ["a", "b", "c"]
    assert [event for event in world.events if event.startswith("end i-a")] == ["end i-a-10.0.0.1"]


def test_a_member_that_left_etcds_list_meanwhile_is_nobodys_guess() -> None:
    world = World()
    world.tags["g-a"][NOTE_TAG] = json.dumps({"member": "77", "machine": "i-gone"})
    with pytest.raises(Permanent, match=r"a \(77\) isn't in etcd's list any more"):
        world.roller().run()


def test_two_that_were_begun_with_are_a_question() -> None:
    world = World()
    for name in ("a", "b"):
        world.tags[f"g-{name}"][NOTE_TAG] = json.dumps({"member": "1", "machine": "i"})
    with pytest.raises(Permanent, match="groups g-a, g-b all say"):
        world.roller().run()
    assert world.events == []


def test_one_that_was_begun_with_goes_before_any_other() -> None:
    world = World()
    world.tags["g-b"][NOTE_TAG] = json.dumps({"member": "2", "machine": world.machines["b"].id})
    assert world.roller().run() == ["b", "a", "c"]


def test_killed_before_any_change_it_goes_on_and_each_machine_ends_once() -> None:
    for survived in range(60):
        world, looks = World(), 0

        def alive(survived: int = survived) -> None:
            nonlocal looks
            looks += 1
            if looks > survived:
                raise KeyboardInterrupt

        try:
            world.roller(alive).run()
        except KeyboardInterrupt:
            world.roller().run()
        ended = [event for event in world.events if event.startswith("end")]
        assert sorted(ended) == ["end i-a-10.0.0.1", "end i-b-10.0.0.2", "end i-c-10.0.0.3"], survived
        assert not any(world.tags.values()), survived
        assert world.not_adding == set(), survived


def test_a_group_that_is_not_there_is_named() -> None:
    world = World()
    del world.tags["g-c"]
    with pytest.raises(Permanent, match="groups g-c don't exist"):
        world.roller().run()

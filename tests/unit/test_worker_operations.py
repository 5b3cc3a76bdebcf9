"""Note, hold, scale and taint on an Auto Scaling in memory: what they change, give back and refuse."""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from migration.clients.aws import Instance
from migration.clients.kubernetes import NODES, PODS, Kind
from migration.contracts.launch import NetworkInterface
from migration.contracts.scaling import Attributes, Mixed, Override
from migration.contracts.workers import (
    AutoscalerHoldInputs,
    AutoscalerHoldResult,
    BlockDevice,
    Ebs,
    Group,
    GroupNoteInputs,
    GroupNoteResult,
    GroupSize,
    HeldBefore,
    InstanceProfile,
    Size,
    TaintInputs,
    TaintResult,
    Template,
    WorkerScaleInputs,
    WorkerScaleResult,
)
from migration.drain.nodes import TAINT
from migration.operations import hold, note, scale, taint
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent
from migration.workers.hold import PROCESSES, TAG, suspended
from tests.samples import COMMON
from tests.unit.drain.world import Clock


def group(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "AutoScalingGroupName": name,
        "MinSize": 1,
        "MaxSize": 5,
        "DesiredCapacity": 2,
        "SuspendedProcesses": [],
        "Tags": [],
        "Instances": [{"InstanceId": f"i-{name}{n}", "LifecycleState": "InService"} for n in range(2)],
        "LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "$Latest"},
        **changes,
    }


@dataclass
class World:
    """Groups, nodes and pods. Instances end one `sleep` after their group shrank."""

    described: dict[str, dict[str, Any]]
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: list[dict[str, Any]] = field(default_factory=list)
    by_node_only: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    told: list[str] = field(default_factory=list)
    templates: list[dict[str, Any]] | None = None
    activities: list[dict[str, Any]] = field(default_factory=list)
    hooks: list[dict[str, Any]] = field(default_factory=list)
    told_to: list[dict[str, Any]] = field(default_factory=list)

    def context(self) -> Context:
        clients: Any = SimpleNamespace(aws=self, kubernetes=self)
        return Context(log=self.told.append, deadline=Deadline(60, self.clock, self.sleep), clients=clients)

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        for item in self.described.values():
            item["Instances"] = item["Instances"][: item["DesiredCapacity"]]
            while len(item["Instances"]) < item["DesiredCapacity"]:
                number = len(item["Instances"])
                new = {"InstanceId": f"i-{item['AutoScalingGroupName']}{number}", "LifecycleState": "InService"}
                item["Instances"].append(new)

    def groups(self, names: Any) -> dict[str, dict[str, Any]]:
        return {name: self.described[name] for name in names if name in self.described}

    def instances_of_groups(self, names: Any) -> list[Instance]:
        return [
            Instance(id=item["InstanceId"], ip="", zone="", vpc="", group=name, state="running")
            for name in names
            if name in self.described
            for item in self.described[name]["Instances"]
        ]

    @property
    def autoscaling(self) -> Any:
        def update(*, AutoScalingGroupName: str, **changes: int) -> None:
            self.calls.append(("update", AutoScalingGroupName))
            self.described[AutoScalingGroupName].update(changes)

        def suspend(*, AutoScalingGroupName: str, ScalingProcesses: list[str]) -> None:
            self.calls.append(("suspend", ScalingProcesses))
            item = self.described[AutoScalingGroupName]
            item["SuspendedProcesses"] += [{"ProcessName": process} for process in ScalingProcesses]

        def resume(*, AutoScalingGroupName: str, ScalingProcesses: list[str]) -> None:
            self.calls.append(("resume", ScalingProcesses))
            item = self.described[AutoScalingGroupName]
            left = [p for p in item["SuspendedProcesses"] if p["ProcessName"] not in ScalingProcesses]
            item["SuspendedProcesses"] = left

        def tag(*, Tags: list[dict[str, Any]]) -> None:
            for one in Tags:
                self.calls.append(("tag", one["ResourceId"]))
                self.described[one["ResourceId"]]["Tags"].append(one)

        def untag(*, Tags: list[dict[str, Any]]) -> None:
            for one in Tags:
                self.calls.append(("untag", one["ResourceId"]))
                item = self.described[one["ResourceId"]]
                item["Tags"] = [kept for kept in item["Tags"] if kept["Key"] != one["Key"]]

        return SimpleNamespace(
            update_auto_scaling_group=update,
            suspend_processes=suspend,
            resume_processes=resume,
            create_or_update_tags=tag,
            delete_tags=untag,
            describe_scaling_activities=lambda **_: {"Activities": self.activities},
            describe_lifecycle_hooks=lambda **_: {"LifecycleHooks": self.hooks},
            describe_notification_configurations=lambda **_: {"NotificationConfigurations": self.told_to},
            set_instance_protection=lambda **changes: self.calls.append(("protection", changes["InstanceIds"])),
        )

    @property
    def ec2(self) -> Any:
        def versions(*, LaunchTemplateId: str, Versions: list[str]) -> dict[str, Any]:
            self.calls.append(("versions", (LaunchTemplateId, Versions[0])))
            data = {
                "ImageId": "ami-1",
                "UserData": base64.b64encode(b"#cloud-config").decode(),
                "IamInstanceProfile": {"Name": "worker"},
                "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 20}}],
                "NetworkInterfaces": [{"SubnetId": "subnet-1"}],
                "SecurityGroupIds": ["sg-1"],
            }
            found = [{"LaunchTemplateData": data}] if self.templates is None else self.templates
            return {"LaunchTemplateVersions": found}

        return SimpleNamespace(describe_launch_template_versions=versions)

    # Kubernetes.

    def list(self, kind: Kind, *, fields: str = "") -> list[dict[str, Any]]:
        if kind == PODS and fields:
            on = fields.removeprefix("spec.nodeName=")
            return [pod for pod in [*self.pods, *self.by_node_only] if pod["spec"]["nodeName"] == on]
        if kind == PODS:
            return self.pods
        assert kind == NODES
        return list(self.nodes.values())

    def get(self, kind: Kind, name: str) -> dict[str, Any]:
        return self.nodes[name]

    def patch(self, kind: Kind, name: str, body: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(("patch", name))
        self.nodes[name]["spec"].update(body["spec"])
        return self.nodes[name]

    def node(self, name: str, instance: str) -> None:
        metadata = {"name": name, "resourceVersion": "1"}
        status = {"conditions": [{"type": "Ready", "status": "True"}]}
        self.nodes[name] = {"metadata": metadata, "spec": {"providerID": f"aws:///z/{instance}"}, "status": status}

    def joins(self) -> None:
        """From now on each instance gets its node by the next `sleep`."""
        sleep = self.sleep

        def joining(seconds: float) -> None:
            sleep(seconds)
            known = {node["spec"]["providerID"].rsplit("/", 1)[-1] for node in self.nodes.values()}
            for item in self.described.values():
                for instance in item["Instances"]:
                    if instance["InstanceId"] not in known:
                        self.node(f"joined-{instance['InstanceId']}", instance["InstanceId"])

        self.sleep = joining

    def pod(self, name: str, node: str, *, owner: str = "ReplicaSet") -> None:
        reference = {"kind": owner, "name": "x", "uid": "x", "controller": True}
        metadata = {"namespace": "apps", "name": name, "uid": name, "ownerReferences": [reference]}
        self.pods.append({"metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": "Running"}})

    def unlisted(self) -> None:
        """EC2 lists no instance, though the groups want some."""
        for item in self.described.values():
            item["Instances"] = []

    def unchanged(self) -> bool:
        return not [name for name, _ in self.calls if name != "versions"]


def noted(**groups: str) -> GroupNoteInputs:
    return GroupNoteInputs(**COMMON, side="legacy", groups=groups)


def test_a_note_holds_sizes_the_template_without_networking_and_tags_of_both_kinds() -> None:
    tags = [
        {"Key": "Name", "Value": "worker", "PropagateAtLaunch": True},
        {"Key": "aws:cloudformation", "Value": "x", "PropagateAtLaunch": True},
        {"Key": "own", "Value": "x", "PropagateAtLaunch": False},
    ]
    world = World({"a": group("a", Tags=tags)})
    result = note.run(noted(pool="a"), None, world.context())
    template = Template(
        image_id="ami-1",
        user_data=SecretStr("I2Nsb3VkLWNvbmZpZw=="),
        iam_instance_profile=InstanceProfile(name="worker"),
        block_device_mappings=(BlockDevice(device_name="/dev/sda1", ebs=Ebs(volume_size=20)),),
        network_interfaces=(NetworkInterface(),),
        whole=True,
    )
    seen = Group(
        group="a",
        min=1,
        max=5,
        desired=2,
        template=template,
        tags={"Name": "worker"},
        own_tags={"own": "x"},
        attributes=Attributes(),
    )
    assert result == GroupNoteResult(groups={"pool": seen})
    assert world.calls == [("versions", ("lt-1", "$Latest"))]


def test_a_noted_group_is_never_read_again_and_only_new_keys_are() -> None:
    world = World({"a": group("a"), "b": group("b")})
    first = note.run(noted(one="a"), None, world.context())
    world.described["a"]["DesiredCapacity"] = 0
    second = note.run(noted(one="a", two="b"), first, world.context())
    assert (second.groups["one"], second.groups["two"].group) == (first.groups["one"], "b")
    assert second.groups["one"].desired == 2


def test_a_mixed_policys_template_and_its_types_are_noted() -> None:
    mixed = {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateId": "lt-9", "Version": "4"},
            "Overrides": [{"InstanceType": "m5.large"}],
        }
    }
    world = World({"a": group("a", LaunchTemplate=None, MixedInstancesPolicy=mixed)})
    result = note.run(noted(one="a"), None, world.context())
    assert result.groups["one"].template.instance_type is None
    assert result.groups["one"].one_type().instance_type == "m5.large"
    assert result.groups["one"].mixed == Mixed(overrides=(Override(instance_type="m5.large"),))
    assert world.calls == [("versions", ("lt-9", "4"))]


def test_what_can_not_be_noted_is_refused_by_name() -> None:
    with pytest.raises(Permanent, match="gone don't exist"):
        note.run(noted(one="gone"), None, World({}).context())
    with pytest.raises(Permanent, match="a uses a launch configuration"):
        note.run(noted(one="a"), None, World({"a": group("a", LaunchTemplate=None)}).context())


def test_a_group_that_is_gone_by_now_is_known_from_before_and_an_added_one_needs_no_original() -> None:
    world = World({"a": group("a")})
    first = note.run(noted(one="a"), None, world.context())
    del world.described["a"]
    more = noted(one="a", two="never-there").model_copy(update={"optional": ("two",)})
    assert note.run(more, first, world.context()) == first
    with pytest.raises(Permanent, match=r"never-there don't exist.*added after a migration \(two\).*give it `like`"):
        note.run(noted(one="a", two="never-there"), first, world.context())


def test_a_template_without_the_groups_version_is_refused_by_name() -> None:
    world = World({"a": group("a")})
    world.templates = []
    with pytest.raises(Permanent, match=r"launch template lt-1 of group a has no version \$Latest"):
        note.run(noted(one="a"), None, world.context())


SIZE = GroupSize(group="old", min=1, desired=2)
HELD = AutoscalerHoldInputs(**COMMON, wanted="held", old_groups=("old",), new_groups={"new": Size(min=1, desired=2)})
RELEASED = HELD.model_copy(update={"wanted": "released"})


def held_world(**old: Any) -> World:
    return World({"old": group("old", **old), "new": group("new", MinSize=1)})


def test_held_the_old_group_can_not_grow_and_the_new_one_can_not_shrink() -> None:
    world = held_world()
    result = hold.run(HELD, None, world.context())
    old, new = world.described["old"], world.described["new"]
    assert (old["MinSize"], old["MaxSize"], old["DesiredCapacity"]) == (1, 2, 2)
    assert suspended(old) == set(PROCESSES)
    assert (new["MinSize"], new["MaxSize"], new["DesiredCapacity"]) == (2, 5, 2)
    assert suspended(new) == set()
    assert result == AutoscalerHoldResult(
        wanted="held", old={"old": HeldBefore(max=5, suspended=(), processes=PROCESSES)}, new={"new": 2}
    )


def test_what_an_earlier_version_held_is_all_that_is_given_back() -> None:
    """It left scheduled actions alone: where they are suspended, somebody else did that."""
    both = [{"ProcessName": name} for name in ("Launch", "AZRebalance", "ScheduledActions")]
    before = {"Key": TAG, "Value": '{"max": 5, "suspended": []}', "PropagateAtLaunch": False}
    world = held_world(SuspendedProcesses=both, Tags=[before])
    hold.run(HELD, None, world.context())
    assert suspended(world.described["old"]) == {"Launch", "AZRebalance", "ScheduledActions"}
    hold.run(RELEASED, None, world.context())
    assert suspended(world.described["old"]) == {"ScheduledActions"}


def test_holding_twice_changes_nothing_and_keeps_what_was() -> None:
    world = held_world()
    first = hold.run(HELD, None, world.context())
    world.calls.clear()
    assert hold.run(HELD, None, world.context()) == first
    assert world.calls == []


def test_a_hold_killed_after_any_change_is_completed_and_still_gives_everything_back() -> None:
    for survived in range(6):
        world = held_world()
        context = world.context()
        changes = 0

        def alive(survived: int = survived) -> None:
            nonlocal changes
            changes += 1
            if changes > survived:
                raise KeyboardInterrupt

        killed = Context(log=context.log, deadline=context.deadline, clients=context.clients, alive=alive)
        with contextlib.suppress(KeyboardInterrupt):
            hold.run(HELD, None, killed)
        hold.run(HELD, None, world.context())
        hold.run(RELEASED, None, world.context())
        assert (world.described["old"]["MaxSize"], world.described["new"]["MinSize"]) == (5, 1)
        assert suspended(world.described["old"]) == set()


def test_released_everything_is_as_it_was_and_no_tag_is_left() -> None:
    world = held_world(SuspendedProcesses=[{"ProcessName": "AZRebalance"}])
    hold.run(HELD, None, world.context())
    hold.run(RELEASED, None, world.context())
    old = world.described["old"]
    assert (old["MaxSize"], suspended(old), old["Tags"]) == (5, {"AZRebalance"}, [])
    assert world.described["new"]["MinSize"] == 1
    world.calls.clear()
    hold.run(RELEASED, None, world.context())
    assert world.calls == []


def test_an_emptied_old_group_stays_shut_when_released_and_a_deleted_one_is_no_error() -> None:
    world = held_world()
    hold.run(HELD, None, world.context())
    world.described["old"].update(MinSize=0, DesiredCapacity=0)
    hold.run(RELEASED, None, world.context())
    assert suspended(world.described["old"]) == set(PROCESSES)
    assert json.loads(world.described["old"]["Tags"][0]["Value"])["max"] == 5
    del world.described["old"]
    hold.run(RELEASED, None, world.context())


ZERO = WorkerScaleInputs(**COMMON, wanted="zero", side="legacy", sizes=(GroupSize(group="old", min=1, desired=2),))
RECORDED = ZERO.model_copy(update={"wanted": "recorded", "returning": True})
COMPLETE = ZERO.model_copy(update={"wanted": "complete", "sizes": (), "groups": ("old",), "returning": True})


def scaled_world() -> World:
    world = World({"old": group("old")})
    world.node("n0", "i-old0")
    world.node("n1", "i-old1")
    world.pod("elsewhere", "new-0")
    return world


def test_scaled_to_zero_the_groups_instances_are_gone_at_the_end() -> None:
    world = scaled_world()
    world.pod("ds", "n0", owner="DaemonSet")
    result = scale.run(ZERO, None, world.context())
    assert result == WorkerScaleResult(wanted="zero", groups={"old": 0}, ended=2)
    assert (world.described["old"]["MinSize"], world.described["old"]["Instances"]) == (0, [])
    world.calls.clear()
    assert scale.run(ZERO, result, world.context()).ended == 0
    assert world.calls == []


def test_a_group_whose_nodes_hold_movable_pods_is_not_scaled() -> None:
    world = scaled_world()
    world.pod("web", "n1")
    with pytest.raises(Permanent, match=r"1 pods still run .*apps/web on n1.*drain them first"):
        scale.run(ZERO, None, world.context())
    assert world.calls == []


def test_instances_protected_from_scale_in_are_released_since_they_are_empty() -> None:
    world = scaled_world()
    world.described["old"]["Instances"][0]["ProtectedFromScaleIn"] = True
    scale.run(ZERO, None, world.context())
    assert ("protection", ["i-old0"]) in world.calls


def test_a_group_that_may_not_terminate_is_refused() -> None:
    world = scaled_world()
    world.described["old"]["SuspendedProcesses"] = [{"ProcessName": "Terminate"}]
    with pytest.raises(Permanent, match="old have Terminate suspended"):
        scale.run(ZERO, None, world.context())


def test_back_at_the_recorded_size_the_hold_still_stands() -> None:
    world = World({"old": group("old", MinSize=0, DesiredCapacity=0, MaxSize=2, Instances=[])})
    world.described["old"]["SuspendedProcesses"] = [{"ProcessName": "Launch"}]
    world.joins()
    result = scale.run(RECORDED, None, world.context())
    assert (result.groups, len(world.described["old"]["Instances"])) == ({"old": 2}, 2)
    assert suspended(world.described["old"]) == {"Launch"}


def test_a_held_group_that_lacks_nothing_is_not_opened() -> None:
    world = scaled_world()
    world.described["old"]["SuspendedProcesses"] = [{"ProcessName": "Launch"}]
    assert scale.run(RECORDED, None, world.context()).groups == {"old": 2}
    assert world.unchanged()


def test_a_held_group_that_lost_a_machine_is_opened_and_closed_again() -> None:
    world = scaled_world()
    world.described["old"]["Instances"].pop()
    world.described["old"]["SuspendedProcesses"] = [{"ProcessName": "Launch"}]
    world.joins()
    assert scale.run(RECORDED, None, world.context()).groups == {"old": 2}
    assert len(world.described["old"]["Instances"]) == 2
    assert suspended(world.described["old"]) == {"Launch"}


def test_capacity_that_can_not_be_had_again_is_counted_and_placed_with_what_aws_says() -> None:
    world = World(
        {"old": group("old", MinSize=0, DesiredCapacity=0, Instances=[], AvailabilityZones=["eu-central-1a"])}
    )
    world.described["old"]["SuspendedProcesses"] = [{"ProcessName": "Launch"}]
    world.sleep = world.clock.sleep
    world.activities = [{"StatusCode": "Failed", "StatusMessage": "We have no more m5.large here."}]
    said = r"2 instances are missing \(2 of old; old is in eu-central-1a\): We have no more m5.large here.; nothing was"
    with pytest.raises(Permanent, match=said):
        scale.run(RECORDED, None, world.context())
    # What the hold suspended is as it was, so that nothing starts there while people think about it.
    assert suspended(world.described["old"]) == {"Launch"}


def test_nodes_that_are_not_ready_are_no_capacity() -> None:
    world = scaled_world()
    world.nodes["n1"]["status"] = {"conditions": [{"type": "Ready", "status": "False"}]}
    with pytest.raises(Permanent, match="1 nodes aren't ready: n1; nothing was drained"):
        scale.run(RECORDED, None, world.context())


def test_what_was_lost_of_a_group_is_waited_for() -> None:
    world = scaled_world()
    world.described["old"]["Instances"].pop()
    world.joins()
    assert scale.run(COMPLETE, None, world.context()).groups == {"old": 2}
    assert world.unchanged()


def test_a_group_that_may_not_launch_and_lacks_machines_is_named() -> None:
    world = scaled_world()
    world.described["old"]["Instances"].pop()
    world.described["old"]["SuspendedProcesses"] = [{"ProcessName": "Launch"}]
    with pytest.raises(Permanent, match="groups old lack instances and have Launch suspended"):
        scale.run(COMPLETE, None, world.context())


def test_a_group_that_is_gone_can_not_be_had_back() -> None:
    for wanted in (RECORDED, COMPLETE):
        with pytest.raises(Permanent, match="groups old don't exist any more"):
            scale.run(wanted, None, World({}).context())


@pytest.mark.parametrize("wanted", [RECORDED, COMPLETE])
def test_going_on_there_is_nothing_to_take_back_of_sizes(wanted: WorkerScaleInputs) -> None:
    going_on = wanted.model_copy(update={"returning": False})
    assert scale.run(going_on, None, World({}).context()).groups == {}


TAINTED = TaintInputs(**COMMON, wanted="tainted", groups=("old",), side="legacy", join_seconds=120)
CLEAR = TAINTED.model_copy(update={"wanted": "clear", "returning": True})


def test_every_node_of_the_groups_is_tainted_once_and_cleared_again() -> None:
    world = scaled_world()
    world.node("other", "i-else")
    first = taint.run(TAINTED, None, world.context())
    assert first == TaintResult(wanted="tainted", nodes=("n0", "n1"), changed=2, missing=())
    assert world.nodes["n0"]["spec"]["taints"] == [TAINT]
    assert "taints" not in world.nodes["other"]["spec"]
    assert taint.run(TAINTED, None, world.context()).changed == 0
    taint.run(CLEAR, None, world.context())
    assert world.nodes["n0"]["spec"]["taints"] == []


def test_a_node_that_joins_late_is_tainted_too() -> None:
    world = scaled_world()
    del world.nodes["n1"]
    sleep = world.sleep

    def joins(seconds: float) -> None:
        sleep(seconds)
        if world.clock.now > 10 and "n1" not in world.nodes:
            world.node("n1", "i-old1")

    world.sleep = joins
    assert taint.run(TAINTED, None, world.context()).nodes == ("n0", "n1")


def test_an_instance_that_never_becomes_a_node_is_named_and_nothing_is_tainted() -> None:
    lonely = scaled_world()
    del lonely.nodes["n1"]
    with pytest.raises(Permanent, match=r"1 running instances have no Node in the cluster: i-old1 of old; .*terminate"):
        taint.run(TAINTED.model_copy(update={"join_seconds": 5}), None, lonely.context())
    assert lonely.unchanged()
    assert 5 <= lonely.clock.now < 7


def test_going_on_there_is_no_taint_to_take_back() -> None:
    going_on = CLEAR.model_copy(update={"returning": False})
    assert taint.run(going_on, None, World({}).context()).nodes == ()


def test_a_way_back_clears_the_nodes_there_are_and_names_the_instance_without_one() -> None:
    world = scaled_world()
    taint.run(TAINTED, None, world.context())
    del world.nodes["n1"]
    result = taint.run(CLEAR, None, world.context())
    assert (result.nodes, result.missing, world.nodes["n0"]["spec"]["taints"]) == (("n0",), ("i-old1",), [])


OPERATIONS = {
    "taint": lambda world: taint.run(TAINTED, None, world.context()),
    "clear": lambda world: taint.run(CLEAR, None, world.context()),
    "zero": lambda world: scale.run(ZERO, None, world.context()),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_with_another_clusters_kubeconfig_nothing_is_changed_and_the_kubeconfig_is_named(operation: str) -> None:
    world = scaled_world()
    world.nodes = {}
    world.node("twin-0", "i-twin0")
    with pytest.raises(Permanent, match=r"none of 2 running instances \(i-old0 of old, .*migration:kubeconfig"):
        OPERATIONS[operation](world)
    assert world.unchanged()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_groups_that_do_not_exist_are_refused_by_name(operation: str) -> None:
    world = scaled_world()
    del world.described["old"]
    with pytest.raises(Permanent, match="groups old don't exist in this account and region; correct migration:pools"):
        OPERATIONS[operation](world)
    assert world.unchanged()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_groups_that_want_instances_where_ec2_lists_none_are_refused(operation: str) -> None:
    world = scaled_world()
    world.unlisted()
    still = world.clock
    world.sleep = still.sleep
    with pytest.raises(Permanent, match=r"groups old want 2 instances and EC2 lists none"):
        OPERATIONS[operation](world)
    assert world.unchanged()


def test_retired_groups_may_be_gone() -> None:
    gone = World({})
    ended = {"ended": ("old",)}
    assert taint.run(TAINTED.model_copy(update=ended), None, gone.context()).nodes == ()
    assert scale.run(ZERO.model_copy(update=ended), None, gone.context()).ended == 0


def test_a_group_with_an_instance_that_has_no_node_is_not_scaled_to_zero() -> None:
    world = scaled_world()
    del world.nodes["n1"]
    with pytest.raises(Permanent, match=r"i-old1 of old; what runs there can't be seen"):
        scale.run(ZERO, None, world.context())
    assert world.unchanged()


def test_a_pod_that_only_a_look_at_its_node_shows_keeps_the_group() -> None:
    world = scaled_world()
    world.pod("web", "n1")
    world.by_node_only, world.pods = world.pods[-1:], world.pods[:-1]
    with pytest.raises(Permanent, match="apps/web on n1"):
        scale.run(ZERO, None, world.context())
    assert world.unchanged()


def test_where_no_pod_is_listed_at_all_no_node_counts_as_empty() -> None:
    world = scaled_world()
    world.pods = []
    with pytest.raises(Permanent, match="lists no pod at all"):
        scale.run(ZERO, None, world.context())
    assert world.unchanged()


def test_a_held_group_that_is_gone_while_its_instances_run_is_refused() -> None:
    world = held_world()
    hold.run(HELD, None, world.context())
    del world.described["old"]
    world.calls.clear()
    left = [Instance(id="i-9", ip="", zone="", vpc="", group="old", state="running")]
    world.instances_of_groups = lambda names: left
    with pytest.raises(Permanent, match=r"groups old don't exist .* i-9 of old run"):
        hold.run(RELEASED, None, world.context())
    assert world.unchanged()


def test_without_groups_nothing_is_held() -> None:
    with pytest.raises(Permanent, match="migration:pools is empty"):
        hold.run(HELD.model_copy(update={"old_groups": ()}), None, held_world().context())

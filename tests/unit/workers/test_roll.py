"""A roll of nodes on an Auto Scaling in memory: what goes first, what never happens, and what a killed run leaves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from migration.clients.aws import Target
from migration.contracts.workers import RolledGroup, RollInputs, RollResult
from migration.drain.executor import Tally
from migration.drain.nodes import AVOIDED, CORDONED, TAINT, name_of
from migration.operations import roll
from migration.runtime.deadline import Permanent
from migration.workers.roll import TAG, next_batch, surge_of
from tests.samples import COMMON, DRAIN_RULES
from tests.unit.test_worker_operations import World as Groups
from tests.unit.test_worker_operations import group

OLD, NEW = ("lt-1", "1"), ("lt-1", "2")


def machine(name: str, version: tuple[str, str]) -> dict[str, Any]:
    template = {"LaunchTemplateId": version[0], "Version": version[1]}
    return {"InstanceId": name, "LifecycleState": "InService", "LaunchTemplate": template}


class World(Groups):
    """Groups whose machines have versions, nodes of their own, and a balancer that they serve."""

    numbers = itertools.count(100)
    capacity: int = 1000

    def made(
        self, name: str, pool: str, version: tuple[str, str], machines: Sequence[tuple[str, str]], **more: Any
    ) -> None:
        tags = {"migration:cluster": "pet", "migration:side": "main", "migration:role": "node", "pool": pool}
        self.described[name] = group(
            name,
            LaunchTemplate={"LaunchTemplateId": version[0], "Version": version[1]},
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
            Instances=[machine(f"i-{name}-{n}", own) for n, own in enumerate(machines)],
            DesiredCapacity=len(machines),
            **more,
        )
        for one in self.described[name]["Instances"]:
            self.node(f"node-{one['InstanceId']}", one["InstanceId"])

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        for name, item in self.described.items():
            launch = item["LaunchTemplate"]
            version = (launch["LaunchTemplateId"], launch["Version"])
            shut = "Launch" in {one["ProcessName"] for one in item["SuspendedProcesses"]}
            there = sum(len(one["Instances"]) for one in self.described.values())
            while len(item["Instances"]) < item["DesiredCapacity"] and not shut and there < self.capacity:
                there += 1
                fresh = f"i-{name}-{next(self.numbers)}"
                item["Instances"].append(machine(fresh, version))
                self.node(f"node-{fresh}", fresh)

    def versions(self, name: str) -> list[str]:
        return [one["LaunchTemplate"]["Version"] for one in self.described[name]["Instances"]]

    def target_health(self, arn: str) -> list[Target]:
        return [
            Target(id=one["InstanceId"], port=1, zone="a", state="healthy")
            for item in self.described.values()
            for one in item["Instances"]
            if one["InstanceId"] not in self.out
        ]

    @property
    def out(self) -> set[str]:
        return {name for what, name in self.calls if what == "deregister"}

    @property
    def elbv2(self) -> Any:
        return SimpleNamespace(
            deregister_targets=lambda *, TargetGroupArn, Targets: self.calls.append(("deregister", Targets[0]["Id"]))
        )

    @property
    def autoscaling(self) -> Any:
        client = super().autoscaling

        def paginate(*, Filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
            wanted = {one["Name"].removeprefix("tag:"): one["Values"][0] for one in Filters}
            found = [
                item
                for item in self.described.values()
                if wanted.items() <= {tag["Key"]: tag["Value"] for tag in item["Tags"]}.items()
            ]
            return [{"AutoScalingGroups": found}]

        def terminate(*, InstanceId: str, ShouldDecrementDesiredCapacity: bool) -> None:
            self.calls.append(("terminate", InstanceId))
            item = next(one for one in self.described.values() if InstanceId in str(one["Instances"]))
            if ShouldDecrementDesiredCapacity:
                assert item["DesiredCapacity"] > item["MinSize"], "AWS would refuse"
                item["DesiredCapacity"] -= 1
            item["Instances"] = [one for one in item["Instances"] if one["InstanceId"] != InstanceId]
            del self.nodes[f"node-{InstanceId}"]

        client.get_paginator = lambda _: SimpleNamespace(paginate=paginate)
        client.terminate_instance_in_auto_scaling_group = terminate
        return client


def inputs(*groups: RolledGroup, **more: Any) -> RollInputs:
    return RollInputs(
        **COMMON,
        side="main",
        groups=groups,
        target_groups=("arn",),
        vpc_id="vpc",
        rules=DRAIN_RULES,
        join_seconds=5,
        **{"surge": "1", **more},
    )


def wanted(pool: str, name: str, version: tuple[str, str] = NEW, **more: Any) -> RolledGroup:
    return RolledGroup(pool=pool, group=name, template=version[0], version=version[1], **more)


@pytest.fixture
def drained(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Drains that succeed at once, each by the nodes it was asked for."""
    asked: list[list[str]] = []

    def empty(nodes: Sequence[Any], drain: Any, context: Any) -> tuple[Tally, None]:
        names = [name_of(node) for node in nodes]
        if drain.tier == "ingress":
            asked.append(names)
        world = context.clients.aws
        world.calls.append((f"drain {drain.tier}", tuple(names)))
        for node in nodes:
            node["metadata"].setdefault("annotations", {})[CORDONED] = "true"
        return Tally(evictions=1), None

    monkeypatch.setattr(roll, "empty", empty)
    monkeypatch.setattr(
        roll, "room", lambda nodes, drain, context: context.clients.aws.calls.append(("room", len(nodes)))
    )
    return asked


def world_of_two_old() -> World:
    world = World({})
    world.made("a", "a", NEW, [OLD, OLD], MaxSize=2)
    world.pod("web", "node-elsewhere")
    return world


def test_new_nodes_come_first_and_the_sizes_end_as_they_were(drained: list[list[str]]) -> None:
    world = world_of_two_old()
    result = roll.run(inputs(wanted("a", "a")), None, world.context())
    item = world.described["a"]
    assert world.versions("a") == ["2", "2"]
    assert (item["MinSize"], item["MaxSize"], item["DesiredCapacity"]) == (1, 2, 2)
    assert item["SuspendedProcesses"] == []
    assert TAG not in {tag["Key"] for tag in item["Tags"]}
    assert drained == [["node-i-a-0"], ["node-i-a-1"]]
    assert (result.groups, result.nodes, result.evictions, result.left) == ({"a": "a"}, 2, 4, ())
    order = [what for what, _ in world.calls]
    assert order.index("tag") < order.index("suspend") < order.index("update") < order.index("deregister")
    assert (
        order.index("deregister") < order.index("drain ingress") < order.index("drain rest") < order.index("terminate")
    )


def test_what_is_of_its_groups_version_is_left_alone(drained: list[list[str]]) -> None:
    world = World({})
    world.made("a", "a", NEW, [NEW, NEW])
    result = roll.run(inputs(wanted("a", "a")), None, world.context())
    assert (result.nodes, drained) == (0, [])
    assert world.unchanged()


def test_a_machine_that_does_not_say_its_version_is_replaced(drained: list[list[str]]) -> None:
    world = World({})
    world.made("a", "a", NEW, [NEW, NEW])
    del world.described["a"]["Instances"][0]["LaunchTemplate"]
    world.pod("web", "node-elsewhere")
    assert roll.run(inputs(wanted("a", "a")), None, world.context()).nodes == 1


def test_where_this_is_not_the_time_it_only_says_what_it_would_do(drained: list[list[str]]) -> None:
    world = world_of_two_old()
    result = roll.run(inputs(wanted("a", "a"), allowed=False), None, world.context())
    assert result.left == ("i-a-0", "i-a-1")
    assert world.unchanged()
    assert "a: 2 of 2 nodes are of another version" in world.told[0]


def test_capacity_that_can_not_be_had_stops_it_before_anything_is_drained(drained: list[list[str]]) -> None:
    world = world_of_two_old()
    world.capacity = 2
    world.activities = [{"StatusCode": "Failed", "StatusMessage": "no m5.large left in a"}]
    with pytest.raises(Permanent, match=r"1 new nodes aren't ready \(1 of a\): no m5.large left in a; no further node"):
        roll.run(inputs(wanted("a", "a")), None, world.context())
    assert drained == []
    assert not [call for call in world.calls if call[0] in ("terminate", "deregister")]
    world.capacity = 1000
    roll.run(inputs(wanted("a", "a")), None, world.context())
    assert (world.versions("a"), world.described["a"]["MaxSize"]) == (["2", "2"], 2)


def test_killed_after_any_change_it_goes_on_and_ends_the_same(drained: list[list[str]]) -> None:
    for survived in range(40):
        world, changes = world_of_two_old(), 0

        def alive(survived: int = survived) -> None:
            nonlocal changes
            changes += 1
            if changes > survived:
                raise KeyboardInterrupt

        context = world.context()
        killed = type(context)(log=context.log, deadline=context.deadline, clients=context.clients, alive=alive)
        try:
            roll.run(inputs(wanted("a", "a")), None, killed)
        except KeyboardInterrupt:
            roll.run(inputs(wanted("a", "a")), None, world.context())
        item = world.described["a"]
        assert (item["MinSize"], item["MaxSize"], item["DesiredCapacity"]) == (1, 2, 2), survived
        assert world.versions("a") == ["2", "2"], survived
        assert len([call for call in world.calls if call[0] == "terminate"]) == 2, survived
        assert (item["SuspendedProcesses"], TAG in str(item["Tags"])) == ([], False), survived


def test_a_pod_that_came_back_keeps_its_machine(drained: list[list[str]]) -> None:
    world = world_of_two_old()
    world.pod("late", "node-i-a-0")
    with pytest.raises(Permanent, match=r"1 pods came back|2 pods came back"):
        roll.run(inputs(wanted("a", "a")), None, world.context())
    assert not [call for call in world.calls if call[0] == "terminate"]


def test_a_renamed_pools_new_group_takes_the_sizes_over_and_the_old_one_is_emptied(drained: list[list[str]]) -> None:
    world = World({})
    world.made("a-main", "a", OLD, [OLD, OLD, OLD], MinSize=2, MaxSize=7)
    world.made("a", "a", ("lt-2", "1"), [("lt-2", "1")], MinSize=1, MaxSize=3)
    world.pod("web", "node-elsewhere")
    before = RollResult(groups={"a": "a-main"})
    roll.run(inputs(wanted("a", "a", ("lt-2", "1"))), before, world.context())
    new, old = world.described["a"], world.described["a-main"]
    assert (new["MinSize"], new["MaxSize"], new["DesiredCapacity"], len(new["Instances"])) == (2, 7, 3, 3)
    assert (old["MinSize"], old["DesiredCapacity"], old["Instances"]) == (0, 0, [])
    assert {one["ProcessName"] for one in old["SuspendedProcesses"]} == {"Launch", "AZRebalance"}
    assert ("room", 3) not in world.calls


def test_a_removed_pool_is_found_by_its_tags_and_emptied_if_its_pods_find_room(drained: list[list[str]]) -> None:
    world = World({})
    world.made("a", "a", NEW, [NEW])
    world.made("b", "b", NEW, [NEW, NEW])
    world.pod("web", "node-elsewhere")
    roll.run(inputs(wanted("a", "a")), None, world.context())
    assert ("room", 2) in world.calls
    assert world.described["b"]["Instances"] == []


def test_a_removed_pool_whose_pods_have_nowhere_to_go_is_refused_before_anything_changes(
    drained: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(nodes: Any, drain: Any, context: Any) -> None:
        raise Permanent("there is no room for the 9 pods to move")

    monkeypatch.setattr(roll, "room", none)
    world = World({})
    world.made("a", "a", NEW, [NEW])
    world.made("b", "b", NEW, [NEW])
    with pytest.raises(Permanent, match="no room for the 9 pods"):
        roll.run(inputs(wanted("a", "a")), None, world.context())
    assert world.unchanged()


def test_a_pool_that_is_left_to_empty_takes_no_pods_and_loses_none_and_comes_back(drained: list[list[str]]) -> None:
    world = World({})
    world.made("a", "a", NEW, [NEW])
    world.made("b", "b", NEW, [NEW, NEW], MinSize=2)
    world.pod("web", "node-elsewhere")
    roll.run(inputs(wanted("a", "a"), wanted("b", "b", retiring="leave")), None, world.context())
    item = world.described["b"]
    assert (drained, len(item["Instances"]), item["MinSize"]) == ([], 2, 0)
    assert all(TAINT in node["spec"]["taints"] for name, node in world.nodes.items() if "i-b" in name)
    assert "Launch" in str(item["SuspendedProcesses"])
    roll.run(inputs(wanted("a", "a"), wanted("b", "b")), None, world.context())
    assert (item["MinSize"], item["DesiredCapacity"], item["SuspendedProcesses"]) == (2, 2, [])
    assert not any(node["spec"].get("taints") for node in world.nodes.values())


def test_a_pool_that_is_drained_ends_at_zero(drained: list[list[str]]) -> None:
    world = World({})
    world.made("a", "a", NEW, [NEW])
    world.made("b", "b", NEW, [NEW, NEW], MinSize=1)
    world.pod("web", "node-elsewhere")
    roll.run(inputs(wanted("a", "a"), wanted("b", "b", retiring="drain")), None, world.context())
    assert (world.described["b"]["DesiredCapacity"], world.described["b"]["Instances"]) == (0, [])


def test_nodes_that_go_soon_are_avoided_by_those_that_move(drained: list[list[str]]) -> None:
    world = world_of_two_old()
    seen: list[bool] = []
    sleep = world.sleep

    def looking(seconds: float) -> None:
        sleep(seconds)
        node = world.nodes.get("node-i-a-1")
        seen.append(node is not None and AVOIDED in node["spec"].get("taints", []))

    world.sleep = looking
    roll.run(inputs(wanted("a", "a")), None, world.context())
    assert any(seen)


def test_a_group_that_somebody_gave_another_version_is_named_with_both() -> None:
    world = World({})
    world.made("a", "a", OLD, [OLD])
    with pytest.raises(Permanent, match=r"a launches from version 1 of lt-1, not from version 2 of lt-1"):
        roll.run(inputs(wanted("a", "a")), None, world.context())
    assert world.unchanged()


def test_a_group_that_is_not_there_is_named() -> None:
    with pytest.raises(Permanent, match=r"groups a of main don't exist; run pulumi up first"):
        roll.run(inputs(wanted("a", "a")), None, World({}).context())


@pytest.mark.parametrize(
    ("share", "nodes", "at_once"), [("25%", 12, 3), ("25%", 3, 1), ("25%", 0, 1), ("4", 2, 4), ("100%", 7, 7)]
)
def test_how_many_at_once(share: str, nodes: int, at_once: int) -> None:
    assert surge_of(share, nodes) == at_once


def test_a_batch_leaves_others_to_answer_and_goes_on_with_what_was_begun() -> None:
    four = ["a", "b", "c", "d"]
    assert next_batch(four, 2, frozenset()) == ["a", "b"]
    assert next_batch(four, 4, frozenset({"a", "b", "c"})) == ["a", "d"]
    assert next_batch(four, 1, frozenset(), frozenset({"c"})) == ["c"]
    assert next_batch(["a"], 1, frozenset({"a"})) == ["a"]

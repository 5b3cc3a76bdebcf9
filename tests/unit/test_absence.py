"""Absence is never success: worlds are drawn with parts removed, and nothing is changed where one is relied on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from migration.clients.aws import Instance
from migration.clients.kubernetes import NODES, PODS, SERVICES, Kind, Unreachable
from migration.contracts.workers import (
    AutoscalerHoldInputs,
    DrainInputs,
    GroupSize,
    Size,
    TaintInputs,
    WorkerScaleInputs,
)
from migration.drain.brake import WHILE_HEALTHY, Pace
from migration.drain.plan import Rules, unprotected_limit
from migration.operations import drain, hold, scale, taint
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, OutOfTime, Permanent
from tests.samples import COMMON, DRAIN_RULES
from tests.unit.drain.test_executor import drainer, left
from tests.unit.drain.world import OLD, Clock
from tests.unit.drain.world import World as Drained

T = TypeVar("T")

FAST = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, print_blob=False
)
GROUPS = ("old-a", "old-b")
SIZES = tuple(GroupSize(group=name, min=1, desired=2) for name in GROUPS)


@dataclass
class World:
    """A side with two groups and its way out, of which parts may be missing. Every change is kept by name."""

    sizes: dict[str, int]
    movable: bool
    removed: frozenset[str]
    changes: list[str] = field(default_factory=list)
    taints: dict[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)

    def context(self) -> Context:
        clients: Any = SimpleNamespace(aws=self, kubernetes=self)
        return Context(log=lambda _: None, deadline=Deadline(300, self.clock, self.clock.sleep), clients=clients)

    # AWS.

    def groups(self, names: Any) -> dict[str, Any]:
        gone = {"a group": {"old-a"}, "every group": set(GROUPS), "the new group": {"new-a"}}
        missing = {name for part in self.removed for name in gone.get(part, ())}
        return {
            name: {
                "AutoScalingGroupName": name,
                "MinSize": 0,
                "MaxSize": 5,
                "DesiredCapacity": self.sizes[name],
                "SuspendedProcesses": [],
                "Tags": [],
                "Instances": [
                    {"InstanceId": one.id, "LifecycleState": "InService"} for one in self.instances_of_groups([name])
                ],
            }
            for name in names
            if name in self.sizes and name not in missing
        }

    def instances_of_groups(self, names: Any, *, terminated: bool = False) -> list[Instance]:
        old_gone = "instances" in self.removed
        return [
            Instance(id=f"i-{name}-{n}", ip="", zone="a", vpc="", group=name, state="running")
            for name in names
            for n in range(self.sizes.get(name, 0))
            if not (old_gone and name in GROUPS)
        ]

    @property
    def autoscaling(self) -> Any:
        def change(what: str) -> Callable[..., None]:
            def happens(**changes: Any) -> None:
                self.changes.append(what)
                if "DesiredCapacity" in changes:
                    self.sizes[changes["AutoScalingGroupName"]] = changes["DesiredCapacity"]

            return happens

        calls = ("update_auto_scaling_group", "suspend_processes", "resume_processes", "create_or_update_tags")
        return SimpleNamespace(
            **{name: change(name) for name in (*calls, "delete_tags", "set_instance_protection")},
            describe_scaling_activities=lambda **_: {"Activities": []},
        )

    # Kubernetes.

    def nodes(self) -> list[dict[str, Any]]:
        if "nodes" in self.removed:
            return []
        twin = "twin-" if "its own cluster" in self.removed else ""
        names = [one.id for one in self.instances_of_groups([*GROUPS, "new-a"])]
        if "a node" in self.removed:
            names = names[1:]
        return [
            {
                "metadata": {"name": name, "resourceVersion": "1"},
                "spec": {"providerID": f"aws:///a/{twin}{name}", "taints": self.taints.get(name, [])},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "allocatable": {"cpu": "8", "memory": "8Gi", "pods": "50"},
                },
            }
            for name in names
        ]

    def pods(self) -> list[dict[str, Any]]:
        def pod(name: str, on: str, kind: str) -> dict[str, Any]:
            reference = {"kind": kind, "name": kind, "uid": kind, "controller": True}
            metadata = {"namespace": "apps", "name": name, "uid": name, "ownerReferences": [reference]}
            return {"metadata": metadata, "spec": {"nodeName": on}, "status": {"phase": "Running"}}

        on = [one.id for one in self.instances_of_groups(GROUPS)]
        moving = [pod(f"web-{name}", name, "ReplicaSet") for name in on] if self.movable else []
        return [
            *moving,
            *(pod(f"ds-{name}", name, "DaemonSet") for name in on),
            pod("there", "i-new-a-0", "ReplicaSet"),
        ]

    def list(self, kind: Kind, *, fields: str = "", metadata_only: bool = False) -> list[dict[str, Any]]:
        if kind == PODS:
            found = [] if "pods" in self.removed else self.pods()
            return [one for one in found if not fields or fields == f"spec.nodeName={one['spec']['nodeName']}"]
        return self.nodes() if kind == NODES else []

    def pages(self, kind: Kind, item: type[T]) -> Iterator[tuple[list[T], str]]:
        yield msgspec.convert(self.list(kind), list[item]), "1"

    def events(self, kind: Kind, version: str, item: type[T]) -> Iterator[tuple[str, T]]:
        raise Unreachable("no watch here")

    def find(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        there = kind == SERVICES and "the Service" not in self.removed
        return {"spec": {"selector": {"app": "ing"}}} if there else None

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any]:
        return next(one for one in self.nodes() if one["metadata"]["name"] == name)

    def patch(self, kind: Kind, name: str, body: Any, namespace: str | None = None) -> dict[str, Any]:
        self.changes.append(f"patch {kind.plural}")
        self.taints[name] = body["spec"]["taints"]
        return {}

    def evict(self, namespace: str, name: str, uid: str) -> None:
        self.changes.append("evict")


SEEN = frozenset({"nodes", "a node", "instances", "a group", "every group", "its own cluster"})


@dataclass(frozen=True)
class Operation:
    """How it is run, and what it relies on."""

    run: Callable[[World], object]
    needs: frozenset[str]


def drained(world: World, tier: Any) -> object:
    inputs = DrainInputs(
        **COMMON,
        wanted="drained",
        tier=tier,
        groups=GROUPS,
        side="legacy",
        vpc_id="vpc-1",
        rules=DRAIN_RULES,
        join_seconds=9,
    )
    return drain.run(inputs, None, world.context())


def tainted(world: World, wanted: Any) -> object:
    inputs = TaintInputs(**COMMON, wanted=wanted, groups=GROUPS, side="legacy", join_seconds=9, returning=True)
    return taint.run(inputs, None, world.context())


def sized(world: World, wanted: Any) -> object:
    asked: dict[str, Any] = {"recorded": {"sizes": SIZES}, "complete": {"groups": GROUPS}}[wanted]
    inputs = WorkerScaleInputs(**COMMON, wanted=wanted, side="legacy", join_seconds=9, returning=True, **asked)
    return scale.run(inputs, None, world.context())


def to_zero(world: World) -> object:
    inputs = WorkerScaleInputs(**COMMON, wanted="zero", side="legacy", sizes=SIZES, join_seconds=9)
    return scale.run(inputs, None, world.context())


def held(world: World, wanted: Any) -> object:
    new = {"new-a": Size(min=1, desired=2)}
    return hold.run(
        AutoscalerHoldInputs(**COMMON, wanted=wanted, old_groups=GROUPS, new_groups=new), None, world.context()
    )


OPERATIONS = {
    "drain": Operation(lambda world: drained(world, "rest"), SEEN | {"pods"}),
    "drain ingress": Operation(lambda world: drained(world, "ingress"), SEEN | {"pods", "the Service"}),
    "taint": Operation(lambda world: tainted(world, "tainted"), SEEN),
    "clear": Operation(lambda world: tainted(world, "clear"), SEEN - {"a node"}),
    # Machines that are missing are what it brings back.
    "recorded": Operation(lambda world: sized(world, "recorded"), frozenset({"a group", "every group"})),
    "complete": Operation(lambda world: sized(world, "complete"), SEEN),
    "zero": Operation(to_zero, SEEN | {"pods"}),
    "hold": Operation(lambda world: held(world, "held"), frozenset({"a group", "every group", "the new group"})),
    "release": Operation(lambda world: held(world, "released"), frozenset({"the new group"})),
}
PARTS = sorted(SEEN | {"pods", "the Service", "the new group"})


@FAST
@given(
    name=st.sampled_from(sorted(OPERATIONS)),
    removed=st.frozensets(st.sampled_from(PARTS), min_size=1, max_size=4),
    first=st.integers(2, 4),
    second=st.integers(0, 3),
    movable=st.booleans(),
)
def test_nothing_is_changed_where_what_an_operation_relies_on_is_missing(
    name: str, removed: frozenset[str], first: int, second: int, movable: bool
) -> None:
    operation = OPERATIONS[name]
    assume(removed & operation.needs)
    world = World({"old-a": first, "old-b": second, "new-a": 3}, movable, removed)
    with pytest.raises(Permanent) as refused:
        operation.run(world)
    assert world.changes == []
    assert not isinstance(refused.value, OutOfTime)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_with_every_part_there_each_operation_goes_through(name: str) -> None:
    """Without this the property above would hold of operations that always refuse."""
    world = World({"old-a": 2, "old-b": 1, "new-a": 1}, False, frozenset())
    OPERATIONS[name].run(world)
    # Nothing is tainted and no machine lost here: there is nothing to take back.
    assert bool(world.changes) == (name not in ("clear", "complete"))


@FAST
@given(
    owners=st.lists(
        st.tuples(st.integers(1, 6), st.integers(0, 6), st.sampled_from(["none", "budget", "gone"])),
        min_size=1,
        max_size=12,
    ),
    room=st.integers(0, 80),
    unplaced=st.integers(1, 6),
)
def test_without_budgets_no_owner_gives_more_than_its_share_and_few_pods_are_ever_homeless(
    owners: list[tuple[int, int, str]], room: int, unplaced: int
) -> None:
    """`owners`: replicas, how many of them aren't ready, and whether a budget stands, or is deleted on the way."""
    world = Drained(room=room)
    shares: dict[str, tuple[int, int]] = {}
    for index, (replicas, unready, budget) in enumerate(owners):
        owner = world.deploy(f"a{index}", replicas)
        for pod in [p for p in world.pods.values() if p.controller and p.controller.uid == owner.uid][:unready]:
            world.pods[pod.uid] = replace(pod, ready=False)
        if budget != "none" and unready == 0 and replicas > 1:
            world.protect(f"a{index}", replicas - 1)
            if budget == "gone":
                world._events.append((3.0, lambda index=index: world.selectors.pop(f"a{index}", None)))
        shares[owner.uid] = replicas, unprotected_limit(replicas, Rules(tier="rest"))
    look = world.view

    def watched() -> Any:
        seen = look()
        for uid, (replicas, limit) in shares.items():
            own = [p for p in seen.pods if p.controller and p.controller.uid == uid and not p.terminating]
            assert replicas - sum(p.node == OLD or p.ready for p in own) <= limit
        assert sum(not p.node for p in seen.pods) <= WHILE_HEALTHY * unplaced
        return seen

    world.view = watched
    pace = Pace(rescan=5, stall=60, per_second=1000, pending=30, unplaced=unplaced)
    blocked = drainer(world, pace=pace).run()
    if room >= sum(replicas for replicas, _, _ in owners):
        assert (blocked, left(world)) == ([], [])
    elif left(world):
        assert blocked

"""Whether there is room for what a drain moves: on literals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from migration.drain.model import TAINT, Controller, Owner, Pod, amount, requests
from migration.drain.plan import View
from migration.drain.room import room_for
from migration.drain.volumes import node_bound

GIB = 2**30
BASE = Pod(
    namespace="apps",
    name="",
    uid="",
    node="old",
    controller=Controller(kind="ReplicaSet", name="web", uid="rs"),
    cpu=1.0,
    memory=GIB,
)


def pods(count: int, **changes: Any) -> list[Pod]:
    return [replace(BASE, name=f"p{n}", uid=f"p{n}", **changes) for n in range(count)]


def node(name: str, *, cpu: str = "4", memory: str = "16Gi", zone: str = "a", **changes: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
        "spec": changes,
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": cpu, "memory": memory, "pods": "110"},
        },
    }


def view(every: list[Pod], **changes: Any) -> View:
    owner = Owner(kind="Deployment", namespace="apps", name="web", uid="d", desired=4)
    return replace(View(nodes=frozenset({"old"}), pods=every, budgets=[], owners={"rs": owner}), **changes)


def test_pods_fit_where_what_they_request_is_left() -> None:
    moved = pods(4)
    assert room_for(view(moved), moved, [node("old"), node("new")]).refusal == ""


def test_what_runs_there_already_is_taken() -> None:
    moved, there = pods(4), replace(BASE, uid="x", node="new", cpu=2.5)
    verdict = room_for(view([*moved, there]), moved, [node("new")])
    assert verdict.refusal == "they need 4.0 cores where 1.5 are free"


def test_memory_and_the_number_of_pods_count_as_well() -> None:
    moved = pods(120, cpu=0.0, memory=GIB)
    verdict = room_for(view(moved), moved, [node("new")])
    assert verdict.refusal == "they need 120.0 GiB of memory where 16.0 are free, 120 pods where 110 more may run"


def test_their_siblings_without_a_node_want_room_too_and_strangers_do_not() -> None:
    moved = pods(3)
    sibling = replace(BASE, uid="s", node="", phase="Pending", cpu=2.0)
    stranger = replace(sibling, uid="t", controller=Controller(kind="ReplicaSet", name="other", uid="other"), cpu=99)
    assert room_for(view([*moved, stranger]), moved, [node("new")]).refusal == ""
    assert "5.0 cores where 4.0" in room_for(view([*moved, sibling]), moved, [node("new")]).refusal


def test_pods_whose_volumes_bind_them_to_a_zone_need_room_there() -> None:
    moved = pods(3, claims=("data",))
    nodes = [node("new-a", zone="a"), node("new-b", zone="b", cpu="2")]
    bound = {"apps/data": frozenset({"b"})}
    assert room_for(view(moved, zones={"apps/data": frozenset({"a", "b"})}), moved, nodes).refusal == ""
    assert room_for(view(moved, zones=bound), moved, nodes).refusal == (
        "those bound to b by their volumes need 3.0 cores where 2.0 are free"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"unschedulable": True},
        {"taints": [TAINT]},
        {"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]},
    ],
)
def test_nodes_that_take_no_pods_are_no_room(changes: dict[str, Any]) -> None:
    moved = pods(1)
    assert "no ready node" in room_for(view(moved), moved, [node("old"), node("new", **changes)]).refusal


def test_nodes_with_a_taint_of_their_own_may_be_room_and_are_warned_of() -> None:
    moved = pods(2)
    verdict = room_for(view(moved), moved, [node("gpu", taints=[{"key": "gpu", "effect": "NoSchedule"}])])
    assert (verdict.refusal, verdict.warning) == (
        "",
        "they need 2.0 cores where 0.0 are free, 2.0 GiB of memory where 0.0 are free, 2 pods where 0 more may run",
    )


def test_bare_pods_come_back_nowhere_and_need_no_room() -> None:
    moved = pods(1, controller=None)
    assert room_for(view(moved), moved, []).refusal == ""


def container(cpu: str, **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu}}, **more}


@pytest.mark.parametrize(
    ("spec", "cores"),
    [
        ({"containers": [container("100m"), container("200m")]}, 0.3),
        ({"containers": [container("100m")], "initContainers": [container("1")]}, 1.0),
        ({"containers": [container("1")], "initContainers": [container("500m", restartPolicy="Always")]}, 1.5),
        ({"containers": [container("1")], "resources": {"requests": {"cpu": "3"}}}, 3.0),
        ({"containers": [container("1")], "overhead": {"cpu": "250m"}}, 1.25),
        ({"containers": [{}]}, 0.0),
    ],
)
def test_a_pod_requests_what_the_scheduler_reserves(spec: dict[str, Any], cores: float) -> None:
    assert requests(spec)[0] == pytest.approx(cores)


def test_quantities_are_read() -> None:
    assert [amount(one) for one in ("100m", "2", 3, "1Gi", "1e3")] == [0.1, 2.0, 3.0, float(GIB), 1000.0]


@pytest.mark.parametrize(
    ("spec", "bound"),
    [
        ({"local": {"path": "/d"}}, True),
        ({"hostPath": {"path": "/d"}}, True),
        (
            {
                "nodeAffinity": {
                    "required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname"}]}]}
                }
            },
            True,
        ),
        ({"csi": {}}, False),
    ],
)
def test_a_volume_of_one_node_is_told_from_one_that_follows(spec: dict[str, Any], bound: bool) -> None:
    assert node_bound({"metadata": {"name": "pv"}, "spec": spec}) is bound

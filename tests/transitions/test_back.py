"""Every step back on recording mocks: what is taken back, in which order, and what only then goes."""

from __future__ import annotations

import itertools

import pytest

from components.base import Scope
from migration.stages import STAGES
from tests.samples import settings
from tests.transitions import recorder
from tests.transitions.recorder import Declared, Key, declare


def at(stage: int, *, returning: bool = True) -> dict[Key, Declared]:
    return recorder.at(stage, returning=returning)


def wanted(stage: int) -> dict[str, str]:
    return {key[1]: one.asked["wanted"] for key, one in at(stage).items() if "wanted" in one.inputs.get("inputs", {})}


def gone(stage: int) -> set[Key]:
    """What the step back to `stage` deletes."""
    return set(at(stage + 1)) - set(at(stage))


def behind(stage: int, key: Key) -> set[Key]:
    """All that is done before it."""
    seen: set[Key] = set()
    todo = [key]
    while todo:
        for one in at(stage)[todo.pop()].after - seen:
            seen.add(one)
            todo.append(one)
    return seen


def types(keys: set[Key]) -> set[str]:
    return {kind for kind, _ in keys}


def test_a_way_back_declares_what_its_stage_does_and_only_says_that_it_is_one() -> None:
    for row in STAGES[:7]:
        forward, back = at(row.number, returning=False), at(row.number)
        assert forward.keys() == back.keys()
        for key, one in forward.items():
            told = {**back[key].inputs, "inputs": back[key].inputs.get("inputs")}
            if isinstance(told["inputs"], dict):
                told["inputs"] = {name: value for name, value in told["inputs"].items() if name != "returning"}
            mine = {**one.inputs, "inputs": one.inputs.get("inputs")}
            if isinstance(mine["inputs"], dict):
                mine["inputs"] = {name: value for name, value in mine["inputs"].items() if name != "returning"}
            assert mine == told, key


def test_from_6_old_groups_get_their_sizes_before_policy_and_taint_and_nothing_is_deleted() -> None:
    # The swaps were back at 6 already, and only leave the stack.
    assert {key for key in gone(5) if key[0] not in ("Swap", "SecurityGroupIngressRule")} == {
        ("Members", "main-members"),
        *(("MemberSwap", f"swap-{name}") for name in "abc"),
    }
    assert wanted(5)["legacy-workers"] == "recorded"
    assert {wanted(5)[name] for name in ("legacy-drain", "legacy-drain-ingress")} == {"present"}
    assert wanted(5)["ingress-policy"] == "Cluster"
    size = ("WorkerScale", "legacy-workers")
    assert size in behind(5, ("IngressPolicy", "ingress-policy"))
    assert ("IngressPolicy", "ingress-policy") in behind(5, ("Taint", "legacy-taint"))


def test_from_7_members_are_swapped_back_one_by_one_before_their_groups_go() -> None:
    assert types(gone(6)) == {
        *("Group", "LaunchTemplate", "Volume", "GroupNote", "MemberGuard"),
        # By which the API would be served at 8.
        *("Listener", "TargetGroup"),
    }
    assert {name: wanted(6)[name] for name in wanted(6) if name.startswith("swap-")} == {
        "swap-a": "old",
        "swap-b": "old",
        "swap-c": "old",
    }
    order = [
        ("Drain", "legacy-drain"),
        ("MemberSwap", "swap-c"),
        ("MemberSwap", "swap-b"),
        ("MemberSwap", "swap-a"),
        ("Gate", "gate-after"),
        ("StageRecord", "reached"),
    ]
    for first, second in itertools.pairwise(order):
        assert first in behind(6, second), (first, second)
    assert all(at(6)[("MemberSwap", f"swap-{name}")].asked["returning"] for name in "abc")
    guard = at(7)[("MemberGuard", "main-members-guard")]
    assert guard.after >= {("Group", f"main-member-{name}") for name in "abc"}


def test_within_7_members_go_on_in_order_and_back_in_the_reverse() -> None:
    found = declare(settings(7, controlPlaneMoved=1))
    swaps = {key[1]: one for key, one in found.items() if key[0] == "MemberSwap"}
    assert {name: one.asked["wanted"] for name, one in swaps.items()} == {
        "swap-a": "new",
        "swap-b": "old",
        "swap-c": "old",
    }
    assert ("MemberSwap", "swap-a") in swaps["swap-c"].after
    assert ("MemberSwap", "swap-c") in swaps["swap-b"].after
    assert swaps["swap-a"].asked["place"] == {
        "zone": "eu-central-1a",
        "volumeSize": 20,
        "volumeType": "gp3",
        "volumeTags": {},
        "apiNames": [
            "api.pet.example",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "172.20.0.1",
        ],
        "tags": {
            "Name": "pet-control-plane-legacy",
            "KubernetesCluster": "pet",
            "kubernetes.io/cluster/pet": "owned",
        },
    }


def test_from_3_pods_are_drained_back_before_the_policy_and_only_then_the_workers_go() -> None:
    assert types(gone(2)) == {"Group", "LaunchTemplate", "GroupNote", "WorkerGuard", "Drain"}
    assert {name for kind, name in gone(2) if kind == "Drain"} == {"legacy-drain", "legacy-drain-ingress"}
    assert wanted(2) == {
        "legacy-autoscaler": "released",
        "legacy-workers": "complete",
        "legacy-taint": "clear",
        "main-taint": "tainted",
        "main-drain-ingress": "drained",
        "main-drain": "drained",
        "ingress-policy": "recorded",
    }
    order = [
        ("AutoscalerHold", "legacy-autoscaler"),
        ("WorkerScale", "legacy-workers"),
        ("Taint", "legacy-taint"),
        ("Taint", "main-taint"),
        ("Drain", "main-drain-ingress"),
        ("Drain", "main-drain"),
        ("IngressPolicy", "ingress-policy"),
        ("Gate", "gate-after"),
        ("StageRecord", "reached"),
    ]
    for first, second in itertools.pairwise(order):
        assert first in behind(2, second), (first, second)


def test_the_policy_is_the_old_sides_where_traffic_is_and_the_new_sides_otherwise() -> None:
    groups = {stage: at(stage)[("IngressPolicy", "ingress-policy")].asked["targetGroups"] for stage in (2, 3, 6)}
    assert groups[3] == groups[6] == ["arn:main-ingress"]
    assert groups[2] != groups[3]


def test_from_2_names_are_as_they_were_found_before_the_balancers_go() -> None:
    names = at(1)[("DnsCut", "names")]
    assert (names.asked["form"], names.asked["returning"]) == ("original", True)
    assert {"LoadBalancer", "TargetGroup", "Listener", "SecurityGroup", "Record"} <= types(gone(1))
    # The records only leave the stack: the batch has dissolved them.
    assert all(one.retained for key, one in at(2).items() if key[0] == "Record")
    assert ("DnsCut", "names") in behind(1, ("StageRecord", "reached"))


def test_from_1_all_of_the_new_side_goes() -> None:
    assert {"Vpc", "Subnet", "RouteTable", "VpcPeeringConnection", "Route", "ZoneAssociation"} <= types(gone(0))
    left = {key for key in at(0) if key[1].startswith("main-")}
    assert left == set()


@pytest.mark.parametrize("stage", [3, 4, 5])
def test_while_both_sides_have_workers_pods_may_start_on_the_new_one_only(stage: int) -> None:
    assert (wanted(stage)["legacy-taint"], wanted(stage)["main-taint"]) == ("tainted", "clear")
    assert {wanted(stage)[name] for name in ("main-drain", "main-drain-ingress")} == {"present"}


def test_a_scope_says_by_default_that_nothing_is_taken_back() -> None:
    assert Scope(settings=settings(3)).returning is False

"""Which nodes a selector may mean: refused in one sentence before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest

from migration.clients.kubernetes import Kind
from migration.drain.nodes import CORDONED, SET_ASIDE, TAINT, given_back, set_aside
from migration.drain.selection import listed_by, selected
from migration.runtime.deadline import Permanent
from tests.unit.drain.world import refusal

ROLE = "node-role.kubernetes.io/control-plane"


def node(
    name: str, pool: str, *, taints: list[Any] | None = None, ready: str = "True", role: str = ""
) -> dict[str, Any]:
    labels = {"pool": pool, "all": "yes", **({role: ""} if role else {})}
    return {
        "metadata": {"name": name, "labels": labels, "annotations": {}},
        "spec": {"taints": taints or []},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


class Api:
    """Nodes, by selectors of one pair."""

    def __init__(self, *nodes: dict[str, Any]) -> None:
        self.nodes = nodes

    def list(self, kind: Kind, *, labels: str | None = None) -> list[dict[str, Any]]:
        if labels is None:
            return [*self.nodes]
        key, pair, value = labels.partition("=")
        if not pair:
            raise refusal(400, f"unable to parse requirement: found '{labels}'")
        return [one for one in self.nodes if one["metadata"]["labels"].get(key) == value]


SIDES = (node("o2", "old"), node("o1", "old"), node("n1", "new"), node("m1", "members", role=ROLE))


def refused(selector: str, *nodes: dict[str, Any]) -> str:
    with pytest.raises(Permanent) as told:
        selected(Api(*(nodes or SIDES)), selector)
    return str(told.value)


def test_a_selector_means_its_nodes_by_name() -> None:
    assert [one["metadata"]["name"] for one in selected(Api(*SIDES), "pool=old")] == ["o1", "o2"]


def test_no_node_an_empty_selector_and_one_that_cant_be_read_are_refused() -> None:
    assert refused("pool=gone").startswith("--nodes 'pool=gone' matches none of the cluster's 4 nodes")
    assert refused(" ").startswith("--nodes is empty, which means every node")
    assert "is no label selector: unable to parse requirement" in refused("pool!")


def test_a_node_of_the_control_plane_is_refused_by_label_or_by_taint() -> None:
    assert "nodes of the control plane (m1)" in refused("all=yes")
    tainted = node("m2", "old", taints=[{"key": ROLE, "effect": "NoSchedule"}])
    assert "nodes of the control plane (m2)" in refused("pool=old", *SIDES, tainted)


@pytest.mark.parametrize(
    "other",
    [
        (),
        (node("n1", "new", ready="False"),),
        (node("n1", "new", taints=[TAINT]),),
        (node("m1", "members", role=ROLE, taints=[{"key": ROLE}]),),
    ],
)
def test_a_selection_that_leaves_no_node_for_the_pods_is_refused(other: tuple[dict[str, Any], ...]) -> None:
    assert "leaves none that is ready, uncordoned and without the taint" in refused(
        "pool=old", node("o", "old"), *other
    )


def test_nodes_of_both_sides_of_a_migration_are_refused_and_both_are_named() -> None:
    left = node("o1", "both", taints=[TAINT])
    told = refused("pool=both", left, node("n1", "both"), node("n2", "new"))
    assert "both sides of a migration: 1 have its taint (o1), 1 don't (n1)" in told


def test_what_a_killed_run_left_half_tainted_is_no_second_side() -> None:
    begun = node("o1", "old")
    patch = set_aside(begun)
    assert patch is not None
    begun["spec"] |= patch["spec"]
    begun["metadata"]["annotations"] |= patch["metadata"]["annotations"]
    assert len(selected(Api(begun, node("o2", "old"), node("n1", "new")), "pool=old")) == 2


def test_one_side_that_a_migration_tainted_may_be_drained_and_keeps_its_taint() -> None:
    left = node("o1", "old", taints=[TAINT])
    assert len(selected(Api(left, node("n1", "new")), "pool=old")) == 1
    patch = set_aside(left)
    assert patch == {"spec": {"unschedulable": True}, "metadata": {"annotations": {CORDONED: "true"}}}
    left["metadata"]["annotations"] = {CORDONED: "true"}
    assert given_back(left) == {"spec": {"unschedulable": None}, "metadata": {"annotations": {CORDONED: None}}}


def test_given_back_is_what_was_set_aside_and_nothing_else() -> None:
    fresh = node("o1", "old")
    patch = set_aside(fresh)
    assert patch is not None
    assert patch["metadata"]["annotations"] == {CORDONED: "true", SET_ASIDE: "true"}
    fresh["spec"] |= patch["spec"]
    fresh["metadata"]["annotations"] |= patch["metadata"]["annotations"]
    assert given_back(fresh) == {
        "spec": {"unschedulable": None, "taints": []},
        "metadata": {"annotations": {CORDONED: None, SET_ASIDE: None}},
    }
    by_hand = {**node("o2", "old"), "spec": {"unschedulable": True, "taints": []}}
    assert given_back(by_hand) is None


def test_a_selector_that_may_not_be_asked_is_said() -> None:
    class Closed:
        def list(self, kind: Kind, *, labels: str | None = None) -> list[dict[str, Any]]:
            raise refusal(403, "nodes is forbidden")

    with pytest.raises(Permanent, match=r"the nodes can't be listed: .*nodes is forbidden"):
        listed_by(Closed(), "pool=old")

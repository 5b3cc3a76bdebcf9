"""What counts as a whole cluster, from the objects alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.addresses import LabAddresses
from lab.health import judge, look


def _node(name: str, ready: bool = True) -> dict[str, Any]:
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {"metadata": {"name": name}, "status": {"conditions": [condition]}}


def _pod(name: str, ready: bool = True, phase: str = "Running") -> dict[str, Any]:
    found = _node(name, ready)
    return {**found, "status": {**found["status"], "phase": phase}}


def _budget(name: str, current: int, desired: int) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"currentHealthy": current, "desiredHealthy": desired}}


def test_a_cluster_with_everything_ready_is_whole() -> None:
    health = judge([_node("n")], [_pod("p"), _pod("job", ready=False, phase="Succeeded")], [_budget("b", 2, 2)],
                   workload=True)  # fmt: skip
    assert health.whole
    assert str(health) == "1 nodes, 1 pods, 1 budgets: all ready"


def test_everything_missing_is_named_at_once() -> None:
    health = judge([_node("n1", False)], [_pod("p1", False), _pod("p2", False)], [_budget("b", 1, 2)], workload=True)
    assert health.missing == (
        "1 node(s) not ready (n1)",
        "2 pod(s) not ready (p1, p2)",
        "1 budget(s) below its minimum (b)",
    )


def test_a_cluster_without_nodes_is_not_whole_and_pods_count_only_when_asked_for() -> None:
    assert judge([], [], [], workload=False).missing == ("no node has joined",)
    assert judge([_node("n")], [], [], workload=False).whole
    assert judge([_node("n")], [], [], workload=True).missing == ("no pod is there",)


def test_a_budget_the_controller_has_not_seen_is_not_met() -> None:
    unseen = {"metadata": {"name": "b"}}
    assert judge([_node("n")], [_pod("p")], [unseen], workload=True).missing == ("1 budget(s) below its minimum (b)",)


def test_a_cluster_that_cannot_be_asked_is_a_sentence(tmp_path: Path) -> None:
    health = look(tmp_path, LabAddresses())
    assert "the Kubernetes API doesn't answer" in str(health)

"""What is read from the API's objects, and the arithmetic of selectors and percentages."""

from __future__ import annotations

from typing import Any

import pytest

from migration.clients.kubernetes import ApiFailure
from migration.drain.evict import Outcome, read_answer
from migration.drain.model import budget_from, matches, owner_from, pod_from, scaled
from migration.drain.nodes import CORDONED, TAINT, cleared, cordoned, instance_of, tainted, uncordoned
from migration.drain.restart import next_step
from tests.unit.drain.world import refusal, too_low


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        (None, {"a": "1"}, False),
        ({}, {}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
    ],
)
def test_selectors_select_as_policy_v1_says(selector: Any, labels: dict[str, str], expected: bool) -> None:
    assert matches(selector, labels) is expected


@pytest.mark.parametrize(
    ("value", "total", "up", "expected"),
    [("25%", 5, True, 2), ("25%", 5, False, 1), ("0%", 5, True, 0), (3, 5, True, 3), ("3", 9, False, 3)],
)
def test_percentages_are_rounded_as_asked(value: int | str, total: int, up: bool, expected: int) -> None:
    assert scaled(value, total, up=up) == expected


def test_a_pod_is_read_with_its_claims_controller_and_wishes() -> None:
    pod = pod_from(
        {
            "metadata": {
                "namespace": "apps",
                "name": "db-0",
                "uid": "u1",
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
                "ownerReferences": [
                    {"kind": "Other", "name": "x", "uid": "x"},
                    {"kind": "StatefulSet", "name": "db", "uid": "s1", "controller": True},
                ],
            },
            "spec": {
                "nodeName": "n1",
                "volumes": [
                    {"name": "a", "persistentVolumeClaim": {"claimName": "data-db-0"}},
                    {"name": "tmp", "emptyDir": {}},
                    {"name": "eph", "ephemeral": {}},
                ],
            },
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }
    )
    assert pod.controller is not None
    assert (pod.controller.kind, pod.ready, pod.terminating, pod.empty_dir) == ("StatefulSet", True, True, True)
    assert pod.claims == ("data-db-0", "db-0-eph")
    assert pod.leave_alone == "cluster-autoscaler.kubernetes.io/safe-to-evict=false"


def test_a_budget_whose_status_is_older_than_its_spec_allows_nothing() -> None:
    item = {
        "metadata": {"namespace": "a", "name": "b", "generation": 2},
        "spec": {"selector": {}},
        "status": {"observedGeneration": 1, "disruptionsAllowed": 5, "expectedPods": 1, "desiredHealthy": 1},
    }
    stale = budget_from(item)
    assert (stale.allowed, stale.fresh, stale.never_allows) == (0, False, False)
    item["status"]["observedGeneration"] = 2
    fresh = budget_from(item)
    assert (fresh.allowed, fresh.never_allows) == (5, True)


# replicas, strategy → surges: maxUnavailable is rounded down, maxSurge up.
@pytest.mark.parametrize(
    ("replicas", "strategy", "surges"),
    [
        (1, {}, True),
        (3, {}, True),
        (4, {}, False),
        (1, {"type": "Recreate"}, False),
        (1, {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}, False),
        (1, {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}, False),
        (9, {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "10%"}}, True),
    ],
)
def test_a_deployment_surges_only_without_effective_unavailability(
    replicas: int, strategy: dict[str, Any], surges: bool
) -> None:
    item = {
        "metadata": {"namespace": "a", "name": "b", "uid": "u"},
        "spec": {"replicas": replicas, "strategy": strategy},
    }
    assert owner_from("Deployment", item).surges is surges


def deployment(annotation: str = "", **status: Any) -> dict[str, Any]:
    whole = {"observedGeneration": 3, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    return {
        "metadata": {"generation": 3, "resourceVersion": "7"},
        "spec": {"replicas": 1, "template": {"metadata": {"annotations": {"migration/restarted-off": annotation}}}},
        "status": {**whole, **status},
    }


@pytest.mark.parametrize(
    ("item", "do", "value"),
    [
        (deployment(), "restart", "vpc-1/1"),
        (deployment("vpc-1/1"), "restart", "vpc-1/2"),
        (deployment("vpc-0/4"), "restart", "vpc-1/1"),
        (deployment(observedGeneration=2), "wait", ""),
        (deployment(updatedReplicas=0), "wait", ""),
        (deployment(replicas=2), "wait", ""),
        (deployment(availableReplicas=0), "wait", ""),
        (
            deployment(availableReplicas=0, conditions=[{"type": "Progressing", "status": "False", "message": "late"}]),
            "stuck",
            "",
        ),
    ],
)
def test_a_rolling_restart_is_begun_only_when_none_is_on_its_way(item: dict[str, Any], do: str, value: str) -> None:
    step = next_step(item, "vpc-1")
    assert (step.do, step.value) == (do, value)


def node(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "n", "resourceVersion": "1"}, "spec": spec}


def test_an_instance_is_told_from_the_provider_id() -> None:
    assert instance_of(node(providerID="aws:///eu-central-1a/i-0abc")) == "i-0abc"
    assert instance_of(node(providerID="gce://x/y/z")) == ""
    assert instance_of(node()) == ""


def test_the_taint_is_added_beside_others_once_and_taken_away_alone() -> None:
    other = {"key": "gpu", "effect": "NoSchedule"}
    patch = tainted(node(taints=[other]))
    assert patch == {"spec": {"taints": [other, TAINT]}}
    assert tainted(node(taints=[other, TAINT])) is None
    assert cleared(node(taints=[other, TAINT])) == {"spec": {"taints": [other]}}
    assert cleared(node(taints=[other])) is None


def test_only_our_own_cordon_is_taken_back() -> None:
    patch = cordoned(node(taints=[TAINT]))
    assert patch == {"spec": {"unschedulable": True}, "metadata": {"annotations": {CORDONED: "true"}}}
    assert cordoned(node(taints=[TAINT], unschedulable=True)) is None
    assert uncordoned(node(unschedulable=True)) is None
    ours = {"metadata": {"name": "n", "annotations": {CORDONED: "true"}}, "spec": {"unschedulable": True}}
    assert uncordoned(ours) == {"spec": {"unschedulable": None}, "metadata": {"annotations": {CORDONED: None}}}


@pytest.mark.parametrize(
    ("code", "message", "outcome"),
    [
        (404, "not found", Outcome.GONE),
        (409, "the UID in the precondition (a) does not match the UID in record (b)", Outcome.GONE),
        (409, "the object has been modified", Outcome.LATER),
        (429, "Too many requests, please try again later.", Outcome.THROTTLED),
        (504, "couldn't update PodDisruptionBudget due to conflicts", Outcome.LATER),
        (500, "This pod has more than one PodDisruptionBudget", Outcome.DENIED),
        (500, "etcdserver: leader changed", Outcome.LATER),
        (503, "starting", Outcome.LATER),
        (403, "webhook denied", Outcome.DENIED),
        (403, "it is being terminated", Outcome.LATER),
    ],
)
def test_every_answer_of_the_eviction_api_has_its_meaning(code: int, message: str, outcome: Outcome) -> None:
    assert read_answer(refusal(code, message)).outcome is outcome


def test_a_429_of_a_budget_is_told_from_one_of_a_busy_server() -> None:
    assert read_answer(too_low()).outcome is Outcome.REFUSED
    assert not read_answer(too_low()).busy
    throttled = read_answer(ApiFailure(429, {}, "evict", 7.0))
    assert (throttled.outcome, throttled.busy, throttled.retry_after) == (Outcome.THROTTLED, True, 7.0)


def raw(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "a", "name": "b", "uid": "c"}, "spec": spec, "status": {}}


HOST = {"name": "h", "hostPath": {"path": "/var/data", "type": ""}}
CORDON_TOO = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}
MOUNT = {"name": "h", "mountPath": "/data"}


@pytest.mark.parametrize(
    ("volume", "mount", "writes"),
    [
        (HOST, MOUNT, True),
        (HOST, {**MOUNT, "readOnly": True}, False),
        ({"name": "h", "hostPath": {"path": "/run/x.sock", "type": "Socket"}}, MOUNT, False),
        ({"name": "h", "emptyDir": {}}, MOUNT, False),
    ],
)
def test_only_what_a_pod_may_write_on_its_node_counts_as_data(volume: Any, mount: Any, writes: bool) -> None:
    assert pod_from(raw(volumes=[volume], containers=[{"volumeMounts": [mount]}])).host_path is writes


@pytest.mark.parametrize(
    ("tolerations", "tolerates"),
    [
        ([{"operator": "Exists"}], True),
        ([{"operator": "Exists", "effect": "NoExecute"}], False),
        ([{"key": "migration", "operator": "Exists"}], False),
        (
            [
                {"key": "migration", "value": "migration"},
                {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"},
            ],
            True,
        ),
        (
            [{"key": "migration", "value": "other"}, {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}],
            False,
        ),
        ([], False),
    ],
)
def test_a_pod_tolerates_old_nodes_only_with_taint_and_cordon(tolerations: Any, tolerates: bool) -> None:
    assert pod_from(raw(tolerations=tolerations)).tolerates is tolerates


def test_pods_that_run_to_completion_are_known_by_owner_or_restart_policy() -> None:
    job = raw(restartPolicy="Always")
    job["metadata"]["ownerReferences"] = [{"kind": "Job", "name": "j", "uid": "j", "controller": True}]
    assert (pod_from(job).ends_itself, pod_from(raw(restartPolicy="Never")).ends_itself) == (True, True)
    assert not pod_from(raw(restartPolicy="Always")).ends_itself


def test_why_the_scheduler_finds_no_node_is_read_and_a_gate_is_no_such_reason() -> None:
    waiting = raw()
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    waiting["status"] = {"conditions": [condition]}
    assert pod_from(waiting).unschedulable == "0/3 nodes"
    condition["reason"] = "SchedulingGated"
    assert pod_from(waiting).unschedulable == ""


def test_a_terminating_pods_grace_is_what_it_was_given() -> None:
    ending = raw(terminationGracePeriodSeconds=30)
    ending["metadata"]["deletionGracePeriodSeconds"] = 600
    assert pod_from(ending).grace_seconds == 600

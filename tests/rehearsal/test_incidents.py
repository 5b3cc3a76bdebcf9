"""What is chosen to happen before a turn: nothing that would break a budget by itself."""

from __future__ import annotations

from typing import Any

import pytest

from lab.machines.service_balancers import EXCLUDED, TAG
from lab.workload import objects
from migration.clients.kubernetes import BUDGETS, DEPLOYMENTS, NODES, PODS, SERVICES, STATEFUL_SETS, Kind
from rehearsal import incidents
from rehearsal.driver import RehearsalError
from rehearsal.incidents import (
    RESTARTED_AT,
    Incidents,
    Team,
    half,
    key,
    losable,
    part,
    shut,
    to_scale,
    unavailable,
    unsettled,
)


def deployment(name: str, replicas: int = 4, strategy: dict[str, Any] | None = None) -> dict[str, Any]:
    made = objects.deployment(name, "shop", replicas, {"metadata": {"labels": {"app": name}}, "spec": {}}, strategy)
    made["metadata"]["generation"] = 2
    made["status"] = {
        "observedGeneration": 2,
        "updatedReplicas": replicas,
        "replicas": replicas,
        "readyReplicas": replicas,
    }
    return made


def budget(name: str, allowed: int, namespace: str = "shop") -> dict[str, Any]:
    made = objects.budget(name, namespace, objects.at_most(1))
    return made | {"status": {"disruptionsAllowed": allowed}}


def pod(app: str, node: str, *, namespace: str = "shop", owner: str = "ReplicaSet", claim: str = "") -> dict[str, Any]:
    volumes = [{"persistentVolumeClaim": {"claimName": claim}}] if claim else [{"configMap": {"name": "x"}}]
    return {
        "metadata": {"namespace": namespace, "labels": {"app": app}, "ownerReferences": [{"kind": owner}]},
        "spec": {"nodeName": node, "volumes": volumes},
    }


@pytest.mark.parametrize(
    ("value", "of", "up", "count"),
    [("25%", 10, False, 2), ("25%", 10, True, 3), (3, 10, False, 3), ("1", 10, True, 1), ("0%", 10, False, 0)],
)
def test_percentages_are_rounded_as_kubernetes_does(value: object, of: int, up: bool, count: int) -> None:
    assert part(value, of, up=up) == count


@pytest.mark.parametrize(
    ("strategy", "replicas", "count"),
    [
        (None, 8, 2),
        (objects.rolling(1, 0), 1, 0),
        (objects.rolling(0, "10%"), 4, 1),  # neither surge nor unavailability would never end: Kubernetes takes one
        ({"type": "Recreate"}, 4, 4),
    ],
)
def test_a_rollout_takes_down_what_its_strategy_says(strategy: Any, replicas: int, count: int) -> None:
    assert unavailable(deployment("a", replicas, strategy)) == count


def test_half_of_them_are_restarted_and_none_whose_rollout_would_break_its_budget() -> None:
    every = [deployment(name) for name in "abcdef"]
    budgets = [budget("b", 0), budget("c", 1), budget("d", 3)]
    # A rollout of four takes down one.
    assert half(every, budgets, [], turn=3) == ["shop/a", "shop/c", "shop/d"]
    assert half(every, budgets, [], turn=4) == ["shop/d", "shop/e", "shop/f"]
    assert half([*every, deployment("g")], budgets, [], turn=3) == ["shop/a", "shop/c", "shop/d", "shop/e"]


def test_too_few_that_may_be_restarted_are_said_rather_than_fewer_restarted() -> None:
    every = [deployment(name) for name in "abc"]
    with pytest.raises(RehearsalError, match="only 1 of 3 Deployments"):
        half(every, [budget("a", 0), budget("b", 0)], [], turn=3)


def test_what_a_balancer_reaches_on_its_own_nodes_only_is_not_restarted() -> None:
    every = [deployment(name) for name in "ab"]
    local = objects.service("a", "shop", 80, 8080, type="NodePort", externalTrafficPolicy="Local")
    assert half(every, [], [local], turn=3) == ["shop/b"]
    for other in (
        objects.service("a", "billing", 80, 8080, type="NodePort", externalTrafficPolicy="Local"),
        objects.service("a", "shop", 80, 8080, type="NodePort", externalTrafficPolicy="Cluster"),
        objects.service("c", "shop", 80, 8080, type="NodePort", externalTrafficPolicy="Local"),
    ):
        assert half(every, [], [other], turn=3) == ["shop/a"]


def test_a_budget_of_another_namespace_or_application_is_not_asked() -> None:
    every = [deployment("a")]
    assert half(every, [budget("a", 0, namespace="billing"), budget("other", 0)], [], turn=3) == ["shop/a"]


def test_the_largest_that_is_not_restarted_grows_by_a_quarter() -> None:
    every = [deployment("a", 8), deployment("b", 6), deployment("c", 2)]
    assert to_scale(every, ["shop/a"]) == ("shop/b", 8)


def test_a_deployment_whose_budget_allows_nothing_is_one_that_a_drain_restarts() -> None:
    assert shut([deployment("a"), deployment("b")], [budget("a", 0), budget("b", 1)]) == ["shop/a"]


def test_a_machine_is_lost_only_with_pods_that_may_go_and_the_fullest_first() -> None:
    nodes = ["two-of-one", "claim", "ingress", "empty", "one", "more", "agents"]
    pods = [
        *(pod("a", "two-of-one") for _ in range(2)),
        pod("db", "claim", claim="data-db-0"),
        pod("ingress", "ingress", namespace="ingress"),
        pod("a", "one"),
        pod("free", "more"),
        pod("free", "more"),
        pod("agent", "agents", owner="DaemonSet"),
        pod("a", "elsewhere"),
    ]
    # Of `free` any number may go: it has no budget.
    ingress = objects.service("ingress", "ingress", 80, 8080, type="NodePort")
    assert losable(nodes, pods, [budget("a", 1)], [ingress]) == ["more", "one"]
    assert losable(nodes, pods, [budget("a", 0)], [ingress]) == ["more"]
    assert losable(nodes, pods, [budget("a", 2)], []) == ["more", "two-of-one", "ingress", "one"]


@pytest.mark.parametrize(
    ("kind", "namespace", "lost"),
    [
        ("LoadBalancer", "shop", []),
        ("NodePort", "shop", []),
        ("ClusterIP", "shop", ["one"]),
        ("LoadBalancer", "billing", ["one"]),
    ],
)
def test_a_machine_with_a_pod_that_balancers_lead_to_is_not_lost(kind: str, namespace: str, lost: list[str]) -> None:
    service = objects.service("a", namespace, 80, 8080, type=kind)
    assert losable(["one"], [pod("a", "one")], [], [service]) == lost


def test_a_service_without_a_selector_leads_to_no_pod_by_itself() -> None:
    service = objects.service("a", "shop", 80, 8080, type="LoadBalancer")
    del service["spec"]["selector"]
    assert losable(["one"], [pod("a", "one")], [], [service]) == ["one"]


@pytest.mark.parametrize(
    "changed",
    [
        {"observedGeneration": 1},
        {"readyReplicas": 3},
        {"updatedReplicas": 2},
        {"replicas": 5},
        {"currentRevision": "1", "updateRevision": "2"},
    ],
)
def test_a_rollout_that_is_not_through_is_waited_for(changed: dict[str, Any]) -> None:
    settled, rolling = deployment("a"), deployment("b")
    rolling["status"] |= changed
    assert unsettled([settled], []) == []
    assert unsettled([settled], [rolling]) == ["shop/b"]


def test_what_was_done_is_told_also_where_no_old_machine_was_left() -> None:
    done = Incidents(
        deployments=("shop/a", "shop/b"),
        stateful_set="shop/db",
        scaled="shop/c",
        replicas=5,
        group="",
        instance="",
        shut=(),
    )
    assert done.told == (
        "2 Deployments were restarted: shop/a, shop/b",
        "StatefulSet shop/db was restarted",
        "Deployment shop/c was scaled up to 5",
        "there was no old worker to lose",
    )
    lost = done.model_copy(update={"group": "workers", "instance": "i-1"})
    assert lost.told[-1] == "i-1 of workers was terminated"


# Doing it, to a cluster and an account that only hold what they are given


class FakeCluster:
    """Two Deployments and a StatefulSet, on a machine of each side; a rollout is through at once, unless `stuck`."""

    def __init__(self) -> None:
        self.objects: dict[Kind, list[dict[str, Any]]] = {
            DEPLOYMENTS: [deployment("a", 4), deployment("b", 8)],
            STATEFUL_SETS: [deployment("db", 3)],
            BUDGETS: [budget("a", 1), budget("b", 2)],
            NODES: [self.node("old", "i-old"), self.node("new", "i-new")],
            PODS: [pod("a", "old"), pod("b", "new")],
            SERVICES: [],
        }
        self.stuck = False

    @staticmethod
    def node(name: str, instance: str) -> dict[str, Any]:
        return {"metadata": {"name": name}, "spec": {"providerID": f"aws:///eu-central-1a/{instance}"}}

    def list(self, kind: Kind) -> list[dict[str, Any]]:
        return self.objects[kind]

    def find(self, kind: Kind, name: str) -> dict[str, Any] | None:
        return next((one for one in self.objects[kind] if one["metadata"]["name"] == name), None)

    def patch(self, kind: Kind, name: str, body: dict[str, Any], namespace: str | None = None) -> None:
        if kind is NODES:
            [node] = [one for one in self.objects[NODES] if one["metadata"]["name"] == name]
            node["metadata"]["labels"] = {**node["metadata"].get("labels", {}), **body["metadata"]["labels"]}
            return
        [item] = [one for one in self.objects[kind] if key(one) == f"{namespace}/{name}"]
        if "template" in body["spec"]:
            item["spec"]["template"]["metadata"]["annotations"] = body["spec"]["template"]["metadata"]["annotations"]
        replicas = body["spec"].get("replicas", item["spec"]["replicas"])
        item["spec"]["replicas"] = replicas
        counts = dict.fromkeys(("updatedReplicas", "replicas", "readyReplicas"), 0 if self.stuck else replicas)
        item["status"] |= counts


class FakeGroups:
    """Auto Scaling with one group; what is terminated takes its Node along."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster, self.terminated = cluster, list[tuple[str, bool]]()
        self.controllers: list[str] = []
        """Targets of a cloud controller's group, which follow the Nodes' label."""

    def get_paginator(self, operation: str) -> FakeGroups:
        assert operation == "describe_auto_scaling_groups"
        return self

    def paginate(self) -> list[dict[str, Any]]:
        def group(name: str, instance: str) -> dict[str, Any]:
            inside = [{"InstanceId": instance, "LifecycleState": "InService"}]
            return {"AutoScalingGroupName": name, "Instances": inside}

        return [{"AutoScalingGroups": [group("workers", "i-old"), group("workers-main", "i-new")]}]

    def describe_target_groups(self) -> dict[str, Any]:
        return {"TargetGroups": [{"TargetGroupArn": "fed"}, {"TargetGroupArn": "controllers"}]}

    def describe_tags(self, ResourceArns: list[str]) -> dict[str, Any]:
        tags = {"controllers": [{"Key": TAG, "Value": "shop/web"}]} if self.controllers else {}
        return {"TagDescriptions": [{"ResourceArn": arn, "Tags": tags.get(arn, [])} for arn in ResourceArns]}

    def describe_target_health(self, TargetGroupArn: str) -> dict[str, Any]:
        assert TargetGroupArn == "controllers"
        excluded = [
            one["spec"]["providerID"].rpartition("/")[2]
            for one in self._cluster.objects[NODES]
            if EXCLUDED in one["metadata"].get("labels", {})
        ]
        self.controllers = [one for one in self.controllers if one not in excluded]
        return {"TargetHealthDescriptions": [{"Target": {"Id": one}} for one in self.controllers]}

    def terminate_instance_in_auto_scaling_group(self, InstanceId: str, ShouldDecrementDesiredCapacity: bool) -> None:
        self.terminated.append((InstanceId, ShouldDecrementDesiredCapacity))
        nodes = self._cluster.objects[NODES]
        nodes[:] = [one for one in nodes if not one["spec"]["providerID"].endswith(InstanceId)]


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def account(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeGroups:
    groups = FakeGroups(cluster)
    monkeypatch.setattr(incidents.boto3, "client", lambda service: groups)
    monkeypatch.setattr(incidents, "POLL_S", 0.0)
    return groups


def team(cluster: Any, *groups: str) -> Team:
    return Team(kubernetes=cluster, groups=groups, say=lambda text: None)


def test_everything_is_done_and_said(cluster: FakeCluster, account: FakeGroups) -> None:
    done = team(cluster, "workers").act(3)
    assert (done.deployments, done.stateful_set, done.scaled, done.replicas) == (("shop/a",), "shop/db", "shop/b", 10)
    assert (done.group, done.instance) == ("workers", "i-old")
    restarted = [
        key(one)
        for kind in (DEPLOYMENTS, STATEFUL_SETS)
        for one in cluster.objects[kind]
        if RESTARTED_AT in one["spec"]["template"]["metadata"].get("annotations", {})
    ]
    assert restarted == ["shop/a", "shop/db"]
    assert cluster.objects[DEPLOYMENTS][1]["spec"]["replicas"] == 10
    # The group goes on wanting it: what is lost is to be replaced by the way back.
    assert account.terminated == [("i-old", False)]


def test_a_machine_leaves_a_cloud_controllers_balancers_before_it_is_lost(
    cluster: FakeCluster, account: FakeGroups
) -> None:
    account.controllers = ["i-old", "i-new"]
    team(cluster, "workers").act(3)
    assert account.controllers == ["i-new"]
    assert account.terminated == [("i-old", False)]


def test_where_the_old_groups_have_no_machine_none_is_lost(cluster: FakeCluster, account: FakeGroups) -> None:
    done = team(cluster, "workers-of-before").act(3)
    assert (done.group, done.instance, account.terminated) == ("", "", [])


def test_an_old_machine_that_no_budget_lets_go_is_not_lost(
    cluster: FakeCluster, account: FakeGroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.objects[PODS] = [pod("a", "old"), pod("a", "old")]
    monkeypatch.setattr(incidents, "SETTLE_S", 0.0)
    with pytest.raises(RehearsalError, match="waited 0 s for an old worker that can be lost without breaking a budget"):
        team(cluster, "workers").act(3)
    assert account.terminated == []


def test_a_rollout_that_gets_nowhere_ends_the_turn_and_is_named(
    cluster: FakeCluster, account: FakeGroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.stuck = True
    monkeypatch.setattr(incidents, "SETTLE_S", 0.0)
    with pytest.raises(RehearsalError, match=r"1 Deployments and StatefulSet shop/db were restarted.*left: shop/a"):
        team(cluster, "workers").act(3)
    assert account.terminated == []

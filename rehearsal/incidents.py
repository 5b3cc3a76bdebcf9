"""What happens to a cluster while it stands between two stages: teams roll out, one grows, a machine is lost.

Chosen so that no budget and no connection is broken by it: a rollout that takes down more pods than its budget allows,
or a machine that takes too many along, would be named by the proof, and be nobody's fault but this file's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3

from lab.machines.service_balancers import EXCLUDED, TAG
from migration.clients.kubernetes import BUDGETS, DEPLOYMENTS, NODES, PODS, SERVICES, STATEFUL_SETS, Kubernetes
from rehearsal.driver import RehearsalError
from rehearsal.world import Fact

Item = Mapping[str, Any]
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
"""What `kubectl rollout restart` sets on the pods' template."""
PUBLISHED = ("NodePort", "LoadBalancer")
"""Types of Services that balancers reach."""
SETTLE_S = 180.0
POLL_S = 1.0


class Incidents(Fact):
    """What was done, by namespace/name. `group` and `instance` are empty where there was no old machine to lose."""

    deployments: tuple[str, ...]
    stateful_set: str
    scaled: str
    replicas: int
    group: str
    instance: str
    shut: tuple[str, ...]
    """Deployments whose budgets allow no eviction: a drain moves those by a restart of its own."""

    @property
    def told(self) -> tuple[str, ...]:
        """A sentence each."""
        lost = f"{self.instance} of {self.group} was terminated" if self.instance else "there was no old worker to lose"
        return (
            f"{len(self.deployments)} Deployments were restarted: {', '.join(self.deployments)}",
            f"StatefulSet {self.stateful_set} was restarted",
            f"Deployment {self.scaled} was scaled up to {self.replicas}",
            lost,
        )


# What to choose. Pure.


def key(item: Item) -> str:
    """Namespace and name."""
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def part(value: object, of: int, *, up: bool) -> int:
    """A number, or a percentage of `of`, rounded as Kubernetes does: surge up, unavailability down."""
    if isinstance(value, str) and value.endswith("%"):
        exact = int(value[:-1]) * of / 100
        return math.ceil(exact) if up else math.floor(exact)
    return int(str(value))


def unavailable(deployment: Item) -> int:
    """How many pods a rollout of it may take down at once.

    https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment
    """
    spec = deployment["spec"]
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return spec["replicas"]
    rolling = strategy.get("rollingUpdate") or {}
    down = part(rolling.get("maxUnavailable", "25%"), spec["replicas"], up=False)
    surge = part(rolling.get("maxSurge", "25%"), spec["replicas"], up=True)
    return down if down or surge else 1


def selects(budget: Item, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether a budget is about pods with these labels. The lab's budgets select by labels alone."""
    wanted = (budget["spec"].get("selector") or {}).get("matchLabels") or {}
    return budget["metadata"]["namespace"] == namespace and wanted.items() <= labels.items()


def allowed(budget: Item) -> int:
    """How many of its pods may go now."""
    return int((budget.get("status") or {}).get("disruptionsAllowed") or 0)


def labels_of(deployment: Item) -> Mapping[str, str]:
    """Those that its pods get."""
    return deployment["spec"]["template"]["metadata"].get("labels") or {}


def of_deployment(deployment: Item, budgets: Sequence[Item]) -> list[Item]:
    """The budgets of its pods."""
    labels = labels_of(deployment)
    return [budget for budget in budgets if selects(budget, deployment["metadata"]["namespace"], labels)]


def behind_local(deployment: Item, services: Sequence[Item]) -> bool:
    """Whether balancers reach its pods only on their own nodes (`externalTrafficPolicy: Local`).

    Then a restart of it resets connections in any cluster whose balancers check the node port itself: a node whose last
    pod has gone is a healthy target until the next checks. Seen on the lab at rest, at stage 0.
    """
    local = [one for one in services if one["spec"].get("externalTrafficPolicy") == "Local"]
    return behind(local, deployment["metadata"]["namespace"], labels_of(deployment))


def behind(services: Sequence[Item], namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether one of these Services leads to pods with these labels. One without a selector leads to none by itself."""
    return any(
        service["metadata"]["namespace"] == namespace
        and bool(selector := service["spec"].get("selector"))
        and selector.items() <= labels.items()
        for service in services
    )


def half(deployments: Sequence[Item], budgets: Sequence[Item], services: Sequence[Item], turn: int) -> list[str]:
    """Half of the Deployments, of those that may be restarted without breaking a budget or a connection: by turns the
    first and the last of them. Raises `RehearsalError` where there are too few.
    """
    wanted = math.ceil(len(deployments) / 2)
    free = sorted(
        key(one)
        for one in deployments
        if all(unavailable(one) <= allowed(budget) for budget in of_deployment(one, budgets))
        and not behind_local(one, services)
    )
    if len(free) < wanted:
        raise RehearsalError(f"only {len(free)} of {len(deployments)} Deployments can be restarted under their budgets")
    return free[:wanted] if turn % 2 else free[-wanted:]


def to_scale(deployments: Sequence[Item], restarted: Collection[str]) -> tuple[str, int]:
    """The largest Deployment that isn't restarted, and a quarter more replicas."""
    largest = max(
        (one for one in deployments if key(one) not in restarted), key=lambda one: (one["spec"]["replicas"], key(one))
    )
    replicas = largest["spec"]["replicas"]
    return key(largest), replicas + math.ceil(replicas / 4)


def shut(deployments: Sequence[Item], budgets: Sequence[Item]) -> list[str]:
    """Deployments of which nothing may be evicted, although all of it is there."""
    return sorted(
        key(one) for one in deployments if any(allowed(budget) == 0 for budget in of_deployment(one, budgets))
    )


def losable(
    nodes: Collection[str], pods: Sequence[Item], budgets: Sequence[Item], services: Sequence[Item]
) -> list[str]:
    """Those of `nodes` that may be lost with all their pods: no budget is broken, and no pod is there that has a volume
    or that balancers lead to. The fullest first.

    A machine that is lost takes open requests along in any cluster, and its pods are endpoints until somebody notices.
    """
    published = [one for one in services if one["spec"].get("type") in PUBLISHED]
    here: dict[str, list[Item]] = {name: [] for name in nodes}
    for pod in pods:
        owners = pod["metadata"].get("ownerReferences") or ()
        if pod["spec"].get("nodeName") in here and not any(one["kind"] == "DaemonSet" for one in owners):
            here[pod["spec"]["nodeName"]].append(pod)
    return sorted(
        (name for name, mine in here.items() if mine and _may_go(mine, budgets, published)),
        key=lambda name: (-len(here[name]), name),
    )


def _may_go(pods: Sequence[Item], budgets: Sequence[Item], published: Sequence[Item]) -> bool:
    for pod in pods:
        if behind(published, pod["metadata"]["namespace"], pod["metadata"].get("labels") or {}):
            return False
        if any("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes") or ()):
            return False
    return all(
        sum(selects(budget, pod["metadata"]["namespace"], pod["metadata"].get("labels") or {}) for pod in pods)
        <= allowed(budget)
        for budget in budgets
    )


def unsettled(deployments: Sequence[Item], stateful_sets: Sequence[Item]) -> list[str]:
    """Workloads whose pods aren't all ready and of the newest template."""
    found: list[str] = []
    for item in (*deployments, *stateful_sets):
        status, wanted = item.get("status") or {}, item["spec"]["replicas"]
        seen = status.get("observedGeneration", 0) >= item["metadata"].get("generation", 0)
        counts = (status.get("updatedReplicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0))
        through = status.get("currentRevision") == status.get("updateRevision")
        if not (seen and through and counts == (wanted, wanted, wanted)):
            found.append(key(item))
    return found


# Doing it


@dataclass(frozen=True, kw_only=True)
class Team:
    """Who does it: with the cluster's administrator's rights, and those of the account. `groups` are the old side's
    worker groups.
    """

    kubernetes: Kubernetes
    groups: tuple[str, ...]
    say: Callable[[str], None]

    def act(self, turn: int) -> Incidents:
        """Everything, one after the other, each until the cluster has settled. Raises `RehearsalError`."""
        self._settle("before anything is done")
        deployments, budgets = self.kubernetes.list(DEPLOYMENTS), self.kubernetes.list(BUDGETS)
        restarted = half(deployments, budgets, self.kubernetes.list(SERVICES), turn)
        stateful = sorted(key(one) for one in self.kubernetes.list(STATEFUL_SETS))
        if not stateful:
            raise RehearsalError("there is no StatefulSet to restart")
        chosen = stateful[turn % len(stateful)]
        for kind, names in ((DEPLOYMENTS, restarted), (STATEFUL_SETS, [chosen])):
            for namespace, name in (one.split("/") for one in names):
                now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                template = {"metadata": {"annotations": {RESTARTED_AT: now}}}
                self.kubernetes.patch(kind, name, {"spec": {"template": template}}, namespace)
        self._settle(f"{len(restarted)} Deployments and StatefulSet {chosen} were restarted")
        scaled, replicas = to_scale(deployments, restarted)
        namespace, name = scaled.split("/")
        self.kubernetes.patch(DEPLOYMENTS, name, {"spec": {"replicas": replicas}}, namespace)
        self._settle(f"Deployment {scaled} was scaled up to {replicas}")
        group, instance = self._lose()
        return Incidents(
            deployments=tuple(restarted),
            stateful_set=chosen,
            scaled=scaled,
            replicas=replicas,
            group=group,
            instance=instance,
            shut=tuple(shut(deployments, budgets)),
        )

    def _lose(self) -> tuple[str, str]:
        """End one old machine, and wait until its pods run elsewhere: its group and id; nothing where there is none."""
        client: Any = boto3.client
        autoscaling = client("autoscaling")
        group_of = {
            one["InstanceId"]: group["AutoScalingGroupName"]
            for page in autoscaling.get_paginator("describe_auto_scaling_groups").paginate()
            for group in page["AutoScalingGroups"]
            for one in group["Instances"]
            if group["AutoScalingGroupName"] in self.groups and one["LifecycleState"] == "InService"
        }
        instances = {
            item["metadata"]["name"]: str(item["spec"].get("providerID") or "").rpartition("/")[2]
            for item in self.kubernetes.list(NODES)
        }
        old = {name: instance for name, instance in instances.items() if instance in group_of}
        if not old:
            self.say("no old worker is left that could be lost")
            return "", ""
        node = self._losable(list(old))
        instance = old[node]
        # As a person would: its targets are drained first. What runs on it is lost with it.
        self._leave_controllers_balancers(node, instance)
        autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=instance, ShouldDecrementDesiredCapacity=False)
        self._until(lambda: [node] if self.kubernetes.find(NODES, node) else [], f"Node {node} to go with {instance}")
        self._settle(f"{instance} of {group_of[instance]} was terminated")
        return group_of[instance], instance

    def _leave_controllers_balancers(self, node: str, instance: str) -> None:
        """Auto Scaling drains the target groups that it feeds; a cloud controller's are left by the Node's label."""
        client: Any = boto3.client
        elb = client("elbv2")
        groups = [one["TargetGroupArn"] for one in elb.describe_target_groups()["TargetGroups"]]
        tags = [
            one
            for start in range(0, len(groups), 20)
            for one in elb.describe_tags(ResourceArns=groups[start : start + 20])["TagDescriptions"]
        ]
        controllers = [one["ResourceArn"] for one in tags if TAG in {tag["Key"] for tag in one["Tags"]}]
        if not controllers:
            return

        def left() -> list[str]:
            return [
                arn
                for arn in controllers
                for one in elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
                if one["Target"]["Id"] == instance
            ]

        self.kubernetes.patch(NODES, node, {"metadata": {"labels": {EXCLUDED: ""}}})
        self._until(left, f"{instance} to leave its cloud controller's balancers")

    def _losable(self, nodes: list[str]) -> str:
        """The first that may be lost; budgets' status lags behind the pods', so it is asked for a while."""
        found: list[str] = []

        def none() -> list[str]:
            found[:] = losable(
                nodes,
                self.kubernetes.list(PODS),
                self.kubernetes.list(BUDGETS),
                self.kubernetes.list(SERVICES),
            )
            return [] if found else nodes

        self._until(none, "an old worker that can be lost without breaking a budget")
        return found[0]

    def _settle(self, what: str) -> None:
        self._until(
            lambda: unsettled(self.kubernetes.list(DEPLOYMENTS), self.kubernetes.list(STATEFUL_SETS)),
            f"everything to be ready ({what})",
        )
        self.say(f"{what}: all pods are ready")

    def _until(self, left: Callable[[], list[str]], what: str) -> None:
        end = time.monotonic() + SETTLE_S
        while found := left():
            if time.monotonic() > end:
                raise RehearsalError(f"waited {SETTLE_S:.0f} s for {what}; left: {', '.join(found[:5])}")
            time.sleep(POLL_S)

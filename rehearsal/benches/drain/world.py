"""What is drained: workloads with their budgets, drawn by a seed, as facts and as Kubernetes objects. Pure."""

from __future__ import annotations

import math
import random
from enum import StrEnum
from typing import Any, Self

from lab.bare.nodes import PODS as PODS_A_NODE
from lab.workload.objects import Object, deployment, pod_template
from rehearsal.world import Fact

NAMESPACE = "bench"
SIDE = "bench/side"
OLD, NEW = "old", "new"
START = "lab/start"
"""KWOK's annotation: how long a pod takes to be ready (lab/machines/stages.yaml)."""
WORKLOADS = 100
STATEFUL = 5
"""One workload in so many is a StatefulSet: 20 of 100."""
FEWEST_PODS = 10
SMALL = 12
"""The most pods of a workload with an absolute budget: those are written for small ones."""


class BadWorld(ValueError):
    """NODES, PODS or SEED can't be; one sentence."""


class Rule(StrEnum):
    """What a budget says."""

    FIVE = "5%"
    TEN = "10%"
    QUARTER = "25%"
    ONE = "1"
    TWO = "2"
    MIN = "minAvailable"

    @property
    def small(self) -> bool:
        return self in (Rule.ONE, Rule.TWO, Rule.MIN)


class Times(Fact):
    """Seconds, ranges to draw from: `ready` from creation (a tenth exact), `end` from eviction to gone (whole)."""

    ready: tuple[float, float]
    end: tuple[int, int]


TIMES = Times(ready=(2.0, 20.0), end=(1, 5))
SHORT_TIMES = Times(ready=(0.5, 2.0), end=(2, 3))


class Workload(Fact):
    """One owner with its budget. `ready_s` and `end_s`: as in `Times`; `min_available` where its rule is that."""

    name: str
    stateful: bool
    replicas: int
    rule: Rule
    min_available: int = 0
    ready_s: float
    end_s: int

    @property
    def allowed(self) -> int:
        """How many may be missing at once with all pods healthy (d_b).

        A percentage of maxUnavailable is rounded up: kubernetes/kubernetes, pkg/controller/disruption.
        """
        match self.rule:
            case Rule.MIN:
                return self.replicas - self.min_available
            case Rule.ONE | Rule.TWO:
                return min(self.replicas, int(self.rule))
            case _:
                return math.ceil(self.replicas * int(self.rule.removesuffix("%")) / 100)

    @property
    def desired(self) -> int:
        """How many healthy pods its budget asks for."""
        return self.replicas - self.allowed

    @property
    def seeded_s(self) -> float:
        """From an eviction to a ready successor, if nothing else took time.

        A StatefulSet's pod starts when the one of its name is gone; other controllers begin at the eviction.
        """
        return self.ready_s + (self.end_s if self.stateful else 0)


class World(Fact):
    """All of it. `nodes` on each side."""

    nodes: int
    pods: int
    seed: int
    times: Times
    workloads: tuple[Workload, ...]

    @classmethod
    def draw(cls, nodes: int, pods: int, seed: int, times: Times = TIMES) -> Self:
        """The same for the same numbers, always. Raises BadWorld."""
        if nodes < 1:
            raise BadWorld(f"NODES={nodes}: must be at least 1")
        if pods < FEWEST_PODS:
            raise BadWorld(f"PODS={pods}: must be at least {FEWEST_PODS}")
        if pods > nodes * PODS_A_NODE:
            raise BadWorld(
                f"PODS={pods}: {nodes} nodes hold {nodes * PODS_A_NODE} ({PODS_A_NODE} each); "
                f"set NODES to {math.ceil(pods / PODS_A_NODE)} or more, or PODS lower"
            )
        chance = random.Random(f"bench-drain {seed} {pods}")
        count = min(WORKLOADS, pods // 5)
        rules = [list(Rule)[index % len(Rule)] for index in range(count)]
        chance.shuffle(rules)
        sizes = _sizes(chance, rules, pods)
        drawn = [
            Workload(
                name=f"{'set' if index % STATEFUL == 0 else 'app'}-{index:03}",
                stateful=index % STATEFUL == 0,
                replicas=size,
                rule=rule,
                min_available=size - min(size - 1, chance.choice((1, 2))) if rule is Rule.MIN else 0,
                ready_s=round(chance.uniform(*times.ready), 1),
                end_s=chance.randint(*times.end),
            )
            for index, (rule, size) in enumerate(zip(rules, sizes, strict=True))
        ]
        return cls(nodes=nodes, pods=pods, seed=seed, times=times, workloads=tuple(drawn))


def _sizes(chance: random.Random, rules: list[Rule], pods: int) -> list[int]:
    """Replicas by workload, in all exactly `pods`, each at least 2."""
    most = max(2, min(SMALL, 2 * pods // len(rules) - 2))
    sizes = {index: chance.randint(2, most) for index, rule in enumerate(rules) if rule.small}
    rest = {index: chance.uniform(0.5, 1.5) for index, rule in enumerate(rules) if not rule.small}
    left = pods - sum(sizes.values()) - 2 * len(rest)
    if not rest or left < 0:
        sizes = dict.fromkeys(sizes, 2)
        left = pods - 2 * len(rules)
        rest = rest or dict.fromkeys(sizes, 1.0)
    total = sum(rest.values())
    for index, weight in rest.items():
        sizes[index] = 2 + int(left * weight / total)
    for index in sorted(rest)[: pods - sum(sizes.values())]:
        sizes[index] += 1
    return [sizes[index] for index in range(len(rules))]


def node_name(side: str, number: int) -> str:
    return f"{side}-{number:03}"


def workload_object(wanted: Workload) -> Object:
    """The Deployment or StatefulSet."""
    pod = pod_template(
        wanted.name,
        annotations={START: f"{wanted.ready_s}s"},
        terminationGracePeriodSeconds=wanted.end_s,
        # KWOK's pods end when their preStop hook has (lab/machines/stages.yaml).
        container={"lifecycle": {"preStop": {"sleep": {"seconds": wanted.end_s}}}},
    )
    if not wanted.stateful:
        return deployment(wanted.name, NAMESPACE, wanted.replicas, pod)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": wanted.name, "namespace": NAMESPACE, "labels": {"app": wanted.name}},
        "spec": {
            "serviceName": wanted.name,
            "replicas": wanted.replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": wanted.name}},
            "template": pod,
        },
    }


def budget_object(wanted: Workload) -> Object:
    """Its PodDisruptionBudget, of the same name."""
    limit: dict[str, Any]
    match wanted.rule:
        case Rule.MIN:
            limit = {"minAvailable": wanted.min_available}
        case Rule.ONE | Rule.TWO:
            limit = {"maxUnavailable": int(wanted.rule)}
        case _:
            limit = {"maxUnavailable": wanted.rule.value}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": wanted.name, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": {"app": wanted.name}}, **limit},
    }

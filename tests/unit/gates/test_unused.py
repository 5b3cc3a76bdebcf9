"""May traffic go back to the old side, and may the new side's balancers go? Asked of a small AWS."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from migration.clients.aws import Instance, Target
from migration.clients.kubernetes import NODES, Kind, NotFound
from migration.contracts.gates import (
    BalancerRef,
    NewApiUnused,
    NewIngressUnused,
    NewTargetsHealthy,
    OldTargetsServe,
    SideRef,
)
from migration.gates import Live, look
from migration.gates.quiet import ACTIVE, HEALTHY, NEW
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent, Retryable
from migration.settings.model import AcceptedFlows


def balancer(name: str) -> BalancerRef:
    return BalancerRef(arn=f"arn:x:loadbalancer/net/{name}/1", dns_name=f"{name}.elb", target_groups=(f"tg-{name}",))


OLD = SideRef(name="legacy", suffix="", cidr="10.0.0.0/16", vpc_id="vpc-1", ingress=balancer("in"), api=balancer("api"))
QUIET: dict[str, Any] = {"ttl": 5, "metric_period_seconds": 60, "quiet_periods": 3, "accepted": AcceptedFlows()}


def target(name: str, state: str) -> Target:
    return Target(id=name, port=1, zone="a", state=state)


@dataclass
class World:
    """A side's two balancers with a healthy target each, and what CloudWatch says of flows and targets."""

    targets: dict[str, list[Target]] = field(
        default_factory=lambda: {"tg-in": [target("i-1", "healthy")], "tg-api": [target("10.0.0.9", "healthy")]}
    )
    flows: dict[str, float] = field(default_factory=dict)
    reports: bool = True
    policy: str | None = "Cluster"
    pods_on: tuple[str, ...] = ("n1",)
    now: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(seconds=70))

    def target_health(self, arn: str) -> list[Target]:
        return self.targets[arn]

    @property
    def cloudwatch(self) -> Any:
        def statistics(*, MetricName: str, StartTime: datetime, EndTime: datetime, **_: Any) -> dict[str, Any]:
            value = 1.0 if MetricName == HEALTHY and self.reports else self.flows.get(MetricName)
            points = [] if value is None else [{"Timestamp": self.now, "Sum": value, "Maximum": value}]
            return {"Datapoints": [one for one in points if StartTime <= one["Timestamp"] <= EndTime]}

        return SimpleNamespace(get_metric_statistics=statistics)

    def instances_of_groups(self, names: Any) -> list[Instance]:
        return [
            Instance(id=f"i-{n}", ip="", zone="", vpc="", group="new", state="running", lifecycle="InService")
            for n in range(1, 4)
        ]

    # Kubernetes.

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any]:
        if self.policy is None:
            raise NotFound(404, {}, name)
        return {"spec": {"externalTrafficPolicy": self.policy}}

    def list(self, kind: Kind, namespace: str | None = None, **_: Any) -> list[dict[str, Any]]:
        if kind == NODES:
            return [{"metadata": {"name": f"n{n}"}, "spec": {"providerID": f"aws:///a/i-{n}"}} for n in range(1, 4)]
        return [{"endpoints": [{"nodeName": name, "conditions": {"ready": True}} for name in self.pods_on]}]

    def ask(self, question: Any) -> str:
        clients: Any = SimpleNamespace(aws=self, kubernetes=self)
        return look(question, Live("pet", Context(log=lambda _: None, deadline=Deadline(5), clients=clients)))


SERVES = OldTargetsServe(old=OLD)
# As it is found by name: here by its ids, so that nothing else has to be asked.
INGRESS, API = NewIngressUnused(side=OLD, **QUIET), NewApiUnused(side=OLD, **QUIET)


def test_old_balancers_with_healthy_targets_may_have_traffic_back_whatever_other_nodes_say() -> None:
    world = World()
    world.targets["tg-in"].append(target("i-2", "unhealthy"))
    said = "the old balancers have 1 of 2 ingress targets and 1 of 1 API targets healthy"
    assert world.ask(SERVES) == said


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([], "none of 0 targets is healthy"),
        (["unhealthy", "draining"], "none of 2 targets is healthy"),
        (["healthy", "initial"], "1 targets are still looked at"),
    ],
)
@pytest.mark.parametrize("group", ["tg-in", "tg-api"])
def test_traffic_does_not_go_back_to_targets_that_do_not_serve(group: str, states: list[str], said: str) -> None:
    world = World()
    world.targets[group] = [target(f"i-{number}", state) for number, state in enumerate(states)]
    with pytest.raises(Retryable, match=said):
        world.ask(SERVES)


@pytest.mark.parametrize("question", [INGRESS, API], ids=["ingress", "API"])
def test_a_quiet_balancer_may_go_and_one_in_use_may_not(question: Any) -> None:
    assert World().ask(question).startswith("0 new flows on net/")
    with pytest.raises(Retryable, match="3 new flows"):
        World(flows={NEW: 3}).ask(question)
    with pytest.raises(Retryable, match="2 open flows"):
        World(flows={ACTIVE: 2}).ask(question)


@pytest.mark.parametrize("question", [INGRESS, API], ids=["ingress", "API"])
def test_a_balancer_that_says_nothing_of_itself_is_not_taken_for_a_quiet_one(question: Any) -> None:
    with pytest.raises(Retryable):
        World(reports=False).ask(question)


def test_what_is_not_there_or_has_no_target_nobody_can_use() -> None:
    bare = World(targets={"tg-in": [], "tg-api": []}, reports=False)
    assert bare.ask(INGRESS) == "the ingress balancer of side legacy has no target, so it serves nobody"
    none = OLD.model_copy(update={"ingress": None, "api": None})
    assert World().ask(API.model_copy(update={"side": none})) == (
        "side legacy has no API balancer, so nobody can use one"
    )


HEALTHY_SIDE = NewTargetsHealthy(new=OLD, worker_groups=("new",), namespace="ingress", service="ing")


def side(**states: str) -> dict[str, list[Target]]:
    found = [target(f"i-{name[1:]}", state) for name, state in states.items()]
    return {"tg-in": found, "tg-api": [target("10.0.0.9", "healthy")]}


def test_every_worker_of_the_new_side_is_healthy_where_every_node_answers() -> None:
    ok = World(targets=side(n1="healthy", n2="healthy", n3="healthy"))
    assert ok.ask(HEALTHY_SIDE) == "3 ingress and 1 API targets are healthy"
    with pytest.raises(Retryable, match="new ingress balancer: i-2 unhealthy"):
        World(targets=side(n1="healthy", n2="unhealthy", n3="healthy")).ask(HEALTHY_SIDE)
    with pytest.raises(Retryable, match=r"1 workers aren't ingress targets yet \(i-3\)"):
        World(targets=side(n1="healthy", n2="healthy")).ask(HEALTHY_SIDE)


def test_with_the_policy_local_again_those_with_an_ingress_pod_are() -> None:
    states = side(n1="healthy", n2="unhealthy", n3="unhealthy")
    local = World(targets=states, policy="Local")
    assert local.ask(HEALTHY_SIDE) == "1 ingress and 1 API targets are healthy; 2 more without an ingress pod"
    with pytest.raises(Retryable, match="new ingress balancer: i-2 unhealthy"):
        World(targets=states, policy="Local", pods_on=("n1", "n2")).ask(HEALTHY_SIDE)
    with pytest.raises(Retryable, match="no worker of the new side runs a ready pod of ingress/ing"):
        World(targets=states, policy="Local", pods_on=()).ask(HEALTHY_SIDE)
    with pytest.raises(Permanent, match="Service ingress/ing does not exist"):
        World(targets=states, policy=None).ask(HEALTHY_SIDE)

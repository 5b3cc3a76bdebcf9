"""Narrow, flip, widen: every step on literals, then whole runs over a balancer in memory, killed anywhere."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from migration.clients.aws import Target
from migration.clients.kubernetes import ENDPOINT_SLICES, NODES, SERVICES, Conflict, Kind
from migration.contracts.traffic import IngressPolicyInputs, IngressPolicyResult
from migration.ingress.plan import Observation, Step, next_step
from migration.ingress.service import MARK, TERMINATION, refuse_health_check_ports
from migration.operations import ingress_policy
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, OutOfTime, Permanent
from tests.samples import COMMON

GROUPS = ("a", "b")
FLAT = Observation(
    wanted="Local",
    policy="Cluster",
    groups=GROUPS,
    suspended=frozenset(),
    marked=None,
    with_pods=frozenset({"i-1"}),
    in_service=frozenset({"i-1", "i-2", "i-3"}),
    targets={"tg": {"i-1": "healthy", "i-2": "healthy", "i-3": "healthy"}},
    terminates={"tg": True},
)
MARKED = replace(FLAT, marked=GROUPS)
CLOSED = replace(MARKED, suspended=frozenset(GROUPS))
NARROW = replace(CLOSED, targets={"tg": {"i-1": "healthy"}})
FLIPPED = replace(NARROW, policy="Local")
NOTED = replace(FLIPPED, noted={"tg": True})
KEPT = replace(NOTED, terminates={"tg": False})
TURNED = replace(KEPT, targets={"tg": {"i-1": "healthy", "i-2": "unhealthy", "i-3": "unhealthy"}})
GIVEN = replace(TURNED, terminates={"tg": True})


def brief(step: Step) -> tuple[str, tuple[str, ...], str]:
    return step.act, step.ids, step.policy


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (FLAT, ("mark", ("a", "b"), "")),
        # What somebody else suspended before isn't ours to resume.
        (replace(FLAT, suspended=frozenset({"a"})), ("mark", ("b",), "")),
        (MARKED, ("suspend", ("a", "b"), "")),
        (replace(MARKED, suspended=frozenset({"a"})), ("suspend", ("b",), "")),
        (CLOSED, ("deregister", ("i-2", "i-3"), "")),
        (replace(CLOSED, targets={"tg": {"i-1": "healthy", "i-2": "draining"}}), ("wait", (), "")),
        (NARROW, ("flip", (), "Local")),
        (FLIPPED, ("note", (), "")),
        (NOTED, ("keep-flows", (), "")),
        (KEPT, ("register", ("i-2", "i-3"), "")),
        # Another target group's note is kept beside.
        (replace(FLIPPED, noted={"other": True}), ("note", (), "")),
        # A target group that never reset flows isn't touched.
        (replace(KEPT, noted={"tg": False}), ("register", ("i-2", "i-3"), "")),
        (replace(TURNED, noted={"tg": False}), ("resume", ("a", "b"), "")),
        (replace(FLIPPED, targets={"tg": {"i-1": "initial"}}), ("wait", (), "")),
        # Nodes without an ingress pod are unhealthy under Local, as they should be; until all are, no flow is reset.
        (replace(KEPT, targets={"tg": {"i-1": "healthy", "i-2": "unhealthy", "i-3": "initial"}}), ("wait", (), "")),
        (TURNED, ("restore", (), "")),
        (GIVEN, ("resume", ("a", "b"), "")),
        (replace(GIVEN, suspended=frozenset()), ("unmark", (), "")),
        (replace(FLIPPED, targets=CLOSED.targets), ("resume", ("a", "b"), "")),
        (replace(FLIPPED, targets=CLOSED.targets, suspended=frozenset()), ("unmark", (), "")),
        (replace(FLIPPED, marked=None, suspended=frozenset()), ("done", (), "")),
    ],
)
def test_each_step_back_to_local_follows_from_what_is_there(facts: Observation, expected: tuple[Any, ...]) -> None:
    assert brief(next_step(facts)) == expected


def test_never_is_every_target_deregistered() -> None:
    nowhere = replace(CLOSED, with_pods=frozenset())
    assert next_step(nowhere).act == "wait"
    elsewhere = replace(CLOSED, targets={"tg": {"i-2": "healthy"}})
    assert brief(next_step(elsewhere)) == ("register", ("i-1",), "")


def test_nothing_is_deregistered_until_those_that_stay_are_healthy() -> None:
    assert next_step(replace(CLOSED, targets={"tg": {"i-1": "initial", "i-2": "healthy"}})).act == "wait"


def test_every_target_group_is_narrowed_before_the_flip() -> None:
    two = replace(CLOSED, targets={"one": {"i-1": "healthy"}, "two": {"i-1": "healthy", "i-2": "healthy"}})
    step = next_step(two)
    assert (step.act, step.target_group, step.ids) == ("deregister", "two", ("i-2",))


def test_to_cluster_it_is_flipped_at_once_and_every_target_waited_for() -> None:
    local = replace(FLAT, wanted="Cluster", policy="Local", targets={"tg": {"i-1": "healthy", "i-2": "unhealthy"}})
    assert brief(next_step(local)) == ("flip", (), "Cluster")
    assert next_step(replace(local, policy="Cluster")).act == "wait"
    assert (
        next_step(replace(local, policy="Cluster", targets={"tg": {"i-1": "healthy", "i-2": "unused"}})).act == "done"
    )


def test_turning_round_while_narrowed_widens_again() -> None:
    turned = replace(NARROW, wanted="Cluster", noted={"tg": True}, terminates={"tg": False})
    assert brief(next_step(turned)) == ("register", ("i-2", "i-3"), "")
    turned = replace(turned, targets=CLOSED.targets)
    assert brief(next_step(turned)) == ("restore", (), "")
    turned = replace(turned, terminates={"tg": True})
    assert brief(next_step(turned)) == ("resume", ("a", "b"), "")
    assert brief(next_step(replace(turned, suspended=frozenset()))) == ("unmark", (), "")


def test_a_target_group_that_checks_the_health_check_node_port_is_refused() -> None:
    service = {"spec": {"healthCheckNodePort": 31000}}
    with pytest.raises(Permanent, match="ingress-x check port 31000"):
        refuse_health_check_ports(service, [{"TargetGroupName": "ingress-x", "HealthCheckPort": "31000"}])
    refuse_health_check_ports(service, [{"TargetGroupName": "ok", "HealthCheckPort": "traffic-port"}])
    refuse_health_check_ports({"spec": {}}, [{"TargetGroupName": "ok", "HealthCheckPort": "31000"}])


@dataclass
class World:
    """A Service, its nodes and one target group; time passes by sleeping. `dies` raises before that many changes.

    `resets` has the targets through which open flows were reset.
    """

    policy: str = "Cluster"
    ready_on: tuple[str, ...] = ("i-1", "i-2")
    instances: tuple[str, ...] = ("i-1", "i-2", "i-3", "i-4")
    annotations: dict[str, str] = field(default_factory=dict)
    suspended: dict[str, set[str]] = field(default_factory=lambda: {"g": set()})
    states: dict[str, str] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    version: int = 1
    now: float = 0.0
    dies: int = -1
    conflicts: int = 0
    protocol: str = "TCP"
    termination: str | None = None
    resets: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states = dict.fromkeys(self.instances, "healthy")

    def context(self) -> Context:
        clients: Any = SimpleNamespace(aws=self, kubernetes=self)
        deadline = Deadline(100, lambda: self.now, self.sleep)
        return Context(log=self.log.append, deadline=deadline, clients=clients, alive=self.alive)

    def alive(self) -> None:
        self.dies -= 1
        if self.dies == 0:
            raise KeyboardInterrupt

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for target, due in list(self.due.items()):
            if due <= self.now:
                del self.due[target]
                if self.states[target] == "draining":
                    del self.states[target]
                else:
                    after = "healthy" if self.answers(target) else "unhealthy"
                    if after == "unhealthy" != self.states[target] and self.termination != "false":
                        self.resets.append(target)
                    self.states[target] = after

    def answers(self, target: str) -> bool:
        return self.policy == "Cluster" or target in self.ready_on

    # Kubernetes.

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any]:
        assert kind == SERVICES
        return {
            "metadata": {"name": name, "resourceVersion": str(self.version), "annotations": dict(self.annotations)},
            "spec": {"type": "NodePort", "externalTrafficPolicy": self.policy},
        }

    def list(self, kind: Kind, namespace: str | None = None, *, labels: str | None = None) -> list[dict[str, Any]]:
        if kind == NODES:
            return [{"metadata": {"name": f"n-{i}"}, "spec": {"providerID": f"aws:///z/{i}"}} for i in self.instances]
        assert (kind, labels) == (ENDPOINT_SLICES, "kubernetes.io/service-name=ing")
        endpoints = [{"nodeName": f"n-{i}", "conditions": {"ready": True}} for i in self.ready_on]
        return [{"endpoints": [*endpoints, {"nodeName": "n-i-4", "conditions": {"ready": False}}]}]

    def patch(self, kind: Kind, name: str, body: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        if self.conflicts:
            self.conflicts -= 1
            self.version += 1
            raise Conflict(409, {}, "patch")
        assert body["metadata"]["resourceVersion"] == str(self.version)
        self.version += 1
        for key, value in body["metadata"].get("annotations", {}).items():
            if value is None:
                self.annotations.pop(key, None)
            else:
                self.annotations[key] = value
        if "spec" in body:
            self.policy = body["spec"]["externalTrafficPolicy"]
            silent = [t for t, state in self.states.items() if state != "draining" and not self.answers(t)]
            assert not silent, f"{silent} are still targets and answer no more: connections are dropped"
            for target in self.states:
                self.due[target] = self.now + 1
        return {}

    # AWS.

    def groups(self, names: tuple[str, ...]) -> dict[str, Any]:
        return {
            name: {
                "SuspendedProcesses": [{"ProcessName": process} for process in self.suspended[name]],
                "Instances": [{"InstanceId": i, "LifecycleState": "InService"} for i in self.instances],
            }
            for name in names
            if name in self.suspended
        }

    def target_groups(self, arns: tuple[str, ...]) -> list[dict[str, Any]]:
        said = {"TargetType": "instance", "HealthCheckPort": "traffic-port", "Protocol": self.protocol}
        return [{"TargetGroupArn": arn, "TargetGroupName": arn, **said} for arn in arns]

    def target_health(self, arn: str) -> list[Target]:
        return [Target(id=key, port=1, zone="", state=state) for key, state in sorted(self.states.items())]

    @property
    def autoscaling(self) -> Any:
        def change(add: bool) -> Any:
            def call(*, AutoScalingGroupName: str, ScalingProcesses: list[str]) -> None:
                chosen = self.suspended[AutoScalingGroupName]
                chosen.update(ScalingProcesses) if add else chosen.difference_update(ScalingProcesses)

            return call

        return SimpleNamespace(suspend_processes=change(True), resume_processes=change(False))

    @property
    def elbv2(self) -> Any:
        def register(*, TargetGroupArn: str, Targets: list[dict[str, str]]) -> None:
            for target in Targets:
                self.states[target["Id"]] = "initial"
                self.due[target["Id"]] = self.now + 2

        def deregister(*, TargetGroupArn: str, Targets: list[dict[str, str]]) -> None:
            for target in Targets:
                self.states[target["Id"]] = "draining"
                self.due[target["Id"]] = self.now + 3

        def modify(*, TargetGroupArn: str, Attributes: list[dict[str, str]]) -> None:
            [attribute] = Attributes
            assert attribute["Key"] == TERMINATION
            assert self.protocol == "TCP", f"InvalidConfigurationRequest: {self.protocol} knows no {TERMINATION}"
            turning = [target for target, state in self.states.items() if state == "initial"]
            assert attribute["Value"] == "false" or not turning, f"{turning} turn unhealthy and reset flows"
            self.termination = attribute["Value"]

        def describe(*, TargetGroupArn: str) -> dict[str, Any]:
            said = [] if self.termination is None else [{"Key": TERMINATION, "Value": self.termination}]
            return {"Attributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "300"}, *said]}

        return SimpleNamespace(
            register_targets=register,
            deregister_targets=deregister,
            modify_target_group_attributes=modify,
            describe_target_group_attributes=describe,
        )


INPUTS = IngressPolicyInputs(
    **COMMON,
    wanted="recorded",
    recorded="Local",
    namespace="ingress",
    service="ing",
    groups=("g",),
    target_groups=("tg",),
    returning=True,
)


def run(world: World, previous: IngressPolicyResult | None = None, **changes: str) -> IngressPolicyResult:
    return ingress_policy.run(INPUTS.model_copy(update=changes), previous, world.context())


def whole(world: World) -> None:
    assert (world.policy, world.annotations, world.suspended) == ("Local", {}, {"g": set()})
    assert sorted(world.states) == ["i-1", "i-2", "i-3", "i-4"]
    assert (world.termination, world.resets) == ("true", [])


def test_back_to_local_no_target_is_ever_silent_and_everything_is_given_back() -> None:
    world = World()
    result = run(world)
    whole(world)
    assert result.steps == (
        *("mark", "suspend", "deregister", "flip"),
        *("note", "keep-flows", "register", "restore"),
        *("resume", "unmark"),
    )
    assert (result.wanted, result.policy, result.previous) == ("recorded", "Local", "Cluster")


def test_a_target_group_that_never_reset_flows_is_left_as_it_is() -> None:
    world = World(termination="false")
    steps = run(world).steps
    assert (world.termination, world.resets, {"keep-flows", "restore"} & set(steps)) == ("false", [], set())


def test_a_target_group_that_knows_no_resets_is_left_as_it_is() -> None:
    world = World(protocol="UDP")
    steps = run(world).steps
    assert (world.policy, world.termination, {"keep-flows", "restore"} & set(steps)) == ("Local", None, set())


def test_a_target_that_turns_unhealthy_would_reset_its_flows() -> None:
    world = World(policy="Local")
    world.elbv2.register_targets(TargetGroupArn="tg", Targets=[{"Id": "i-3"}])
    world.sleep(2)
    assert world.resets == ["i-3"]


@pytest.mark.parametrize("change", range(1, 11))
def test_killed_before_any_change_the_next_run_goes_on_from_there(change: int) -> None:
    world = World(dies=change)
    with pytest.raises(KeyboardInterrupt):
        run(world)
    world.dies = -1
    world.sleep(1)
    run(world)
    whole(world)


def test_a_second_run_changes_nothing() -> None:
    world = World()
    first = run(world)
    version = world.version
    second = run(world, previous=first)
    assert (second.steps, world.version, second.previous) == ((), version, "Cluster")


def test_what_was_suspended_before_stays_suspended() -> None:
    world = World(suspended={"g": {"AddToLoadBalancer"}})
    run(world)
    assert world.suspended == {"g": {"AddToLoadBalancer"}}


def test_without_any_ready_ingress_pod_nothing_is_deregistered_and_the_reason_is_told() -> None:
    world = World(ready_on=())
    with pytest.raises(OutOfTime, match="a ready ingress pod"):
        run(world)
    assert sorted(world.states) == ["i-1", "i-2", "i-3", "i-4"]
    assert world.policy == "Cluster"


def test_a_change_by_somebody_else_meanwhile_is_looked_at_again() -> None:
    world = World(conflicts=2)
    run(world)
    whole(world)


def test_to_cluster_and_back_restores_what_was() -> None:
    world = World(policy="Local")
    world.states.update({"i-3": "unhealthy", "i-4": "unhealthy"})
    forth = run(world, wanted="Cluster")
    assert (world.policy, forth.previous, set(world.states.values())) == ("Cluster", "Local", {"healthy"})
    run(world, previous=forth)
    whole(world)


def test_where_cluster_was_recorded_nothing_happens() -> None:
    world = World()
    assert run(world, recorded="Cluster").steps == ()


def test_a_mark_names_exactly_the_groups_that_were_suspended_here() -> None:
    world = World(dies=2)
    with pytest.raises(KeyboardInterrupt):
        run(world)
    assert json.loads(world.annotations[MARK]) == ["g"]

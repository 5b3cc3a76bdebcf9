"""Changing the ingress Service's externalTrafficPolicy without dropping a connection.

To `Cluster` it is simply set: every node then answers. Back to `Local` a node without a ready ingress pod stops
answering at once while its balancer still sends it connections until the health check notices. So: *narrow* (keep
Auto Scaling from adding targets, deregister nodes without a ready ingress pod, wait out their draining), *flip*,
*widen* (when the rest is healthy, register everything again, resume).

`next_step` decides from what is there, one step at a time; an annotation on the Service holds the one thing that
can't be seen (which groups were suspended by this program), so a killed run is continued.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from migration.clients.aws import Aws
from migration.clients.kubernetes import ENDPOINT_SLICES, NODES, SERVICES, Conflict, Kubernetes, NotFound
from migration.deadline import Permanent, Retryable
from migration.drain.nodes import instance_of, name_of

ADD = "AddToLoadBalancer"
# On the Service while it is narrowed: JSON list of the groups whose AddToLoadBalancer this program suspended.
MARK = "migration/narrowed-groups"
# What a target without traffic of its own reports; nothing can be dropped there.
SETTLED = frozenset({"healthy", "unused"})

Act = Literal["mark", "suspend", "register", "deregister", "flip", "resume", "unmark", "wait", "done"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is there. `targets`: by target group, instance id → health state. `with_pods`: instances that run a ready
    ingress pod. `suspended`: groups whose AddToLoadBalancer is suspended. `marked`: those this program suspended,
    None while not narrowed. `in_service`: the groups' instances that should be targets.
    """

    wanted: str
    policy: str
    groups: tuple[str, ...]
    suspended: frozenset[str]
    marked: tuple[str, ...] | None
    with_pods: frozenset[str]
    in_service: frozenset[str]
    targets: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do. `ids`: group names, or instances; `target_group` for (de)registering; `why` for people."""

    act: Act
    why: str
    ids: tuple[str, ...] = ()
    target_group: str = ""
    policy: str = ""


def next_step(facts: Facts) -> Step:
    """The one thing to do now; "done" when the policy is as wanted and every balancer has settled."""
    if facts.wanted == "Local" and facts.policy != "Local":
        return _narrow(facts) or Step(act="flip", policy="Local", why="every remaining target has a ready ingress pod")
    if facts.policy != facts.wanted:
        return Step(act="flip", policy=facts.wanted, why="every node may answer from now on")
    if facts.marked is not None:
        step = _widen(facts)
        if step:
            return step
    if facts.wanted == "Cluster":
        waiting = [
            f"{target} is {state}"
            for targets in facts.targets.values()
            for target, state in targets.items()
            if state not in SETTLED and state != "draining"
        ]
        if waiting:
            return Step(act="wait", why=f"targets to become healthy: {', '.join(sorted(waiting)[:3])}")
    return Step(act="done", why=f"externalTrafficPolicy is {facts.policy}")


def _narrow(facts: Facts) -> Step | None:
    if facts.marked is None:
        ours = tuple(group for group in facts.groups if group not in facts.suspended)
        return Step(act="mark", ids=ours, why="so that a killed run resumes exactly these groups")
    open_groups = tuple(group for group in facts.groups if group not in facts.suspended)
    if open_groups:
        return Step(act="suspend", ids=open_groups, why="no new target may join while the policy changes")
    for arn, targets in sorted(facts.targets.items()):
        registered = _registered(targets)
        kept = registered & facts.with_pods
        if not kept:
            missing = facts.in_service & facts.with_pods
            if not missing:
                return Step(act="wait", why=f"a ready ingress pod on a node of {facts.groups}: none has one")
            return Step(act="register", target_group=arn, ids=_sorted(missing), why="they run ready ingress pods")
        if not all(targets[target] in SETTLED for target in kept):
            # Never take a serving target away before those that stay serve.
            return Step(act="wait", why="the targets with ingress pods to be healthy")
        surplus = registered - facts.with_pods
        if surplus:
            return Step(act="deregister", target_group=arn, ids=_sorted(surplus), why="no ready ingress pod there")
    draining = sum(state == "draining" for targets in facts.targets.values() for state in targets.values())
    if draining:
        return Step(act="wait", why=f"{draining} deregistered targets to finish their connections")
    return None


def _widen(facts: Facts) -> Step | None:
    for arn, targets in sorted(facts.targets.items()):
        registered = _registered(targets)
        if any(targets[target] not in SETTLED for target in registered & facts.with_pods):
            return Step(act="wait", why="the targets with ingress pods to be healthy")
        missing = facts.in_service - registered
        if missing:
            return Step(act="register", target_group=arn, ids=_sorted(missing), why="every node is a target again")
    closed = tuple(group for group in facts.marked or () if group in facts.suspended)
    if closed:
        return Step(act="resume", ids=closed, why="Auto Scaling adds targets again")
    return Step(act="unmark", why="nothing is narrowed any more")


def _registered(targets: Mapping[str, str]) -> frozenset[str]:
    return frozenset(target for target, state in targets.items() if state != "draining")


def _sorted(ids: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(ids))


def refuse_health_check_ports(service: Mapping[str, Any], target_groups: Sequence[Mapping[str, Any]]) -> None:
    """Raise `Permanent` for target groups that check the Service's healthCheckNodePort.

    That port exists only while a LoadBalancer Service's policy is `Local`; with `Cluster` it closes and every target
    would turn unhealthy.
    """
    port = (service.get("spec") or {}).get("healthCheckNodePort")
    bad = [g["TargetGroupName"] for g in target_groups if port and str(g.get("HealthCheckPort")) == str(port)]
    if bad:
        raise Permanent(
            f"target groups {', '.join(bad)} check port {port}, the Service's healthCheckNodePort, which closes with "
            f"externalTrafficPolicy Cluster; let them check traffic-port"
        )


@dataclass
class Ingress:
    """One ingress Service and the target groups in front of it, observed and changed step by step."""

    aws: Aws
    kubernetes: Kubernetes
    namespace: str
    service: str
    groups: tuple[str, ...]
    target_groups: tuple[str, ...]
    alive: Callable[[], None] = lambda: None
    _object: dict[str, Any] = field(init=False, default_factory=dict)

    def check(self) -> str:
        """Refuse what can't work; returns the present policy."""
        try:
            service = self.kubernetes.get(SERVICES, self.service, self.namespace)
        except NotFound:
            raise Permanent(
                f"Service {self.namespace}/{self.service} does not exist; set migration:ingress to the one "
                f"that is behind the ingress balancers"
            ) from None
        spec = service["spec"]
        if spec.get("type") not in ("NodePort", "LoadBalancer"):
            raise Permanent(
                f"Service {self.namespace}/{self.service} is of type {spec.get('type')}: only NodePort and "
                f"LoadBalancer have an externalTrafficPolicy"
            )
        described = self.aws.target_groups(self.target_groups)
        refuse_health_check_ports(service, described)
        others = [g["TargetGroupName"] for g in described if g.get("TargetType") != "instance"]
        if others:
            raise Permanent(
                f"ingress target groups {', '.join(others)} are not of type instance; list only those that are"
            )
        return spec.get("externalTrafficPolicy") or "Cluster"

    def observe(self, wanted: str) -> Facts:
        """Everything `next_step` decides from, as it is now."""
        self._object = self.kubernetes.get(SERVICES, self.service, self.namespace)
        described = self.aws.groups(self.groups)
        missing = [group for group in self.groups if group not in described]
        if missing:
            raise Permanent(f"Auto Scaling groups {', '.join(missing)} don't exist; their nodes are ingress targets")
        mark = (self._object["metadata"].get("annotations") or {}).get(MARK)
        return Facts(
            wanted=wanted,
            policy=self._object["spec"].get("externalTrafficPolicy") or "Cluster",
            groups=self.groups,
            suspended=frozenset(
                name
                for name, group in described.items()
                if any(process["ProcessName"] == ADD for process in group.get("SuspendedProcesses", []))
            ),
            marked=None if mark is None else tuple(json.loads(mark)),
            with_pods=self._instances_with_pods(),
            in_service=frozenset(
                instance["InstanceId"]
                for group in described.values()
                for instance in group.get("Instances", [])
                if instance["LifecycleState"] == "InService"
            ),
            targets={
                arn: {target.id: target.state for target in self.aws.target_health(arn)} for arn in self.target_groups
            },
        )

    def _instances_with_pods(self) -> frozenset[str]:
        slices = self.kubernetes.list(
            ENDPOINT_SLICES, self.namespace, labels=f"kubernetes.io/service-name={self.service}"
        )
        nodes = {
            endpoint.get("nodeName")
            for item in slices
            for endpoint in item.get("endpoints") or []
            # Absent means ready (discovery.k8s.io/v1, EndpointConditions).
            if (endpoint.get("conditions") or {}).get("ready") is not False
            and not (endpoint.get("conditions") or {}).get("terminating")
        }
        return frozenset(
            instance_of(node) for node in self.kubernetes.list(NODES) if name_of(node) in nodes and instance_of(node)
        )

    def act(self, step: Step) -> None:
        """Do one step; raises `Retryable` when the Service changed since it was observed."""
        self.alive()
        if step.act == "mark":
            self._patch({"metadata": {"annotations": {MARK: json.dumps(list(step.ids))}}})
        elif step.act == "unmark":
            self._patch({"metadata": {"annotations": {MARK: None}}})
        elif step.act == "flip":
            self._patch({"spec": {"externalTrafficPolicy": step.policy}})
        elif step.act == "suspend":
            for group in step.ids:
                self.aws.autoscaling.suspend_processes(AutoScalingGroupName=group, ScalingProcesses=[ADD])
        elif step.act == "resume":
            for group in step.ids:
                self.aws.autoscaling.resume_processes(AutoScalingGroupName=group, ScalingProcesses=[ADD])
        elif step.act in ("register", "deregister"):
            targets = [{"Id": instance} for instance in step.ids]
            elbv2 = self.aws.elbv2
            call = elbv2.register_targets if step.act == "register" else elbv2.deregister_targets
            call(TargetGroupArn=step.target_group, Targets=targets)

    def _patch(self, body: dict[str, Any]) -> None:
        # Bound to what was observed: somebody else's change in between must be looked at, not written over.
        version = self._object["metadata"]["resourceVersion"]
        body = {**body, "metadata": {**body.get("metadata", {}), "resourceVersion": version}}
        try:
            self.kubernetes.patch(SERVICES, self.service, body, self.namespace)
        except Conflict as conflict:
            raise Retryable(f"Service {self.namespace}/{self.service} changed meanwhile") from conflict

"""One ingress Service with the groups and target groups behind it: observed, and changed one step at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from migration.clients.aws import Aws, described
from migration.clients.documents import Document, listed, mapping
from migration.clients.kubernetes import ENDPOINT_SLICES, NODES, SERVICES, Conflict, Kubernetes, NotFound
from migration.drain.nodes import instance_of, name_of
from migration.ingress.plan import Observation, Step
from migration.runtime.deadline import Permanent, Retryable

if TYPE_CHECKING:
    from mypy_boto3_elbv2.type_defs import TargetDescriptionTypeDef

ADD = "AddToLoadBalancer"
# On the Service while it is narrowed: JSON list of the groups whose AddToLoadBalancer this program suspended.
MARK = "migration/narrowed-groups"
# On the Service as well: JSON object of target groups (ARN) and whether they reset flows to unhealthy targets.
NOTE = "migration/connection-termination"
TERMINATION = "target_health_state.unhealthy.connection_termination.enabled"
# Only these know the attribute (API_TargetGroupAttribute): it "can't be enabled" for UDP, and isn't there for HTTP.
TERMINATED = ("TCP", "TLS")


def refuse_health_check_ports(service: Document, target_groups: Sequence[Document]) -> None:
    """Raise `Permanent` for target groups that check the Service's healthCheckNodePort.

    That port exists only while a LoadBalancer Service's policy is `Local`; with `Cluster` it closes and every target
    would turn unhealthy.
    """
    port = mapping(service, "spec").get("healthCheckNodePort")
    bad = [g["TargetGroupName"] for g in target_groups if port and str(g.get("HealthCheckPort")) == str(port)]
    if bad:
        raise Permanent(
            f"target groups {', '.join(bad)} check port {port}, the Service's healthCheckNodePort, which closes with "
            f"externalTrafficPolicy Cluster; let them check traffic-port"
        )


def instances_with_pods(kubernetes: Kubernetes, namespace: str, service: str) -> frozenset[str]:
    """Ids of the instances on whose nodes a ready pod of the Service runs."""
    slices = kubernetes.list(ENDPOINT_SLICES, namespace, labels=f"kubernetes.io/service-name={service}")
    nodes = {
        endpoint.get("nodeName")
        for item in slices
        for endpoint in listed(item, "endpoints")
        # Absent means ready (discovery.k8s.io/v1, EndpointConditions).
        if mapping(endpoint, "conditions").get("ready") is not False
        and not mapping(endpoint, "conditions").get("terminating")
    }
    return frozenset(
        instance_of(node) for node in kubernetes.list(NODES) if name_of(node) in nodes and instance_of(node)
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

    def check(self) -> Literal["Local", "Cluster"]:
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
        return "Local" if spec.get("externalTrafficPolicy") == "Local" else "Cluster"

    def observe(self, wanted: str) -> Observation:
        """Everything `next_step` decides from, as it is now."""
        self._object = self.kubernetes.get(SERVICES, self.service, self.namespace)
        described = self.aws.groups(self.groups)
        missing = [group for group in self.groups if group not in described]
        if missing:
            raise Permanent(f"Auto Scaling groups {', '.join(missing)} don't exist; their nodes are ingress targets")
        annotations = mapping(self._object, "metadata", "annotations")
        mark: str | None = annotations.get(MARK)
        note: str | None = annotations.get(NOTE)
        return Observation(
            wanted=wanted,
            policy=self._object["spec"].get("externalTrafficPolicy") or "Cluster",
            groups=self.groups,
            suspended=frozenset(
                name
                for name, group in described.items()
                if any(process["ProcessName"] == ADD for process in listed(group, "SuspendedProcesses"))
            ),
            marked=None if mark is None else tuple(json.loads(mark)),
            with_pods=instances_with_pods(self.kubernetes, self.namespace, self.service),
            in_service=frozenset(
                instance["InstanceId"]
                for group in described.values()
                for instance in listed(group, "Instances")
                if instance["LifecycleState"] == "InService"
            ),
            targets={
                arn: {target.id: target.state for target in self.aws.target_health(arn)} for arn in self.target_groups
            },
            terminates={
                group["TargetGroupArn"]: self._terminates(group) for group in self.aws.target_groups(self.target_groups)
            },
            noted=None if note is None else json.loads(note),
        )

    def act(self, step: Step) -> None:
        """Do one step; raises `Retryable` when the Service changed since it was observed."""
        self.alive()
        if step.act == "mark":
            self._patch({"metadata": {"annotations": {MARK: json.dumps(list(step.ids))}}})
        elif step.act == "unmark":
            self._patch({"metadata": {"annotations": {MARK: None, NOTE: None}}})
        elif step.act == "note":
            self._patch({"metadata": {"annotations": {NOTE: json.dumps(dict(step.noted))}}})
        elif step.act in ("keep-flows", "restore"):
            self.aws.elbv2.modify_target_group_attributes(
                TargetGroupArn=step.target_group,
                Attributes=[{"Key": TERMINATION, "Value": str(step.act == "restore").lower()}],
            )
        elif step.act == "flip":
            self._patch({"spec": {"externalTrafficPolicy": step.policy}})
        elif step.act == "suspend":
            for group in step.ids:
                self.aws.autoscaling.suspend_processes(AutoScalingGroupName=group, ScalingProcesses=[ADD])
        elif step.act == "resume":
            for group in step.ids:
                self.aws.autoscaling.resume_processes(AutoScalingGroupName=group, ScalingProcesses=[ADD])
        elif step.act in ("register", "deregister"):
            targets: list[TargetDescriptionTypeDef] = [{"Id": instance} for instance in step.ids]
            elbv2 = self.aws.elbv2
            call = elbv2.register_targets if step.act == "register" else elbv2.deregister_targets
            call(TargetGroupArn=step.target_group, Targets=targets)

    def _terminates(self, group: Document) -> bool:
        if group.get("Protocol") not in TERMINATED:
            return False
        answer = self.aws.elbv2.describe_target_group_attributes(TargetGroupArn=group["TargetGroupArn"])
        said = {one["Key"]: one["Value"] for one in described(answer["Attributes"])}
        # What isn't said is AWS's default.
        return said.get(TERMINATION) != "false"

    def _patch(self, body: dict[str, Any]) -> None:
        # Bound to what was observed: somebody else's change in between must be looked at, not written over.
        version = self._object["metadata"]["resourceVersion"]
        body = {**body, "metadata": {**mapping(body, "metadata"), "resourceVersion": version}}
        try:
            self.kubernetes.patch(SERVICES, self.service, body, self.namespace)
        except Conflict as conflict:
            raise Retryable(f"Service {self.namespace}/{self.service} changed meanwhile") from conflict

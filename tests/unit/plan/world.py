"""A small cluster in literals, for plans: clients that can only be asked what a plan may ask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar

import msgspec

from migration.clients.aws import Instance
from migration.clients.kubernetes import Kind
from migration.contracts.record import Record
from migration.names import record_parameter

T = TypeVar("T")

ZONES = "abc"
OLD_GROUPS = tuple(f"nodes-m5-{zone}.pet" for zone in ZONES)
NEW_GROUPS = tuple(f"{group}-main" for group in OLD_GROUPS)
OLD_MEMBERS = tuple(f"master-{zone}.pet" for zone in ZONES)
API, APPS = "api.pet.example", "*.apps.pet.example"


def record(reached: int, tried: int | None = None) -> Record:
    return Record(
        owner="migration/default",
        from_side="legacy",
        to_side="main",
        reached=reached,
        tried=reached if tried is None else tried,
    )


def node(name: str, instance: str, *, tainted: bool = False) -> dict[str, Any]:
    taints = [{"key": "migration", "value": "migration", "effect": "NoSchedule"}] if tainted else []
    return {
        "metadata": {"name": name},
        "spec": {"providerID": f"aws:///eu-central-1a/{instance}", "taints": taints},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def pod(
    name: str, owner: str | None = "web", *, on: str = "old-0", ready_after: int = 4, **spec: Any
) -> dict[str, Any]:
    """A running pod of ReplicaSet `owner`, ready so many seconds after it was made; None makes it a bare one."""
    references = [{"kind": "ReplicaSet", "name": owner, "uid": f"uid-{owner}", "controller": True}] if owner else []
    return {
        "metadata": {
            "namespace": "apps",
            "name": name,
            "uid": f"uid-{name}",
            "labels": {"app": owner or "none"},
            "ownerReferences": references,
            "creationTimestamp": "2026-01-01T10:00:00Z",
        },
        "spec": {"nodeName": on, **spec},
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": f"2026-01-01T10:00:{ready_after:02d}Z"}
            ],
        },
    }


def budget(name: str, *, allowed: int, healthy: int, wanted: int, expected: int) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "apps", "name": name, "uid": f"uid-{name}", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": name}}},
        "status": {
            "observedGeneration": 1,
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": wanted,
            "expectedPods": expected,
        },
    }


class ParameterNotFound(Exception):
    """What SSM raises."""


class NotFound(Exception):
    """What Elastic Load Balancing raises."""


def _nothing(**_: Any) -> Any:
    raise NotFound


def template(imdsv2: str = "required", *, encrypted: bool = True) -> dict[str, Any]:
    """What a launch template holds."""
    disk = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 64, "Encrypted": encrypted}}
    return {"ImageId": "ami-1", "MetadataOptions": {"HttpTokens": imdsv2}, "BlockDeviceMappings": [disk]}


class Aws:
    """AWS as far as a plan asks it itself; gates are the tests' own."""

    def __init__(
        self,
        found: Record | None,
        groups: Mapping[str, int],
        records: Iterable[Mapping[str, Any]],
        templates: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._record, self._groups, self._records = found, dict(groups), list(records)
        self.ssm = SimpleNamespace(
            get_parameter=self._parameter, exceptions=SimpleNamespace(ParameterNotFound=ParameterNotFound)
        )
        pages = SimpleNamespace(paginate=lambda **_: [{"ResourceRecordSets": self._records}])
        self.ec2 = SimpleNamespace(
            describe_vpcs=lambda **_: {"Vpcs": []},
            describe_launch_template_versions=lambda LaunchTemplateId, Versions: {
                "LaunchTemplateVersions": [{"LaunchTemplateData": templates.get(LaunchTemplateId, template())}]
            },
        )
        # Of the new side there is nothing yet; its machines and balancers are what gates look for.
        self.elbv2 = SimpleNamespace(
            describe_load_balancers=_nothing,
            describe_target_groups=_nothing,
            exceptions=SimpleNamespace(LoadBalancerNotFoundException=NotFound, TargetGroupNotFoundException=NotFound),
        )
        self.route53 = SimpleNamespace(get_paginator=lambda call: {"list_resource_record_sets": pages}[call])

    def _parameter(self, Name: str, WithDecryption: bool = False) -> dict[str, Any]:
        if self._record is None or Name != record_parameter("pet"):
            raise ParameterNotFound
        return {"Parameter": {"Value": self._record.model_dump_json(by_alias=True), "Version": 1}}

    def groups(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "AutoScalingGroupName": name,
                "MinSize": 0,
                "MaxSize": 3,
                "DesiredCapacity": self._groups[name],
                "LaunchTemplate": {"LaunchTemplateId": name},
            }
            for name in names
            if name in self._groups
        }

    def instances_of_groups(self, names: Iterable[str]) -> list[Instance]:
        return [
            Instance(id=f"i-{name}-{n}", ip="10.0.0.1", zone="a", vpc="v", group=name, state="running")
            for name in names
            for n in range(self._groups.get(name, 0))
        ]


class Api:
    """Kubernetes lists; every other method is missing, so whatever writes fails the test."""

    def __init__(self, lists: Mapping[str, list[dict[str, Any]]]) -> None:
        self.lists = lists

    def list(self, kind: Kind, namespace: str | None = None, *, metadata_only: bool = False) -> list[dict[str, Any]]:
        return self.lists.get(kind.plural, [])

    def pages(self, kind: Kind, item: type[T]) -> Iterator[tuple[list[T], str]]:
        yield msgspec.convert(self.list(kind), list[item]), ""


def simple(name: str, value: str) -> dict[str, Any]:
    return {"Name": f"{name}.", "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": value}]}


def pair(name: str, old: int, new: int) -> list[dict[str, Any]]:
    return [
        {
            "Name": f"{name}.",
            "Type": "CNAME",
            "TTL": 5,
            "SetIdentifier": side,
            "Weight": weight,
            "ResourceRecords": [{"Value": f"{side}.elb.example"}],
        }
        for side, weight in (("legacy", old), ("main", new))
    ]


AS_FOUND = [simple(API, "api-pet.elb.example"), simple(APPS, "ingress-pet.elb.example")]


@dataclass
class World:
    """Where the migration is and what the cluster runs; `clients` asks it."""

    reached: int | None
    names: list[dict[str, Any]] = field(default_factory=lambda: AS_FOUND)
    groups: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*OLD_GROUPS, *OLD_MEMBERS), 1))
    tainted: bool = False
    pods: list[dict[str, Any]] = field(default_factory=list)
    budgets: list[dict[str, Any]] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By group."""

    @property
    def clients(self) -> Any:
        old = [node(f"old-{n}", f"i-{name}-0", tainted=self.tainted) for n, name in enumerate(OLD_GROUPS)]
        new = [node(f"new-{n}", f"i-{name}-0") for n, name in enumerate(NEW_GROUPS) if name in self.groups]
        lists = {
            "nodes": old + new,
            "pods": self.pods,
            "poddisruptionbudgets": self.budgets,
            "deployments": self.deployments,
        }
        found = None if self.reached is None else record(self.reached)
        return SimpleNamespace(aws=Aws(found, self.groups, self.names, self.templates), kubernetes=Api(lists))

"""What every component shares: its type token, its children's options, its tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws

from migration.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What every component of one `up` works with: the settings and what must be done before anything changes."""

    settings: Settings
    after: Sequence[pulumi.Resource] = field(default_factory=tuple)

    def following(self, *resources: pulumi.Resource) -> Scope:
        """The same scope, but beginning only after `resources` as well."""
        return Scope(settings=self.settings, after=(*self.after, *resources))

    def connection(self) -> dict[str, Any]:
        """How an operation reaches AWS and the cluster: where, never with which secret."""
        return {"region": self.settings.region, "kubeconfig": self.settings.configuration.kubeconfig}

    def operation(self, timeout_seconds: int | None = None, **inputs: Any) -> dict[str, Any]:
        """Inputs of an operation resource, with the common ones added."""
        return {
            "cluster": self.settings.configuration.cluster,
            "connection": self.connection(),
            "timeoutSeconds": timeout_seconds or self.settings.configuration.limits.gate_seconds,
            **inputs,
        }

    def tags(self, side: str, role: str, **extra: str) -> dict[str, str]:
        """Tags of one object of a side. `migration:` tags are how later stages and gates find it again."""
        c = self.settings.configuration
        return {
            **c.tags,
            "Name": f"{c.cluster}-{role}-{side}",
            "KubernetesCluster": c.cluster,
            f"kubernetes.io/cluster/{c.cluster}": "owned",
            "migration:cluster": c.cluster,
            "migration:side": side,
            "migration:role": role,
            **extra,
        }


class Component(pulumi.ComponentResource):
    """Base of this program's components. The type token is ``migration:<module>:<Type>``."""

    def __init__(self, kind: str, name: str, scope: Scope, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"migration:{kind}", name, None, opts)
        self._scope = scope

    def child(self, after: Sequence[pulumi.Resource] = (), **extra: Any) -> pulumi.ResourceOptions:
        """Options of a child: this parent, the scope's predecessors and `after`, and whatever `extra` says."""
        return pulumi.ResourceOptions(parent=self, depends_on=[*self._scope.after, *after], **extra)


def tag_list(tags: Mapping[str, str]) -> list[aws.autoscaling.GroupTagArgs]:
    """Tags in the form Auto Scaling groups take them, propagated to their instances."""
    return [
        aws.autoscaling.GroupTagArgs(key=key, value=value, propagate_at_launch=True)
        for key, value in sorted(tags.items())
    ]

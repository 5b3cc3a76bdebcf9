"""What every component shares: its type token, its children's options, its tags, its operations' common inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pulumi
import pulumi_aws as aws

from components.begun import Awaited
from migration.contracts.base import Common, common
from migration.runtime.deadline import Permanent
from migration.settings import Settings

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What every component of one `up` works with: the settings and what must be done before anything changes.

    `gate`: what stands before the whole stage, for what only looks and needn't wait for more. `passed`: what nothing
    begins without (`components.begun`).
    `returning`: a way back is under way, or one that was begun is turned round (`migration.stages.moves.Move`).
    `settled`: the stage is reached, and nothing is under way.
    """

    settings: Settings
    returning: bool = False
    settled: bool = False
    after: Sequence[pulumi.Resource] = ()
    gate: Sequence[pulumi.Resource] = ()
    passed: Sequence[Awaited] = ()

    def following(self, *resources: pulumi.Resource) -> Scope:
        """The same scope, but beginning only after `resources` as well."""
        return replace(self, after=(*self.after, *resources))

    def common(self, timeout_seconds: int | None = None) -> Common:
        """What every operation is given; it may take as long as a gate where nothing else is said (seconds)."""
        return common(self.settings, timeout_seconds or self.settings.configuration.limits.gate_seconds)

    def tags(self, side: str, role: str, **extra: str) -> dict[str, str]:
        """Tags of one object of a side that is the cluster's own, for its controllers, too."""
        c = self.settings.configuration
        owned = {"KubernetesCluster": c.cluster, f"kubernetes.io/cluster/{c.cluster}": "owned"}
        return {**owned, **self.marks(side, role), **extra}

    def marks(self, side: str, role: str) -> dict[str, str]:
        """Tags of any object of a side. Later stages and gates find it again by those of `migration:`."""
        c = self.settings.configuration
        return {
            **c.tags,
            "Name": f"{c.cluster}-{role}-{side}",
            "migration:cluster": c.cluster,
            "migration:side": side,
            "migration:role": role,
        }


@dataclass(frozen=True, kw_only=True)
class Args:
    """Base of every component's arguments."""

    scope: Scope


class Component(pulumi.ComponentResource):
    """Base of this program's components. The type token is ``migration:<module>:<Type>``."""

    def __init__(self, kind: str, name: str, args: Args, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"migration:{kind}", name, None, opts)
        self._scope = args.scope

    def child(self, after: Sequence[pulumi.Resource] = (), **extra: Any) -> pulumi.ResourceOptions:
        """Options of a child: this parent, the scope's predecessors and `after`, and whatever `extra` says."""
        return pulumi.ResourceOptions(
            parent=self, depends_on=[*self._scope.after, *after, *self._scope.passed], **extra
        )

    def at_once(self, *, once: str | None = None) -> pulumi.ResourceOptions:
        """Options of a child that waits for the gate before the stage and for nothing else.

        `once`: what earlier versions called it.
        """
        aliases = [pulumi.Alias(name=once)] if once else []
        return pulumi.ResourceOptions(parent=self, depends_on=[*self._scope.gate, *self._scope.passed], aliases=aliases)

    def inside(self) -> pulumi.ResourceOptions:
        """Options of a component that is part of this one."""
        return pulumi.ResourceOptions(parent=self)


def refusing(make: Callable[[A], B]) -> Callable[[A], B]:
    """`make`, for an output's `apply`, whose refusal ends the program with its sentence and no traceback."""

    def attempt(known: A) -> B:
        try:
            return make(known)
        except Permanent as refusal:
            raise pulumi.RunError(str(refusal)) from None

    return attempt


def tag_list(tags: Mapping[str, str], own: Mapping[str, str] | None = None) -> list[aws.autoscaling.GroupTagArgs]:
    """Tags in the form Auto Scaling groups take them, propagated to their instances; `own` stay with the group."""
    every = {**dict.fromkeys(own or {}, False), **dict.fromkeys(tags, True)}
    values = {**(own or {}), **tags}
    return [
        aws.autoscaling.GroupTagArgs(key=key, value=values[key], propagate_at_launch=propagated)
        for key, propagated in sorted(every.items())
    ]

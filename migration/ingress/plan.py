"""Changing the ingress Service's externalTrafficPolicy without dropping a connection.

To `Cluster` it is simply set: every node then answers. Back to `Local` a node without a ready ingress pod stops
answering at once while its balancer still sends it connections until the health check notices. So: *narrow* (keep
Auto Scaling from adding targets, deregister nodes without a ready ingress pod, wait out their draining), *flip*,
*widen* (when the rest is healthy, register everything again, resume).

A node without an ingress pod that is registered again turns unhealthy under `Local`, and by default a network load
balancer then resets the flows that are still open through it. So while targets turn, that is switched off
(`target_health_state.unhealthy.connection_termination.enabled`,
https://docs.aws.amazon.com/elasticloadbalancing/latest/network/edit-target-group-attributes.html), and afterwards as
it was. Flows are terminated when a target "is deemed unhealthy", so it is given back only once none is still to turn.

`next_step` decides from what is there, one step at a time; annotations on the Service hold what can't be seen (which
groups were suspended by this program, and what the target groups said before), so a killed run is continued.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# What a target without traffic of its own reports; nothing can be dropped there.
SETTLED = frozenset({"healthy", "unused"})

Act = Literal[
    "mark",
    "suspend",
    "register",
    "deregister",
    "flip",
    "note",
    "keep-flows",
    "restore",
    "resume",
    "unmark",
    "wait",
    "done",
]


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What is there. `targets`: by target group, instance id → health state. `with_pods`: instances that run a ready
    ingress pod. `suspended`: groups whose AddToLoadBalancer is suspended. `marked`: those this program suspended,
    None while not narrowed. `in_service`: the groups' instances that should be targets. `terminates`: by target group,
    whether flows to a target that turns unhealthy are reset; `noted`: the same as it was before this program changed
    it, None while it hasn't.
    """

    wanted: str
    policy: str
    groups: tuple[str, ...]
    suspended: frozenset[str]
    marked: tuple[str, ...] | None
    with_pods: frozenset[str]
    in_service: frozenset[str]
    targets: Mapping[str, Mapping[str, str]]
    terminates: Mapping[str, bool]
    noted: Mapping[str, bool] | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do. `ids`: group names, or instances; `target_group`: the one that is changed; `why` for people.

    `noted`: what a "note" writes down.
    """

    act: Act
    why: str
    ids: tuple[str, ...] = ()
    target_group: str = ""
    policy: str = ""
    noted: tuple[tuple[str, bool], ...] = ()


def next_step(observed: Observation) -> Step:
    """The one thing to do now; "done" when the policy is as wanted and every balancer has settled."""
    if observed.wanted == "Local" and observed.policy != "Local":
        return _narrow(observed) or Step(
            act="flip", policy="Local", why="every remaining target has a ready ingress pod"
        )
    if observed.policy != observed.wanted:
        return Step(act="flip", policy=observed.wanted, why="every node may answer from now on")
    if observed.marked is not None:
        step = _widen(observed)
        if step:
            return step
    if observed.wanted == "Cluster":
        waiting = [
            f"{target} is {state}"
            for targets in observed.targets.values()
            for target, state in targets.items()
            if state not in SETTLED and state != "draining"
        ]
        if waiting:
            return Step(act="wait", why=f"targets to become healthy: {', '.join(sorted(waiting)[:3])}")
    return Step(act="done", why=f"externalTrafficPolicy is {observed.policy}")


def _narrow(observed: Observation) -> Step | None:
    if observed.marked is None:
        ours = tuple(group for group in observed.groups if group not in observed.suspended)
        return Step(act="mark", ids=ours, why="so that a killed run resumes exactly these groups")
    open_groups = tuple(group for group in observed.groups if group not in observed.suspended)
    if open_groups:
        return Step(act="suspend", ids=open_groups, why="no new target may join while the policy changes")
    for arn, targets in sorted(observed.targets.items()):
        registered = _registered(targets)
        kept = registered & observed.with_pods
        if not kept:
            missing = observed.in_service & observed.with_pods
            if not missing:
                named = ", ".join(observed.groups[:3]) + (" …" if len(observed.groups) > 3 else "")
                return Step(act="wait", why=f"a ready ingress pod on a node of {named}: none has one")
            return Step(act="register", target_group=arn, ids=_sorted(missing), why="they run ready ingress pods")
        if not all(targets[target] in SETTLED for target in kept):
            # Never take a serving target away before those that stay serve.
            return Step(act="wait", why="the targets with ingress pods to be healthy")
        surplus = registered - observed.with_pods
        if surplus:
            return Step(act="deregister", target_group=arn, ids=_sorted(surplus), why="no ready ingress pod there")
    draining = sum(state == "draining" for targets in observed.targets.values() for state in targets.values())
    if draining:
        return Step(act="wait", why=f"{draining} deregistered targets to finish their connections")
    return None


def _widen(observed: Observation) -> Step | None:
    for arn, targets in sorted(observed.targets.items()):
        registered = _registered(targets)
        if any(targets[target] not in SETTLED for target in registered & observed.with_pods):
            return Step(act="wait", why="the targets with ingress pods to be healthy")
        missing = observed.in_service - registered
        if missing:
            return _keeping(observed, arn) or Step(
                act="register", target_group=arn, ids=_sorted(missing), why="every node is a target again"
            )
    step = _restoring(observed)
    if step:
        return step
    closed = tuple(group for group in observed.marked or () if group in observed.suspended)
    if closed:
        return Step(act="resume", ids=closed, why="Auto Scaling adds targets again")
    return Step(act="unmark", why="nothing is narrowed any more")


def _keeping(observed: Observation, arn: str) -> Step | None:
    """What must be done before a target that will turn unhealthy is registered."""
    noted = observed.noted or {}
    if arn not in noted:
        before = tuple(sorted({**observed.terminates, **noted}.items()))
        return Step(act="note", noted=before, why="so that a killed run gives back what the target groups said")
    if observed.terminates[arn]:
        return Step(act="keep-flows", target_group=arn, why="no open flow is reset when targets turn unhealthy")
    return None


def _restoring(observed: Observation) -> Step | None:
    """Give back what was noted, once no target is still to turn."""
    if observed.noted is None:
        return None
    turning = [
        target
        for targets in observed.targets.values()
        for target, state in sorted(targets.items())
        if state == "initial"
    ]
    if turning:
        return Step(act="wait", why=f"the health of {len(turning)} registered targets to be known")
    for arn, before in sorted(observed.noted.items()):
        if before and observed.terminates.get(arn) is False:
            return Step(act="restore", target_group=arn, why="its flows are treated as before")
    return None


def _registered(targets: Mapping[str, str]) -> frozenset[str]:
    return frozenset(target for target, state in targets.items() if state != "draining")


def _sorted(ids: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(ids))

"""Whether the pods that a drain moves find room elsewhere: looked at before the first eviction. Pure.

What is counted is simple: requests against what nodes have left. Selectors, affinities and how pods fit together are
the scheduler's business: where only those stand in the way, the drain's brake notices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from migration.clients.documents import Document, listed, mapping
from migration.drain.model import TAINT, Pod, amount
from migration.drain.nodes import name_of, ready, zone_of
from migration.drain.plan import View, owner_of

CONTROL_PLANE = frozenset({"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"})
REPELLING = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True, kw_only=True)
class Size:
    """Cores, bytes and a number of pods: what is requested, or what is left."""

    cpu: float = 0.0
    memory: float = 0.0
    pods: float = 0

    def __add__(self, other: Size) -> Size:
        return Size(cpu=self.cpu + other.cpu, memory=self.memory + other.memory, pods=self.pods + other.pods)

    def over(self, left: Size) -> list[str]:
        """What of it is more than is left, in words."""
        found: list[str] = []
        if self.cpu > left.cpu + 0.001:
            found.append(f"{self.cpu:.1f} cores where {left.cpu:.1f} are free")
        if self.memory > left.memory + 1:
            found.append(f"{self.memory / 2**30:.1f} GiB of memory where {left.memory / 2**30:.1f} are free")
        if self.pods > left.pods:
            found.append(f"{self.pods:.0f} pods where {left.pods:.0f} more may run")
        return found


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Why the pods can't all find room, and why they may not; either may be empty."""

    refusal: str = ""
    warning: str = ""


def room_for(view: View, moved: Iterable[Pod], nodes: Sequence[Document]) -> Verdict:
    """Whether `moved` pods, and those of their owners that have no node yet, fit on nodes that aren't being drained.

    Refused when what they request is more than all such nodes together have left, or those of a zone for the pods
    whose volumes bind them to it. Nodes with a taint of their own count there, and not for the warning.
    """
    moving = [pod for pod in moved if pod.controller is not None]
    if not moving:
        return Verdict()
    others = [node for node in nodes if name_of(node) not in view.nodes and takes_pods(node)]
    if not others:
        return Verdict(refusal="the cluster shows no ready node, outside of those being drained, that takes pods")
    moving += _waiting(view, moving)
    zones = {pod.uid: zone for pod in moving if (zone := _bound_to(pod, view.zones))}
    wanted: dict[str, Size] = defaultdict(Size)
    for pod in moving:
        size = Size(cpu=pod.cpu, memory=pod.memory, pods=1)
        wanted[""] += size
        if pod.uid in zones:
            wanted[zones[pod.uid]] += size
    return Verdict(
        refusal=_short(wanted, left_on(others, view.pods)),
        warning=_short(wanted, left_on([node for node in others if not _repels(node)], view.pods)),
    )


def left_on(nodes: Sequence[Document], pods: Iterable[Pod]) -> dict[str, Size]:
    """What nodes have left in all (key "") and by zone."""
    used: dict[str, Size] = defaultdict(Size)
    for pod in pods:
        if pod.node and not pod.finished:
            used[pod.node] += Size(cpu=pod.cpu, memory=pod.memory, pods=1)
    left: dict[str, Size] = defaultdict(Size)
    for node in nodes:
        has, uses = mapping(node, "status", "allocatable"), used[name_of(node)]
        one = Size(
            cpu=max(0.0, amount(has.get("cpu") or 0) - uses.cpu),
            memory=max(0.0, amount(has.get("memory") or 0) - uses.memory),
            pods=max(0.0, amount(has.get("pods") or 0) - uses.pods),
        )
        left[""] += one
        left[zone_of(node)] += one if zone_of(node) else Size()
    return left


def _short(wanted: Mapping[str, Size], left: Mapping[str, Size]) -> str:
    found: list[str] = []
    for zone, size in sorted(wanted.items()):
        if over := size.over(left.get(zone, Size())):
            found.append((f"those bound to {zone} by their volumes " if zone else "they ") + "need " + ", ".join(over))
    return "; ".join(found)


def _waiting(view: View, moving: Sequence[Pod]) -> list[Pod]:
    """Pods of the same owners that have no node yet: they want room as well."""
    owners = {owner.uid for pod in moving if (owner := owner_of(pod, view)) is not None}
    unplaced = [pod for pod in view.pods if not pod.node and not pod.terminating and not pod.finished]
    return [pod for pod in unplaced if (owner := owner_of(pod, view)) is not None and owner.uid in owners]


def _bound_to(pod: Pod, zones: Mapping[str, frozenset[str]]) -> str:
    """The one zone that a pod's volumes leave it, or ""."""
    for claim in pod.claims:
        found = zones.get(f"{pod.namespace}/{claim}", frozenset())
        if len(found) == 1:
            return next(iter(found))
    return ""


def takes_pods(node: Document) -> bool:
    """Ready, not cordoned, neither a control plane's nor tainted as a side that is being left."""
    if not ready(node) or mapping(node, "spec").get("unschedulable"):
        return False
    keys = {taint.get("key") for taint in listed(node, "spec", "taints")}
    return not keys & CONTROL_PLANE and TAINT["key"] not in keys


def _repels(node: Document) -> bool:
    return any(taint.get("effect") in REPELLING for taint in listed(node, "spec", "taints"))

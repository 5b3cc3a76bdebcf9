"""Follows who owns pods: how many are wanted and ready, from the first list to a last look after the probes have ended.

A budget says nothing of an application that wants no pods any more, and nothing of one without a budget.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from migration.clients.asynchronous import REFUSALS, AsyncKubernetes
from migration.clients.kubernetes import DAEMON_SETS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, Kind
from proof.follow import CHUNK, Follower
from proof.model import Owner, Owners, Rescaled

KINDS: dict[str, Kind] = {
    "Deployment": DEPLOYMENTS,
    "StatefulSet": STATEFUL_SETS,
    "DaemonSet": DAEMON_SETS,
    "ReplicaSet": REPLICA_SETS,
}
SETTLE_S = 20.0
"""How long the last look waits for pods that are just starting."""
MOST_DETAILS = 200
MOST_RESCALED = 20


@dataclass(frozen=True, kw_only=True)
class OwnerSeen:
    """One owner in one look. `scaled`: somebody says how many; a DaemonSet's number follows the nodes."""

    name: str
    wanted: int
    ready: int
    scaled: bool = True


def read_owner(kind: str, item: dict[str, Any]) -> OwnerSeen | None:
    """An owner as the API gives it; None for a ReplicaSet that a Deployment owns."""
    meta: dict[str, Any] = item["metadata"]
    if any(owner.get("controller") for owner in meta.get("ownerReferences") or ()):
        return None
    name = f"{kind} {meta.get('namespace', 'default')}/{meta['name']}"
    status: dict[str, Any] = item.get("status") or {}
    if kind == "DaemonSet":
        wanted = int(status.get("desiredNumberScheduled", 0))
        return OwnerSeen(name=name, wanted=wanted, ready=int(status.get("numberReady", 0)), scaled=False)
    spec: dict[str, Any] = item.get("spec") or {}
    # Without a number the API server means one.
    return OwnerSeen(name=name, wanted=int(spec.get("replicas", 1)), ready=int(status.get("readyReplicas", 0)))


@dataclass
class _Known:
    before: OwnerSeen
    now: OwnerSeen
    lowest_ready: int
    rescaled: list[Rescaled] = field(default_factory=list[Rescaled])
    zero_at: float | None = None
    removed_at: float | None = None


@dataclass
class OwnerBook:
    """What is known of each owner that the first list had. Pure; `at` in epoch seconds."""

    looked_at_end: bool = False
    _known: dict[str, _Known] = field(default_factory=dict[str, _Known])
    _listed: set[str] = field(default_factory=set[str])

    def listed(self, kind: str, owners: Iterable[OwnerSeen], at: float) -> None:
        """A whole list of one kind. The first decides which owners count; later ones also show what has gone."""
        seen = {owner.name: owner for owner in owners}
        if kind not in self._listed:
            self._listed.add(kind)
            for name, owner in seen.items():
                self._known[name] = _Known(before=owner, now=owner, lowest_ready=owner.ready)
            return
        for owner in seen.values():
            self.seen("MODIFIED", owner, at)
        for name, known in self._known.items():
            if name.startswith(f"{kind} ") and name not in seen and known.removed_at is None:
                known.removed_at = at

    def seen(self, event: str, owner: OwnerSeen, at: float) -> None:
        """One event."""
        known = self._known.get(owner.name)
        if known is None:
            return
        if event == "DELETED":
            known.removed_at = at if known.removed_at is None else known.removed_at
            return
        if owner.scaled and owner.wanted != known.now.wanted and len(known.rescaled) < MOST_RESCALED:
            known.rescaled.append(Rescaled(t=round(at, 3), before=known.now.wanted, after=owner.wanted))
        if owner.wanted == 0 and known.before.wanted and known.zero_at is None:
            known.zero_at = at
        known.now, known.lowest_ready = owner, min(known.lowest_ready, owner.ready)

    @property
    def whole(self) -> bool:
        """Whether nobody has less than is due now."""
        return all(not told.short for told in self._told())

    def _told(self) -> list[Owner]:
        return [
            Owner(
                owner=name,
                wanted_before=known.before.wanted,
                ready_before=known.before.ready,
                wanted_after=0 if known.removed_at else known.now.wanted,
                ready_after=0 if known.removed_at else known.now.ready,
                lowest_ready=0 if known.removed_at else known.lowest_ready,
                rescaled=tuple(known.rescaled),
                zero_at=known.zero_at,
                removed_at=known.removed_at,
            )
            for name, known in sorted(self._known.items())
        ]

    def facts(self) -> Owners:
        """What was seen. `details` has whoever has less than is due, then whoever was scaled."""
        told = self._told()
        short = [owner for owner in told if owner.short]
        rescaled = [owner for owner in told if owner.rescaled and not owner.short]
        return Owners(
            watched=len(told),
            ready_before=sum(owner.ready_before for owner in told),
            ready_after=sum(owner.ready_after for owner in told),
            looked_at_end=self.looked_at_end,
            short=len(short),
            details=tuple([*short, *rescaled][:MOST_DETAILS]),
        )


class OwnerWatcher:
    """Follows all kinds; `run` until cancelled, then `last_look`."""

    def __init__(self, kube: AsyncKubernetes, event: Callable[..., None]) -> None:
        self._kube = kube
        self.book = OwnerBook()
        self._followers = [self._follower(kind, event) for kind in KINDS]

    def _follower(self, kind: str, event: Callable[..., None]) -> Follower[OwnerSeen | None]:
        def seen(happened: str, owner: OwnerSeen | None) -> None:
            if owner is not None:
                self.book.seen(happened, owner, time.time())

        return Follower(
            self._kube,
            KINDS[kind],
            read=lambda item: read_owner(kind, item),
            listed=lambda found: self._listed(kind, found),
            seen=seen,
            relisted=lambda detail: event("owners_relisted", time.time(), detail=f"{kind}: {detail}"),
        )

    def _listed(self, kind: str, found: list[OwnerSeen | None]) -> None:
        self.book.listed(kind, [owner for owner in found if owner is not None], time.time())

    @property
    def ready(self) -> bool:
        """Whether every first list is in."""
        return all(follower.ready.is_set() for follower in self._followers)

    async def run(self) -> None:
        await asyncio.gather(*(follower.run() for follower in self._followers))

    async def last_look(self, patience_s: float = SETTLE_S) -> None:
        """List everything again, until nobody has less than is due, or the time is up."""
        until = time.monotonic() + patience_s
        while self.ready:
            try:
                for kind in KINDS:
                    found: list[OwnerSeen | None] = []
                    async for items, _ in self._kube.pages(KINDS[kind], chunk=CHUNK):
                        found += [read_owner(kind, item) for item in items]
                    self._listed(kind, found)
                self.book.looked_at_end = True
            except REFUSALS:
                self.book.looked_at_end = False
            if (self.book.looked_at_end and self.book.whole) or time.monotonic() >= until:
                return
            await asyncio.sleep(1.0)

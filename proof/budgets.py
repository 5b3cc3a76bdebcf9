"""Watches every PodDisruptionBudget. A violation is `currentHealthy < desiredHealthy` in any event of a
budget that was met when the watch began; a budget that disappears from under its pods counts as one too.

The watch resumes from its resourceVersion, so a broken connection loses no event; only a version that has
become too old (410) does, and that is counted as `relists`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from proof.kube import Kube, KubeError

PATH = "/apis/policy/v1/poddisruptionbudgets"


@dataclass
class Violation:
    """One stretch of time in which a budget was below what it asks for; numbers are the worst seen."""

    budget: str
    begin: float
    current: int
    desired: int
    end: float | None = None
    removed: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "budget": self.budget,
            "begin": round(self.begin, 3),
            "end": None if self.end is None else round(self.end, 3),
            "current": self.current,
            "desired": self.desired,
            "removed": self.removed,
        }


@dataclass
class BudgetBook:
    """What is known of each budget. Pure: `listed` and `seen` take objects as the API gives them."""

    met_at_start: set[str] = field(default_factory=set)
    unmet_at_start: set[str] = field(default_factory=set)
    violations: list[Violation] = field(default_factory=list)
    _started: bool = False
    _open: dict[str, Violation] = field(default_factory=dict)

    @property
    def watched(self) -> int:
        return len(self.met_at_start)

    def listed(self, items: list[dict[str, Any]], at: float) -> list[Violation]:
        """A whole list. The first decides which budgets count; later ones also show what has gone. Returns
        new violations.
        """
        if not self._started:
            self._started = True
            for item in items:
                name, current, desired = numbers(item)
                (self.met_at_start if current >= desired else self.unmet_at_start).add(name)
            return []
        fresh = [violation for item in items for violation in self.seen("MODIFIED", item, at)]
        for name in self.met_at_start - {numbers(item)[0] for item in items}:
            fresh += self._removed(name, at)
        return fresh

    def seen(self, kind: str, item: dict[str, Any], at: float) -> list[Violation]:
        """One watch event. Returns the violations that begin with it."""
        name, current, desired = numbers(item)
        if name not in self.met_at_start:
            return []
        if kind == "DELETED":
            return self._removed(name, at)
        running = self._open.get(name)
        if current >= desired:
            if running is not None:
                running.end = at
                del self._open[name]
            return []
        if running is not None and not running.removed:
            if desired - current > running.desired - running.current:
                running.current, running.desired = current, desired
            return []
        return self._begin(Violation(name, at, current, desired))

    def _removed(self, name: str, at: float) -> list[Violation]:
        running = self._open.get(name)
        if running is not None and running.removed:
            return []
        return self._begin(Violation(name, at, 0, 0, removed=True))

    def _begin(self, violation: Violation) -> list[Violation]:
        self._open[violation.budget] = violation
        self.violations.append(violation)
        return [violation]


def numbers(item: dict[str, Any]) -> tuple[str, int, int]:
    """(namespace/name, currentHealthy, desiredHealthy); a budget without status asks for nothing yet."""
    meta, status = item["metadata"], item.get("status", {})
    name = f"{meta.get('namespace', 'default')}/{meta['name']}"
    return name, int(status.get("currentHealthy", 0)), int(status.get("desiredHealthy", 0))


class BudgetWatcher:
    """List, watch, resume; runs until cancelled."""

    def __init__(self, kube: Kube, event: Callable[..., None]) -> None:
        self._kube = kube
        self._event = event
        self.book = BudgetBook()
        self.relists = 0
        self.reconnects = 0
        self.ready = asyncio.Event()
        """Set when the first list is in: from then on violations count."""

    async def run(self) -> None:
        version: str | None = None
        while True:
            try:
                if version is None:
                    version = await self._list()
                async for kind, item in self._kube.watch(PATH, version):
                    version = item["metadata"]["resourceVersion"]
                    if kind != "BOOKMARK":
                        self._tell(self.book.seen(kind, item, time.time()))
            except KubeError as error:
                if error.status == 410:
                    version = None
                    self.relists += 1
                    self._event("budgets_relisted", time.time(), detail=str(error))
                    continue
                self.reconnects += 1
                await asyncio.sleep(0.5)

    async def _list(self) -> str:
        answer = await self._kube.call("GET", PATH)
        self._tell(self.book.listed(answer.get("items", []), time.time()))
        self.ready.set()
        return answer["metadata"]["resourceVersion"]

    def _tell(self, fresh: list[Violation]) -> None:
        for violation in fresh:
            self._event("budget_violated", violation.begin, **violation.as_json())

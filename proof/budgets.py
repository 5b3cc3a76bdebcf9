"""Watches every PodDisruptionBudget. A violation is `currentHealthy < desiredHealthy` in any event of a
budget that was met when the watch began; a budget that disappears from under its pods counts as one too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from migration.clients.asynchronous import AsyncKubernetes
from migration.clients.kubernetes import BUDGETS
from proof.follow import Follower
from proof.model import Budgets, Violation

MOST_DETAILS = 200


@dataclass(frozen=True, kw_only=True)
class BudgetSeen:
    """One budget in one look: namespace/name, currentHealthy, desiredHealthy."""

    name: str
    current: int
    desired: int


def read_budget(item: dict[str, Any]) -> BudgetSeen:
    """A budget as the API gives it; one without status asks for nothing yet."""
    meta: dict[str, Any] = item["metadata"]
    status: dict[str, Any] = item.get("status") or {}
    return BudgetSeen(
        name=f"{meta.get('namespace', 'default')}/{meta['name']}",
        current=int(status.get("currentHealthy", 0)),
        desired=int(status.get("desiredHealthy", 0)),
    )


@dataclass
class Below:
    """A stretch of time in which a budget is below what it asks for; numbers are the worst seen."""

    budget: str
    begin: float
    current: int
    desired: int
    end: float | None = None
    removed: bool = False

    def violation(self) -> Violation:
        return Violation(
            budget=self.budget,
            begin=round(self.begin, 3),
            end=None if self.end is None else round(self.end, 3),
            current=self.current,
            desired=self.desired,
            removed=self.removed,
        )


@dataclass
class BudgetBook:
    """What is known of each budget. Pure."""

    met_at_start: set[str] = field(default_factory=set[str])
    unmet_at_start: set[str] = field(default_factory=set[str])
    violations: list[Below] = field(default_factory=list[Below])
    _started: bool = False
    _open: dict[str, Below] = field(default_factory=dict[str, Below])

    @property
    def watched(self) -> int:
        return len(self.met_at_start)

    def listed(self, budgets: list[BudgetSeen], at: float) -> list[Below]:
        """A whole list. The first decides which budgets count; later ones also show what has gone. Returns
        new violations.
        """
        if not self._started:
            self._started = True
            for budget in budgets:
                (self.met_at_start if budget.current >= budget.desired else self.unmet_at_start).add(budget.name)
            return []
        fresh = [violation for budget in budgets for violation in self.seen("MODIFIED", budget, at)]
        for name in self.met_at_start - {budget.name for budget in budgets}:
            fresh += self._removed(name, at)
        return fresh

    def seen(self, kind: str, budget: BudgetSeen, at: float) -> list[Below]:
        """One watch event. Returns the violations that begin with it."""
        name, current, desired = budget.name, budget.current, budget.desired
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
        return self._begin(Below(name, at, current, desired))

    def _removed(self, name: str, at: float) -> list[Below]:
        running = self._open.get(name)
        if running is not None and running.removed:
            return []
        return self._begin(Below(name, at, 0, 0, removed=True))

    def _begin(self, violation: Below) -> list[Below]:
        self._open[violation.budget] = violation
        self.violations.append(violation)
        return [violation]


class BudgetWatcher:
    """Follows every budget; runs until cancelled."""

    def __init__(self, kube: AsyncKubernetes, event: Callable[..., None]) -> None:
        self._event = event
        self.book = BudgetBook()
        self._follower = Follower(
            kube,
            BUDGETS,
            read=read_budget,
            listed=lambda budgets: self._tell(self.book.listed(budgets, time.time())),
            seen=lambda kind, budget: self._tell(self.book.seen(kind, budget, time.time())),
            relisted=lambda detail: event("budgets_relisted", time.time(), detail=detail),
        )
        self.ready = self._follower.ready
        """Set when the first list is in: from then on violations count."""

    async def run(self) -> None:
        await self._follower.run()

    def facts(self) -> Budgets:
        """What was seen so far."""
        book = self.book
        return Budgets(
            watched=book.watched,
            violations=len(book.violations),
            unmet_at_start=tuple(sorted(book.unmet_at_start)),
            details=tuple(below.violation() for below in book.violations[:MOST_DETAILS]),
            relists=self._follower.relists,
        )

    def _tell(self, fresh: list[Below]) -> None:
        for below in fresh:
            self._event("budget_violated", below.begin, **below.violation().model_dump(exclude={"window", "at"}))

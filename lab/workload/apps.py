"""The teams' applications: namespaces, sizes, budgets. Data."""

from __future__ import annotations

from dataclasses import dataclass

NAMESPACES = ("shop", "billing", "media", "tools")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A PodDisruptionBudget's one field: a number or a percentage."""

    field: str
    value: int | str


def at_most(value: int | str) -> Budget:
    return Budget(field="maxUnavailable", value=value)


def at_least(value: int | str) -> Budget:
    return Budget(field="minAvailable", value=value)


@dataclass(frozen=True, kw_only=True)
class App:
    name: str
    namespace: str
    replicas: int
    budget: Budget | None
    stateful: bool = False
    surge: bool = False
    """Rolls with maxSurge 1 and maxUnavailable 0: how a single replica under minAvailable 1 can move at all."""


APPS = (
    App(name="storefront", namespace="shop", replicas=22, budget=at_most("25%")),
    App(name="cart", namespace="shop", replicas=12, budget=at_most(3)),
    App(name="search", namespace="shop", replicas=16, budget=at_least("75%")),
    App(name="catalog", namespace="shop", replicas=10, budget=at_least(8)),
    App(name="sessions", namespace="shop", replicas=3, budget=at_most(1), stateful=True),
    App(name="invoices", namespace="billing", replicas=12, budget=at_most("20%")),
    App(name="payments", namespace="billing", replicas=12, budget=at_least(9)),
    App(name="ledger", namespace="billing", replicas=8, budget=at_most(1)),
    App(name="reports", namespace="billing", replicas=10, budget=at_most("30%")),
    App(name="orders-db", namespace="billing", replicas=3, budget=at_least(2), stateful=True),
    App(name="transcode", namespace="media", replicas=28, budget=at_most("33%")),
    App(name="thumbnails", namespace="media", replicas=16, budget=at_least("50%")),
    App(name="uploads", namespace="media", replicas=12, budget=at_most(2)),
    App(name="streams", namespace="media", replicas=12, budget=at_least("80%")),
    App(name="wiki", namespace="tools", replicas=6, budget=at_most("50%")),
    App(name="chat", namespace="tools", replicas=8, budget=at_least(6)),
    App(name="builds", namespace="tools", replicas=17, budget=at_most("25%")),
    App(name="license-server", namespace="tools", replicas=1, budget=at_least(1), surge=True),
    App(name="scratchpad", namespace="tools", replicas=10, budget=None),
)
"""16 Deployments with budgets, one without, and 2 StatefulSets."""

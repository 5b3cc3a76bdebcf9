"""The teams' applications: namespaces, sizes, budgets. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from lab.profiles import LARGE, find

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

DEPLOYMENTS, STATEFUL_SETS = 80, 20
"""Of a cluster that has more pods than these: those above, and others until there are so many."""
FEWEST = 4
"""Replicas of one of the others: of these each of their budgets lets one go."""
DATA_REPLICAS = (3, 4, 5, 6, 7)
"""In turn; as many however many pods there are, since a volume is a zone's and databases grow in other ways."""


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What some of the others have in common: how many parts of the pods they get, and their budget by replicas."""

    parts: int
    budget: Callable[[int], Budget]


# A budget of one or two keeps a large application for hours on any cluster: those who have such are small.
_KINDS = (
    _Kind(parts=1, budget=lambda _: at_most(1)),
    _Kind(parts=2, budget=lambda _: at_most(2)),
    _Kind(parts=3, budget=lambda _: at_most("5%")),
    _Kind(parts=3, budget=lambda _: at_most("10%")),
    _Kind(parts=4, budget=lambda _: at_most("25%")),
    _Kind(parts=2, budget=lambda _: at_least("75%")),
    _Kind(parts=1, budget=lambda replicas: at_least(replicas - 2)),
)
_DATA_BUDGETS: tuple[Callable[[int], Budget], ...] = (
    lambda _: at_most(1),
    lambda replicas: at_least(replicas - 1),
    lambda _: at_most("25%"),
)


def apps_of(profile: str, pods: int) -> tuple[App, ...]:
    """The teams' applications of a profile, which have so many pods together.

    Raises ValueError, saying what would do, for a number that this profile can't have. That its nodes hold them is
    asked elsewhere (`lab/workload/room.py`).
    """
    found = find(profile)
    if not found.sized:
        if pods != found.pods:
            raise ValueError(f"profile {profile} has {found.pods} pods of the teams'; as many as asked for has {LARGE}")
        return APPS
    if pods < fewest():
        applications = DEPLOYMENTS + STATEFUL_SETS
        raise ValueError(f"the {applications} applications of profile {profile} have {fewest()} pods at least")
    return (*APPS, *_others(pods - _pods(APPS)))


def fewest() -> int:
    """Pods of a large profile's applications where each has as few as it may."""
    return _pods(APPS) + _pods(tuple(_data())) + FEWEST * _count(stateful=False)


def _pods(apps: Sequence[App]) -> int:
    return sum(app.replicas for app in apps)


def _count(*, stateful: bool) -> int:
    """How many others there are of a kind."""
    return (STATEFUL_SETS if stateful else DEPLOYMENTS) - sum(app.stateful is stateful for app in APPS)


def _others(pods: int) -> Iterator[App]:
    """Applications beside those that every profile has, with so many pods together."""
    data = tuple(_data())
    kinds = [_KINDS[number % len(_KINDS)] for number in range(_count(stateful=False))]
    shares = _shared(pods - _pods(data) - FEWEST * len(kinds), [kind.parts for kind in kinds])
    for number, (kind, share) in enumerate(zip(kinds, shares, strict=True)):
        replicas = FEWEST + share
        yield App(
            name=f"service-{number + 1:02}", namespace=_team(number), replicas=replicas, budget=kind.budget(replicas)
        )
    yield from data


def _data() -> Iterator[App]:
    for number in range(_count(stateful=True)):
        replicas = DATA_REPLICAS[number % len(DATA_REPLICAS)]
        budget = _DATA_BUDGETS[number % len(_DATA_BUDGETS)]
        yield App(
            name=f"store-{number + 1:02}",
            namespace=_team(number),
            replicas=replicas,
            budget=budget(replicas),
            stateful=True,
        )


def _team(number: int) -> str:
    return NAMESPACES[number % len(NAMESPACES)]


def _shared(total: int, parts: Sequence[int]) -> list[int]:
    """`total` by these parts, in whole numbers that add up to it."""
    ends = [total * so_far // sum(parts) for so_far in accumulate(parts)]
    return [end - begin for begin, end in pairwise([0, *ends])]

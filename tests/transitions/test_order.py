"""Predecessors are named once: the order is the same as if each resource named all, on far fewer paths."""

from __future__ import annotations

from functools import cache

import pytest

from components import migration
from components.order import QUICK
from migration.stages import STAGES
from tests.samples import settings
from tests.transitions.recorder import Declared, Key, at, declare

MANY = 20_000_000
"""Paths that the engine follows in seconds, after a delete that failed."""


@cache
def in_full(stage: int) -> dict[Key, Declared]:
    """What it declares where each resource names all its predecessors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migration, "Reduced", lambda: lambda args: None)
        return declare(settings(stage))


def every(found: dict[Key, Declared]) -> dict[Key, frozenset[Key]]:
    """All that stands behind each resource."""
    behind: dict[Key, frozenset[Key]] = {}

    def of(key: Key) -> frozenset[Key]:
        if key not in behind:
            after = found[key].after
            behind[key] = after.union(*(of(one) for one in after))
        return behind[key]

    return {key: of(key) for key in found}


def paths(found: dict[Key, Declared], last: Key) -> int:
    """How many ways lead back from a resource."""
    known: dict[Key, int] = {}

    def of(key: Key) -> int:
        if key not in known:
            known[key] = 1 + sum(of(one) for one in found[key].edges)
        return known[key]

    return of(last)


@pytest.mark.parametrize("stage", [row.number for row in STAGES])
def test_the_order_is_the_same_as_if_each_resource_named_all(stage: int) -> None:
    reduced = at(stage)
    full = in_full(stage)
    behind, named = every(reduced), every(full)
    assert behind.keys() == named.keys()
    for key, one in behind.items():
        # Of its component, what is made in a moment and stands for the same predecessors.
        firsts = one - named[key]
        assert {full[first].type for first in firsts} <= QUICK, key
        assert named[key] <= one
    if stage > 1:
        assert sum(len(one.after) for one in reduced.values()) < sum(len(one.after) for one in full.values()) / 2


@pytest.mark.parametrize("stage", [row.number for row in STAGES])
def test_the_engine_has_few_paths_to_follow(stage: int) -> None:
    reached = ("StageRecord", "reached")
    few = paths(at(stage), reached)
    assert few < MANY
    assert paths(in_full(stage), reached) > (few if stage else 0)

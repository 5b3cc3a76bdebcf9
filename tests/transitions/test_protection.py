"""What refuses a deletion: the guard of the stack, and the one of the new side's workers."""

from __future__ import annotations

import pytest

from migration.stages import STAGES
from tests.transitions.recorder import Key, at


@pytest.mark.parametrize("stage", [row.number for row in STAGES])
def test_the_stacks_guard_is_among_the_first_to_be_deleted_and_stands_on_little(stage: int) -> None:
    found = at(stage)
    guard = "StackGuard", "guard"
    assert [key for key, one in found.items() if guard in one.after] == []
    assert found[guard].after == {("StageRecord", "begin")}
    assert found[guard].asked["to"] == "main"


@pytest.mark.parametrize("stage", [row.number for row in STAGES])
def test_all_else_stands_behind_the_last_word(stage: int) -> None:
    found = at(stage)
    seen: set[Key] = set()
    todo = [("StageRecord", "reached")]
    while todo:
        for key in found[todo.pop()].after - seen:
            seen.add(key)
            todo.append(key)
    components = {key for key, one in found.items() if one.type.startswith("migration:")}
    # What the cluster holds of ours is no part of it.
    objects = {key for key in found if key[0] in ("ConfigMap", "ClusterRole", "kubernetes")}
    left = set(found) - seen - components - objects
    assert left == {("StageRecord", "reached"), ("StackGuard", "guard")}


@pytest.mark.parametrize("stage", [row.number for row in STAGES[3:]])
def test_workers_are_guarded_by_what_depends_on_every_group(stage: int) -> None:
    found = at(stage)
    guard = found["WorkerGuard", "main-workers-guard"]
    groups = {key for key in found if key[0] == "Group" and not key[1].startswith("main-member-")}
    assert groups
    roll = found.get(("Roll", "main-roll"))
    assert groups <= (guard.after if roll is None else roll.after)
    assert roll is None or ("Roll", "main-roll") in guard.after
    assert set(guard.asked["groups"]) == {found[key].inputs["name"] for key in groups}


def test_before_the_workers_there_is_no_guard() -> None:
    assert [key for stage in range(3) for key in at(stage) if key[0] == "WorkerGuard"] == []

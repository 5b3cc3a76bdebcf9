"""What carries pods, traffic or votes is protected from stage 3 on, and no `up` wants to delete what is."""

from __future__ import annotations

from functools import cache

import pytest

from migration.stages import STAGES
from tests.samples import settings
from tests.transitions.recorder import Declared, Key, declare

CARRIES = {"Vpc", "Subnet", "RouteTable", "LoadBalancer", "TargetGroup", "Listener", "SecurityGroup"}
"""Types of the new side without which nothing on it is reached."""


@cache
def at(stage: int) -> dict[Key, Declared]:
    return declare(settings(stage))


def protected(stage: int) -> set[Key]:
    return {key for key, one in at(stage).items() if one.protected}


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_while_the_new_side_carries_nothing_nothing_is_protected(stage: int) -> None:
    assert protected(stage) == set()


@pytest.mark.parametrize("stage", [row.number for row in STAGES[3:]])
def test_from_the_workers_on_what_they_are_reached_by_is(stage: int) -> None:
    new = {key for key in at(stage) if key[0] in CARRIES and key[1].startswith("main-")}
    new.discard(("Listener", "main-api-check"))
    assert {kind for kind, _ in new} == CARRIES
    assert new - protected(stage) == set()


@pytest.mark.parametrize("stage", [row.number for row in STAGES])
def test_no_up_deletes_what_the_stage_it_leaves_protects(stage: int) -> None:
    further = min(stage + 1, len(STAGES) - 1)
    assert protected(stage) - set(at(further)) == set()
    # Back from the control plane only with no new voter, and from the last stage not at all.
    leaving = at(stage) if stage < 7 else declare(settings(7, controlPlaneMoved=0))
    kept = {key for key, one in leaving.items() if one.protected}
    assert kept - set(at(max(min(stage, 7) - 1, 0))) == set()


def test_a_new_member_that_votes_is_protected_and_so_is_what_reaches_it() -> None:
    voting = protected(7) - {key for key, one in declare(settings(7, controlPlaneMoved=0)).items() if one.protected}
    assert {kind for kind, _ in voting} == {"Volume", "Group", "TargetGroup"}
    assert {name for kind, name in voting if kind == "TargetGroup"} == {"main-apimembers"}


@pytest.mark.parametrize("stage", [row.number for row in STAGES[3:]])
def test_workers_are_guarded_by_what_depends_on_every_group(stage: int) -> None:
    found = at(stage)
    guard = found["WorkerGuard", "main-workers-guard"]
    groups = {key for key in found if key[0] == "Group" and not key[1].startswith("main-member-")}
    assert groups
    assert groups <= guard.after
    assert set(guard.asked["groups"]) == {found[key].inputs["name"] for key in groups}


def test_before_the_workers_there_is_no_guard() -> None:
    assert [key for stage in range(3) for key in at(stage) if key[0] == "WorkerGuard"] == []

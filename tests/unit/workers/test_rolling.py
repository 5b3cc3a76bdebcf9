"""Rolls outside of an `up`: on which side, when, and what is said before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from migration import rolling
from migration.contracts.record import Record
from migration.runtime.deadline import Permanent
from migration.settings import Settings
from migration.stages import STAGES
from tests.samples import configuration, settings
from tests.unit.test_worker_operations import World, group
from tests.unit.workers.test_roll import OLD
from tests.unit.workers.test_roll import World as Rolled

IMAGE = "ami-0123456789abcdef0"


def with_keys(stage: int, **keys: Any) -> Settings:
    sides = configuration()["sides"]
    return settings(stage, sides={**sides, "main": {**sides["main"], **keys}})


@pytest.mark.parametrize("row", STAGES, ids=[row.name for row in STAGES])
def test_a_cluster_lives_on_a_side_of_this_program_only_once_the_migration_is_over(row: Any) -> None:
    assert rolling.lived_on(settings(row.number)) == ("main" if row.finished else None)


@pytest.mark.parametrize("stage", [0, 1, 2, 3, 8])
def test_of_the_next_migration_it_is_the_side_that_is_left_until_pods_move(stage: int) -> None:
    values = configuration()
    third = {"kind": "managed", "cidr": "10.2.0.0/16", "suffix": "-next", "zones": values["sides"]["main"]["zones"]}
    c = settings(stage).configuration
    sides = {**c.sides, "next": type(c.sides["main"]).model_validate(third)}
    again = c.model_copy(update={"from_": "main", "to": "next", "sides": sides})
    moved = Settings(configuration=again, stage=STAGES[stage], stack="s", region="eu-central-1")
    assert rolling.lived_on(moved) == {0: "main", 1: "main", 2: "main", 3: None, 8: "next"}[stage]


def clients(record: Record | None, monkeypatch: pytest.MonkeyPatch, aws: Any = None) -> Any:
    monkeypatch.setattr(rolling, "read_record", lambda *_: record)
    return SimpleNamespace(aws=aws, kubernetes=None)


def reached(number: int, tried: int | None = None, owner: str = "migration/default") -> Record:
    return Record(
        owner=owner, from_side="legacy", to_side="main", reached=number, tried=number if tried is None else tried
    )


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (None, "has no record of a migration"),
        (reached(8, owner="migration/other"), "is driven by migration/other, not by migration/default"),
        (reached(7, 8), "reached stage 7 and tried 8.*finish that stage first"),
        (reached(7), "reached stage 7.*this file says 8"),
    ],
)
def test_nothing_is_rolled_while_something_is_under_way(
    record: Record | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Permanent, match=said):
        rolling.run(settings(8), clients(record, monkeypatch), "migration/default", print)


def test_while_a_side_is_left_it_is_refused_with_when(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Permanent, match=r"at stage 5 \(traffic-new\) a side is being left"):
        rolling.inputs_of(settings(5), clients(None, monkeypatch))


def test_a_group_that_is_not_made_yet_is_said_to_be_new_and_the_one_it_follows_to_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = Rolled({})
    world.made("nodes-m5-a.pet-main", "m5-a", OLD, [OLD])
    for zone in "bc":
        world.made(f"nodes-m5-{zone}.pet-main", f"m5-{zone}", OLD, [OLD])
    for name in "abc":
        world.made(f"master-{name}.pet-main", "", OLD, [OLD])
        world.described[f"master-{name}.pet-main"]["Tags"] = []
    balancer = SimpleNamespace(target_groups=("arn",))
    whole = SimpleNamespace(vpc_id="vpc", ingresses={"ingress": balancer}, api=balancer, api_instances="arn")
    monkeypatch.setattr(rolling.sides, "find", lambda *_: whole)
    keys = with_keys(8, pools={"m5-a": {"group": "nodes-m5-a.pet"}})
    asked = clients(None, monkeypatch, world)
    context = world.context()
    assert rolling.due(keys, asked, context) == [
        "nodes-m5-a.pet: a new group, for pool m5-a",
        "nodes-m5-a.pet-main isn't wanted any more: 1 nodes are drained, then it is deleted",
    ]
    assert world.unchanged()


def test_what_a_key_will_change_is_said_by_group_before_the_up(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World({name: group(name) for name in ("nodes-m5-a.pet-main", "nodes-m5-b.pet-main", "master-a.pet-main")})
    keys = with_keys(8, pools={"m5-a": {"image": IMAGE, "keyName": "ops"}}, members={})
    found = list(rolling.changing(keys, clients(None, monkeypatch, world)))
    assert found == ["nodes-m5-a.pet-main: 2 machines are replaced, for another image_id, key_name"]

"""A record that isn't what is there: each lack and each name that leads elsewhere, with both ways out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from migration.contracts.gates import BalancerRef
from migration.contracts.record import Record
from migration.sides import Side
from migration.stages import contradiction
from migration.stages.contradiction import refuse_contradiction
from migration.stages.moves import IllegalMove
from tests.samples import settings

GROUPS = {f"nodes-m5-{zone}.pet-main" for zone in "abc"}
MEMBERS = {f"master-{name}.pet-main" for name in "abc"}
BALANCER = BalancerRef(arn="arn:b", dns_name="b.elb", target_groups=("arn:t",))

SIDE = Side(name="main", suffix="-main", cidr="10.1.0.0/16", vpc_id="vpc-new", ingress=BALANCER, api=BALANCER)


@dataclass
class World:
    """What is there: the new side, its groups, and how much of which name leads to which side."""

    side: Side = SIDE
    existing: set[str] = field(default_factory=lambda: GROUPS | MEMBERS)
    weights: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    def groups(self, names: list[str]) -> dict[str, Any]:
        return {name: {} for name in names if name in self.existing}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(contradiction, "find", lambda aws, cluster, ref: aws.side)

    def records(aws: World, zone: str) -> list[dict[str, Any]]:
        other: list[dict[str, Any]] = [{"Name": "other.pet.example.", "SetIdentifier": "main", "Weight": 9}]
        return other + [
            {"Name": f"{name}.".replace("*", "\\052"), "SetIdentifier": side, "Weight": weight}
            for (name, side), weight in aws.weights.items()
        ]

    monkeypatch.setattr(contradiction, "zone_records", records)
    return made


def refusal(world: Any, reached: int, tried: int | None = None, to: str = "main") -> str:
    record = Record(
        owner="o", from_side="legacy", to_side=to, reached=reached, tried=reached if tried is None else tried
    )
    try:
        refuse_contradiction(record, settings(reached), world)
    except IllegalMove as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize("reached", range(9))
def test_what_is_as_the_record_says_is_admitted(world: World, reached: int) -> None:
    assert refusal(world, reached) == ""


@pytest.mark.parametrize("reached", range(9))
def test_what_a_reached_stage_made_must_be_there(world: World, reached: int) -> None:
    world.side, world.existing = Side(name="main", suffix="-main", cidr="10.1.0.0/16"), set()
    said = refusal(world, reached)
    assert ("side main has no VPC with the tags migration:cluster=pet migration:side=main" in said) is (reached >= 1)
    assert ("side main has no ingress balancer" in said) is (reached >= 2)
    assert ("3 of 3 Auto Scaling groups of side main don't exist: nodes-m5-a.pet-main" in said) is (3 <= reached < 7)
    assert ("6 of 6 Auto Scaling groups" in said) is (reached == 7)
    # The migration is over: pools come and go, members stay.
    assert ("3 of 3 Auto Scaling groups of side main don't exist: master-a.pet-main" in said) is (reached == 8)
    if reached:
        assert "nothing was changed" in said
        assert "aws ssm delete-parameter --name /pet/migration/record" in said
        assert "python -m migration record --restore STAGE" in said


def test_what_a_stage_under_way_makes_or_takes_away_may_be_missing(world: World) -> None:
    world.existing = set()
    assert refusal(world, 2, 3) == ""
    assert refusal(world, 3, 2) == ""
    assert "3 of 3 Auto Scaling groups" in refusal(world, 3, 4)


def test_a_name_may_not_lead_where_the_stage_has_no_traffic(world: World) -> None:
    world.weights = {("*.apps.pet.example", "main"): 50, ("*.apps.pet.example", "legacy"): 50}
    for reached in (2, 3):
        assert "*.apps.pet.example leads to side main with weight 50" in refusal(world, reached)
    assert refusal(world, 4) == ""
    for reached in (5, 6, 7):
        assert "*.apps.pet.example leads to side legacy with weight 50" in refusal(world, reached)
    # On the way between two stages it may.
    assert refusal(world, 3, 4) == ""
    assert refusal(world, 5, 4) == ""
    world.weights = {("*.apps.pet.example", "main"): 0}
    assert refusal(world, 3) == ""


def test_a_next_migrations_side_need_not_be_there(world: World) -> None:
    world.side = Side(name="main", suffix="-main", cidr="10.1.0.0/16")
    assert refusal(world, 8, to="third") == ""

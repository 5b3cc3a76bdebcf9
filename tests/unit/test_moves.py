"""Legal moves, and refusals that name the next legal command."""

from __future__ import annotations

import pytest

from migration.contracts.record import Record
from migration.stages.moves import Direction, IllegalMove, Move, plan_move


def move(reached: int | None, target: int, tried: int | None = None, **changes: object) -> Move:
    record = None
    if reached is not None:
        record = Record(
            owner="migration/default",
            from_side="legacy",
            to_side="main",
            reached=reached,
            tried=reached if tried is None else tried,
        )
    arguments = {"owner": "migration/default", "from_side": "legacy", "to_side": "main", **changes}
    return plan_move(record, target, **arguments)  # pyright: ignore[reportArgumentType] - changes are the test's own


@pytest.mark.parametrize("target", [0, 1, 2, 3])
def test_without_a_record_an_up_may_go_straight_to_where_nothing_moves_yet(target: int) -> None:
    assert move(None, target).target == target


@pytest.mark.parametrize("target", [4, 8])
def test_without_a_record_traffic_can_not_be_moved(target: int) -> None:
    with pytest.raises(IllegalMove, match=r"no record.*stage 3 \(workers\): pulumi up"):
        move(None, target)


def test_one_forward_from_what_was_reached() -> None:
    assert move(3, 4) == Move(origin=3, target=4, direction=Direction.FORWARD)


def test_two_forward_is_refused_with_the_next_legal_command() -> None:
    with pytest.raises(IllegalMove, match=r"reached stage 3.*stage 4 \(traffic-both\)"):
        move(3, 5)


def test_forward_counts_from_reached_not_from_tried() -> None:
    with pytest.raises(IllegalMove, match="tried 4"):
        move(3, 5, tried=4)
    assert move(3, 4, tried=4).direction is Direction.FORWARD


def test_one_back_from_tried() -> None:
    assert move(5, 4).direction is Direction.BACK
    assert move(3, 3, tried=4) == Move(origin=4, target=3, direction=Direction.BACK)
    with pytest.raises(IllegalMove):
        move(5, 3)


def test_a_way_back_that_was_interrupted_goes_on_or_turns_round() -> None:
    assert move(5, 4, tried=4).direction is Direction.BACK
    assert move(5, 5, tried=4).direction is Direction.FORWARD


def test_the_same_stage_again_stays() -> None:
    assert move(6, 6).direction is Direction.STAY


def test_seven_goes_back_whoever_votes_and_six_only_when_no_new_member_does() -> None:
    assert move(6, 6, tried=7).direction is Direction.BACK
    assert move(7, 6).direction is Direction.BACK
    assert move(6, 5, new_voters=0).direction is Direction.BACK
    with pytest.raises(IllegalMove, match=r"2 new member\(s\).*swaps them back itself. Next legal: stage 6"):
        move(6, 5, new_voters=2)
    # The way back to 6 was begun and isn't through.
    with pytest.raises(IllegalMove, match=r"1 new member\(s\)"):
        move(7, 5, tried=6, new_voters=1)


def test_eight_does_not_go_back() -> None:
    with pytest.raises(IllegalMove):
        move(8, 7)
    with pytest.raises(IllegalMove):
        move(7, 7 - 1, tried=8)


def test_from_eight_exchanged_sides_begin_again_at_zero() -> None:
    assert move(8, 0, from_side="main", to_side="legacy").target == 0
    assert move(8, 0, from_side="main", to_side="next").target == 0
    with pytest.raises(IllegalMove, match="begins when this one has reached stage 8, from main, at 0"):
        move(7, 0, from_side="main", to_side="next")
    with pytest.raises(IllegalMove, match=r"begins at 0\. Next legal: stage 0"):
        move(8, 1, from_side="main", to_side="next")
    with pytest.raises(IllegalMove, match="from main, at 0"):
        move(8, 0, from_side="other", to_side="next")
    # Begun and not through yet: what the last one moved may still be on its way.
    with pytest.raises(IllegalMove, match=r"record says legacy/main at stage 8.*Next legal: stage 8"):
        move(7, 0, tried=8, from_side="main", to_side="next")


def test_before_stage_1_the_side_to_move_to_may_still_be_called_otherwise() -> None:
    assert move(0, 0, to_side="elsewhere").target == 0
    with pytest.raises(IllegalMove, match="it begins at 0"):
        move(0, 1, to_side="elsewhere")
    with pytest.raises(IllegalMove, match="put migration:from and migration:to back"):
        move(1, 0, to_side="elsewhere")


def test_another_stack_can_not_drive_the_same_cluster() -> None:
    with pytest.raises(IllegalMove, match="driven by migration/default, not by migration/other"):
        move(3, 4, owner="migration/other")


def test_the_command_is_the_operators_own() -> None:
    with pytest.raises(IllegalMove, match="pulumi stack rename stage-4 && pulumi up -s stage-4"):
        move(3, 7, command="pulumi stack rename stage-{stage} && pulumi up -s stage-{stage}")

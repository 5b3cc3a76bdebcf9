"""Which stage may follow which: the rules that turn a record and a wish into a move or a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from migration.contracts.record import Record
from migration.stages.table import LAST, Back, last_before_traffic, stage


class Direction(Enum):
    """Which way an `up` goes."""

    FORWARD = "forward"
    STAY = "stay"
    BACK = "back"


@dataclass(frozen=True, kw_only=True)
class Move:
    """A legal move: from where, to where, in which direction. `settled`: there already, with nothing under way.

    `turned`: what was begun the other way may have to be taken back though this isn't a way back: forward again from
    one that was begun, or members of the control plane on their way where they aren't wanted any more.
    """

    origin: int
    target: int
    direction: Direction
    settled: bool = False
    turned: bool = False

    @property
    def returning(self) -> bool:
        """Whether what was begun on another stage may have to be taken back."""
        return self.turned or self.direction is Direction.BACK


class IllegalMove(ValueError):
    """The wanted stage can't be next. The message names the next legal command."""


def plan_move(
    record: Record | None,
    target: int,
    *,
    owner: str,
    from_side: str,
    to_side: str,
    command: str = "pulumi up",
    new_voters: int = 0,
) -> Move:
    """Decide whether `target` may follow what `record` says; raises `IllegalMove` with the remedy otherwise.

    `command` is how this stack is driven, with ``{stage}`` where the number goes. `new_voters` is how many
    etcd voters of the new side exist: the stage before the control plane's goes back only while there is none.
    """

    def legal(number: int) -> str:
        return f"stage {number} ({stage(number).name}): {command.format(stage=number)}"

    if record is None:
        first = last_before_traffic().number
        if target <= first:
            return Move(origin=0, target=target, direction=Direction.FORWARD if target else Direction.STAY)
        raise IllegalMove(
            f"migration:stage is {target}, but this cluster has no record of a migration, so at most stage "
            f"{first} can be next. Next legal: {legal(first)}"
        )
    if record.owner != owner:
        raise IllegalMove(
            f"this cluster's migration is driven by {record.owner}, not by {owner}: two stacks can't drive one "
            f"cluster. Use that stack, or hand over with: python -m migration record --take-over"
        )
    if (record.from_side, record.to_side) != (from_side, to_side):
        over = record.reached == record.tried == LAST and record.to_side == from_side
        # Nothing of the new side is there before stage 1: until then it may be called and made otherwise.
        unbegun = record.reached == record.tried == 0 and record.from_side == from_side
        if (over or unbegun) and target == 0:
            return Move(origin=0, target=0, direction=Direction.STAY)
        if over or unbegun:
            raise IllegalMove(
                f"migration:from/to are {from_side}/{to_side}, another migration than the last one "
                f"({record.from_side}/{record.to_side}), and migration:stage is {target}: it begins at 0. Next legal: "
                f"{legal(0)}"
            )
        raise IllegalMove(
            f"migration:from/to are {from_side}/{to_side}, but the record says {record.from_side}/{record.to_side} "
            f"at stage {max(record.reached, record.tried)}. Another migration begins when this one has reached stage "
            f"{LAST}, from {record.to_side}, at 0; until then put migration:from and migration:to back. Next legal: "
            f"{legal(record.tried)}"
        )
    if target == record.tried == record.reached:
        return Move(origin=target, target=target, direction=Direction.STAY, settled=True)
    if target == record.tried and record.tried > record.reached:
        return Move(origin=record.reached, target=target, direction=Direction.FORWARD)
    if target == record.tried and record.tried < record.reached:
        return Move(origin=record.reached, target=target, direction=Direction.BACK)
    if target == record.reached + 1 and record.tried >= record.reached:
        return Move(origin=record.reached, target=target, direction=Direction.FORWARD)
    # What was begun may be given up: back from `tried`, which may be one beyond what was reached.
    going_back = stage(record.tried).back
    if target == record.tried - 1 and going_back is not Back.CLOSED:
        if going_back is Back.UNLESS_VOTERS and new_voters:
            raise IllegalMove(
                f"migration:stage is {target}, but {new_voters} new member(s) of the control plane still vote: "
                f"stage {record.tried} goes back only when none does, and swaps them back itself. "
                f"Next legal: {legal(record.tried)}"
            )
        return Move(origin=record.tried, target=target, direction=Direction.BACK)
    # A way back that was interrupted may turn round again.
    if record.tried < record.reached and target == record.reached:
        return Move(origin=record.tried, target=target, direction=Direction.FORWARD, turned=True)
    options = [number for number in (record.reached, record.reached + 1, record.tried) if 0 <= number <= LAST]
    if going_back is not Back.CLOSED:
        options.append(record.tried - 1)
    raise IllegalMove(
        f"migration:stage is {target}, but the migration has reached stage {record.reached}"
        + (f" and tried {record.tried}" if record.tried != record.reached else "")
        + ". Next legal: "
        + "; or ".join(legal(number) for number in sorted(set(options), reverse=True))
    )

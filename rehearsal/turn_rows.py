"""What `make back` writes down, a row a turn, and what rows of other commands have in common with it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from proof.model import Direction, Report, Stage
from rehearsal.forms import PLAIN
from rehearsal.world import Comparison, Fact

TurnAt = int | float
"""Where a turn turns round: a stage; ``7.1`` is 7 with one member moved, 7 is with all of them."""


class StageRow(Fact):
    """One stage of a turn; times in seconds. `second_up_changes` is None where no second `up` was made."""

    stage: int
    direction: Direction
    seconds: float | None
    changes: dict[str, int]
    second_up_changes: int | None


class Probes(Fact):
    """Requests over all kinds and places, the cluster at rest included."""

    due: int = 0
    failed: int = 0

    @classmethod
    def of(cls, report: Report) -> Probes:
        """Those of a proof."""
        cells = [*report.idle.values(), *report.probes.values()]
        return cls(due=sum(cell.due for cell in cells), failed=sum(cell.failed for cell in cells))


class Writes(Fact):
    """Acknowledged writes, and those that weren't there at the end."""

    acknowledged: int = 0
    lost: int = 0

    @classmethod
    def of(cls, report: Report) -> Writes:
        """Those of a proof."""
        return cls(acknowledged=report.writes.acknowledged, lost=report.writes.lost)


class Evictions(Fact):
    """Pods evicted off the old side (forward) and off the new one (back), as seen on the pods."""

    forward: int = 0
    back: int = 0


class DifferenceRow(Fact):
    """One difference of the world at 0 from the recording; `meant`: why, or None where it isn't."""

    text: str
    meant: str | None


class TurnRow(Fact):
    """A turn. `ok`: nothing is among `reasons`; `doubts` are those of them that are about this machine's own lateness.

    `differences` is None where the world at 0 was not compared, and that is a reason too.
    """

    turn: TurnAt
    form: str = str(PLAIN)
    ok: bool
    commit: str
    reasons: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    """What stage 0 refused, and was put right."""
    begin: str
    seconds: float
    stages: tuple[StageRow, ...] = ()
    incidents: tuple[str, ...] = ()
    probes: Probes = Probes()
    writes: Writes = Writes()
    evictions: Evictions = Evictions()
    differences: tuple[DifferenceRow, ...] | None = None
    report: str = ""
    """The page with everything else, beside this file."""


def still_good(rows: Iterable[TurnRow], turn: TurnAt, commit: str, form: str = str(PLAIN)) -> bool:
    """Whether this turn was run with this very program on this form, and ok. An unknown commit is like no other."""
    return any(row.turn == turn and row.form == form and row.ok and row.commit == commit != "" for row in rows)


def replaced(rows: Iterable[TurnRow], new: TurnRow) -> list[TurnRow]:
    """The rows with the new one, by turn and form."""
    others = (row for row in rows if (row.turn, row.form) != (new.turn, new.form))
    return sorted((*others, new), key=lambda row: (row.turn, row.form))


def verdict(rows: Iterable[TurnRow], turns: Sequence[TurnAt], commit: str, form: str = str(PLAIN)) -> list[str]:
    """What is wrong with the turns that were asked for: a sentence for each that isn't ok, or is missing."""
    found = {row.turn: row for row in rows if row.commit == commit and row.form == form}
    told: list[str] = []
    for turn in turns:
        row = found.get(turn)
        if row is None:
            told.append(f"turn {turn} was not run")
        elif not row.ok:
            told.append(f"turn {turn} is not ok: {row.reasons[0] if row.reasons else 'no reason is given'}")
    return told


def figures(report: Report) -> tuple[Probes, Writes, Evictions]:
    """What rows say of the proof."""
    sides = [side.name for side in report.watched.sides] if report.watched else []
    off = [report.evictions.get(side, 0) for side in (*sides, "", "")]
    return (
        Probes.of(report),
        Writes.of(report),
        Evictions(forward=off[0], back=off[1]),
    )


def stage_row(stage: Stage) -> StageRow:
    """What a row says of a stage."""
    return StageRow(
        stage=stage.stage,
        direction=stage.direction,
        seconds=stage.seconds,
        changes={kind: count for kind, count in stage.changes.items() if count},
        second_up_changes=stage.second_up_changes,
    )


def difference_rows(comparison: Comparison) -> Iterator[DifferenceRow]:
    """Every difference, and what should have differed."""
    for one in comparison.allowed:
        yield DifferenceRow(text=one.difference.text, meant=one.reason)
    for sentence in comparison.wrong:
        yield DifferenceRow(text=sentence, meant=None)

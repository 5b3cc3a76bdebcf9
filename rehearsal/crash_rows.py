"""What `make crash` writes down, a row a strike, a stage's end and a round, and when that is ok. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, RootModel

from migration.drain.restart import MOVED
from migration.stages import STAGES
from migration.stages.table import Back
from proof.model import Direction
from rehearsal.plain import Document
from rehearsal.strikes import Kind
from rehearsal.turn_rows import Evictions, Probes, Writes
from rehearsal.work import Work
from rehearsal.world import Comparison, Fact, Meant

ORPHAN_S = 10.0
"""A dynamic host whose engine was killed ends itself within this."""
MOST = 1.1
"""The operations of a disturbed `up` with all that came after it, as a multiple of the undisturbed one's."""


class KillRow(Fact):
    """One strike. `hit`: what was under way; `pending`: the engine's notes in the state; seconds until recovered."""

    row: Literal["kill"] = "kill"
    seed: int
    program: str
    round: int
    stage: int
    direction: Direction
    number: int
    kind: Kind
    moment: str
    struck: tuple[str, ...]
    hit: str
    pending: tuple[str, ...]
    recover: tuple[str, ...]
    seconds: float
    begin: str
    ok: bool
    reasons: tuple[str, ...]


class EndRow(Fact):
    """The end of a stage's disturbed `up`s, beside the undisturbed one's.

    `noted`: how many operations its strikes left in the state as pending.
    """

    row: Literal["end"] = "end"
    seed: int
    program: str
    round: int
    stage: int
    direction: Direction
    kills: int
    seconds: float
    work: Work
    undisturbed: Work
    ratio: float
    noted: int = 0
    differences: tuple[str, ...]
    second_up_changes: int | None
    failed_probes: int
    ok: bool
    reasons: tuple[str, ...]


class RoundRow(Fact):
    """A round's end: what the proof says of it. `top`: its last stage.

    `accepted`: evictions that API servers granted, over all pods and all stages at which no server came or went.
    """

    row: Literal["round"] = "round"
    seed: int
    program: str
    round: int
    top: int
    kills: int
    begin: str
    seconds: float
    probes: Probes
    writes: Writes
    evictions: Evictions
    accepted: int | None
    ok: bool
    reasons: tuple[str, ...]
    doubts: tuple[str, ...]
    report: str


Told = KillRow | EndRow | RoundRow


class Row(RootModel[Annotated[Told, Field(discriminator="row")]]):
    """Any of them, in the order in which they came."""


class Undisturbed(Fact):
    """The end of an undisturbed `up`: the world in names, what it took, and how many steps were seen."""

    world: Document
    work: Work
    steps: int


class Basis(Fact):
    """The undisturbed round, by move. It holds for the program and the last stage that it was made with."""

    program: str
    top: int
    moves: dict[str, Undisturbed]


Wanted = dict[tuple[int, Direction], int]
"""A number of strikes for each move."""


def comes_back(top: int) -> bool:
    """Whether a round to this stage goes back to 0: beyond what it may come back from, it ends there."""
    return STAGES[top].back is not Back.CLOSED


def moves(top: int) -> list[tuple[int, Direction]]:
    """A round's moves, but for the first: the record's begin is none."""
    forward: list[tuple[int, Direction]] = [(number, "forward") for number in range(1, top + 1)]
    return forward + [(number, "back") for number in reversed(range(top)) if comes_back(top)]


def due(top: int, count: int, seed: int, *, short: bool) -> Wanted:
    """How many strikes each move of a round to `top` is due. Pure.

    In the short form there is one of each kind, spread over the moves. A round that doesn't come back is there for the
    stages beyond: those before have theirs in rounds that do.
    """
    every = [move for move in moves(top) if comes_back(top) or not comes_back(move[0])]
    if not short:
        return dict.fromkeys(every, count)
    wanted = dict.fromkeys(every, 0)
    for number in range(len(Kind)):
        wanted[every[(number + seed) % len(every)]] += 1
    return wanted


def done(rows: Iterable[Row], seed: int, program: str) -> dict[tuple[int, str], int]:
    """Strikes that were made and went well, by move. An unknown program is like no other. Pure."""
    found: dict[tuple[int, str], int] = {}
    for row in of(rows, seed, program):
        if isinstance(row, KillRow) and row.ok:
            found[row.stage, row.direction] = found.get((row.stage, row.direction), 0) + 1
    return found


def left(rows: Sequence[Row], wanted: Wanted, seed: int, program: str, top: int) -> Wanted:
    """How many strikes each move of the rounds to `top` needs. One more where an interrupted one left none to judge.

    Pure.
    """
    had, every = done(rows, seed, program), list(of(rows, seed, program))
    ends = {(row.stage, row.direction) for row in every if isinstance(row, EndRow) and row.kills}
    judged = any(isinstance(row, RoundRow) and row.top == top for row in every)
    missing = {
        move: max(count - had.get(move, 0), int(not judged or move not in ends))
        for move, count in wanted.items()
        if count
    }
    return {move: count for move, count in missing.items() if count > 0}


def of(rows: Iterable[Row], seed: int, program: str) -> Iterator[Told]:
    """Those of this seed and this program."""
    return (row.root for row in rows if program and (row.root.seed, row.root.program) == (seed, program))


def kept(rows: Sequence[Row], seed: int, program: str) -> list[Row]:
    """Without what is done again: whatever was not ok, and all of a round of which the proof said so. Pure."""
    bad = {row.round for row in of(rows, seed, program) if isinstance(row, RoundRow) and not row.ok}

    def stays(row: Told) -> bool:
        return (row.seed, row.program) != (seed, program) or (row.ok and row.round not in bad)

    return [row for row in rows if stays(row.root)]


def verdict(rows: Sequence[Row], wanted_to: Mapping[int, Wanted], seed: int, program: str) -> list[str]:
    """What is wrong: strikes that are missing, rows that aren't ok, rounds that nobody judged. Pure.

    `wanted_to`: the strikes that are due, by the last stage of their rounds.
    """
    told: list[str] = []
    had, every = done(rows, seed, program), list(of(rows, seed, program))
    for (stage, direction), count in (one for wanted in wanted_to.values() for one in wanted.items()):
        if had.get((stage, direction), 0) < count:
            told.append(f"stage {stage}, {direction}: {had.get((stage, direction), 0)} of {count} strikes were made")
        ends = [row for row in every if isinstance(row, EndRow) and (row.stage, row.direction) == (stage, direction)]
        if count and not any(row.kills for row in ends):
            told.append(f"stage {stage}, {direction}: no end after strikes was compared with the undisturbed one")
    for row in every:
        if not row.ok:
            told.append(f"{title(row)}: {row.reasons[0] if row.reasons else 'no reason is given'}")
    for top in wanted_to:
        if not any(isinstance(row, RoundRow) and row.top == top for row in every):
            told.append(f"no round to stage {top} was judged by the proof")
    return told


def title(row: Told) -> str:
    """Which row this is, in words."""
    match row:
        case KillRow():
            return f"{row.kind.value} at stage {row.stage}, {row.direction}, {row.moment} ({row.hit})"
        case EndRow():
            return f"end of stage {row.stage}, {row.direction}, after {row.kills} strikes"
        case RoundRow():
            return f"round {row.round}"


def end_reasons(
    comparison: Comparison, work: Work, undisturbed: Work, changed: int | None, noted: int = 0
) -> list[str]:
    """What is wrong with the end of a stage. Pure.

    A call whose answer died with its engine has to be made again, by whomever: that is one for each operation that the
    engine had noted as begun, and counts where a stage is so short that it is more than a tenth.
    """
    told = [f"not the undisturbed end: {sentence}" for sentence in comparison.wrong]
    if undisturbed.evictions is not None and work.evictions is None:
        told.append("an API server came or went, so evictions were not counted")
    if work.operations > max(MOST * undisturbed.operations, undisturbed.operations + noted):
        more = {
            name: f"{count} instead of {undisturbed.calls.get(name, 0)}"
            for name, count in work.calls.items()
            if count > undisturbed.calls.get(name, 0)
        }
        if (work.evictions or 0) > (undisturbed.evictions or 0):
            more["evictions"] = f"{work.evictions} instead of {undisturbed.evictions}"
        which = ", ".join(f"{name} {count}" for name, count in more.items())
        told.append(
            f"{work.operations} operations, and undisturbed {undisturbed.operations}: more than {MOST} times as many, "
            f"and {noted} were under way at the strikes ({which})"
        )
    if changed is None:
        told.append("no second up was made")
    elif changed:
        told.append(f"a second up changed {changed} resources")
    return told


def twice_evicted(accepted: int | None, seen: int) -> list[str]:
    """What the API servers' count says of pods evicted twice. Pure."""
    if accepted is None:
        return ["An API server came or went, so nobody knows whether a pod was evicted twice."]
    if accepted > seen:
        return [
            f"{accepted} evictions were granted, and {seen} pods were seen to be evicted: {accepted - seen} of them "
            "twice, or unseen."
        ]
    return []


def kill_reasons(*, recovered: str, again: str, orphans: Sequence[str], late: Sequence[str]) -> list[str]:
    """What is wrong after a strike. `recovered` and `again`: why `recover` failed, once and twice. Pure."""
    told: list[str] = []
    if late:
        told.append(f"{', '.join(late)} runs {ORPHAN_S:.0f} s after its engine was killed")
    if recovered:
        told.append(f"recover: {recovered}")
    if again:
        told.append(f"recover, a second time: {again}")
    if orphans:
        told.append(f"after recover still there: {', '.join(orphans)}")
    return told


def meant(world: Document) -> Iterator[Meant]:
    """What may differ from one undisturbed round to the next. Pure."""
    for name in world["workloads"]:
        path = ("workloads", name, "annotations", MOVED)
        yield Meant(path=path, reason="its budget allows no eviction: drains restart it, and say when", due=False)

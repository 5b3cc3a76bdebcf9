"""Rows of `make bench-up`, a row a stage and size, and what they are to keep. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median

from rehearsal.benches.state_size import StateSize
from rehearsal.benches.written import Aim, Header
from rehearsal.world import Fact

NAME = "up"
PAIRS = 3
TO_FLOOR, TO_SMALL, CALLS_A_GROUP, BYTES_A_RESOURCE = 1.5, 4.0, 3.0, 2000.0
"""Aims: an `up` over its floor, 72 groups over 12, AWS calls of the program a group and `up`, bytes a resource."""
OF_STAGE = " groups: "
"""Between an aim's stage and size and what it is of, where each stage has it."""
SMALL, LARGE = 12, 72
PRODUCT = "kube-vpc-migration"
"""How the program's calls say whose they are (`migration.clients.aws.APP`)."""


class Pair(Fact):
    """The same command for this program and for its floor, one right after the other; seconds."""

    ours: float
    floor: float

    @property
    def ratio(self) -> float | None:
        """Ours over the floor."""
        return self.ours / self.floor if self.floor > 0 else None


class Calls(Fact):
    """AWS calls by who made them and action; refused ones and those that botocore repeated count, too."""

    by_caller: dict[str, dict[str, int]]

    @property
    def ours(self) -> int:
        """Of the program and its operations; what the AWS provider asks isn't theirs."""
        return sum(sum(found.values()) for caller, found in self.by_caller.items() if caller.startswith(PRODUCT))


class StageRow(Fact):
    """One stage of one size. Seconds; None and empty is what couldn't be measured.

    `up`: the stage's own, once; `waited`: of it, when all that ran only waited. `floors`: the same numbers of resources
    made, changed and deleted by providers that do nothing. `previews` and `again`: pairs where nothing changes.
    """

    groups: int
    stage: int
    name: str
    program: str
    resources: dict[str, int]
    changes: dict[str, int]
    up: float | None = None
    waited: float | None = None
    floors: tuple[float, ...] = ()
    previews: tuple[Pair, ...] = ()
    again: tuple[Pair, ...] = ()
    second_up_changes: int | None = None
    calls: Calls | None = None
    calls_preview: Calls | None = None
    calls_again: Calls | None = None
    state: StateSize | None = None

    @property
    def working(self) -> float | None:
        """The stage's own `up` without its waits."""
        return None if self.up is None or self.waited is None else self.up - self.waited

    @property
    def up_ratio(self) -> float | None:
        """The same over the floor's median."""
        floor = median(self.floors) if self.floors else 0.0
        return None if self.working is None or not floor else self.working / floor

    @property
    def again_ratio(self) -> float | None:
        """Of an `up` that changes nothing."""
        return _middle(self.again)

    @property
    def preview_ratio(self) -> float | None:
        """Of a preview of nothing."""
        return _middle(self.previews)

    @property
    def calls_a_group(self) -> float | None:
        """The program's AWS calls in the stage's own `up`, a group."""
        return None if self.calls is None else self.calls.ours / self.groups


class Report(Fact):
    """All of it. `ok`: every aim was measured and kept."""

    header: Header
    ok: bool
    missed: tuple[str, ...]
    aims: tuple[Aim, ...]
    ratios: dict[str, dict[str, float | None]]
    rows: tuple[StageRow, ...]
    errors: tuple[str, ...] = ()


def _middle(pairs: Sequence[Pair]) -> float | None:
    """The median of the pairs' ratios; None unless all pairs are there."""
    found = [ratio for pair in pairs if (ratio := pair.ratio) is not None]
    return median(found) if len(found) >= PAIRS else None


def aims(rows: Sequence[StageRow], groups: int, stages: Iterable[int]) -> tuple[Aim, ...]:
    """What rows of `groups` groups at all of these stages are to keep; a stage without a row keeps nothing."""
    by_stage = {row.stage: row for row in rows if row.groups == groups}
    found: list[Aim] = []
    for number in stages:
        row = by_stage.get(number)
        for what, limit, value in (
            ("up without its waits ÷ floor", TO_FLOOR, lambda row: row.up_ratio),
            ("up that changes nothing ÷ floor", TO_FLOOR, lambda row: row.again_ratio),
            ("AWS calls a group", CALLS_A_GROUP, lambda row: row.calls_a_group),
            ("bytes of state a resource", BYTES_A_RESOURCE, lambda row: row.state.each if row.state else None),
        ):
            measured = None if row is None else value(row)
            found.append(Aim(name=f"stage {number}, {groups}{OF_STAGE}{what}", limit=limit, measured=measured))
        changed = None if row is None else row.second_up_changes
        found.append(Aim(name=f"stage {number}, {groups}{OF_STAGE}changes of a second up", limit=0, measured=changed))
    if groups == LARGE:
        found += _growth(rows, tuple(stages))
    return tuple(found)


def _growth(rows: Sequence[StageRow], stages: Sequence[int]) -> list[Aim]:
    """72 groups over 12, of all stages together; not measured unless every stage was, of both."""
    kinds: Mapping[str, Callable[[StageRow], float | None]] = {
        "ups without their waits": lambda row: row.working,
        "ups that change nothing": lambda row: median(pair.ours for pair in row.again) if row.again else None,
        "previews": lambda row: median(pair.ours for pair in row.previews) if row.previews else None,
    }
    found: list[Aim] = []
    for what, value in kinds.items():
        large, small = (_total(rows, groups, stages, value) for groups in (LARGE, SMALL))
        measured = large / small if large is not None and small else None
        found.append(Aim(name=f"t({LARGE} groups) ÷ t({SMALL}): {what}", limit=TO_SMALL, measured=measured))
    return found


def _total(
    rows: Sequence[StageRow], groups: int, stages: Sequence[int], value: Callable[[StageRow], float | None]
) -> float | None:
    known = {row.stage: value(row) for row in rows if row.groups == groups}
    total = 0.0
    for number in stages:
        one = known.get(number)
        if one is None:
            return None
        total += one
    return total if stages else None


def report(
    header: Header, rows: Sequence[StageRow], groups: int, stages: Sequence[int], errors: Sequence[str]
) -> Report:
    """Everything with its verdict."""
    kept = aims(rows, groups, stages)
    missed = tuple(str(aim) for aim in kept if not aim.kept)
    return Report(
        header=header,
        ok=not missed and not errors,
        missed=missed,
        aims=kept,
        ratios={
            f"stage {row.stage}, {row.groups} groups": {
                "up": row.up_ratio,
                "again": row.again_ratio,
                "preview": row.preview_ratio,
                "calls a group": row.calls_a_group,
                "bytes a resource": row.state.each if row.state else None,
            }
            for row in rows
        },
        rows=tuple(rows),
        errors=tuple(errors),
    )

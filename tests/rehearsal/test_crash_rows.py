"""Rows of `make crash`: what is due, what is done again, and each way in which it is not ok."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rehearsal.crash_rows import (
    EndRow,
    KillRow,
    RoundRow,
    Row,
    Told,
    done,
    due,
    end_reasons,
    kept,
    kill_reasons,
    left,
    meant,
    moves,
    twice_evicted,
    verdict,
)
from rehearsal.plain import plain
from rehearsal.rows import read_rows, write_rows
from rehearsal.strikes import Kind
from rehearsal.turn_rows import Evictions, Probes, Writes
from rehearsal.work import Work
from rehearsal.world import Comparison, different, sort_out
from tests.rehearsal.test_world import GROUP, world

SEED, PROGRAM = 7, "c0ffee"
WORK = Work(calls={"CreateVpc": 1, "PutParameter": 2}, evictions=7)


def kill(stage: int = 1, direction: Any = "forward", **more: Any) -> KillRow:
    known: dict[str, Any] = {
        "seed": SEED,
        "program": PROGRAM,
        "round": 1,
        "stage": stage,
        "direction": direction,
        "number": 0,
        "kind": Kind.ENGINE,
        "moment": "step 4 of this up",
        "struck": ("pulumi (process 7)",),
        "hit": "create of Vpc main-vpc",
        "pending": ("creating Vpc main-vpc",),
        "recover": ("next: pulumi up",),
        "seconds": 3.0,
        "begin": "2026-11-26T01:00:00Z",
        "ok": True,
        "reasons": (),
    }
    return KillRow.model_validate(known | more)


def end(stage: int = 1, direction: Any = "forward", **more: Any) -> EndRow:
    known: dict[str, Any] = {
        "seed": SEED,
        "program": PROGRAM,
        "round": 1,
        "stage": stage,
        "direction": direction,
        "kills": 1,
        "seconds": 30.0,
        "work": WORK,
        "undisturbed": WORK,
        "ratio": 1.0,
        "differences": (),
        "second_up_changes": 0,
        "failed_probes": 0,
        "ok": True,
        "reasons": (),
    }
    return EndRow.model_validate(known | more)


def ended(number: int = 1, **more: Any) -> RoundRow:
    known: dict[str, Any] = {
        "seed": SEED,
        "program": PROGRAM,
        "round": number,
        "top": 1,
        "kills": 2,
        "begin": "2026-11-26T01:00:00Z",
        "seconds": 300.0,
        "probes": Probes(due=9),
        "writes": Writes(acknowledged=9),
        "evictions": Evictions(forward=7),
        "accepted": 7,
        "ok": True,
        "reasons": (),
        "doubts": (),
        "report": "crash-1.html",
    }
    return RoundRow.model_validate(known | more)


def rows(*told: Told) -> list[Row]:
    return [Row(one) for one in told]


GOOD = (kill(), end(), kill(0, "back"), end(0, "back"), ended())
WANTED = due(1, 1, SEED, short=False)


def test_every_stage_is_due_its_strikes_in_both_directions() -> None:
    assert moves(3) == [(1, "forward"), (2, "forward"), (3, "forward"), (2, "back"), (1, "back"), (0, "back")]
    assert due(2, 20, SEED, short=False) == {(1, "forward"): 20, (2, "forward"): 20, (1, "back"): 20, (0, "back"): 20}


def test_beyond_the_last_way_back_a_round_only_goes_forward_and_strikes_only_there() -> None:
    assert moves(8) == [(number, "forward") for number in range(1, 9)]
    assert due(8, 20, SEED, short=False) == {(8, "forward"): 20}
    assert left(rows(*GOOD), {(1, "forward"): 1}, SEED, PROGRAM, 1) == {}
    assert left(rows(*GOOD), {(1, "forward"): 1}, SEED, PROGRAM, 8) == {(1, "forward"): 1}, "no such round was judged"


@pytest.mark.parametrize("seed", range(6))
def test_the_short_form_has_one_strike_of_each_kind_forward_and_back(seed: int) -> None:
    wanted = due(2, 20, seed, short=True)
    assert sum(wanted.values()) == len(Kind)
    assert {direction for (_, direction), count in wanted.items() if count} == {"forward", "back"}


def test_all_strikes_made_and_all_rows_ok_is_ok() -> None:
    assert verdict(rows(*GOOD), {1: WANTED}, SEED, PROGRAM) == []


@pytest.mark.parametrize(
    ("left_out", "told"),
    [
        (0, "stage 1, forward: 0 of 1 strikes were made"),
        (3, "stage 0, back: no end after strikes was compared with the undisturbed one"),
        (4, "no round to stage 1 was judged by the proof"),
    ],
)
def test_what_was_not_done_is_named(left_out: int, told: str) -> None:
    some = [row for number, row in enumerate(GOOD) if number != left_out]
    assert verdict(rows(*some), {1: WANTED}, SEED, PROGRAM) == [told]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            kill(ok=False, reasons=("recover: refused",)),
            "at stage 1, forward, step 4 of this up (create of Vpc main-vpc",
        ),
        (
            end(ok=False, reasons=("a second up changed 1 resources",)),
            "end of stage 1, forward, after 1 strikes: a sec",
        ),
        (ended(ok=False, reasons=("a probe failed",)), "round 1: a probe failed"),
    ],
)
def test_a_row_that_is_not_ok_makes_all_not_ok_and_is_named(row: Told, told: str) -> None:
    [sentence] = verdict(rows(*GOOD, row), {1: WANTED}, SEED, PROGRAM)
    assert told in sentence


def test_rows_of_another_seed_or_another_program_count_for_nothing() -> None:
    for other in ({"seed": 8}, {"program": "other"}, {"program": ""}):
        made = rows(*(row.model_copy(update=other) for row in GOOD))
        assert len(verdict(made, {1: WANTED}, SEED, PROGRAM)) == 5
        assert done(made, SEED, PROGRAM) == {}
    assert done(rows(*(row.model_copy(update={"program": ""}) for row in GOOD)), SEED, "") == {}


def test_an_end_that_nothing_struck_is_no_comparison() -> None:
    some = [end(kills=0) if row is GOOD[1] else row for row in GOOD]
    assert verdict(rows(*some), {1: WANTED}, SEED, PROGRAM) == [
        "stage 1, forward: no end after strikes was compared with the undisturbed one"
    ]


def test_a_strike_that_did_not_go_well_is_not_one_of_those_that_were_made() -> None:
    assert done(rows(kill(), kill(number=1, ok=False), kill(0, "back")), SEED, PROGRAM) == {
        (1, "forward"): 1,
        (0, "back"): 1,
    }


def test_only_what_was_not_ok_is_done_again_and_all_of_a_round_that_the_proof_found_wrong() -> None:
    bad = kill(round=2, ok=False, reasons=("recover: refused",))
    wrong = (kill(round=3), ended(3, ok=False, reasons=("a probe failed",)))
    other = kill(seed=8, ok=False)
    assert [row.root for row in kept(rows(*GOOD, bad, *wrong, other), SEED, PROGRAM)] == [*GOOD, other]


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "crash.json"
    write_rows(path, rows(*GOOD))
    assert read_rows(path, Row, print) == rows(*GOOD)
    assert [row["row"] for row in json.loads(path.read_text())] == ["kill", "end", "kill", "end", "round"]


# A stage's end


def reasons(**more: Any) -> list[str]:
    known: dict[str, Any] = {"comparison": Comparison(), "work": WORK, "undisturbed": WORK, "changed": 0}
    return end_reasons(**(known | more))


def test_the_same_end_with_the_same_work_is_ok() -> None:
    assert reasons() == []


def test_a_world_that_is_not_the_undisturbed_one_is_named() -> None:
    before, after = plain(world()), plain(world(groups={"workers": GROUP | {"maximum": 1}}))
    assert reasons(comparison=sort_out(different(before, after), meant(before))) == [
        "not the undisturbed end: groups / workers / maximum: was 10, is 1"
    ]


def test_work_may_be_a_tenth_more_and_nothing_beyond() -> None:
    ten = Work(calls={"PutParameter": 4}, evictions=6)
    assert reasons(undisturbed=ten, work=Work(calls={"PutParameter": 5}, evictions=6)) == []
    [told] = reasons(undisturbed=ten, work=Work(calls={"PutParameter": 5, "CreateVpc": 1}, evictions=7))
    assert told == (
        "13 operations, and undisturbed 10: more than 1.1 times as many, and 0 were under way at the strikes "
        "(PutParameter 5 instead of 4, CreateVpc 1 instead of 0, evictions 7 instead of 6)"
    )


def test_what_was_under_way_at_a_strike_may_be_done_once_more() -> None:
    seven, nine = Work(calls={"POST rrset": 7}, evictions=0), Work(calls={"POST rrset": 9}, evictions=0)
    assert reasons(undisturbed=seven, work=nine, noted=2) == []
    [told] = reasons(undisturbed=seven, work=nine, noted=1)
    assert "9 operations, and undisturbed 7" in told and "and 1 were under way at the strikes" in told


def test_work_that_could_not_be_counted_is_not_ok() -> None:
    assert reasons(work=Work(calls=WORK.calls, evictions=None)) == [
        "an API server came or went, so evictions were not counted"
    ]


@pytest.mark.parametrize(("changed", "told"), [(None, "no second up was made"), (3, "a second up changed 3 resources")])
def test_a_second_up_must_be_made_and_change_nothing(changed: int | None, told: str) -> None:
    assert reasons(changed=changed) == [told]


def test_when_drains_restarted_what_they_cannot_evict_may_differ() -> None:
    from migration.drain.restart import MOVED as note

    def restarted(when: str) -> dict[str, Any]:
        spec = {"replicas": 1, "ready": 1, "annotations": {note: when}, "spec": "1"}
        return plain(world(workloads={"Deployment tools/license": spec}))

    before, after = restarted("1"), restarted("2")
    assert sort_out(different(before, after), meant(before)).wrong == ()


# A round's end, and a strike


def test_a_pod_evicted_twice_shows_in_what_the_api_servers_granted() -> None:
    assert twice_evicted(231, 231) == []
    assert twice_evicted(230, 231) == [], "a pod may be deleted by others than its eviction"
    assert "1 of them twice, or unseen" in twice_evicted(232, 231)[0]
    assert "nobody knows" in twice_evicted(None, 231)[0]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"late": ["process 9"]}, "process 9 runs 10 s after its engine was killed"),
        ({"recovered": "somebody has to look"}, "recover: somebody has to look"),
        ({"again": "3 notes are gone"}, "recover, a second time: 3 notes are gone"),
        ({"orphans": ["process 9"]}, "after recover still there: process 9"),
    ],
)
def test_each_thing_wrong_after_a_strike_is_named(wrong: dict[str, Any], told: str) -> None:
    good: dict[str, Any] = {"late": [], "recovered": "", "again": "", "orphans": []}
    assert kill_reasons(**good) == []
    assert kill_reasons(**(good | wrong)) == [told]

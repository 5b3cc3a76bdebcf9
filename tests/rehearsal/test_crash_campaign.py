"""Rounds one after the other, each made up: what is run, what is kept, what ends it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rehearsal import crash
from rehearsal.crash import FILE, SHORT_FILE, UNDISTURBED
from rehearsal.crash_rows import Told, Undisturbed, moves
from rehearsal.work import Work
from tests.rehearsal.test_crash_rows import end, ended, kill


class Rounds:
    """Rounds with at most `each` strikes a move."""

    def __init__(self) -> None:
        self.ran: list[tuple[int, bool]] = []
        self.each, self.bad, self.interrupted_at = 99, set[int](), -1
        self.undisturbed_reasons: tuple[str, ...] = ()
        self.came: int | None = None
        self.seeds: list[int] = []

    def __call__(self, **known: Any) -> Any:
        number, note, left = known["number"], known["note"], dict(known["left"])
        undisturbed = number == 0

        def go() -> Any:
            self.ran.append((number, undisturbed))
            self.seeds.append(known["seed"])
            if undisturbed:
                reasons = self.undisturbed_reasons
                return SimpleNamespace(ok=not reasons, reasons=reasons)
            mine = {"round": number, "seed": known["seed"], "program": known["identity"]}
            for (stage, direction), count in left.items():
                made = min(count, self.each)
                for _ in range(made):
                    note(kill(stage, direction, **mine))
                if number == self.interrupted_at:
                    raise KeyboardInterrupt
                note(end(stage, direction, kills=made, **mine))
            return SimpleNamespace()

        def judged(report: Any) -> Told:
            ok = number not in self.bad
            known_of = {"seed": known["seed"], "program": known["identity"]}
            return ended(number, top=known["top"], ok=ok, reasons=() if ok else ("a probe failed",), **known_of)

        one = Undisturbed(world={}, work=Work(calls={"CreateVpc": 1}, evictions=0), steps=9)
        seen = {f"{stage} {direction}": one for stage, direction in moves(known["top"])[: self.came]}
        return SimpleNamespace(go=go, judged=judged, errors=[], seen=seen)


class Runs:
    """`crash.run` with made-up rounds in a folder."""

    def __init__(self, folder: Path) -> None:
        self.rounds, self.downs, self.said = Rounds(), 0, list[str]()
        self.report = folder / "report"
        self.report.mkdir()

    def __call__(self, count: int = 2, seed: int = 7, **how: Any) -> int:
        self.rounds.ran.clear()
        self.said.clear()
        return crash.run(self.said.append, seed, count, **how)

    def down(self, say: Any) -> int:
        self.downs += 1
        return 0

    def rows(self, name: str = FILE) -> list[dict[str, Any]]:
        return json.loads((self.report / name).read_text())

    def kills(self) -> int:
        return sum(row["row"] == "kill" for row in self.rows())


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    one = Runs(tmp_path)
    monkeypatch.setattr(crash, "make_folders", lambda: tmp_path)
    monkeypatch.setattr(crash, "commit_of", lambda repository, *paths: "c0ffee")
    monkeypatch.setattr(crash, "Round", one.rounds)
    monkeypatch.setattr(crash, "WAYS", (1,))
    monkeypatch.setattr(crash.up, "down", one.down)
    return one


UNDISTURBED_FIRST = [(0, True), (1, False)]


def test_an_undisturbed_round_comes_first_and_one_row_a_strike_is_kept(runs: Runs) -> None:
    assert runs() == 0
    assert runs.rounds.ran == UNDISTURBED_FIRST
    assert [row["row"] for row in runs.rows()] == ["kill", "kill", "end", "kill", "kill", "end", "round"]
    assert runs.said[-1] == f"ok: {runs.report / FILE}"
    assert "SIGKILL of the engine: 4" in runs.said
    assert runs.downs == 1


def test_rounds_follow_until_every_stage_had_its_strikes(runs: Runs) -> None:
    runs.rounds.each = 2
    assert runs(5) == 0
    assert [number for number, _ in runs.rounds.ran] == [0, 1, 2, 3]
    assert runs.kills() == 10


def test_it_goes_on_after_its_rows_with_the_recording_that_it_has(runs: Runs) -> None:
    assert runs(2) == 0
    assert runs(3) == 0
    assert runs.rounds.ran == [(2, False)]
    assert runs.kills() == 6
    assert runs(3) == 0
    assert runs.rounds.ran == []
    assert runs(3, again=True) == 0
    assert [number for number, _ in runs.rounds.ran] == [1]
    assert runs.kills() == 6


def test_after_ctrl_c_the_lab_is_ended_and_the_rows_so_far_are_kept(runs: Runs) -> None:
    runs.rounds.interrupted_at = 1
    with pytest.raises(KeyboardInterrupt):
        runs()
    assert (runs.kills(), runs.downs) == (2, 1)
    runs.rounds.interrupted_at = -1
    assert runs() == 0
    assert runs.kills() == 5, "one more at the stage whose end was never compared"


def test_another_seed_and_another_program_have_rows_of_their_own(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs() == 0
    assert runs(seed=8) == 0
    assert runs.rounds.ran == [(1, False)], "what is undisturbed is so for every seed"
    assert runs.kills() == 8
    monkeypatch.setattr(crash, "commit_of", lambda repository, *paths: "other")
    assert runs() == 0
    assert runs.rounds.ran == UNDISTURBED_FIRST
    assert runs.kills() == 12


def test_a_round_that_the_proof_found_wrong_ends_it_and_is_done_again(runs: Runs) -> None:
    runs.rounds.bad = {1}
    assert runs() == 1
    assert "not ok: round 1: a probe failed" in runs.said
    assert runs.downs == 0, "its lab is there to be looked at"
    runs.rounds.bad = set()
    assert runs() == 0
    assert runs.said[0] == "7 rows that weren't ok are done again"


def test_strikes_that_never_hit_anything_end_it(runs: Runs) -> None:
    runs.rounds.each = 0
    assert runs() == 1
    assert "not ok: round 1: no strike hit anything" in runs.said
    assert "not ok: stage 1, forward: 0 of 2 strikes were made" in runs.said


def test_what_the_proof_says_of_the_undisturbed_round_is_told_and_is_not_this_commands_to_judge(runs: Runs) -> None:
    runs.rounds.undisturbed_reasons = ("a probe failed",)
    assert runs() == 0
    assert "   undisturbed: a probe failed" in runs.said


def test_an_undisturbed_round_that_did_not_come_to_its_end_is_no_measure_for_others(runs: Runs) -> None:
    runs.rounds.undisturbed_reasons, runs.rounds.came = ("12 instances are missing",), 1
    assert runs() == 1
    assert "   undisturbed: 12 instances are missing" in runs.said
    assert "not ok: the undisturbed round to stage 1 did not come to its end" in runs.said
    assert [number for number, _ in runs.rounds.ran] == [0]
    # What it did record is not recorded again.
    assert list(json.loads((runs.report / UNDISTURBED.format(1)).read_text())["moves"]) == ["1 forward"]
    runs.rounds.undisturbed_reasons, runs.rounds.came = (), None
    assert runs() == 0
    assert runs.rounds.ran == UNDISTURBED_FIRST


def test_when_the_time_is_up_nothing_new_is_begun_and_the_next_run_goes_on(runs: Runs) -> None:
    assert runs(minutes=0) == 1
    assert runs.rounds.ran == []
    assert "not ok: stage 1, forward: 0 of 2 strikes were made" in runs.said
    assert runs() == 0
    assert runs.rounds.ran == UNDISTURBED_FIRST


def test_the_stages_beyond_have_rounds_of_their_own(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash, "WAYS", (1, 8))
    runs.rounds.each = 1
    assert runs() == 0
    assert runs.rounds.ran == [
        *((0, True), (1, False), (2, False)),
        *((0, True), (3, False), (4, False)),
    ]
    assert [(row["stage"], row["direction"]) for row in runs.rows() if row["row"] == "kill"] == [
        *((1, "forward"), (0, "back")) * 2,
        *((8, "forward"),) * 2,
    ]


def test_a_recording_that_cannot_be_read_is_made_again(runs: Runs) -> None:
    (runs.report / UNDISTURBED.format(1)).write_text("{")
    assert runs() == 0
    assert runs.rounds.ran == UNDISTURBED_FIRST


def test_the_short_form_has_a_file_of_its_own(runs: Runs) -> None:
    assert runs(short=True) == 0
    assert not (runs.report / FILE).exists()
    assert sum(row["row"] == "kill" for row in runs.rows(SHORT_FILE)) == 4

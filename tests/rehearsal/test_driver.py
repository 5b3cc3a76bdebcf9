"""The driver, with an engine and a proof that only write down what they were asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from rehearsal.driver import Driver
from rehearsal.engine import EngineError, Outcome
from rehearsal.run import parse_stages


class Told:
    """An engine and a watch in one: their calls in order."""

    def __init__(self, folder: Path) -> None:
        self.calls: list[str] = []
        self._log = folder / "preview.log"
        self._log.write_text("what would change")
        self.fails, self.asked_at = "", 0
        self.changes = {"create": 0, "update": 0, "same": 10}

    def plain(self, *arguments: str) -> str:
        self.calls.append(" ".join(arguments))
        return ""

    def run(self, command: str, stack: str, *options: str) -> Outcome:
        call = " ".join((command, stack, *options))
        self.calls.append(call)
        if call == self.fails:
            raise EngineError("capacity can't be had")
        return Outcome(changes=dict(self.changes), seconds=1.0, log=self._log)

    def resources(self, stack: str) -> list[dict[str, Any]]:
        result: dict[str, Any] = {
            "stage": self.asked_at or int(stack[-1]),
            "position": "after",
            "results": [{"check": "reachable", "ok": True, "detail": "both ways"}],
        }
        return [{"type": "pulumi-python:dynamic:Gate", "outputs": {"result": result}}, {"type": "other"}]

    def mark(self, text: str) -> None:
        self.calls.append(f"mark {text}")

    def see_new_side(self) -> None:
        self.calls.append("see new")

    def leave(self, place: str) -> None:
        self.calls.append(f"leave {place}")

    def failed(self) -> int:
        return 0


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


@pytest.fixture
def driver(tmp_path: Path, told: Told) -> Iterator[Driver]:
    with mock.patch.dict(os.environ, {"LAB_DIR": str(tmp_path / "lab"), "LAB_INDEX": "9"}):
        one = Driver(say=lambda text: None)
        one.engine = told  # pyright: ignore[reportAttributeAccessIssue]
        yield one


def moved(driver: Driver, told: Told, *stages: int, **how: bool) -> list[str]:
    watch: Any = told
    for number in stages:
        driver.move(number, watch, **how)
    return told.calls


def test_a_stack_goes_back_as_it_goes_forward_by_a_rename_and_up(driver: Driver, told: Told) -> None:
    calls = moved(driver, told, 0, 1, 2, 1, 0, preview=False)
    assert [call for call in calls if "stage-" in call] == [
        *("up stage-0", "up stage-0"),
        *("stack rename stage-1 -s stage-0", "up stage-1", "up stage-1"),
        *("stack rename stage-2 -s stage-1", "up stage-2", "up stage-2"),
        *("stack rename stage-1 -s stage-2", "up stage-1", "up stage-1"),
        *("stack rename stage-0 -s stage-1", "up stage-0", "up stage-0"),
    ]
    assert [(row.stage, row.direction) for row in driver.stages] == [
        *((number, "forward") for number in (0, 1, 2)),
        *((number, "back") for number in (1, 0)),
    ]


def test_windows_of_both_ways_have_labels_of_their_own(driver: Driver, told: Told) -> None:
    calls = moved(driver, told, 0, 1, 0, preview=False)
    marks = [call.removeprefix("mark ") for call in calls if call.startswith("mark ") and call.endswith("begin")]
    assert marks == ["stage 0 begin", "stage 1 begin", "stage 0, back begin"]


def test_nobody_asks_from_the_new_side_before_it_is_there_or_once_its_way_is_taken(driver: Driver, told: Told) -> None:
    calls = moved(driver, told, 0, 1, 2, 1, 0, preview=False, again=False)
    assert [call for call in calls if call in ("see new", "leave new", "leave old") or call.startswith("up")] == [
        "up stage-0",
        *("up stage-1", "see new"),
        "up stage-2",
        "up stage-1",
        *("leave new", "up stage-0"),
    ]


def test_a_cluster_without_a_record_may_begin_at_a_later_stage_and_its_new_side_is_probed(
    driver: Driver, told: Told
) -> None:
    calls = moved(driver, told, 3, 2, preview=False, again=False)
    assert [call for call in calls if "stage-" in call or call == "see new"] == [
        *("stack rename stage-3 -s stage-0", "up stage-3", "see new"),
        *("stack rename stage-2 -s stage-3", "up stage-2"),
    ]
    assert [row.direction for row in driver.stages] == ["forward", "back"]


def test_the_old_side_is_left_before_the_clean_up(driver: Driver, told: Told) -> None:
    driver.stands_at = 7
    calls = moved(driver, told, 7, 8, preview=False, again=False)
    assert calls.index("leave old") < calls.index("up stage-8")
    assert "leave new" not in calls


@pytest.mark.parametrize("again", [True, False])
def test_a_second_up_is_made_and_due_or_neither(driver: Driver, told: Told, again: bool) -> None:
    calls = moved(driver, told, 0, again=again, preview=False)
    assert calls.count("up stage-0") == 1 + again
    [row] = driver.stages
    assert (row.second_up_due, row.second_up_changes) == (again, 0 if again else None)


def test_what_a_second_up_changes_is_counted(driver: Driver, told: Told) -> None:
    told.changes = {"update": 2, "same": 8}
    moved(driver, told, 0, preview=False)
    assert driver.stages[0].second_up_changes == 2


def test_previews_of_both_ways_are_kept_side_by_side(driver: Driver, told: Told) -> None:
    moved(driver, told, 0, 1, 0)
    assert sorted(path.name for path in driver.previews.iterdir()) == ["stage-0-back.txt", "stage-0.txt", "stage-1.txt"]


def test_a_stage_that_fails_is_in_the_report_as_far_as_it_came(driver: Driver, told: Told) -> None:
    told.fails = "up stage-1"
    with pytest.raises(EngineError):
        moved(driver, told, 0, 1, preview=False)
    assert [(row.stage, row.seconds is None) for row in driver.stages] == [(0, False), (1, True)]
    assert [gate.check for gate in driver.stages[0].gates] == ["reachable"]


def test_a_gate_that_was_last_asked_at_another_stage_does_not_hold_here(driver: Driver, told: Told) -> None:
    told.asked_at = driver.stands_at = 3
    moved(driver, told, 3, 2, preview=False)
    assert [(gate.ok, gate.detail) for row in driver.stages for gate in row.gates] == [
        (True, "both ways"),
        (False, "it was last asked at stage 3"),
    ]


@pytest.mark.parametrize(("text", "last"), [("", 8), ("0..5", 5), ("0..0", 0)])
def test_a_rehearsal_stops_where_it_is_told(text: str, last: int) -> None:
    assert parse_stages(text) == last


@pytest.mark.parametrize("text", ["5", "1..5", "0..9", "0..x"])
def test_a_rehearsal_that_would_begin_or_end_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be 0\.\.n"):
        parse_stages(text)

"""An `up` that is struck, with an engine that only pretends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from rehearsal import crash
from rehearsal.crash import NOTHING, PENDING, Struck
from rehearsal.crash_rows import KillRow
from rehearsal.driver import RehearsalError
from rehearsal.engine import EngineError, Outcome
from rehearsal.strikes import Kind, Moment
from tests.rehearsal.test_strikes import DYNAMIC, begun, ended

RUNS = [sys.executable, "-c", "import time; time.sleep(60)"]
NOTE = {"type": "creating", "resource": {"urn": f"urn:pulumi:s::p::{DYNAMIC}::drain", "type": DYNAMIC}}
STATE = json.dumps({"version": 3, "deployment": {"resources": [], "pending_operations": [NOTE]}})


class Pretends:
    """A command of the engine: a process that waits to be ended, and an event log that is written at once."""

    def __init__(self, events: list[dict[str, Any]], seen: Any, log: Path, *, ends: bool) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", ""] if ends else RUNS)
        if ends:
            self.process.wait()
        self.output = log
        if seen is not None:
            for event in events:
                seen(event)

    def end(self) -> Outcome:
        if self.process.wait(20):
            raise EngineError("killed")
        return Outcome(changes={"same": 1}, seconds=1.0, log=self.output)

    def interrupt(self) -> None:
        self.process.kill()
        self.process.wait()


class Engine:
    """Each `up` has the next list of events; those in `ends` end by themselves."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "up.log"
        self.log.write_text("12 unchanged")
        self.ups, self.ends, self.events = 0, {1}, [begun("update", DYNAMIC, "drain")]
        self.commands: list[Pretends] = []

    def begin(self, command: str, stack: str, *, seen: Any = None) -> Pretends:
        one = Pretends(self.events, seen, self.log, ends=self.ups in self.ends)
        self.ups += 1
        self.commands.append(one)
        return one

    def plain(self, *arguments: str) -> str:
        assert arguments[:2] == ("stack", "export")
        return STATE


class Case:
    """A round as far as a strike needs it."""

    def __init__(self, folder: Path) -> None:
        self.engine = Engine(folder)
        self.notes: list[KillRow] = []
        self.round: Any = SimpleNamespace(
            engine=self.engine,
            left={(1, "forward"): 1},
            each=1,
            had={},
            seed=1,
            identity="c0ffee",
            number=1,
            top=1,
            kills=0,
            until=None,
            program=folder,
            directory=folder,
            environment={},
            note=self.notes.append,
            detail=lambda text: None,
        )
        self.said: list[tuple[list[str], str]] = [(["12 notes are gone"], ""), ([NOTHING], "")]
        self.moment = Moment(kind=Kind.ENGINE, step=1, delay=0.0, at_once=True)

    def go(self, monkeypatch: pytest.MonkeyPatch) -> Outcome:
        said = iter(self.said)
        monkeypatch.setattr(crash, "choose", lambda *known: self.moment)
        monkeypatch.setattr(Struck, "_ask", lambda one: next(said))
        monkeypatch.setattr(crash, "orphaned", lambda folder: [])
        return Struck(round=self.round, stack="stage-1", move=(1, "forward"), steps=10).go()


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    one = Case(tmp_path)
    yield one
    for command in one.engine.commands:
        if command.process.poll() is None:
            command.process.kill()
        command.process.wait()


def test_a_killed_engine_is_recovered_and_the_same_up_made_again(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.go(monkeypatch)
    [row] = case.notes
    assert case.engine.ups == 2
    assert case.engine.commands[0].process.returncode == -signal.SIGKILL
    assert row.ok
    assert row.hit == "operation drain running (update)"
    assert row.pending == ("creating Drain drain",)
    assert row.recover == ("12 notes are gone",)
    assert (row.stage, row.direction, row.number, row.kind) == (1, "forward", 0, Kind.ENGINE)


def test_what_only_the_engines_own_notes_tell_was_hit_too(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.engine.events.append(ended(DYNAMIC, "drain"))
    case.go(monkeypatch)
    assert case.notes[0].hit == "about to begin: creating Drain drain"


def test_a_strike_that_comes_too_late_hit_nothing_and_has_no_row(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.engine.ends = {0}
    case.engine.events = []
    assert case.go(monkeypatch).changes == {"same": 1}
    assert case.notes == []
    assert case.engine.ups == 1


def test_an_up_that_ends_before_its_moment_hit_nothing_either(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.engine.ends = {0}
    case.moment = Moment(kind=Kind.ENGINE, step=1, delay=0.0, at_once=True)
    case.go(monkeypatch)
    assert case.notes == []


def test_recover_that_refuses_is_a_row_and_ends_the_round(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.said = [(["refused"], "1 of 2 need somebody to look")]
    with pytest.raises(RehearsalError, match="recover failed: 1 of 2 need somebody to look"):
        case.go(monkeypatch)
    [row] = case.notes
    assert not row.ok
    assert row.reasons == ("recover: 1 of 2 need somebody to look",)


def test_recover_that_still_finds_something_the_second_time_is_not_ok(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.said[1] = (["1 notes are gone"], "")
    case.go(monkeypatch)
    assert case.notes[0].reasons == ("recover, a second time: 1 notes are gone",)


def test_what_the_dead_engine_left_at_work_is_not_ok(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Struck._recover  # pyright: ignore[reportPrivateUsage]

    def left(one: Struck, *known: Any) -> None:
        monkeypatch.setattr(crash, "orphaned", lambda folder: [psutil.Process()])
        real(one, *known)

    monkeypatch.setattr(Struck, "_recover", left)
    case.go(monkeypatch)
    assert case.notes[0].reasons == (f"after recover still there: process {psutil.Process().pid}",)


def test_a_host_that_outlives_its_engine_too_long_is_not_ok(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash, "ORPHAN_S", 0.0)
    monkeypatch.setattr(crash, "living", lambda processes: [psutil.Process()])
    case.go(monkeypatch)
    [reason] = case.notes[0].reasons
    assert reason.startswith(f"process {psutil.Process().pid} runs ")


def test_an_up_that_fails_though_nobody_struck_it_is_no_row(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.round.left = {}
    case.engine.ends = set()
    later = threading.Timer(0.2, lambda: case.engine.commands[0].process.kill())
    later.start()
    with pytest.raises(EngineError):
        case.go(monkeypatch)
    later.join()
    assert case.notes == []


def test_the_engine_telling_of_pending_operations_after_recover_ends_the_round(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.engine.log.write_text(f"error: the stack has {PENDING}")
    with pytest.raises(RehearsalError, match="still tells of pending operations"):
        case.go(monkeypatch)


def test_ctrl_c_ends_the_engine_and_makes_no_row(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.engine.events = []

    def pressed() -> None:
        if case.engine.commands:
            raise KeyboardInterrupt

    monkeypatch.setattr(crash.interrupt, "check", pressed)
    with pytest.raises(KeyboardInterrupt):
        case.go(monkeypatch)
    assert case.engine.commands[0].process.poll() is not None
    assert case.notes == []


def test_aws_stands_still_and_goes_on_whatever_happens_meanwhile(
    case: Case, monkeypatch: pytest.MonkeyPatch, aws_process: Callable[[], psutil.Process]
) -> None:
    aws = aws_process()
    monkeypatch.setattr(crash, "STOPPED_S", 0.5)
    monkeypatch.setattr(crash.processes, "find", lambda directory, name: SimpleNamespace(pid=aws.pid))
    seen: list[str] = []
    monkeypatch.setattr(crash.interrupt, "check", lambda: seen.append(aws.status()))
    case.moment = Moment(kind=Kind.AWS, step=1, delay=0.0, at_once=True)
    later = threading.Timer(1.5, lambda: case.engine.commands[0].process.kill())
    later.start()
    case.go(monkeypatch)
    later.join()
    assert psutil.STATUS_STOPPED in seen
    assert aws.status() != psutil.STATUS_STOPPED
    assert case.notes[0].struck[0].startswith(f"AWS (process {aws.pid})")


@pytest.fixture
def aws_process() -> Iterator[Callable[[], psutil.Process]]:
    made: list[subprocess.Popen[bytes]] = []

    def make() -> psutil.Process:
        made.append(subprocess.Popen(RUNS))
        return psutil.Process(made[-1].pid)

    yield make
    for one in made:
        one.kill()
        one.wait()

"""`make crash`: forward and back while engine, dynamic host and AWS are struck at seeded moments of every `up`.

A round goes from 0 to the last stage that has a way back, and back to 0, the proof beside it; for the stages beyond, to
the last stage. Each has a lab of its own. The first round is undisturbed: each `up`'s end is recorded, and
what it took. In the others `up` is struck, `recover` asked, and the same `up` made again, until its strikes are used;
its end must be as the undisturbed one's, and what it took too.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from lab import interrupt, processes, up
from lab.addresses import REGION
from lab.environment import REPOSITORY, make_folders
from migration.recover.leftovers import orphaned
from migration.recover.state import parse
from migration.stages import LAST, STAGES
from migration.stages.table import swapped
from proof.config import write_atomically
from proof.model import Direction, Report
from rehearsal.back import at_rest, given_time, recorded
from rehearsal.crash_rows import (
    ORPHAN_S,
    Basis,
    EndRow,
    KillRow,
    RoundRow,
    Row,
    Told,
    Undisturbed,
    Wanted,
    comes_back,
    done,
    due,
    end_reasons,
    kept,
    kill_reasons,
    left,
    meant,
    moves,
    of,
    title,
    twice_evicted,
    verdict,
)
from rehearsal.driver import RehearsalError, Say
from rehearsal.engine import Command, EngineError, Outcome
from rehearsal.leftovers import orphaned_processes, running_instances
from rehearsal.plain import plain
from rehearsal.proven import Proven
from rehearsal.rows import PROGRAM, commit_of, conclude, read_rows, write_rows
from rehearsal.strikes import Family, Kind, Moment, Progress, choose, hit_of, living
from rehearsal.turn_rows import figures
from rehearsal.watch import Watch
from rehearsal.work import Counter, Work, done_between, granted
from rehearsal.world import Comparison, different, sort_out

WAYS, SHORT_WAYS = (swapped().number, LAST), (STAGES[1].number,)
"""The last stages of the rounds: of those that come back, and of those for the stages beyond. In the short form only
the network comes and goes."""
FILE, SHORT_FILE = "crash.json", "crash-short.json"
UNDISTURBED = "crash-undisturbed-{}.json"
"""By the last stage of the round."""
IDLE_S = 6.0
STOPPED_S = 20.0
"""How long AWS stands still."""
ENGINE_END_S = 240.0
"""How long an engine may take to end once its host is gone: operations under way are told to stop first."""
PENDING = "pending operations from previous deployment"
"""The engine's words where `recover` has left a note."""
NOTHING = "there is nothing to do"


def run(
    say: Say, seed: int, count: int, *, again: bool = False, short: bool = False, minutes: float | None = None
) -> int:
    """Rounds until every move has had its strikes; 0 only if all is ok. Ctrl-C ends the lab and keeps the rows.

    After `minutes` nothing new is begun: the stage under way is the last, and the proof judges what was until then.
    """
    until = None if minutes is None else time.monotonic() + 60 * minutes
    program = commit_of(REPOSITORY, *PROGRAM)
    reports = make_folders() / "report"
    path = reports / (SHORT_FILE if short else FILE)
    wanted_to = {top: due(top, count, seed, short=short) for top in (SHORT_WAYS if short else WAYS)}
    rows = read_rows(path, Row, say)
    rows = [row for row in rows if not again or row.root not in list(of(rows, seed, program))]
    before, rows = len(rows), kept(rows, seed, program)
    if before > len(rows):
        say(f"{before - len(rows)} rows that weren't ok are done again")

    def note(row: Told) -> None:
        rows.append(Row(row))
        write_rows(path, rows)
        say(f"   {'ok' if row.ok else 'NOT OK'}: {title(row)}")
        for reason in row.reasons:
            say(f"   not ok: {reason}")

    campaigns = [
        Campaign(
            say=say, seed=seed, program=program, top=top, wanted=wanted, rows=rows, note=note, until=until, short=short
        )
        for top, wanted in wanted_to.items()
    ]
    try:
        for campaign in campaigns:
            if _over(until) or not campaign.go(reports / UNDISTURBED.format(campaign.top)):
                break
    except KeyboardInterrupt:
        say("interrupted: ending the lab; its rows are kept, and the same command goes on after them")
        if any(campaign.ran for campaign in campaigns):
            up.down(say)
        raise
    ran = any(campaign.ran for campaign in campaigns)
    wrong = [*(sentence for one in campaigns for sentence in one.wrong), *verdict(rows, wanted_to, seed, program)]
    say("")
    for kind in Kind:
        hits = sum(isinstance(row, KillRow) and row.kind is kind for row in of(rows, seed, program))
        say(f"{kind.value}: {hits}")
    return conclude(say, wrong, path, ran=ran)


@dataclass(kw_only=True)
class Campaign:
    """Rounds to one last stage, one after the other, each on a lab of its own."""

    say: Say
    seed: int
    program: str
    top: int
    wanted: Wanted
    rows: list[Row]
    note: Callable[[Told], None]
    until: float | None
    short: bool = False
    """A lab that stands at 0 is gone on with: bringing up another takes as long as a round."""
    ran: bool = False
    wrong: list[str] = field(default_factory=list[str])

    def go(self, basis_path: Path) -> bool:
        """All that is left to do; whether all went well. What stops it is in `wrong`, or a row."""
        if not self._left():
            return True
        basis = self._read(basis_path)
        if len(basis.moves) < len(moves(self.top)):
            one = self._round(0, basis)
            try:
                report = one.go()
            finally:
                basis = basis.model_copy(update={"moves": basis.moves | one.seen})
                basis_path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(basis_path, basis.model_dump_json(indent=1) + "\n")
            # What the proof says of it is `make back`'s to judge; here it is what others are compared with.
            for reason in report.reasons:
                self.say(f"   undisturbed: {reason}")
            if len(basis.moves) < len(moves(self.top)):
                self.wrong.append(f"the undisturbed round to stage {self.top} did not come to its end")
                return False
        while self._left() and not _over(self.until):
            interrupt.check()
            had = len(self.rows)
            number = 1 + max((row.round for row in of(self.rows, self.seed, self.program)), default=0)
            one = self._round(number, basis)
            self.note(one.judged(one.go()))
            new = [row.root for row in self.rows[had:]]
            if not all(row.ok for row in new):
                return False
            if not any(isinstance(row, KillRow) for row in new):
                self.wrong.append(f"round {number}: no strike hit anything")
                return False
        return not self._left()

    def _left(self) -> Wanted:
        return left(self.rows, self.wanted, self.seed, self.program, self.top)

    def _round(self, number: int, basis: Basis) -> Round:
        self.ran = True
        return Round(
            say=self.say,
            seed=self.seed,
            identity=self.program,
            number=number,
            top=self.top,
            basis=basis,
            left=self._left(),
            each=max(self.wanted.values()),
            had=done(self.rows, self.seed, self.program),
            note=self.note,
            reuse=self.short,
            until=self.until,
        )

    def _read(self, path: Path) -> Basis:
        """What an earlier run recorded with this very program; empty where there is none."""
        nothing = Basis(program=self.program, top=self.top, moves={})
        try:
            found = Basis.model_validate_json(path.read_text())
        except (FileNotFoundError, ValueError):
            return nothing
        return found if self.program and (found.program, found.top) == (self.program, self.top) else nothing


@dataclass(kw_only=True)
class Round(Proven):
    """One round. That of number 0 is undisturbed, and `seen` is what the `basis` hasn't yet."""

    seed: int
    identity: str
    number: int
    top: int
    basis: Basis
    left: Wanted
    each: int
    """How many strikes a move is due in all."""
    had: dict[tuple[int, str], int]
    note: Callable[[Told], None]
    reuse: bool = False
    until: float | None = None
    seen: dict[str, Undisturbed] = field(default_factory=dict[str, Undisturbed])
    kills: int = 0
    _ends: dict[str, EndRow] = field(default_factory=dict[str, EndRow])
    _done: list[Work] = field(default_factory=list[Work])
    _began: float = field(default_factory=time.time)
    _counter: Counter = field(init=False)

    def go(self) -> Report:
        """Do it."""
        way = f"to {self.top}" + " and back" * comes_back(self.top)
        self.say(f"round {self.number}: {'with strikes' if self.number else 'undisturbed'}, {way}")
        return self.prove(f"crash-{self.number}", self._prepare, self._there_and_back, self._look, self._wrong)

    def _prepare(self) -> None:
        # A lab that was at 7 and came back isn't the one it was: its members have other machines, templates, volumes.
        if not (self.reuse and self.lab_at(0)):
            self.fresh_lab()

    def judged(self, report: Report) -> RoundRow:
        """The round's row."""
        probes, writes, evictions = figures(report)
        return RoundRow(
            seed=self.seed,
            program=self.identity,
            round=self.number,
            top=self.top,
            kills=self.kills,
            begin=_clock(self._began),
            seconds=report.seconds,
            probes=probes,
            writes=writes,
            evictions=evictions,
            accepted=granted(self._done),
            ok=report.ok,
            reasons=report.reasons,
            doubts=report.doubts,
            report=self.page,
        )

    def _there_and_back(self, watch: Watch) -> None:
        self._counter = Counter(
            self.addresses, self._kubeconfig, self.environment, self.settings.control_plane.api_port
        )
        self.rest(watch, IDLE_S)
        self.move(0, watch, preview=False, again=False)
        for stage, _ in moves(self.top):
            interrupt.check()
            if _over(self.until):
                self.detail("the time is up: the round ends here")
                return
            before = self._counter.now()
            self.move(stage, watch, preview=False, again=self.number > 0)
            self._end(watch)
            self._done.append(done_between(before, self._counter.now()))

    def _look(self) -> None:
        self.leftovers = orphaned_processes(self.directory, running_instances(REGION))

    def _wrong(self) -> list[str]:
        if self.errors:
            return []
        return twice_evicted(granted(self._done), sum(self.summary.evictions.values()))

    @property
    def _kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    # A stage's `up`, with its strikes

    def bring_up(self, stack: str) -> Outcome:
        """The stage's `up`, struck as often as it is due, and what its end is like."""
        stage = self.stages[-1]
        move = (stage.stage, stage.direction)
        if len(self.stages) == 1:
            return super().bring_up(stack)
        before, began = self._counter.now(), time.monotonic()
        if self.number == 0:
            if _key(*move) in self.basis.moves:
                return super().bring_up(stack)
            progress = Progress()
            outcome = self.engine.begin("up", stack, seen=progress.feed).end()
            work = done_between(before, self._counter.now())
            self.seen[_key(*move)] = Undisturbed(
                world=plain(at_rest(self._kubeconfig)), work=work, steps=progress.steps
            )
            return outcome
        basis = self.basis.moves[_key(*move)]
        struck = Struck(round=self, stack=stack, move=move, steps=basis.steps)
        outcome = struck.go()
        work = done_between(before, self._counter.now())
        comparison = given_time(
            lambda: sort_out(different(basis.world, plain(recorded(self._kubeconfig))), meant(basis.world))
        )
        self._ends[_key(*move)] = EndRow(
            seed=self.seed,
            program=self.identity,
            round=self.number,
            stage=stage.stage,
            direction=stage.direction,
            kills=struck.made,
            seconds=round(time.monotonic() - began, 1),
            work=work,
            undisturbed=basis.work,
            ratio=round(work.operations / max(1, basis.work.operations), 3),
            differences=comparison.wrong,
            second_up_changes=None,
            failed_probes=0,
            ok=False,
            noted=struck.noted,
            reasons=tuple(end_reasons(comparison, work, basis.work, 0, struck.noted)),
        )
        return outcome

    def _end(self, watch: Watch) -> None:
        """The stage's row, once the second `up` was made."""
        stage = self.stages[-1]
        row = self._ends.get(_key(stage.stage, stage.direction))
        if row is None:
            return
        failed = watch.failed()
        new = failed - sum(one.failed_probes for one in self._ends.values())
        reasons = [*row.reasons]
        if stage.second_up_changes != 0:
            reasons += end_reasons(Comparison(), row.undisturbed, row.undisturbed, stage.second_up_changes)
        if new:
            reasons.append(f"{new} probes failed")
        known = {"second_up_changes": stage.second_up_changes, "failed_probes": new}
        row = EndRow.model_validate({**dict(row), **known, "ok": not reasons, "reasons": tuple(reasons)})
        self._ends[_key(stage.stage, stage.direction)] = row
        self.note(row)


@dataclass(kw_only=True)
class Struck:
    """One stage's `up`, again and again until its strikes are used or it is done."""

    round: Round
    stack: str
    move: tuple[int, Direction]
    steps: int
    made: int = 0
    noted: int = 0
    _past: int = 0
    _recovered: bool = False

    def go(self) -> Outcome:
        """The outcome of the last `up`. Raises `EngineError` where one fails that nobody struck."""
        due = self.round.left.get(self.move, 0)
        while self.made < due and not _over(self.round.until):
            interrupt.check()
            moment = self._choose(due)
            progress = Progress()
            command = self.round.engine.begin("up", self.stack, seen=progress.feed)
            try:
                outcome = self._strike(command, progress, moment)
            except BaseException:
                if command.process.poll() is None:
                    command.interrupt()
                raise
            if outcome is not None:
                return outcome
            self._past += progress.steps
        return self._checked(self.round.engine.begin("up", self.stack).end())

    def _choose(self, due: int) -> Moment:
        one, number = self.round, self.round.had.get(self.move, 0) + self.made
        remaining = max(self.steps - self._past, 4)
        place = moves(one.top).index(self.move)
        return choose(one.seed, place, number, one.number, remaining, due - self.made, one.each)

    def _checked(self, outcome: Outcome) -> Outcome:
        if self._recovered and PENDING in outcome.log.read_text():
            raise RehearsalError(f"the engine still tells of {PENDING} after recover: {outcome.log}")
        return outcome

    def _strike(self, command: Command, progress: Progress, moment: Moment) -> Outcome | None:
        """Strike and recover; the outcome where the `up` came to its end all the same, or before."""
        while not progress.reach(moment.step, 0.2):
            interrupt.check()
            if command.process.poll() is not None:
                return self._checked(command.end())
        time.sleep(moment.delay)
        family = Family.of(command.process.pid)
        hit = progress.hit()
        if family is None or command.process.poll() is not None:
            return self._checked(command.end())
        at = time.monotonic()
        struck = [self._freeze(command)] if moment.kind is Kind.AWS else family.strike(moment.kind)
        if not struck:
            return self._checked(command.end())
        self.round.detail(f"{moment.kind.value} at {moment}: {hit}")
        outcome = self._ended(command)
        said = "" if outcome is None else "; the up came to its end"
        self._recover(moment, tuple(struck), hit + said, at, family)
        return outcome

    def _freeze(self, command: Command) -> str:
        """Stop the lab's AWS for a while, whatever happens meanwhile."""
        found = processes.find(self.round.directory, "aws")
        if found is None:
            raise RehearsalError("the lab's AWS doesn't run")
        aws = psutil.Process(found.pid)
        aws.suspend()
        try:
            end = time.monotonic() + STOPPED_S
            while time.monotonic() < end:
                interrupt.check()
                time.sleep(0.2)
        finally:
            aws.resume()
        ended = " (the up ended meanwhile)" if command.process.poll() is not None else ""
        return f"AWS (process {found.pid}) for {STOPPED_S:.0f} s{ended}"

    def _ended(self, command: Command) -> Outcome | None:
        """The engine's end: its outcome, or None where it failed, or was killed."""
        end = time.monotonic() + ENGINE_END_S
        while command.process.poll() is None and time.monotonic() < end:
            interrupt.check()
            time.sleep(0.1)
        if command.process.poll() is None:
            raise RehearsalError(f"the engine still runs {ENGINE_END_S:.0f} s after the strike: {command.output}")
        try:
            return self._checked(command.end())
        except EngineError:
            return None

    def _recover(self, moment: Moment, struck: tuple[str, ...], hit: str, at: float, family: Family) -> None:
        one, (stage, direction) = self.round, self.move
        pending = self._noted()
        if hit == hit_of([], "") and pending:
            # The engine notes what it is about to do before its event log tells of it.
            hit = f"about to begin: {'; '.join(pending)}"
        late: list[str] = []
        if not moment.at_once:
            late = _late(family, at)
        began = time.monotonic()
        words, failed = self._ask()
        seconds = time.monotonic() - began
        more, failed_again = self._ask() if not failed else ([], "")
        if not failed_again and not failed and not any(NOTHING in line for line in more):
            failed_again = " / ".join(more)
        if moment.at_once:
            late = _late(family, at)
        orphans = [f"process {left.pid}" for left in orphaned(one.program)]
        reasons = kill_reasons(recovered=failed, again=failed_again, orphans=orphans, late=late)
        self.made, self.noted, self._recovered = self.made + 1, self.noted + len(pending), True
        one.kills += 1
        one.note(
            KillRow(
                seed=one.seed,
                program=one.identity,
                round=one.number,
                stage=stage,
                direction=direction,
                number=one.had.get(self.move, 0) + self.made - 1,
                kind=moment.kind,
                moment=str(moment),
                struck=struck,
                hit=hit,
                pending=pending,
                recover=tuple(words),
                seconds=round(seconds, 1),
                begin=_clock(time.time() - (time.monotonic() - at)),
                ok=not reasons,
                reasons=tuple(reasons),
            )
        )
        if failed:
            raise RehearsalError(f"recover failed: {failed}")

    def _noted(self) -> tuple[str, ...]:
        """The engine's notes of what it had begun; none where only `recover` makes the state readable again."""
        try:
            exported = self.round.engine.plain("stack", "export", "-s", self.stack)
        except EngineError as error:
            self.round.detail(f"the state can't be read before recover: {error}")
            return ()
        return tuple(f"{note.type} {note.resource}" for note in parse(exported).pending_operations)

    def _ask(self) -> tuple[list[str], str]:
        """`recover`, as it is typed: its lines, and why it failed (empty: it didn't)."""
        command: list[Any] = [sys.executable, "-m", "migration", "recover", "--stack", self.stack]
        asked = subprocess.run(
            command,
            cwd=self.round.program,
            env=self.round.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = [line for line in (asked.stdout + asked.stderr).splitlines() if line.strip()]
        return lines, "" if asked.returncode == 0 else " / ".join(lines[-12:]) or f"exit status {asked.returncode}"


def _late(family: Family, at: float) -> list[str]:
    """Dynamic hosts that run longer than they may after the strike `at`; waits until they are gone, at most so long."""
    while (left := living(family.hosts)) and time.monotonic() - at < ORPHAN_S:
        time.sleep(0.2)
    return [f"process {one.pid}" for one in left]


def _over(until: float | None) -> bool:
    return until is not None and time.monotonic() > until


def _key(stage: int, direction: str) -> str:
    return f"{stage} {direction}"


def _clock(t: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t))

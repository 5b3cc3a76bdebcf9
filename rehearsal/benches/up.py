"""`make bench-up GROUPS=72`: what `preview` and `up` take at every stage, against an engine that has nothing to do.

The floor is a program with as many components, dynamic resources and resources of a plugin as this one has, of
providers that do nothing, on the same engine, backend and machine (`rehearsal/benches/floor`). Where nothing changes
any more, commands of both are run in pairs, one right after the other. A stage's own `up` can be had once: what it only
waited for (machines, health, names, pods) is taken off and told apart, and the floor makes, changes and deletes as many
resources as it did.

Each stage is a row, kept as soon as it is there: a run that was ended goes on at the stage that its lab stands at.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from lab import interrupt, profiles, up
from lab.environment import REPOSITORY, make_folders
from lab.plugins.waits import VARIABLE
from migration.stages import STAGES
from rehearsal.benches.population import KINDS, Population
from rehearsal.benches.state_size import StateSize, measured
from rehearsal.benches.steps import Seen, changed, kind_of, read_waits, waited
from rehearsal.benches.up_plot import draw
from rehearsal.benches.up_rows import LARGE, NAME, PAIRS, SMALL, Calls, Pair, Report, StageRow, report
from rehearsal.benches.written import Header, write
from rehearsal.driver import FAILURES, Driver, RehearsalError, Say
from rehearsal.engine import Engine, Outcome
from rehearsal.rows import PROGRAM, commit_of, read_rows, write_rows
from rehearsal.run import parse_stages
from rehearsal.stack import StackError

FLOOR = REPOSITORY / "rehearsal" / "benches" / "floor"
FLOOR_STACK = "floor"
PROFILES = {SMALL: profiles.SMALL, LARGE: profiles.WIDE}
"""The lab's profile by the number of its worker groups; each group has one node."""
ROWS = "up-rows.json"


@dataclass(kw_only=True)
class UpBench(Driver):
    """One size: its lab, from stage to stage."""

    groups: int
    program_digest: str
    rows: list[StageRow]
    population: Population = field(default_factory=Population)

    def through(self, last: int) -> None:
        """All stages that have no row yet, on the lab that stands at the last one that has, else on a new one."""
        done = [row.stage for row in self.own_rows()]
        first = len(done)
        if first > last:
            return
        # Its floor's state went with what else the lab had, so that a row more or less can't be told from it.
        if not (done and done == list(range(first)) and self.settings.profile == PROFILES[self.groups]
                and self.lab_at(first - 1)):  # fmt: skip
            self.rows[:] = [row for row in self.rows if row.groups != self.groups]
            self.fresh_lab()
            first = 0
        else:
            self.stands_at = first - 1
            self.population = Population().after({}, self.own_rows()[-1].resources)
        floor = self.directory / "log" / "engine-floor"
        self.floor = Engine(FLOOR, {**self.engine.environment, "FLOOR": ""}, floor, lambda _: None)
        if FLOOR_STACK not in [one["name"] for one in json.loads(self.floor.plain("stack", "ls", "--json"))]:
            self.floor.plain("stack", "init", FLOOR_STACK)
        self.waits = self.directory / "log" / "plugin-waits.jsonl"
        self.engine.environment[VARIABLE] = str(self.waits)
        for number in range(first, last + 1):
            self.rows.append(self.measure(number))
            write_rows(self.reports / ROWS, self.rows)

    def own_rows(self) -> list[StageRow]:
        """This size's, in their order."""
        return sorted((row for row in self.rows if row.groups == self.groups), key=lambda row: row.stage)

    def measure(self, number: int) -> StageRow:
        """Go to the stage and measure it. Raises as the engine does."""
        stack = f"stage-{number}"
        self.say(f"stage {number} of {self.groups} groups: {STAGES[number].name}")
        if number != self.stands_at:
            self.engine.plain("stack", "rename", stack, "-s", f"stage-{self.stands_at}")
            self.stands_at = number
        self.waits.unlink(missing_ok=True)
        seen, before = Seen(time.time), self.asked()
        done = self.engine.begin("up", stack, seen=seen).end()
        calls = between(before, self.asked())
        waits = [*seen.waits, *(read_waits(self.waits.read_text()) if self.waits.exists() else [])]
        rest = waited(seen.steps, waits)
        self.detail(f"up: {done.seconds:.1f} s, of which {rest:.1f} s only waited; {calls.ours} AWS calls")
        resources = self.engine.resources(stack)
        found = [kind_of(one["type"]) for one in resources]
        counts = {kind: found.count(kind) for kind in KINDS}
        floors = self.change_floor(self.population.after(changed(seen.steps), counts))
        pairs = [self.pair(stack, swapped=bool(turn % 2)) for turn in range(PAIRS)]
        state = measured(resources, self.state_file(stack))
        row = StageRow(
            groups=self.groups,
            stage=number,
            name=STAGES[number].name,
            program=self.program_digest,
            resources=counts,
            changes={kind: count for kind, count in done.changes.items() if count},
            up=done.seconds,
            waited=round(rest, 2),
            floors=floors,
            previews=tuple(one.preview for one in pairs),
            again=tuple(one.again for one in pairs),
            second_up_changes=max(one.changed for one in pairs),
            calls=calls,
            calls_preview=pairs[0].calls_preview,
            calls_again=pairs[0].calls_again,
            state=state,
        )
        self.detail(told(row))
        return row

    def pair(self, stack: str, *, swapped: bool) -> Turn:
        """A preview and an `up` that change nothing, each beside the floor's, which comes first if `swapped`."""
        sides = [(self.engine, stack), (self.floor, FLOOR_STACK)]
        seconds: dict[tuple[str, str], Outcome] = {}
        calls: dict[str, Calls] = {}
        for command in ("preview", "up"):
            for engine, name in reversed(sides) if swapped else sides:
                before = self.asked()
                seconds[command, name] = engine.run(command, name)
                if engine is self.engine:
                    calls[command] = between(before, self.asked())
        preview, again = (
            Pair(ours=seconds[command, stack].seconds, floor=seconds[command, FLOOR_STACK].seconds)
            for command in ("preview", "up")
        )
        if moved := seconds["up", FLOOR_STACK].changed:
            raise RehearsalError(f"the floor's second up changed {moved} resources: it is no floor")
        return Turn(preview, again, seconds["up", stack].changed, calls["preview"], calls["up"])

    def change_floor(self, population: Population) -> tuple[float, ...]:
        """How long the floor takes to become `population`, measured as often as a pair is."""
        before, found = self.population, list[float]()
        for turn in range(PAIRS):
            if turn or not before.counted["components"]:
                self.floor_up(before)
            found.append(self.floor_up(population).seconds)
        self.population = population
        return tuple(found)

    def floor_up(self, population: Population) -> Outcome:
        """An `up` of the floor with these resources."""
        self.floor.environment["FLOOR"] = population.told()
        return self.floor.run("up", FLOOR_STACK)

    def asked(self) -> dict[str, dict[str, int]]:
        """How many calls the lab's AWS had, by caller and action. Raises `RehearsalError`."""
        try:
            with urllib.request.urlopen(f"{self.addresses.aws_url}/_backplane/asked", timeout=30) as answer:
                return json.load(answer)
        except OSError as error:
            raise RehearsalError(f"the lab's AWS doesn't say how many calls it had: {error}") from error

    def state_file(self, stack: str) -> int | None:
        """Bytes of the state as the backend keeps it; None where its file isn't where the engine keeps files."""
        folder = self.directory / "pulumi" / "state" / ".pulumi" / "stacks"
        found = [path for path in folder.glob(f"**/{stack}.json") if path.parent.name != FLOOR.name]
        return found[0].stat().st_size if len(found) == 1 else None


@dataclass(frozen=True)
class Turn:
    """One turn of pairs, and what ours did in it."""

    preview: Pair
    again: Pair
    changed: int
    calls_preview: Calls
    calls_again: Calls


def between(before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]) -> Calls:
    """What was asked from one look to the other."""
    found: dict[str, dict[str, int]] = {}
    for caller, actions in after.items():
        more = {name: count - before.get(caller, {}).get(name, 0) for name, count in actions.items()}
        if more := {name: count for name, count in sorted(more.items()) if count}:
            found[caller] = more
    return Calls(by_caller=found)


def told(row: StageRow) -> str:
    """A row in a line."""

    def ratio(value: float | None) -> str:
        return "not measured" if value is None else f"{value:.2f}"

    state: StateSize | None = row.state
    size = "not measured" if state is None or state.each is None else f"{state.each:.0f} B"
    return (
        f"÷ floor: up {ratio(row.up_ratio)}, up again {ratio(row.again_ratio)}, preview {ratio(row.preview_ratio)}; "
        f"{ratio(row.calls_a_group)} calls a group; {size} of state a resource"
    )


def parse_groups(text: str) -> int:
    """How many worker groups. Raises ValueError for a size that there is no lab of."""
    if text.isdigit() and int(text) in PROFILES:
        return int(text)
    raise ValueError(f"GROUPS={text!r}: must be one of {', '.join(map(str, PROFILES))}")


def refuse_without_memory(groups: int, free_mb: int) -> None:
    """Raises ValueError where the lab wouldn't fit, before anything is started."""
    profile = profiles.find(PROFILES[groups])
    if short := profiles.short_of_memory(profile.name, profile.pods, free_mb):
        raise ValueError(f"GROUPS={groups}: {short}")


def end_other_size(say: Say, size: int) -> None:
    """A lab keeps its profile: one of another size goes first. Raises RehearsalError where it can't be ended."""
    if profiles.asked(make_folders(), {})[0].name != PROFILES[size] and up.down(say, purge=True):
        raise RehearsalError("the lab of another size did not end: see above")


def run(say: Say, groups: int, last: int, *, again: bool) -> int:
    """The exit status: 0 only if every aim was kept. For 72 groups the 12 that they are compared with come first."""
    sizes = [SMALL, groups] if groups == LARGE else [groups]
    refuse_without_memory(max(sizes), psutil.virtual_memory().available // 2**20)
    program, errors, rows = commit_of(REPOSITORY, *PROGRAM, "providers"), list[str](), list[StageRow]()
    header = Header.now(f"make bench-up GROUPS={groups}" + (f" STAGES=0..{last}" if last != len(STAGES) - 1 else ""))
    bench: UpBench | None = None
    for size in sizes:
        end_other_size(say, size)
        os.environ["LAB_PROFILE"] = PROFILES[size]
        bench = UpBench(say=say, groups=size, program_digest=program, rows=rows)
        if not rows and not again:
            rows += [row for row in read_rows(bench.reports / ROWS, StageRow, say) if row.program == program]
        try:
            bench.through(last)
        except FAILURES as error:
            say(f"failed: {error}")
            errors.append(f"{size} groups: {error}")
            break
    assert bench is not None
    found = report(header, rows, groups, tuple(range(last + 1)), errors)
    path = write(NAME, found)
    draw(found, path.with_suffix(".svg"))
    return conclude(say, found, path)


def conclude(say: Say, found: Report, path: Path) -> int:
    """Say what it came to. The lab ends unless something failed in it."""
    say("")
    for aim in found.aims:
        say(str(aim))
    for error in found.errors:
        say(f"not ok: {error}")
    if found.errors:
        say("the lab still runs, and the same command goes on with it; `make lab-down` ends it")
    else:
        up.down(say)
    say(f"{'ok' if found.ok else 'NOT OK'}: {path}")
    return 0 if found.ok else 1


def main() -> int:
    """The command line; 2 for what can't be, 130 after Ctrl-C, which ends the lab."""
    parser = argparse.ArgumentParser(prog="python -m rehearsal.benches.up", description=__doc__)
    parser.add_argument("--groups", default=os.environ.get("GROUPS") or str(LARGE), help="worker groups: 12 or 72")
    parser.add_argument("--stages", default=os.environ.get("STAGES", ""), help="0..n stops after stage n")
    parser.add_argument("--again", action="store_true", help="also what was measured with this very program")
    options = parser.parse_args()
    interrupt.install()

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        return run(say, parse_groups(options.groups), parse_stages(options.stages), again=options.again)
    except KeyboardInterrupt:
        say("interrupted: ending the lab; what was measured is kept, its lab isn't")
        up.down(say)
        return 130
    except (ValueError, RehearsalError, StackError) as error:
        print(f"python -m rehearsal.benches.up: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

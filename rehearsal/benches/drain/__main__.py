"""`python -m rehearsal.benches.drain`: this drain, kubectl's, and the floor below both, on one cluster in one run.

NODES, PODS, SEED and COMPARE=nodes:pods come from the environment, as with make.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console

from lab import interrupt, processes, toolchain
from lab.bare.cluster import Bare, BareError, bare, running
from lab.environment import REPOSITORY, make_folders
from lab.kubernetes.access import ApiError
from lab.toolchain.errors import MissingTool
from migration.clients.kubernetes import ApiFailure
from migration.runtime.deadline import Permanent, Retryable
from proof.config import write_atomically
from rehearsal.benches.drain import commands, idle, page
from rehearsal.benches.drain.bound import bound_of, overhead
from rehearsal.benches.drain.commands import Command
from rehearsal.benches.drain.idle import IdleError, Pace
from rehearsal.benches.drain.judge import FEW, MANY, report_of, scale_of
from rehearsal.benches.drain.model import DRAIN, NAME, SERIAL, SHORT_NAME, Calibration, Row, Run, parallel
from rehearsal.benches.drain.plan import Part, Plan, enough_memory, plan
from rehearsal.benches.drain.run import Measuring, Unmeasured
from rehearsal.benches.drain.state import State, StateError
from rehearsal.benches.drain.world import BadWorld, World
from rehearsal.benches.written import Header, write
from rehearsal.rows import commit_of, read_rows, write_rows

PROGRAM = ("migration", "proof", "lab", "rehearsal/benches")
"""What a run is about: with another program it is run again."""
KUBECTLS = {SERIAL: 1, parallel(FEW): FEW, parallel(MANY): MANY}
SINGLES, SHORT_SINGLES = 10, 4
PACE_PODS, SHORT_PACE_PODS = 1000, 60
SHORT_STEP_S = 1.5
WIDTH = 120
"""Of tables in a file or a pipe, in characters."""


def say(text: str) -> None:
    """A line for the person at the terminal, now."""
    print(f"{datetime.now():%H:%M:%S}  {text}", flush=True)


@dataclass
class Bench:
    """The measurements in their order; each is kept as soon as it is there."""

    wanted: Plan
    directory: Path
    rows: Path
    program: str
    sitting: str
    found: list[Row] = field(default_factory=list[Row])
    failed: list[str] = field(default_factory=list[str])

    def load(self) -> None:
        """What an earlier invocation measured with this very program stays; where git can't tell, nothing does."""
        self.found = [row for row in read_rows(self.rows, Row, say) if row.program == self.program and self.program]

    def keep(self, row: Row) -> None:
        self.found.append(row)
        write_rows(self.rows, self.found)

    def run(self, part: Part, name: str) -> Run | None:
        """The latest of that name and world."""
        runs = (row.run for row in reversed(self.found) if row.run is not None)
        return next((run for run in runs if (run.name, run.world) == (name, part.world)), None)

    def calibration(self, part: Part) -> Calibration | None:
        """The latest of that world."""
        seen = (row.calibration for row in reversed(self.found) if row.calibration is not None)
        return next((one for one in seen if one.world == part.world), None)

    def missing(self, part: Part) -> list[str]:
        """Names of runs that are still to be made, or to be made again."""
        runs = {name: self.run(part, name) for name in part.runs}
        return [name for name, run in runs.items() if run is None or not run.ok or run.violations]

    def measure(self) -> None:
        """All that is missing, on one cluster. What can't be measured is told and left; the rest goes on."""
        todo = [part for part in self.wanted.parts if self.missing(part) or self.calibration(part) is None]
        if not todo:
            say("everything was measured already with this program; --again measures anew")
            return
        if any(name in KUBECTLS for part in todo for name in self.missing(part)):
            toolchain.ensure(say, ["kubectl"])
        with bare(self.directory, say) as cluster:
            state = State(cluster.kubeconfig, say)
            for part in todo:
                say(f"{part.name}: {part.world.nodes} nodes on each side, {part.world.pods} pods")
                try:
                    state.build(part.world)
                    if self.calibration(part) is None:
                        self._calibrate(part, cluster, state)
                    for name in self.missing(part):
                        self._drain(part, name, cluster, state)
                except (StateError, IdleError, ApiError, ApiFailure, Permanent, Retryable) as error:
                    self._fail(f"{part.name}: {error}")

    def _fail(self, sentence: str) -> None:
        say(f"not measured: {sentence}")
        self.failed.append(sentence)

    def _calibrate(self, part: Part, cluster: Bare, state: State) -> None:
        state.restore(part.world, new_side=False)
        say("evicting single pods on the idle cluster")
        short = self.wanted.short
        ones = asyncio.run(idle.singles(cluster.kubeconfig, part.world, SHORT_SINGLES if short else SINGLES))
        pods = SHORT_PACE_PODS if short else min(PACE_PODS, max(100, part.world.pods // 4))
        pace = Pace(cluster.kubeconfig, cluster.members, pods, SHORT_STEP_S if short else idle.STEP_S)
        say(f"evicting {pods} throwaway pods at growing rates")
        steps = asyncio.run(pace.steps())
        rate, saturated = idle.judged(steps)
        deployments, sets = overhead(ones, stateful=False), overhead(ones, stateful=True)
        if deployments is None or sets is None:
            raise IdleError("no single eviction of a Deployment's and of a StatefulSet's pod was seen")
        seen = Calibration(
            program=self.program,
            at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            world=part.world,
            singles=tuple(ones),
            overhead_deployment=round(deployments, 3),
            overhead_stateful=round(sets, 3),
            steps=tuple(steps),
            per_second=rate,
            saturated=saturated,
        )
        self.keep(Row(program=self.program, calibration=seen))
        bound = bound_of(part.world, seen)
        say(
            f"LB {bound.seconds:.1f} s ({bound.terms[0].budget}: {bound.terms[0].seconds:.1f} s; "
            f"P/q: {bound.rate_seconds:.1f} s at {rate:.1f}/s)"
        )

    def _drain(self, part: Part, name: str, cluster: Bare, state: State) -> None:
        state.restore(part.world)
        say(f"{name}: begins")
        measuring = Measuring(bare=cluster, state=state, world=part.world, program=self.program, sitting=self.sitting)
        try:
            run = asyncio.run(measuring.measure(name, self._command(name, part.world, cluster)))
        except Unmeasured as error:
            self._fail(str(error))
            return
        self.keep(Row(program=self.program, run=run))
        told = f"{run.pods} pods in {run.wall:.1f} s, {run.refused} refusals, {len(run.violations)} violations"
        say(f"{name}: {told}: {'; '.join(run.trouble) or 'ok'}")

    def _command(self, name: str, world: World, cluster: Bare) -> Command:
        log = self.directory / "log" / f"bench-drain {world.pods} {name}.log"
        if name == DRAIN:
            return lambda: commands.drain(cluster.kubeconfig, log)
        kubectl = toolchain.tool_path("kubectl")
        return lambda: commands.kubectls(kubectl, cluster.kubeconfig, world, KUBECTLS[name], log)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="python -m rehearsal.benches.drain", description=__doc__)
    top.add_argument("--short", action="store_true", help="small, without kubectl, in a file of its own")
    top.add_argument("--again", action="store_true", help="also what was measured with this very program")
    return top


def go(wanted: Plan, *, again: bool) -> int:
    """Measure what is missing and write the report; the exit status."""
    header = Header.now(wanted.command)
    directory = make_folders()
    name = SHORT_NAME if wanted.short else NAME
    rows = directory / "report" / f"{name}-rows.json"
    bench = Bench(wanted, directory, rows, commit_of(REPOSITORY, *PROGRAM), header.at)
    if not wanted.short:
        alone(directory, header)
    if not again:
        bench.load()
    bench.measure()
    scales = [scale_of(part.name, part.world, bench.calibration(part), _runs(bench, part)) for part in wanted.parts]
    report = report_of(header, wanted.chosen, scales, [part.runs for part in wanted.parts], compared=wanted.compared)
    report = report.model_copy(update={"trouble": (*bench.failed, *report.trouble)})
    path = write(name, report)
    write_atomically(path.with_suffix(".svg"), page.plot(report.scales))
    page.show(report, Console(width=None if sys.stdout.isatty() else WIDTH))
    say(f"{'NOT OK' if report.trouble else 'ok'}: {path}")
    return 1 if report.trouble else 0


def alone(directory: Path, header: Header) -> None:
    """Raises BadWorld where a lab runs in the same folder, which would take its share; a busy machine is told of."""
    # A cluster like this one's, left by an invocation that was killed, is ended by the next.
    if set(processes.of_lab(directory)) - set(running(directory).values()):
        raise BadWorld(f"a lab runs in {directory} and would take its share: end it with `make lab-down`")
    if header.machine.load > header.machine.processors / 2:
        say(f"this machine is busy (load {header.machine.load:g}): what is measured now will be worth little")


def _runs(bench: Bench, part: Part) -> list[Run]:
    return [run for name in part.runs if (run := bench.run(part, name)) is not None]


def main(argv: Sequence[str] | None = None) -> int:
    """0 if all was measured and no budget violated (a missed aim is told), 1 if not, 2 for what can't be asked for."""
    options = parser().parse_args(argv)
    interrupt.install()
    try:
        wanted = plan(os.environ, short=options.short)
        enough_memory(wanted, psutil.virtual_memory().available / 2**20)
        return go(wanted, again=options.again)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except (BadWorld, BareError, MissingTool, ValueError) as error:
        print(f"bench-drain: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

"""`make rehearse`: a fresh lab, every stage with the real engine, a second `up` each, and one report."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab import toolchain, up
from lab.addresses import REGION, from_environment
from lab.environment import REPOSITORY, child_environment, make_folders
from lab.settings import LabSettings
from migration.contracts.gates import GateResult
from migration.contracts.workers import DrainResult
from migration.stages import LAST, STAGES, emptied
from proof.html import write_html
from proof.model import Drain, Gate, Parts, Report, Stage, Summary
from proof.report import build
from rehearsal.engine import Engine, EngineError, Outcome
from rehearsal.leftovers import left_in_aws, orphaned_processes, running_instances
from rehearsal.stack import lab_with_stack
from rehearsal.watch import Watch

IDLE_S = 30.0
Say = Callable[[str], None]


class RehearsalError(Exception):
    """The rehearsal can't go on; the message says which command failed and what it said."""


@dataclass
class Rehearsal:
    """One rehearsal of stages 0 to `last` in the lab of `LAB_DIR`."""

    last: int
    say: Say
    idle_s: float = IDLE_S
    stages: list[Stage] = field(default_factory=list[Stage])
    errors: list[str] = field(default_factory=list)
    leftovers: list[str] | None = None
    program: Path = REPOSITORY
    """Where the Pulumi program lies; a sabotage runs a broken copy."""

    def __post_init__(self) -> None:
        self.directory = make_folders()
        self.reports = self.directory / "report"
        self.environment = child_environment()
        os.environ.update(self.environment)
        self.settings = LabSettings.load(self.directory)
        self.addresses = from_environment()
        self.began = time.monotonic()

    # The parts a sabotage reuses

    def fresh_lab(self) -> None:
        """End what runs, forget its world, bring up a new one."""
        if up.down(self._detail, purge=True) or lab_with_stack(self._detail, self.program):
            raise RehearsalError("the lab did not come up: see above")
        self.reports.mkdir(parents=True, exist_ok=True)

    def watch(self, name: str) -> Watch:
        """A started proof with a folder of its own under the report's."""
        out = self.reports / f"{name}-{time.strftime('%Y%m%dT%H%M%S')}"
        watch = Watch(self.directory, out, self.addresses, self.settings)
        watch.start(self.environment)
        return watch

    def _detail(self, text: str) -> None:
        self.say(f"   {text}")

    # The whole way

    def go(self) -> Report:
        """Rehearse and return the report; it is written whatever happens, and says what did."""
        self.fresh_lab()
        self.engine = Engine(self.program, self.environment, self.directory / "log" / "engine", self._detail)
        watch = self.watch("proof")
        try:
            self.rest(watch)
            for number in range(self.last + 1):
                self.stage(number, watch)
            self.leftovers = self.look_for_leftovers()
        except EngineError as error:
            self.errors.append(str(error))
            self.say(f"failed: {error}")
        except KeyboardInterrupt:
            self.errors.append("interrupted by the operator")
            self.say("interrupted: writing what was seen so far; `make lab-down` ends the lab")
        report = self.report(watch.stop())
        (self.reports / "rehearsal.json").write_text(report.model_dump_json(indent=1) + "\n")
        write_html(report, watch.out, self.reports / "rehearsal.html")
        return report

    def rest(self, watch: Watch) -> None:
        """Probing before anything happens: it must itself be clean."""
        self.say(f"at rest for {self.idle_s:.0f} s: what the probes see before anything is touched")
        watch.mark("idle begin")
        time.sleep(self.idle_s)
        watch.mark("idle end")
        self._detail(f"failed probes: {watch.failed()}")

    def stage(self, number: int, watch: Watch) -> None:
        """Rename, preview, up, up again; gates and counts from what the engine says."""
        stage, stack = STAGES[number], f"stage-{number}"
        began = time.monotonic()
        self.say(f"stage {number}  {stage.name}")
        if number:
            self.engine.plain("stack", "rename", stack, "-s", f"stage-{number - 1}")
        watch.mark(f"stage {number} begin")
        self.stages.append(Stage(stage=number, name=stage.name))
        preview = self.engine.run("preview", stack, "--diff")
        self._keep(number, preview)
        self._detail(f"preview: {_counts(preview)} ({preview.seconds:.0f} s)")
        if stage.finished:
            watch.leave_old_side()
        done = self.engine.run("up", stack)
        self._know(changes=done.changes)
        self._detail(f"up: {_counts(done)} ({done.seconds:.0f} s)")
        if stage.network.on_new and STAGES[number - 1].starting:
            watch.see_new_side()
        gates = _gates(self.engine.resources(stack))
        self._know(gates=gates)
        for gate in gates:
            self._detail(f"gate {gate.position}: {gate.check}: {gate.detail}")
        again = self.engine.run("up", stack)
        self._know(second_up_changes=again.changed)
        self._detail(f"second up: {_counts(again)}")
        watch.mark(f"stage {number} end")
        seconds, failed = round(time.monotonic() - began, 1), watch.failed()
        self._know(seconds=seconds, failed_probes_so_far=failed)
        self._detail(f"{seconds:.0f} s; failed probes so far: {failed}")

    def _know(self, **known: Any) -> None:
        """More of the stage under way: the report has what was known, also when the stage fails."""
        self.stages[-1] = self.stages[-1].but(**known)

    def _keep(self, number: int, preview: Outcome) -> None:
        """The stage's preview as an operator sees it, and what `python -m migration plan` says beside it."""
        folder = self.reports / "previews"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(preview.log, folder / f"stage-{number}.txt")
        file = Path("stacks", f"Pulumi.stage-{number}.yaml")
        plan = subprocess.run(
            [sys.executable, "-m", "migration", "plan", "--file", str(file)],
            cwd=self.program,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        (folder / f"plan-{number}.txt").write_text(plan.stdout or plan.stderr)
        if plan.returncode:
            self.errors.append(f"python -m migration plan failed at stage {number}: {plan.stderr.strip()}")

    def look_for_leftovers(self) -> list[str]:
        """Orphaned processes always; objects of the old side once the clean-up was rehearsed."""
        found = orphaned_processes(self.directory, running_instances(REGION))
        if self.last == LAST:
            stack = self.program / "stacks" / f"Pulumi.stage-{self.last}.yaml"
            config = yaml.safe_load(stack.read_text())["config"]
            found += left_in_aws({key.removeprefix("migration:"): value for key, value in config.items()}, REGION)
        for item in found:
            self._detail(f"left over: {item}")
        return found

    def report(self, summary: Summary) -> Report:
        """What the proof, the engine and this rehearsal know; everything was due."""
        parts = Parts(
            profile=self.settings.profile,
            versions=self._versions(),
            seconds=time.monotonic() - self.began,
            stages=tuple(self.stages),
            drain=self._drain(),
            leftovers=None if self.leftovers is None else tuple(self.leftovers),
            errors=tuple(self.errors),
        )
        return build(summary, parts)

    def _versions(self) -> dict[str, str]:
        return {tool.name: tool.version for tool in toolchain.TOOLS} | {
            "plugins": os.environ.get("LAB_PLUGINS", "own"),
            "python": sys.version.split()[0],
        }

    def _drain(self) -> Drain:
        """Both tiers' drains, added up, as their resources' outputs have them."""
        if len(self.stages) <= emptied().number or self.errors:
            return Drain()
        return _added_up(
            DrainResult.model_validate(resource["outputs"]["result"])
            for resource in self.engine.resources(f"stage-{self.last}")
            if resource["type"].endswith(":Drain")
        )


def _added_up(results: Iterable[DrainResult]) -> Drain:
    """The tiers run one after the other, over the same nodes: times add up, and so do their lower bounds."""
    total = Drain()
    for one in results:
        bound = total.lower_bound_s
        total = Drain(
            nodes=max(total.nodes, one.nodes),
            pods=total.pods + one.pods,
            evictions=total.evictions + one.evictions,
            rejected_429=total.rejected_429 + one.rejected429,
            seconds=round(total.seconds + one.seconds, 1),
            lower_bound_s=bound if one.bound_seconds is None else round((bound or 0.0) + one.bound_seconds, 1),
            terms="; ".join(text for text in (total.terms, one.bound) if text),
        )
    return total


def _counts(outcome: Outcome) -> str:
    told = [f"{count} {kind}" for kind, count in outcome.changes.items() if count]
    return ", ".join(told) or "nothing"


def _gates(resources: list[dict[str, Any]]) -> tuple[Gate, ...]:
    results = [
        resource.get("outputs", {}).get("result") for resource in resources if resource["type"].endswith(":Gate")
    ]
    gates = [GateResult.model_validate(result) for result in results if result]
    return tuple(
        Gate(position=gate.position, check=one.check, ok=one.ok, detail=one.detail)
        for gate in gates
        for one in gate.results
    )


def parse_stages(text: str) -> int:
    """`0..5` → 5; empty → the last stage. Raises `ValueError` with a sentence for anything else."""
    if not text:
        return LAST
    first, separator, last = text.partition("..")
    if separator and first == "0" and last.isdigit() and int(last) <= LAST:
        return int(last)
    raise ValueError(f"STAGES={text!r}: must be 0..n with n from 0 to {LAST}: a rehearsal begins at 0")

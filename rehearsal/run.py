"""`make rehearse`: a fresh lab, every stage with the real engine, a second `up` each, and one report."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lab.addresses import REGION
from lab.timings import QUICK
from migration.contracts.durations import Prediction
from migration.contracts.plan import Plan
from migration.contracts.workers import DrainResult
from migration.plan import lines
from migration.plan.text import span
from migration.stages import LAST, emptied
from proof.html import write_html
from proof.model import Drain, Parts, Report, Stage, Summary
from proof.report import build
from rehearsal.driver import FAILURES, Driver
from rehearsal.engine import Outcome
from rehearsal.held_up import held_up
from rehearsal.leftovers import left_in_aws, orphaned_processes, running_instances
from rehearsal.stack import FIRST
from rehearsal.timings import foretold, kept, of_lab
from rehearsal.watch import Watch

IDLE_S = 30.0


@dataclass(kw_only=True)
class Rehearsal(Driver):
    """One rehearsal of stages 0 to `last` in the lab of `LAB_DIR`, with a report called `title`.

    Unless it is `whole`, there are no previews, and a second `up` only at the end.
    """

    last: int
    title: str = "rehearsal"
    whole: bool = True
    idle_s: float = IDLE_S
    leftovers: list[str] | None = None
    drained: Drain = field(default_factory=Drain)

    def go(self) -> Report:
        """Rehearse and return the report; it is written whatever happens, and says what did."""
        self.fresh_lab()
        if self.settings.timing != QUICK:
            ahead = foretold(self.program / "stacks" / f"Pulumi.{FIRST}.yaml", self.last, self.settings)
            self.say(
                f"timing {self.settings.timing}: stages 0 to {self.last} take {span(ahead.low, ahead.high)} by the "
                f"lab's times, and previews, second ups and the drain besides; Ctrl-C ends it with a report"
            )
        return self.through()

    def through(self) -> Report:
        """The same on a lab that is there."""
        watch = self.watch("proof" if self.title == "rehearsal" else self.title)
        try:
            self.rest(watch, self.idle_s)
            for number in range(self.last + 1):
                self.move(number, watch, preview=self.whole, again=self.whole or number == self.last)
                if number == emptied().number:
                    self.drained = self._drain(number)
            self.leftovers = self.look_for_leftovers()
            self.then(watch)
        except FAILURES as error:
            self.errors.append(str(error))
            self.say(f"failed: {error}")
        except KeyboardInterrupt:
            self.errors.append("interrupted by the operator")
            self.say("interrupted: writing what was seen so far; `make lab-down` ends the lab")
        report = self.report(watch.stop())
        (self.reports / f"{self.title}.json").write_text(report.model_dump_json(indent=1) + "\n")
        write_html(report, watch.out, self.reports / f"{self.title}.html")
        return report

    def then(self, watch: Watch) -> None:
        """What follows the last stage while the proof still runs: nothing."""

    def keep(self, stage: Stage, preview: Outcome) -> None:
        """Also what `python -m migration plan` says beside it, and how long it says that the `up` takes."""
        super().keep(stage, preview)
        file = Path("stacks", f"Pulumi.stage-{stage.stage}.yaml")
        timings = self.previews / "timings.json"
        timings.write_text(of_lab(self.settings).model_dump_json(indent=1, by_alias=True) + "\n")
        plan = subprocess.run(
            [
                *(sys.executable, "-m", "migration", "plan", "--file", str(file)),
                *("--timings", str(timings.resolve()), "--json"),
            ],
            cwd=self.program,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        text = self.previews / f"plan-{stage.stage}.txt"
        if plan.returncode:
            text.write_text(plan.stderr)
            self.errors.append(f"python -m migration plan failed at stage {stage.stage}: {plan.stderr.strip()}")
            return
        told = Plan.model_validate_json(plan.stdout)
        text.write_text("\n".join(lines(told)) + "\n")
        self.know(predicted_s=kept(told.takes))
        if isinstance(told.takes, Prediction):
            self.detail(f"said to take {span(told.takes.low, told.takes.high)}")

    def look_for_leftovers(self) -> list[str]:
        """Orphaned processes always; objects of the old side once the clean-up was rehearsed."""
        found = orphaned_processes(self.directory, running_instances(REGION))
        if self.last == LAST:
            found += left_in_aws(self.configuration(self.last), REGION)
        for item in found:
            self.detail(f"left over: {item}")
        return found

    def report(self, summary: Summary) -> Report:
        """What the proof, the engine and this rehearsal know; everything was due."""
        parts = Parts(
            profile=self.settings.profile,
            versions=self.versions(),
            seconds=time.monotonic() - self.began,
            stages=tuple(self.stages),
            drain=Drain() if self.errors else self.drained,
            leftovers=None if self.leftovers is None else tuple(self.leftovers),
            errors=(*self.errors, *held_up(self.addresses.network_url, summary)),
        )
        return build(summary, parts)

    def _drain(self, stage: int) -> Drain:
        """Both tiers' drains, added up, as their resources' outputs have them; once it is over they leave the stack."""
        return _added_up(
            DrainResult.model_validate(resource["outputs"]["result"])
            for resource in self.engine.resources(f"stage-{stage}")
            if resource["type"].endswith(":Drain")
        )


def _added_up(results: Iterable[DrainResult]) -> Drain:
    """The tiers run one after the other, over the same nodes: times add up, and so do their lower bounds."""
    total = Drain()
    for one in results:
        known = one.bound_seconds if one.learnt_bound_seconds is None else one.learnt_bound_seconds
        bound = total.lower_bound_s
        total = Drain(
            nodes=max(total.nodes, one.nodes),
            pods=total.pods + one.pods,
            evictions=total.evictions + one.evictions,
            rejected_429=total.rejected_429 + one.rejected429,
            seconds=round(total.seconds + one.seconds, 1),
            lower_bound_s=bound if known is None else round((bound or 0.0) + known, 1),
            terms="; ".join(text for text in (total.terms, one.bound) if text),
        )
    return total


def parse_stages(text: str) -> int:
    """`0..5` → 5; empty → the last stage. Raises `ValueError` with a sentence for anything else."""
    if not text:
        return LAST
    first, separator, last = text.partition("..")
    if separator and first == "0" and last.isdigit() and int(last) <= LAST:
        return int(last)
    raise ValueError(f"STAGES={text!r}: must be 0..n with n from 0 to {LAST}: a rehearsal begins at 0")

"""A cluster of a given form on the lab: its size, its control plane's layout, its account's shape, how data moves."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lab import up
from lab.controllers import STAND_IN
from lab.environment import child_environment
from lab.profiles import SMALL
from lab.settings import LabSettings
from lab.shapes import PET
from lab.timings import QUICK
from migration.settings.model import Strategy
from migration.stages import LAST, STAGES
from migration.stages import Stage as StageRow
from rehearsal import controllers, cures
from rehearsal.driver import Driver, RehearsalError
from rehearsal.engine import EngineError, Outcome
from rehearsal.run import Rehearsal
from rehearsal.stack import FIRST, by_hand, configure, discover
from rehearsal.watch import Watch


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form of the first cluster's control plane and of its account, how big it is, and how its members' data moves.

    `seed` chooses what of `shape` its account has (`lab/shapes.py`); ``pet`` has no variations. `controllers` are the
    lab's stand-ins, or those that users run (`lab/controllers.py`). `timing`: how long its AWS takes
    (`lab/timings.py`). `pods` are the teams', None: as many as `profile` has where nothing is said
    (`lab/profiles.py`).
    """

    layout: str = "cloud-config"
    etcd: Strategy = "learner"
    shape: str = PET
    seed: int = 0
    controllers: str = STAND_IN
    timing: str = QUICK
    profile: str = SMALL
    pods: int | None = None

    def __str__(self) -> str:
        account = "" if self.shape == PET else f", {self.shape} {self.seed}"
        own = "" if self.controllers == STAND_IN else f", {self.controllers} controllers"
        times = "" if self.timing == QUICK else f", {self.timing} timing"
        size = "" if self.profile == SMALL else f", {self.profile}" + (f" with {self.pods} pods" if self.pods else "")
        return f"{self.layout}, etcd by {self.etcd}{account}{own}{size}{times}"

    @property
    def report(self) -> str:
        """What one rehearsal's report is called: a large one doesn't take a small one's place."""
        return "rehearsal" if self.profile == SMALL else f"rehearsal-{self.profile}"

    @property
    def title(self) -> str:
        """Of its report's files."""
        account = "" if self.shape == PET else f"-{self.shape}-{self.seed}"
        return f"layout-{self.layout}-{self.etcd}{account}"


RESUMED_S = 60.0
"""Several rounds of external-dns's, and of its records' TTLs."""
PLAIN = Form()
"""What is rehearsed where nothing is said."""


@dataclass(kw_only=True)
class OnForm(Driver):
    """A driver whose lab's first cluster has this form, and who does what its account asks for."""

    form: Form = PLAIN
    refused: tuple[str, ...] = ()
    """What stage 0 refused, and was put right."""

    def fresh_lab(self) -> None:
        """A lab of this form, and its stack with this strategy."""
        # One that is there keeps its form: another can only be asked for once it has gone.
        if up.down(self.detail, purge=True):
            raise RehearsalError("the lab that was there did not end: see above")
        form = self.form
        os.environ |= {
            "LAB_PROFILE": form.profile,
            "LAB_PODS": "" if form.pods is None else str(form.pods),
            "LAB_LAYOUT": form.layout,
            "LAB_SHAPE": form.shape,
            "LAB_SEED": str(form.seed),
            "LAB_CONTROLLERS": form.controllers,
            "LAB_TIMING": form.timing,
        }
        self.environment = child_environment()
        self.settings = LabSettings.load(self.directory)
        self.discovery = ("--etcd-strategy", self.form.etcd)
        super().fresh_lab()

    def move(self, target: int, watch: Watch, *, preview: bool = True, again: bool = True) -> None:
        """The same, after others have done their part: while it has machines, the new VPC is on the backbone."""
        there = STAGES[target].workers.on_new
        if there and not STAGES[self.stands_at].workers.on_new and cures.join_backbone(self.addresses):
            self.detail("another team has attached the new VPC to the transit gateway")
        if not there and cures.leave_backbone(self.addresses):
            self.detail("another team has taken the new VPC off the transit gateway")
        if STAGES[target].finished and self.form.shape != PET:
            for service in cures.tell_external_dns():
                self.detail(f"Service {service} tells external-dns where its name leads now")
        super().move(target, watch, preview=preview, again=again)

    def comes_to_new_side(self, before: StageRow, row: StageRow) -> bool:
        """Balancers that keep their clients' addresses let the new VPC's in by the rules that the stage after makes."""
        if self.form.shape == PET:
            return super().comes_to_new_side(before, row)
        return row.shared.on_new and not before.shared.on_new

    def bring_up(self, stack: str) -> Outcome:
        """The same; what stage 0 refuses of an account with oddities is put right as it says, once."""
        try:
            return super().bring_up(stack)
        except EngineError as refusal:
            cured = cures.cure(str(refusal), self.addresses) if stack == FIRST and self.form.shape != PET else None
            if not cured or not cured.sentences:
                raise
        self.refused = cured.sentences
        for sentence in cured.sentences:
            self.detail(f"put right as told: {sentence}")
        told = (*self.discovery, "--overwrite")
        discover(self.program, self.environment, self.addresses, self.settings, self.detail, told)
        configure(self.program, self.environment, {**by_hand(self.settings), **cured.keys})
        return super().bring_up(stack)


@dataclass(kw_only=True)
class FormRehearsal(OnForm, Rehearsal):
    """A rehearsal on a lab whose first cluster has this form."""

    spans: list[tuple[datetime, datetime]] = field(default_factory=list[tuple[datetime, datetime]])
    """Beginning and end of each stage."""

    def move(self, target: int, watch: Watch, *, preview: bool = True, again: bool = True) -> None:
        """The same, and when it was."""
        began = datetime.now(UTC)
        super().move(target, watch, preview=preview, again=again)
        self.spans.append((began, datetime.now(UTC)))

    def then(self, watch: Watch) -> None:
        """Where the controllers that users run are real ones: they go on after the last stage, and are asked."""
        if not self.settings.real_controllers:
            return
        if self.last == LAST and cures.resume_external_dns():
            self.say(f"external-dns is resumed, and has {RESUMED_S:.0f} s to change what it shouldn't")
            resumed = datetime.now(UTC)
            watch.mark("external-dns begin")
            time.sleep(RESUMED_S)
            watch.mark("external-dns end")
            self.errors += controllers.silent_since(self.directory, resumed)
        self.errors += controllers.outlasted(self.directory, self.spans)

"""One lab, its stack and the proof that watches it, driven from stage to stage as an operator would, either way."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError

from lab import toolchain, up
from lab.addresses import from_environment
from lab.environment import REPOSITORY, child_environment, make_folders
from lab.kubernetes.access import ApiError
from lab.settings import LabSettings
from migration.clients.kubernetes import ApiFailure
from migration.contracts.gates import GateResult
from migration.contracts.packed import unpack
from migration.runtime.deadline import Permanent, Retryable
from migration.stages import STAGES
from migration.stages import Stage as StageRow
from proof.model import Gate, Stage
from rehearsal.engine import Engine, EngineError, Outcome
from rehearsal.machine import Machine
from rehearsal.rights import as_operator
from rehearsal.rows import commit_of
from rehearsal.stack import StackError, lab_with_stack, standing_at
from rehearsal.watch import Road, Watch, WatchError

Say = Callable[[str], None]


class RehearsalError(Exception):
    """The rehearsal can't go on; the message says which command failed and what it said."""


# What a part that fails says of itself. Anything else is a bug, and a traceback.
FAILURES = (
    RehearsalError,
    EngineError,
    StackError,
    WatchError,
    Permanent,
    Retryable,
    ApiFailure,
    ApiError,
    BotoCoreError,
    ClientError,
)


@dataclass(kw_only=True)
class Driver:
    """The lab of `LAB_DIR` with the repository's program, or with a copy of it."""

    say: Say
    program: Path = REPOSITORY
    """Where the Pulumi program lies; a sabotage runs a broken copy."""
    stages: list[Stage] = field(default_factory=list[Stage])
    errors: list[str] = field(default_factory=list[str])
    stands_at: int = 0
    """The stage in the stack's name; discovery makes it for 0."""
    discovery: tuple[str, ...] = ()
    """Options of discovery's, for a new lab's stack."""
    road: Road = field(default_factory=Road)

    def __post_init__(self) -> None:
        self.directory = make_folders()
        self.reports = self.directory / "report"
        self.environment = child_environment()
        os.environ.update(self.environment)
        self.settings = LabSettings.load(self.directory)
        self.addresses = from_environment()
        self.began = time.monotonic()
        # Before a lab computes beside it.
        self.machine = Machine.here()

    @property
    def previews(self) -> Path:
        """Where previews are kept, one a stage."""
        return self.reports / "previews"

    def fresh_lab(self) -> None:
        """End what runs, forget its world, bring up a new one. Raises `RehearsalError` or `StackError`."""
        if up.down(self.detail, purge=True) or lab_with_stack(self.detail, self.program, self.discovery):
            raise RehearsalError("the lab did not come up: see above")
        self.same_lab()

    def lab_at(self, stage: int) -> bool:
        """Go on with the lab that runs, if its stack stands at `stage`; False where it doesn't. Raises `StackError`."""
        if standing_at(self.program) != stage:
            return False
        self.say(f"going on with the lab in {self.directory}, which stands at stage {stage}")
        self.same_lab()
        return True

    def same_lab(self) -> None:
        """Go on with the lab that runs, and its stack."""
        self.reports.mkdir(parents=True, exist_ok=True)
        operator = as_operator(self.environment, self.settings)
        self.engine = Engine(self.program, operator, self.directory / "log" / "engine", self.detail)

    def watch(self, name: str) -> Watch:
        """A started proof with a folder of its own under the report's."""
        out = self.reports / f"{name}-{time.strftime('%Y%m%dT%H%M%S')}"
        watch = Watch(self.directory, out, self.addresses, self.settings, self.road)
        watch.start(self.environment)
        return watch

    def detail(self, text: str) -> None:
        """A line that belongs to the one before."""
        self.say(f"   {text}")

    def rest(self, watch: Watch, seconds: float) -> None:
        """Probing before anything happens: it must itself be clean."""
        self.say(f"at rest for {seconds:.0f} s: what the probes see before anything is touched")
        watch.mark("idle begin")
        time.sleep(seconds)
        watch.mark("idle end")
        self.detail(f"failed probes: {watch.failed()}")

    def move(self, target: int, watch: Watch, *, preview: bool = True, again: bool = True) -> None:
        """The stack's next stage, up or down: rename, preview, up, up again, with what the engine says of it.

        Without `again` no second `up` is made, nor due.
        """
        came = self.stands_at
        row, before = STAGES[target], STAGES[came]
        direction = "back" if target < came else "forward"
        stage = Stage(stage=target, name=row.name, direction=direction, second_up_due=again)
        stack, began = f"stage-{target}", time.monotonic()
        self.say(f"{stage.label}  {row.name}")
        if target != came:
            self.engine.plain("stack", "rename", stack, "-s", f"stage-{came}")
            self.stands_at = target
        watch.mark(f"{stage.label} begin")
        self.stages.append(stage)
        if preview:
            seen = self.engine.run("preview", stack, "--diff")
            self.keep(stage, seen)
            self.detail(f"preview: {_counts(seen)} ({seen.seconds:.0f} s)")
        # What the stage takes away, nobody may still ask from.
        if row.finished:
            watch.leave("old")
        if self.comes_to_new_side(row, before):
            watch.leave("new")
        done = self.bring_up(stack)
        self.know(changes=done.changes, up_s=done.seconds)
        self.detail(f"up: {_counts(done)} ({done.seconds:.0f} s)")
        if self.comes_to_new_side(before, row):
            watch.see_new_side()
        gates = gates_of(self.engine.resources(stack), target)
        self.know(gates=gates)
        for gate in gates:
            self.detail(f"gate {gate.position}: {gate.check}: {gate.detail}")
        if again:
            second = self.engine.run("up", stack)
            self.know(second_up_changes=second.changed)
            self.detail(f"second up: {_counts(second)}")
        watch.mark(f"{stage.label} end")
        seconds, failed = round(time.monotonic() - began, 1), watch.failed()
        self.know(seconds=seconds, failed_probes_so_far=failed)
        self.detail(f"{seconds:.0f} s; failed probes so far: {failed}")

    def comes_to_new_side(self, before: StageRow, row: StageRow) -> bool:
        """Whether what is asked is asked from the new VPC, too, once `row` is reached: from when there is a way.

        The other way round, whether it may be asked from there no more.
        """
        return row.network.on_new and not before.network.on_new

    def bring_up(self, stack: str) -> Outcome:
        """The stage's `up`. Raises `EngineError`."""
        return self.engine.run("up", stack)

    def know(self, **known: Any) -> None:
        """More of the stage under way: the report has what was known, also when the stage fails."""
        self.stages[-1] = self.stages[-1].but(**known)

    def keep(self, stage: Stage, preview: Outcome) -> None:
        """The stage's preview as an operator sees it."""
        self.previews.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(preview.log, self.previews / f"{stage.label.replace(', ', '-').replace(' ', '-')}.txt")

    def configuration(self, stage: int) -> dict[str, Any]:
        """The stack file's `migration:` keys without their prefix, as discovery wrote them."""
        text = (self.program / "stacks" / f"Pulumi.stage-{stage}.yaml").read_text()
        return {key.removeprefix("migration:"): value for key, value in yaml.safe_load(text)["config"].items()}

    def versions(self) -> dict[str, str]:
        """What ran."""
        return {tool.name: tool.version for tool in toolchain.TOOLS} | {
            "plugins": os.environ.get("LAB_PLUGINS", "own"),
            "python": sys.version.split()[0],
            "machine": str(self.machine),
            "commit": commit_of(REPOSITORY),
        }


def _counts(outcome: Outcome) -> str:
    told = [f"{count} {kind}" for kind, count in outcome.changes.items() if count]
    return ", ".join(told) or "nothing"


def gates_of(resources: list[dict[str, Any]], stage: int) -> tuple[Gate, ...]:
    """What the gates in a stack's state say; one that was asked at another stage says nothing of this one."""
    results = [
        unpack(resource.get("outputs", {}).get("result"))
        for resource in resources
        if resource["type"].endswith(":Gate")
    ]
    gates = [GateResult.model_validate(result) for result in results if result]
    return tuple(
        Gate(position=gate.position, check=one.check, ok=one.ok, detail=one.detail)
        if gate.stage == stage
        else Gate(position=gate.position, check=one.check, ok=False, detail=f"it was last asked at stage {gate.stage}")
        for gate in gates
        for one in gate.results
    )

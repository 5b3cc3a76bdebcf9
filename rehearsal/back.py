"""`make back`: forward to a stage, back to 0, and the world as it was; for each of some stages, on a fresh lab each.

Before it turns round things happen that a cluster doesn't keep from for a migration's sake (`rehearsal/incidents.py`).
The proof runs throughout. At 0 the world is compared with a recording made before stage 1 (`rehearsal/world.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import interrupt, up
from lab.addresses import REGION
from lab.environment import REPOSITORY, make_folders
from lab.shapes import PET
from migration.clients.kubernetes import Kubernetes
from migration.drain.restart import MOVED
from migration.etcd.returning import MEMBER_TAG, RETURN_TAG
from migration.names import fixed_parameter, record_parameter
from migration.stages import STAGES, emptied
from migration.stages.table import harmless, last_before_traffic, swapped
from proof.model import Report
from rehearsal.driver import RehearsalError, Say
from rehearsal.forms import PLAIN, Form, OnForm
from rehearsal.incidents import RESTARTED_AT, Incidents, Team
from rehearsal.leftovers import orphaned_processes, running_instances
from rehearsal.proven import Proven
from rehearsal.recording import world_now
from rehearsal.rows import commit_of, conclude, read_rows, write_rows
from rehearsal.turn_rows import TurnAt, TurnRow, difference_rows, figures, replaced, stage_row, still_good, verdict
from rehearsal.watch import Watch
from rehearsal.world import CHOSEN, TYPE_LABEL, Comparison, Meant, World, blanks, compare, differences

TURNS: tuple[TurnAt, ...] = (*range(harmless().number + 1, emptied().number + 1), swapped().number + 0.1)
"""Those of a whole run: stages at which the new side carries something, and one member of the control plane moved."""
POSSIBLE: tuple[TurnAt, ...] = (*TURNS, swapped().number)
FILE, SHORT_FILE = "back.json", "back-short.json"
IDLE_S, SHORT_IDLE_S = 15.0, 6.0
SETTLE_S = 60.0
"""How long the world may take to come to rest after an `up`: targets become healthy, and counts follow."""
POLL_S = 2.0
TURNING = "turning round"
"""The window in which the incidents happen."""


def parse_turns(text: str) -> tuple[TurnAt, ...]:
    """`3,7.1` → (3, 7.1); empty → a whole run. Raises `ValueError` with a sentence for anything else."""
    if not text:
        return TURNS
    words = text.split(",")
    known = {str(turn): turn for turn in POSSIBLE}
    turns = tuple(dict.fromkeys(known[word.strip()] for word in words if word.strip() in known))
    if len(turns) != len(words):
        raise ValueError(f"TURNS={text!r}: must be stages with commas between, each once, of {', '.join(known)}")
    return turns


def run(say: Say, turns: Sequence[TurnAt], form: Form = PLAIN, *, again: bool = False, short: bool = False) -> int:
    """Each turn that isn't ok yet, one after the other; 0 only if all of `turns` are. Ctrl-C ends lab and turn."""
    commit = commit_of(REPOSITORY)
    path = make_folders() / "report" / (SHORT_FILE if short else FILE)
    rows, ran = read_rows(path, TurnRow, say), False
    try:
        for turn in turns:
            interrupt.check()
            if not again and still_good(rows, turn, commit, str(form)):
                say(f"turn at {turn}: ok already with this program; --again runs it again")
                continue
            ran = True
            row = Turn(turn=turn, say=say, form=form, short=short).go(commit)
            rows = replaced(rows, row)
            write_rows(path, rows)
            _tell(say, row)
    except KeyboardInterrupt:
        say("interrupted: ending the lab; the turns that were finished are kept, and `make back` goes on after them")
        if ran:
            up.down(say)
        raise
    wrong = verdict(rows, turns, commit, str(form))
    say("")
    return conclude(say, wrong, path, ran=ran)


def _tell(say: Say, row: TurnRow) -> None:
    said = "ok" if row.ok else "NOT OK"
    say(f"turn at {row.turn}: {said} after {row.seconds:.0f} s")
    for reason in row.reasons:
        say(f"   not ok: {reason}")


@dataclass(kw_only=True)
class Turn(OnForm, Proven):
    """One turn, on a lab of its own.

    `short`: neither previews nor second `up`s, little rest before it, and, where stage 0 has nothing to refuse, all
    stages that move neither traffic nor data in the first `up`, which a cluster without a record may.
    """

    turn: TurnAt
    short: bool = False
    incidents: Incidents | None = None
    before: World | None = None
    comparison: Comparison | None = None

    @property
    def previews(self) -> Path:
        """Apart from the rehearsal's."""
        return self.reports / f"back-{self.turn}"

    @property
    def recorded_at_0(self) -> bool:
        """Whether the recording is made after stage 0: always where that may refuse, and have things put right."""
        return not self.short or self.form.shape != PET

    @property
    def stage(self) -> int:
        """The stage to turn round at."""
        return int(self.turn)

    @property
    def moved(self) -> int | None:
        """How many members are moved there; None for all."""
        return round((self.turn - self.stage) * 10) or None

    def go(self, commit: str) -> TurnRow:
        """Do it; the row says what happened, whatever it was. Only Ctrl-C ends it without one."""
        self.say(f"turn at {self.turn}: forward to {STAGES[self.stage].name}, then back")
        began = time.time()
        report = self.prove(f"back-{self.turn}", self.fresh_lab, self._there_and_back, self._look, self._wrong)
        return row_of(self, report, commit, began, self.page)

    def _there_and_back(self, watch: Watch) -> None:
        self.rest(watch, SHORT_IDLE_S if self.short else IDLE_S)
        if self.recorded_at_0:
            self.move(0, watch, preview=False, again=False)
        self.before = at_rest(self.directory / "kubeconfig")
        if self.moved is not None:
            self.engine.plain("config", "set", "migration:controlPlaneMoved", str(self.moved), "-s", "stage-0")
        for number in range(1 if self.recorded_at_0 else last_before_traffic().number, self.stage + 1):
            self.move(number, watch, preview=False, again=False)
        self._incidents(watch)
        for number in reversed(range(self.stage)):
            self.move(number, watch, preview=not self.short, again=not self.short)

    def _incidents(self, watch: Watch) -> None:
        self.say(f"before it turns round at stage {self.turn}")
        watch.mark(f"{TURNING} begin")
        configuration = self.configuration(self.stage)
        team = Team(
            kubernetes=Kubernetes(kubeconfig=str(self.directory / "kubeconfig")),
            groups=groups_of(configuration),
            say=self.detail,
        )
        self.incidents = team.act(self.stage)
        status = watch.status()
        moved = (status.pods or {}).get(configuration["to"], 0) if status else 0
        if not moved:
            raise RehearsalError(
                "no pod is on the new side, so nothing would be moved back: the turn would show nothing"
            )
        self.detail(f"{moved} pods are on the new side; failed probes so far: {watch.failed()}")
        watch.mark(f"{TURNING} end")

    def _look(self) -> None:
        """The world at 0, given time to come to rest, against the recording."""
        assert self.before is not None and self.incidents is not None
        self.leftovers = orphaned_processes(self.directory, running_instances(REGION))
        configuration = self.configuration(0)
        meant = meant_of(self.stage, self.incidents, configuration, untouched=not self.recorded_at_0)
        moved = configuration["members"][: self.moved] if self.stage >= swapped().number else []
        before, members = self.before, {one["name"]: one["group"] for one in moved}
        meant += retyped_of(before)

        def look() -> Comparison:
            now = recorded(self.directory / "kubeconfig")
            return compare(before, now, [*meant, *returned_of(before, now, members)])

        self.comparison = given_time(look)
        self.detail(f"the world at 0: {len(self.comparison.allowed)} differences that are meant")
        for sentence in self.comparison.wrong:
            self.detail(f"differs: {sentence}")

    def _wrong(self) -> list[str]:
        if self.comparison is None:
            return ["The world at 0 was not compared with the recording."]
        return [f"The world at 0 isn't as it was. {sentence}." for sentence in self.comparison.wrong]


def recorded(kubeconfig: Path) -> World:
    """The world as it is now. Raises `RehearsalError` where a part of it shows nothing."""
    world = world_now(kubeconfig)
    empty = blanks(world)
    if empty:
        raise RehearsalError(f"the recording shows no {', no '.join(empty)}: a comparison would prove nothing of them")
    return world


def at_rest(kubeconfig: Path) -> World:
    """The world once two recordings in a row are alike: what is still on its way there would differ at the end.

    Raises `RehearsalError` where it doesn't come to rest, or shows nothing of something.
    """
    last, end = recorded(kubeconfig), time.monotonic() + SETTLE_S
    while True:
        time.sleep(POLL_S)
        now = recorded(kubeconfig)
        moving = differences(last, now)
        if not moving:
            return now
        if time.monotonic() > end:
            raise RehearsalError(f"the world isn't at rest after {SETTLE_S:.0f} s: {moving[0].text}")
        last = now


def given_time(look: Callable[[], Comparison]) -> Comparison:
    """What a comparison says once nothing is wrong, or the time to come to rest is over."""
    end = time.monotonic() + SETTLE_S
    while True:
        found = look()
        if not found.wrong or time.monotonic() > end:
            return found
        time.sleep(POLL_S)


def groups_of(configuration: dict[str, Any]) -> tuple[str, ...]:
    """The old side's worker groups."""
    return tuple(pool["group"] for pool in configuration["pools"])


OF_STAGE_0 = ("ConfigMap kube-system/vpc-migration", "ClusterRole vpc-migration-operator")
"""What stage 0 makes in the cluster."""


def meant_of(turn: int, incidents: Incidents, configuration: dict[str, Any], *, untouched: bool = False) -> list[Meant]:
    """What must differ at 0, or may, and why. `untouched`: the recording was made before stage 0. Pure."""
    return list(_meant(turn, incidents, configuration, untouched))


def _meant(turn: int, incidents: Incidents, configuration: dict[str, Any], untouched: bool) -> Iterator[Meant]:
    cluster = configuration["cluster"]
    for name in OF_STAGE_0 if untouched else ():
        yield Meant(path=("objects", name), reason="stage 0 makes it", after="present")
    for name in (record_parameter(cluster), fixed_parameter(cluster)):
        yield Meant(path=("parameters", name), reason="it says where the migration is, and was", due=False)
    for kind, names in (("Deployment", incidents.deployments), ("StatefulSet", (incidents.stateful_set,))):
        for name in names:
            path = ("workloads", f"{kind} {name}", "annotations", RESTARTED_AT)
            yield Meant(path=path, reason="it was restarted before the turn")
    for figure in ("replicas", "ready"):
        path = ("workloads", f"Deployment {incidents.scaled}", figure)
        yield Meant(path=path, reason="it was scaled up before the turn", after=incidents.replicas)
    for name in incidents.shut:
        path = ("workloads", f"Deployment {name}", "annotations", MOVED)
        yield Meant(path=path, reason="its budget allows no eviction, so drains restart it", due=False)
    if incidents.group:
        yield Meant(path=("instances", incidents.group), reason="a machine of it was lost before the turn")
    if turn >= emptied().number:
        for group in groups_of(configuration):
            yield Meant(path=("instances", group), reason="it was at zero, and got its size back")


def retyped_of(before: World) -> list[Meant]:
    """Which nodes may be of another type, and why: those that no type of their group's mixed policy is on. Pure.

    A policy may be put onto a group that runs; whoever is launched from then on is of its types.
    """
    return [
        Meant(
            path=("nodes", name, str(number), "labels", TYPE_LABEL),
            reason=f"it was launched before {name} had its policy; another machine of it is as that says",
            after=CHOSEN,
            due=False,
        )
        for name, members in before.nodes.items()
        if (group := before.groups.get(name)) and group.types
        for number, node in enumerate(members, 1)
        if node.labels.get(TYPE_LABEL) not in (None, CHOSEN)
    ]


def returned_of(before: World, now: World, members: Mapping[str, str]) -> list[Meant]:
    """What must differ of `members` (group by name) that went and came back, and why. Pure."""
    return list(_returned(before, now, members))


def _returned(before: World, now: World, members: Mapping[str, str]) -> Iterator[Meant]:
    for name, group in members.items():
        yield Meant(path=("instances", group), reason=f"{name} came back on another machine")
        yield Meant(path=("groups", group, "tags", RETURN_TAG), reason=f"it says that {name} came back, and by what")
        yield Meant(path=("groups", group, "template"), reason=f"{name} came back with a boot that joins")
        template = before.groups[group].template.split()[0]
        yield Meant(path=("templates", template, "latest"), reason=f"it has a version with which {name} came back")
        for id_, volume in now.volumes.items():
            if volume.tags.get(MEMBER_TAG) == name and RETURN_TAG in volume.tags and volume.attached:
                yield Meant(path=("volumes", id_), reason=f"{name} came back onto a blank volume")
        for id_, volume in before.volumes.items():
            if volume.attached and name in volume.tags.values():
                path = ("volumes", id_, "attached")
                yield Meant(path=path, reason=f"it holds what {name} had before it went; it stays until the clean-up")


def row_of(turn: Turn, report: Report, commit: str, began: float, page: str) -> TurnRow:
    """What a turn adds up to."""
    probes, writes, evictions = figures(report)
    return TurnRow(
        turn=turn.turn,
        form=str(turn.form),
        refused=turn.refused,
        ok=report.ok,
        commit=commit,
        reasons=report.reasons,
        doubts=report.doubts,
        begin=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        seconds=report.seconds,
        stages=tuple(stage_row(stage) for stage in report.stages),
        incidents=turn.incidents.told if turn.incidents else (),
        probes=probes,
        writes=writes,
        evictions=evictions,
        differences=None if turn.comparison is None else tuple(difference_rows(turn.comparison)),
        report=page,
    )

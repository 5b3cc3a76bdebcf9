"""What a run of the proof leaves behind, and the report made of it: frozen models, the same in memory and on disk.

The keys are relied on from outside (`summary.json`, `rehearsal.json`): they may grow, not change. Defaults are those
of something that was never measured, which the verdict takes for a breach wherever it was due.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import Field

from proof.config import KINDS, MAX_GAP_S, Kind, Model, Side, WriterConfig, listener_kind, listener_of

IDLE = "idle"
"""Label of the window in which nothing is changed: what the probes see of the cluster at rest."""
BETWEEN = "between stages"
BACK = ", back"
"""What tells a stage's window on the way back from the same stage's on the way forward."""
EXIT_DOUBTED = 3


def clock(t: float) -> str:
    """Epoch seconds as UTC text."""
    return datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-4] + "Z"


class Window(Model):
    """A named stretch of time, epoch seconds. `end` is None while it is open."""

    label: str
    begin: float
    end: float | None

    def holds(self, t: float) -> bool:
        return self.begin <= t and (self.end is None or t < self.end)


def label_at(all_windows: Sequence[Window], t: float) -> str | None:
    """The innermost (latest begun) window that holds `t`, or None between windows."""
    holding = [window for window in all_windows if window.holds(t)]
    return holding[-1].label if holding else None


# What a run writes while it goes, and reads again at its end


class CellSecond(Model):
    """One second of one cell: counts, latencies in milliseconds, answers by address."""

    due: int
    sent: int
    failed: int = 0
    reopened: int = 0
    late_ms: float = 0.0
    ms: tuple[float, ...] = ()
    peers: dict[str, int] = Field(default_factory=dict[str, int])


class GroupUse(Model):
    """One group of processes: percent of one core, resident memory in MB."""

    cpu: float = 0.0
    rss_mb: float = 0.0


class CpuSecond(Model):
    """How busy the machine was (percent of all its cores), and by whom."""

    machine: float
    groups: dict[str, GroupUse]


class WritesNow(Model):
    """Acknowledged so far, and the time since the last one (seconds)."""

    acknowledged: int
    gap_s: float


class Second(Model):
    """A line of `seconds.jsonl`. `pods`: those that can be moved, by the side their node is on."""

    t: float
    cells: dict[str, CellSecond]
    writes: WritesNow | None = None
    cpu: CpuSecond | None = None
    pods: dict[str, int] | None = None


class MemberSeen(Model):
    """One etcd member in one look: `address` of its first client URL, empty until it has started."""

    name: str
    address: str
    learner: bool = False
    healthy: bool = True


class EtcdChange(Model):
    """etcd as it is from `t` on. `members` is None while nobody answers, `leader` while none is known."""

    t: float
    members: tuple[MemberSeen, ...] | None
    leader: str | None


class ProbeFailure(Model):
    """One request without its answer. `t` is when it was due; `phase` how far it came."""

    t: float
    cell: str
    seq: int
    phase: str
    detail: str
    peer: str | None
    elapsed_ms: float
    loop_late_ms: float
    """The prober's own worst lateness meanwhile."""
    starved: bool = False
    """Not sent, or out of time, while the prober was late beyond its limit: not for certain the cluster's fault."""


class FailedProbe(ProbeFailure):
    """As the report lists it."""

    event: str = "probe_failed"
    window: str
    at: str


class Note(Model):
    """Something about the proof itself that a reader must know."""

    at: str
    event: str
    detail: str = ""
    watcher: str | None = None


class Watched(Model):
    """What the run was configured to watch, as it began."""

    ingress: str | None
    api: str | None
    rate_hz: float
    timeout_s: float
    api_timeout_s: float = 1.0
    places: tuple[str, ...]
    writer: WriterConfig | None
    budgets: bool
    owners: bool = False
    etcd: bool
    sides: tuple[Side, ...] = ()
    cluster: str | None = None
    """UID of the cluster that must answer API probes."""
    answers: str | None = None
    """What each answer of ingress must hold."""
    priority: tuple[str, ...] = ()
    """What the prober had before others on its machine."""
    max_late_s: float = 0.25
    listeners: tuple[str, ...] = ()
    """Names of the listeners that are probed beside ingress and API."""
    listener_rate_hz: float = 2.0


class Meta(Model):
    """`meta.json`: written as the run begins (epoch seconds)."""

    run: str
    begin: float
    config: Watched


# What it adds up to


class Cell(Model):
    """The sums of one cell, or of one kind over all places. Latencies in milliseconds, None without an answer."""

    due: int = 0
    expected: int = 0
    """The least that was due by configuration and marks (`proof.due`); `due` is what the prober came round to."""
    sent: int = 0
    failed: int = 0
    longest_outage_s: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    starved: int = 0
    """Of the failed ones, those that the prober's own lateness explains. Other figures of failures leave them out."""
    starved_by_window: dict[str, int] = Field(default_factory=dict[str, int])
    reopened: int = 0
    worst_late_ms: float = 0.0
    failed_by_window: dict[str, int] = Field(default_factory=dict[str, int])
    why: dict[str, int] = Field(default_factory=dict[str, int])
    first_failure: str | None = None
    last_failure: str | None = None


class Probed(Cell):
    """One kind of probe: over all places, and by place."""

    by_place: dict[str, Cell] = Field(default_factory=dict[str, Cell])


Kinds = dict[Kind, Probed]


def never_probed() -> Kinds:
    """Every kind, and nothing due."""
    return {kind: Probed() for kind in KINDS}


class Writes(Model):
    """The numbered writes. `read_back` is false when the list could not be read: then nothing is known of them."""

    acknowledged: int = 0
    lost: int = 0
    lost_keys: tuple[str, ...] = ()
    read_back: bool = False
    problem: str | None = None
    longest_gap_s: float = 0.0
    longest_gap_begin: float | None = None
    """When it began (epoch seconds), and in which window."""
    longest_gap_window: str | None = None
    max_gap_s: float = MAX_GAP_S
    """Its limit."""
    retries: int = 0
    per_second: float | None = None
    min_per_second: float | None = None


class Violation(Model):
    """One stretch in which a budget was below what it asks for; numbers are the worst seen. Epoch seconds."""

    budget: str
    begin: float
    end: float | None
    current: int
    desired: int
    removed: bool = False
    window: str | None = None
    at: str | None = None


class Budgets(Model):
    """PodDisruptionBudgets: those that were met at the start are watched. `details` has the first 200."""

    watched: int = 0
    violations: int = 0
    unmet_at_start: tuple[str, ...] = ()
    details: tuple[Violation, ...] = ()
    relists: int = 0


class Rescaled(Model):
    """Somebody changed how many pods an owner wants (epoch seconds)."""

    t: float
    before: int
    after: int


class Owner(Model):
    """A Deployment, StatefulSet, DaemonSet or ReplicaSet, from the beginning to the end; times in epoch seconds."""

    owner: str
    wanted_before: int
    ready_before: int
    wanted_after: int
    ready_after: int
    lowest_ready: int
    rescaled: tuple[Rescaled, ...] = ()
    zero_at: float | None = None
    """When it was first scaled to nothing."""
    removed_at: float | None = None

    @property
    def due(self) -> int:
        """Ready pods it must have at the end: what it wants then, or as many of them as it had where it lacked some
        already at the beginning."""
        whole = self.ready_before >= self.wanted_before
        return self.wanted_after if whole else min(self.ready_before, self.wanted_after)

    @property
    def short(self) -> bool:
        """Whether it has fewer than is due, or was taken away altogether meanwhile."""
        gone = self.removed_at is not None or self.zero_at is not None
        return self.ready_after < self.due or (gone and self.wanted_before > 0)


class Owners(Model):
    """Owners of pods that the first list had. `details` has those that are short, then those that were rescaled."""

    watched: int = 0
    ready_before: int = 0
    ready_after: int = 0
    looked_at_end: bool = False
    short: int = 0
    details: tuple[Owner, ...] = ()


class VoterDown(Model):
    """One stretch in which a voter on the member list didn't answer healthily, until it did or had left the list
    (epoch seconds). `window`: in which it began."""

    member: str
    begin: float
    seconds: float
    ended: bool
    """False while it lasts at the end of the run."""
    window: str | None = None


class _EtcdCounts(Model):
    due_from: float | None = None
    """When it was first configured (epoch seconds)."""
    members_before: tuple[str, ...] = ()
    members_after: tuple[str, ...] = ()
    learners_after: tuple[str, ...] = ()
    healthy_voters_at_start: int | None = None
    min_healthy_voters: int | None = None
    leader_changes: int = 0
    samples: int = 0
    blind_samples: int = 0
    longest_blind_s: float = 0.0
    blind_s: float = 0.0
    """All of it. Counted from the second on in which etcd was configured, between two looks that saw the voters."""
    down: tuple[VoterDown, ...] = ()


class EtcdSeen(_EtcdCounts):
    """What the sampler counted; `min_healthy_at` in epoch seconds."""

    min_healthy_at: float | None = None


class Etcd(_EtcdCounts):
    """The same for people: when as text, and in which window."""

    min_healthy_at: str | None = None
    min_healthy_window: str | None = None


class Asked(Model):
    """How often one name was asked for at one place; `empty` without any address in the answer."""

    asked: int = 0
    empty: int = 0
    unanswered: int = 0


class Name(Asked):
    """The same with where and when it had no address; `answer` is the last such answer's code."""

    by_window: dict[str, int] = Field(default_factory=dict[str, int])
    first: str | None = None
    last: str | None = None
    answer: str | None = None


class GroupPeak(Model):
    """Percent of one core: average and peak."""

    cpu: float
    peak: float


class Cpu(Model):
    """CPU in one window; the machine in percent of all its cores."""

    seconds: int
    machine: float
    machine_peak: float
    groups: dict[str, GroupPeak]


class End(Model):
    """`end.json`: what only the process knew, written when it ended in order (epoch seconds)."""

    run: str
    end: float
    names: dict[str, Asked]
    budgets: Budgets
    etcd: EtcdSeen | None
    peak_rss_mb: int
    writes: Writes | None = None
    owners: Owners = Owners()
    probed_until: float | None = None
    """When the probes were told to end; None takes `end`."""
    evictions: dict[str, int] = Field(default_factory=dict[str, int])


class Summary(Model):
    """`summary.json`: what the files of a run add up to. `finished` is false for a run that was killed."""

    run: str | None = None
    begin: float | None = None
    end: float | None = None
    finished: bool = False
    config: Watched | None = None
    windows: tuple[Window, ...] = ()
    probes: Kinds = Field(default_factory=dict[Kind, Probed])
    idle: Kinds = Field(default_factory=dict[Kind, Probed])
    livez: Probed = Probed()
    """`/livez` of the API, once a second from each place: told, not judged."""
    writes: Writes = Writes()
    budgets: Budgets = Budgets()
    owners: Owners = Owners()
    etcd: Etcd = Etcd()
    names: dict[str, Name] = Field(default_factory=dict[str, Name])
    cpu: dict[str, Cpu] = Field(default_factory=dict[str, Cpu])
    peak_rss_mb: int = 0
    failures: tuple[FailedProbe, ...] = ()
    notes: tuple[Note, ...] = ()
    never_active: tuple[str, ...] = ()
    """Places that stood in the configuration and were never active."""
    evictions: dict[str, int] = Field(default_factory=dict[str, int])
    """Pods seen to be evicted, by the side of their node; empty where pods weren't watched."""


class CellTotals(Model):
    """Running sums of one cell."""

    due: int = 0
    sent: int = 0
    failed: int = 0
    reopened: int = 0


class BudgetsNow(Model):
    """Budgets watched, and violations so far."""

    watched: int = 0
    violations: int = 0


class VotersNow(Model):
    """The fewest healthy voters so far, and who votes now."""

    min_healthy_voters: int | None = None
    voters: tuple[str, ...] = ()


class Status(Model):
    """`status.json`: a run's live numbers, written every second."""

    t: float
    window: str | None
    places: tuple[str, ...]
    due: int
    failed: int
    not_sent: int
    reopened: int
    cells: dict[str, CellTotals]
    last_failure: str | None
    worst_late_ms: float
    writes: WritesNow | None
    budgets: BudgetsNow
    etcd: VotersNow
    pods: dict[str, int] | None = None


# What only the caller of a report knows


class Gate(Model):
    """One check of a stage, as the gate's operation tells it."""

    position: Literal["before", "after"]
    check: str
    ok: bool
    detail: str


Direction = Literal["forward", "back"]


class Predicted(Model):
    """How long a stage's `up` was said to take before it began (seconds), and of what that is made.

    `high` is None where something couldn't be seen: `unseen` says what, and `low` is the least.
    """

    low: float
    high: float | None
    terms: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


class Stage(Model):
    """One stage of a rehearsal. `second_up_changes` is None until a second `up` was made.

    `direction`: which way it was come to. `second_up_due`: whether the rehearsal was to make one there.
    `up_s`: the first `up` alone; `predicted_s`: how long it was said to take, where it was.
    """

    stage: int
    name: str
    direction: Direction = "forward"
    changes: dict[str, int] = Field(default_factory=dict[str, int])
    """Resources by what the engine did with them (create, update, replace, delete, same)."""
    gates: tuple[Gate, ...] = ()
    second_up_due: bool = True
    second_up_changes: int | None = None
    seconds: float | None = None
    up_s: float | None = None
    predicted_s: Predicted | None = None
    failed_probes_so_far: int | None = None

    @property
    def label(self) -> str:
        """Its window's label: the same stage may be come to from both sides."""
        return f"stage {self.stage}" + BACK * (self.direction == "back")

    @property
    def title(self) -> str:
        """What the report calls it."""
        return f"Stage {self.stage} ({self.name})" + BACK * (self.direction == "back")

    @property
    def off_by_s(self) -> float:
        """By how much its `up` took longer than predicted, or (below 0) less; 0 within it, and where nobody knows."""
        said, took = self.predicted_s, self.up_s
        if said is None or took is None:
            return 0.0
        if took < said.low:
            return took - said.low
        return took - said.high if said.high is not None and took > said.high else 0.0

    def but(self, **known: Any) -> Self:
        """The same stage with more known of it, validated."""
        return type(self).model_validate({**dict(self), **known})


class Drain(Model):
    """What the drains did in all. `lower_bound_s`: what budgets and pods' start times allow at best, by `terms`."""

    nodes: int = 0
    pods: int = 0
    evictions: int = 0
    rejected_429: int = 0
    seconds: float = 0.0
    lower_bound_s: float | None = None
    terms: str = ""


class Due(Model):
    """What must have been measured. What is due and was not measured is a breach; what is not due isn't judged."""

    ingress: bool = True
    api: bool = True
    writer: bool = True
    budgets: bool = True
    owners: bool = True
    etcd: bool = True
    answerers: bool = True
    """Who answered, of ingress and API where those are due."""
    idle: bool = True
    stages: bool = True
    leftovers: bool = True
    listeners: tuple[str, ...] = ()
    """Listeners beside ingress and API, by name."""

    @classmethod
    def of(cls, summary: Summary, *, leftovers: bool = False) -> Due:
        """What this run was told to watch, for a run that no rehearsal surrounds: stages and leftovers are nobody's.

        A cluster at rest is due where somebody marked it; etcd also where it was configured later.
        """
        config = summary.config
        if config is None:
            return cls()
        return cls(
            ingress=config.ingress is not None,
            api=config.api is not None,
            writer=config.writer is not None,
            budgets=config.budgets,
            owners=config.owners,
            etcd=config.etcd or summary.etcd.due_from is not None,
            answerers=config.ingress is None or config.answers is not None,
            listeners=config.listeners,
            idle=any(window.label == IDLE for window in summary.windows),
            stages=False,
            leftovers=leftovers,
        )

    @property
    def not_watched(self) -> tuple[str, ...]:
        """What nobody told this run to watch, in words; nothing is shown of it."""
        names = {
            "ingress": "ingress",
            "api": "API",
            "writer": "writes",
            "budgets": "budgets",
            "owners": "ready pods by owner",
            "etcd": "etcd",
            "answerers": "who answers ingress",
        }
        return tuple(text for key, text in names.items() if not getattr(self, key))

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Every kind of probe that is due."""
        return tuple(kind for kind in (*KINDS, *map(listener_kind, self.listeners)) if self.kind(kind))

    def kind(self, kind: Kind) -> bool:
        """Whether probes of this kind are due."""
        name = listener_of(kind)
        if name is not None:
            return name in self.listeners
        return self.ingress if kind.startswith("ingress") else self.api


class Parts(Model):
    """What only the caller of a report knows. `seconds`, `peak_rss_mb`: None takes the proof's own.

    `errors` are sentences, each a reason for not ok (a stage that failed). `leftovers` None: nobody looked.
    """

    profile: str = ""
    versions: dict[str, str] = Field(default_factory=dict[str, str])
    seconds: float | None = None
    peak_rss_mb: float | None = None
    stages: tuple[Stage, ...] = ()
    drain: Drain = Drain()
    leftovers: tuple[str, ...] | None = None
    errors: tuple[str, ...] = ()
    due: Due = Due()


class Report(Model):
    """The report of a rehearsal (`rehearsal.json`) or of a real migration."""

    profile: str = ""
    versions: dict[str, str] = Field(default_factory=dict[str, str])
    ok: bool = False
    reasons: tuple[str, ...] = ()
    believable: bool = True
    """False where the machine that probed was too busy; then `doubts`, which stand among `reasons` too, say so."""
    doubts: tuple[str, ...] = ()
    seconds: float = 0.0
    peak_rss_mb: int = 0
    stages: tuple[Stage, ...] = ()
    probes: Kinds = Field(default_factory=never_probed)
    idle: Kinds = Field(default_factory=never_probed)
    livez: Probed = Probed()
    writes: Writes = Writes()
    budgets: Budgets = Budgets()
    owners: Owners = Owners()
    drain: Drain = Drain()
    etcd: Etcd = Etcd()
    leftovers: tuple[str, ...] = ()
    leftovers_looked_for: bool = False
    due: Due = Due()
    finished: bool = False
    errors: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    never_active: tuple[str, ...] = ()
    failures: tuple[FailedProbe, ...] = ()
    windows: tuple[Window, ...] = ()
    names: dict[str, Name] = Field(default_factory=dict[str, Name])
    cpu: dict[str, Cpu] = Field(default_factory=dict[str, Cpu])
    evictions: dict[str, int] = Field(default_factory=dict[str, int])
    watched: Watched | None = None
    begin: str | None = None
    end: str | None = None

    @property
    def exit_status(self) -> int:
        """0 ok, 1 not ok, 3 where nothing is wrong but that the machine was too busy to tell."""
        if self.ok:
            return 0
        return EXIT_DOUBTED if len(self.doubts) == len(self.reasons) else 1

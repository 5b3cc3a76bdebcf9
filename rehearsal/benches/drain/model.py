"""What the benchmark sees, as it is written to `.lab/report/drain.json`. Seconds and MB, where nothing else is said."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from rehearsal.benches.drain.world import World
from rehearsal.benches.written import Aim, Header
from rehearsal.world import Fact

NAME, SHORT_NAME = "drain", "drain-short"
"""Of the report's files, and of those of the short form."""
DRAIN = "this drain"
SERIAL = "kubectl, one node after the other"


def parallel(count: int) -> str:
    """The name of a run with so many kubectls."""
    return f"{count} kubectls"


class Breach(Fact):
    """A budget that was not kept: by the budget's own status, or by the pods as the API had them (`source`)."""

    source: str
    budget: str
    at: float
    healthy: int
    desired: int


class Latency(Fact):
    """Of requests that write: the prober's own (exact), or all, by the API servers' histogram (interpolated)."""

    samples: int
    p50: float
    p99: float
    worst: float | None = None


class Cpu(Fact):
    """Seconds of one core, by what used them. `commands` are the drain, or the kubectls."""

    commands: float
    apiservers: float
    etcd: float
    controllers: float
    scheduler: float
    kwok: float
    entry: float
    bench: float


class Left(Fact):
    """How many of the pods that were on the old nodes are still there."""

    at: float
    pods: int


class Term(Fact):
    """One budget's part in the bound: `pods` (P_b) leave `at_once` (d_b), one round takes `round_seconds` (r_b)."""

    budget: str
    pods: int
    at_once: int
    round_seconds: float
    seconds: float


class Told(BaseModel):
    """What `python -m migration drain --json` says of itself."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    pods: int
    evictions: int
    rejected429: int
    seconds: float
    bound_seconds: float
    streaming_bound_seconds: float | None = None


class Run(Fact):
    """One drain of all old nodes. `trouble` is why it doesn't count, empty where it does. `sitting`: when the
    invocation began that measured it.

    `wall`: from the command's start to its end; `emptied`: to the end of the last pod. `evictions` and `refused` are
    counted by the API servers (answers 201 and 429). `blind`: the longest that a watch was behind. `memory_mb`: the
    drain's peak; `cluster_mb`: that of the cluster's processes together, looked at every two seconds.
    """

    program: str
    sitting: str
    at: str
    name: str
    world: World
    wall: float
    emptied: float | None
    pods: int
    evictions: int
    refused: int
    violations: tuple[Breach, ...]
    watched: int
    blind: float
    prober: Latency | None
    server: Latency | None
    cpu: Cpu
    memory_mb: float | None
    cluster_mb: float
    left: tuple[Left, ...]
    told: Told | None
    trouble: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.trouble

    @property
    def rate(self) -> float:
        """Pods a second."""
        return self.pods / self.wall if self.wall else 0.0

    @property
    def refusals(self) -> float | None:
        """429s an eviction."""
        return self.refused / self.evictions if self.evictions else None

    @property
    def p99(self) -> float | None:
        """The larger of both measures of writes; None where either is missing."""
        return None if self.prober is None or self.server is None else max(self.prober.p99, self.server.p99)


class Single(Fact):
    """One eviction on the idle cluster: seconds until its budget allowed as many as before."""

    workload: str
    stateful: bool
    seeded: float
    measured: float


class Step(Fact):
    """Evictions asked for at a rate, and what came of it: pods replaced and ready a second, and writes meanwhile."""

    asked: float
    evictions: int
    sustained: float
    p99: float


class Calibration(Fact):
    """What the bound is made of, seen on this cluster when it was idle.

    `overhead`: by kind of owner, what a round takes beyond its seeded times (the median). `per_second` (q): the highest
    sustained rate at which the writes' p99 stayed within its limit; `saturated`: whether a higher one was tried and
    wasn't sustained.
    """

    program: str
    at: str
    world: World
    singles: tuple[Single, ...]
    overhead_deployment: float
    overhead_stateful: float
    steps: tuple[Step, ...]
    per_second: float
    saturated: bool


class Row(Fact):
    """What is kept of a measurement as soon as it is there: a run, or what the idle cluster showed."""

    program: str
    run: Run | None = None
    calibration: Calibration | None = None


class Bound(Fact):
    """The floor: `seconds` = max(the first term, `rate_seconds`), and what budgets that stream would need."""

    seconds: float
    rate_seconds: float
    streaming_seconds: float
    terms: tuple[Term, ...]


class Scale(Fact):
    """Everything at one size. `ratios` are wall ÷ bound, by run; `told_ratio` is the drain's own bound ÷ this one."""

    name: str
    world: World
    calibration: Calibration | None
    bound: Bound | None
    runs: tuple[Run, ...]
    ratios: dict[str, float]
    told_ratio: float | None


class Report(Fact):
    """`.lab/report/drain.json`. `trouble`: what wasn't measured, or what was violated; empty is what makes it pass.

    `chosen`: why the comparison is as large as it is. `sittings`: how many invocations measured the runs: what is of
    one was seen on one cluster.
    """

    header: Header
    chosen: str
    sittings: int
    scales: tuple[Scale, ...]
    aims: tuple[Aim, ...]
    kept: tuple[bool, ...]
    trouble: tuple[str, ...]

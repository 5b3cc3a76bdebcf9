"""What an `up` would do, as far as it can be told before: for people (`migration.plan.text`) and machines."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from migration.contracts.base import Contract
from migration.contracts.durations import Prediction
from migration.contracts.parity import Parity
from migration.contracts.seen import NodesSeen, Unseen


class NameForm(Contract):
    """What a name is: a weighted pair or a simple record, its share of 100 by side (or value), TTL in seconds."""

    pair: bool
    weights: dict[str, int]
    ttl: int


class NameMove(Contract):
    """A name, as it is and as it will be. `alias`: by alias records, not by CNAMEs."""

    name: str
    alias: bool = False
    now: NameForm
    then: NameForm


class WorkersMove(Contract):
    """A side's worker groups and their instances, now and then."""

    side: str
    groups: int
    groups_then: int
    instances: int
    instances_then: int


class CopiesDiffer(Contract):
    """How many of `groups` copied launch templates are stricter than their originals, by each way."""

    groups: int
    ways: dict[str, int]


class NodesMove(NodesSeen):
    """A side's nodes now, and how many of them will be tainted."""

    tainted_then: int


class MembersMove(Contract):
    """A side's machines of the control plane, now and then, and how many of its members will vote."""

    side: str
    machines: int
    machines_then: int
    voters_then: int


class Limit(Contract):
    """Pods that share a limit: a budget's, or (`protected` is false) one owner's. `allowed` may go at once now."""

    key: str
    protected: bool
    pods: int
    allowed: int


class Blocked(Contract):
    """Pods that a drain couldn't move, and what somebody can do about it."""

    reason: str
    pods: tuple[str, ...]


class DrainTerm(Contract):
    """One limit's part in a drain's bound: `pods` leave `at_once`, and each round takes `round_seconds`."""

    limit: str
    pods: int
    at_once: int
    round_seconds: float


class DrainBound(Contract):
    """The least a drain can take (seconds): its longest term, or all `evictions` at `per_second`.

    `streaming_seconds` is the same where each pod that is ready again lets the next one go, without rounds.
    """

    seconds: float
    streaming_seconds: float
    evictions: int
    per_second: int
    terms: tuple[DrainTerm, ...]


class DrainPlan(Contract):
    """The pods that a drain of `nodes` nodes would move."""

    nodes: int
    pods: int
    limits: tuple[Limit, ...]
    restarts: tuple[str, ...]
    blocked: tuple[Blocked, ...]
    bound: DrainBound | None


class PodsMove(DrainPlan):
    """The same of a migration; `stage` is the one that does it."""

    stage: int


class GateNow(Contract):
    """A check before the stage's changes, asked once now."""

    check: str
    state: Literal["holds", "refuses", "unseen"]
    detail: str


class GateAhead(Contract):
    """A check after the stage's changes, and what it will ask."""

    check: str
    asks: str


class WayBack(Contract):
    """Whether an `up` may go back from the stage, and how that is done or why it isn't."""

    to: int | None
    how: str


class Plan(Contract):
    """What `pulumi up` would do at `stage`. A part that doesn't move is None; one that can't be seen says why.

    `origin` is the stage that the record says is left. `settled`: the stage was reached, so only a change of the
    configuration does anything. `declared` is what the configuration alone tells; `voters` are etcd's, by side.
    `parity`: both VPCs compared. `rolls`: what is replaced on a side that is lived on, a sentence each.
    `takes`: how long the `up` takes, term by term; unseen where that isn't predicted.
    `command` takes the stack to the stage, None where it is there; `next` leads to the stage after.
    """

    cluster: str
    stack: str
    from_side: Annotated[str, Field(alias="from")]
    to_side: Annotated[str, Field(alias="to")]
    stage: int
    name: str
    origin: int | Unseen
    direction: Literal["forward", "stay", "back"]
    settled: bool
    moves: tuple[str, ...]
    declared: tuple[str, ...]
    names: tuple[NameMove, ...] | Unseen | None
    workers: tuple[WorkersMove, ...] | Unseen | None
    copies: CopiesDiffer | Unseen | None
    nodes: tuple[NodesMove, ...] | Unseen | None
    pods: PodsMove | Unseen | None
    members: tuple[MembersMove, ...] | Unseen | None
    voters: dict[str, int] | Unseen | None
    rolls: tuple[str, ...] | Unseen | None = None
    parity: Parity | Unseen | None = None
    gates_before: tuple[GateNow, ...]
    gates_after: tuple[GateAhead, ...]
    back: WayBack
    command: str | None
    next: str | None
    takes: Prediction | Unseen = Unseen(unseen="nobody asked how long it takes")

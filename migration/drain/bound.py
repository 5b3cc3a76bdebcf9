"""The time a drain takes at least, known before its first eviction, and which limit decides it. Pure.

Pods under one budget leave in rounds: as many as it allows at once, then none until their successors are ready. All
budgets advance side by side, so the longest decides, or the rate of evictions where there are many pods:

    max( max over limits b of ceil(P_b / d_b) * r_b,  P / q )

A budget doesn't wait for a round's end: each pod that is ready again opens one place. Where pods take different times
that is quicker than rounds, and the least is P_b / d_b * r_b (`streaming_seconds`).

A drain may well take longer: phases follow each other, nodes may be short, a pod may start slowly this time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from migration.drain.plan import Lane, Rules, View, owner_of, plan_drain, unprotected_limit

# Seconds. A server that is told to end mostly does so within a few seconds; its grace period is only the limit.
USUAL_END = 5.0
SHOWN = 3

# Seconds from an eviction under a limit until that limit lets the next pod go.
Estimate = Callable[[Lane, View], float]


@dataclass(frozen=True, kw_only=True)
class Term:
    """One limit: `limit` is a budget's or (for pods without one) an owner's key; `pods` (P_b) leave `at_once` (d_b).

    `round_seconds` (r_b) pass from an eviction until the limit lets the next pod go.
    """

    limit: str
    pods: int
    at_once: int
    round_seconds: float

    @property
    def rounds(self) -> int:
        """How often this limit has to open."""
        return math.ceil(self.pods / self.at_once)

    @property
    def seconds(self) -> float:
        """All rounds, one after the other."""
        return self.rounds * self.round_seconds

    @property
    def streaming_seconds(self) -> float:
        """All of it where each pod that is ready again lets the next one go, without a round's end to wait for."""
        return max(self.pods / self.at_once, 1.0 if self.pods else 0.0) * self.round_seconds


@dataclass(frozen=True, kw_only=True)
class Closed:
    """A budget that lets none of its `pods` go now."""

    budget: str
    pods: int


@dataclass(frozen=True, kw_only=True)
class Bound:
    """`seconds` the drain takes at least: `pods` (P) evictions at `per_second` (q), or the first of `terms`.

    `streaming_seconds` is the same without rounds. `terms` are the three longest, longest first. `closed` budgets stand
    apart: how long they stay so can't be known.
    """

    seconds: float
    pods: int
    per_second: float
    terms: tuple[Term, ...]
    closed: tuple[Closed, ...]
    streaming_seconds: float = 0.0

    @property
    def sentence(self) -> str:
        """The bound and what decides it, on one line."""
        if not self.pods:
            said = "no pod to evict"
        elif self.terms and self.terms[0].seconds >= self.seconds:
            first = self.terms[0]
            said = (
                f"at least {duration(self.seconds)}: {first.limit} lets {first.at_once} of {first.pods} pods go at "
                f"once, and they take {duration(first.round_seconds)} to be ready again"
            )
        else:
            said = (
                f"at least {duration(self.seconds)}: {self.pods:,} pods at no more than {self.per_second:g} evictions "
                f"a second"
            )
        if self.pods and self.streaming_seconds < self.seconds:
            said += f" ({duration(self.streaming_seconds)} if no round is waited for)"
        if self.closed:
            names = ", ".join(one.budget for one in self.closed[:SHOWN])
            more = f" and {len(self.closed) - SHOWN} more" if len(self.closed) > SHOWN else ""
            said += f"; closed now: {names}{more}"
        return said


def lower_bound(view: View, rules: Rules, *, per_second: float, estimate: Estimate | None = None) -> Bound:
    """The bound for what is on the view's nodes now; blocked pods and rolling restarts take no part in it.

    `per_second`: the most evictions a second. `estimate` defaults to `observed_round`.
    """
    estimate = estimate or observed_round
    lanes = plan_drain(view, rules).lanes
    terms: list[Term] = []
    closed: list[Closed] = []
    for lane in lanes:
        if not lane.pods:
            continue
        if is_shut(lane):
            closed.append(Closed(budget=lane.key, pods=len(lane.pods)))
            continue
        terms.append(term_of(lane, view, rules, estimate))
    terms.sort(key=lambda term: (-term.seconds, term.limit))
    pods = sum(len(lane.pods) + len(lane.free) for lane in lanes)
    return Bound(
        seconds=max(pods / per_second, terms[0].seconds if terms else 0.0),
        pods=pods,
        per_second=per_second,
        terms=tuple(terms[:SHOWN]),
        closed=tuple(sorted(closed, key=lambda one: (-one.pods, one.budget))),
        streaming_seconds=max(pods / per_second, *(term.streaming_seconds for term in terms), 0.0),
    )


def is_shut(lane: Lane) -> bool:
    """Whether a lane's budget lets none go now: how long it stays so can't be known, so it has no term."""
    return lane.budget is not None and lane.allowed == 0


def term_of(lane: Lane, view: View, rules: Rules, estimate: Estimate | None = None) -> Term:
    """A lane's own term; of the view only owners are looked at."""
    return Term(
        limit=lane.key,
        pods=len(lane.pods),
        at_once=_at_once(lane, view, rules),
        round_seconds=(estimate or observed_round)(lane, view),
    )


def observed_round(lane: Lane, view: View) -> float:
    """How long the quickest of these pods took to be ready on its node, in seconds; 0 where none shows it.

    The quickest, since this is a floor: others may have waited for images, or for a machine with too much to do.

    Nothing follows a bare pod.
    """
    if _kinds(lane, view) == {""}:
        return 0.0
    started = [seconds for pod in lane.pods if (seconds := pod.start_seconds) is not None]
    return min(started, default=0.0) + end_seconds(lane, view)


def end_seconds(lane: Lane, view: View) -> float:
    """What of a round is the pods' own end: their grace period, or `USUAL_END` where that is less.

    A StatefulSet's pod starts only when the one of its name is gone. Other controllers begin the next at the eviction.
    """
    if _kinds(lane, view) != {"StatefulSet"}:
        return 0.0
    return min(USUAL_END, *(pod.grace_seconds for pod in lane.pods))


def _kinds(lane: Lane, view: View) -> set[str]:
    return {owner.kind if (owner := owner_of(pod, view)) else "" for pod in lane.pods}


def _at_once(lane: Lane, view: View, rules: Rules) -> int:
    """What a limit allows with every pod healthy: it may allow less now, and a bound must not count on that."""
    if lane.budget is not None:
        return max(lane.allowed, lane.budget.expected - lane.budget.desired_healthy)
    owner = owner_of((*lane.pods, *lane.free)[0], view)
    return max(lane.allowed, unprotected_limit(owner.desired or 0, rules) if owner else 1)


def duration(seconds: float) -> str:
    """Seconds as people say them, rounded up: ``45 s``, ``2 min 5 s``."""
    whole = math.ceil(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min" + (f" {rest} s" if rest else "")

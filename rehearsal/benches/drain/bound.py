"""The floor under every drain of a world, from what the idle cluster showed and the seeded times. Pure.

Worked out here from the seed and from single evictions, and nowhere from what the drain says of itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from rehearsal.benches.drain.model import Bound, Calibration, Single, Term
from rehearsal.benches.drain.world import Workload, World

SHOWN = 5


def overhead(singles: Sequence[Single], *, stateful: bool) -> float | None:
    """What a round takes beyond its seeded times: the median of that kind; None where none was seen."""
    seen = [one.measured - one.seeded for one in singles if one.stateful is stateful]
    return median(seen) if seen else None


def round_seconds(workload: Workload, seen: Calibration) -> float:
    """r_b: from an eviction until the budget lets the next pod go."""
    return workload.seeded_s + (seen.overhead_stateful if workload.stateful else seen.overhead_deployment)


def bound_of(world: World, seen: Calibration) -> Bound:
    """max(max over budgets of ⌈P_b / d_b⌉ · r_b, P / q), and Σ r / d, the floor where every slot streams."""
    terms = [
        Term(
            budget=one.name,
            pods=one.replicas,
            at_once=one.allowed,
            round_seconds=round(round_seconds(one, seen), 3),
            seconds=round(math.ceil(one.replicas / one.allowed) * round_seconds(one, seen), 3),
        )
        for one in world.workloads
    ]
    terms.sort(key=lambda term: (-term.seconds, term.budget))
    rate = world.pods / seen.per_second
    return Bound(
        seconds=round(max(terms[0].seconds, rate), 3),
        rate_seconds=round(rate, 3),
        streaming_seconds=round(max(term.pods * term.round_seconds / term.at_once for term in terms), 3),
        terms=tuple(terms[:SHOWN]),
    )

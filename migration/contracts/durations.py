"""How long a stage takes: what the cloud needs for things (`Timings`), and what that adds up to (`Prediction`).

All times in seconds.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, NonNegativeFloat

from migration.contracts.base import Contract


def _rising(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError("must be two times, the shorter one first")
    return span


Span = Annotated[tuple[NonNegativeFloat, NonNegativeFloat], AfterValidator(_rising)]
"""The shortest and the longest that something usually takes."""


class Checks(Contract):
    """How often targets are looked at, and how many answers in a row make one healthy, or unhealthy."""

    interval: NonNegativeFloat
    healthy_threshold: int
    unhealthy_threshold: int


class Timings(Contract):
    """What a cloud needs for what nobody configures. The defaults are AWS's; the rehearsal passes its lab's.

    Where AWS documents no figure that is said, and the span is what is usual. "Reference": M. Tougeron, "Live
    migrating a Kubernetes cluster across VPCs without downtime".
    """

    engine: Span = (10, 120)
    """The engine's own work at a stage: its calls to AWS one after the other where they depend on each other, its
    state. No figure of anybody's; an `up` that changes nothing is at the lower end."""
    balancer: Span = (90, 240)
    """A new load balancer becomes active; the engine waits for it. Undocumented, minutes."""
    nat: Span = (60, 180)
    """A NAT gateway becomes available. Undocumented."""
    endpoint: Span = (30, 180)
    """An interface endpoint becomes available. Undocumented."""
    launch: Span = (5, 60)
    """Auto Scaling launches instances until they run. Undocumented."""
    boot: Span = (210, 360)
    """From a running instance to what its user data starts. With `join`, 4 to 7 min (reference, step 7)."""
    join: Span = (30, 60)
    """From there to a ready node."""
    registration: Span = (20, 80)
    """From a target's registration to its first health check: "Registering a target can take a few minutes"
    https://docs.aws.amazon.com/elasticloadbalancing/latest/network/target-group-register-targets.html"""
    checks: Checks | None = None
    """Where a cloud looks at targets otherwise than their groups say; AWS doesn't."""
    deregistration_at_most: NonNegativeFloat | None = None
    """Where a cloud cuts short the delay that a target group says; AWS doesn't."""
    in_sync: Span = (10, 60)
    """A change reaches every name server: "generally" within 60 seconds
    https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html"""
    metric_lag: Span = (60, 120)
    """How late a period's metrics can be read: one or two minutes as was seen (facts.md, section 7)."""
    pods_end: Span = (0, 30)
    """The last evicted pods end: at most 30 s where they don't say otherwise (Kubernetes' default grace period)."""
    detach: Span = (0, 60)
    """Volumes leave a node, or a machine. Undocumented, seconds."""
    drain_to_bound: Span = (1, 2)
    """A drain's time by its lower bound: its tiers follow each other, and pods may start more slowly this time."""
    terminate: Span = (30, 120)
    """A terminated instance is gone. Undocumented."""
    swap: Span = (15, 120)
    """A member's swap apart from what is counted beside it: snapshot, learner, vote, commands on machines. It grows
    with the database."""
    interfaces: Span = (30, 300)
    """The interfaces of deleted balancers let go of their security groups and subnets. Undocumented, minutes."""


class Term(Contract):
    """One wait: what for, how long, and which keys or facts make it so long."""

    what: str
    low: NonNegativeFloat
    high: NonNegativeFloat
    why: str


class Prediction(Contract):
    """How long an `up` to a stage takes. `unseen`: what else it waits for, and why nobody can tell how long.

    Then there is no `high`, and `low` is the least.
    """

    low: NonNegativeFloat
    high: NonNegativeFloat | None
    terms: tuple[Term, ...]
    unseen: tuple[str, ...] = ()

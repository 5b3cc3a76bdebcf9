"""How long the lab's AWS takes for things, as the program's predictions are told it; and a prediction as it is kept."""

from __future__ import annotations

from pathlib import Path

from lab import timings
from lab.settings import LabSettings
from migration.contracts.durations import Checks, Prediction, Timings
from migration.contracts.plan import PodsMove, WorkersMove
from migration.contracts.seen import Unseen
from migration.plan import at_stage
from migration.plan.durations import Ahead, of
from migration.plan.text import span
from migration.settings import Settings, load_file
from proof.model import Predicted

ENGINE = (3.0, 60.0)
"""A stage's `up` without waits, on a machine that has other work, too."""
SOON = (0.0, 10.0)
"""What no setting of the lab delays: what its processes themselves need."""
SWAP = (5.0, 60.0)
"""A member's swap apart from its waits, with a database of a few MB."""


def of_lab(settings: LabSettings) -> Timings:
    """The lab's times in place of AWS's."""
    return Timings(
        engine=ENGINE,
        # Active, available and running at once.
        balancer=(0.0, 0.0),
        nat=(0.0, 0.0),
        endpoint=(0.0, 0.0),
        launch=SOON,
        boot=timings.bounds(settings.instance_boot_s),
        join=_and_soon(timings.bounds(settings.node_join_s)),
        registration=_and_soon(timings.bounds(settings.target_registration_s)),
        checks=Checks(
            interval=settings.health_interval_s,
            healthy_threshold=settings.healthy_threshold,
            unhealthy_threshold=settings.unhealthy_threshold,
        ),
        deregistration_at_most=settings.deregistration_s,
        in_sync=timings.bounds(settings.change_pending_s),
        metric_lag=timings.bounds(settings.metric_lag_s),
        # Grace periods of the lab's workload are no longer than that.
        pods_end=(0.0, 15.0),
        detach=SOON,
        terminate=SOON,
        swap=SWAP,
        interfaces=SOON,
    )


def foretold(stack: Path, last: int, settings: LabSettings) -> Prediction:
    """All stages' `up`s together, before anything is looked at: without the drain's own time.

    `stack` is the first stage's configuration. Raises the product's ConfigurationError.
    """
    first, lab = load_file(stack), of_lab(settings)
    parts = [_unlooked(at_stage(first, number), lab) for number in range(last + 1)]
    return Prediction(low=sum(one.low for one in parts), high=sum(one.high or one.low for one in parts), terms=())


def _unlooked(settings: Settings, lab: Timings) -> Prediction:
    c, number = settings.configuration, settings.stage.number
    groups = len(c.pools)
    coming = WorkersMove(side=c.to, groups=groups, groups_then=groups, instances=0, instances_then=groups)
    no_pods = PodsMove(stage=number, nodes=0, pods=0, limits=(), restarts=(), blocked=(), bound=None)
    return of(settings, Ahead(origin=max(0, number - 1), workers=[coming], pods=no_pods), lab)


def _and_soon(bounds: timings.Span) -> timings.Span:
    return bounds[0], bounds[1] + SOON[1]


def kept(takes: Prediction | Unseen) -> Predicted | None:
    """A plan's prediction for the report; None where it made none."""
    if isinstance(takes, Unseen):
        return None
    terms = tuple(f"{one.what} {span(one.low, one.high)} ({one.why})" for one in takes.terms)
    return Predicted(low=round(takes.low, 1), high=_rounded(takes.high), terms=terms, unseen=takes.unseen)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)

"""From runs to a report: ratios, aims, and what wasn't measured or was violated. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rehearsal.benches.drain.bound import bound_of
from rehearsal.benches.drain.model import DRAIN, SERIAL, Calibration, Report, Run, Scale, parallel
from rehearsal.benches.drain.world import World
from rehearsal.benches.written import Aim, Header

FEW, MANY = 25, 100
COMPARED = (DRAIN, SERIAL, parallel(FEW), parallel(MANY))
FULL, COMPARISON = "full", "comparison"


def scale_of(name: str, world: World, seen: Calibration | None, runs: Sequence[Run]) -> Scale:
    """One size, with what follows from its runs."""
    bound = bound_of(world, seen) if seen is not None else None
    ratios = {run.name: round(run.wall / bound.seconds, 3) for run in runs if run.ok} if bound else {}
    drain = run_of(runs, DRAIN)
    told = drain.told if drain is not None else None
    return Scale(
        name=name,
        world=world,
        calibration=seen,
        bound=bound,
        runs=tuple(runs),
        ratios=ratios,
        told_ratio=round(told.bound_seconds / bound.seconds, 3) if told is not None and bound is not None else None,
    )


def run_of(runs: Iterable[Run], name: str) -> Run | None:
    """The run of that name that counts; None where there is none."""
    return next((run for run in runs if run.name == name and run.ok), None)


def aims_of(scales: Sequence[Scale], *, compared: bool) -> list[Aim]:
    """Every figure that was to keep a limit, by scale; those beside kubectl only where it was `compared`."""
    found: list[Aim] = []
    for scale in scales:
        found += _of_drain(scale)
        if compared and scale.name == COMPARISON:
            found += _beside_kubectl(scale)
    return found


def _of_drain(scale: Scale) -> list[Aim]:
    run, at = run_of(scale.runs, DRAIN), f"({scale.world.nodes} nodes, {scale.world.pods} pods)"
    violations = None if run is None else float(len(run.violations))
    return [
        Aim(name=f"drain ÷ LB {at}", limit=1.25, measured=scale.ratios.get(DRAIN)),
        Aim(name=f"429s an eviction {at}", limit=0.05, measured=None if run is None else run.refusals),
        Aim(name=f"p99 of writes in seconds {at}", limit=1.0, measured=None if run is None else run.p99),
        Aim(name=f"violations {at}", limit=0, measured=violations),
        Aim(name=f"the drain's memory in MB {at}", limit=200, measured=None if run is None else run.memory_mb),
    ]


def _beside_kubectl(scale: Scale) -> list[Aim]:
    drain = run_of(scale.runs, DRAIN)

    def ratio(over: str, under: str) -> float | None:
        first, second = run_of(scale.runs, over), run_of(scale.runs, under)
        return None if drain is None or first is None or second is None else round(first.wall / second.wall, 3)

    return [
        Aim(name="serial kubectl ÷ drain", limit=5, measured=ratio(SERIAL, DRAIN), better="more"),
        Aim(name=f"drain ÷ {parallel(FEW)}", limit=0.8, measured=ratio(DRAIN, parallel(FEW))),
        Aim(name=f"drain ÷ {parallel(MANY)}", limit=1, measured=ratio(DRAIN, parallel(MANY))),
    ]


def trouble_of(scales: Sequence[Scale], wanted: Sequence[Sequence[str]], aims: Sequence[Aim]) -> list[str]:
    """Whatever keeps the benchmark from having passed. `wanted`: by scale, the names of its runs."""
    found: list[str] = []
    for scale, names in zip(scales, wanted, strict=True):
        if scale.calibration is None:
            found.append(f"{scale.name}: LB wasn't measured")
        for name in names:
            run = next((run for run in scale.runs if run.name == name), None)
            if run is None:
                found.append(f"{scale.name}, {name}: not measured")
                continue
            found += [f"{scale.name}, {name}: {reason}" for reason in run.trouble]
            if run.violations:
                first = run.violations[0]
                found.append(
                    f"{scale.name}, {name}: {len(run.violations)} violations, the first of {first.budget} "
                    f"({first.healthy} healthy of {first.desired}, by {first.source})"
                )
            if run.p99 is None:
                found.append(f"{scale.name}, {name}: how long writes took wasn't measured")
    return found + [f"not measured: {aim.name}" for aim in aims if aim.measured is None]


def report_of(
    header: Header, chosen: str, scales: Sequence[Scale], wanted: Sequence[Sequence[str]], *, compared: bool
) -> Report:
    """The whole."""
    aims = aims_of(scales, compared=compared)
    return Report(
        header=header,
        chosen=chosen,
        sittings=len({run.sitting for scale in scales for run in scale.runs}),
        scales=tuple(scales),
        aims=tuple(aims),
        kept=tuple(aim.kept for aim in aims),
        trouble=tuple(trouble_of(scales, wanted, aims)),
    )

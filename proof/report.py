"""The report of a rehearsal or of a real migration, put together from what each part knows."""

from __future__ import annotations

from collections.abc import Iterable

from proof.model import Note, Parts, Report, Stage, Summary, clock, never_probed
from proof.verdict import doubts, judge


def _mispredicted(stages: Iterable[Stage]) -> list[Note]:
    """Stages whose `up` took another time than was said: no fault of the cluster's, but somebody planned by it."""
    return [
        Note(
            at=one.title,
            event="not as predicted",
            detail=f"its up took {one.up_s:.0f} s, {abs(one.off_by_s):.0f} s {'more' if one.off_by_s > 0 else 'less'} "
            f"than was said before",
        )
        for one in stages
        if one.up_s is not None and one.off_by_s
    ]


def build(summary: Summary, parts: Parts) -> Report:
    """The whole report with `ok` and `reasons`, judged by what `parts` says was due."""
    begin, end = summary.begin, summary.end
    lasted = end - begin if begin is not None and end is not None else 0.0
    report = Report(
        profile=parts.profile,
        versions=parts.versions,
        seconds=round(lasted if parts.seconds is None else parts.seconds, 1),
        peak_rss_mb=summary.peak_rss_mb if parts.peak_rss_mb is None else round(parts.peak_rss_mb),
        stages=parts.stages,
        probes=never_probed() | summary.probes,
        idle=never_probed() | summary.idle,
        livez=summary.livez,
        writes=summary.writes,
        budgets=summary.budgets,
        owners=summary.owners,
        drain=parts.drain,
        etcd=summary.etcd,
        leftovers=parts.leftovers or (),
        leftovers_looked_for=parts.leftovers is not None,
        # What was configured is due: a caller that doesn't know of a listener must not make it count for nothing.
        due=parts.due.model_copy(update={"listeners": summary.config.listeners}) if summary.config else parts.due,
        finished=summary.finished,
        errors=parts.errors,
        notes=(*summary.notes, *_mispredicted(parts.stages)),
        never_active=summary.never_active,
        failures=summary.failures,
        windows=summary.windows,
        names=summary.names,
        cpu=summary.cpu,
        evictions=summary.evictions,
        watched=summary.config,
        begin=None if begin is None else clock(begin),
        end=None if end is None else clock(end),
    )
    breaches, doubted = judge(report), doubts(report)
    return report.model_copy(
        update={
            "ok": not breaches and not doubted,
            "reasons": (*breaches, *doubted),
            "believable": not doubted,
            "doubts": tuple(doubted),
        }
    )

"""Whole migrations of several forms of cluster, one after the other, a row each: `make layouts` and `make shapes`.

The proof is the same for all; what a strategy says must be so is meant: while a member's volume moves, its etcd is
away.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from lab import interrupt, up
from lab.environment import REPOSITORY, make_folders
from lab.shapes import PET, oddities
from migration.settings.model import Strategy
from migration.stages import LAST
from proof.model import Report
from rehearsal.driver import Say
from rehearsal.forms import Form, FormRehearsal
from rehearsal.meant import parted
from rehearsal.rows import PROGRAM, commit_of, conclude, read_rows, write_rows
from rehearsal.stack import CUSTOM_FILE
from rehearsal.turn_rows import Probes, StageRow, Writes, stage_row
from rehearsal.world import Fact


class FormRow(Fact):
    """One form's migration, 0 to 8. `ok`: nothing is among `reasons`; `meant`: sentences of the proof that must be so.

    `least_voters`: the fewest healthy ones at any time, of `voters`. `oddities`: what the account has; `refused`: the
    sentences of stage 0 that were put right as they say.
    """

    layout: str
    etcd: Strategy
    ok: bool
    commit: str
    reasons: tuple[str, ...]
    meant: tuple[str, ...]
    doubts: tuple[str, ...]
    begin: str
    seconds: float
    stages: tuple[StageRow, ...]
    probes: Probes
    writes: Writes
    voters: int | None
    least_voters: int | None
    report: str
    shape: str = PET
    seed: int = 0
    oddities: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def form(self) -> Form:
        """Which one it is."""
        return Form(layout=self.layout, etcd=self.etcd, shape=self.shape, seed=self.seed)


def row_of(rehearsal: FormRehearsal, report: Report, commit: str, began: float) -> FormRow:
    """What a form's migration adds up to."""
    wrong, meant = parted(report, rehearsal.form, rehearsal.last)
    return FormRow(
        layout=rehearsal.form.layout,
        etcd=rehearsal.form.etcd,
        ok=not wrong,
        commit=commit,
        reasons=wrong,
        meant=meant,
        doubts=report.doubts,
        begin=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        seconds=report.seconds,
        stages=tuple(stage_row(stage) for stage in report.stages),
        probes=Probes.of(report),
        writes=Writes.of(report),
        voters=report.etcd.healthy_voters_at_start,
        least_voters=report.etcd.min_healthy_voters,
        report=f"{rehearsal.title}.html",
        shape=rehearsal.form.shape,
        seed=rehearsal.form.seed,
        oddities=oddities(rehearsal.form.shape, rehearsal.form.seed),
        refused=rehearsal.refused,
    )


def verdict(rows: Sequence[FormRow], forms: Iterable[Form], commit: str) -> list[str]:
    """What is wrong: a sentence for each form that isn't ok with this program, or was never run. Pure."""
    found = {row.form: row for row in rows if commit and row.commit == commit}
    told: list[str] = []
    for form in forms:
        row = found.get(form)
        if row is None:
            told.append(f"{form}: not run with this program")
        elif not row.ok:
            told.append(f"{form}: {row.reasons[0] if row.reasons else 'no reason is given'}")
    return told


def run(say: Say, forms: Sequence[Form], file: str, *, last: int = LAST, again: bool = False) -> int:
    """Each form that isn't ok yet with this program, one after the other; 0 only if all of `forms` are.

    `file` of the report's folder has a row for each, of earlier runs, too; it is only for those that end at `last`.
    """
    commit, path = commit_of(REPOSITORY, *PROGRAM, CUSTOM_FILE), make_folders() / "report" / file
    rows, ran = read_rows(path, FormRow, say), False
    try:
        for form in forms:
            interrupt.check()
            if not again and any(row.form == form and row.ok and commit and row.commit == commit for row in rows):
                say(f"{form}: ok already with this program; --again runs it again")
                continue
            ran, began = True, time.time()
            say(f"{form}: {'the whole migration' if last == LAST else f'to stage {last}'} on a lab of its own")
            rehearsal = FormRehearsal(last=last, say=say, title=form.title, whole=False, form=form)
            row = row_of(rehearsal, rehearsal.go(), commit, began)
            rows = [*(one for one in rows if one.form != form), row]
            write_rows(path, rows)
            say(f"{form}: {'ok' if row.ok else 'NOT OK'} after {row.seconds:.0f} s")
            for reason in row.reasons:
                say(f"   not ok: {reason}")
            interrupt.check()
    except KeyboardInterrupt:
        say("interrupted: ending the lab; what was finished is kept, and the same command goes on after it")
        if ran:
            up.down(say)
        raise
    say("")
    return conclude(say, verdict(rows, forms, commit), path, ran=ran)

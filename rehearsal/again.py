"""`make again`: two migrations in a row on one lab, legacy → main → next, and what comes after.

The second is rehearsed as the first is, by the same code, with a proof and a report of its own. When it is over an
image is rolled out and a pool renamed (`rehearsal.living`), while its proof still runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab import interrupt
from lab.environment import REPOSITORY, make_folders
from migration.stages import LAST
from migration.stages.table import harmless
from proof.model import Report
from rehearsal.driver import Say
from rehearsal.living import After, ChangeRow
from rehearsal.rows import commit_of, conclude, write_rows
from rehearsal.run import IDLE_S, Rehearsal
from rehearsal.turn_rows import Probes, StageRow, Writes, stage_row
from rehearsal.watch import Road, Watch
from rehearsal.world import Fact

FILE, SHORT_FILE = "again.json", "again-short.json"
SHORT_IDLE_S = 6.0
SHORT_LAST = harmless().number + 1
"""In the short form the second migration ends here: the first stage at which the new side carries something."""
ROADS = (Road(), Road(old="main", new="next"))


class MigrationRow(Fact):
    """One migration. `ok`: nothing is among `reasons`. `afterwards`: what was changed when it was over."""

    migration: str
    ok: bool
    commit: str
    reasons: tuple[str, ...]
    meant: tuple[str, ...] = ()
    """Sentences of the proof that must be so, of what was changed afterwards."""
    doubts: tuple[str, ...] = ()
    begin: str
    seconds: float
    stages: tuple[StageRow, ...] = ()
    probes: Probes = Probes()
    writes: Writes = Writes()
    afterwards: tuple[ChangeRow, ...] = ()
    report: str
    """The page with everything else, beside this file."""


@dataclass(kw_only=True)
class Second(After):
    """A migration from the side that the last one moved to, on the same lab, with the same stack."""

    first: Rehearsal

    def go(self) -> Report:
        """Begin the next migration and rehearse it."""
        self.engine = self.first.engine
        self.say(f"from here on {self.road.old} is the old side, and {self.road.new} the new one")
        self.engine.plain("stack", "rename", "stage-0", "-s", f"stage-{LAST}")
        configure(self.program / "stacks" / "Pulumi.stage-0.yaml", self.road, self.addresses.sides[self.road.new])
        return self.through()

    def then(self, watch: Watch) -> None:
        """What may be changed of a cluster that has moved, once it has."""
        if self.last == LAST:
            super().then(watch)


def configure(path: Path, road: Road, cidr: str) -> None:
    """The stack's configuration for the next migration, as an operator would edit it: the lists of the last one's old
    side have done their work, and the new side is described as the last new one is."""
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    config = document["config"]
    sides, before = config["migration:sides"], config["migration:from"]
    sides[road.new] = {
        "kind": "managed",
        "cidr": cidr,
        "suffix": f"-{road.new}",
        "zones": list(sides[road.old]["zones"]),
    }
    del sides[before]
    config |= {"migration:from": road.old, "migration:to": road.new, "migration:retire": [], "migration:keep": []}
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def verdict(rows: Sequence[MigrationRow], roads: Iterable[Road] = ROADS) -> list[str]:
    """What is wrong: a sentence for each migration that isn't ok, or is missing."""
    found = {row.migration: row for row in rows}
    told: list[str] = []
    for road in roads:
        row = found.get(name_of(road))
        if row is None:
            told.append(f"{name_of(road)} was not run")
        elif not row.ok:
            told.append(f"{name_of(road)} is not ok: {row.reasons[0] if row.reasons else 'no reason is given'}")
    return told


def name_of(road: Road) -> str:
    """The migration, as a row calls it."""
    return f"{road.old} → {road.new}"


def run(say: Say, *, short: bool = False) -> int:
    """Both migrations; 0 only if both are ok.

    `short`: no previews, second `up`s only at the end, little rest, and the second only to `SHORT_LAST`. A lab where a
    migration has come to its end is gone on with then, and only the second is asked for.
    """
    commit, path = commit_of(REPOSITORY), make_folders() / "report" / (SHORT_FILE if short else FILE)
    rest = SHORT_IDLE_S if short else IDLE_S
    rows: list[MigrationRow] = []

    def done(rehearsal: Rehearsal) -> bool:
        interrupt.check()
        began = time.time()
        row = row_of(rehearsal, rehearsal.go(), commit, began)
        rows.append(row)
        write_rows(path, rows)
        say(f"{row.migration}: {'ok' if row.ok else 'NOT OK'} after {row.seconds:.0f} s")
        for reason in row.reasons:
            say(f"   not ok: {reason}")
        return not rehearsal.errors

    first = Rehearsal(last=LAST, say=say, title="again-1", whole=not short, idle_s=rest, road=ROADS[0])
    moved = short and first.lab_at(LAST)
    if moved or done(first):
        last = SHORT_LAST if short else LAST
        done(Second(last=last, say=say, title="again-2", whole=not short, idle_s=rest, road=ROADS[1], first=first))
    say("")
    return conclude(say, verdict(rows, ROADS[1:] if moved else ROADS), path)


def row_of(rehearsal: Rehearsal, report: Report, commit: str, began: float) -> MigrationRow:
    """What a migration adds up to."""
    living = rehearsal.living if isinstance(rehearsal, After) else None
    meant = tuple(filter(rehearsal.meant, report.reasons)) if isinstance(rehearsal, After) else ()
    wrong = tuple(reason for reason in report.reasons if reason not in meant)
    return MigrationRow(
        migration=name_of(rehearsal.road),
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
        afterwards=tuple(living.rows) if living else (),
        report=f"{rehearsal.title}.html",
    )

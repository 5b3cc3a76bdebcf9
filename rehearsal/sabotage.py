"""`make sabotage`: break one thing at a time, and see each report be not ok and name it.

Most breaks are made on the legacy cluster at rest. The one that is about the program's own order runs a copy of
the program that drains ingress last. A control run without any break must be ok, or the rest proves nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.addresses import REGION
from lab.environment import REPOSITORY
from migration.stages import emptied
from proof.model import Due, Parts, Report, Summary
from proof.report import build
from rehearsal.breaks import AT_REST, Break, World
from rehearsal.leftovers import orphaned_processes, running_instances
from rehearsal.run import Rehearsal

Say = Callable[[str], None]
CONTROL = "control"
INGRESS_LAST = "ingress-drained-last"
BEFORE_S, AFTER_S = 4.0, 4.0


def run(say: Say, only: list[str]) -> int:
    """All breaks (or `only` those named); 0 if every one was caught. Writes `report/sabotage.json`, a row each."""
    names = [CONTROL, *(item.name for item in AT_REST), INGRESS_LAST]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise ValueError(f"--only {','.join(unknown)}: known are {', '.join(names)}")
    wanted = only or names
    rows: list[dict[str, Any]] = []
    rehearsal = Rehearsal(last=emptied().number, say=say)
    resting = [
        item for item in (Break(name=CONTROL, make=lambda world: None, named=()), *AT_REST) if item.name in wanted
    ]
    if resting:
        rehearsal.fresh_lab()
    for item in resting:
        rows.append(_at_rest(rehearsal, item))
        _tell(say, rows, rehearsal.reports)
    if INGRESS_LAST in wanted:
        rows.append(_ingress_last(say))
        _tell(say, rows, rehearsal.reports)
    missed = [row["break"] for row in rows if not row["caught"]]
    say(
        f"sabotage: {len(rows) - len(missed)} of {len(rows)} as they must be"
        + (f"; missed: {missed}" if missed else "")
    )
    return 1 if missed else 0


def _tell(say: Say, rows: list[dict[str, Any]], reports: Path) -> None:
    reports.mkdir(parents=True, exist_ok=True)
    (reports / "sabotage.json").write_text(json.dumps(rows, indent=1) + "\n")
    row = rows[-1]
    say(f"{'caught' if row['caught'] else 'MISSED'}  {row['break']}: {'; '.join(row['reasons']) or 'report is ok'}")


def _at_rest(rehearsal: Rehearsal, item: Break) -> dict[str, Any]:
    watch = rehearsal.watch(f"sabotage-{item.name}")
    world = World(directory=rehearsal.directory, settings=rehearsal.settings, watch=watch)
    time.sleep(BEFORE_S)
    left: list[str] = []
    try:
        item.make(world)
        left = orphaned_processes(rehearsal.directory, running_instances(REGION))
        if item.name == "learner-left-behind":
            # It must still be there when the proof looks for the last time.
            return _row(item, _judged(watch.stop(), left))
    finally:
        for undo in reversed(world.undo):
            undo()
    time.sleep(AFTER_S)
    return _row(item, _judged(watch.stop(), left))


def _judged(summary: Summary, left: list[str]) -> Report:
    """No stage is run, but what is left behind counts."""
    return build(summary, Parts(leftovers=tuple(left), due=Due.of(summary, leftovers=True)))


def _named(report: Report, words: tuple[str, ...]) -> bool:
    """Whether a reason holds one of the words; a prober without time names no break."""
    return any(word in reason and "prober" not in reason for reason in report.reasons for word in words)


def _row(item: Break, report: Report) -> dict[str, Any]:
    named = _named(report, item.named)
    caught = report.ok if item.name == CONTROL else named and not report.ok
    return {"break": item.name, "caught": caught, "ok": report.ok, "reasons": list(report.reasons)}


def _ingress_last(say: Say) -> dict[str, Any]:
    """The program with ingress drained last, until the old nodes are drained: the policy goes back too early."""
    rehearsal = Rehearsal(last=emptied().number, say=say, idle_s=5.0)
    rehearsal.program = program_with_ingress_last(rehearsal.directory / "sabotage" / "program")
    report = rehearsal.go()
    named = _named(report, ("ingress",))
    return {
        "break": INGRESS_LAST,
        "caught": named and not report.ok,
        "ok": report.ok,
        "reasons": list(report.reasons),
    }


def program_with_ingress_last(copy: Path) -> Path:
    """A copy of the tracked files in which the policy goes back first, then the rest moves, ingress pods last."""
    shutil.rmtree(copy, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in listed.stdout.split("\0"):
        source = REPOSITORY / name
        if name and source.is_file():
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    (copy / ".venv").symlink_to(REPOSITORY / ".venv")
    path = copy / "components" / "workloads.py"
    text = path.read_text()
    lines = text.splitlines(keepends=True)
    words = ('"ingress", [taint]', "self._policy([first])", '"rest", [policy]')
    steps = {word: next((line for line in lines if word in line), "") for word in words}
    if not all(steps.values()):
        raise ValueError(f"{path} doesn't order its drains as this sabotage expects; look at both")
    first, policy, last = steps.values()
    ingress_last = first.replace("first = ", "self.last = ").replace("[taint]", "[self.last]")
    exchanged = text.replace(first, "").replace(policy, policy.replace("[first]", "[taint]"))
    path.write_text(exchanged.replace(last, last + ingress_last))
    return copy

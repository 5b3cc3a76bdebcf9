"""`make sabotage`: break one thing at a time, and see each report be not ok and name it, and nothing else.

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
from proof.model import EXIT_DOUBTED, Due, Parts, Report, Summary
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
    missed = [row["break"] for row in rows if row["verdict"] == "wrong"]
    doubted = [row["break"] for row in rows if row["verdict"] == "doubted"]
    say(
        f"sabotage: {sum(row['caught'] for row in rows)} of {len(rows)} as they must be"
        + (f"; wrong: {missed}" if missed else "")
        + (f"; this machine was too busy to tell: {doubted}" if doubted else "")
    )
    return 1 if missed else EXIT_DOUBTED if doubted else 0


def _tell(say: Say, rows: list[dict[str, Any]], reports: Path) -> None:
    reports.mkdir(parents=True, exist_ok=True)
    (reports / "sabotage.json").write_text(json.dumps(rows, indent=1) + "\n")
    row = rows[-1]
    told = "; ".join(row["reasons"]) or "report is ok"
    say(f"{row['verdict'].upper() if not row['caught'] else 'as it must be'}  {row['break']}: {told}")
    for problem in row["problems"]:
        say(f"       {problem}")


def _at_rest(rehearsal: Rehearsal, item: Break) -> dict[str, Any]:
    watch = rehearsal.watch(f"sabotage-{item.name}")
    world = World(directory=rehearsal.directory, settings=rehearsal.settings, watch=watch)
    time.sleep(BEFORE_S)
    left: list[str] = []
    try:
        item.make(world)
        left = orphaned_processes(rehearsal.directory, running_instances(REGION))
        if item.stays:
            return row_of(item, _judged(watch.stop(), left))
    finally:
        for undo in reversed(world.undo):
            undo()
    time.sleep(AFTER_S)
    return row_of(item, _judged(watch.stop(), left))


def _judged(summary: Summary, left: list[str]) -> Report:
    """No stage is run, but what is left behind counts."""
    return build(summary, Parts(leftovers=tuple(left), due=Due.of(summary, leftovers=True)))


def problems_of(item: Break, report: Report) -> list[str]:
    """What is wrong with the verdict, in either direction: a break that it misses, or a failure that it invents.

    What it says of this machine's own lateness counts for neither.
    """
    reasons = [reason for reason in report.reasons if reason not in report.doubts]
    missed = [word for word in item.named if not any(word in reason for reason in reasons)]
    invented = [reason for reason in reasons if not any(word in reason for word in (*item.named, *item.along))]
    return [
        *(f"not named: {word!r}" for word in missed),
        *(f"named, and not broken: {reason}" for reason in invented),
        *(["the report is ok"] if report.ok and item.named else []),
    ]


def row_of(item: Break, report: Report) -> dict[str, Any]:
    """A row of the sabotage's table. `doubted`: nothing is wrong, but a control that isn't ok shows nothing either."""
    problems = problems_of(item, report)
    verdict = "wrong" if problems else "caught" if item.named or report.ok else "doubted"
    return {
        "break": item.name,
        "caught": verdict == "caught",
        "verdict": verdict,
        "ok": report.ok,
        "reasons": list(report.reasons),
        "problems": problems,
    }


def _ingress_last(say: Say) -> dict[str, Any]:
    """The program with ingress drained last, until the old nodes are drained: the policy goes back too early."""
    rehearsal = Rehearsal(last=emptied().number, say=say, idle_s=5.0)
    rehearsal.program = program_with_ingress_last(rehearsal.directory / "sabotage" / "program")
    report = rehearsal.go()
    # The operation itself refuses to make the policy local while no ingress pod is on the new side. With the stage
    # failed nothing after it was looked at.
    item = Break(
        name=INGRESS_LAST,
        make=lambda world: None,
        named=("ingress_policy: gave up", "a ready ingress pod on a node of"),
        along=("no second up was made", "Leftovers were not looked for"),
    )
    return row_of(item, report)


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
    words = ('(old, "drained", "ingress", [taint])', "self._policy(new, [first])", '(old, "drained", "rest", [policy])')
    steps = {word: next((line for line in lines if word in line), "") for word in words}
    if not all(steps.values()):
        raise ValueError(f"{path} doesn't order its drains as this sabotage expects; look at both")
    first, policy, last = steps.values()
    ingress_last = first.replace("first = ", "self.last = ").replace("[taint]", "[self.last]")
    exchanged = text.replace(first, "").replace(policy, policy.replace("[first]", "[taint]"))
    path.write_text(exchanged.replace(last, last + ingress_last))
    return copy

"""When a report is ok: one pure function over the report, a sentence for every breach.

What was due and not measured is a breach as well: a proof that can pass by not looking is none. What was not due
(`Report.due`) is not judged.
"""

from __future__ import annotations

from collections import Counter

from proof.model import Budgets, Cell, Etcd, Kinds, Name, Owners, Probed, Report, Stage, Writes, clock

MAX_BLIND_S = 15.0
"""How long etcd may be out of the sampler's sight, for instance while its endpoints change, before nobody
can say that a voter was never missing. Well under the time a member swap takes."""

MAX_DOWN_S = 10.0
"""How long a voter on the member list may be silent. In a swap the old member leaves the list while it still answers,
so this also covers its own removal; a restart of etcd takes less."""

MAX_REOPENED = 0.5
"""Share of requests that may find their kept connection ended. A server that ends every one leaves none to watch."""

MOST_DETAILS = 20


def judge(report: Report) -> list[str]:
    """All breaches, as sentences; an empty list means ok."""
    due = report.due
    wanted = due.kinds
    idle: Kinds = {kind: report.idle.get(kind, Probed()) for kind in wanted if due.idle}
    probes: Kinds = {kind: report.probes.get(kind, Probed()) for kind in wanted}
    return [
        *_errors(report),
        *_probes("Before stage 0 (idle), ", idle),
        *_probes("", probes),
        *(_answerers(report) if due.answerers else ()),
        *_names(report.names),
        *(_writes(report.writes) if due.writer else ()),
        *(_budgets(report.budgets) if due.budgets else ()),
        *(_owners(report.owners) if due.owners else ()),
        *(_etcd(report.etcd) if due.etcd else ()),
        *(_stages(report.stages) if due.stages else ()),
        *(_leftovers(report) if due.leftovers else ()),
    ]


def doubts(report: Report) -> list[str]:
    """Why the run isn't to be believed, whatever it saw: the machine that probed was too busy."""
    due = report.due
    parts = (report.probes, *((report.idle,) if due.idle else ()))
    cells = [part[kind] for part in parts for kind in due.kinds if kind in part]
    starved = sum(_starved(cell) for cell in cells)
    if not starved:
        return []
    windows: Counter[str] = Counter()
    for cell in cells:
        windows.update(cell.starved_by_window)
    when = " (" + ", ".join(f"{label}: {count}" for label, count in windows.items()) + ")" if windows else ""
    late = max(cell.worst_late_ms for cell in cells)
    limit = f", limit {report.watched.max_late_s * 1000:g} ms" if report.watched else ""
    had = " and ".join(report.watched.priority) if report.watched and report.watched.priority else "none"
    due_all = sum(cell.due for cell in cells)
    return [
        f"This machine was too busy to be believed: {starved} of {due_all} requests were not sent, or ran out of time, "
        f"while the prober itself was late (by up to {late:.0f} ms{limit}){when}. They are not counted against the "
        f"cluster. Repeat it on a machine with time to spare (priority over others: {had})."
    ]


def _starved(cell: Cell) -> int:
    return max(cell.starved, cell.due - cell.sent)


def _errors(report: Report) -> list[str]:
    found = list(report.errors)
    if not report.finished:
        found.append("The proof did not end in order, so what happened after its last line on disk is not known.")
    for note in report.notes:
        if note.event == "watcher_died":
            found.append(f"The {note.watcher} watcher died at {note.at}: {note.detail}.")
        elif note.event == "config_refused":
            found.append(f"Refused configuration at {note.at}, so what it asks for was not watched: {note.detail}.")
    for name in report.never_active:
        found.append(f"The place {name} is configured, and was never active: nothing was probed from it.")
    if not any(dict(report.due).values()):
        found.append("Nothing was due, so nothing was shown.")
    return found


def _probes(where: str, kinds: Kinds) -> list[str]:
    found: list[str] = []
    for kind, numbers in kinds.items():
        if not numbers.due and not numbers.expected:
            found.append(f"{where}{kind} was never probed.")
            continue
        for place, cell in numbers.by_place.items():
            name = f"{kind} from {place}"
            found += _cell(where, name, cell)
            if cell.reopened > MAX_REOPENED * cell.sent:
                found.append(
                    f"{where}{name}: {cell.reopened} of {cell.sent} requests found their kept connection ended: "
                    f"kept connections were not watched."
                )
        # Totals that disagree with their places would hide a breach.
        if not any(_broken(cell) for cell in numbers.by_place.values()) and _broken(numbers):
            found += _cell(where, kind, numbers)
    return found


def _broken(cell: Cell) -> bool:
    return _failed(cell) > 0 or cell.due < cell.expected


def _failed(cell: Cell) -> int:
    """What counts against the cluster."""
    return max(0, cell.failed - _starved(cell))


def _cell(where: str, name: str, cell: Cell) -> list[str]:
    found: list[str] = []
    if cell.due < cell.expected:
        found.append(f"{where}{name}: only {cell.due} requests were made where {cell.expected} were due.")
    if _failed(cell):
        told = f"{_when(cell)}{_longest(cell)}{_why(cell)}"
        found.append(f"{where}{name}: {_failed(cell)} of {cell.due} requests failed{told}.")
    return found


def _answerers(report: Report) -> list[str]:
    watched, due = report.watched, report.due
    found: list[str] = []
    if due.ingress and (watched is None or watched.answers is None):
        found.append("Who answered ingress was not looked at (ingress.answers).")
    if due.api and (watched is None or watched.cluster is None):
        found.append("Which cluster answered the API was not looked at.")
    return found


def _when(cell: Cell) -> str:
    text = ""
    if cell.failed_by_window:
        text += " (" + ", ".join(f"{label}: {count}" for label, count in cell.failed_by_window.items()) + ")"
    first, last = cell.first_failure, cell.last_failure
    if first:
        text += f" at {first}" if first == last else f" between {first} and {last}"
    return text


def _longest(cell: Cell) -> str:
    return f", longest outage {cell.longest_outage_s:g} s" if cell.longest_outage_s else ""


def _why(cell: Cell) -> str:
    return ", mostly " + max(cell.why, key=lambda reason: cell.why[reason]) if cell.why else ""


def _names(names: dict[str, Name]) -> list[str]:
    found: list[str] = []
    for key, counts in names.items():
        if counts.empty:
            place, name = key.split("/", 1)
            where = ", ".join(f"{label}: {count}" for label, count in counts.by_window.items())
            found.append(
                f"{name} had no address for {counts.empty} of {counts.asked} queries from {place} "
                f"({where}) between {counts.first} and {counts.last}: {counts.answer}."
            )
    return found


def _writes(writes: Writes) -> list[str]:
    if not writes.acknowledged:
        return ["No write was acknowledged."]
    found: list[str] = []
    if not writes.read_back:
        found.append(f"The writes could not be read back: {writes.problem or 'no reason given'}.")
    if writes.lost:
        keys = ", ".join(writes.lost_keys[:5])
        named = f": {keys}" if keys else ""
        found.append(f"{writes.lost} of {writes.acknowledged} acknowledged writes are lost{named}.")
    limit = writes.max_gap_s
    if writes.longest_gap_s > limit:
        begin = f" from {clock(writes.longest_gap_begin)} on" if writes.longest_gap_begin is not None else ""
        window = f" ({writes.longest_gap_window})" if writes.longest_gap_window else ""
        found.append(f"No write was acknowledged for {writes.longest_gap_s:g} s{begin}{window} (limit {limit:g} s).")
    rate, wanted = writes.per_second, writes.min_per_second
    if rate is not None and wanted is not None and rate < wanted:
        found.append(
            f"Only {rate:g} writes a second were acknowledged; the proof needs {wanted:g} "
            f"(longest gap {writes.longest_gap_s:g} s)."
        )
    return found


def _budgets(budgets: Budgets) -> list[str]:
    found: list[str] = []
    if not budgets.watched:
        found.append("No PodDisruptionBudget was watched.")
    for detail in budgets.details[:MOST_DETAILS]:
        when = (f" at {detail.at}" if detail.at else "") + (f" ({detail.window})" if detail.window else "")
        if detail.removed:
            found.append(f"The budget {detail.budget} was removed{when}.")
        else:
            found.append(
                f"The budget {detail.budget} was violated{when}: {detail.current} healthy pods "
                f"where {detail.desired} are wanted."
            )
    if budgets.violations > min(len(budgets.details), MOST_DETAILS):
        found.append(f"{budgets.violations} violations of budgets in all.")
    return found


def _owners(owners: Owners) -> list[str]:
    if not owners.watched:
        return ["No owner of pods was watched."]
    found: list[str] = []
    if not owners.looked_at_end:
        found.append("Ready pods were not counted at the end, so what became of them is not known.")
    short = [owner for owner in owners.details if owner.short]
    for owner in short[:MOST_DETAILS]:
        if owner.removed_at is not None:
            found.append(
                f"{owner.owner} was removed at {clock(owner.removed_at)}; it had {owner.ready_before} ready pods."
            )
        elif owner.zero_at is not None and owner.wanted_before:
            found.append(
                f"{owner.owner} was scaled from {owner.wanted_before} to 0 at {clock(owner.zero_at)}; "
                f"{owner.ready_after} pods are ready now."
            )
        else:
            changed = f", after {owner.wanted_before} at the start" if owner.wanted_after != owner.wanted_before else ""
            found.append(
                f"{owner.owner} has {owner.ready_after} ready pods of the {owner.wanted_after} it wants{changed}; "
                f"it had {owner.ready_before} at the start."
            )
    if owners.short > min(len(short), MOST_DETAILS):
        found.append(f"{owners.short} owners in all have fewer ready pods than before.")
    return found


def _etcd(etcd: Etcd) -> list[str]:
    lowest = etcd.min_healthy_voters
    if lowest is None:
        return ["etcd's healthy voters were never counted."]
    found: list[str] = []
    before = etcd.healthy_voters_at_start
    if before is None:
        before = len(etcd.members_before)
    if lowest < before:
        when = f" at {etcd.min_healthy_at}" if etcd.min_healthy_at else ""
        stage = f" ({etcd.min_healthy_window})" if etcd.min_healthy_window else ""
        found.append(f"etcd was down to {lowest} healthy voters{when}{stage}; it had {before} at stage 0.")
    for down in etcd.down:
        if down.seconds > MAX_DOWN_S:
            window = f" ({down.window})" if down.window else ""
            until = "" if down.ended else " to the end of the run"
            found.append(
                f"etcd's voter {down.member} was unhealthy for {down.seconds:g} s from {clock(down.begin)} on"
                f"{until}{window} (limit {MAX_DOWN_S:g} s)."
            )
    if etcd.learners_after:
        found.append(f"etcd is left with a learner: {', '.join(etcd.learners_after)}.")
    if etcd.longest_blind_s > MAX_BLIND_S:
        found.append(f"etcd's voters could not be counted for {etcd.longest_blind_s:g} s (limit {MAX_BLIND_S:g} s).")
    elif etcd.blind_s > MAX_BLIND_S:
        found.append(
            f"etcd's voters could not be counted for {etcd.blind_s:g} s in all, {etcd.longest_blind_s:g} s at a time "
            f"(limit {MAX_BLIND_S:g} s)."
        )
    return found


def _stages(stages: tuple[Stage, ...]) -> list[str]:
    found = [] if stages else ["No stage was run."]
    for stage in stages:
        name = stage.title
        if stage.second_up_changes is None:
            if stage.second_up_due:
                found.append(f"{name}: no second up was made, so its changes are not known.")
        elif stage.second_up_changes:
            found.append(f"{name}: a second up changed {stage.second_up_changes} resources; it must change none.")
        for gate in stage.gates:
            if not gate.ok:
                found.append(f"{name}: the gate {gate.check} did not hold {gate.position} it: {gate.detail}.")
    return found


def _leftovers(report: Report) -> list[str]:
    if not report.leftovers_looked_for:
        return ["Leftovers were not looked for."]
    return [f"Left over: {item}." for item in report.leftovers]

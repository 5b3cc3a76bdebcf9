"""When a report is ok: one pure function over the report's JSON, a sentence for every breach.

What was not measured is a breach as well: a proof that can pass by not looking is none.
"""

from __future__ import annotations

from typing import Any

from proof.config import KINDS

MAX_BLIND_S = 15.0
"""How long etcd may be out of the sampler's sight, for instance while its endpoints change, before nobody
can say that a voter was never missing. Well under the time a member swap takes."""

MAX_REOPENED = 0.5
"""Share of requests that may find their kept connection ended. A server that ends every one leaves none to watch."""


def judge(report: dict[str, Any]) -> list[str]:
    """All breaches, as sentences; an empty list means ok."""
    return [
        *_errors(report),
        *_probes("idle", report.get("idle") or {}),
        *_probes("probes", report.get("probes") or {}),
        *_names(report.get("names") or {}),
        *_writes(report.get("writes") or {}),
        *_budgets(report.get("budgets") or {}),
        *_etcd(report.get("etcd") or {}),
        *_stages(report.get("stages") or []),
        *_leftovers(report.get("leftovers")),
    ]


def _errors(report: dict[str, Any]) -> list[str]:
    found = [str(error) for error in report.get("errors", [])]
    if not report.get("finished", True):
        found.append("The proof did not end in order, so what happened after its last line on disk is not known.")
    for note in report.get("notes", []):
        if note.get("event") == "watcher_died":
            found.append(f"The {note['watcher']} watcher died at {note['at']}: {note['detail']}.")
    return found


def _probes(part: str, kinds: dict[str, Any]) -> list[str]:
    where = "Before stage 0 (idle), " if part == "idle" else ""
    found = []
    for kind in KINDS:
        numbers = kinds.get(kind) or {}
        if not numbers.get("due"):
            found.append(f"{where}{kind} was never probed.")
            continue
        places = numbers.get("by_place") or {"": numbers}
        for place, cell in places.items():
            name = f"{kind} from {place}" if place else kind
            found += _cell(where, name, cell)
            if cell.get("reopened", 0) > MAX_REOPENED * cell.get("sent", 0):
                found.append(
                    f"{where}{name}: {cell['reopened']} of {cell['sent']} requests found their kept connection ended: "
                    f"kept connections were not watched."
                )
        # Totals that disagree with their places would hide a breach.
        if not any(_broken(cell) for cell in places.values()) and _broken(numbers):
            found += _cell(where, kind, numbers)
    return found


def _broken(cell: dict[str, Any]) -> bool:
    return cell.get("failed", 0) > 0 or cell.get("sent") != cell.get("due")


def _cell(where: str, name: str, cell: dict[str, Any]) -> list[str]:
    found = []
    due, sent, failed = cell.get("due", 0), cell.get("sent", 0), cell.get("failed", 0)
    if failed:
        found.append(f"{where}{name}: {failed} of {due} requests failed{_when(cell)}{_longest(cell)}{_why(cell)}.")
    if sent != due:
        late = cell.get("worst_late_ms")
        starved = f"; the prober itself was up to {late:.0f} ms late" if late else ""
        found.append(f"{where}{name}: {due - sent} of {due} requests that were due were not sent{starved}.")
    return found


def _when(cell: dict[str, Any]) -> str:
    text = ""
    if cell.get("failed_by_window"):
        text += " (" + ", ".join(f"{label}: {count}" for label, count in cell["failed_by_window"].items()) + ")"
    first, last = cell.get("first_failure"), cell.get("last_failure")
    if first:
        text += f" at {first}" if first == last else f" between {first} and {last}"
    return text


def _longest(cell: dict[str, Any]) -> str:
    outage = cell.get("longest_outage_s")
    return f", longest outage {outage:g} s" if outage else ""


def _why(cell: dict[str, Any]) -> str:
    why = cell.get("why") or {}
    return ", mostly " + max(why, key=lambda reason: why[reason]) if why else ""


def _names(names: dict[str, Any]) -> list[str]:
    found = []
    for key, counts in names.items():
        if counts.get("empty"):
            place, name = key.split("/", 1)
            where = ", ".join(f"{label}: {count}" for label, count in counts.get("by_window", {}).items())
            found.append(
                f"{name} had no address for {counts['empty']} of {counts.get('asked', 0)} queries from {place} "
                f"({where}) between {counts.get('first')} and {counts.get('last')}: {counts.get('answer')}."
            )
    return found


def _writes(writes: dict[str, Any]) -> list[str]:
    found = []
    acknowledged, lost = writes.get("acknowledged", 0), writes.get("lost", 0)
    if not acknowledged:
        found.append("No write was acknowledged.")
    if not writes.get("read_back", True):
        found.append(f"The writes could not be read back: {writes.get('problem') or 'no reason given'}.")
    if lost:
        keys = ", ".join(writes.get("lost_keys", [])[:5])
        found.append(f"{lost} of {acknowledged} acknowledged writes are lost{': ' + keys if keys else ''}.")
    rate, wanted = writes.get("per_second"), writes.get("min_per_second")
    if acknowledged and rate is not None and wanted is not None and rate < wanted:
        found.append(
            f"Only {rate:g} writes a second were acknowledged; the proof needs {wanted:g} "
            f"(longest gap {writes.get('longest_gap_s', 0):g} s)."
        )
    return found


def _budgets(budgets: dict[str, Any]) -> list[str]:
    found = []
    if not budgets.get("watched"):
        found.append("No PodDisruptionBudget was watched.")
    count, details = budgets.get("violations", 0), budgets.get("details", [])
    for detail in details[:20]:
        stage = f" ({detail['window']})" if detail.get("window") else ""
        when = f" at {detail['at']}" if detail.get("at") else ""
        if detail.get("removed"):
            found.append(f"The budget {detail['budget']} was removed{when}{stage}.")
        else:
            found.append(
                f"The budget {detail['budget']} was violated{when}{stage}: {detail['current']} healthy pods "
                f"where {detail['desired']} are wanted."
            )
    if count > len(found) and count > min(len(details), 20):
        found.append(f"{count} violations of budgets in all.")
    return found


def _etcd(etcd: dict[str, Any]) -> list[str]:
    lowest = etcd.get("min_healthy_voters")
    if lowest is None:
        return ["etcd's healthy voters were never counted."]
    found = []
    before = etcd.get("healthy_voters_at_start")
    if before is None:
        before = len(etcd.get("members_before", []))
    if lowest < before:
        when = f" at {etcd['min_healthy_at']}" if isinstance(etcd.get("min_healthy_at"), str) else ""
        stage = f" ({etcd['min_healthy_window']})" if etcd.get("min_healthy_window") else ""
        found.append(f"etcd was down to {lowest} healthy voters{when}{stage}; it had {before} at stage 0.")
    if etcd.get("learners_after"):
        found.append(f"etcd is left with a learner: {', '.join(etcd['learners_after'])}.")
    blind = etcd.get("longest_blind_s", 0.0)
    if blind > MAX_BLIND_S:
        found.append(f"etcd's voters could not be counted for {blind:g} s (limit {MAX_BLIND_S:g} s).")
    return found


def _stages(stages: list[dict[str, Any]]) -> list[str]:
    found = [] if stages else ["No stage was run."]
    for stage in stages:
        name = f"Stage {stage.get('stage')} ({stage.get('name', 'unnamed')})"
        changes = stage.get("second_up_changes")
        if changes is None:
            found.append(f"{name}: no second up was made, so its changes are not known.")
        elif changes:
            found.append(f"{name}: a second up changed {changes} resources; it must change none.")
        for gate in stage.get("gates", []):
            if isinstance(gate, dict) and gate.get("ok") is False:
                found.append(f"{name}: the gate {gate.get('name', 'without name')} did not hold.")
    return found


def _leftovers(leftovers: list[Any] | None) -> list[str]:
    if leftovers is None:
        return ["Leftovers were not looked for."]
    return [f"Left over: {item if isinstance(item, str) else _named(item)}." for item in leftovers]


def _named(item: Any) -> str:
    if isinstance(item, dict):
        return " ".join(str(value) for value in item.values())
    return str(item)

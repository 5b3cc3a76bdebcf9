"""The report of a rehearsal or of a real migration: the fixed JSON, put together from what each part
knows.
"""

from __future__ import annotations

import copy
from typing import Any

from proof.config import KINDS
from proof.marks import Window, label_at
from proof.summary import BETWEEN, clock
from proof.verdict import judge


def build(
    summary: dict[str, Any],
    *,
    profile: str = "",
    versions: dict[str, str] | None = None,
    seconds: float | None = None,
    peak_rss_mb: float | None = None,
    stages: list[dict[str, Any]] | None = None,
    drain: dict[str, Any] | None = None,
    etcd: dict[str, Any] | None = None,
    leftovers: list[Any] | None = None,
    errors: list[str] | None = None,
    rehearsal: bool = True,
) -> dict[str, Any]:
    """The whole report with `ok` and `reasons`.

    `summary` is `proof.summary.summarize`'s. `etcd` adds to (and overrides) what the sampler saw. `errors`
    are sentences of the caller, each a reason for not ok (a stage that failed). `leftovers` None means that
    nobody looked, which is a breach; so is a stage without `second_up_changes`. `rehearsal=False` is a
    plain watch over a cluster: idle, stages, leftovers and what the configuration left out are then not
    asked for.
    """
    begin, end = summary.get("begin"), summary.get("end")
    lasted = round(end - begin, 1) if begin is not None and end is not None else 0
    report: dict[str, Any] = {
        "profile": profile,
        "versions": versions or {},
        "ok": False,
        "reasons": [],
        "seconds": lasted if seconds is None else round(seconds, 1),
        "peak_rss_mb": summary.get("peak_rss_mb", 0) if peak_rss_mb is None else round(peak_rss_mb),
        "stages": stages or [],
        "probes": _all_kinds(summary.get("probes", {})),
        "idle": _all_kinds(summary.get("idle", {})),
        "writes": summary.get("writes", {}),
        "budgets": _budgets(summary),
        "drain": {"nodes": 0, "pods": 0, "evictions": 0, "rejected_429": 0, "seconds": 0} | (drain or {}),
        "etcd": _etcd(summary) | (etcd or {}),
        "leftovers": leftovers,
        "finished": summary.get("finished", False),
        "errors": errors or [],
        "notes": summary.get("notes", []),
        "failures": summary.get("failures", []),
        "windows": summary.get("windows", []),
        "names": summary.get("names", {}),
        "cpu": summary.get("cpu", {}),
        "watched": summary.get("config", {}),
        "begin": clock(begin) if begin is not None else None,
        "end": clock(end) if end is not None else None,
    }
    report["reasons"] = judge(report if rehearsal else _as_if_rehearsed(report, summary))
    report["ok"] = not report["reasons"]
    # The shape says a list; that nobody looked is in the reasons.
    report["leftovers"] = leftovers or []
    return report


def _all_kinds(kinds: dict[str, Any]) -> dict[str, Any]:
    nothing = {"due": 0, "sent": 0, "failed": 0, "longest_outage_s": 0, "p50_ms": None, "p99_ms": None}
    return {kind: kinds.get(kind, nothing) for kind in KINDS}


def _windows(summary: dict[str, Any]) -> list[Window]:
    return [Window(label=w["label"], begin=w["begin"], end=w["end"]) for w in summary.get("windows", [])]


def _budgets(summary: dict[str, Any]) -> dict[str, Any]:
    budgets: dict[str, Any] = copy.deepcopy(summary.get("budgets") or {"watched": 0, "violations": 0})
    for detail in budgets.get("details", []):
        detail["window"] = label_at(_windows(summary), detail["begin"]) or BETWEEN
        detail["at"] = clock(detail["begin"])
    return budgets


def _etcd(summary: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {"members_before": [], "members_after": [], "min_healthy_voters": None, "leader_changes": 0}
    etcd = empty | (summary.get("etcd") or {})
    at = etcd.get("min_healthy_at")
    if at is not None:
        etcd["min_healthy_window"] = label_at(_windows(summary), at) or BETWEEN
        etcd["min_healthy_at"] = clock(at)
    return etcd


def _as_if_rehearsed(report: dict[str, Any], summary: dict[str, Any]) -> dict[str, Any]:
    """The report with everything that a plain watch does not measure standing there as clean, so that one
    set of rules judges both."""
    config = summary.get("config", {})
    clean = {"due": 1, "sent": 1, "failed": 0}
    judged = report | {
        "idle": report["idle"] if summary.get("idle") else dict.fromkeys(KINDS, clean),
        "stages": report["stages"] or [{"stage": "-", "second_up_changes": 0}],
        "leftovers": report["leftovers"] or [],
    }
    judged["probes"] = {
        kind: numbers if config.get(kind.split("_")[0]) else clean for kind, numbers in report["probes"].items()
    }
    if not config.get("writer"):
        judged["writes"] = {"acknowledged": 1, "lost": 0}
    if not config.get("budgets"):
        judged["budgets"] = {"watched": 1, "violations": 0}
    if not config.get("etcd") and not summary.get("etcd"):
        judged["etcd"] = {"min_healthy_voters": 0, "healthy_voters_at_start": 0}
    return judged

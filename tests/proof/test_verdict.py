"""Each rule of the verdict: break one thing in a good report and see it named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from proof.config import KINDS
from proof.model import Due, Gate, Owner, Parts, Report, Summary, Watched, Window
from proof.report import build
from proof.verdict import doubts, judge


def cell(**changes: Any) -> dict[str, Any]:
    return {"due": 100, "sent": 100, "failed": 0, "longest_outage_s": 0, "p50_ms": 1, "p99_ms": 2} | changes


WATCHED: dict[str, Any] = {
    "ingress": "http://shop/",
    "api": None,
    "rate_hz": 10,
    "timeout_s": 1,
    "places": ["here"],
    "writer": None,
    "budgets": True,
    "owners": True,
    "etcd": False,
}


def good() -> dict[str, Any]:
    """A good report as its JSON has it; each test breaks one thing in it."""

    def kinds() -> dict[str, Any]:
        return {kind: cell(due=200, sent=200, by_place={"old": cell(), "new": cell()}) for kind in KINDS}

    held = {"position": "after", "check": "reachable", "ok": True, "detail": "both ways"}
    return {
        "stages": [
            {"stage": 0, "name": "baseline", "second_up_changes": 0, "gates": []},
            {"stage": 1, "name": "network", "second_up_changes": 0, "gates": [held]},
        ],
        "probes": kinds(),
        "idle": kinds(),
        "writes": {"acknowledged": 1000, "lost": 0, "read_back": True, "longest_gap_s": 0.4},
        "budgets": {"watched": 18, "violations": 0},
        "owners": {"watched": 20, "ready_before": 240, "ready_after": 240, "looked_at_end": True},
        "drain": {"nodes": 12, "pods": 240, "evictions": 240, "rejected_429": 0, "seconds": 60},
        "etcd": {"members_before": ["a", "b", "c"], "members_after": ["d", "e", "f"], "min_healthy_voters": 3},
        "leftovers": [],
        "leftovers_looked_for": True,
        "finished": True,
        "watched": WATCHED | {"cluster": "6f1c", "answers": "shop"},
    }


def judged(report: dict[str, Any]) -> list[str]:
    return judge(Report.model_validate(report))


def one_failed(report: dict[str, Any]) -> None:
    report["probes"]["api_kept"]["by_place"]["new"] |= {
        "failed": 7,
        "longest_outage_s": 0.7,
        "failed_by_window": {"stage 7": 7},
        "first_failure": "2026-11-22T10:00:00.10Z",
        "last_failure": "2026-11-22T10:00:00.70Z",
        "why": {"connect: 127.10.0.5:6443: refused": 7},
    }


def one_not_sent(report: dict[str, Any]) -> None:
    report["probes"]["ingress_fresh"]["by_place"]["old"] |= {"sent": 97, "worst_late_ms": 340.0}


def set_at(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(report: dict[str, Any]) -> None:
        at: Any = report
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return change


def violation(**changes: Any) -> dict[str, Any]:
    return {"budget": "shop/web", "begin": 5.0, "end": None, "current": 1, "desired": 3} | changes


def short_owner(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """One Deployment of 6 pods, all ready before and after, but for these."""
    owner = Owner.model_validate(
        {"owner": "Deployment shop/web", "lowest_ready": 0}
        | dict.fromkeys(("wanted_before", "ready_before", "wanted_after", "ready_after"), 6)
        | changes
    )

    def change(report: dict[str, Any]) -> None:
        report["owners"] |= {"short": int(owner.short), "details": [owner.model_dump()]}

    return change


BREAKS: list[tuple[str, Callable[[dict[str, Any]], None], list[str]]] = [
    (
        "a failed probe",
        one_failed,
        [
            "api_kept from new: 7 of 100 requests failed (stage 7: 7) between 2026-11-22T10:00:00.10Z and "
            "2026-11-22T10:00:00.70Z, longest outage 0.7 s, mostly connect: 127.10.0.5:6443: refused."
        ],
    ),
    (
        "failures that only the total knows",
        set_at("probes", "api_fresh", "failed", value=2),
        ["api_fresh: 2 of 200 requests failed."],
    ),
    (
        "a place from which too little was probed",
        set_at("probes", "api_kept", "by_place", "new", "expected", value=3000),
        ["api_kept from new: only 100 requests were made where 3000 were due."],
    ),
    (
        "a place that never began",
        set_at("never_active", value=["new"]),
        ["The place new is configured, and was never active: nothing was probed from it."],
    ),
    (
        "a configuration that was refused",
        set_at("notes", value=[{"event": "config_refused", "at": "10:00Z", "detail": "etcd: no such file"}]),
        ["Refused configuration at 10:00Z, so what it asks for was not watched: etcd: no such file."],
    ),
    (
        "nothing that was due",
        set_at("due", value=dict.fromkeys(Due.model_fields, False) | {"listeners": ()}),
        ["Nothing was due, so nothing was shown."],
    ),
    (
        "nobody looked who answered ingress",
        set_at("watched", "answers", value=None),
        ["Who answered ingress was not looked at (ingress.answers)."],
    ),
    (
        "nobody looked which cluster answered",
        set_at("watched", "cluster", value=None),
        ["Which cluster answered the API was not looked at."],
    ),
    (
        "an API server that says it isn't alive while it answers",
        set_at("livez", value={"due": 300, "sent": 300, "failed": 7, "by_place": {"old": cell(failed=7)}}),
        [],
    ),
    ("a kind without probes", set_at("probes", "api_kept", value={}), ["api_kept was never probed."]),
    (
        "a failure at rest",
        set_at("idle", "ingress_kept", "by_place", "old", "failed", value=1),
        ["Before stage 0 (idle), ingress_kept from old: 1 of 100 requests failed."],
    ),
    (
        "no idle at all",
        set_at("idle", value={}),
        [f"Before stage 0 (idle), {kind} was never probed." for kind in KINDS],
    ),
    (
        "a name without address",
        set_at(
            "names",
            value={
                "old/shop.x": {"asked": 90, "empty": 0},
                "new/shop.x": {
                    "asked": 80,
                    "empty": 2,
                    "by_window": {"stage 4": 2},
                    "first": "10:00Z",
                    "last": "10:01Z",
                    "answer": "NXDOMAIN",
                },
            },
        ),
        ["shop.x had no address for 2 of 80 queries from new (stage 4: 2) between 10:00Z and 10:01Z: NXDOMAIN."],
    ),
    (
        "a lost write",
        set_at("writes", value={"acknowledged": 1000, "lost": 2, "read_back": True, "lost_keys": ["w-x-4", "w-x-5"]}),
        ["2 of 1000 acknowledged writes are lost: w-x-4, w-x-5."],
    ),
    (
        "writes that stood still for 300 s, at a good rate on the whole",
        set_at(
            "writes",
            value={"acknowledged": 100_000, "read_back": True, "per_second": 11.9, "min_per_second": 10.0}
            | {"longest_gap_s": 300.0, "max_gap_s": 5.0}
            | {"longest_gap_begin": 1_795_600_000.0, "longest_gap_window": "stage 7"},
        ),
        ["No write was acknowledged for 300 s from 2026-11-25T09:46:40.00Z on (stage 7) (limit 5 s)."],
    ),
    ("no write", set_at("writes", "acknowledged", value=0), ["No write was acknowledged."]),
    (
        "writes not read back",
        set_at("writes", value={"acknowledged": 9, "lost": 0, "read_back": False, "problem": "refused"}),
        ["The writes could not be read back: refused."],
    ),
    (
        "too few writes a second",
        set_at(
            "writes",
            value={
                "acknowledged": 9,
                "lost": 0,
                "read_back": True,
                "per_second": 4.5,
                "min_per_second": 10.0,
                "longest_gap_s": 4,
            },
        ),
        ["Only 4.5 writes a second were acknowledged; the proof needs 10 (longest gap 4 s)."],
    ),
    (
        "a violated budget",
        set_at(
            "budgets",
            value={
                "watched": 18,
                "violations": 1,
                "details": [violation(window="stage 6", at="2026-11-22T10:00:00.00Z")],
            },
        ),
        ["The budget shop/web was violated at 2026-11-22T10:00:00.00Z (stage 6): 1 healthy pods where 3 are wanted."],
    ),
    (
        "violations without details",
        set_at("budgets", "violations", value=3),
        ["3 violations of budgets in all."],
    ),
    (
        "a budget deleted from under its pods",
        set_at(
            "budgets",
            value={
                "watched": 1,
                "violations": 1,
                "details": [violation(current=0, desired=0, removed=True)],
            },
        ),
        ["The budget shop/web was removed."],
    ),
    ("no budget watched", set_at("budgets", "watched", value=0), ["No PodDisruptionBudget was watched."]),
    ("no owner watched", set_at("owners", value={}), ["No owner of pods was watched."]),
    (
        "owners not looked at in the end",
        set_at("owners", "looked_at_end", value=False),
        ["Ready pods were not counted at the end, so what became of them is not known."],
    ),
    (
        "an app scaled to nothing",
        short_owner(wanted_after=0, ready_after=0, zero_at=1_795_600_000),
        ["Deployment shop/web was scaled from 6 to 0 at 2026-11-25T09:46:40.00Z; 0 pods are ready now."],
    ),
    (
        "an app that was scaled to nothing for a while",
        short_owner(zero_at=1_795_600_000),
        ["Deployment shop/web was scaled from 6 to 0 at 2026-11-25T09:46:40.00Z; 6 pods are ready now."],
    ),
    (
        "an app with too few ready pods",
        short_owner(ready_after=4),
        ["Deployment shop/web has 4 ready pods of the 6 it wants; it had 6 at the start."],
    ),
    (
        "an app that was scaled up and isn't ready",
        short_owner(wanted_after=9, ready_after=6),
        ["Deployment shop/web has 6 ready pods of the 9 it wants, after 6 at the start; it had 6 at the start."],
    ),
    (
        "an app that is gone",
        short_owner(removed_at=1_795_600_000),
        ["Deployment shop/web was removed at 2026-11-25T09:46:40.00Z; it had 6 ready pods."],
    ),
    ("an app that somebody scaled down", short_owner(wanted_after=3, ready_after=3), []),
    ("an app that was never whole", short_owner(ready_before=2, ready_after=2), []),
    (
        "an app with nothing from the start",
        short_owner(wanted_before=0, ready_before=0, wanted_after=0, ready_after=0),
        [],
    ),
    (
        "owners without details",
        set_at("owners", "short", value=3),
        ["3 owners in all have fewer ready pods than before."],
    ),
    (
        "a voter missing",
        set_at("etcd", "min_healthy_voters", value=2),
        ["etcd was down to 2 healthy voters; it had 3 at stage 0."],
    ),
    ("etcd not looked at", set_at("etcd", value={}), ["etcd's healthy voters were never counted."]),
    (
        "a learner left behind",
        set_at("etcd", "learners_after", value=["main-b"]),
        ["etcd is left with a learner: main-b."],
    ),
    (
        "a voter of four that was dead from the swap on",
        set_at("etcd", "down", value=[{"member": "main-b", "begin": 1_795_600_000, "seconds": 240.5, "ended": False}]),
        [
            "etcd's voter main-b was unhealthy for 240.5 s from 2026-11-25T09:46:40.00Z on to the end of the run "
            "(limit 10 s)."
        ],
    ),
    (
        "a voter silent while it is exchanged",
        set_at("etcd", "down", value=[{"member": "a", "begin": 1_795_600_000, "seconds": 9.5, "ended": True}]),
        [],
    ),
    (
        "etcd out of sight again and again",
        set_at("etcd", "blind_s", value=40.0),
        ["etcd's voters could not be counted for 40 s in all, 0 s at a time (limit 15 s)."],
    ),
    (
        "etcd out of sight",
        set_at("etcd", "longest_blind_s", value=40.0),
        ["etcd's voters could not be counted for 40 s (limit 15 s)."],
    ),
    (
        "a second up that changes something",
        set_at("stages", 1, "second_up_changes", value=4),
        ["Stage 1 (network): a second up changed 4 resources; it must change none."],
    ),
    (
        "no second up",
        set_at("stages", 0, value={"stage": 0, "name": "baseline"}),
        ["Stage 0 (baseline): no second up was made, so its changes are not known."],
    ),
    (
        "a second up on the way back that changes something",
        set_at("stages", 1, value={"stage": 1, "name": "network", "direction": "back", "second_up_changes": 2}),
        ["Stage 1 (network), back: a second up changed 2 resources; it must change none."],
    ),
    (
        "a second up that nobody asked for, and changed something",
        set_at("stages", 0, value={"stage": 0, "name": "baseline", "second_up_due": False, "second_up_changes": 1}),
        ["Stage 0 (baseline): a second up changed 1 resources; it must change none."],
    ),
    (
        "kept connections that aren't kept",
        set_at("probes", "api_kept", "by_place", "old", "reopened", value=98),
        ["api_kept from old: 98 of 100 requests found their kept connection ended: kept connections were not watched."],
    ),
    (
        "a gate that did not hold",
        set_at("stages", 1, "gates", 0, "ok", value=False),
        ["Stage 1 (network): the gate reachable did not hold after it: both ways."],
    ),
    ("no stage", set_at("stages", value=[]), ["No stage was run."]),
    (
        "leftovers",
        set_at("leftovers", value=["sg-1 in the old VPC"]),
        ["Left over: sg-1 in the old VPC."],
    ),
    ("leftovers not looked for", set_at("leftovers_looked_for", value=False), ["Leftovers were not looked for."]),
    ("an error of the rehearsal", set_at("errors", value=["Stage 4 failed."]), ["Stage 4 failed."]),
    (
        "a proof that was killed",
        set_at("finished", value=False),
        ["The proof did not end in order, so what happened after its last line on disk is not known."],
    ),
    (
        "a watcher that died",
        set_at("notes", value=[{"event": "watcher_died", "watcher": "budgets", "at": "10:00Z", "detail": "boom"}]),
        ["The budgets watcher died at 10:00Z: boom."],
    ),
]


def test_a_good_report_has_no_breach() -> None:
    assert judged(good()) == []


def test_a_way_back_need_not_end_as_a_way_forward_does() -> None:
    """Neither new members nor a drain are asked of it, nor a second up where none was due."""
    report = good()
    report["stages"][0] |= {"second_up_due": False, "second_up_changes": None}
    report["stages"].append({"stage": 0, "name": "baseline", "direction": "back", "second_up_changes": 0})
    report["etcd"]["members_after"] = report["etcd"]["members_before"]
    report["drain"] = {}
    assert judged(report) == []


@pytest.mark.parametrize(("change", "reasons"), [row[1:] for row in BREAKS], ids=[row[0] for row in BREAKS])
def test_each_breach_is_named_and_nothing_else(change: Callable[[dict[str, Any]], None], reasons: list[str]) -> None:
    report = good()
    change(report)
    assert judged(report) == reasons


def doubted(report: dict[str, Any]) -> tuple[list[str], list[str]]:
    read = Report.model_validate(report)
    return judge(read), doubts(read)


def test_what_the_prober_did_not_send_is_the_machines_fault_and_never_silently_ok() -> None:
    report = good()
    one_not_sent(report)
    report["probes"]["ingress_fresh"] |= {"sent": 197, "worst_late_ms": 340.0}
    assert doubted(report) == (
        [],
        [
            "This machine was too busy to be believed: 3 of 1600 requests were not sent, or ran out of time, while the "
            "prober itself was late (by up to 340 ms, limit 250 ms). They are not counted against the cluster. Repeat "
            "it on a machine with time to spare (priority over others: none)."
        ],
    )


def test_a_failure_is_still_the_clusters_beside_those_of_the_machine() -> None:
    report = good()
    starved = {"failed": 10, "starved": 3, "starved_by_window": {"stage 7": 3}, "failed_by_window": {"stage 6": 7}}
    report["probes"]["api_kept"] |= starved
    report["probes"]["api_kept"]["by_place"]["new"] |= starved | {"why": {"connect: refused": 7}}
    breaches, machine = doubted(report)
    assert breaches == ["api_kept from new: 7 of 100 requests failed (stage 6: 7), mostly connect: refused."]
    assert "3 of 1600 requests were not sent, or ran out of time" in machine[0]
    assert "(stage 7: 3)" in machine[0]


@pytest.mark.parametrize(
    ("reasons", "machine", "status"),
    [((), (), 0), (("lost",), (), 1), (("busy",), ("busy",), 3), (("lost", "busy"), ("busy",), 1)],
)
def test_a_machine_that_was_too_busy_has_an_exit_status_of_its_own(
    reasons: tuple[str, ...], machine: tuple[str, ...], status: int
) -> None:
    assert Report(ok=not reasons, reasons=reasons, doubts=machine).exit_status == status


def test_an_empty_report_is_not_ok() -> None:
    assert len(judge(Report())) == 4 + 4 + 2 + 7


MISSING: list[tuple[str, str, Any, str]] = [
    ("answerers", "watched", None, "Which cluster answered the API was not looked at."),
    ("ingress", "probes", {}, "ingress_fresh was never probed."),
    ("api", "probes", {}, "api_kept was never probed."),
    ("writer", "writes", {}, "No write was acknowledged."),
    ("budgets", "budgets", {}, "No PodDisruptionBudget was watched."),
    ("owners", "owners", {}, "No owner of pods was watched."),
    ("etcd", "etcd", {}, "etcd's healthy voters were never counted."),
    ("idle", "idle", {}, "Before stage 0 (idle), api_fresh was never probed."),
    ("stages", "stages", [], "No stage was run."),
    ("leftovers", "leftovers_looked_for", False, "Leftovers were not looked for."),
]


@pytest.mark.parametrize(("part", "key", "nothing", "reason"), MISSING, ids=[row[0] for row in MISSING])
def test_what_was_due_and_is_missing_is_a_breach_and_what_was_not_due_is_none(
    part: str, key: str, nothing: Any, reason: str
) -> None:
    report = good() | {key: nothing}
    assert reason in judged(report)
    assert reason not in judged(report | {"due": {part: False}})


def summary_of(**config: Any) -> Summary:
    return Summary(config=Watched.model_validate(WATCHED | config))


def test_a_watch_owes_what_it_was_configured_to_watch() -> None:
    due = Due.of(summary_of())
    assert due == Due(
        ingress=True,
        api=False,
        writer=False,
        budgets=True,
        owners=True,
        etcd=False,
        answerers=False,
        idle=False,
        stages=False,
        leftovers=False,
    )
    assert Due.of(summary_of(api="https://api/livez", etcd=True)) == due.model_copy(update={"api": True, "etcd": True})
    rested = summary_of().model_copy(update={"windows": (Window(label="idle", begin=1, end=2),)})
    assert Due.of(rested, leftovers=True) == due.model_copy(update={"idle": True, "leftovers": True})


def test_of_a_run_whose_configuration_is_lost_everything_is_due() -> None:
    assert Due.of(Summary()) == Due()


def test_a_watch_without_writer_is_not_told_that_it_lost_or_had_writes() -> None:
    report = build(summary_of(), Parts(due=Due.of(summary_of())))
    assert not any("write" in reason for reason in report.reasons)
    assert (report.writes.acknowledged, report.writes.read_back) == (0, False)


@pytest.mark.parametrize("key", ["name", "seconds"])
def test_a_gate_holds_what_its_operation_tells_and_nothing_else(key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        Gate.model_validate({"position": "before", "check": "x", "ok": True, "detail": "y", key: "z"})


def test_leftovers_that_nobody_looked_for_are_not_taken_for_none() -> None:
    told = "Leftovers were not looked for."
    assert told in build(Summary(), Parts()).reasons
    assert told not in build(Summary(), Parts(leftovers=())).reasons
    assert "Left over: sg-1." in build(Summary(), Parts(leftovers=("sg-1",))).reasons

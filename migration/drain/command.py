"""`python -m migration drain`: some nodes of any cluster emptied, without AWS and without a stack.

It is the migration's own drain, cordon and lease. Nodes stay cordoned however it ends; running it again goes on.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Literal

from migration.clients import Clients
from migration.clients.documents import Document
from migration.clients.kubernetes import ApiFailure
from migration.contracts.drained import DrainReport, PodLeft
from migration.drain.emptying import First, Work, cordon, drain, look_first
from migration.drain.executor import Tally, Unfinished
from migration.drain.nodes import given_back, set_aside
from migration.drain.options import rules
from migration.drain.plan import Blocked, Rules
from migration.drain.selection import listed_by, selected
from migration.plan.pods import drain_bound, told
from migration.plan.text import drain_lines
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent
from migration.runtime.lease import held

DONE, LEFT, INTERRUPTED = 0, 1, 130
# Seconds that another operation is waited for: a killed one's lease expires sooner.
OTHERS = 30.0
CALM = "the nodes stay cordoned: run the same command again to go on, or with --uncordon to take that back"

Outcome = Literal["done", "blocked", "unfinished", "interrupted"]


def run(args: argparse.Namespace) -> int:
    """Do it. 0 when nothing movable is left, 1 where pods are left (named), 130 when stopped; raises `Permanent`."""
    stream = sys.stderr if args.json else sys.stdout
    work = Work(tier="rest", rules=rules(args), off=args.nodes, by_option=True)
    clients = Clients(region="", kubeconfig=args.kubeconfig)
    context = Context(
        log=lambda text: print(text, file=stream, flush=True), deadline=Deadline(args.timeout), clients=clients
    )
    if args.dry_run:
        return _dry_run(args.nodes, work, context, json=args.json)
    try:
        with _stoppable():
            if args.uncordon:
                return _uncordon(args.nodes, context)
            return _drain(args.nodes, work, context, json=args.json)
    except KeyboardInterrupt:
        context.log("stopped before anything was changed")
        return INTERRUPTED
    except ApiFailure as failure:
        raise Permanent(f"the Kubernetes API refuses what the drain needs: {failure}") from failure


@contextmanager
def _stoppable() -> Generator[None]:
    """SIGTERM ends the block as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _holder() -> str:
    return f"python -m migration drain on {os.uname().nodename} (pid {os.getpid()})"


def _dry_run(selector: str, work: Work, context: Context, *, json: bool) -> int:
    nodes = selected(context.clients.kubernetes, selector)
    first = look_first(nodes, work, context, refuse=False)
    plan = told(first.view, first.rules, first.bound)
    print(plan.model_dump_json(indent=1, by_alias=True) if json else "\n".join(drain_lines(plan)))
    return DONE


def _uncordon(selector: str, context: Context) -> int:
    api = context.clients.kubernetes
    nodes = listed_by(api, selector)
    with held(api, holder=_holder(), log=context.log, give_up=OTHERS):
        cordon(nodes, given_back, "uncordoned", context)
    context.log(f"what this command had cordoned or tainted of {len(nodes)} nodes takes pods again")
    return DONE


def _drain(selector: str, work: Work, context: Context, *, json: bool) -> int:
    api, clock = context.clients.kubernetes, context.deadline.clock
    began = clock()
    nodes = selected(api, selector)
    with held(api, holder=_holder(), log=context.log, give_up=OTHERS) as lease:
        guarded = Context(log=context.log, deadline=context.deadline, clients=context.clients, alive=lease.check)
        first = look_first(nodes, work, guarded)
        outcome, left, tally = _emptied(nodes, work, first.rules, guarded)
    report = _report(outcome, len(nodes), first, tally, left, clock() - began)
    for one in left:
        context.log(f"left: {one}")
    if outcome != "done":
        context.log(f"{outcome}: {tally.evictions} pods were evicted; {CALM}")
    if json:
        print(report.model_dump_json(indent=1, by_alias=True))
    return {"done": DONE, "interrupted": INTERRUPTED}.get(outcome, LEFT)


def _emptied(
    nodes: Sequence[Document], work: Work, settled: Rules, context: Context
) -> tuple[Outcome, Sequence[Blocked], Tally]:
    """Cordon and drain, however it ends."""
    tally = Tally()
    try:
        cordon(nodes, set_aside, "cordoned and tainted", context)
        blocked = drain(nodes, work, settled, context, tally)
    except Unfinished as unfinished:
        context.log(str(unfinished))
        return "unfinished", unfinished.left, tally
    except KeyboardInterrupt:
        return "interrupted", (), tally
    return ("blocked" if blocked else "done"), blocked, tally


def _report(
    outcome: Outcome, nodes: int, first: First, tally: Tally, left: Sequence[Blocked], seconds: float
) -> DrainReport:
    bound = drain_bound(first.bound)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return DrainReport(
        outcome=outcome,
        nodes=nodes,
        pods=tally.pods,
        evictions=tally.evictions,
        restarts=tally.restarts,
        rejected429=tally.rejected,
        throttled429=tally.throttled,
        server_errors=tally.server_errors,
        seconds=round(seconds, 2),
        evicting_seconds=round(tally.evicting_seconds, 2),
        bound_seconds=round(first.bound.seconds, 2),
        streaming_bound_seconds=round(first.bound.streaming_seconds, 2),
        learnt_bound_seconds=round(tally.bound_seconds, 2),
        terms=bound.terms if bound else (),
        blocked=tuple(PodLeft(pod=one.pod, owner=one.owner, budget=one.budget, reason=one.reason) for one in left),
        cpu_seconds=round(used.ru_utime + used.ru_stime, 2),
        peak_memory_mb=round(used.ru_maxrss * 1024 / 1e6, 1),
    )

"""A plan in an operator's words: at most 20 lines."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from migration.contracts.durations import Prediction
from migration.contracts.parity import Parity
from migration.contracts.plan import (
    DrainBound,
    DrainPlan,
    Limit,
    MembersMove,
    NameForm,
    NameMove,
    NodesMove,
    Plan,
    PodsMove,
    WorkersMove,
)
from migration.contracts.seen import Unseen
from migration.stages.table import stage

LINES, WIDTH = 20, 110
# What is listed before "and n more".
SHOWN = 3
_BLOCKED = 3


def lines(plan: Plan) -> list[str]:
    """The plan for people. Long sentences are cut before any is left out; JSON has everything."""
    told = list(_told(plan))
    for most in (3, 2, 1):
        text = [line for one in told for line in _wrapped(one, most)]
        if len(text) <= LINES:
            return text
    return [*text[: LINES - 1], f"… {len(text) - LINES + 1} more lines: python -m migration plan --json has all"]


def _wrapped(sentence: str, most: int) -> list[str]:
    return textwrap.wrap(
        sentence,
        WIDTH,
        subsequent_indent="    ",
        max_lines=most,
        placeholder=" …",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _told(plan: Plan) -> Iterator[str]:
    yield f"stage {plan.stage} ({plan.name}) of cluster {plan.cluster}, {plan.from_side} → {plan.to_side}: {_way(plan)}"
    back = "" if plan.back.to is None else f"way back: to stage {plan.back.to}: {plan.back.how}"
    if plan.moves:
        yield f"moves: {'; '.join([*plan.moves, back] if back else plan.moves)}"
    yield from plan.declared
    if not isinstance(plan.names, Unseen | None):
        yield from _names(plan.names)
    if not isinstance(plan.workers, Unseen | None):
        yield f"workers: {'; '.join(map(_workers, plan.workers))}"
    if not isinstance(plan.nodes, Unseen | None):
        yield f"nodes: {'; '.join(map(_nodes, plan.nodes))}"
    if not isinstance(plan.members, Unseen | None):
        yield _members(plan.members, plan.voters)
    if not isinstance(plan.copies, Unseen | None) and plan.copies.ways:
        ways = ", ".join(f"{way} ({count})" for way, count in plan.copies.ways.items())
        yield f"copies of {_many(plan.copies.groups, 'group')} differ from their originals: {ways}"
    if not isinstance(plan.pods, Unseen | None):
        yield from _pods(plan.pods, ahead=plan.pods.stage != plan.stage)
    if not isinstance(plan.parity, Unseen | None):
        yield from _parity(plan.parity)
    if not isinstance(plan.rolls, Unseen | None):
        yield from (f"roll: {one}" for one in plan.rolls)
    for gate in plan.gates_before:
        if gate.state == "refuses":
            yield f"gate {gate.check} would refuse now: {gate.detail}"
        elif gate.state == "holds":
            yield f"gate {gate.check} holds now: {gate.detail}"
    yield from _unseen(plan)
    if not back:
        yield f"no way back from here: {plan.back.how}"
    elif not plan.moves:
        yield back
    for ahead in plan.gates_after:
        yield f"gate {ahead.check}, afterwards: {ahead.asks}"
    if not isinstance(plan.takes, Unseen):
        yield _takes(plan.takes)
    if plan.command:
        yield f"to do it: {plan.command}"
    elif plan.next:
        yield f"after it: {plan.next}"


def _way(plan: Plan) -> str:
    if plan.settled:
        return "reached; only what the configuration changed is done"
    if plan.direction == "stay":
        return "the migration begins"
    if isinstance(plan.origin, Unseen):
        return "where the migration is can't be seen"
    return f"{plan.direction} from stage {plan.origin} ({stage(plan.origin).name})"


def some(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _many(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _change(now: int, then: int) -> str:
    return f"{now} → {then}" if now != then else str(now)


def seconds(number: float) -> str:
    """A time as people say it: ``45 s``, ``2 min 5 s``, ``1 h 10 min``."""
    whole = max(1, round(number))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h" + (f" {minutes} min" if minutes else "")


def _names(moves: Iterable[NameMove]) -> Iterator[str]:
    together: dict[str, list[str]] = {}
    for move in moves:
        if move.now != move.then:
            together.setdefault(_name(move.now, move.then, alias=move.alias), []).append(move.name)
    for change, names in together.items():
        yield f"names: {some(names)}: {change}"


def _name(now: NameForm, then: NameForm, *, alias: bool) -> str:
    ttl = f"; TTL {now.ttl} → {then.ttl} s" if now.ttl != then.ttl else ""
    if then.ttl < now.ttl:
        ttl += f" (the old one is waited out: {seconds(now.ttl)})"
    if alias and now.pair != then.pair:
        ttl += f"; resolvers keep answers for {seconds(now.ttl)}"
    if now.pair and then.pair:
        sides = dict.fromkeys([*now.weights, *then.weights])
        return ", ".join(f"{s} {_change(now.weights.get(s, 0), then.weights.get(s, 0))}" for s in sides) + ttl
    return f"{_form(now, alias=alias)} → {_form(then, alias=alias)}{ttl}"


def _form(form: NameForm, *, alias: bool) -> str:
    if form.pair:
        sides = ", ".join(f"{side} {weight}" for side, weight in form.weights.items())
        return f"weighted pair {'of aliases ' if alias else ''}{sides}"
    return f"simple {'alias' if alias else 'record'} of {', '.join(form.weights) or 'nothing'}"


def _workers(one: WorkersMove) -> str:
    instances, groups = _change(one.instances, one.instances_then), _change(one.groups, one.groups_then)
    return f"{one.side} {instances} instances in {groups} groups"


def _nodes(one: NodesMove) -> str:
    return f"{one.side} {one.nodes}, {one.ready} ready, {_change(one.tainted, one.tainted_then)} tainted"


def _members(members: Sequence[MembersMove], voters: dict[str, int] | Unseen | None) -> str:
    machines = ", ".join(f"{one.side} {_change(one.machines, one.machines_then)}" for one in members)
    if isinstance(voters, Unseen | None):
        then = ", ".join(f"{one.side} {one.voters_then}" for one in members)
        return f"members: machines {machines}; voters will be {then}"
    votes = ", ".join(f"{one.side} {_change(voters.get(one.side, 0), one.voters_then)}" for one in members)
    return f"members: voters {votes}, one at a time; machines {machines}"


def drain_lines(pods: DrainPlan) -> list[str]:
    """What a drain alone would do, each blocked pod named."""
    budgets = [one for one in pods.limits if one.protected]
    count = f"{_many(pods.pods, 'pod')} to move off {_many(pods.nodes, 'node')}"
    told = [f"pods: {'; '.join([count, *_shares(pods, budgets)])}"]
    if pods.bound is not None:
        told.append(f"drain: at least {seconds(pods.bound.seconds)}: {_terms(pods.bound)}")
    waiting = [one.key for one in budgets if one.allowed == 0]
    if waiting:
        told.append(f"waits: budgets that allow no eviction now: {', '.join(waiting)}")
    return told + [f"blocked: {', '.join(one.pods)}: {one.reason}" for one in pods.blocked]


def _pods(pods: PodsMove, *, ahead: bool) -> Iterator[str]:
    budgets = [one for one in pods.limits if one.protected]
    stuck = sum(len(one.pods) for one in pods.blocked)
    count = f"{_many(pods.pods, 'pod')} to move off {_many(pods.nodes, 'node')}"
    if ahead:
        least = f", in at least {seconds(pods.bound.seconds)}" if pods.bound is not None else ""
        yield f"ahead, at stage {pods.stage}: {count}, {stuck} blocked{least}"
    else:
        yield f"pods: {count}: {'; '.join([*_shares(pods, budgets), f'{stuck} blocked'])}"
        if pods.bound is not None:
            yield f"drain: at least {seconds(pods.bound.seconds)}: {_terms(pods.bound)}"
    waiting = [one.key for one in budgets if one.allowed == 0]
    if waiting:
        yield f"waits: budgets that allow no eviction now: {some(waiting)}"
    for one in pods.blocked[:_BLOCKED]:
        yield f"blocked: {some(one.pods)}: {one.reason}"
    more = sum(len(one.pods) for one in pods.blocked[_BLOCKED:])
    if more:
        yield f"blocked: {_many(more, 'more pod')} for {_many(len(pods.blocked) - _BLOCKED, 'more reason')}"


def _parity(seen: Parity) -> Iterator[str]:
    """Both VPCs: what differs, each with its cure, and how much is alike."""
    new = "the new VPC" if seen.made else "the new VPC, as it will be made,"
    for one in seen.differences:
        yield f"VPCs differ: {one}; {one.cure}, or accept it in sides.<new>.without"
    accepted = f"; accepted without: {some([one.key for one in seen.accepted])}" if seen.accepted else ""
    yield f"VPCs: {new} has as the old one: {', '.join(seen.alike) or 'nothing'}{accepted}"


def _terms(bound: DrainBound) -> str:
    slowest = [
        f"⌈{_many(one.pods, 'pod')} / {one.at_once} at once⌉ × {one.round_seconds:g} s of {one.limit}"
        for one in bound.terms[:1]
    ]
    rate = (
        f"{_many(bound.evictions, 'eviction')} at {bound.per_second}/s: {seconds(bound.evictions / bound.per_second)}"
    )
    streaming = [f"{seconds(bound.streaming_seconds)} if no round is waited for"]
    return "; ".join([*slowest, rate, *(streaming if bound.streaming_seconds < bound.seconds else [])])


def _shares(pods: DrainPlan, budgets: Sequence[Limit]) -> Iterator[str]:
    """How many pods move under what."""
    if budgets:
        most = sorted(budgets, key=lambda one: -one.pods)
        number = sum(one.pods for one in budgets)
        yield f"{number} under {_many(len(budgets), 'budget')} ({some([f'{one.key} {one.pods}' for one in most])})"
    free = [one for one in pods.limits if not one.protected]
    if free:
        yield f"{sum(one.pods for one in free)} without a budget ({_many(len(free), 'owner')})"
    if pods.restarts:
        yield f"rolling restart of {some(pods.restarts)}, whose budget never allows an eviction"


def _takes(takes: Prediction) -> str:
    """How long, and of what the longest parts are; why each is so long stands in the JSON."""
    hidden = ", ".join(dict.fromkeys(one.partition(":")[0] for one in takes.unseen))
    told = f"takes {span(takes.low, takes.high)}{f', without {hidden}' if hidden else ''}"
    mark = ": "
    for one in sorted((one for one in takes.terms if one.high >= 1), key=lambda one: -one.high):
        part = f"{mark}{one.what} {span(one.low, one.high)}"
        if len(told + part) > WIDTH:
            break
        told, mark = told + part, ", "
    return told


def span(low: float, high: float | None) -> str:
    """Two times as people say them: ``2 min to 5 min``, or ``at least 2 min``."""
    if high is None:
        return f"at least {seconds(low)}"
    shortest, longest = seconds(low), seconds(high)
    return shortest if shortest == longest else f"{shortest} to {longest}"


def _unseen(plan: Plan) -> Iterator[str]:
    """What couldn't be looked at: parts with the same reason together."""
    parts = {
        "the record": plan.origin,
        "names": plan.names,
        "workers": plan.workers,
        "copies": plan.copies,
        "nodes": plan.nodes,
        "pods": plan.pods,
        "members": plan.members,
        "voters": plan.voters,
        "rolls": plan.rolls,
        "both VPCs": plan.parity,
    }
    reasons: dict[str, list[str]] = {}
    for name, part in parts.items():
        if isinstance(part, Unseen):
            reasons.setdefault(part.unseen, []).append(name)
    for gate in plan.gates_before:
        if gate.state == "unseen":
            reasons.setdefault(gate.detail, []).append(f"gate {gate.check}")
    for reason, names in reasons.items():
        yield f"not seen: {', '.join(names)}: {reason}"

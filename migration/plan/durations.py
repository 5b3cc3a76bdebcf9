"""How long the next `up` takes, term by term, before it begins. Pure.

A term is a wait that an operation, a gate or the engine really makes, as long as the configuration's own keys make it
or, where nobody configures it, as long as `Timings` say. What follows each other adds up; of what passes side by side
the longest counts. What can't be seen is named: it isn't taken for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from migration.contracts.durations import Checks, Prediction, Span, Term, Timings
from migration.contracts.plan import GateNow, Plan, PodsMove, WorkersMove
from migration.contracts.seen import Unseen
from migration.settings import Settings
from migration.settings.balancers import HealthCheck, ServiceKeys
from migration.settings.forms import api_form, ingress_forms, placed, services
from migration.settings.model import ManagedSide
from migration.stages.table import Names, Stage
from migration.stages.table import stage as row_of

DELAY = "deregistration_delay.timeout_seconds"
AWS_DELAY = 300.0
"""Where a target group says nothing (ELB, "Edit target group attributes": deregistration delay)."""
QUIET = ("ingress-quiet", "api-quiet")
TIERS = 2
"""Drains one after the other: ingress pods, then the rest; each looks again after `drain.rescanSeconds`."""

Found = Iterator[Term | Unseen]


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """What an `up` to the settings' stage finds: the stage it leaves, and what a plan has seen of the world.

    None: it doesn't move, or nobody looked.
    """

    origin: int
    settled: bool = False
    workers: Sequence[WorkersMove] | Unseen | None = None
    pods: PodsMove | Unseen | None = None
    voters: Mapping[str, int] | Unseen | None = None
    rolls: Sequence[str] | Unseen | None = None
    gates_before: Sequence[GateNow] = ()


def predicted(settings: Settings, plan: Plan, timings: Timings | None = None) -> Prediction | Unseen:
    """The time that `plan`, made of the same settings, takes; unseen for a way back, which isn't predicted."""
    if isinstance(plan.origin, Unseen):
        return Unseen(unseen=f"where the migration is can't be seen: {plan.origin.unseen}")
    if plan.direction == "back":
        return Unseen(unseen="a way back isn't predicted: it depends on what was lost meanwhile")
    ahead = Ahead(
        origin=plan.origin,
        settled=plan.settled,
        workers=plan.workers,
        pods=plan.pods,
        voters=plan.voters,
        rolls=plan.rolls,
        gates_before=plan.gates_before,
    )
    return of(settings, ahead, timings)


def of(settings: Settings, ahead: Ahead, timings: Timings | None = None) -> Prediction:
    """The time that an `up` to the settings' stage takes, as far as it can be told; `timings` are AWS's by default."""
    known = Timings() if timings is None else timings
    found = list(_Stage(settings, ahead, row_of(ahead.origin), settings.stage, known).terms())
    terms = tuple(one for one in found if isinstance(one, Term))
    unseen = tuple(one.unseen for one in found if isinstance(one, Unseen))
    high = None if unseen else sum(one.high for one in terms)
    return Prediction(low=sum(one.low for one in terms), high=high, terms=terms, unseen=unseen)


def _term(what: str, span: Span, why: str) -> Term:
    return Term(what=what, low=span[0], high=span[1], why=why)


def _sum(*spans: Span) -> Span:
    return sum(low for low, _ in spans), sum(high for _, high in spans)


def _times(number: int, span: Span) -> Span:
    return number * span[0], number * span[1]


def _longest(spans: Iterable[Span]) -> Span:
    """Of what passes side by side."""
    found = list(spans)
    return max(low for low, _ in found), max(high for _, high in found)


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How long balancers look at a target until they call it healthy, or unhealthy."""

    timings: Timings

    def new(self, check: HealthCheck | None, *, healthy: bool = True) -> Span:
        """At a target that is just registered."""
        return _sum(self.timings.registration, self.answering(check, healthy=healthy))

    def answering(self, check: HealthCheck | None, *, healthy: bool = True) -> Span:
        """At one that answers (or not) from now on: up to an interval passes until the first look."""
        how = self.timings.checks
        if how is None:
            said = check or HealthCheck()
            how = Checks(
                interval=said.interval,
                healthy_threshold=said.healthy_threshold,
                unhealthy_threshold=said.unhealthy_threshold,
            )
        row = how.healthy_threshold if healthy else how.unhealthy_threshold
        return how.interval * (row - 1), how.interval * row


class _Stage:
    def __init__(self, settings: Settings, ahead: Ahead, left: Stage, row: Stage, timings: Timings) -> None:
        self._settings, self._c, self._ahead = settings, settings.configuration, ahead
        self._left, self._row, self._timings = left, row, timings
        self._looks = Looks(timings=timings)

    def terms(self) -> Found:
        """In the order in which they are waited for."""
        yield _term("the engine's own work", self._timings.engine, "AWS's calls, the stack's state")
        if self._ahead.settled:
            yield from self._rolls()
            return
        yield from self._gates_before()
        yield from self._network()
        yield from self._balancers_and_names()
        yield from self._workers()
        yield from self._quiet()
        yield from self._drain()
        yield from self._members()
        yield from self._cleanup()

    def _enters(self, name: str) -> bool:
        """Whether a gate after the changes is asked that wasn't before."""
        return name in self._row.gates_after

    def _rolls(self) -> Found:
        if isinstance(self._ahead.rolls, Unseen):
            yield Unseen(unseen=f"what is rolled out: {self._ahead.rolls.unseen}")
        elif self._ahead.rolls:
            yield Unseen(unseen=f"{len(self._ahead.rolls)} rolls: node by node, as budgets let them")

    # Gates

    def _gates_before(self) -> Found:
        """Only those that wait for something: one that holds now is over at once, one that can't hold says so."""
        for gate in self._ahead.gates_before:
            if gate.check not in QUIET or gate.state == "holds":
                continue
            if gate.state == "unseen":
                yield Unseen(unseen=f"gate {gate.check}: {gate.detail}")
                continue
            yield _term(f"gate {gate.check}", self._silence(already=True), self._silence_why)

    def _quiet(self) -> Found:
        if self._enters("ingress-quiet") and self._left.traffic is not self._row.traffic:
            yield _term("old balancers quiet (gate ingress-quiet)", self._silence(already=False), self._silence_why)

    @property
    def _kept(self) -> int:
        """How long resolvers keep the pairs' answers."""
        return self._c.traffic.kept(self._c.limits.alias_ttl_seconds)

    def _silence(self, *, already: bool) -> Span:
        """From the last weight's change: clients ask again within a TTL; then the window, as metrics show it.

        The weight changes as the wait for name servers begins. `already`: it changed at an earlier stage, so that
        some or all of it may be over.
        """
        limits, lag = self._c.limits, self._timings.metric_lag
        window, period = limits.quiet_window(self._kept), limits.metric_period_seconds
        high = self._kept + window + 2 * period + lag[1]
        return (0, high) if already else (max(0.0, window - period + lag[0] - self._timings.in_sync[1]), high)

    @property
    def _silence_why(self) -> str:
        limits = self._c.limits
        return (
            f"max(2 × {self._kept} s TTL, {limits.quiet_periods} periods of {limits.metric_period_seconds} s) and a "
            f"period, after clients asked again; metrics come late"
        )

    # Stages' changes

    def _network(self) -> Found:
        new = self._settings.new
        if not self._left.starting or self._row.starting or not isinstance(new, ManagedSide):
            return
        waits: list[tuple[str, Span]] = []
        if new.nat != "none":
            waits.append(("NAT gateways", self._timings.nat))
        if any(one.type == "Interface" for one in new.endpoints):
            waits.append(("interface endpoints", self._timings.endpoint))
        if waits:
            what = " and ".join(name for name, _ in waits)
            yield _term(f"{what} available", _longest(span for _, span in waits), "side by side")

    def _balancers_and_names(self) -> Found:
        """Names get their form when the API's new balancer has its targets; their health passes beside that."""
        c, left, row = self._c, self._left, self._row
        coming = not left.shared.on_new and row.shared.on_new
        if coming:
            yield _term("load balancers active", self._timings.balancer, "side by side")
        names = list(self._names())
        if coming:
            span = self._looks.new(api_form(c).health_check)
            beside = sum(one.low for one in names), sum(one.high for one in names)
            more = max(0.0, span[0] - beside[1]), max(0.0, span[1] - beside[0])
            if more[1]:
                yield _term("old members healthy behind the new API balancer", more, self._checks_why)
        yield from names

    @property
    def _checks_why(self) -> str:
        return "registration, then health checks in a row"

    def _names(self) -> Iterator[Term]:
        c, left, row, in_sync = self._c, self._left, self._row, self._timings.in_sync
        formed = left.names is not row.names
        if formed:
            yield _term("one change batch on all name servers", in_sync, "Route 53 says INSYNC")
        if row.names is Names.PAIR and formed:
            alias_ttl = c.limits.alias_ttl_seconds
            kept = max((record.kept(alias_ttl) for record in c.traffic.records), default=0)
            if kept > c.traffic.ttl:
                yield _term("old TTL waited out", (kept, kept), "the longest of traffic.records, or an alias's")
        if row.names is Names.PAIR and (formed or left.traffic is not row.traffic):
            span = _times(2, in_sync)
            yield _term("weights on all name servers", span, "Route 53 says INSYNC, new side's then old side's")

    def _workers(self) -> Found:
        workers, row, left = self._ahead.workers, self._row, self._left
        if left.workers.on_new or not row.workers.on_new or row.finished:
            return
        if isinstance(workers, Unseen | None):
            why = workers.unseen if workers else "nobody looked at the groups"
            yield Unseen(unseen=f"new workers' boot: {why}")
            return
        new = next(one for one in workers if one.side == self._c.to)
        coming = new.instances_then - new.instances
        if coming <= 0:
            return
        t = self._timings
        boot = _sum(t.launch, t.boot, t.join)
        yield _term(f"{coming} instances boot and join", boot, "side by side")
        # Auto Scaling registers them as they are launched: that is over when they have booted.
        groups = [group for form in ingress_forms(self._c).values() for group in form.groups.values()]
        span = _longest(self._looks.answering(group.health_check) for group in groups)
        yield _term("new ingress targets healthy", span, "health checks in a row, after their nodes joined")

    def _drain(self) -> Found:
        c, t = self._c, self._timings
        if self._left.drained or not self._row.drained or self._row.finished:
            return
        rescan = TIERS * c.drain.rescan_seconds
        yield _term("looks again", (rescan, rescan), f"{TIERS} tiers, drain.rescanSeconds {c.drain.rescan_seconds}")
        yield from self._pods(self._ahead.pods)
        for service in services(c):
            if service.external_traffic_policy == "Local":
                yield self._policy_back(service)
        groups = [group for form in ingress_forms(c).values() for group in form.groups.values()]
        delays = _longest(self._delay(group.attributes) for group in groups)
        yield _term("old machines gone", _sum(delays, t.terminate), "Auto Scaling lets their targets drain first")

    def _policy_back(self, service: ServiceKeys) -> Term:
        """Some new nodes have no ingress pod, as a rule: they are no targets for a while, then unhealthy ones."""
        name = service.service
        groups = [one.form for one in placed(self._c) if one.service == service]
        delay = _longest(self._delay(group.attributes) for group in groups) if groups else (0.0, 0.0)
        turning = [self._looks.new(group.health_check, healthy=False) for group in groups]
        span = _sum(delay, _longest(turning)) if turning else delay
        return _term(f"{name}'s policy back to Local", span, "targets without a pod drain, and are looked at again")

    def _pods(self, pods: PodsMove | Unseen | None) -> Found:
        t = self._timings
        if isinstance(pods, Unseen | None):
            yield Unseen(unseen=f"drain: {pods.unseen if pods else 'nobody looked at the pods'}")
            return
        if pods.blocked:
            stuck = sum(len(one.pods) for one in pods.blocked)
            yield Unseen(unseen=f"drain: {stuck} pods are blocked until somebody does what their reasons say")
        closed = [one.key for one in pods.limits if one.protected and one.allowed == 0]
        if closed:
            yield Unseen(unseen=f"drain: {len(closed)} budgets allow no eviction now, the first is {closed[0]}")
        if pods.bound is not None:
            least = pods.bound.seconds
            span = least * t.drain_to_bound[0], least * t.drain_to_bound[1]
            yield _term("pods moved", span, f"the drain's bound {least:.0f} s × {_span(t.drain_to_bound)}")
            yield _term("last pods end, volumes detached", _sum(t.pods_end, t.detach), "their grace period; EBS")

    def _members(self) -> Found:
        c, t = self._c, self._timings
        if not self._row.control_plane.on_new or self._row.finished:
            return
        moving = self._moving()
        if isinstance(moving, Unseen):
            yield moving
            return
        if not moving:
            return
        if self._left.control_plane.on_new:
            yield _term("new members' machines", (0, t.boot[1]), "they booted when the stage was begun")
        else:
            yield _term("new members' machines boot", _sum(t.launch, t.boot), "side by side")
        if any(one.api_servers for one in c.members):
            yield Unseen(unseen="API machines that move with their members")
        form = api_form(c)
        yield _term(
            f"{moving} × a member's API server healthy",
            _times(moving, self._looks.new(form.health_check)),
            self._checks_why,
        )
        yield _term(
            f"{moving} × the old one's out of the balancers",
            _times(moving, self._delay(form.target_attributes)),
            DELAY,
        )
        moved = _sum(t.swap, t.detach) if c.etcd.strategy == "volume" else t.swap
        yield _term(f"{moving} × {c.etcd.strategy}, commands", _times(moving, moved), "grows with the database")
        yield _term(f"{moving} × the old machine gone", _times(moving, t.terminate), "before the next one begins")

    def _moving(self) -> int | Unseen:
        """How many members move at this `up`."""
        wanted = self._settings.moved_members
        if not self._left.control_plane.on_new:
            return wanted
        voters = self._ahead.voters
        if isinstance(voters, Unseen | None):
            why = voters.unseen if voters else "nobody looked at etcd"
            return Unseen(unseen=f"swaps, how many of {wanted} are still to be made: {why}")
        return max(0, wanted - voters.get(self._c.to, 0))

    def _cleanup(self) -> Found:
        if not self._row.finished or self._left.finished:
            return
        interfaces = any(one.type == "load-balancer" for one in self._c.retire)
        if interfaces or isinstance(self._settings.old, ManagedSide):
            yield _term("balancers' interfaces gone", self._timings.interfaces, "before their groups and subnets")

    def _delay(self, attributes: dict[str, str]) -> Span:
        """A target group's deregistration delay, all of it: a copy has its original's."""
        delay = float(attributes.get(DELAY, AWS_DELAY))
        most = self._timings.deregistration_at_most
        delay = delay if most is None else min(delay, most)
        return delay, delay


def _span(span: Span) -> str:
    return f"{span[0]:g} to {span[1]:g}"

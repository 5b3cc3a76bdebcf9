"""Looking at everything that the next `up` would move. Only reads, all parts side by side, bounded in time."""

from __future__ import annotations

from dataclasses import replace

from migration import status
from migration.clients import Clients
from migration.clients.kubernetes import Unreachable
from migration.contracts.durations import Timings
from migration.contracts.gates import (
    QUESTIONS,
    SOMETIMES,
    EtcdQuestion,
    NewBalancersAnswer,
    NewMachinesReach,
    Question,
    SideRef,
    control_plane_groups,
    member_groups,
    questions,
    worker_groups,
)
from migration.contracts.parity import Parity
from migration.contracts.plan import (
    CopiesDiffer,
    GateAhead,
    GateNow,
    MembersMove,
    NameForm,
    NameMove,
    NodesMove,
    Plan,
    PodsMove,
    WayBack,
    WorkersMove,
)
from migration.contracts.retirement import counted
from migration.contracts.seen import NodesSeen, Unseen
from migration.dns.ownership import plain_target
from migration.dns.wanted import FULL, weights_at
from migration.etcd.preflight import quorum
from migration.gates import Live, look
from migration.parity.look import parity
from migration.plan import pods
from migration.plan.durations import predicted
from migration.plan.looks import Look, words
from migration.plan.reading import NotReading, ReadingClients
from migration.rolling import due, lived_on
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent, Retryable
from migration.settings import Settings
from migration.settings.forms import carried_services
from migration.settings.model import ReferencedSide
from migration.stages.admission import admit
from migration.stages.moves import Direction, IllegalMove, Move
from migration.stages.table import LAST, Back, Names, Stage, before, entered, stage, swapped
from migration.workers.copies import differences
from migration.workers.snapshot import templates_of

# Seconds for everything together, and of these for the record, which everything else begins with.
SECONDS = 14.0
RECORD_SECONDS = 5.0


def at_stage(settings: Settings, number: int) -> Settings:
    """The same settings at another stage."""
    return replace(settings, stage=stage(number))


def plan(
    settings: Settings,
    owner: str,
    clients: Clients | None = None,
    seconds: float = SECONDS,
    timings: Timings | None = None,
) -> Plan:
    """The plan of the settings' stage. Raises `IllegalMove` where the record doesn't allow it.

    `timings`: what the cloud needs for things, where it isn't AWS.
    """
    clients = clients or ReadingClients(region=settings.region, kubeconfig=settings.configuration.kubeconfig)
    deadline = Deadline(seconds)

    def allowed() -> Move | IllegalMove:
        try:
            return admit(settings, owner, clients)
        except IllegalMove as refusal:
            return refusal

    move = Look(allowed).seen(Deadline(min(RECORD_SECONDS, seconds)))
    if isinstance(move, IllegalMove):
        raise move
    return plan_of(settings, move, clients, deadline, timings)


def plan_of(
    settings: Settings,
    move: Move | Unseen,
    clients: Clients | None = None,
    deadline: Deadline | None = None,
    timings: Timings | None = None,
) -> Plan:
    """The plan of a move that is legal (or whose record can't be seen), as far as it shows until the deadline."""
    clients = clients or ReadingClients(region=settings.region, kubeconfig=settings.configuration.kubeconfig)
    found = _Observer(settings, move, clients, deadline or Deadline(SECONDS)).plan()
    return found.model_copy(update={"takes": predicted(settings, found, timings)})


class _Observer:
    def __init__(self, settings: Settings, move: Move | Unseen, clients: Clients, deadline: Deadline) -> None:
        self._settings, self._row, self._move, self._deadline = settings, settings.stage, move, deadline
        self._left = before(self._row) if isinstance(move, Unseen) else stage(move.origin)
        self._settled = isinstance(move, Move) and move.settled
        self._live = Live(
            settings.configuration.cluster, Context(log=lambda _: None, deadline=deadline, clients=clients)
        )

    def plan(self) -> Plan:
        """Begin every look, then collect them."""
        s, c, row, left, deadline = self._settings, self._settings.configuration, self._row, self._left, self._deadline
        moving = left.workers is not row.workers or left.workloads is not row.workloads
        swapping = row.control_plane.on_new and not row.finished
        named = (left.names, row.names) != (Names.FOUND, Names.FOUND)
        drains = row.moving_pods or (row.drained and not left.drained)
        # Where the migration is over names move no more.
        names = Look(self._names) if named and not (self._settled and row.finished) else None
        workers, nodes = (Look(self._workers), Look(self._nodes)) if moving else (None, None)
        pods_left = Look(self._pods) if drains else None
        copied = self._copied()
        copies = Look(lambda: self._copies(copied)) if copied else None
        members, voters = (Look(self._members), Look(self._voters)) if swapping else (None, None)
        rolls = Look(self._rolls) if self._settled and lived_on(s) is not None else None
        # Until machines are there; then it is what it is.
        alike = Look(self._parity) if not left.workers.on_new and not self._settled else None
        asked = () if self._settled else questions(s, row.gates_before)
        gates = [Look(lambda one=one: self._gate(one)) for one in asked]
        return Plan(
            cluster=c.cluster,
            stack=s.stack,
            from_side=c.from_,
            to_side=c.to,
            stage=row.number,
            name=row.name,
            origin=self._move if isinstance(self._move, Unseen) else self._move.origin,
            direction="forward" if isinstance(self._move, Unseen) else self._move.direction.value,
            settled=self._settled,
            moves=self._moves(),
            declared=tuple(self._declared()),
            names=names and names.seen(deadline),
            workers=workers and workers.seen(deadline),
            copies=copies and copies.seen(deadline),
            nodes=nodes and nodes.seen(deadline),
            pods=pods_left and pods_left.seen(deadline),
            members=members and members.seen(deadline),
            voters=voters and voters.seen(deadline),
            rolls=rolls and rolls.seen(deadline),
            parity=alike and alike.seen(deadline),
            gates_before=tuple(_judged(one, gate.seen(deadline)) for one, gate in zip(asked, gates, strict=True)),
            gates_after=() if self._settled else _ahead(self._settings, row),
            back=way_back(row),
            command=s.command.format(stage=row.number) if c.stage != row.number else None,
            next=s.command.format(stage=row.number + 1) if row.number < LAST else None,
        )

    def _moves(self) -> tuple[str, ...]:
        if isinstance(self._move, Move) and self._move.direction is Direction.BACK:
            return (self._left.undo,)
        rows = entered(self._left.number, self._row.number) or (self._row,)
        return () if self._settled else tuple(self._move_of(row) for row in rows)

    def _move_of(self, row: Stage) -> str:
        c = self._settings.configuration
        if row is not swapped() or c.etcd.strategy == "learner":
            return row.moves
        total = len(c.members)
        spare = total - 1 - quorum(total)
        return (
            f"members moved one by one, each with its volume: {total - 1} of {total} vote meanwhile, {spare} more may "
            f"fail, and none is begun while another is unwell"
        )

    def _declared(self) -> list[str]:
        s, c, row, left = self._settings, self._settings.configuration, self._row, self._left
        found: list[str] = []
        if left.starting and not row.starting:
            tables = "each old route table"
            if isinstance(s.old, ReferencedSide):
                tables = f"{len(s.old.route_tables)} old route tables"
            peered = sum(1 for one in c.connected_networks if one.vpc_id)
            found.append(
                f"network: VPC {c.to} {s.new.cidr} in {len(s.new.zones)} zones, peered with {c.from_} "
                f"{', '.join(s.old.ranges)}; "
                f"a route in {tables}; {peered} of {len(c.connected_networks)} connected networks "
                f"peered as well"
            )
        if not left.shared.on_new and row.shared.on_new:
            found.append(
                f"balancers: {len(c.more_ingress) + 1 if c.more_ingress else 'one'} for ingress and one for the API in "
                f"{c.to}; {len(c.members)} members of {c.from_} become targets of the latter"
            )
        if services := carried_services(c):
            found += self._services([f"{one.namespace}/{one.service}" for one in services.values()])
        if row.finished and not left.finished:
            peering = "peering stays (retainPeering)" if c.retain_peering else "peering and its routes go"
            if isinstance(s.old, ReferencedSide):
                found.append(f"deleted for good: {counted(c.retire)}; {len(c.keep)} to keep; {peering}")
            else:
                found.append(
                    f"deleted for good, by the stack: side {c.from_} whole, its VPC, balancers, {len(c.pools)} worker "
                    f"groups and {len(c.members)} members' groups with their volumes; {peering}"
                )
        return found

    def _services(self, names: list[str]) -> list[str]:
        """What becomes of Services of type LoadBalancer whose balancers are carried."""
        c, row, left = self._settings.configuration, self._row, self._left
        told, found = ", ".join(names), list[str]()
        if row.workers.on_new and not left.workers.on_new and not row.finished:
            found.append(
                f"Services of type LoadBalancer: the cloud controller's balancers of {told} take nodes of {c.from_} "
                f"only"
            )
        if row.finished and not left.finished:
            found.append(
                f"Services of type LoadBalancer ({c.traffic.afterwards}): {told} become NodePorts with the ports they "
                f"have; the cloud controller deletes its balancers, and this program's in {c.to} stay for good"
            )
        return found

    def _names(self) -> tuple[NameMove, ...]:
        s, row = self._settings, self._row
        c, weights = s.configuration, weights_at(row, s.configuration.traffic.new_traffic_percent)
        found: list[NameMove] = []
        old = self._live.side(SideRef.of(s, c.from_))
        for seen, record in zip(status.names(s, self._live), s.records, strict=True):
            pair = set(seen.leads) <= {c.from_, c.to}
            balancer = old.serving(record.serves)
            before = record.value or (balancer.dns_name if balancer else None)
            if record.is_alias and before is not None:
                before = plain_target(before)
            alias_ttl = c.limits.alias_ttl_seconds
            simple, paired = record.kept(alias_ttl), alias_ttl if record.is_alias else c.traffic.ttl
            leads = seen.leads if pair else {c.from_ if lead == before else lead: FULL for lead in seen.leads}
            then = {
                Names.FOUND: NameForm(pair=False, weights={c.from_: FULL}, ttl=simple),
                Names.PAIR: NameForm(pair=True, weights={c.from_: weights.old, c.to: weights.new}, ttl=paired),
                Names.FINAL: NameForm(pair=False, weights={c.to: FULL}, ttl=simple),
            }[row.names]
            now = NameForm(pair=pair, weights=leads, ttl=seen.ttl)
            found.append(NameMove(name=seen.name, alias=record.is_alias, now=now, then=then))
        return tuple(found)

    def _workers(self) -> tuple[WorkersMove, ...]:
        s, c, row = self._settings, self._settings.configuration, self._row
        sizes: dict[str, list[int]] = {}
        for side in (c.from_, c.to):
            groups = self._live.aws.groups(worker_groups(s, side))
            sizes[side] = [int(group["DesiredCapacity"]) for group in groups.values()]
        old, new = sizes[c.from_], sizes[c.to]
        # A copy begins with its original's size, and is scaled by others from then on.
        coming = sum(new) if len(new) == len(c.pools) else sum(old)
        return (
            WorkersMove(
                side=c.from_,
                groups=len(old),
                groups_then=0 if row.finished else len(old),
                instances=sum(old),
                instances_then=sum(old) if row.workers.on_old else 0,
            ),
            WorkersMove(
                side=c.to,
                groups=len(new),
                groups_then=len(c.pools) if row.workers.on_new else 0,
                instances=sum(new),
                instances_then=coming if row.workers.on_new else 0,
            ),
        )

    def _copied(self) -> tuple[str, ...]:
        """The old groups whose templates are copied on the way to this stage."""
        s, old, row, left = self._settings, self._settings.configuration.from_, self._row, self._left
        workers = worker_groups(s, old) if row.workers.on_new and not left.workers.on_new else ()
        members = control_plane_groups(s, old) if row.control_plane.on_new and not left.control_plane.on_new else ()
        return (*workers, *members)

    def _copies(self, names: tuple[str, ...]) -> CopiesDiffer:
        groups = self._live.aws.groups(names)
        missing = sorted(set(names) - set(groups))
        if missing:
            raise Permanent(f"Auto Scaling groups {', '.join(missing)} don't exist")
        templates = templates_of(self._live.aws, list(groups.values()))
        ways = differences(templates, self._settings.configuration.hardening.imdsv2)
        return CopiesDiffer(groups=len(templates), ways=ways)

    def _nodes(self) -> tuple[NodesMove, ...]:
        def then(one: NodesSeen) -> int:
            return one.nodes if self._row.workloads.on_new and one.side == self._settings.configuration.from_ else 0

        return tuple(NodesMove(**dict(one), tainted_then=then(one)) for one in status.nodes(self._settings, self._live))

    def _parity(self) -> Parity:
        s, live = self._settings, self._live
        c = s.configuration
        return parity(s, live, live.side(SideRef.of(s, c.from_)), live.side(SideRef.of(s, c.to)))

    def _rolls(self) -> tuple[str, ...]:
        return tuple(due(self._settings, self._live.context.clients, self._live.context))

    def _pods(self) -> PodsMove:
        return pods.pods(self._settings, self._live)

    def _members(self) -> tuple[MembersMove, ...]:
        s, c = self._settings, self._settings.configuration
        moved = s.moved_members
        found: list[MembersMove] = []
        # New machines all start at once and wait; old ones go with their members.
        for side, voters, machines_then in (
            (c.from_, len(c.members) - moved, len(c.members) - moved),
            (c.to, moved, len(c.members)),
        ):
            machines = self._live.aws.instances_of_groups(member_groups(s, side))
            running = sum(1 for one in machines if one.state == "running")
            found.append(MembersMove(side=side, machines=running, machines_then=machines_then, voters_then=voters))
        return tuple(found)

    def _voters(self) -> dict[str, int]:
        self._etcd_is_open()
        seen = status.members(self._settings, self._live)
        c = self._settings.configuration
        return {side: sum(1 for one in seen if one.votes and one.side == side) for side in (c.from_, c.to)}

    def _etcd_is_open(self) -> None:
        """Raise `NotReading` where etcd could only be asked by commands on its machines."""
        if not self._settings.configuration.etcd.access.by_port or not self._left.etcd_open:
            raise NotReading(
                "etcd isn't open to this machine, and asking it through Systems Manager is a command, not a read"
            )

    def _gate(self, question: Question) -> GateNow:
        try:
            if isinstance(question, EtcdQuestion):
                self._etcd_is_open()
            if isinstance(question, NewBalancersAnswer) and not question.from_here:
                raise NotReading("the new balancers would be tried by a command on machines, and that isn't a read")
            if isinstance(question, NewMachinesReach) and question.by == "ssm":
                raise NotReading(_unread(question))
            return GateNow(check=question.check, state="holds", detail=look(question, self._live))
        except Unreachable as reason:
            return GateNow(check=question.check, state="unseen", detail=words(reason))
        except (Permanent, Retryable) as reason:
            return GateNow(check=question.check, state="refuses", detail=str(reason))


def _unread(q: NewMachinesReach) -> str:
    """Why `q` isn't asked here, and what of it can't be tried at all."""
    text = "ways out of the new VPC would be tried by commands on machines, and that isn't a read"
    if q.connected and not q.reach:
        text += f"; of {', '.join(q.connected)} nothing would be tried: sides.<new>.reach is empty"
    return text


def _judged(question: Question, seen: GateNow | Unseen) -> GateNow:
    if isinstance(seen, Unseen):
        return GateNow(check=question.check, state="unseen", detail=seen.unseen)
    return seen


def _ahead(s: Settings, row: Stage) -> tuple[GateAhead, ...]:
    asked = {name: QUESTIONS[name] for name in row.gates_after}
    return tuple(
        GateAhead(check=name, asks=_question(question.__doc__ or name))
        for name, question in asked.items()
        if not issubclass(question, SOMETIMES) or question.asked(s)
    )


def _question(sentence: str) -> str:
    """A question's first sentence, to stand within another."""
    first = sentence.partition("?")[0].replace("`", "")
    return f"{first[:1].lower()}{first[1:]}?"


def way_back(row: Stage) -> WayBack:
    """Whether an `up` may go back from a stage, and how, or why not."""
    if row.back in (Back.OPEN, Back.UNLESS_VOTERS):
        return WayBack(to=before(row).number, how=row.undo)
    return WayBack(to=None, how=row.undo)

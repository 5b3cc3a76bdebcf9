"""Where a migration is, as the world says: the record, the members, the nodes, the names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import Field

from migration.clients import Clients
from migration.clients.documents import listed
from migration.clients.etcd import Etcd
from migration.clients.kubernetes import NODES, ApiFailure
from migration.contracts.base import Contract
from migration.contracts.gates import MembersAllNew, worker_groups
from migration.contracts.record import Record
from migration.contracts.seen import MemberSeen, NameSeen, NodesSeen, Unseen
from migration.dns.ownership import plain_target
from migration.dns.plan import present_sets
from migration.dns.zone import zone_records
from migration.drain.nodes import TAINT, instance_of, ready
from migration.gates import Live
from migration.gates.members import addresses_of, ask, within
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent, Retryable
from migration.settings import Settings
from migration.stages.record import read_record
from migration.stages.table import LAST, stage

T = TypeVar("T")

# What keeps one part of the status from being seen; the others are shown all the same.
UNSEEN = (Permanent, Retryable, ApiFailure, ClientError, BotoCoreError)
# Seconds. A status is for people who wait for it.
_PATIENCE = 60.0


class Status(Contract):
    """Everything worth knowing of a migration; a part that can't be seen says why. `next` is the next command."""

    cluster: str
    stack: str
    stage: int
    from_side: str = Field(serialization_alias="from")
    to_side: str = Field(serialization_alias="to")
    record: Record | None
    next: str | None
    members: tuple[MemberSeen, ...] | Unseen
    nodes: tuple[NodesSeen, ...] | Unseen
    names: tuple[NameSeen, ...] | Unseen


def members(settings: Settings, live: Live) -> tuple[MemberSeen, ...]:
    """etcd's members, as etcd says."""
    q = MembersAllNew.of(settings, settings.stage)

    def question(etcd: Etcd) -> tuple[MemberSeen, ...]:
        members = etcd.members()
        addresses = addresses_of(q, live)
        new = {member.id for member in within([m for m in members if m.peer_urls], q.new.cidr, addresses)}
        c = settings.configuration
        return tuple(
            MemberSeen(
                name=member.name or member.id,
                address=", ".join(sorted(addresses.of(member))),
                side=c.to if member.id in new else c.from_,
                votes=not member.learner,
            )
            for member in members
        )

    return ask(q, live, question)


def nodes(settings: Settings, live: Live) -> tuple[NodesSeen, ...]:
    """The nodes of both sides' worker groups."""
    by_instance = {instance_of(node): node for node in live.kubernetes.list(NODES)}
    found: list[NodesSeen] = []
    for side in (settings.configuration.from_, settings.configuration.to):
        machines = [one.id for one in live.aws.instances_of_groups(worker_groups(settings, side))]
        here = [by_instance[one] for one in machines if one in by_instance]
        taints = [any(t["key"] == TAINT["key"] for t in listed(n, "spec", "taints")) for n in here]
        found.append(NodesSeen(side=side, nodes=len(here), ready=sum(map(ready, here)), tainted=sum(taints)))
    return tuple(found)


def names(settings: Settings, live: Live) -> tuple[NameSeen, ...]:
    """The cluster's names, as the zone holds them."""
    traffic = settings.configuration.traffic
    records = {zone: zone_records(live.aws, zone) for zone in traffic.zones()}
    found: list[NameSeen] = []
    for name in traffic.records:
        sets = present_sets(records[name.zone or traffic.zone_id], name)
        leads = {one.get("SetIdentifier") or _value(one): int(one.get("Weight", 100)) for one in sets}
        alias_ttl = settings.configuration.limits.alias_ttl_seconds
        ttls = (alias_ttl if "AliasTarget" in one else int(one.get("TTL", 0)) for one in sets)
        found.append(NameSeen(name=name.name, leads=leads, ttl=max(ttls, default=0)))
    return tuple(found)


def _value(record: Any) -> str:
    if "AliasTarget" in record:
        return plain_target(record["AliasTarget"]["DNSName"])
    values = record.get("ResourceRecords")
    return values[0]["Value"] if values else "nothing"


def observe(settings: Settings, clients: Clients) -> Status:
    """Everything that can be seen now. Raises what AWS says when not even the record can be read."""
    context = Context(log=lambda _: None, deadline=Deadline(_PATIENCE), clients=clients)
    c, live = settings.configuration, Live(settings.configuration.cluster, context)
    record = read_record(clients.aws, c.cluster)
    return Status(
        cluster=c.cluster,
        stack=settings.stack,
        stage=settings.stage.number,
        from_side=c.from_,
        to_side=c.to,
        record=record,
        next=_next(record.reached if record else None, settings),
        members=_seen(members, settings, live),
        nodes=_seen(nodes, settings, live),
        names=_seen(names, settings, live),
    )


def _seen(part: Callable[[Settings, Live], T], settings: Settings, live: Live) -> T | Unseen:
    try:
        return part(settings, live)
    except UNSEEN as reason:
        return Unseen(unseen=str(reason))


def _next(reached: int | None, settings: Settings) -> str | None:
    following = 0 if reached is None else reached + 1
    if following > LAST:
        return None
    return settings.command.format(stage=following)


def lines(seen: Status) -> list[str]:
    """The status for people."""
    record = seen.record
    if record is None:
        told = ["no record: no migration was begun"]
    else:
        told = [f"reached stage {record.reached} ({stage(record.reached).name}), driven by {record.owner}"]
        if record.tried != record.reached:
            tried = f"stage {record.tried} ({stage(record.tried).name})"
            told.append(f"{tried} was begun and isn't reached: run the same up again")
    text = [f"cluster {seen.cluster}, from {seen.from_side} to {seen.to_side}: {'; '.join(told)}"]
    text += _part("members", seen.members, lambda m: f"{m.name} {m.address} {m.side}{'' if m.votes else ' (learner)'}")
    text += _part("nodes", seen.nodes, lambda n: f"{n.side}: {n.nodes} nodes, {n.ready} ready, {n.tainted} tainted")
    text += _part(
        "names", seen.names, lambda n: f"{n.name}: {', '.join(f'{k} {v}' for k, v in n.leads.items())}, TTL {n.ttl} s"
    )
    if seen.next:
        text.append(f"next: {seen.next}")
    return text


def _part(name: str, found: tuple[T, ...] | Unseen, form: Callable[[T], str]) -> list[str]:
    if isinstance(found, Unseen):
        return [f"{name}: can't be seen: {found.unseen}"]
    return [f"{name[:-1]} {form(one)}" for one in found]

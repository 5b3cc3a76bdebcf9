"""Where a migration is, as the world says: the record, the members, the nodes, the names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migration.clients import Clients
from migration.clients.kubernetes import NODES, ApiFailure
from migration.dns.plan import plain
from migration.dns.zone import zone_records
from migration.drain.nodes import instance_of
from migration.facts import gate_facts
from migration.gates.cluster import ready
from migration.gates.members import address_of, ask, within
from migration.gates.run import completed
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent, Retryable
from migration.settings import Settings
from migration.stages import LAST, stage
from migration.stages.record import as_json, read_record

# What keeps one part of the status from being seen; the others are shown all the same.
_UNSEEN = (Permanent, Retryable, ApiFailure, ClientError, BotoCoreError)
# Seconds. A status is for people who wait for it.
_PATIENCE = 60.0


def _context(clients: Clients) -> Context:
    return Context(log=lambda _: None, deadline=Deadline(_PATIENCE), clients=clients)


def new_side_voters(settings: Settings, clients: Clients) -> int:
    """How many voters of etcd are on the new side. Raises `Permanent` when etcd can't be asked."""
    context = _context(clients)
    facts = completed(gate_facts(settings), context, settings.stage.number)

    def question(etcd: Any) -> int:
        return len(within([one for one in etcd.members() if not one.learner], facts["new"]["cidr"]))

    try:
        return ask(facts, context, question)
    except Retryable as reason:
        raise Permanent(f"how many members have moved can't be told, so going back isn't safe: {reason}") from reason


def _members(facts: Mapping[str, Any], context: Context) -> list[dict[str, Any]]:
    def question(etcd: Any) -> list[dict[str, Any]]:
        members = etcd.members()
        new = {member.id for member in within([m for m in members if m.peer_urls], facts["new"]["cidr"])}
        return [
            {
                "name": member.name or member.id,
                "address": address_of(member),
                "side": facts["new" if member.id in new else "old"]["name"],
                "votes": not member.learner,
            }
            for member in members
        ]

    return ask(facts, context, question)


def _nodes(facts: Mapping[str, Any], context: Context) -> list[dict[str, Any]]:
    nodes = {instance_of(node): node for node in context.clients.kubernetes.list(NODES)}
    found = []
    for role in ("old", "new"):
        machines = [one.id for one in context.clients.aws.instances_of_groups(facts[role]["workerGroups"])]
        here = [nodes[one] for one in machines if one in nodes]
        taints = [any(t["key"] == "migration" for t in n["spec"].get("taints") or []) for n in here]
        counted = {"nodes": len(here), "ready": sum(map(ready, here)), "tainted": sum(taints)}
        found.append({"side": facts[role]["name"], **counted})
    return found


def _names(facts: Mapping[str, Any], context: Context) -> list[dict[str, Any]]:
    records = zone_records(context.clients.aws, facts["zoneId"])
    return [
        {
            "name": name["name"],
            "leads": {
                record.get("SetIdentifier") or record["ResourceRecords"][0]["Value"]: record.get("Weight", 100)
                for record in records
                if plain(record["Name"]) == plain(name["name"])
            },
            "ttl": max((int(r.get("TTL", 0)) for r in records if plain(r["Name"]) == plain(name["name"])), default=0),
        }
        for name in facts["records"]
    ]


def observe(settings: Settings, clients: Clients) -> dict[str, Any]:
    """Everything worth knowing, JSON-able; a part that can't be seen holds `{"unseen": reason}`."""
    context = _context(clients)
    c = settings.configuration
    record = read_record(clients.aws, c.cluster)
    facts = completed(gate_facts(settings), context, settings.stage.number)
    parts: dict[str, Callable[[Mapping[str, Any], Context], Any]] = {
        "members": _members,
        "nodes": _nodes,
        "names": _names,
    }
    seen: dict[str, Any] = {
        "cluster": c.cluster,
        "stack": settings.stack,
        "stage": settings.stage.number,
        "from": c.from_,
        "to": c.to,
        "record": as_json(record) if record else None,
        "next": _next(record.reached if record else None, settings),
    }
    for name, part in parts.items():
        try:
            seen[name] = part(facts, context)
        except _UNSEEN as reason:
            seen[name] = {"unseen": str(reason)}
    return seen


def _next(reached: int | None, settings: Settings) -> str | None:
    following = 0 if reached is None else reached + 1
    if following > LAST:
        return None
    return settings.command.format(stage=following)


def lines(seen: Mapping[str, Any]) -> list[str]:
    """The status for people."""
    record = seen["record"]
    if record is None:
        told = ["no record: no migration was begun"]
    else:
        reached, tried = record["reached"], record["tried"]
        told = [f"reached stage {reached} ({stage(reached).name}), driven by {record['owner']}"]
        if tried != reached:
            told.append(f"stage {tried} ({stage(tried).name}) was begun and isn't reached: run the same up again")
    text = [f"cluster {seen['cluster']}, from {seen['from']} to {seen['to']}: {'; '.join(told)}"]
    formats: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "members": lambda m: f"{m['name']} {m['address']} {m['side']}{'' if m['votes'] else ' (learner)'}",
        "nodes": lambda n: f"{n['side']}: {n['nodes']} nodes, {n['ready']} ready, {n['tainted']} tainted",
        "names": lambda n: f"{n['name']}: {', '.join(f'{k} {v}' for k, v in n['leads'].items())}, TTL {n['ttl']} s",
    }
    for part, form in formats.items():
        found = seen[part]
        unseen = found.get("unseen") if isinstance(found, Mapping) else None
        text += [f"{part}: can't be seen: {unseen}"] if unseen else [f"{part[:-1]} {form(one)}" for one in found]
    if seen["next"]:
        text.append(f"next: {seen['next']}")
    return text

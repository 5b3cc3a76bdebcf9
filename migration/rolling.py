"""What is to be rolled on the side that a cluster lives on, and the rolls themselves outside of an `up`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from migration import sides
from migration.clients import Clients
from migration.contracts.gates import SideRef, control_plane_groups
from migration.contracts.members import MemberRollInputs
from migration.contracts.workers import RollInputs
from migration.operations import member_roll, roll
from migration.runtime.context import Context, Log
from migration.runtime.deadline import Deadline, Permanent
from migration.runtime.lease import held
from migration.settings import Settings
from migration.settings.groups import member_group, pool_group
from migration.settings.model import MachineKeys, ManagedSide
from migration.stages.identity import verify_cluster
from migration.stages.record import read_record
from migration.workers.roll import told, versions_of
from migration.workers.snapshot import template_of
from migration.workers.wanted import wanted_template


def lived_on(settings: Settings) -> str | None:
    """The side that the cluster lives on for good, where this program made it; None while one is being left."""
    c, row = settings.configuration, settings.stage
    name = c.to if row.finished else c.from_
    settled = row.finished or not row.workers.on_new
    return name if settled and isinstance(c.sides[name], ManagedSide) else None


def due(settings: Settings, clients: Clients, context: Context) -> list[str]:
    """What a roll would replace now, and what the configuration will change; a sentence each. Only reads."""
    workers, members = inputs_of(settings, clients)
    there = workers.model_copy(update={"groups": tuple(one for one in workers.groups if one.template)})
    found = [f"{one.group}: a new group, for pool {one.pool}" for one in workers.groups if not one.template]
    found += told(*roll.roller_of(there, None, context).due())
    found += [
        f"{one.group}: {one.name}'s machine is of another version, and is replaced"
        for one in member_roll.roller_of(members, context).due()
    ]
    return [*changing(settings, clients), *found]


def run(settings: Settings, clients: Clients, owner: str, log: Log) -> None:
    """Both rolls, under the cluster's lease. Raises `Permanent` where this isn't the time."""
    cluster = settings.configuration.cluster
    _refuse_under_way(settings, clients, owner)
    verify_cluster(clients, cluster)
    workers, members = inputs_of(settings, clients)
    with ExitStack() as stack:
        lease = stack.enter_context(held(clients.kubernetes, holder="python -m migration roll", log=log))
        clients.fence = lease.check

        def context(seconds: int) -> Context:
            return Context(log=log, deadline=Deadline(float(seconds)), clients=clients, alive=lease.check)

        nodes = roll.run(workers, None, context(workers.timeout_seconds))
        machines = member_roll.run(members, None, context(members.timeout_seconds))
    log(
        f"{nodes.nodes} nodes replaced, {nodes.evictions} pods evicted; members on new machines: "
        f"{', '.join(machines.rolled) or 'none'}"
    )


def _refuse_under_way(settings: Settings, clients: Clients, owner: str) -> None:
    cluster, record = settings.configuration.cluster, read_record(clients.aws, settings.configuration.cluster)
    if record is None:
        raise Permanent(f"cluster {cluster} has no record of a migration: there is no side that this program made")
    if record.owner != owner:
        raise Permanent(f"cluster {cluster} is driven by {record.owner}, not by {owner}; use that stack's file")
    if record.reached != record.tried or record.reached != settings.stage.number:
        raise Permanent(
            f"the migration has reached stage {record.reached} and tried {record.tried}, and this file says "
            f"{settings.stage.number}: nodes are rolled when nothing is under way; finish that stage first"
        )


def inputs_of(settings: Settings, clients: Clients) -> tuple[RollInputs, MemberRollInputs]:
    """Both rolls' inputs, from the configuration and what AWS has. Raises `Permanent` where nothing is lived on."""
    c, name = settings.configuration, lived_on(settings)
    side = c.sides[name] if name is not None else None
    if name is None or not isinstance(side, ManagedSide):
        raise Permanent(
            f"at stage {settings.stage.number} ({settings.stage.name}) a side is being left: nodes are rolled at stage "
            f"8, or before stage 3 of the next migration"
        )
    aws = clients.aws
    seen = sides.find(aws, c.cluster, SideRef.of(settings, name))
    balancers = list(seen.ingresses.values())
    if seen.vpc_id is None or None in balancers or seen.api is None or seen.api_instances is None:
        raise Permanent(f"side {name} isn't there as a whole (VPC, both balancers, their target groups): run pulumi up")
    pools, members = [pool_group(side, pool) for pool in c.pools], control_plane_groups(settings, name)
    described = aws.groups([*pools, *members])

    def version(group: str) -> tuple[str, str]:
        # One that isn't there yet is missed by whoever looks at it.
        return versions_of(aws, described[group]) if group in described else ("", "")

    workers = RollInputs.of(
        settings,
        name,
        templates=[version(group) for group in pools],
        target_groups=[group for one in balancers if one for group in one.target_groups],
        vpc_id=seen.vpc_id,
    )
    return workers, MemberRollInputs.of(
        settings,
        name,
        templates=[version(group) for group in members],
        instances_group=seen.api_instances,
        addresses_group=seen.api.target_groups[0],
    )


def changing(settings: Settings, clients: Clients) -> Iterator[str]:
    """Groups whose templates the next `up` changes by a key, as far as keys say something else than the templates."""
    c, name = settings.configuration, lived_on(settings)
    side = c.sides[name] if name is not None else None
    if name is None or not isinstance(side, ManagedSide):
        return
    keys: dict[str, MachineKeys] = {pool_group(side, pool): side.pool(pool.name) for pool in c.pools}
    for member in c.members:
        keys[member_group(side, member)] = side.member(member.name)
        keys |= {member_group(side, one): side.api_server(one.name) for one in member.api_servers}
    for group, seen in clients.aws.groups(keys).items():
        now = template_of(clients.aws, seen)
        then = wanted_template(now, keys[group], f"migration:sides.{name}")
        if then != now:
            names = [key for key in type(now).model_fields if getattr(now, key) != getattr(then, key)]
            count = len(seen["Instances"])
            many = f"{count} machine{' is' if count == 1 else 's are'} replaced"
            yield f"{group}: {many}, for another {', '.join(names)}"

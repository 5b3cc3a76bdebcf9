"""Before anything registers: does the cluster's record allow this stage?"""

from __future__ import annotations

from dataclasses import replace

from botocore.exceptions import BotoCoreError, ClientError

from migration.clients import Clients
from migration.clients.documents import mapping
from migration.contracts.gates import SideRef
from migration.contracts.members import member_pairs
from migration.contracts.record import Record
from migration.etcd.machine import BACK_TAG, NOTE_TAG
from migration.etcd.returning import RETURN_TAG
from migration.names import record_parameter
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent
from migration.settings import Settings
from migration.settings.model import ManagedSide, ReferencedSide
from migration.sides import find
from migration.stages.contradiction import refuse_contradiction
from migration.stages.fixed import touched
from migration.stages.moves import Direction, IllegalMove, Move, plan_move
from migration.stages.record import read_fixed, read_record
from migration.stages.table import Back, stage, swapped

# Seconds for one question to etcd.
_PATIENCE = 60.0


def admit(settings: Settings, owner: str, clients: Clients | None = None) -> Move:
    """The legal move to the settings' stage, as `clients` (default: the settings') see the world.

    Raises `migration.stages.moves.IllegalMove` naming the next legal command, or `Permanent` when AWS can't be asked.
    """
    c = settings.configuration
    clients = clients or Clients(region=settings.region, kubeconfig=c.kubeconfig)
    try:
        record = read_record(clients.aws, c.cluster)
    except (BotoCoreError, ClientError) as error:
        raise Permanent(
            f"AWS can't be asked for the record of cluster {c.cluster!r} in {settings.region}: {error}. "
            f"Check credentials, region and network, and run the same command again"
        ) from error
    _refuse_lost_record(record, settings, clients)
    move = plan_move(
        record,
        settings.stage.number,
        owner=owner,
        from_side=c.from_,
        to_side=c.to,
        command=settings.command,
        new_voters=_new_voters(record, settings, clients),
    )
    # Another pair of sides is another migration: what the last one fixed is over.
    same = record is not None and (record.from_side, record.to_side) == (c.from_, c.to)
    if record is not None and same:
        try:
            refuse_contradiction(record, settings, clients.aws)
        except (BotoCoreError, ClientError) as error:
            raise Permanent(
                f"AWS can't be asked whether what the record says of cluster {c.cluster!r} is there: {error}. Check "
                f"credentials, region and network, and run the same command again"
            ) from error
    if not isinstance(settings.new, ManagedSide):
        raise IllegalMove(
            f"migration:to is {c.to}, a side that was found: a migration goes to one that this program makes. Describe "
            f"it under migration:sides with a name of its own, kind managed; its range may be that of a side that is "
            f"left and taken out of migration:sides"
        )
    _refuse_lost_side(settings, clients)
    before = read_fixed(clients.aws, c.cluster) if same else None
    changed = touched(before, c) if before is not None else []
    if changed:
        listed = "\n".join(f"  - {one}" for one in changed)
        raise IllegalMove(
            f"{len(changed)} key(s) can't change until the migration is over; nothing was changed:\n{listed}"
        )
    return _with_members(move, settings, clients)


def _with_members(move: Move, settings: Settings, clients: Clients) -> Move:
    """The move, `turned` where a member is on its way to the side where it isn't wanted any more.

    Raises `IllegalMove` where a member shall be on the old side and its group there is gone.
    """
    row = settings.stage
    if row.finished or not (row.control_plane.on_new or (row.members_move and move.direction is Direction.BACK)):
        return move
    pairs = member_pairs(settings)
    new, old = pairs[: settings.moved_members], pairs[settings.moved_members :]
    groups = clients.aws.groups([pair.old.group for pair in pairs])
    gone = [pair.old for pair in old if pair.old.group not in groups]
    if gone:
        listed = ", ".join(f"{one.name} ({one.group})" for one in gone)
        raise IllegalMove(
            f"members {listed} shall be on side {settings.configuration.from_}, but their Auto Scaling groups don't "
            f"exist there (any more): nothing was changed. What was deleted can't be gone back to: set "
            f"migration:controlPlaneMoved to {len(pairs)} at stage {swapped().number}"
        )
    begun = [
        *((pair.old.group, key) for pair in new for key in (BACK_TAG, RETURN_TAG)),
        *((pair.old.group, key) for pair in old for key in (NOTE_TAG, BACK_TAG)),
    ]
    under_way = any(tag["Key"] == key for group, key in begun for tag in mapping(groups, group).get("Tags") or ())
    return replace(move, settled=False, turned=True) if under_way else move


def _refuse_lost_record(record: Record | None, settings: Settings, clients: Clients) -> None:
    """A record that is missing is believed only where nothing of a migration is there either."""
    if record is not None:
        return
    c = settings.configuration
    side = find(clients.aws, c.cluster, SideRef.of(settings, c.to))
    if side.vpc_id is not None:
        raise IllegalMove(
            f"cluster {c.cluster} has no record of a migration ({record_parameter(c.cluster)}), but {side.vpc_id} is "
            f"there, which this program made as side {c.to}: the record was lost. Nothing was changed. Put it back "
            f"with the stage that was reached last: python -m migration record --restore STAGE"
        )


def _refuse_lost_side(settings: Settings, clients: Clients) -> None:
    """A side that this program made is left only where it is there, with machines on it or on their way off."""
    c = settings.configuration
    if isinstance(settings.old, ReferencedSide) or settings.stage.finished:
        return
    side = find(clients.aws, c.cluster, SideRef.of(settings, c.from_))
    if side.vpc_id is None or None in (*side.ingresses.values(), side.api):
        raise IllegalMove(
            f"migration:from is {c.from_}, a side that this program makes, and "
            f"{'its VPC' if side.vpc_id is None else 'one of its balancers'} isn't there: nothing can be moved from "
            f"it. Correct migration:from, or the credentials if they are another account's"
        )


def _new_voters(record: Record | None, settings: Settings, clients: Clients) -> int:
    """How many voters of the new side etcd has, asked only where going back depends on it."""
    if record is None or record.tried != settings.stage.number + 1:
        return 0
    if stage(record.tried).back is not Back.UNLESS_VOTERS:
        return 0
    from migration.contracts.gates import MembersAllNew
    from migration.gates import Live
    from migration.gates.members import voters_on_new_side

    context = Context(log=lambda _: None, deadline=Deadline(_PATIENCE), clients=clients)
    live = Live(settings.configuration.cluster, context)
    return voters_on_new_side(MembersAllNew.of(settings, settings.stage), live)

"""Before anything registers: does the cluster's record allow this stage?"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from migration.clients import Clients
from migration.contracts.gates import SideRef
from migration.contracts.record import Record
from migration.names import record_parameter
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent
from migration.settings import Settings
from migration.settings.model import ManagedSide, ReferencedSide
from migration.sides import find
from migration.stages.contradiction import refuse_contradiction
from migration.stages.fixed import touched
from migration.stages.moves import IllegalMove, Move, plan_move
from migration.stages.record import read_fixed, read_record
from migration.stages.table import Back, stage

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
    if record is not None:
        try:
            refuse_contradiction(record, settings, clients.aws)
        except (BotoCoreError, ClientError) as error:
            raise Permanent(
                f"AWS can't be asked whether what the record says of cluster {c.cluster!r} is there: {error}. Check "
                f"credentials, region and network, and run the same command again"
            ) from error
    if not isinstance(settings.old, ReferencedSide) or not isinstance(settings.new, ManagedSide):
        raise IllegalMove(
            f"migration:from is {c.from_} and migration:to is {c.to}: a migration goes from a referenced side to one "
            f"that this program makes; others aren't there yet"
        )
    before = read_fixed(clients.aws, c.cluster)
    changed = touched(before, c) if before is not None else []
    if changed:
        listed = "\n".join(f"  - {one}" for one in changed)
        raise IllegalMove(
            f"{len(changed)} key(s) can't change until the migration is over; nothing was changed:\n{listed}"
        )
    return move


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

"""Before anything registers: does the cluster's record allow this stage?"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from migration.clients import Clients
from migration.contracts.record import Record
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent
from migration.settings import Settings
from migration.stages.moves import Direction, IllegalMove, Move, plan_move
from migration.stages.record import read_record
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
    move = plan_move(
        record,
        settings.stage.number,
        owner=owner,
        from_side=c.from_,
        to_side=c.to,
        command=settings.command,
        new_voters=_new_voters(record, settings, clients),
    )
    left = stage(move.origin)
    if move.direction is Direction.BACK and left.back is Back.UNBUILT:
        raise IllegalMove(
            f"migration:stage is {move.target}, but going back from stage {move.origin} isn't there yet: "
            f"{left.undo}. Staying is safe. Next legal: {settings.command.format(stage=move.origin)}"
        )
    return move


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

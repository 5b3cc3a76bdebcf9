"""Before anything registers: does the cluster's record allow this stage?"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from migration.clients import Clients
from migration.runtime.deadline import Permanent
from migration.settings import Settings
from migration.stages.moves import Direction, IllegalMove, Move, plan_move
from migration.stages.record import read_record

# Legal by the rules of `migration.stages.moves`, but what would have to happen first isn't built: refused, not tried.
NO_WAY_BACK_YET = {
    2: "the names would lead to balancers that are gone",
    3: "the new nodes would be deleted with pods on them while the old ones are tainted",
    6: "the old groups would not get their sizes back",
}


def admit(settings: Settings, owner: str) -> Move:
    """The legal move to the settings' stage.

    Raises `migration.stages.moves.IllegalMove` naming the next legal command, or `Permanent` when AWS can't be asked.
    """
    c = settings.configuration
    clients = Clients(region=settings.region, kubeconfig=c.kubeconfig)
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
        new_voters=_new_voters(settings, clients) if record and record.tried == settings.stage.number + 1 else 0,
    )
    if move.direction is Direction.BACK and move.origin in NO_WAY_BACK_YET:
        raise IllegalMove(
            f"migration:stage is {move.target}, but going back from stage {move.origin} isn't there yet: "
            f"{NO_WAY_BACK_YET[move.origin]}. Staying is safe. Next legal: {settings.command.format(stage=move.origin)}"
        )
    return move


def _new_voters(settings: Settings, clients: Clients) -> int:
    """How many voters of the new side etcd has, asked only where going back depends on it."""
    if settings.stage.control_plane.on_new or settings.stage.workers.on_old:
        return 0
    from migration.status import new_side_voters

    return new_side_voters(settings, clients)

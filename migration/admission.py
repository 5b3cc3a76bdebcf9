"""Before anything registers: does the cluster's record allow this stage?"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from migration.clients import Clients
from migration.deadline import Permanent
from migration.moves import Move, plan_move
from migration.record import read_record
from migration.settings import Settings


def admit(settings: Settings, owner: str) -> Move:
    """The legal move to the settings' stage.

    Raises `migration.moves.IllegalMove` naming the next legal command, or `Permanent` when AWS can't be asked.
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
    return plan_move(
        record,
        settings.stage.number,
        owner=owner,
        from_side=c.from_,
        to_side=c.to,
        command=settings.command,
        new_voters=_new_voters(settings, clients) if record and record.tried == settings.stage.number + 1 else 0,
    )


def _new_voters(settings: Settings, clients: Clients) -> int:
    """How many voters of the new side etcd has, asked only where going back depends on it."""
    if settings.stage.control_plane.on_new or settings.stage.workers.on_old:
        return 0
    from migration.status import new_side_voters

    return new_side_voters(settings, clients)

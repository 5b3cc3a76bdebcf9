"""The program `pulumi up` runs: settings, the record's consent, then everything the stage declares."""

from __future__ import annotations

import gc
import os
import sys

import pulumi
from pulumi.runtime import get_config_env
from pulumi.runtime.config import get_config_secret_keys_env

from components.base import Scope
from components.migration import Migration, MigrationArgs
from components.untraced import untraced
from migration.recover import IDENTITY
from migration.runtime.deadline import Permanent
from migration.settings import ConfigurationError, Settings, load
from migration.stages.admission import admit
from migration.stages.moves import IllegalMove, Move


def consented() -> tuple[Settings, str, Move]:
    """Settings, owner and move, once configuration and record allow this stage; otherwise one message and the end."""
    try:
        settings = load(get_config_env(), pulumi.get_stack(), get_config_secret_keys_env())
        owner = f"{pulumi.get_project()}/{settings.environment}"
        move = admit(settings, owner)
        if IDENTITY in os.environ:
            recover_state(settings, owner, os.environ[IDENTITY])
    except (ConfigurationError, IllegalMove, Permanent) as refusal:
        # Nothing has registered yet. A sentence for the operator; a traceback is for bugs.
        pulumi.log.error(str(refusal))
        sys.exit(1)
    return settings, owner, move


def recover_state(settings: Settings, owner: str, identity: str) -> None:
    """`python -m migration recover --state-lost` runs this: from here on what exists is imported, and nothing made."""
    from migration.clients import Clients
    from migration.recover.lost import known
    from providers.recovery import Recovery

    clients = Clients(region=settings.region, kubeconfig=settings.configuration.kubeconfig)
    Recovery(known(settings, clients, owner, identity)).begin()


def preview(settings: Settings, move: Move) -> None:
    """What is about to move, as one message above the resources; nothing on the `up` itself."""
    from migration.plan import lines, plan_of

    pulumi.log.info("\n".join(lines(plan_of(settings, move))))


# A short program whose objects all live to its end: looking for garbage took a fifth of its time.
gc.disable()
untraced()
settings, owner, move = consented()
if pulumi.runtime.is_dry_run() and IDENTITY not in os.environ:
    preview(settings, move)
scope = Scope(settings=settings, returning=move.returning)
Migration("migration", MigrationArgs(scope=scope, owner=owner, unsettled=not move.settled))
pulumi.export("stage", settings.stage.number)
pulumi.export("name", settings.stage.name)

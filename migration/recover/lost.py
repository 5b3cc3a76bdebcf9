"""A stack whose state is lost: the record and the tags say what exists, and an `up` of the program imports it.

Nothing is made, changed or deleted in AWS or in the cluster, but for the record, which gets the new state's identity
once everything is in it. Killed anywhere, the same command goes on.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from migration.contracts.packed import unpack
from migration.contracts.record import Record, StageRecordResult
from migration.names import record_parameter
from migration.recover import IDENTITY
from migration.recover.places import UNREADABLE
from migration.recover.results import Known
from migration.recover.run import Place, Say, settle_crash
from migration.recover.state import Deployment, parse
from migration.runtime.deadline import Permanent
from migration.runtime.identity import cluster_uid
from migration.settings.model import ReferencedSide
from migration.stages.record import adopt_stack, read_record, refuse_another_cluster

if TYPE_CHECKING:
    from migration.clients import Clients
    from migration.clients.aws import Aws
    from migration.settings import Settings

MARK = "recovered-"
_BEGIN = "pulumi-python:dynamic/migration:StageRecord"
# `sdk/go/common/resource/properties.go` of pulumi/pulumi: how a state marks a secret.
_SIGNATURE, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
# What is in every state and isn't anybody's object.
_BARE = ("pulumi:pulumi:Stack", "pulumi:providers:")


def rebuild(where: Place, settings: Settings, aws: Aws, owner: str, say: Say) -> None:
    """Build the lost state of the stack `where` from what exists.

    Raises `Permanent`, before anything is written, where the state isn't lost, the record doesn't say that the stage
    was reached, or where something isn't found or is there twice.
    """
    # Locks of the dead and what a killed import left are settled as ever; whoever lives is refused there.
    settle_crash(where, say)
    cluster, engine = settings.configuration.cluster, where.engine
    record = read_record(aws, cluster)
    refuse_unsettled(record, settings, owner)
    assert record is not None
    state = parse(engine.export())
    identity = _unfinished(state, record, engine.stack) or f"{MARK}{uuid.uuid4().hex[:12]}"
    environment = {IDENTITY: identity}
    say(f"the state of {engine.stack} is lost; looking for what stage {record.reached} has")
    engine.run_program("look", environment)
    engine.run_program("import", environment)
    text = engine.export()
    if _identity(parse(text)) != identity:
        raise Permanent("the engine imported everything and the state has no record of it: run this again")
    patched = mended(text)
    if patched != text:
        engine.replace(patched)
    adopt_stack(aws, cluster, seen=record, stack=identity)
    say(f"{len(parse(text).resources)} resources are in the state, and the record {record_parameter(cluster)} knows it")
    engine.run_program("check", {})
    say(f"nothing differs; next: pulumi up --stack {engine.stack}, the same as before")


def refuse_unsettled(record: Record | None, settings: Settings, owner: str) -> None:
    """Raise `Permanent` unless the record says that the settings' stage was reached and nothing is under way."""
    cluster, number = settings.configuration.cluster, settings.stage.number
    if record is None:
        raise Permanent(
            f"cluster {cluster} has no record of a migration ({record_parameter(cluster)}), so what its stack made "
            f"can't be told: if only the record was lost: python -m migration record --restore STAGE, then this again"
        )
    if record.owner != owner:
        raise Permanent(f"this cluster's migration is driven by {record.owner}, not by {owner}: use that stack")
    if record.tried != record.reached:
        raise Permanent(
            f"stage {record.tried} of cluster {cluster} was begun and stage {record.reached} is what was reached "
            f"before: what stands between them can't be told from outside. Look what stage {record.tried} made, by "
            f"its tags migration:side and migration:role, and import that (pulumi import), or delete it; then "
            f"python -m migration record --take-over"
        )
    if record.reached != number:
        raise Permanent(
            f"the record says that cluster {cluster} has reached stage {record.reached}, and migration:stage is "
            f"{number}: set it to {record.reached}, and this again"
        )


def known(settings: Settings, clients: Clients, owner: str, identity: str) -> Known:
    """What the program needs to build the lost state; raises `Permanent` as `rebuild`, or for another cluster."""
    c = settings.configuration
    if not isinstance(settings.old, ReferencedSide):
        raise Permanent(
            f"migration:from is {c.from_}, a side that this program made: a state that held two of its sides isn't "
            f"built anew yet. Nothing was changed; restore the backend from its own history or backup"
        )
    record = read_record(clients.aws, c.cluster)
    refuse_unsettled(record, settings, owner)
    assert record is not None
    refuse_another_cluster(record, cluster_uid(clients.kubernetes), c.cluster)
    return Known(
        aws=clients.aws,
        record=record,
        stack=identity,
        suffix=settings.new.suffix,
        pools=frozenset(pool.group for pool in c.pools),
    )


def _unfinished(state: Deployment, record: Record, stack: str) -> str | None:
    """The identity of a recovery that was cut short; None where nothing was begun. Raises `Permanent` for a state."""
    held = [one for one in state.resources if not one.type.startswith(_BARE)]
    if not held:
        return None
    found = _identity(state)
    if found is None and all(one.type.startswith("migration:") for one in held):
        return None
    if found is not None and found.startswith(MARK) and found != record.stack:
        return found
    raise Permanent(
        f"stack {stack} has a state of {len(held)} resources, so it isn't lost: python -m migration recover, without "
        f"--state-lost, settles what a killed pulumi up left"
    )


def _identity(state: Deployment) -> str | None:
    for one in state.resources:
        result: Any = unpack(one.outputs.get("result"))
        if one.type == _BEGIN and one.name == "begin" and isinstance(result, Mapping):
            return StageRecordResult.model_validate(result).stack
    return None


def mended(text: str) -> str:
    """An exported state as an `up` would have left it, after an import.

    Each resource has what the program gives it and no provider can read back; and what is a secret among its outputs is
    one among its inputs, which an import writes in plain.
    """
    state = json.loads(text)
    changed = False
    for one in state["deployment"].get("resources", ()):
        for key, value in UNREADABLE.get(one["type"], {}).items():
            for side in ("inputs", "outputs"):
                if one.setdefault(side, {}).get(key) != value:
                    one[side][key] = value
                    changed = True
        for key in one.get("additionalSecretOutputs", ()):
            value = one.get("inputs", {}).get(key)
            # The engine encrypts it as it takes the state in.
            if value is not None and not (isinstance(value, dict) and _SIGNATURE in value):
                one["inputs"][key] = {_SIGNATURE: _SECRET, "plaintext": json.dumps(value)}
                changed = True
    return json.dumps(state, indent=4) if changed else text

"""Recovering, step by step. Each step observes; killed anywhere, the next run does what remains.

The lock of the dead engine is kept until everything is decided, so nobody else begins meanwhile. The state is changed
by the engine alone: an import reads an object and writes it at once, or doesn't; the notes go with `pulumi stack
import` of the state as it was exported a moment before.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from migration.clients.documents import mapping
from migration.recover import lock
from migration.recover.decide import Decision, Fate, decide, import_file, repeatable, unknown_type
from migration.recover.leftovers import settle
from migration.recover.lock import Held, Owner
from migration.recover.objects import KINDS
from migration.recover.pulumi import Engine, Pulumi, project_folder, project_name, selected_stack
from migration.recover.state import Deployment, Operation, parse, without_notes
from migration.recover.torn import torn
from migration.runtime.deadline import Permanent

if TYPE_CHECKING:
    from migration.clients.aws import Aws

# Seconds after which what wasn't found is looked for once more: AWS's lists lag behind what was just made.
SECOND_LOOK = 5.0
BACKUPS = ".recover"
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where recovering works: the project's folder and name, the engine, AWS by region (empty: the environment's)."""

    folder: Path
    project: str
    engine: Engine
    aws: Callable[[str], Aws]
    sleeper: Callable[[float], None] = time.sleep

    @property
    def stack(self) -> str:
        """The stack's own name, without those of its organisation and project."""
        return self.engine.stack.rpartition("/")[2]


def place(stack: str | None, aws: Callable[[str], Aws]) -> Place:
    """This directory's project, and the stack named or selected. Raises `Permanent` where there is none."""
    folder = project_folder(Path.cwd())
    # Also as the CLI names it in full: organization/project/stack.
    name = stack or selected_stack(folder)
    return Place(folder=folder, project=project_name(folder), engine=Pulumi(folder, name), aws=aws)


def recover(where: Place, say: Say) -> None:
    """Free a dead engine's lock, and settle what it left half done; says what it did.

    Raises `Permanent` with what to do, and nothing changed, where the lock's owner lives or can't be proven dead, or
    where somebody has to look at an object first.
    """
    stack = where.engine.stack
    if settle_crash(where, say):
        say(f"next: pulumi up --stack {stack}, the same as before")
    else:
        say(f"stack {stack}: nothing is pending and nobody holds its lock: there is nothing to do")


def settle_crash(where: Place, say: Say) -> bool:
    """As `recover`; whether there was anything to do."""
    engine = where.engine
    backend = _backend(where, say)
    held = None if backend is None else _dead_locks(where, backend)
    settle(where.folder, say)
    mended = backend is not None and _mend(where, backend, say)
    exported = engine.export()
    state = parse(exported)
    decisions = _decisions(where, state)
    if held is None:
        # Whoever made it may live, and go on with it.
        decisions = [_not_without_lock(one) if one.fate is Fate.REMOVE else one for one in decisions]
    unsure = [decision for decision in decisions if decision.fate is Fate.UNSURE]
    if unsure:
        told = "".join(f"\n  - {decision}" for decision in unsure)
        raise Permanent(f"{len(unsure)} of {len(decisions)} interrupted changes need somebody to look:{told}")
    if not held and not decisions:
        return mended
    backup = _backup(where, exported) if decisions else None
    # As long as the dead engine's lock is there, nobody else begins.
    _remove(where, state, decisions)
    for path, owner in (held or {}).items():
        lock.free(path)
        say(f"lock of {owner}, which is gone: freed")
    if backup is not None:
        _settle_notes(where, state, decisions, say)
        say(f"{len(decisions)} notes of interrupted changes are gone from the state; as it was before: {backup}")
    return True


def _backend(where: Place, say: Say) -> Path | None:
    """The backend's folder; None, and said what that means, where it is none: then locks can't be read."""
    stack, url = where.engine.stack, where.engine.backend()
    folder = lock.folder_of(url)
    if folder is None:
        say(
            f"the backend {url} isn't a folder: whether somebody holds the stack's lock can't be seen from here. "
            f"`pulumi up` names who; if that process is gone: pulumi cancel --stack {stack}"
        )
        return None
    return where.folder / folder


def _dead_locks(where: Place, backend: Path) -> dict[Path, Held]:
    """The stack's locks, each proven to be a dead process's.

    Raises `Permanent` where the owner of one lives, or may live.
    """
    stack = where.engine.stack
    held = lock.locks(backend, where.project, where.stack)
    machine = lock.machine()
    for owner in held.values():
        judged = lock.judge(owner, machine, lock.here(owner.pid) if owner.hostname == machine else None)
        if judged is not Owner.DEAD:
            raise Permanent(lock.refusal(owner, judged, machine, stack))
    return held


def _mend(where: Place, backend: Path, say: Say) -> bool:
    """Take away what keeps the engine from reading the stack; whether there was such a thing."""
    found = list(torn(backend, where.project, where.stack))
    for path in found:
        path.unlink(missing_ok=True)
        say(f"{path}: the engine was killed as it wrote it, and nobody could read the stack; it isn't needed: deleted")
    return bool(found)


def _decisions(where: Place, state: Deployment) -> list[Decision]:
    # A create that was interrupted twice has two notes.
    notes = {(one.type, one.resource.urn): one for one in state.pending_operations}
    decisions = [_decision(where, state, operation) for operation in notes.values()]
    if any(decision.fate is Fate.ABSENT for decision in decisions):
        where.sleeper(SECOND_LOOK)
        decisions = [
            _decision(where, state, decision.operation) if decision.fate is Fate.ABSENT else decision
            for decision in decisions
        ]
    return decisions


def _decision(where: Place, state: Deployment, operation: Operation) -> Decision:
    why = repeatable(operation)
    if why is not None:
        return Decision(operation=operation, fate=Fate.REPEAT, why=why)
    resource = operation.resource
    kind = KINDS.get(resource.type)
    if kind is None:
        return unknown_type(operation)
    aws = _aws(where, state, operation)
    found, marks = kind.look(aws, resource)
    removable = kind.again is not None
    used = [user for one in found for user in kind.used(aws, one.id)] if removable else []
    return decide(operation, state, found, marks, remove=kind.remove, removable=removable, used=used)


def _aws(where: Place, state: Deployment, operation: Operation) -> Aws:
    """AWS as the interrupted create saw it; raises `Permanent` where these credentials are another account's."""
    provider = state.find(operation.resource.provider_urn)
    region = provider.inputs.get("region") if provider else None
    aws = where.aws(region if isinstance(region, str) else "")
    account = mapping({"sts": aws.sts.get_caller_identity()}, "sts")["Account"]
    known = state.accounts()
    if known and account not in known:
        raise Permanent(
            f"these credentials are of account {account}, and the stack's objects are in {', '.join(sorted(known))}: "
            f"what was made there can't be seen from here"
        )
    return aws


def _backup(where: Place, exported: str) -> Path:
    folder = where.folder / BACKUPS
    folder.mkdir(mode=0o700, exist_ok=True)
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    path = folder / f"{where.engine.stack.replace('/', '_')}.{now}.json"
    # As private as a state: names and ids, and the encrypted secrets.
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(exported)
        file.flush()
        os.fsync(file.fileno())
    return path


def _remove(where: Place, state: Deployment, decisions: list[Decision]) -> None:
    for decision in decisions:
        again = KINDS[decision.operation.resource.type].again if decision.fate is Fate.REMOVE else None
        if again is not None:
            again(_aws(where, state, decision.operation), decision.id)


def _not_without_lock(decision: Decision) -> Decision:
    resource = decision.operation.resource
    command = KINDS[resource.type].remove.format_map({**resource.inputs, "id": decision.id})
    why = f"{decision.id} was made. If whoever made it is gone: {command}; then recover again"
    return replace(decision, fate=Fate.UNSURE, why=why)


def _settle_notes(where: Place, state: Deployment, decisions: list[Decision], say: Say) -> None:
    engine = where.engine
    adopted = [decision for decision in decisions if decision.fate is Fate.ADOPT]
    if adopted:
        engine.adopt(import_file(adopted))
    exported = engine.export()
    now = parse(exported)
    if _urns(now) != _urns(state):
        raise Permanent("somebody else changed the stack meanwhile: run this again")
    missing = [decision for decision in adopted if now.find(decision.operation.resource.urn) is None]
    if missing:
        raise Permanent(
            "the engine imported everything and has not all of it: " + ", ".join(map(str, missing)) + "; run this again"
        )
    engine.replace(without_notes(exported))
    if parse(engine.export()).pending_operations:
        raise Permanent("notes of interrupted changes are in the state still: somebody else runs it; run this again")
    for decision in decisions:
        say(str(decision))


def _urns(state: Deployment) -> list[tuple[str, str]]:
    return sorted((one.type, one.resource.urn) for one in state.pending_operations if one.type == "creating")

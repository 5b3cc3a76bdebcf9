"""The restore drill of one snapshot: whether it is due, what it is compared with, and what it came to.

In three steps around the snapshot: `begin` asks the live cluster before, `hold` asks it after, restores and compares.
Absence is never success: where nothing was drilled the result says so, and why.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from migration.clients.etcd import Etcd, Snapshot
from migration.contracts.members import DrillNote, RestoreDrill
from migration.etcd.drill import compare
from migration.etcd.drill.restored import served, status_of
from migration.etcd.drill.scratch import scratch, sweep
from migration.etcd.drill.tools import Failed, Tools, Unusable, found
from migration.etcd.preflight import endpoint
from migration.runtime.deadline import Deadline, OutOfTime, Permanent
from migration.settings.model import Drilling

LARGE = 2 * 1024**3
"""Bytes. From here on ``auto`` drills nothing: restored it is as much again on the operator's disk, and takes minutes.
Also etcd's own default quota, which only large clusters raise."""
ROOM = 512 * 1024**2
"""Bytes beside the database itself: etcd keeps two log segments of 64 MiB ahead, and writes a few of its own."""
LASTS = 7 * 24 * 3600.0
"""Seconds. A drill counts for the swaps that follow it within a week; a migration that rests longer holds another."""
REMEDY = "install etcd and etcdutl of the cluster's minor version, or name their folder in migration:etcd.tools"


@dataclass(kw_only=True)
class Drill:
    """One drill. `members` tell this migration's members from the next one's; `tools` is a folder, or None for PATH."""

    mode: Drilling
    tools: str | None
    cluster: str
    members: tuple[str, ...]
    snapshots: Path
    deadline: Deadline
    log: Callable[[str], None]
    alive: Callable[[], None]
    now: Callable[[], float] = time.time
    _version: str = field(init=False, default="")
    _witness: compare.Witness | None = field(init=False, default=None)
    _done: RestoreDrill | None = field(init=False, default=None)

    def begin(self, etcd: Etcd) -> bool:
        """Before the snapshot: what the live cluster says. True once it is said; raises `Retryable` until then."""
        sweep(self.snapshots, self.cluster, self.log)
        if self.mode == "never":
            return True
        [first, *_] = [member for member in etcd.members() if not member.learner]
        self._version = etcd.status(endpoint(first)).version
        self._done = self._before(etcd)
        if self._done is None:
            self._witness = compare.before(etcd)
        return True

    def hold(self, etcd: Etcd, path: Path, taken: Snapshot) -> RestoreDrill:
        """After it: drilled, or said why not. Nothing of the cluster was changed by then.

        Raises `Permanent` where the snapshot can't be restored, or isn't what it should be.
        """
        drill = self._held(etcd, path, taken)
        self.log(f"restore drill: {drill.detail}")
        return drill

    def _held(self, etcd: Etcd, path: Path, taken: Snapshot) -> RestoreDrill:
        if self.mode == "never":
            return _not("migration:etcd.restoreDrill is never")
        if self._done is not None:
            return self._done.model_copy(update={"detail": f"held before an earlier swap: {self._done.detail}"})
        if self.mode == "auto" and taken.size >= LARGE:
            return _not(f"the snapshot has {taken.size} bytes, and auto drills below {LARGE}; set always to drill it")
        try:
            by = found(self.tools, self._version)
            self._room(taken.size)
        except Unusable as why:
            if self.mode == "always":
                raise Permanent(
                    f"migration:etcd.restoreDrill is always, and the snapshot can't be restored here: {why}; {REMEDY}"
                ) from why
            return _not(f"{why}; {REMEDY}")
        if self._witness is None:
            raise Permanent("the restore drill was begun without asking the cluster; run the same up again")
        drill = self._restored(etcd, path, taken, by, self._witness)
        known = self._witness.read.sha256
        note = DrillNote(members=self.members, version=self._version, at=self.now(), known=known, drill=drill)
        self._note.touch(mode=0o600)
        self._note.write_text(note.model_dump_json(by_alias=True))
        return drill

    def _restored(self, etcd: Etcd, path: Path, taken: Snapshot, by: Tools, first: compare.Witness) -> RestoreDrill:
        last = self.deadline.until(lambda: compare.after(etcd, first.key), "etcd's revision", alive=self.alive)
        began = time.monotonic()
        try:
            with scratch(self.snapshots, self.cluster) as made:
                status = status_of(path.resolve(), by, made, self.deadline, self.alive)
                with served(path.resolve(), taken.size, by, made, self.deadline, self.alive) as (restored, at):
                    read = self.deadline.until(lambda: restored.read(at, first.key), "a read", alive=self.alive)
        except Failed as why:
            raise _refusal(path, str(why)) from why
        except OutOfTime as why:
            raise OutOfTime(f"the restore drill of {path} didn't end in time: {why}") from why
        wrong = compare.wrong(first, last, status.revision, read)
        if wrong:
            raise _refusal(path, "; ".join(wrong))
        shown = first.key.decode(errors="replace")
        return RestoreDrill(
            drilled=True,
            detail=(
                f"restored {path.name} and read {shown} in it: {status.total_key} keys at revision {status.revision}, "
                f"as the cluster said ({time.monotonic() - began:.1f} s)"
            ),
            sha256=taken.sha256,
            revision=status.revision,
            key=shown,
        )

    def _room(self, size: int) -> None:
        free = shutil.disk_usage(self.snapshots).free
        if free < size + ROOM:
            raise Unusable(f"{self.snapshots} has {free} bytes left, and a restored database takes {size + ROOM}")

    @property
    def _note(self) -> Path:
        return self.snapshots / f"{self.cluster}-restore-drill.json"

    def _before(self, etcd: Etcd) -> RestoreDrill | None:
        """What an earlier swap's drill came to, if that was of this very cluster, these members, and not long ago."""
        try:
            note = DrillNote.model_validate_json(self._note.read_bytes())
        except (OSError, ValidationError):
            return None
        same = (note.members, note.version) == (self.members, self._version)
        fresh = 0 <= self.now() - note.at < LASTS
        if not (same and fresh and note.drill.drilled and note.drill.key):
            return None
        now = compare.after(etcd, note.drill.key.encode()).read
        return note.drill if now.modified is not None and now.sha256 == note.known else None


def _not(why: str) -> RestoreDrill:
    return RestoreDrill(drilled=False, detail=f"not drilled: {why}")


def _refusal(path: Path, why: str) -> Permanent:
    return Permanent(
        f"the snapshot {path} doesn't stand a restore: {why}. Nothing was changed. Look at it with etcdutl snapshot "
        f"status, and at the members' disks; the same up takes another"
    )

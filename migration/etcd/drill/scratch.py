"""The drill's own folder on the operator's machine: made with a mark, and removed, by the next run where it has to be.

It holds every Secret of the cluster while it is there, and a killed run removes nothing. So the next one does: exactly
the folders that carry the mark and whose maker is gone, and the etcd that still runs on one of them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec
import psutil

PREFIX = "restore-drill-"
MARK = "vpc-migration-restore-drill.json"
_WORD = "a restore drill's scratch of vpc-migration: its next run removes it"
_PATIENCE = 10.0


class _Mark(msgspec.Struct):
    """Whose folder it is: the process that made it, which another may follow under the same id."""

    word: str
    cluster: str
    pid: int
    started: float


@contextlib.contextmanager
def scratch(folder: Path, cluster: str) -> Generator[Path, None, None]:
    """A folder (0700) that is there for the block, beside the snapshots; what runs on it is ended with it."""
    # Whole paths, as the programs on it run elsewhere and are found again by their flags.
    made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder.resolve()))
    try:
        own = psutil.Process()
        mark = _Mark(word=_WORD, cluster=cluster, pid=own.pid, started=own.create_time())
        (made / MARK).write_bytes(msgspec.json.encode(mark))
        yield made
    finally:
        _remove(made)


def data(made: Path) -> Path:
    """Where the restored database lies in a scratch folder."""
    return made / "data"


def sweep(folder: Path, cluster: str, log: Callable[[str], None]) -> None:
    """Remove what killed drills of this cluster have left in the snapshots' folder, and nothing else."""
    for made in sorted(folder.resolve().glob(f"{PREFIX}*")):
        mark = _mark_of(made)
        if mark is None or mark.cluster != cluster or _lives(mark):
            continue
        _remove(made)
        log(f"removed {made}, which a restore drill that was killed had left")


def _mark_of(made: Path) -> _Mark | None:
    """The mark of a folder that this program made; None for whatever else is called so."""
    if made.is_symlink() or not made.is_dir() or made.stat().st_uid != os.getuid():
        return None
    try:
        mark = msgspec.json.decode((made / MARK).read_bytes(), type=_Mark)
    except (OSError, msgspec.MsgspecError):
        return None
    return mark if mark.word == _WORD else None


def _lives(mark: _Mark) -> bool:
    try:
        return psutil.Process(mark.pid).create_time() == mark.started
    except psutil.Error:
        return False


def _remove(made: Path) -> None:
    ours = f"--data-dir={data(made)}"
    running = [one for one in psutil.process_iter(["cmdline", "uids"]) if ours in (one.info["cmdline"] or ())]
    own = [one for one in running if one.info["uids"] is not None and one.info["uids"].real == os.getuid()]
    for one in own:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.terminate()
    _, left = psutil.wait_procs(own, timeout=_PATIENCE)
    for one in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(left, timeout=_PATIENCE)
    # The mark goes last: a removal that is killed in between is gone on with by the next run.
    for entry in made.iterdir():
        if entry.name != MARK:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    shutil.rmtree(made)

"""Plugins that a dead engine left: what they were asked for last, they may still be making."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from migration.runtime.engine import listening_ancestor, port_of

# Seconds that a plugin may take to finish what it was asked for; nobody hears its answer.
PATIENCE = 20.0
_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")
_PLUGIN = re.compile(r"pulumi-(resource|language)-|^pulumi\.dynamic$")
# It runs programs and makes nothing.
_LANGUAGE = "pulumi-language-"


def orphaned(folder: Path) -> list[psutil.Process]:
    """Plugins of engines that ran in `folder` and are gone.

    An engine starts its plugins in the program's folder, with its own address as an argument. Where no ancestor
    listens at that address any more, the engine is gone.
    """
    return sorted((one for one in psutil.process_iter() if _is_orphan(one, folder)), key=lambda one: one.pid)


def _is_orphan(process: psutil.Process, folder: Path) -> bool:
    try:
        words = process.cmdline()
        if process.status() == psutil.STATUS_ZOMBIE or not any(_PLUGIN.search(word) for word in words):
            return False
        if Path(process.cwd()) != folder:
            return False
        ports = [port_of(word) for word in words if _ADDRESS.fullmatch(word)]
        return bool(ports) and not any(listening_ancestor(process, port) for port in ports)
    except psutil.Error:
        # Gone meanwhile, or another user's: their engine isn't the one whose lock this user may free.
        return False


def settle(
    folder: Path,
    say: Callable[[str], None],
    *,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
    sleeper: Callable[[float], None] = time.sleep,
) -> None:
    """Return once no plugin of a dead engine works on: by itself, or ended when `patience` (seconds) is over."""
    began, told = clock(), False
    while makers := [one for one in orphaned(folder) if _LANGUAGE not in _title(one)]:
        if clock() - began > patience:
            break
        if not told:
            told = True
            say(f"waiting for what the dead engine left at work: {', '.join(map(_title, makers))}")
        sleeper(0.5)
    for one in orphaned(folder):
        title = _title(one)
        with suppress(psutil.NoSuchProcess):
            one.terminate()
            _, left = psutil.wait_procs([one], timeout=3)
            for still in left:
                still.kill()
            psutil.wait_procs(left, timeout=3)
            say(f"ended {title}, which the dead engine left")


def _title(process: psutil.Process) -> str:
    try:
        words = [word for word in process.cmdline() if _PLUGIN.search(word)]
    except psutil.Error:
        words = []
    return f"{Path(words[0]).name if words else 'a plugin'} (process {process.pid})"

"""The lab's tools: where each comes from, at which version, and how to get it.

For each: PATH at exactly the pinned version, then the cache, then a build from its pinned Go module (or, with
`OFFICIAL=1`, upstream's own binary, checked). Stdlib only: this runs before anything is installed.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.toolchain import official
from lab.toolchain.building import build, carry
from lab.toolchain.cache import Cache, Log, cache_root
from lab.toolchain.errors import MissingTool
from lab.toolchain.golang import ensure_go
from lab.toolchain.pins import BY_NAME, EXTRAS, TOOLS, Tool

__all__ = [
    "EXTRAS", "TOOLS", "Found", "MissingTool", "cache_root", "ensure", "find", "kwok_stage_dir", "tool_dirs",
    "tool_path",
]  # fmt: skip

ASK_TIMEOUT_S = 30
REMEDY = "run `make setup` (it builds what is missing, once)"
REMEDY_EXTRA = "run `python3 -m lab tool {name}` (it is built once)"


@dataclass(frozen=True)
class Found:
    """A tool that is there: its place, its version, and which way it came."""

    path: Path
    version: str
    way: str


@functools.lru_cache(maxsize=64)
def _says(path: str, changed_ns: int, name: str) -> str | None:
    """The version a binary names; asked once per process and file."""
    tool = BY_NAME[name]
    try:
        done = subprocess.run(
            [path, *(tool.version_args or ())],
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ASK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return tool.says(done.stdout + done.stderr) if done.returncode == 0 else None


def _companions(tool: Tool, path: Path) -> bool:
    return all((path.resolve().parent / other.name).is_file() for other in TOOLS if other.beside == tool.name)


def _on_path(tool: Tool, environ: Mapping[str, str], cache: Cache) -> Path | None:
    if tool.beside is not None:
        host = _on_path(BY_NAME[tool.beside], environ, cache)
        return None if host is None else host.resolve().parent / tool.name
    if tool.version_args is None:
        return None
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        found = shutil.which(tool.name, path=folder) if folder else None
        # The cache's own folders are on PATH once `lab env` has been evaluated; their version is in their name.
        if found is None or Path(found).is_relative_to(cache.tools):
            continue
        path = Path(found).absolute()
        if _says(found, path.stat().st_mtime_ns, tool.name) == tool.version and _companions(tool, path):
            return path
        # Only the first counts: it is what a shell would run.
        return None
    return None


def find(name: str, environ: Mapping[str, str] | None = None) -> Found | None:
    """A tool on PATH at its pinned version, or in the cache; None if neither. Builds nothing.

    Raises KeyError for a tool that isn't in the table.
    """
    tool = BY_NAME[name]
    env = os.environ if environ is None else environ
    cache = Cache.of(env)
    on_path = _on_path(tool, env, cache)
    if on_path is not None:
        return Found(on_path, tool.version, "PATH")
    cached = cache.find(tool)
    if cached is None:
        return None
    return Found(cached, tool.version, cache.origin(tool) or "cache")


def tool_path(name: str) -> Path:
    """Where a tool is. Raises MissingTool, with the remedy, if it isn't there."""
    found = find(name)
    if found is None:
        tool = BY_NAME[name]
        remedy = REMEDY_EXTRA.format(name=name) if tool in EXTRAS else REMEDY
        raise MissingTool(f"{name} {tool.version} is neither on PATH nor in {Cache.of().tools}: {remedy}")
    return found.path


def kwok_stage_dir() -> Path:
    """KWOK's stage definitions (`node/…`, `pod/…`), as its module ships them.

    Raises MissingTool if they aren't in the cache.
    """
    share = Cache.of().find_carried(BY_NAME["kwok"])
    if share is None:
        raise MissingTool(f"KWOK's stage files are not in {Cache.of().tools}: {REMEDY}")
    return share / "kustomize" / "stage"


def tool_dirs(environ: Mapping[str, str] | None = None) -> list[Path]:
    """The folders to put on PATH so that every tool that is there is found; those on PATH already are left."""
    found = [find(tool.name, environ) for tool in (*TOOLS, *EXTRAS)]
    folders = [one.path.parent for one in found if one is not None and one.way != "PATH"]
    return list(dict.fromkeys(folders))


def _complete(tool: Tool, cache: Cache) -> bool:
    return find(tool.name) is not None and cache.find_carried(tool) is not None


def ensure(log: Log, names: Iterable[str] | None = None) -> None:
    """Gets every tool that isn't there (by default those that any lab needs), one after the other; what is there
    costs nothing.

    Raises MissingTool at the first that can't be had: those before it stay.
    """
    tools = [BY_NAME[name] for name in names] if names is not None else list(TOOLS)
    cache = Cache.of()
    if all(_complete(tool, cache) for tool in tools):
        return
    with cache.lock(log):
        # Asked again: the one we waited for may have built them.
        missing = [tool for tool in tools if not _complete(tool, cache)]
        if official.wanted():
            for release in official.RELEASES:
                if any(find(name) is None and BY_NAME[name] in missing for name in release.tools):
                    official.fetch(release, cache, log)
            missing = [tool for tool in missing if not _complete(tool, cache)]
        if not missing:
            return
        go = ensure_go(cache, log)
        minutes = sum(tool.usual_minutes for tool in missing if find(tool.name) is None)
        log(f"{len(missing)} tools to get with go {go.version}; about {max(1, round(minutes))} min on two cores")
        for tool in missing:
            if find(tool.name) is None:
                build(tool, go, cache, log)
            if cache.find_carried(tool) is None:
                carry(tool, go, cache)

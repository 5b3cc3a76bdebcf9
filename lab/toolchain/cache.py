"""Where tools live between runs, and how two set-ups share that place.

`${MIGRATION_CACHE:-${XDG_CACHE_HOME:-~/.cache}/kube-vpc-migration}/tools/<tool>-<version>/bin/<tool>`: keyed by
version, so a changed pin builds beside the old one and nothing is ever half replaced.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.toolchain.errors import MissingTool
from lab.toolchain.locks import file_lock
from lab.toolchain.pins import Tool

Log = Callable[[str], None]


def cache_root(environ: Mapping[str, str] | None = None) -> Path:
    """The cache folder; an empty variable counts as unset. It need not exist."""
    env = os.environ if environ is None else environ
    if env.get("MIGRATION_CACHE"):
        return Path(env["MIGRATION_CACHE"]).absolute()
    if env.get("XDG_CACHE_HOME"):
        return Path(env["XDG_CACHE_HOME"]).absolute() / "kube-vpc-migration"
    return Path(env.get("HOME") or Path.home()) / ".cache" / "kube-vpc-migration"


@dataclass(frozen=True)
class Cache:
    """The tools' part of the cache folder."""

    root: Path

    @classmethod
    def of(cls, environ: Mapping[str, str] | None = None) -> Cache:
        return cls(cache_root(environ))

    @property
    def tools(self) -> Path:
        return self.root / "tools"

    @property
    def logs(self) -> Path:
        return self.root / "log"

    def folder(self, tool: Tool) -> Path:
        return self.tools / f"{tool.beside or tool.name}-{tool.version}"

    def find(self, tool: Tool) -> Path | None:
        """The tool's executable, None if it isn't (wholly) there."""
        path = self.folder(tool) / "bin" / tool.name
        return path if path.is_file() and os.access(path, os.X_OK) else None

    def find_carried(self, tool: Tool) -> Path | None:
        """The folder holding what the tool brings along, None if something of it is missing."""
        share = self.folder(tool) / "share"
        return share if all((share / name).is_dir() for name in tool.carries) else None

    def origin(self, tool: Tool) -> str | None:
        """How the cached tool came: a phrase, None if it isn't known."""
        path = self.find(tool)
        if path is None:
            return None
        try:
            return str(json.loads((path.parents[1] / "origin.json").read_text())["way"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, tool: Tool, source: Path, *, way: str) -> Path:
        """Moves a finished executable into its place; returns that. A reader never sees half a file."""
        bin_dir = self.folder(tool) / "bin"
        bin_dir.mkdir(parents=True, exist_ok=True)
        (bin_dir.parent / "origin.json").write_text(json.dumps({"way": way}) + "\n")
        target = bin_dir / tool.name
        temporary = bin_dir / f".{tool.name}.{os.getpid()}"
        try:
            shutil.copyfile(source, temporary)
            # The source may be a module cache's file, which is read-only.
            temporary.chmod(0o755)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return target

    def put_carried(self, tool: Tool, name: str, source: Path) -> Path:
        """Copies a folder beside the tool, as `share/<name>`, whole or not at all; replaces what is there."""
        share = self.folder(tool) / "share"
        share.mkdir(parents=True, exist_ok=True)
        with self.scratch(share) as scratch:
            # Contents only: module caches are read-only, and so would be a copy of their modes.
            shutil.copytree(source, scratch / name, copy_function=shutil.copyfile)
            for folder in (scratch / name, *(p for p in (scratch / name).rglob("*") if p.is_dir())):
                folder.chmod(0o755)
            shutil.rmtree(share / name, ignore_errors=True)
            (scratch / name).rename(share / name)
        return share / name

    @contextlib.contextmanager
    def scratch(self, beside: Path | None = None) -> Iterator[Path]:
        """A temporary folder on the same file system (so that a rename out of it is atomic)."""
        parent = beside or self.tools
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def lock(self, log: Log) -> Iterator[None]:
        """One set-up at a time: the second waits for the first (saying so), then finds its work done.

        Raises MissingTool if the cache folder can't be made.
        """
        lock = file_lock(
            self.tools / ".lock",
            lambda holder: log(f"another set-up (process {holder}) is at work: waiting for it"),
        )
        try:
            lock.__enter__()
        except OSError as error:
            raise MissingTool(
                f"the tools' cache {self.root} can't be written ({error.strerror}): "
                "set MIGRATION_CACHE to a folder that can"
            ) from error
        with contextlib.ExitStack() as stack:
            stack.push(lock)
            yield

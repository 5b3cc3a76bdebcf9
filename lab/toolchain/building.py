"""Builds tools from their pinned Go modules, with progress, and so that an interruption loses little.

What was compiled stays in Go's own cache, and a finished tool is put in place by a rename: the next set-up goes on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.toolchain.cache import Cache, Log
from lab.toolchain.errors import MissingTool
from lab.toolchain.golang import Go, module_folder
from lab.toolchain.pins import HERE, Tool

PROGRESS_EVERY_S = 15.0
POLL_S = 0.2
NICE = 10
"""A build is in no hurry: what else the machine does goes first."""


def build_command(go: Go, tool: Tool, output: Path) -> list[str]:
    """The `go build` that makes a tool. Raises ValueError for a tool that isn't made by Go."""
    if tool.package is None:
        raise ValueError(f"{tool.name} is not a Go package")
    flags = " ".join(part for part in ("-s -w", tool.stamp) if part)
    return [str(go.path), "build", "-trimpath", "-ldflags", flags, "-o", str(output), tool.package]


def duration(seconds: float) -> str:
    """`45 s`, `2 min 05 s`."""
    whole = int(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def usual(minutes: float) -> str:
    """`30 s`, `4 min`: what such a build usually takes."""
    return f"{minutes * 60:.0f} s" if minutes < 1 else f"{minutes:g} min"


def run_logged(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log_file: Path,
    label: str,
    expected: str,
    log: Log,
    progress_every_s: float = PROGRESS_EVERY_S,
) -> int:
    """Runs a command into a log file, with a line on its progress now and then; returns its exit status.

    On any exception (Ctrl-C among them) its whole process group is ended first.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    told = started
    with log_file.open("ab") as out:
        out.write(f"\n$ {' '.join(command)}\n".encode())
        out.flush()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            # Its own session: the compilers are ended together, and by us, not by the terminal behind our back.
            start_new_session=True,
            preexec_fn=lambda: os.nice(NICE) and None,
        )
        try:
            while True:
                try:
                    return process.wait(timeout=POLL_S)
                except subprocess.TimeoutExpired:
                    now = time.monotonic()
                    if now - told >= progress_every_s:
                        told = now
                        log(f"  {label}: {duration(now - started)} (usually {expected})")
        except BaseException:
            end_group(process)
            raise


def end_group(process: subprocess.Popen[bytes], patience_s: float = 5.0) -> None:
    """Ends a process that leads its own group, with all in it: TERM, a bounded wait, KILL."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=patience_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def build(tool: Tool, go: Go, cache: Cache, log: Log) -> Path:
    """Makes one tool and puts it into the cache; returns its place.

    Raises MissingTool, naming the log, if the build fails.
    """
    env = go.environment(cache)
    within = HERE / tool.module
    if tool.script_module is not None and tool.script is not None:
        source = module_folder(go, tool.script_module, within, env) / tool.script
        if not source.is_file():
            raise MissingTool(f"Go module {tool.script_module} holds no {tool.script}: the pin needs another look")
        return cache.put(tool, source, way=f"from Go module {tool.script_module}")
    log_file = cache.logs / f"{tool.name}-{tool.version}.log"
    log(f"building {tool.name} {tool.version} (usually {usual(tool.usual_minutes)}; log {log_file})")
    started = time.monotonic()
    with cache.scratch() as scratch:
        output = scratch / tool.name
        status = run_logged(
            build_command(go, tool, output),
            cwd=within,
            env=env,
            log_file=log_file,
            label=f"{tool.name} {tool.version}",
            expected=usual(tool.usual_minutes),
            log=log,
        )
        if status != 0 or not output.is_file():
            raise MissingTool(f"{tool.name} {tool.version} couldn't be built: {_why(status, log_file)}")
        path = cache.put(tool, output, way=f"built from its Go module with go {go.version}")
    log(f"  {tool.name} {tool.version}: built in {duration(time.monotonic() - started)}")
    return path


def carry(tool: Tool, go: Go, cache: Cache) -> None:
    """Puts what a tool brings along beside it. Raises MissingTool if its module can't be had."""
    if tool.carries_from is None:
        return
    source = module_folder(go, tool.carries_from, HERE / tool.module, go.environment(cache))
    for name in tool.carries:
        cache.put_carried(tool, name, source / name)


_UNREACHABLE = ("dial tcp", "i/o timeout", "no such host", "connection refused", "TLS handshake", "proxyconnect")


def _why(status: int, log_file: Path) -> str:
    lines = log_file.read_text(errors="replace").splitlines()[-40:]
    text = "\n".join(lines)
    if any(sign in text for sign in _UNREACHABLE):
        return f"the Go module proxy can't be reached (GOPROXY, network); see {log_file}, then try again"
    if "no space left on device" in text:
        return f"the disk is full; about 6 GB are needed while building; see {log_file}"
    if status < 0 or "signal: killed" in text:
        number = -status if status < 0 else signal.SIGKILL
        return f"ended by signal {int(number)} (out of memory? 2 GB free are needed); what was compiled is kept"
    last = next((line for line in reversed(lines) if line.strip()), "no output")
    return f"{last.strip()} (exit status {status}; see {log_file})"

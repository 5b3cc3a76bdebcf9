"""The commands that are compared, run as a person runs them: a process each, with what it used."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.environment import REPOSITORY
from rehearsal.benches.drain.model import Told
from rehearsal.benches.drain.world import OLD, SIDE, World, node_name

KUBECTL_LIMIT_S = 900.0
"""Within this a comparison has to end: the scale is chosen so that the serial one does."""
DRAIN_LIMIT_S = 3600.0
GRACE_S = 5.0
SELECTOR = f"{SIDE}={OLD}"
MEMORY_EVERY_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended: None for a status means that it was over its time. `memory_mb`: its peak."""

    status: int | None
    seconds: float
    memory_mb: float | None = None
    told: Told | None = None
    trouble: tuple[str, ...] = ()


Command = Callable[[], Awaitable[Ended]]


def environment() -> dict[str, str]:
    """Today's, without what would lead a command elsewhere, or change its ways (a kuberc of the user's)."""
    foreign = ("KUBECONFIG", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    return {key: value for key, value in os.environ.items() if key not in foreign} | {"KUBERC": "off"}


async def drain(kubeconfig: Path, log: Path, limit_s: float = DRAIN_LIMIT_S) -> Ended:
    """`python -m migration drain` of all old nodes; what it says goes into `log`."""
    argv = [sys.executable, "-m", "migration", "drain", "--nodes", SELECTOR, "--kubeconfig", str(kubeconfig), "--json"]
    began = time.monotonic()
    with log.open("wb") as errors:
        async with _process(argv, errors.fileno(), asyncio.subprocess.PIPE) as process:
            memory = asyncio.create_task(_peak_mb(process.pid))
            try:
                async with asyncio.timeout(limit_s):
                    output, _ = await process.communicate()
            except TimeoutError:
                return Ended(
                    status=None, seconds=limit_s, trouble=(f"the drain wasn't done after {limit_s:.0f} s: {log}",)
                )
            finally:
                memory.cancel()
                peak = await _result(memory)
    seconds = time.monotonic() - began
    trouble: list[str] = []
    if process.returncode != 0:
        trouble.append(f"the drain ended with exit status {process.returncode}: {_last_line(log)} ({log})")
    told = None
    try:
        told = Told.model_validate_json(output)
    except ValueError as error:
        trouble.append(f"the drain's JSON isn't what was agreed: {str(error).splitlines()[0]} ({log})")
    if peak is None:
        trouble.append("the drain's memory wasn't seen")
    return Ended(status=process.returncode, seconds=seconds, memory_mb=peak, told=told, trouble=tuple(trouble))


async def kubectls(
    kubectl: Path, kubeconfig: Path, world: World, count: int, log: Path, limit_s: float = KUBECTL_LIMIT_S
) -> Ended:
    """All old nodes cordoned, then `kubectl drain` of each, so many at a time."""
    began = time.monotonic()
    left = [node_name(OLD, number) for number in range(world.nodes)]
    failed: list[str] = []
    with log.open("wb") as output:

        async def run(*arguments: str) -> int:
            cache = kubeconfig.with_name("kubectl-cache")
            argv = [str(kubectl), f"--kubeconfig={kubeconfig}", f"--cache-dir={cache}", *arguments]
            async with _process(argv, output.fileno(), output.fileno()) as process:
                return await process.wait()

        async def work() -> None:
            while left:
                name = left.pop(0)
                # Its own time is over after the whole's: a node that can't be emptied is never given up quietly.
                status = await run(
                    "drain", name, "--ignore-daemonsets", "--delete-emptydir-data=false", f"--timeout={limit_s:.0f}s"
                )
                if status != 0:
                    failed.append(f"kubectl drain {name} ended with exit status {status}: {log}")

        try:
            async with asyncio.timeout(limit_s):
                if await run("cordon", "-l", SELECTOR) != 0:
                    return Ended(status=1, seconds=time.monotonic() - began, trouble=(f"kubectl can't cordon: {log}",))
                await asyncio.gather(*(work() for _ in range(count)))
        except TimeoutError:
            sentence = (
                f"not done after {limit_s:.0f} s: choose a smaller COMPARE=nodes:pods ({len(left)} nodes not begun)"
            )
            return Ended(status=None, seconds=time.monotonic() - began, trouble=(sentence,))
    return Ended(status=1 if failed else 0, seconds=time.monotonic() - began, trouble=tuple(failed[:3]))


@contextlib.asynccontextmanager
async def _process(argv: Sequence[str], errors: int, output: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command that has ended, with all that it started, when this has: also after Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=REPOSITORY,
        env=environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            for number, patience in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), patience)
                    break


async def _peak_mb(pid: int) -> float | None:
    """Reads the kernel's high-water mark of a process until it has ended or this is cancelled (proc(5): VmHWM)."""
    peak: float | None = None
    try:
        while True:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    peak = int(line.split()[1]) / 1024
            await asyncio.sleep(MEMORY_EVERY_S)
    except (OSError, asyncio.CancelledError):
        return peak


async def _result(task: asyncio.Task[float | None]) -> float | None:
    try:
        return await task
    except asyncio.CancelledError:
        return None


def _last_line(path: Path) -> str:
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "without a word"

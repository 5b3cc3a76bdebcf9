"""One service of a machine: the part of systemd that starts, watches, restarts and ends it."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lab.machines.processes import Identity, Ledger, may_raise, spawn
from lab.machines.rewrites import TOOLS, Host, rewrite, rewrite_environment
from lab.machines.units import Unit, command, parse_environment
from lab.toolchain.errors import MissingTool

log = logging.getLogger(__name__)
NICE_SUPERVISOR = 1
"""Of the program that starts everything on machines. Where it isn't privileged, nothing there has more."""
NICE = 6
"""Of what has no line below: after the network and the probes, which must not starve."""
NICES = {
    # Those that everybody waits for: on real machines they share their processors with nobody.
    **dict.fromkeys(("kube-apiserver", "etcd"), (-10, NICE_SUPERVISOR)),
    # They take a fifth of what those do, and a drain waits for them; with a third of their weight each, not a tenth,
    # they made API servers late where all is taken.
    **dict.fromkeys(("kube-controller-manager", "kube-scheduler", "kwok"), (0, NICE)),
    # An operator's machine shares its processors with none of these; behind all of them a drain couldn't renew
    # its lease in time. Where no priority may be raised, the engine and its plugins come last.
    "pulumi": (0, 8),
}
"""By program: where more than the supervisor has is allowed, and where it isn't."""
NICE_BOOTING = 10
MAX_STOP_S = 30.0
"""A lab doesn't wait 90 s for a program that ignores TERM."""


def lasting(program: str) -> int:
    """The priority of a program that runs, once it has booted."""
    privileged, else_ = NICES.get(program, (NICE, NICE))
    return privileged if may_raise() else else_


class Booting(Protocol):
    """Keeps several control planes from booting at once (gate.py)."""

    async def enter(self, machine: str, program: str) -> None: ...

    async def started(self, machine: str, ip: str, program: str, identity: Identity) -> None: ...

    def leave(self, machine: str, program: str) -> None: ...

    def nice(self, program: str) -> int: ...


@dataclass
class Service:
    """A unit with its state: inactive, activating, active, deactivating or failed."""

    unit: Unit
    host: Host
    environment: Mapping[str, str]
    ledger: Ledger
    tool: Callable[[str], Path]
    booting: Booting
    state: str = "inactive"
    identity: Identity | None = None
    code: int | None = None
    restarts: int = 0
    _child: subprocess.Popen[bytes] | None = None
    _task: asyncio.Task[None] | None = None
    _again_at: float | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def name(self) -> str:
        return self.unit.name

    @property
    def active(self) -> bool:
        return self.state in ("active", "activating")

    async def adopt(self) -> bool:
        """Takes over the process a former supervisor left running."""
        self.identity = self.ledger.read(self.name)
        if self.identity is None:
            return False
        self.state = "active"
        program = Path(self.unit.start[0].split()[0]).name
        await self.booting.started(self.host.instance, self.host.ip, program, self.identity)
        return True

    def resume(self) -> None:
        """Has the next tick start it: it was to run, and ended while no supervisor looked."""
        self.state, self._again_at = "failed", 0.0

    async def start(self) -> int:
        """`systemctl start`: returns when the process runs (oneshot: when it has ended). The exit status."""
        async with self._lock:
            if self.active:
                return 0
            self.state = "activating"
            self._again_at = None
            if self.unit.kind == "oneshot":
                return await self._oneshot()
            # A simple service counts as started at once; waiting for its turn to boot is "activating".
            self._task = asyncio.create_task(self._launch())
        return 0

    async def _oneshot(self) -> int:
        for line in self.unit.start:
            self.code = await self._run(line)
            if self.code:
                self.state = "failed"
                return self.code
        self.state = "active" if self.unit.remain else "inactive"
        return 0

    async def _run(self, line: str) -> int:
        argv, environment = self._command(line)
        child = self._spawn(argv, environment, NICE_BOOTING)
        while child.poll() is None:
            await asyncio.sleep(0.05)
        self.ledger.forget(self.name)
        tolerated = line.lstrip("@:+!").startswith("-")
        return 0 if tolerated else child.returncode

    async def _launch(self) -> None:
        try:
            for line in self.unit.start_pre:
                if await self._run(line):
                    raise OSError(f"ExecStartPre failed: {line}")
            argv, environment = self._command(self.unit.start[0])
            await self._turn(argv, environment)
        except (OSError, MissingTool) as error:
            log.warning("%s %s: %s", self.host.instance, self.name, error)
            self._ended(203)  # systemd's EXIT_EXEC

    async def _turn(self, argv: list[str], environment: dict[str, str]) -> None:
        """Starts the process when it may; whatever goes wrong meanwhile, the next one gets its turn."""
        program = Path(argv[0]).name
        await self.booting.enter(self.host.instance, program)
        identity = None
        try:
            self._child = self._spawn(argv, environment, self.booting.nice(program))
            self.identity = identity = Identity.of(self._child.pid)
            self.state = "active"
        finally:
            if identity is None:
                self.booting.leave(self.host.instance, program)
        if identity is not None:
            await self.booting.started(self.host.instance, self.host.ip, program, identity)

    def _command(self, line: str) -> tuple[list[str], dict[str, str]]:
        environment = dict(self.environment)
        for path, optional in self.unit.environment_files:
            try:
                environment.update(parse_environment(Path(path).read_text()))
            except FileNotFoundError:
                if not optional:
                    raise
        environment.update(self.unit.environment)
        argv = rewrite(command(line, environment), self.host, self.tool)
        environment = rewrite_environment(argv, environment, self.host)
        if Path(argv[0]).name in TOOLS:
            environment["PWD"] = str(self.host.folder)
        return argv, environment

    def _spawn(self, argv: list[str], environment: dict[str, str], nice: int) -> subprocess.Popen[bytes]:
        directory = Path(self.unit.directory) if self.unit.directory else self.host.folder
        child = spawn(
            argv,
            environment=environment,
            log=self.host.folder / "log" / f"{self.name}.log",
            nice=nice,
            directory=directory,
        )
        self.ledger.write(self.name, child.pid, argv)
        return child

    async def tick(self) -> None:
        """Called a few times a second: notices an end, restarts what is to be restarted."""
        if self.state == "active" and self.identity is not None:
            code = self._child.poll() if self._child is not None else None
            if code is None and self.identity.alive:
                return
            self._ended(0 if code is None else code)
        if self.state == "failed" and self._again_at is not None and time.monotonic() >= self._again_at:
            self.restarts += 1
            self.state = "inactive"
            await self.start()

    def _ended(self, code: int) -> None:
        self.ledger.forget(self.name)
        self.identity, self._child, self.code = None, None, code
        if self.unit.restarts(code):
            self.state = "failed"
            self._again_at = time.monotonic() + max(self.unit.restart_s, min(0.5 * 2 ** min(self.restarts, 4), 5))
            log.info("%s %s ended with %s, restarts", self.host.instance, self.name, code)
        else:
            self.state = "inactive" if code == 0 else "failed"

    async def end(self) -> None:
        """Ends the process and nothing else: whoever watches the service sees that it has ended."""
        if self.identity is not None:
            await ended(self.identity, self._child, min(self.unit.stop_s, MAX_STOP_S))

    async def stop(self, limit_s: float | None = None) -> None:
        """`systemctl stop`: TERM, and KILL after the unit's time (or `limit_s`); returns when it is gone."""
        async with self._lock:
            self._again_at = None
            if self._task is not None and not self._task.done():
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
            identity = self.identity or self.ledger.read(self.name)
            if identity is not None:
                self.state = "deactivating"
                limit = min(self.unit.stop_s, MAX_STOP_S) if limit_s is None else limit_s
                await ended(identity, self._child, limit)
            self.ledger.forget(self.name)
            self.identity, self._child, self.state = None, None, "inactive"


async def ended(
    identity: Identity,
    child: subprocess.Popen[bytes] | None,
    limit_s: float,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Ends a process group: TERM, then KILL once `limit_s` have passed; returns when the leader is gone."""
    identity.send(signal.SIGTERM)
    deadline = time.monotonic() + limit_s
    killed = False
    while identity.alive:
        if child is not None:
            child.poll()
        if not killed and time.monotonic() >= deadline:
            killed = identity.send(signal.SIGKILL)
        await pause(0.05)
    if child is not None:
        child.poll()

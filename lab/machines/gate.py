"""One control plane boots at a time, so that two cores keep answering what the running ones are asked.

Measured: three API servers booting at once raise the others' p99 fourfold. While no API server of the lab
serves yet there is nobody to protect, and everything starts together.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from lab.addresses import API_PORT, hidden_port
from lab.machines.processes import Identity
from lab.machines.services import NICE_BOOTING, lasting

log = logging.getLogger(__name__)
API_SERVER = "kube-apiserver"
HEAVY = frozenset({API_SERVER, "kube-controller-manager", "kube-scheduler"})
SETTLE_S = 3.0
"""How long a manager's start keeps the next one waiting."""
LIMIT_S = 60.0
"""An API server that isn't ready by then (it waits for its etcd) makes room for others."""


@dataclass
class Gate:
    """See `services.Booting`."""

    serving: set[str] = field(default_factory=set)
    """Instances whose API server has been seen ready."""
    _slot: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    _holders: dict[tuple[str, str], bool] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def enter(self, machine: str, program: str) -> None:
        """Waits for this program's turn."""
        if program in HEAVY and self.serving - {machine}:
            await self._slot.acquire()
            self._holders[machine, program] = True

    def nice(self, program: str) -> int:
        return NICE_BOOTING if program in HEAVY and self.serving else lasting(program)

    async def started(self, machine: str, ip: str, program: str, identity: Identity) -> None:
        """Lets the next one go, and gives the process its lasting priority, once it has settled."""
        if program in HEAVY:
            task = asyncio.create_task(self._settle(machine, ip, program, identity))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def leave(self, machine: str, program: str) -> None:
        """Ends a program's turn, if it was its turn."""
        if self._holders.pop((machine, program), False):
            self._slot.release()

    def gone(self, machine: str) -> None:
        self.serving.discard(machine)

    async def _settle(self, machine: str, ip: str, program: str, identity: Identity) -> None:
        try:
            if program == API_SERVER:
                if await ready(ip, identity, LIMIT_S):
                    log.info("%s: API server ready", machine)
                    self.serving.add(machine)
            else:
                await asyncio.sleep(SETTLE_S)
        finally:
            self.leave(machine, program)
        # Without the right to raise a priority the process stays at its booting one, which is lower still.
        identity.renice(lasting(program))


def _port(pid: int) -> int:
    """Where the API server listens, as its command line says: another layout's machines have another port."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        words = []
    told = next((word.partition("=")[2] for word in words if word.startswith("--secure-port=")), "")
    return int(told) if told.isdecimal() else hidden_port(API_PORT)


async def ready(ip: str, identity: Identity, limit_s: float) -> bool:
    """Whether the API server on this machine says it is ready before the limit; False as soon as it has ended."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # The question is whether it serves, on its own address, not who it is.
    deadline = time.monotonic() + limit_s
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        while identity.alive and time.monotonic() < deadline:
            # Asked each time: a process that has only just become the program has no command line yet.
            url = f"https://{ip}:{_port(identity.pid)}/readyz"
            try:
                async with session.get(url, ssl=context) as answer:
                    if answer.status in (200, 401, 403):
                        return True
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.5)
    return False

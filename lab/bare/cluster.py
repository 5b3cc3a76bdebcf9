"""Starts and ends a bare cluster: three members of etcd, three API servers, controllers, scheduler, one KWOK.

Its processes are the lab's (`lab/processes.py`): ended by id, and by `lab down` where this program had no time to.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import interrupt, processes
from lab.addresses import LOOPBACK
from lab.bare import commands
from lab.bare.commands import MEMBERS, Ports, url
from lab.bare.pki import CLUSTER, Pki
from lab.environment import REPOSITORY, VENV, child_environment
from lab.kubernetes.access import ApiError, access
from lab.kubernetes.client import Client
from lab.legacy.pki import Authority, kubeconfig, put_secret
from lab.machines import confinement
from lab.machines.kwok import stages
from lab.machines.processes import Identity
from lab.toolchain import tool_path
from lab.toolchain.locks import file_lock

PREFIX = "bare-"
GROUPS = ("etcd", "api", "controller-manager", "scheduler", "kwok", "entry")
"""What its processes are, as in their names: `bare-<group>`, with a number where there are several."""
LOCK = "bare.lock"
READY_S = 120.0
POLL_S = 0.3
END_S = 8.0
START_S = 0.1
"""How long a pod without the annotation `lab/start` takes."""
PORTS = range(25_000, 30_000)
"""Linux gives ports from 32768 on to whoever dials (ip(7), ip_local_port_range); those of labs end at 24999."""
TOOLS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")


class BareError(Exception):
    """The cluster can't be brought up; the message says which process, why, and where its log is."""


@dataclass(frozen=True, kw_only=True)
class Bare:
    """A cluster that runs. `kubeconfig` leads to the spread endpoint, each of `members` to one API server."""

    directory: Path
    kubeconfig: Path
    members: tuple[Path, ...]

    def processes(self) -> dict[str, Identity]:
        """Its processes that run, by name without the prefix."""
        return running(self.directory)

    def ended(self) -> list[str]:
        """Those that ought to run and don't."""
        return sorted(set(names()) - set(self.processes()))


def names() -> list[str]:
    """Every process of a cluster, without the prefix."""
    several = [f"{group}-{number}" for group in ("etcd", "api") for number in range(MEMBERS)]
    return [*several, "controller-manager", "scheduler", "kwok", "entry"]


def group_of(name: str) -> str:
    """The group of a process: `api-2` → `api`."""
    return name.rstrip("0123456789").rstrip("-")


def running(directory: Path) -> dict[str, Identity]:
    """The processes of a cluster in this folder, by name without the prefix."""
    found = processes.running(directory)
    return {name.removeprefix(PREFIX): identity for name, identity in found.items() if name.startswith(PREFIX)}


@contextlib.contextmanager
def bare(directory: Path, say: Callable[[str], None]) -> Iterator[Bare]:
    """A fresh cluster for as long as this lasts, however it ends. What an earlier one left is ended first.

    One in a folder at a time: the second waits. Raises BareError, MissingTool.
    """
    waiting = "process {} has a cluster in {}: waiting for its end"
    with file_lock(processes.run_folder(directory) / LOCK, lambda holder: say(waiting.format(holder, directory))):
        stop(directory)
        try:
            yield _start(directory, say)
        finally:
            stop(directory)


def stop(directory: Path) -> None:
    """End its processes and remove its data; nothing to end is fine."""
    order = ("kwok", "scheduler", "controller-manager", "entry", "api", "etcd")
    for name in sorted(running(directory), key=lambda name: order.index(group_of(name))):
        # Its data goes with it: nobody waits for a shutdown in good order.
        processes.stop(directory, PREFIX + name, patience_s=END_S if group_of(name) == "etcd" else 1.0)
    shutil.rmtree(folder_of(directory), ignore_errors=True)


def folder_of(directory: Path) -> Path:
    """Where a cluster's files are, within the lab's folder."""
    return directory / "bare"


def free_ports(count: int) -> list[int]:
    """So many ports of 127.0.0.1 that nobody listens on now, below those that the kernel gives to whoever dials."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            break
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind((LOOPBACK, port))
            found.append(port)
    return found


def _start(directory: Path, say: Callable[[str], None]) -> Bare:
    folder = folder_of(directory)
    folder.mkdir(parents=True)
    found = free_ports(3 * MEMBERS + 1)
    ports = Ports(
        client=tuple(found[:MEMBERS]),
        peer=tuple(found[MEMBERS : 2 * MEMBERS]),
        api=tuple(found[2 * MEMBERS : 3 * MEMBERS]),
        entry=found[-1],
    )
    tools: Mapping[str, Path] = {name: tool_path(name) for name in TOOLS}
    tool = tools.__getitem__
    pki = Pki(folder / "pki")
    ca = pki.write()
    members = tuple(
        _written(folder / f"api-{number}.kubeconfig", ca, url(port)) for number, port in enumerate(ports.api)
    )
    entry = _written(folder / "kubeconfig", ca, url(ports.entry))
    # Each controller has an API server of its own beside it, as on a control plane machine.
    controllers = _written(
        folder / "controllers.kubeconfig", ca, url(ports.api[0]), "system:kube-controller-manager", None
    )
    scheduler = _written(folder / "scheduler.kubeconfig", ca, url(ports.api[1]), "system:kube-scheduler", None)
    kubelets = _written(folder / "kubelets.kubeconfig", ca, url(ports.api[-1]), confinement.USER)
    (folder / "kwok.yaml").write_text(stages(START_S))
    run = _Runner(directory)
    for number in range(MEMBERS):
        run(f"etcd-{number}", commands.etcd(tool, pki, folder / f"etcd-{number}", ports, number))
    for number in range(MEMBERS):
        run(f"api-{number}", commands.apiserver(tool, pki, ports, number))
    python = str(VENV / "bin" / "python")
    run("entry", [python, "-m", "lab.bare.entry", str(ports.entry), *map(str, ports.api)])
    say("API servers and etcd are started")
    for member in (*members, entry):
        _ready(directory, member)
    run("controller-manager", commands.controller_manager(tool, pki, controllers))
    run("scheduler", commands.scheduler(tool, scheduler))
    _confine(entry)
    run("kwok", commands.kwok(tool, kubelets, folder / "kwok.yaml"))
    say("the control plane is ready")
    return Bare(directory=directory, kubeconfig=entry, members=members)


def _written(
    path: Path, ca: Authority, server: str, user: str | None = None, group: str | None = "system:masters"
) -> Path:
    put_secret(path, kubeconfig(CLUSTER, server, ca, user, group))
    return path


@dataclass(frozen=True)
class _Runner:
    directory: Path

    def __call__(self, name: str, argv: list[str]) -> None:
        environment = child_environment()
        # None of these is to find another cluster, or the lab's AWS, by its surroundings.
        kept = {key: environment[key] for key in ("PATH", "PYTHONUNBUFFERED")} | {"HOME": str(self.directory / "bare")}
        started = processes.start(PREFIX + name, argv, directory=self.directory, environment=kept, cwd=REPOSITORY)
        if started is None:
            raise BareError(f"{name} ended at once: see {processes.log_path(self.directory, PREFIX + name)}")


def _confine(config: Path) -> None:
    """Hold KWOK to what a kubelet may. Raises BareError."""
    try:
        confinement.confine(Client(access(config.read_text())))
    except ApiError as error:
        raise BareError(f"KWOK can't be held to what is terminating: {error}") from error


def _ready(directory: Path, config: Path) -> None:
    """Wait until an API server says that it is ready. Raises BareError."""
    client = Client(access(config.read_text()), patience_s=0.0)
    end = time.monotonic() + READY_S
    while True:
        interrupt.check()
        ended = sorted({name for name in names() if name.startswith(("etcd", "api"))} - set(running(directory)))
        if ended:
            log = processes.log_path(directory, PREFIX + ended[0])
            raise BareError(f"{ended[0]} has ended before the API was ready: see {log}")
        try:
            client.text("/readyz")
            return
        except ApiError as error:
            if time.monotonic() > end:
                logs = processes.log_path(directory, PREFIX).parent
                raise BareError(f"the API isn't ready after {READY_S:.0f} s ({error}): see {logs}") from error
        time.sleep(POLL_S)

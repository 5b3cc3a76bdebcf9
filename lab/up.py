"""`lab up`, `lab down`, `lab status`: the lab's processes and its legacy cluster, observed before anything is done."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import controllers, interrupt, processes, profiles, shapes, timings, toolchain
from lab.addresses import LabAddresses, from_environment, lab_dir
from lab.doctor import port_holder
from lab.environment import REPOSITORY, child_environment, make_folders
from lab.layouts import BUILT
from lab.machines.processes import Identity
from lab.machines.services import NICE_SUPERVISOR
from lab.toolchain.building import duration
from lab.toolchain.errors import MissingTool
from lab.toolchain.locks import file_lock

Say = Callable[[str], None]

START_S = 90.0
"""How long one process may take to be ready: importing moto alone takes some seconds on a busy machine."""
HEALTHY_S = 420.0
NODE_S = 2.0
"""What each node that the small profile doesn't have adds to that."""
MACHINES_END_S = 40.0
PROGRESS_EVERY_S = 15.0
POLL_S = 0.2

OF_ONE_AWS = (
    *("machines", "volumes", "shims", "kubeconfig", "pulumi/state"),
    *(profiles.BUILT, profiles.BUILT_PODS, BUILT, shapes.BUILT, shapes.BUILT_SEED, controllers.BUILT, timings.BUILT),
)
"""What stands for an AWS that is gone once its process is: AWS's state is in memory only."""


class LabError(Exception):
    """The lab can't be brought up (or down); the message says why and what to do."""


@dataclass(frozen=True)
class Service:
    """One process of the lab. `ready` is a URL; any answer below 400 (or, with `any_answer`, any at all) will do."""

    name: str
    nice: int
    ready: Callable[[LabAddresses], str]
    any_answer: bool = False

    @property
    def module(self) -> str:
        return f"lab.{self.name}"


SERVICES: tuple[Service, ...] = (
    Service("aws", 5, lambda lab: f"{lab.aws_url}/_backplane/state?after=-1&wait=0"),
    # Nothing of the lab comes before the packets.
    Service("network", 0, lambda lab: f"{lab.network_url}/ready"),
    # It starts API servers and etcd, and without privileges can give them no more than it has.
    Service("machines", NICE_SUPERVISOR, lambda lab: f"{lab.imds_url}/", any_answer=True),
)


def is_ready(service: Service, addresses: LabAddresses, directory: Path) -> bool:
    """Whether it says so: by its port, or by `$LAB_DIR/run/<name>.ready`."""
    if (processes.run_folder(directory) / f"{service.name}.ready").exists():
        return True
    # No proxy handler: these are loopback's.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(service.ready(addresses), timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return service.any_answer or error.code < 400
    except (OSError, ValueError):
        return False


def ensure_service(
    service: Service, addresses: LabAddresses, directory: Path, environment: Mapping[str, str], say: Say
) -> None:
    """Starts one process unless it runs, and waits until it is ready.

    Raises LabError if it ends, isn't ready in time, or its port is somebody else's.
    """
    if processes.find(directory, service.name) is None:
        # From a process that is gone: it would make this one look ready.
        (processes.run_folder(directory) / f"{service.name}.ready").unlink(missing_ok=True)
        port = urllib.parse.urlsplit(service.ready(addresses)).port
        if port is not None and port_holder(port):
            raise LabError(
                f"port {port} ({service.name}) is taken, but not by this lab: {_how_to_free(port)}, or set "
                "LAB_INDEX (0–9) to another lab's number"
            )
        identity = processes.start(
            service.name,
            [sys.executable, "-m", service.module],
            directory=directory,
            environment=environment,
            nice=service.nice,
            cwd=REPOSITORY,
        )
        say(f"{service.name}: started" + (f" (process {identity.pid})" if identity else ""))
    deadline = time.monotonic() + START_S
    while not is_ready(service, addresses, directory):
        interrupt.check()
        if processes.find(directory, service.name) is None:
            raise LabError(f"{service.name} ended: {_last_line(directory, service.name)}")
        if time.monotonic() > deadline:
            raise LabError(f"{service.name} isn't ready after {START_S:.0f} s: {_last_line(directory, service.name)}")
        time.sleep(POLL_S)


def _how_to_free(port: int) -> str:
    """Who listens and how to end it: most often a lab whose folder was forgotten, or deleted."""
    import psutil

    for one in psutil.net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN and tuple(one.laddr)[1:] == (port,) and one.pid:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(one.pid)
                folder = process.environ().get("LAB_DIR")
                if folder:
                    return f"the lab of {folder} has it, `LAB_DIR={folder} python3 -m lab down` ends that"
                return f"end process {one.pid} ({process.name()})"
    return "end what listens there"


def _last_line(directory: Path, name: str) -> str:
    path = processes.log_path(directory, name)
    try:
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return f"{lines[-1].strip() if lines else 'it said nothing'} (see {path})"


def forget_world(directory: Path, say: Say) -> None:
    """Removes what belongs to an AWS that is gone, once its processes have ended.

    Raises LabError if one of them can't be ended.
    """
    stop_everything(directory, say)
    for name in OF_ONE_AWS:
        path = directory / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def run_step(module: str, directory: Path, environment: Mapping[str, str]) -> None:
    """Runs `python -m <module>` to its end, its output shown. Raises LabError if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=REPOSITORY,
        env={**environment, "LAB_DIR": str(directory), processes.MARK: module},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise LabError(f"python -m {module} failed (exit status {done.returncode}): see above")


def wait_healthy(
    directory: Path, addresses: LabAddresses, say: Say, *, workload: bool, within_s: float = HEALTHY_S
) -> None:
    """Waits until the cluster is whole. Raises LabError, saying what is missing, if it isn't in time."""
    from lab.health import look

    started = told = time.monotonic()
    while not (health := look(directory, addresses, workload=workload)).whole:
        interrupt.check()
        now = time.monotonic()
        if now - started > within_s:
            raise LabError(f"the cluster isn't whole after {within_s:.0f} s: {health}; see {directory / 'log'}")
        if now - told >= PROGRESS_EVERY_S:
            told = now
            say(f"  cluster: {duration(now - started)}: {health}")
        dead = [service.name for service in SERVICES if processes.find(directory, service.name) is None]
        if dead:
            raise LabError(f"{dead[0]} ended: {_last_line(directory, dead[0])}")
        time.sleep(1)
    say(f"cluster: {health}")


def up(say: Say, *, empty: bool = False) -> int:
    """Brings the lab up, doing what isn't done yet; returns an exit status."""
    directory = make_folders()
    started = time.monotonic()
    try:
        for tool in toolchain.TOOLS:
            toolchain.tool_path(tool.name)
        with file_lock(
            processes.run_folder(directory) / "up.lock",
            lambda holder: say(f"process {holder} is bringing this lab up or down: waiting for it"),
        ):
            _up(directory, say, empty=empty)
    except (LabError, MissingTool) as error:
        say(f"lab up: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted: what was started goes on; `make lab-down` ends it, `make lab` goes on")
        return 130
    say(f"lab: up in {duration(time.monotonic() - started)} ({directory})")
    return 0


def _up(directory: Path, say: Say, *, empty: bool) -> None:
    addresses = from_environment()
    environment = child_environment()
    new = processes.find(directory, "aws") is None
    if new:
        forget_world(directory, say)
    from lab.settings import LabSettings  # `down` needs nothing installed

    settings = LabSettings.load(directory)
    if new and not empty and (short := profiles.short_of_memory(settings.profile, settings.team_pods)):
        raise LabError(short)
    toolchain.ensure(say, settings.tools)
    settings.note_built(directory)
    if settings.profile != profiles.SMALL:
        say(f"profile: {settings.profile}, {settings.team_pods} pods of the teams' and those beside them")
    if settings.layout != LabSettings().layout:
        say(f"layout of the control plane: {settings.layout}")
    if settings.shape != shapes.PET:
        say(f"shape of the account: {settings.shape}, seed {settings.seed}")
    if settings.real_controllers:
        say(f"controllers: {', '.join(controllers.TOOLS)} themselves")
    for service in SERVICES:
        ensure_service(service, addresses, directory, environment, say)
    interrupt.check()
    if empty:
        return
    nodes = profiles.find(settings.profile).nodes - profiles.find(profiles.SMALL).nodes
    within_s = HEALTHY_S + NODE_S * nodes
    run_step("lab.legacy", directory, environment)
    wait_healthy(directory, addresses, say, workload=False, within_s=within_s)
    run_step("lab.workload", directory, environment)
    wait_healthy(directory, addresses, say, workload=True, within_s=within_s)


def stop_everything(directory: Path, say: Say) -> None:
    """Ends every process of this lab: the named ones in order, then whatever else carries its mark.

    Raises LabError, naming them, for those that can't be ended.
    """
    named = processes.running(directory)
    # Those this file doesn't know (probes, a rehearsal) first, then the services from last to first: machines
    # end their own children while the network is still there.
    order = [name for name in named if name not in {service.name for service in SERVICES}]
    order += [service.name for service in reversed(SERVICES) if service.name in named]
    for name in order:
        patience = MACHINES_END_S if name == "machines" else 10.0
        if processes.stop(directory, name, patience_s=patience):
            say(f"{name}: ended")
    left_behind = processes.of_lab(directory)
    if left_behind:
        say(f"{len(left_behind)} more process(es) of this lab: ending them")
    left = processes.end_all(directory)
    if left:
        raise LabError("can't end " + ", ".join(_named(one) for one in left) + ": end them by hand")
    for path in processes.run_folder(directory).glob("*.ready"):
        path.unlink(missing_ok=True)


def _named(identity: Identity) -> str:
    return f"process {identity.pid} ({processes.command_of(identity)[:80]})"


def down(say: Say, *, purge: bool = False) -> int:
    """Ends the lab; returns an exit status. With `purge`, its state goes too, except its reports."""
    directory = lab_dir().resolve()
    if not directory.exists():
        say(f"lab: nothing in {directory}")
        return 0
    try:
        with file_lock(
            processes.run_folder(directory) / "up.lock",
            lambda holder: say(f"process {holder} is bringing this lab up or down: waiting for it"),
        ):
            stop_everything(directory, say)
            listening = [port for port in _ports(from_environment()) if port_holder(port)]
    except LabError as error:
        say(f"lab down: {error}")
        return 1
    if listening:
        say(f"lab down: something else listens on {', '.join(map(str, listening))}; it is not this lab's")
    if purge:
        _purge(directory)
    say("lab: down")
    return 0


def _ports(addresses: LabAddresses) -> list[int]:
    return [addresses.port(offset) for offset in range(1, 12)]


PURGED = (*OF_ONE_AWS, "pulumi", "run", "log", "tls", "lab.json")
"""By name, never the folder as a whole: LAB_DIR may be a place with other things in it."""


def _purge(directory: Path) -> None:
    for name in PURGED:
        path = directory / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def status(say: Say) -> int:
    """Shows what runs; returns 0 if the lab is up and its cluster whole, else 1."""
    directory = lab_dir().resolve()
    addresses = from_environment()
    good = True
    for service in SERVICES:
        identity = processes.find(directory, service.name)
        answering = identity is not None and is_ready(service, addresses, directory)
        good = good and answering
        state = "not running" if identity is None else ("ready" if answering else "starting")
        say(f"{service.name:<10}{state}" + (f", process {identity.pid}" if identity else ""))
    if good:
        from lab.health import look

        health = look(directory, addresses)
        say(f"{'cluster':<10}{health}")
        good = health.whole
    others = len(processes.of_lab(directory)) - len(processes.running(directory))
    if others > 0:
        say(f"{'others':<10}{others} processes of machines and tools")
    return 0 if good else 1

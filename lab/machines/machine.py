"""One instance as a machine: its root, its user data, its services, its mounts."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import shlex
import signal
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from lab.addresses import private_dns_name
from lab.machines import cloudinit, crictl, images, kubeadm, mounts
from lab.machines.kubelet import StaticPods
from lab.machines.manifests import FOLDER, KubeletOptions, ManifestError, Where, kubelet_options
from lab.machines.place import Place
from lab.machines.processes import Identity, Ledger, spawn
from lab.machines.reroot import reroot_path, reroot_script, script_of
from lab.machines.rewrites import EGRESS_FILE, KUBELET, egress_configuration
from lab.machines.services import NICE_BOOTING, Booting, Service
from lab.machines.units import Unit, UnitError, command, parse_environment, parse_unit

log = logging.getLogger(__name__)
CLOUD_INIT = "cloud-init"
UNITS = ("/etc/systemd/system", "/usr/lib/systemd/system")


class Kubelets(Protocol):
    """Who makes Node objects (nodes.py)."""

    def register(self, instance: Mapping[str, Any], flags: Mapping[str, str]) -> None: ...


@dataclass(frozen=True)
class Answer:
    """What a command a machine's script called gives back."""

    code: int = 0
    stdout: str = ""
    stderr: str = ""


@dataclass
class Machine:
    instance: dict[str, Any]
    place: Place
    booting: Booting
    kubelets: Kubelets
    services: dict[str, Service] = field(default_factory=dict)
    enabled: set[str] = field(default_factory=set)
    masked: set[str] = field(default_factory=set)
    kubelet: bool = False
    """Whether its kubelet runs."""
    pods: StaticPods | None = None
    """What its kubelet runs by itself; None where it has no folder of manifests."""
    stopping: bool = False
    attended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the machine's agent takes commands: that waits for no script of the user data, which may take hours."""
    told: frozenset[str] = frozenset()
    """The volumes that EC2 knows to be mounted here."""
    untold: bool = False
    _kubeadm: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.folder)

    @property
    def id(self) -> str:
        return self.instance["id"]

    @property
    def folder(self) -> Path:
        return self.place.folder(self.id)

    @property
    def root(self) -> Path:
        return self.place.root(self.id)

    async def boot(self) -> None:
        """Runs the user data, once in the machine's life; after a supervisor's restart takes over what runs."""
        try:
            await self._boot()
        finally:
            self.attended.set()

    async def _boot(self) -> None:
        await self._recall()
        script = self.ledger.read(CLOUD_INIT)
        if script is not None:
            self.attended.set()
            while script.alive:
                await asyncio.sleep(0.2)
        elif not (self.folder / "booted").exists():
            await asyncio.sleep(self.place.boot_s(self.instance["private_ip"]))
            await self._first_boot()
        if not self.stopping:
            (self.folder / "booted").touch()

    async def _first_boot(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.root / "root").mkdir(parents=True, exist_ok=True)
        (self.folder / EGRESS_FILE).write_text(egress_configuration(self.place.host(self.instance).connect_socket))
        try:
            config = cloudinit.parse(base64.b64decode(self.instance.get("user_data") or ""))
        except cloudinit.CloudConfigError as error:
            log.error("%s: user data refused: %s", self.id, error)
            return
        image = images.find(self.instance.get("image_name") or "")
        # What the image brings is there before cloud-init runs.
        for file in (*image.files, *config.files):
            self._write(file)
        await self._user_data(config)
        for unit in image.enabled:
            answer = await self.call("systemctl", ("enable", "--now", unit))
            if answer.code:
                log.error("%s: %s of the image: %s", self.id, unit, answer.stderr)

    async def _user_data(self, config: cloudinit.CloudConfig) -> None:
        plain = [_plain_systemctl(item) for item in config.commands]
        if config.script is None and all(words is not None for words in plain):
            # A worker's whole boot; 200 of them needn't start 400 programs for it.
            for words in plain:
                answer = await self.call("systemctl", (words or [])[1:])
                if answer.code:
                    log.error("%s: %s: %s", self.id, words, answer.stderr)
            return
        self.attended.set()
        text = config.script if config.script is not None else script_of(config.commands)
        code = await self.shell(CLOUD_INIT, text)
        log.log(logging.WARNING if code else logging.INFO, "%s: cloud-init ended with %s", self.id, code)

    def _write(self, file: cloudinit.File) -> None:
        path = reroot_path(file.path, self.root)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if file.append else "w") as stream:
            stream.write(reroot_script(file.content, self.root, sys.executable))
        path.chmod(file.mode)

    async def tell_mounts(self) -> None:
        """Tells EC2 which volumes are in use here, if it hasn't been told: those aren't let go of by a mere detach."""
        now = frozenset(mounts.mounted(self.place, self.instance).values())
        if now == self.told:
            return
        report = {"instance": self.id, "volumes": sorted(now)}
        try:
            await asyncio.to_thread(_post, f"{self.place.addresses.aws_url}/_backplane/mounts", report)
            self.told, self.untold = now, False
        except OSError as error:
            self.untold = True
            log.warning("%s: mounts not reported: %s", self.id, error)

    async def attached(self, instance: dict[str, Any]) -> None:
        """Takes over what EC2 says of the instance now."""
        self.instance = instance
        lost = mounts.tear_off(self.place, instance, self.ledger.running().values())
        if lost:
            log.warning("%s: %s torn off while mounted", self.id, ", ".join(lost))
        await self.tell_mounts()

    async def shell(self, name: str, text: str, output: Path | None = None, limit_s: float | None = None) -> int:
        """Runs a shell script in the machine. Its exit status; 124 if it was ended for taking longer."""
        script = self.folder / f"{name}.sh"
        script.write_text(reroot_script(text, self.root, sys.executable))
        script.chmod(0o700)
        child = spawn(
            [str(script)],
            environment=self.place.environment(self.instance),
            nice=NICE_BOOTING,
            log=output or self.folder / "log" / f"{name}.log",
            directory=self.folder,
        )
        identity = self.ledger.write(name, child.pid, [str(script)]) or Identity(child.pid, 0)
        try:
            async with asyncio.timeout(limit_s):
                while child.poll() is None:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            identity.send(signal.SIGKILL)
            return 124
        finally:
            self.ledger.forget(name)
        return child.returncode

    async def call(self, program: str, arguments: Sequence[str]) -> Answer:
        """Answers one of the commands a machine's scripts find first on their PATH (place.SHIMS)."""
        if program == "systemctl":
            return await self._systemctl(arguments)
        if program == "crictl":
            return Answer(*await crictl.call(arguments, self.pods))
        if program == "kubeadm":
            async with self._kubeadm:
                return Answer(*await kubeadm.call(arguments, self.place, self.instance))
        processes = self.ledger.running().values()
        code, text = mounts.call(program, arguments, self.place, self.instance, processes)
        if program in ("mount", "umount") and code == 0:
            # Before the caller goes on: it may ask EC2 for the volume next.
            await self.tell_mounts()
        return Answer(code, *((text, "") if code == 0 else ("", text)))

    async def _systemctl(self, arguments: Sequence[str]) -> Answer:
        words = [word for word in arguments if not word.startswith("-")]
        now = "--now" in arguments
        verb, names = (words[0] if words else "status"), [_full(word) for word in words[1:]]
        if verb in ("daemon-reload", "daemon-reexec", "reset-failed", "preset"):
            return Answer()
        if verb in ("is-active", "is-enabled", "is-failed"):
            states = [self._word(verb, name) for name in names]
            good = {"is-active": "active", "is-enabled": "enabled", "is-failed": "failed"}[verb]
            quiet = "-q" in arguments or "--quiet" in arguments
            text = "" if quiet else "\n".join(states) + "\n"
            return Answer(0 if good in states else 1 if verb == "is-enabled" else 3, text)
        if verb == "show":
            return Answer(0, "".join(self._shown(name) for name in names))
        if verb == "status":
            return Answer(0, "".join(f"{n}: {self._word('is-active', n)}\n" for n in names or self.services))
        actions = {
            "enable": "start" if now else "",
            "disable": "stop" if now else "",
            "mask": "stop" if now else "",
            "unmask": "",
            "start": "start",
            "stop": "stop",
            "restart": "restart",
            "try-restart": "restart",
        }
        if verb not in actions:
            return Answer(1, "", f"systemctl {verb}: not known to the lab\n")
        code = 0
        for name in names:
            try:
                code = max(code, await self._act(verb, actions[verb], name))
            except (FileNotFoundError, UnitError, ManifestError) as error:
                return Answer(5, "", f"{name}: {error}\n")
        self._remember()
        return Answer(code)

    async def _act(self, verb: str, action: str, name: str) -> int:
        if verb in ("enable", "disable"):
            (self.enabled.add if verb == "enable" else self.enabled.discard)(name)
        if verb in ("mask", "unmask"):
            (self.masked.add if verb == "mask" else self.masked.discard)(name)
        code = 0
        if action in ("stop", "restart"):
            for part in self._parts(name):
                await part.stop()
            if name in self.services:
                await self.services[name].stop()
            self.kubelet = self.kubelet and name != f"{KUBELET}.service"
        if action in ("start", "restart"):
            if name in self.masked:
                raise UnitError("is masked")
            code = await self._start(name)
        return code

    async def _start(self, name: str) -> int:
        if name.endswith(".timer") and self._file(name):
            return 0  # a lab lives shorter than any timer's day
        unit = self._unit(name)
        if Path(unit.start[0].split()[0]).name == KUBELET:
            self._kubelet(unit)
            return 0
        service = self.services.get(name)
        if service is not None and service.active:
            return 0
        service = self.services[name] = self._service(unit)
        code = await service.start()
        for wanted in unit.wants:
            # Wanted, not required: one that is masked, or isn't there, keeps nobody from starting.
            if wanted not in self.masked and self._has(wanted):
                await self._start(wanted)
        return code

    def _parts(self, name: str) -> list[Service]:
        """The services that are stopped with this one."""
        return [service for service in self.services.values() if name in service.unit.part_of]

    def _has(self, name: str) -> bool:
        return any(reroot_path(f"{folder}/{name}", self.root).exists() for folder in UNITS)

    def _service(self, unit: Unit) -> Service:
        return Service(
            unit,
            self.place.host(self.instance),
            self.place.environment(self.instance),
            self.ledger,
            self.place.tool,
            self.booting,
        )

    def _unit(self, name: str) -> Unit:
        return parse_unit(name, self._file(name).read_text())

    def _file(self, name: str) -> Path:
        for folder in UNITS:
            path = reroot_path(f"{folder}/{name}", self.root)
            if path.exists():
                return path
        raise FileNotFoundError("no such unit")

    def _kubelet(self, unit: Unit) -> None:
        """Starts the kubelet's stand-ins: who makes the Node, and who follows the folder of static pods."""
        flags = self._flags(unit)
        options = self._options(flags)
        self.kubelet = True
        if options.register:
            self.kubelets.register(self.instance, flags)
        if options.manifests is None:
            self.pods = None
            return
        folder = Path(options.manifests)
        if self.pods is None or self.pods.manifests != folder:
            node = flags.get("hostname-override") or private_dns_name(self.instance["private_ip"])
            where = Where(root=self.root, scratch=self.folder / "containers", ip=self.instance["private_ip"], node=node)
            self.pods = StaticPods(self.id, folder, where, self.ledger, self._service)

    def _options(self, flags: Mapping[str, str]) -> KubeletOptions:
        """Raises FileNotFoundError where the kubelet's configuration isn't there: the real one doesn't start then."""
        path = flags.get("config")
        options = kubelet_options(flags, Path(path).read_text() if path else None)
        if options.manifests is None:
            usual = reroot_path(FOLDER, self.root)
            return replace(options, manifests=str(usual)) if usual.is_dir() else options
        if not options.manifests.startswith(f"{self.root}/"):
            return replace(options, manifests=str(reroot_path(options.manifests, self.root)))
        return options

    def _flags(self, unit: Unit) -> dict[str, str]:
        """The kubelet's command line, as flags (what registers the Node reads them)."""
        environment: dict[str, str] = {}
        for path, _ in unit.environment_files:
            if Path(path).exists():
                environment.update(parse_environment(Path(path).read_text()))
        environment.update(unit.environment)
        return flags_of(command(unit.start[0], environment)[1:])

    def _word(self, verb: str, name: str) -> str:
        if verb == "is-enabled":
            return "masked" if name in self.masked else "enabled" if name in self.enabled else "disabled"
        if name == f"{KUBELET}.service":
            return "active" if self.kubelet else "inactive"
        service = self.services.get(name)
        if service is None:
            return "inactive"
        # What is about to be restarted is "activating" to systemd.
        return "activating" if service.state == "failed" and service.unit.restarts(service.code or 0) else service.state

    def _shown(self, name: str) -> str:
        service = self.services.get(name)
        pid = service.identity.pid if service is not None and service.identity is not None else 0
        restarts = service.restarts if service is not None else 0
        return f"Id={name}\nActiveState={self._word('is-active', name)}\nMainPID={pid}\nNRestarts={restarts}\n"

    def _remember(self) -> None:
        """What a later supervisor can't see from the processes: services that were meant to run."""
        wanted = sorted(name for name, service in self.services.items() if service.state != "inactive")
        (self.folder / "state.json").write_text(
            json.dumps(
                {
                    "wanted": wanted,
                    "enabled": sorted(self.enabled),
                    "masked": sorted(self.masked),
                    "kubelet": self.kubelet,
                }
            )
        )

    async def _recall(self) -> None:
        try:
            state = json.loads((self.folder / "state.json").read_text())
        except FileNotFoundError:
            return
        self.enabled, self.masked, self.kubelet = set(state["enabled"]), set(state["masked"]), state["kubelet"]
        for name in state["wanted"]:
            service = self.services[name] = self._service(self._unit(name))
            if await service.adopt():
                continue
            if service.unit.restarts(1):
                service.resume()
        if self.kubelet:
            self._kubelet(self._unit(f"{KUBELET}.service"))

    def running(self) -> dict[str, Service]:
        """Its services and its static pods' containers."""
        return {**self.services, **(self.pods.services if self.pods is not None else {})}

    async def tick(self) -> None:
        if self.untold:
            await self.tell_mounts()
        for service in list(self.services.values()):
            await service.tick()
        if self.kubelet and self.pods is not None:
            await self.pods.tick()

    async def stop(self, limit_s: float) -> None:
        """Ends everything on the machine; whatever a script left behind, too."""
        self.stopping = True
        pods = [self.pods.stop(limit_s)] if self.pods is not None else []
        await asyncio.gather(*(service.stop(limit_s) for service in self.services.values()), *pods)
        for identity in self.ledger.running().values():
            identity.send(signal.SIGKILL)
        self.kubelet = False


def _full(name: str) -> str:
    return name if "." in name else f"{name}.service"


def _post(url: str, body: Any) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    # No proxy: this is loopback's.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5):
        pass


def flags_of(words: Sequence[str]) -> dict[str, str]:
    """A command line's flags: `--key=value`, `--key value`, and `--key` alone, which is true."""
    found: dict[str, str] = {}
    for position, word in enumerate(words):
        if word.startswith("-"):
            key, separator, value = word.lstrip("-").partition("=")
            following = words[position + 1] if position + 1 < len(words) else "-"
            found[key] = value if separator else "true" if following.startswith("-") else following
    return found


def _plain_systemctl(item: str | tuple[str, ...]) -> list[str] | None:
    words = shlex.split(item) if isinstance(item, str) else list(item)
    plain = bool(words) and words[0] == "systemctl" and not set("".join(words)) & set(";|&<>$`()*?\n")
    return words if plain else None

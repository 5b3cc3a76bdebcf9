"""Follows AWS's instances and makes machines of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from botocore.exceptions import BotoCoreError, ClientError

from lab.addresses import LOOPBACK
from lab.kubernetes.access import ApiError
from lab.kubernetes.follow import Api
from lab.legacy.cloud import Cloud
from lab.machines import agent
from lab.machines.attacher import Attacher
from lab.machines.credentials import AGENTS, KUBELETS, NoCluster, kubeconfig_of, obtain
from lab.machines.external_dns import ExternalDns
from lab.machines.gate import Gate
from lab.machines.kwok import Kwok
from lab.machines.machine import Machine
from lab.machines.nodes import GONE, Nodes
from lab.machines.place import Place
from lab.machines.processes import Ledger, end
from lab.machines.service_balancers import ServiceBalancers
from lab.machines.web import application

log = logging.getLogger(__name__)
WAIT_S = 20
TICK_S = 0.25
SWEEP_S = 5.0
SHUTDOWN_S = 3.0
"""What a terminated instance's services get to end by themselves."""
RUNS = frozenset({"pending", "running"})


class Supervisor:
    def __init__(self, place: Place) -> None:
        self.place = place
        self.machines: dict[str, Machine] = {}
        self.states: dict[str, str] = {}
        self.vpcs: dict[str, str] = {}
        """The first CIDR of each VPC."""
        self.revision = -1
        self.gate = Gate()
        real = place.settings.real_controllers
        self.nodes = Nodes(self.kube, place.join_s, self._alive, self._joined, cloud_controller=real)
        self.external_dns = ExternalDns(place, self.machines.get) if real else None
        self.kwoks: dict[str, Kwok] = {}
        self.ending: set[str] = set()
        self._kubes: dict[str, Api] = {}
        self._kube_lock = asyncio.Lock()
        self._sweep_now = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self._metadata_at: set[str] = set()

    async def run(self) -> None:
        """Runs until cancelled; then ends everything it started."""
        self.place.machines.mkdir(parents=True, exist_ok=True)
        self.place.make_shims()
        self._runner = runner = web.AppRunner(application(self.machines, self.status), access_log=None)
        await runner.setup()
        # No limit on connections: every machine's agent holds one long poll.
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=WAIT_S + 10)
        try:
            await web.TCPSite(runner, LOOPBACK, self.place.addresses.imds_port).start()
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as self._session:
                await asyncio.gather(
                    self._follow(),
                    self._tick(),
                    self._sweep(),
                    Attacher(self.place).run(self._any_kube),
                    *self._stand_ins(),
                )
        finally:
            for task in self._tasks:
                task.cancel()
            await self._end_all()
            await runner.cleanup()

    def _stand_ins(self) -> list[Coroutine[Any, Any, Any]]:
        """What the cloud controller does for Services, where the real one doesn't run."""
        if self.place.settings.real_controllers:
            return []
        return [ServiceBalancers(Cloud(self.place.addresses)).run(self._any_kube)]

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a machine's task failed", exc_info=error)

    async def _follow(self) -> None:
        url = f"{self.place.addresses.aws_url}/_backplane/state"
        while True:
            try:
                assert self._session is not None
                query = {"after": str(self.revision), "wait": str(WAIT_S)}
                async with self._session.get(url, params=query) as answer:
                    answer.raise_for_status()
                    state = msgspec.json.decode(await answer.read())
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                log.debug("backplane: %s", error)
                self.revision = -1
                await asyncio.sleep(0.5)
                continue
            if state["revision"] != self.revision:
                self.apply(state)
            # An engine makes a revision every few ms; machines needn't see each.
            await asyncio.sleep(0.2)

    def apply(self, state: dict[str, Any]) -> None:
        """Takes over a new state of AWS."""
        first = self.revision < 0
        self.revision = state["revision"]
        self.vpcs = {vpc["id"]: vpc["cidrs"][0] for vpc in state["vpcs"]}
        self.states = {instance["id"]: instance["state"] for instance in state["instances"]}
        for instance in state["instances"]:
            known = self.machines.get(instance["id"])
            if known is not None and instance["state"] in RUNS and instance["volumes"] != known.instance["volumes"]:
                self._start(known.attached(instance))
            elif known is not None:
                known.instance = instance
            elif instance["state"] in RUNS and instance["id"] not in self.ending:
                self._begin(instance)
        for machine in list(self.machines.values()):
            if self.states.get(machine.id, "terminated") in GONE:
                self._start(self._terminate(self.machines.pop(machine.id)))
        if first:
            self._end_strangers()

    def _begin(self, instance: dict[str, Any]) -> None:
        machine = Machine(instance, self.place, self.gate, self.nodes)
        self.machines[machine.id] = machine
        log.info("%s: %s in %s, %s", machine.id, instance["type"], instance["zone"], instance["private_ip"])
        self._start(self._live(machine))

    async def serve_metadata_at(self, ip: str) -> None:
        """Answers at a machine's own address, too: for programs whose SDK can't be told of a path.

        It is left there when the machine goes: whoever has the address next is who is asked about.
        """
        assert self._runner is not None, "machines live while the runner does"
        if ip not in self._metadata_at:
            self._metadata_at.add(ip)
            await web.TCPSite(self._runner, ip, self.place.addresses.imds_port).start()

    async def _live(self, machine: Machine) -> None:
        if self.place.settings.real_controllers:
            await self.serve_metadata_at(machine.instance["private_ip"])
        self._start(machine.boot())
        await machine.attended.wait()
        assert self._session is not None
        # Elsewhere a worker is a Node and nothing else: there is nobody on it to run a command.
        attended = self.place.settings.attended_workers
        if attended or machine.services or machine.pods is not None or not machine.kubelet:
            await agent.serve(machine, self._session)

    async def _terminate(self, machine: Machine) -> None:
        log.info("%s: terminated", machine.id)
        self.ending.add(machine.id)
        self.gate.gone(machine.id)
        await machine.stop(SHUTDOWN_S)
        self._sweep_now.set()
        log.info("%s: gone", machine.id)

    def _end_strangers(self) -> None:
        """Ends what runs for instances AWS doesn't know (a former lab's in this folder)."""
        for folder in self.place.machines.glob("i-*"):
            if self.states.get(folder.name, "terminated") in GONE:
                end(Ledger(folder).running().values(), grace_s=1)

    def _alive(self, instance: str) -> bool:
        return self.states.get(instance) in RUNS and instance in self.machines

    async def kube(self, vpc: str) -> Api:
        """The API as that VPC's kubelets reach it. Raises ApiError while there is no cluster."""
        # One at a time: a dozen nodes join together, and the first makes the credentials for all.
        async with self._kube_lock:
            if vpc not in self._kubes:
                try:
                    await asyncio.to_thread(obtain, self.place, self._server(vpc), vpc)
                except (NoCluster, ClientError, BotoCoreError) as error:
                    raise ApiError(str(error)) from error
                self._kubes[vpc] = Api(kubeconfig_of(self.place, vpc, AGENTS))
        return self._kubes[vpc]

    def _server(self, vpc: str) -> str:
        return f"https://{LOOPBACK}:{self.place.addresses.inside_api_port(self.vpcs[vpc])}"

    async def _any_kube(self) -> Api:
        """The API as seen from a VPC that has nodes, the new one first (the old one will be gone one day)."""
        if not self.kwoks:
            raise ApiError("no side has nodes yet")
        return await self.kube(next(reversed(self.kwoks)))

    async def _joined(self, vpc: str) -> None:
        await self._ensure_kwok(vpc)

    async def _ensure_kwok(self, vpc: str) -> None:
        if vpc not in self.kwoks:
            first = next((m for m in self.machines.values() if m.kubelet and m.instance["vpc"] == vpc), None)
            if first is None:
                return
            self.kwoks[vpc] = Kwok(self.place, vpc, self.vpcs[vpc], first.instance["private_ip"])
        await self.kwoks[vpc].ensure(await self.kube(vpc), kubeconfig_of(self.place, vpc, KUBELETS))

    async def _tick(self) -> None:
        while True:
            await asyncio.gather(*(machine.tick() for machine in self.machines.values()))
            await asyncio.sleep(TICK_S)

    async def _sweep(self) -> None:
        while True:
            try:
                async with asyncio.timeout(SWEEP_S):
                    await self._sweep_now.wait()
            except TimeoutError:
                pass
            self._sweep_now.clear()
            try:
                await self._sweep_once()
            except ApiError as error:
                log.debug("sweep: %s", error)

    async def _sweep_once(self) -> None:
        if self.revision < 0 or not self.kwoks:
            return
        await self.nodes.sweep(await self._any_kube(), self.states)
        if self.external_dns is not None:
            await self.external_dns.follow(await self._any_kube(), self.kube)
        for vpc, kwok in list(self.kwoks.items()):
            wanted = any(m.kubelet and m.instance["vpc"] == vpc for m in self.machines.values())
            if wanted:
                await self._ensure_kwok(vpc)
            else:
                await kwok.stop()
                self.kwoks.pop(vpc)
                if (kube := self._kubes.pop(vpc, None)) is not None:
                    await kube.close()

    async def _end_all(self) -> None:
        await asyncio.gather(
            *(machine.stop(SHUTDOWN_S) for machine in self.machines.values()),
            *(kwok.stop() for kwok in self.kwoks.values()),
            *([self.external_dns.stop()] if self.external_dns is not None else []),
        )
        for kube in self._kubes.values():
            await kube.close()

    def status(self) -> dict[str, Any]:
        """What runs, for `lab doctor`, tests and people (`GET /status`)."""
        return {
            "revision": self.revision,
            "serving": sorted(self.gate.serving),
            "registered": len(self.nodes.registered),
            **({} if self.external_dns is None else {"external-dns": self.external_dns.running}),
            "kwok": {vpc: kwok.running for vpc, kwok in self.kwoks.items()},
            "machines": {
                machine.id: {
                    "ip": machine.instance["private_ip"],
                    "kubelet": machine.kubelet,
                    "booted": (machine.folder / "booted").exists(),
                    "services": {
                        name: {"state": s.state, "pid": s.identity.pid if s.identity else None, "restarts": s.restarts}
                        for name, s in machine.running().items()
                    },
                    **({"manifests": machine.pods.status()} if machine.pods is not None else {}),
                }
                for machine in self.machines.values()
            },
        }

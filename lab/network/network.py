"""The network process, put together."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.addresses import API_PORT, INGRESS_PORT, LOOPBACK, LabAddresses
from lab.network import forwarder
from lab.network.backplane import Backplane, Metrics
from lab.network.balancers import Balancers
from lab.network.callers import Callers
from lab.network.certificates import Certificates
from lab.network.control import application
from lab.network.dns import Server
from lab.network.endpoints import Endpoint, handlers
from lab.network.fabric import Fabric
from lab.network.kubernetes import KubernetesNetwork
from lab.network.listeners import Datagrams, Listeners
from lab.network.resolve import Resolver
from lab.network.stalls import Stalls
from lab.network.state import Cidr, State, cidr, ip_number
from lab.network.ways import Ways
from lab.settings import LabSettings

log = logging.getLogger(__name__)


class Network:
    """Everything between the machines of one lab. `run` ends when it is cancelled, and leaves nothing listening."""

    def __init__(self, addresses: LabAddresses, settings: LabSettings, lab_dir: Path) -> None:
        loop = asyncio.get_running_loop()
        self.addresses = addresses
        self.settings = settings
        self.lab_dir = lab_dir
        self.callers = Callers(addresses.operator_ip)
        self.fabric = Fabric(
            loop,
            self.callers,
            drop_after_s=settings.refuse_after_s,
            forwarded=settings.control_plane.forwarded_ports,
        )
        self.listeners = Listeners(loop)
        self.datagrams = Datagrams(loop)
        certificates = Certificates(lab_dir)
        self.balancers = Balancers(
            self.fabric, self.listeners, self.datagrams, settings, certificates, addresses.moved_to
        )
        corp = cidr(addresses.corp_cidr)
        self.resolver = Resolver(
            forwards=lambda ip: ip_number(ip) in corp,  # corp forwards to the VPCs' resolver endpoints
            balancer_addresses=self.balancers.addresses_in_dns,
            balancer_ttl_s=settings.alias_ttl_s,
        )
        self.dns = Server(self.resolver, self._who_asks)
        self.backplane = Backplane(addresses.aws_url, self.apply)
        self.metrics = Metrics(addresses.aws_environment(), settings)
        self.kubernetes = KubernetesNetwork(
            self.fabric,
            self.listeners,
            self.datagrams,
            lab_dir,
            self._side,
            settings.refuse_after_s,
            Ways(self.fabric, certificates, addresses.aws_port),
        )
        self.stalls = Stalls()
        self._started = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._runner: web.AppRunner | None = None

    @property
    def state(self) -> State:
        return self.fabric.state

    def apply(self, state: State) -> None:
        """A new revision of AWS's state, to everyone who follows it."""
        self.fabric.apply(state)
        self.resolver.state = state
        self.balancers.apply(state)
        forwarder.sync(self.listeners, self.fabric, state)
        self.kubernetes.apply(state)

    async def start(self) -> None:
        """Opens the fixed ports and begins to follow AWS. Raises OSError where a port is taken."""
        await self.dns.start(LOOPBACK, self.addresses.dns_port)
        self._open_endpoints()
        app = application(self.fabric, self.listeners, self.datagrams, self.resolver, self._ready, self._stats)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self.addresses.network_port).start()
        self._tasks = [
            asyncio.create_task(self.backplane.follow(), name="backplane"),
            asyncio.create_task(self.backplane.report_health(self.balancers), name="health reports"),
            asyncio.create_task(
                self.metrics.put_for_ever(lambda: self.state, self.fabric.flows, self.balancers),
                name="metrics",
            ),
            asyncio.create_task(self.kubernetes.run(), name="kubernetes"),
            asyncio.create_task(self._housekeeping(), name="housekeeping"),
            asyncio.create_task(self.stalls.watch(), name="stalls"),
        ]

    async def run(self) -> None:
        """Runs until cancelled, or until one of its tasks fails (which is a defect, and raised)."""
        try:
            await self.start()
            await asyncio.gather(*self._tasks)
        finally:
            await self.close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.kubernetes.close()
        self.balancers.close()
        self.listeners.close()
        self.datagrams.close()
        for flow in self.fabric.flows:
            flow.abort()
        self.dns.close()
        await self.backplane.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self.callers.close()

    def _open_endpoints(self) -> None:
        names, addresses = self.settings, self.addresses

        def endpoint(name: str, port: int, source: Callable[[], str]) -> Endpoint:
            return Endpoint(self.fabric, self.resolver, name, port, source)

        def operator() -> str:
            return addresses.operator_ip

        def inside(network: str) -> Callable[[], str]:
            return lambda: agent_address(self.state, network)

        self.listeners.sync(
            "endpoints",
            handlers(
                {
                    (LOOPBACK, addresses.api_port): endpoint(names.api_name, API_PORT, operator),
                    (LOOPBACK, addresses.ingress_port): endpoint(names.ingress_name, INGRESS_PORT, operator),
                    **{
                        (LOOPBACK, addresses.inside_api_port(network)): endpoint(
                            names.api_name, API_PORT, inside(network)
                        )
                        for network in addresses.sides.values()
                    },
                }
            ),
        )
        if self.listeners.failed:
            (address, port), error = next(iter(self.listeners.failed.items()))
            raise OSError(f"{address}:{port}: {error}")

    def _who_asks(self, peer: tuple[str, int]) -> str:
        return self.addresses.operator_ip if peer[0] == LOOPBACK else peer[0]

    def _side(self, ip: str) -> str:
        sides = self.addresses.sides
        return next((name for name, network in sides.items() if ip_number(ip) in cidr(network)), "")

    async def _housekeeping(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.listeners.retry()
            self.datagrams.retry()
            self.callers.forget_dead()

    def _ready(self) -> dict[str, Any]:
        return {
            "ready": self.state.revision >= 0,
            "revision": self.state.revision,
            "aws": self.backplane.connected.is_set(),
            "pid": os.getpid(),
        }

    def _stats(self) -> dict[str, Any]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        fabric = self.fabric
        return {
            "seconds": round(time.monotonic() - self._started, 3),
            "cpu_s": round(used.ru_utime + used.ru_stime, 3),
            "peak_rss_mb": used.ru_maxrss // 1024,
            "worst_stall_s": round(self.stalls.worst_s, 3),
            "stalls": list(self.stalls.seen),
            "flows_open": len(fabric.flows),
            "datagram_flows_open": len(self.balancers.datagram_flows),
            "flows_opened": fabric.flows.opened_total,
            "dropped": fabric.dropped_total,
            "refused": fabric.refused_total,
            "last_drops": fabric.last_drops,
            "caller_lookups": self.callers.lookups,
            "caller_scans": self.callers.scans,
            "pod_connections": len(self.kubernetes.pods),
            "pod_answers": self.kubernetes.pods.answered,
            "watches": {m.path: [m.synced, m.lists, m.failures] for m in self.kubernetes.mirrors},
            "dns_queries": self.dns.queries,
            "metrics_put": self.metrics.put_total,
            "aws_lost": self.backplane.lost,
        }


def agent_address(state: State, network: str) -> str:
    """A client's address in that VPC: the last usable one of its first subnet with machines, which is routed as they
    are and never handed out before the subnet is full; of the VPC, where there is none yet."""
    whole = cidr(network)
    subnets = sorted((s for s in state.subnets.values() if s.cidr.base in whole), key=lambda s: s.cidr.base)
    peopled = {i.subnet for i in state.instances.values() if i.alive}
    chosen: Cidr = next((s.cidr for s in subnets if s.id in peopled), subnets[0].cidr if subnets else whole)
    last = (chosen.base | ~chosen.mask & 0xFFFFFFFF) - 1
    return ".".join(str(last >> shift & 255) for shift in (24, 16, 8, 0))

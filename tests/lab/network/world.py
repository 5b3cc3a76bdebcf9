"""A small AWS for the network's tests: the backplane's JSON, and the network's parts over it. LAB_INDEX 7."""

from __future__ import annotations

import asyncio
import copy
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.addresses import LabAddresses
from lab.network import forwarder
from lab.network.balancers import Balancers
from lab.network.callers import Callers
from lab.network.certificates import Certificates
from lab.network.fabric import Fabric
from lab.network.listeners import Datagrams, Listeners
from lab.network.parsing import parse
from lab.network.resolve import Resolver
from lab.network.state import State
from lab.settings import LabSettings
from lab.toolchain import tool_path

ADDRESSES = LabAddresses(index=7)
OPERATOR = ADDRESSES.operator_ip
ANY = "0.0.0.0/0"
QUICK = LabSettings(health_interval_s=0.05, health_timeout_s=0.3, refuse_after_s=0.2, metric_period_s=0.2)


def rule(port: int | None = None, *, cidrs: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> dict[str, Any]:
    protocol = "-1" if port is None else "tcp"
    return {
        "protocol": protocol,
        "from": port,
        "to": port,
        "cidrs": [*cidrs],
        "groups": [*groups],
        "prefix_lists": [],
    }


def tool(name: str) -> str:
    """A built tool's path; one on PATH will do, of whatever version."""
    found = shutil.which(name)
    return found or str(tool_path(name))


class World:
    """Three VPCs (legacy, main, corp), peered with each other, routed both ways, one open security group each."""

    def __init__(self) -> None:
        cidrs = {"legacy": ADDRESSES.legacy_cidr, "main": ADDRESSES.main_cidr, "corp": ADDRESSES.corp_cidr}
        self.raw: dict[str, Any] = {
            "revision": 1,
            "vpcs": [{"id": f"vpc-{n}", "cidrs": [c], "tags": {"Name": n}} for n, c in cidrs.items()],
            "subnets": [],
            "instances": [],
            "security_groups": [],
            "peerings": [],
            "route_tables": [],
            "interfaces": [],
            "load_balancers": [],
            "target_groups": [],
            "zones": [],
        }
        for name, network in cidrs.items():
            prefix = network.removesuffix(".0.0/16")
            for index, zone in enumerate("abc"):
                self.raw["subnets"].append(
                    {
                        "id": f"subnet-{name}-{zone}",
                        "vpc": f"vpc-{name}",
                        "cidr": f"{prefix}.{index + 1}.0/24",
                        "zone": f"eu-central-1{zone}",
                        "route_table": f"rtb-{name}",
                    }
                )
            routes = [{"cidr": network, "target": "local", "state": "active"}]
            self.raw["route_tables"].append(
                {"id": f"rtb-{name}", "vpc": f"vpc-{name}", "subnets": [], "main": True, "routes": routes}
            )
            self.group(f"sg-{name}", f"vpc-{name}", ingress=[rule(cidrs=(ANY,))])
        self.cidrs = cidrs
        self.peer("legacy", "main")
        self.peer("legacy", "corp")
        self.peer("main", "corp")

    def peer(self, one: str, other: str) -> None:
        name = f"pcx-{one}-{other}"
        self.raw["peerings"].append(
            {"id": name, "requester_vpc": f"vpc-{one}", "accepter_vpc": f"vpc-{other}", "state": "active"}
        )
        for side, far in ((one, other), (other, one)):
            self.table(side)["routes"].append({"cidr": self.cidrs[far], "target": name, "state": "active"})

    def table(self, side: str) -> dict[str, Any]:
        return self.item("route_tables", f"rtb-{side}")

    def item(self, kind: str, ident: str) -> dict[str, Any]:
        return next(x for x in self.raw[kind] if ident in (x.get("id"), x.get("arn")))

    def group(self, ident: str, vpc: str, *, ingress: list[Any], egress: list[Any] | None = None) -> None:
        everything = [rule(cidrs=(ANY,))]
        self.raw["security_groups"].append(
            {
                "id": ident,
                "vpc": vpc,
                "name": ident,
                "ingress": ingress,
                "egress": everything if egress is None else egress,
            }
        )

    def instance(self, ip: str, *, groups: list[str] | None = None, state: str = "running") -> str:
        """An instance with this address, in the subnet that holds it; returns its id."""
        side = next(n for n, c in self.cidrs.items() if ip.startswith(c.removesuffix("0.0/16")))
        zone = "abc"[int(ip.split(".")[2]) - 1]
        ident = "i-" + ip.replace(".", "-")
        self.raw["instances"].append(
            {
                "id": ident,
                "state": state,
                "private_ip": ip,
                "vpc": f"vpc-{side}",
                "subnet": f"subnet-{side}-{zone}",
                "zone": f"eu-central-1{zone}",
                "security_groups": [f"sg-{side}"] if groups is None else groups,
                "tags": {},
            }
        )
        return ident

    def balancer(self, name: str, side: str, port: int, group: str, *, cross_zone: bool = True, **more: Any) -> str:
        prefix = self.cidrs[side].removesuffix("0.0/16")
        arn = f"arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/{name}/0123456789abcdef"
        listener = {"arn": f"{arn}/l", "port": port, "protocol": "TCP", "target_group": group}
        addresses = [
            {"zone": f"eu-central-1{z}", "subnet": f"subnet-{side}-{z}", "ip": f"{prefix}{i + 1}.200"}
            for i, z in enumerate("abc")
        ]
        balancer = {
            "arn": arn,
            "name": name,
            "dns_name": f"{name}-0123.elb.eu-central-1.amazonaws.com",
            "vpc": f"vpc-{side}",
            "scheme": "internal",
            "security_groups": [],
            "subnets": [],
            "cross_zone": cross_zone,
            "addresses": addresses,
            "listeners": [listener],
        }
        self.raw["load_balancers"].append({**balancer, **more})
        return arn

    def target_group(
        self,
        name: str,
        side: str,
        port: int,
        targets: list[tuple[str, int]],
        *,
        kind: str = "instance",
        **more: Any,
    ) -> str:
        arn = f"arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/{name}/0123"
        health = {"protocol": "TCP", "port": "traffic-port", "path": None}
        listed = [{"id": i, "port": p, "zone": None, "state": "registered", "since": 0} for i, p in targets]
        group = {
            "arn": arn,
            "name": name,
            "vpc": f"vpc-{side}",
            "target_type": kind,
            "protocol": "TCP",
            "port": port,
            "health": health,
            "attributes": {},
            "targets": listed,
        }
        self.raw["target_groups"].append({**group, **more})
        return arn

    def zone(self, name: str, records: list[dict[str, Any]], vpcs: list[str], *, private: bool = True) -> None:
        self.raw["zones"].append(
            {"id": f"Z-{name}", "name": name + ".", "private": private, "vpcs": vpcs, "records": records}
        )

    def state(self) -> State:
        self.raw["revision"] += 1
        return parse(copy.deepcopy(self.raw))


def record(name: str, rtype: str, *values: str, weight: int | None = None, ttl: int = 10) -> dict[str, Any]:
    set_id = None if weight is None else values[0]
    return {
        "name": name + ".",
        "type": rtype,
        "ttl": ttl,
        "values": list(values),
        "alias": None,
        "weight": weight,
        "set_id": set_id,
    }


@dataclass
class Net:
    """The network's parts over one world, in the running loop."""

    world: World
    fabric: Fabric
    listeners: Listeners
    datagrams: Datagrams
    balancers: Balancers
    resolver: Resolver
    folder: Path
    """The lab's."""

    def apply(self) -> None:
        """What the world has become, as a new revision."""
        state = self.world.state()
        self.fabric.apply(state)
        self.resolver.state = state
        self.balancers.apply(state)
        forwarder.sync(self.listeners, self.fabric, state)
        assert not self.listeners.failed
        assert not self.datagrams.failed

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits for it; fails, naming it, after 10 s."""
        for _ in range(1_000):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"never happened: {what}")


@asynccontextmanager
async def network(world: World, settings: LabSettings = QUICK) -> AsyncIterator[Net]:
    loop = asyncio.get_running_loop()
    callers = Callers(OPERATOR)
    fabric = Fabric(
        loop,
        callers,
        drop_after_s=settings.refuse_after_s,
        forwarded=settings.control_plane.forwarded_ports,
    )
    listeners = Listeners(loop)
    datagrams = Datagrams(loop)
    with tempfile.TemporaryDirectory(prefix="lab7-") as folder:
        balancers = Balancers(fabric, listeners, datagrams, settings, Certificates(Path(folder)))
        resolver = Resolver(balancer_addresses=balancers.addresses_in_dns)
        net = Net(world, fabric, listeners, datagrams, balancers, resolver, Path(folder))
        net.apply()
        try:
            yield net
        finally:
            balancers.close()
            listeners.close()
            datagrams.close()
            for flow in fabric.flows:
                flow.abort()
            callers.close()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@asynccontextmanager
async def server(ip: str, port: int, name: str = "") -> AsyncIterator[asyncio.Server]:
    """A machine's process: says its name and who calls, then echoes what it hears until it hears the end."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(f"{name or ip} {writer.get_extra_info('peername')[0]}\n".encode())
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    started = await asyncio.start_server(talk, ip, port)
    try:
        yield started
    finally:
        started.close()


async def greeting(ip: str, port: int, source: str | None = None) -> str:
    """What a server at that address says first, dialled from an address of one's own. Raises ConnectionError."""
    reader, writer = await asyncio.open_connection(ip, port, local_addr=(source, 0) if source else None)
    try:
        line = await asyncio.wait_for(reader.readline(), 5)
        if not line:
            raise ConnectionResetError("closed without a word")
        return line.decode().strip()
    finally:
        writer.close()

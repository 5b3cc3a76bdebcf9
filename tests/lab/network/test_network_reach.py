"""The gate `new-machines-reach` on the lab's network: its very command, run by the machines' agents, over real rules.

Machines, network and resolver are the lab's; AWS is a recorded state, and pods are the API's answers.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from lab.addresses import REGION, alias
from lab.kubernetes.access import ApiError
from lab.machines import agent
from lab.machines.machine import Machine
from lab.machines.place import Place
from lab.network.certificates import Certificates
from lab.network.cluster import Cluster, Node, read_pod
from lab.network.connect import ConnectProxy
from lab.network.dns import Server
from lab.network.kubelets import Kubelets
from lab.network.pods import Pods
from lab.network.ways import Ways
from lab.settings import LabSettings
from migration.clients.aws import Instance
from migration.clients.kubernetes import NODES
from migration.contracts.gates import NewMachinesReach
from migration.gates import Live, look, reach
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Retryable
from tests.lab.network.world import ADDRESSES, ANY, Net, World, network, record, rule

pytestmark = pytest.mark.lab

MEMBER, OLD, NEW = "127.17.1.4", "127.17.2.4", "127.37.1.4"
API, DATABASE = "api.pet.lab.internal", "127.57.1.9"
PORT = 8080
SETTINGS = LabSettings(shape="awkward")
ENDPOINT = "127.37.3.50"
SERVICE = f"ec2.{REGION}.amazonaws.com"


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 100))


def instance(ip: str) -> str:
    return f"i-{ip.replace('.', '-')}"


def pod(name: str, ip: str, address: str) -> dict[str, Any]:
    container = {"image": f"registry.pet.lab.internal/{name}:1", "ports": [{"containerPort": PORT}]}
    return {
        "metadata": {"namespace": "shop", "name": name, "uid": name},
        "spec": {"nodeName": ip, "containers": [container]},
        "status": {"phase": "Running", "podIP": address, "conditions": [{"type": "Ready", "status": "True"}]},
    }


PODS = [pod("old-1", OLD, "100.71.0.1"), pod("new-1", NEW, "100.71.64.1")]


class Objects:
    """The API, as the network's stand-in asks it."""

    async def call(self, method: str, path: str, **more: Any) -> Any:
        if (method, path) != ("GET", "/api/v1/pods"):
            raise ApiError(f"{path}: not here")
        wanted = more["query"]["fieldSelector"].removeprefix("status.podIP=")
        return {"items": [one for one in PODS if one["status"]["podIP"] == wanted]}


@dataclass
class Agents:
    """Systems Manager with an agent on every machine: commands run there, as in the lab."""

    loop: asyncio.AbstractEventLoop
    machines: dict[str, Machine]
    done: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    ids: Any = field(default_factory=itertools.count)
    exceptions: Any = field(default_factory=lambda: SimpleNamespace(InvocationDoesNotExist=KeyError))

    def send_command(self, *, InstanceIds: list[str], Parameters: dict[str, list[str]], **_: Any) -> Any:
        number = str(next(self.ids))
        command = {"id": number, "document": agent.DOCUMENT, "parameters": Parameters}
        work = agent._script(self.machines[InstanceIds[0]], command)
        self.done[number] = asyncio.run_coroutine_threadsafe(work, self.loop).result()
        return {"Command": {"CommandId": number}}

    def get_command_invocation(self, *, CommandId: str, **_: Any) -> dict[str, str]:
        said = self.done[CommandId]
        return {
            "Status": said["status"],
            "StandardOutputContent": said["stdout"],
            "StandardErrorContent": said["stderr"],
        }


@dataclass
class Lab:
    net: Net
    kubelets: Kubelets
    cluster: Cluster
    agents: Agents

    async def gate(self) -> str:
        """What the gate says. Raises what it raises."""
        return await asyncio.to_thread(self._look)

    def _look(self) -> str:
        groups = {"new": NEW, "old": OLD, "members": MEMBER}

        def running(names: Any) -> list[Instance]:
            return [
                Instance(id=instance(groups[one]), ip=groups[one], zone="a", vpc="v", group=one, state="running")
                for one in names
            ]

        aws = SimpleNamespace(
            region=REGION,
            ssm=self.agents,
            instances_of_groups=running,
            sts=SimpleNamespace(get_caller_identity=lambda: {"Account": "123456789012"}),
        )
        nodes = [{"metadata": {"name": one}, "spec": {"providerID": f"aws:///a/{instance(one)}"}} for one in (OLD, NEW)]
        kubernetes = SimpleNamespace(list=lambda kind: nodes if kind is NODES else PODS)
        question = NewMachinesReach(
            by="ssm",
            zones=("a",),
            new_groups=("new",),
            old_groups=("old",),
            member_groups=("members",),
            api=API,
            names=(),
            reach=(f"{DATABASE}:5432",),
            connected=("corp",),
            resolver_rules=(),
        )
        clients: Any = SimpleNamespace(aws=aws, kubernetes=kubernetes)
        return look(question, Live("pet", Context(log=lambda _: None, deadline=Deadline(60), clients=clients)))

    async def says(self, ip: str, command: str) -> dict[str, Any]:
        """A command on a machine, by its agent."""
        parameters = {"commands": [command]}
        told = {"id": f"t{next(self.agents.ids)}", "document": agent.DOCUMENT, "parameters": parameters}
        return await agent._script(self.agents.machines[instance(ip)], told)

    async def refuses(self, match: str) -> None:
        with pytest.raises(Retryable, match=match):
            await self.gate()


def state() -> World:
    world = World()
    for ip in (MEMBER, OLD, NEW):
        world.instance(ip)
    world.zone("pet.lab.internal", [record(API, "A", MEMBER)], ["vpc-legacy", "vpc-main"])
    # The new side's APIs: one by an endpoint, the rest by NAT, behind which an internet gateway is.
    world.raw["interfaces"].append(
        {"id": "eni-e", "ip": ENDPOINT, "vpc": "vpc-main", "subnet": "subnet-main-c", "groups": ["sg-main"]}
    )
    world.raw["service_endpoints"] = [
        {"id": "vpce-1", "vpc": "vpc-main", "service": "ec2", "addresses": [ENDPOINT], "private_names": True}
    ]
    world.raw["nat_gateways"] = [{"id": "nat-1", "subnet": "subnet-main-b", "active": True}]
    world.table("main")["routes"].append({"cidr": ANY, "target": "nat-1", "state": "active"})
    public = [{"cidr": ANY, "target": "igw-1", "state": "active"}]
    world.raw["route_tables"].append({"id": "rtb-public", "vpc": "vpc-main", "main": False, "routes": public})
    world.item("subnets", "subnet-main-b")["route_table"] = "rtb-public"
    return world


@asynccontextmanager
async def lab(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.setattr(reach, "SECONDS", 10.0)
    async with network(world) as net, listening(DATABASE, 5432), listening("127.0.0.1", 0) as aws:
        cluster = Cluster()
        for ip in (OLD, NEW):
            cluster.nodes["", ip] = Node(ip, ip, True)
        for raw in PODS:
            found = read_pod(raw)
            assert found is not None
            cluster.pods[found.name] = found
        pods = Pods(lambda uid: False)
        kubelets = Kubelets(cluster, net.fabric, net.listeners, pods)
        kubelets.sync()
        ways = Ways(net.fabric, Certificates(net.folder), aws.sockets[0].getsockname()[1])
        api: Any = Objects()
        proxy = ConnectProxy(cluster, api, net.fabric, net.listeners, pods, net.folder / "run", 0.2, ways)
        proxy.sync(net.fabric.state)
        dns = Server(net.resolver, lambda peer: peer[0])
        port = await dns.start("127.0.0.1", 0)
        place = Place(directory=net.folder, addresses=ADDRESSES, settings=SETTINGS)
        place.make_shims()
        environment = place.environment
        monkeypatch.setattr(Place, "environment", lambda _, one: {**environment(one), "LAB_DNS_PORT": str(port)})
        machines = {instance(ip): machine(place, ip) for ip in (MEMBER, OLD, NEW)}
        try:
            yield Lab(net, kubelets, cluster, Agents(asyncio.get_running_loop(), machines))
        finally:
            dns.close()
            proxy.close()
            pods.abort_where(lambda hops: True)


def machine(place: Place, ip: str) -> Machine:
    unused: Any = None
    found = Machine({"id": instance(ip), "private_ip": ip, "zone": f"{REGION}a"}, place, unused, unused)
    (found.root / "root").mkdir(parents=True)
    return found


@asynccontextmanager
async def listening(ip: str, port: int) -> AsyncIterator[asyncio.Server]:
    """Somebody who hears a line and says it again."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    server = await asyncio.start_server(talk, ip, port)
    try:
        yield server
    finally:
        server.close()


def test_every_way_is_really_tried_and_what_neither_side_reaches_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with lab(state(), monkeypatch) as here:
            said = await here.gate()
            assert f"from {instance(NEW)} (a), {instance(MEMBER)} (a)" in said
            # Nobody's registry is in the lab; of AWS's APIs every one answers.
            neither = said.partition("doesn't reach either: ")[2].partition(";")[0]
            assert neither == "the registry registry.pet.lab.internal:443"
            assert "pods of old nodes" not in said
            # TLS with the lab's certificate for the name, and behind it the lab's AWS.
            trust = here.net.folder / "tls" / "ca.crt"
            command = (
                f'python3 -c \'import socket, ssl; c = ssl.create_default_context(cafile="{trust}"); '
                f's = c.wrap_socket(socket.create_connection(("{SERVICE}", 443), 5), server_hostname="{SERVICE}"); '
                f's.sendall(b"hello\\n"); print(s.recv(9))\''
            )
            heard = await here.says(NEW, command)
            assert heard["stdout"] == "b'hello\\n'\n", heard["stderr"]

    run(scenario())


def shut_egress(world: World, *left: dict[str, Any]) -> None:
    world.item("security_groups", "sg-main")["egress"] = list(left)


def one_rule_less(world: World, what: str) -> None:
    """Takes one thing away that the gate's ways need."""
    legacy, main, corp = (world.cidrs[one] for one in ("legacy", "main", "corp"))
    if what == "egress to the old nodes' kubelets":
        shut_egress(world, rule(PORT, cidrs=(legacy,)), rule(443, cidrs=(ANY,)), rule(5432, cidrs=(corp,)))
    elif what == "egress to pods":
        shut_egress(world, rule(10250, cidrs=(legacy,)), rule(443, cidrs=(ANY,)), rule(5432, cidrs=(corp,)))
    elif what == "egress to APIs":
        shut_egress(world, rule(cidrs=(legacy, main, corp)))
        world.table("legacy")["routes"].append({"cidr": ANY, "target": "tgw-1", "state": "active"})
    elif what == "the route to NAT":
        world.table("main")["routes"].pop()
        world.table("legacy")["routes"].append({"cidr": ANY, "target": "tgw-1", "state": "active"})
    elif what == "the endpoint's ingress":
        world.group("sg-door", "vpc-main", ingress=[rule(443, cidrs=(legacy,))])
        world.raw["interfaces"][0]["groups"] = ["sg-door"]
        world.table("legacy")["routes"].append({"cidr": ANY, "target": "tgw-1", "state": "active"})
    elif what == "the zone's association":
        world.raw["zones"][0]["vpcs"] = ["vpc-legacy"]
    elif what == "ingress from old members":
        world.item("security_groups", "sg-main")["ingress"] = [rule(cidrs=(main, corp))]
    elif what == "the way to the connected network":
        world.table("main")["routes"] = [r for r in world.table("main")["routes"] if r["cidr"] != corp]
    else:
        raise AssertionError(what)


@pytest.mark.parametrize(
    ("what", "match"),
    [
        (
            "egress to the old nodes' kubelets",
            rf"{instance(NEW)} \(a\) doesn't reach kubelets of old nodes {OLD}:10250",
        ),
        ("egress to pods", rf"{instance(NEW)} \(a\) doesn't reach pods of old nodes 100\.71\.0\.1:{PORT}: timed out"),
        ("egress to APIs", rf"doesn't reach AWS's API sts\.{REGION}\.amazonaws\.com:443: timed out"),
        ("the route to NAT", rf"doesn't reach AWS's API ssm\.{REGION}\.amazonaws\.com:443: timed out"),
        ("the endpoint's ingress", rf"doesn't reach AWS's API ec2\.{REGION}\.amazonaws\.com:443: timed out"),
        ("the zone's association", rf"doesn't reach the API's name {API}: .*Name or service not known"),
        ("ingress from old members", rf"{instance(MEMBER)} \(a\) doesn't reach the new node's kubelet {NEW}:10250"),
        ("the way to the connected network", rf"doesn't reach migration:sides.<new>.reach {DATABASE}:5432: timed out"),
    ],
)
def test_what_one_rule_less_shuts_is_refused_by_name(what: str, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        world = state()
        one_rule_less(world, what)
        async with lab(world, monkeypatch) as here:
            await here.refuses(match)

    run(scenario())


def test_a_node_that_is_not_ready_has_no_kubelet_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with lab(state(), monkeypatch) as here:
            here.cluster.nodes["", OLD] = Node(OLD, OLD, False)
            here.kubelets.sync()
            await here.refuses(r"doesn't reach kubelets of old nodes .*Connection refused")

    run(scenario())


def test_a_pod_listens_at_its_own_ports_and_at_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://{}\", timeout=5).read().decode())'"

    async def scenario() -> None:
        async with lab(state(), monkeypatch) as here:
            said = await here.says(NEW, ask.format(f"100.71.0.1:{PORT}/"))
            assert '"pod": "old-1"' in said["stdout"], said["stderr"]
            assert "Connection refused" in (await here.says(NEW, ask.format("100.71.0.1:9/")))["stderr"]
            assert "Connection refused" in (await here.says(NEW, ask.format("100.71.9.9:80/")))["stderr"]
            assert '"ok"' in (await here.says(NEW, ask.format(f"{alias(OLD)}:10250/healthz")))["stdout"]

    run(scenario())


def test_a_machine_never_reaches_the_internet_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    command = "python3 -c 'import socket; socket.create_connection((\"{}\", 443), 5)'"

    async def scenario() -> None:
        async with lab(state(), monkeypatch) as here:
            assert "timed out" in (await here.says(NEW, command.format("192.0.2.1")))["stderr"]
            assert "not known" in (await here.says(NEW, command.format("registry.k8s.io")))["stderr"]

    run(scenario())

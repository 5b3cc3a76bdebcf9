"""The ingress policy's way back to `Local`, over the lab's balancer and real sockets: what becomes of an open flow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from migration.ingress.plan import Observation, Step, next_step
from migration.ingress.service import TERMINATION
from tests.lab.network.world import ADDRESSES, OPERATOR, Net, World, network, server

WITH_POD, WITHOUT = "127.17.1.4", "127.17.2.4"
FRONT, PORT, NODE_PORT = "127.17.1.200", 8080, 30081
assert ADDRESSES.legacy_cidr == "127.17.0.0/16"


@dataclass
class Narrowing:
    """Does what `next_step` says to the lab's network. `obeyed`: whether the balancer heeds the attribute."""

    net: Net
    group: dict[str, Any]
    ids: dict[str, str]
    listening: asyncio.Server
    obeyed: bool
    policy: str = "Cluster"
    marked: tuple[str, ...] | None = None
    suspended: frozenset[str] = frozenset()
    noted: dict[str, bool] | None = None
    terminates: bool = True
    since: int = 0
    steps: list[str] = field(default_factory=list)

    def states(self) -> dict[str, str]:
        of_group = self.net.balancers.report(everything=True)[self.group["arn"]]
        return {key.rpartition(":")[0]: target["state"] for key, target in of_group.items()}

    def observed(self) -> Observation:
        return Observation(
            wanted="Local",
            policy=self.policy,
            groups=("nodes",),
            suspended=self.suspended,
            marked=self.marked,
            with_pods=frozenset({self.ids[WITH_POD]}),
            in_service=frozenset(self.ids.values()),
            targets={self.group["arn"]: self.states()},
            terminates={self.group["arn"]: self.terminates},
            noted=self.noted,
        )

    async def run(self) -> None:
        async with asyncio.timeout(20):
            while (step := next_step(self.observed())).act != "done":
                if step.act != "wait":
                    self.steps.append(step.act)
                    self.act(step)
                await asyncio.sleep(0.02)

    def act(self, step: Step) -> None:
        match step.act:
            case "mark":
                self.marked = step.ids
            case "unmark":
                self.marked = self.noted = None
            case "suspend" | "resume":
                self.suspended = frozenset(step.ids) if step.act == "suspend" else frozenset()
            case "note":
                self.noted = dict(step.noted)
            case "keep-flows" | "restore":
                self.terminates = step.act == "restore"
                if self.obeyed:
                    self.group["attributes"] = {TERMINATION: str(self.terminates).lower()}
            case "deregister":
                # The delay is over at once: a flow that is still open then is what this is about.
                self.group["targets"] = [t for t in self.group["targets"] if t["id"] not in step.ids]
            case "flip":
                # A node without a pod takes no new connection; what is open goes on.
                self.policy = step.policy
                self.listening.close()
            case "register":
                self.since += 1
                self.group["targets"] += [
                    {"id": i, "port": NODE_PORT, "zone": None, "state": "registered", "since": self.since}
                    for i in step.ids
                ]
            case _:
                raise AssertionError(step)
        self.net.apply()


async def flow_through(ip: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for _ in range(10):
        reader, writer = await asyncio.open_connection(FRONT, PORT, local_addr=(OPERATOR, 0))
        if (await reader.readline()).decode().split()[0] == ip:
            return reader, writer
        writer.close()
    raise AssertionError(f"no new flow goes to {ip}")


async def narrowed_and_widened(obeyed: bool) -> tuple[list[str], bytes]:
    """The steps, and what an open flow through the node without a pod says at their end."""
    built = World()
    ids = {ip: built.instance(ip) for ip in (WITH_POD, WITHOUT)}
    arn = built.target_group("web", "legacy", NODE_PORT, [(i, NODE_PORT) for i in ids.values()])
    built.balancer("web", "legacy", PORT, arn)
    async with network(built) as net, server(WITH_POD, NODE_PORT), server(WITHOUT, NODE_PORT) as listening:
        narrowing = Narrowing(net, built.item("target_groups", arn), ids, listening, obeyed)
        await net.until(lambda: set(narrowing.states().values()) == {"healthy"}, "both healthy")
        reader, writer = await flow_through(WITHOUT)
        await narrowing.run()
        assert narrowing.states() == {ids[WITH_POD]: "healthy", ids[WITHOUT]: "unhealthy"}
        writer.write(b"still here\n")
        try:
            return narrowing.steps, await asyncio.wait_for(reader.readline(), 5)
        finally:
            writer.close()


def test_an_open_flow_through_a_node_without_a_pod_outlives_the_change() -> None:
    steps, said = asyncio.run(narrowed_and_widened(obeyed=True))
    assert said == b"still here\n"
    assert steps[-5:] == ["keep-flows", "register", "restore", "resume", "unmark"]


def test_it_is_reset_where_the_balancer_goes_on_resetting_flows_of_unhealthy_targets() -> None:
    with pytest.raises(ConnectionResetError):
        asyncio.run(narrowed_and_widened(obeyed=False))

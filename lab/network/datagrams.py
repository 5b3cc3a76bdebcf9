"""UDP through balancers: datagrams of one flow go to one target, and its answers back, until the flow has been idle.

A flow is what a balancer takes for one: client's address and port, and the place it speaks to.
https://docs.aws.amazon.com/elasticloadbalancing/latest/network/network-load-balancers.html#connection-idle-timeout
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time

from lab.network.fabric import Dropped, Fabric, Refused
from lab.network.listeners import Place
from lab.network.relay import Condition, Hop, Plan
from lab.network.state import UDP

log = logging.getLogger(__name__)

_LONGEST = 65_535
FlowKey = tuple[Place, Place]
"""The client, and the place it speaks to."""


class DatagramFlow:
    """One client's datagrams to one place. The upstream socket is bound to the address that the target sees."""

    def __init__(self, plan: Plan, upstream: socket.socket) -> None:
        self.plan = plan
        self.upstream = upstream
        self.last = time.monotonic()

    @property
    def hops(self) -> tuple[Hop, ...]:
        return self.plan.hops


class DatagramFlows:
    """All of them: a handler for balancers' UDP listeners, and a carrier for the fabric."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fabric: Fabric, idle_s: float) -> None:
        self._loop = loop
        self._fabric = fabric
        self._idle_s = idle_s
        self._open: dict[FlowKey, DatagramFlow] = {}
        fabric.carriers.append(self)

    def __len__(self) -> int:
        return len(self._open)

    def receive(self, data: bytes, peer: Place, place: Place, sock: socket.socket) -> None:
        """A datagram to a balancer: on to its flow's target, or to one chosen for a new flow."""
        key = (peer, place)
        flow = self._open.get(key)
        if flow is None:
            flow = self._begin(key, sock)
            if flow is None:
                return
        flow.last = time.monotonic()
        if flow.plan.delay_s:
            self._loop.call_later(flow.plan.delay_s, self._send, key, flow, data)
        else:
            self._send(key, flow, data)

    def _begin(self, key: FlowKey, sock: socket.socket) -> DatagramFlow | None:
        (peer, place) = key
        caller = self._fabric.callers.of_datagram(peer[0])
        try:
            plan = self._fabric.plan(caller, *place, from_port=peer[1], transport=UDP)
        except (Dropped, Refused) as error:  # nobody is told: there is nothing to reset
            self._fabric.lose(str(error))
            return None
        upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            upstream.setblocking(False)
            upstream.bind((plan.source, 0))
            upstream.connect((plan.host, plan.port))
        except OSError as error:
            upstream.close()
            self._fabric.lose(f"{caller} → {place[0]}:{place[1]}/udp: {error}")
            return None
        flow = self._open[key] = DatagramFlow(plan, upstream)
        self._loop.add_reader(upstream.fileno(), self._answer, key, flow, sock)
        self._fabric.flows.count(flow.hops)
        self._loop.call_later(self._idle_s, self._look, key, flow)
        return flow

    def _send(self, key: FlowKey, flow: DatagramFlow, data: bytes) -> None:
        if self._open.get(key) is not flow:
            return
        try:
            flow.upstream.send(data)
        except OSError as error:  # nobody listens there any more (ICMP), or no room: a datagram may be lost
            self._fabric.lose(f"{flow.plan.host}:{flow.plan.port}/udp: {error}")

    def _answer(self, key: FlowKey, flow: DatagramFlow, sock: socket.socket) -> None:
        try:
            data = flow.upstream.recv(_LONGEST)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fabric.lose(f"{flow.plan.host}:{flow.plan.port}/udp: {error}")
            return
        flow.last = time.monotonic()
        self._loop.call_later(flow.plan.delay_s, self._return, key, flow, data, sock)

    def _return(self, key: FlowKey, flow: DatagramFlow, data: bytes, sock: socket.socket) -> None:
        if self._open.get(key) is not flow or sock.fileno() < 0:
            return
        try:
            sock.sendto(data, key[0])
        except OSError as error:
            self._fabric.lose(f"answer to {key[0][0]}:{key[0][1]}/udp: {error}")

    def _look(self, key: FlowKey, flow: DatagramFlow) -> None:
        """Forgets an idle flow, or looks again when it could be one."""
        if self._open.get(key) is not flow:
            return
        left = flow.last + self._idle_s - time.monotonic()
        if left <= 0:
            self._forget(key)
        else:
            self._loop.call_later(left, self._look, key, flow)

    def _forget(self, key: FlowKey) -> None:
        flow = self._open.pop(key)
        self._loop.remove_reader(flow.upstream.fileno())
        flow.upstream.close()
        self._fabric.flows.uncount(flow.hops)

    def abort_where(self, condition: Condition) -> int:
        """Forgets the flows whose legs fulfil the condition: the next datagram is a new flow's. Returns how many."""
        doomed = [key for key, flow in self._open.items() if condition(flow.hops)]
        for key in doomed:
            self._forget(key)
        return len(doomed)

    def close(self) -> None:
        self.abort_where(lambda hops: True)

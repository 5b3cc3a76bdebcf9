"""The one place that decides where a connection goes and whether it gets there."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, replace
from typing import Protocol

from lab.addresses import FORWARDED_PORTS, hidden_port
from lab.network.callers import Callers
from lab.network.listeners import Place
from lab.network.proxy_protocol import Client, header
from lab.network.reachability import allowed, passes, routed
from lab.network.relay import Condition, Flow, Flows, Hop, Plan, reset
from lab.network.state import TCP, State


class Dropped(Exception):
    """AWS would drop the packets: the caller gets no answer."""


class Refused(Exception):
    """The connection is answered with a reset."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A balancer's choice for one new flow."""

    source: str
    host: str
    port: int
    balancer: str
    target_group: str
    target_key: str
    proxy_protocol: bool = False
    """Whether the target is told who the client is before anything else."""


class Chooser(Protocol):
    def choose(self, address: str, port: int, client: str, transport: str = TCP) -> Choice | None:
        """The target for a new flow to a balancer's address; None if that is no balancer's. Raises Refused."""
        ...


@dataclass(frozen=True, slots=True)
class Pair:
    """What is wrong between two addresses. `delay_ms` is added to the round trip."""

    cut: bool = False
    delay_ms: float = 0.0


class Carrier(Protocol):
    """Whoever holds open connections that may have to be reset."""

    def abort_where(self, condition: Condition) -> int:
        """Resets those whose legs fulfil the condition; returns how many."""
        ...


class Fabric:
    """Plans and opens flows over the current state, the balancers' choices, and pairs cut or slowed by a test."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        callers: Callers,
        *,
        drop_after_s: float,
        state: State | None = None,
        forwarded: tuple[int, ...] = FORWARDED_PORTS,
    ) -> None:
        self._loop = loop
        self.callers = callers
        self.state = state or State()
        self.flows = Flows(loop)
        self.carriers: list[Carrier] = [self.flows]
        self.chooser: Chooser | None = None
        self.pairs: dict[frozenset[str], Pair] = {}
        self.forwarded = forwarded
        """Ports of machines behind which their processes listen hidden."""
        self._drop_after_s = drop_after_s
        self.dropped_total = 0
        self.refused_total = 0
        self.last_drops: list[str] = []

    # --- planning

    def check(self, from_ip: str, to_ip: str, port: int, transport: str = TCP) -> None:
        """Raises Dropped where a packet for a new connection wouldn't arrive."""
        verdict = allowed(self.state, from_ip, to_ip, port, transport)
        if not verdict.ok:
            raise Dropped(f"{from_ip} → {to_ip}:{port}: {verdict.reason}")
        pair = self.pairs.get(frozenset((from_ip, to_ip)))
        if pair is not None and pair.cut:
            raise Dropped(f"{from_ip} → {to_ip}:{port}: this pair is cut")

    def plan(self, from_ip: str, to_ip: str, port: int, *, from_port: int = 0, transport: str = TCP) -> Plan:
        """The way of a new connection. Raises Dropped or Refused.

        A balancer's address leads on to the target it chooses, and a machine's forwarded port to the hidden one, in
        one step: what would be three sockets in a row is one relay here, with a hop recorded for each leg.
        """
        self.check(from_ip, to_ip, port, transport)
        choice = self.chooser.choose(to_ip, port, from_ip, transport) if self.chooser else None
        first = Hop(from_ip, to_ip, port, transport=transport)
        if choice is None:
            real = hidden_port(port) if port in self.forwarded and transport == TCP else port
            return Plan(from_ip, to_ip, real, (first,), self._delay_s(from_ip, to_ip))
        return self.onward(choice, first, from_port)

    def onward(self, choice: Choice, first: Hop, from_port: int = 0) -> Plan:
        """The way over a balancer that has chosen, the client's leg first. Raises Dropped or Refused."""
        onward = self.plan(choice.source, choice.host, choice.port, transport=first.transport)
        leg = replace(
            onward.hops[0],
            balancer=choice.balancer, target_group=choice.target_group, target_key=choice.target_key,
        )  # fmt: skip
        delay_s = onward.delay_s + self._delay_s(first.source, first.target)
        preface = b""
        if choice.proxy_protocol:
            preface = header(Client(first.source, from_port), Client(first.target, first.port))
        return replace(onward, hops=(first, leg, *onward.hops[1:]), delay_s=delay_s, preface=preface)

    def _delay_s(self, from_ip: str, to_ip: str) -> float:
        pair = self.pairs.get(frozenset((from_ip, to_ip)))
        return pair.delay_ms / 2_000 if pair else 0.0

    # --- carrying

    def accept(self, client: socket.socket, peer: Place, place: Place) -> None:
        """A listener's handler: a connection to `place`, by whoever the socket's owner turns out to be."""
        self.carry(client, self.callers.identify(peer, place), *place, from_port=peer[1])

    def carry(self, client: socket.socket, from_ip: str, to_ip: str, port: int, *, from_port: int = 0) -> Flow | None:
        """Relays an accepted socket to where that address leads; None if nowhere. Never raises; takes it over."""
        try:
            plan = self.plan(from_ip, to_ip, port, from_port=from_port)
        except Dropped as error:
            self.drop(client, str(error))
        except Refused:
            self.refused_total += 1
            reset(client)
        else:
            return self.flows.open(client, plan)
        return None

    def drop(self, client: socket.socket, reason: str) -> None:
        """Stands for packets that vanish. The kernel has accepted already, so the nearest thing is silence, ended
        by a reset after a bounded time: a caller sees no answer, and no socket is kept for ever."""
        self.lose(reason)
        self._loop.call_later(self._drop_after_s, reset, client)

    def lose(self, reason: str) -> None:
        """Notes what has vanished."""
        self.dropped_total += 1
        self.last_drops = [*self.last_drops[-49:], reason]

    # --- what changes under open flows

    def apply(self, state: State) -> None:
        """A new revision. Flows of a machine that is gone, or over a path that is, are reset; a security group's
        change touches no open flow (AWS tracks connections), an ACL's does."""
        before, self.state = self.state, state
        gone = {i.ip for i in before.instances.values() if i.alive} - {
            i.ip for i in state.instances.values() if i.alive
        }
        if gone:
            self.abort_where(lambda hops: any(h.source in gone or h.target in gone for h in hops))
        if before.peerings != state.peerings or before.route_tables != state.route_tables:
            self.abort_where(lambda hops: any(not routed(state, h.source, h.target).ok for h in hops))
        if before.acls != state.acls:
            self.abort_where(lambda hops: any(not passes(state, h.source, h.target, h.port, h.transport) for h in hops))

    def abort_where(self, condition: Condition) -> int:
        """Resets every connection, whoever carries it, whose legs fulfil the condition; returns how many."""
        return sum(carrier.abort_where(condition) for carrier in self.carriers)

    def set_pair(self, one: str, other: str, pair: Pair) -> int:
        """Cuts, slows or heals a pair; returns how many flows were reset by a cut."""
        key = frozenset((one, other))
        if pair == Pair():
            self.pairs.pop(key, None)
        else:
            self.pairs[key] = pair
        if pair.cut:
            return self.abort_where(lambda hops: any({h.source, h.target} == key for h in hops))
        for flow in self.flows:
            flow.delay_s = sum(self._delay_s(hop.source, hop.target) for hop in flow.plan.hops)
        return 0

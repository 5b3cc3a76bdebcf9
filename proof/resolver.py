"""A stub resolver with a cache, one per place, as a client machine has.

An answer is kept for the smallest TTL in its CNAME chain and asked for again after that. Nothing is served
beyond its TTL and no failure is remembered: a missing record fails every probe for exactly as long as the
record is missing, so that the length of an outage can be read from the probes. (Resolvers that stretch TTLs
exist; they are the reason why an old address must go on serving, not a reason to measure less.)
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.resolver

from proof.config import endpoint
from proof.connection import ProbeFailed, describe

Query = Callable[[str], Awaitable[dns.message.Message]]
"""Ask for the A records of a name; raises OSError or dns.exception.DNSException."""

NO_ANSWER = "no answer from the resolver"

REPEAT_AFTER_S = 0.4
"""A lost UDP packet is sent again after this, within the probe's own time: losing one query is the
network's right.
"""


class NoResolver(Exception):
    """A place has no DNS server and the system names none."""


@dataclass
class _Entry:
    addresses: list[str]
    until: float
    turn: int = 0


@dataclass
class StubResolver:
    """Resolve names through `query`. `clock` in seconds, monotonic."""

    query: Query
    clock: Callable[[], float] = time.monotonic
    asked: int = 0
    _cache: dict[str, _Entry] = field(default_factory=dict[str, _Entry])
    _under_way: dict[str, asyncio.Task[_Entry]] = field(default_factory=dict[str, asyncio.Task[_Entry]])

    async def address(self, name: str) -> str:
        """One address of `name`, in turn when there are several. Raises ProbeFailed (phase resolve)."""
        if is_address(name):
            return name
        entry = self._cache.get(name)
        if entry is None or self.clock() >= entry.until:
            entry = await self._ask_once(name)
        entry.turn += 1
        return entry.addresses[entry.turn % len(entry.addresses)]

    async def _ask_once(self, name: str) -> _Entry:
        # One question at a time per name; a probe that runs out of time must not take the answer away from
        # others.
        task = self._under_way.get(name)
        if task is None:
            task = asyncio.create_task(self._ask(name))
            self._under_way[name] = task
            task.add_done_callback(lambda done: self._forget(name, done))
        return await asyncio.shield(task)

    def _forget(self, name: str, task: asyncio.Task[_Entry]) -> None:
        self._under_way.pop(name, None)
        if not task.cancelled():
            task.exception()  # seen: the probes that waited have reported it

    async def _ask(self, name: str) -> _Entry:
        self.asked += 1
        try:
            message = await self.query(name)
        except (OSError, dns.exception.DNSException) as error:
            what = NO_ANSWER if isinstance(error, dns.exception.Timeout) else describe(error)
            raise ProbeFailed("resolve", f"{name}: {what}") from None
        addresses, ttl = read_answer(message)
        if not addresses:
            code = message.rcode()
            what = "no address in the answer" if code == dns.rcode.NOERROR else dns.rcode.to_text(code)
            raise ProbeFailed("resolve", f"{name}: {what}")
        entry = _Entry(addresses, self.clock() + ttl)
        self._cache[name] = entry
        return entry


def is_address(name: str) -> bool:
    """True for an IPv4 address, which needs no resolver."""
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


def read_answer(message: dns.message.Message) -> tuple[list[str], float]:
    """Addresses in the answer section and the smallest TTL of the chain that led to them (seconds)."""
    addresses: list[str] = []
    ttls: list[int] = []
    for rrset in message.answer:
        if rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.CNAME):
            ttls.append(rrset.ttl)
        if rrset.rdtype == dns.rdatatype.A:
            records: list[dns.rdata.Rdata] = list(rrset)
            addresses += [record.to_text() for record in records]
    return addresses, float(min(ttls, default=0))


def server_query(server: str | None, source: str | None) -> Query:
    """Ask `server` (`address:port`; null: the system's first IPv4 one) from the address `source`."""
    where, port = endpoint(server) if server is not None else _system_server()

    async def ask(name: str) -> dns.message.Message:
        for attempt in (1, 2, 3):
            query = dns.message.make_query(name, dns.rdatatype.A, use_edns=0)
            try:
                message, _ = await dns.asyncquery.udp_with_fallback(
                    query, where, timeout=REPEAT_AFTER_S, port=port, source=source
                )
            except dns.exception.Timeout:
                if attempt == 3:
                    raise
            else:
                return message
        raise AssertionError("unreachable")

    return ask


def _system_server() -> tuple[str, int]:
    try:
        servers = [str(server) for server in dns.resolver.Resolver().nameservers]
    except dns.resolver.NoResolverConfiguration:
        servers = []
    for server in servers:
        try:
            return str(ipaddress.IPv4Address(server)), 53
        except ValueError:
            continue
    raise NoResolver("the system names no IPv4 DNS server; set `resolver: address:port` for each place")

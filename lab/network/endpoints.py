"""Local ports that stand for a client somewhere: each new connection resolves the name as that client would.

The system's resolver is never touched, so what can't be told the lab's DNS (kubectl, an agent) is given such a port.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from lab.network.fabric import Fabric
from lab.network.listeners import Handler, Place
from lab.network.resolve import Resolver


@dataclass
class _Kept:
    addresses: tuple[str, ...]
    until: float


class Endpoint:
    """A client of one name and port. Answers are kept for their TTL, as a client's resolver keeps them."""

    def __init__(
        self,
        fabric: Fabric,
        resolver: Resolver,
        name: str,
        port: int,
        source: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fabric = fabric
        self._resolver = resolver
        self._name = name
        self._port = port
        self._source = source
        self._clock = clock
        self._kept = _Kept((), 0.0)
        self._turn = itertools.count()

    def accept(self, client: socket.socket, peer: Place, place: Place) -> None:
        """A listener's handler."""
        source = self._source()
        addresses = self.addresses(source)
        if not addresses:
            self._fabric.drop(client, f"{source}: {self._name} does not resolve")
            return
        self._fabric.carry(client, source, addresses[next(self._turn) % len(addresses)], self._port)

    def addresses(self, source: str) -> tuple[str, ...]:
        now = self._clock()
        if now >= self._kept.until:
            result = self._resolver.resolve(self._name, source)
            # Nothing found isn't kept: a client asks again, and a lab that is starting has no records yet.
            self._kept = _Kept(result.addresses, now + (result.ttl if result.addresses else 0))
        return self._kept.addresses


def handlers(endpoints: dict[Place, Endpoint]) -> dict[Place, Handler]:
    return {place: endpoint.accept for place, endpoint in endpoints.items()}

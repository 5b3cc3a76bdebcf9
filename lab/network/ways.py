"""Where a machine's connections lead that aren't a pod's: other machines, balancers, AWS's APIs.

A machine's python3 asks for each of them (`lab/machines/confined.py`). It is told of success once somebody has
answered, so that what a rule drops looks to it as a real drop does, and a closed port as a closed port.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from lab.addresses import LOOPBACK, unalias
from lab.network.certificates import Certificates
from lab.network.fabric import Dropped, Fabric, Refused
from lab.network.outward import HTTPS, PUBLIC, S3, out
from lab.network.state import ip_number
from lab.network.terminator import HANDSHAKE_S, Half


class Way:
    """A connection that stands on its far end. `join` is given the near one, which it takes over."""

    def __init__(self, far: Half, tls: ssl.SSLContext | None, outside: Half) -> None:
        self._far = far
        self._tls = tls
        self._outside = outside

    async def join(self, client: socket.socket) -> None:
        """Raises OSError where the client doesn't finish its handshake."""
        loop = asyncio.get_running_loop()
        timing = {"ssl_handshake_timeout": HANDSHAKE_S} if self._tls is not None else {}
        try:
            await loop.connect_accepted_socket(lambda: self._outside, client, ssl=self._tls, **timing)
        except OSError:
            self.close()
            client.close()
            raise
        if self._far.transport is not None:
            self._outside.join(self._far)
        if self._outside.transport is not None:
            self._far.join(self._outside)
        if self._outside.transport is None or self._far.transport is None:  # one of them left meanwhile
            self.close()
            if self._outside.transport is not None:
                self._outside.transport.close()

    def close(self) -> None:
        """Lets go of the far end."""
        if self._far.transport is not None:
            self._far.transport.close()


class Ways:
    """Opens them over the current state. `aws_port` is where the lab's AWS listens, without TLS."""

    def __init__(self, fabric: Fabric, certificates: Certificates, aws_port: int) -> None:
        self._fabric = fabric
        self._certificates = certificates
        self._aws_port = aws_port

    async def open(self, machine_ip: str, host: str, port: int) -> Way:
        """A connection of that machine. Raises Dropped, Refused, ValueError for a host that is no address."""
        state = self._fabric.state
        ip_number(host)
        inside = unalias(host)
        if state.vpc_of(inside) is None:
            return await self._outside(machine_ip, host, port)
        self._fabric.check(machine_ip, inside, port)
        if port == HTTPS and any(inside in one.addresses for one in state.service_endpoints):
            return await self._aws(machine_ip)
        # From its own address: whoever listens there knows the caller by it, and judges as for any other client.
        return await self._dial(inside, port, machine_ip)

    async def _outside(self, machine_ip: str, host: str, port: int) -> Way:
        source = self._fabric.state.host(machine_ip)
        if source is None:
            raise Dropped(f"{machine_ip} lies in no VPC")
        verdict = out(self._fabric.state, source, host, port)
        if not verdict.ok:
            raise Dropped(f"{machine_ip} → {host}:{port}: {verdict.reason}")
        if host not in (PUBLIC, S3) or port != HTTPS:
            raise Dropped(f"{machine_ip} → {host}:{port}: the lab has no internet")
        return await self._aws(machine_ip)

    async def _aws(self, machine_ip: str) -> Way:
        return await self._dial(LOOPBACK, self._aws_port, None, self._certificates.of_services())

    @staticmethod
    async def _dial(host: str, port: int, source: str | None, tls: ssl.SSLContext | None = None) -> Way:
        def ended(other: Callable[[], Half]) -> Callable[[], None]:
            def close() -> None:
                transport = other().transport
                if transport is not None:
                    transport.close()

            return close

        outside = Half(ended(lambda: far))
        far = Half(ended(lambda: outside))
        try:
            local = (source, 0) if source is not None else None
            await asyncio.get_running_loop().create_connection(lambda: far, host, port, local_addr=local)
        except OSError as error:
            raise Refused(f"{host}:{port}: {error}") from error
        return Way(far, tls, outside)

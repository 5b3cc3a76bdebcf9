"""The DNS server over `resolve`: UDP and TCP."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable

from dnslib import CNAME, QTYPE, RCODE, RR, SOA, TXT, A, DNSError, DNSRecord

from lab.network.resolve import NEGATIVE_TTL_S, Answer, Resolver

log = logging.getLogger(__name__)

Place = tuple[str, int]
WhoAsks = Callable[[Place], str]
"""The client's address in the lab, for the address its query came from."""


def answer(query: bytes, from_ip: str, resolver: Resolver) -> bytes:
    """The reply to a query. Raises DNSError for what isn't one."""
    request = DNSRecord.parse(query)
    reply = request.reply(ra=1, aa=0)
    qtype = str(QTYPE.get(request.q.qtype))
    result = resolver.resolve(str(request.q.qname), from_ip, qtype)
    for item in result.answers:
        reply.add_answer(_record(item))
    if not result.exists:
        reply.header.rcode = RCODE.NXDOMAIN
    if (not result.exists or all(a.type != qtype for a in result.answers)) and result.zone:
        soa = SOA("ns-0.awsdns-00.com", "awsdns-hostmaster.amazon.com", (1, 7200, 900, 1_209_600, NEGATIVE_TTL_S))
        reply.add_auth(RR(result.zone, QTYPE.SOA, ttl=NEGATIVE_TTL_S, rdata=soa))
    return bytes(reply.pack())


def _record(item: Answer) -> RR:
    if item.type == "A":
        return RR(item.name, QTYPE.A, ttl=item.ttl, rdata=A(item.value))
    if item.type == "CNAME":
        return RR(item.name, QTYPE.CNAME, ttl=item.ttl, rdata=CNAME(item.value))
    if item.type == "TXT":
        return RR(item.name, QTYPE.TXT, ttl=item.ttl, rdata=TXT(item.value.strip('"')))
    return RR.fromZone(f"{item.name}. {item.ttl} IN {item.type} {item.value}")[0]


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Place) -> None:
        reply = self._server.reply(data, addr)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)


class Server:
    """One server for every VPC; who asks decides the view."""

    def __init__(self, resolver: Resolver, who: WhoAsks) -> None:
        self.resolver = resolver
        self._who = who
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self.queries = 0

    async def start(self, host: str, port: int) -> int:
        """Listens; port 0 takes any (the same for UDP and TCP). Returns the port."""
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._serve_tcp, host, port)
        port = self._tcp.sockets[0].getsockname()[1]
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=(host, port))
        return port

    def close(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()

    def reply(self, query: bytes, peer: Place) -> bytes | None:
        self.queries += 1
        try:
            return answer(query, self._who(peer), self.resolver)
        except (DNSError, ValueError) as error:
            log.info("not a query, from %s: %s", peer[0], error)
            return None

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                reply = self.reply(await reader.readexactly(length), writer.get_extra_info("peername"))
                if reply is None:
                    break
                writer.write(struct.pack("!H", len(reply)) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

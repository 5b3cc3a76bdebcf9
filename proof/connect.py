"""Opening a probe's connection: from a place, to one address, with the protocol both sides agree on."""

from __future__ import annotations

import asyncio
import socket
import ssl

from proof.connection import Connection, Http1Connection, ProbeFailed, Progress, describe
from proof.http2 import PROTOCOL, Http2Connection


class _Negotiating(asyncio.Protocol):
    """Hands a fresh TLS connection to the protocol both sides have agreed on (ALPN)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        chosen = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        connection = Http2Connection() if chosen == PROTOCOL else Http1Connection()
        transport.set_protocol(connection)
        connection.connection_made(transport)


async def open_connection(
    address: str,
    port: int,
    *,
    source: str | None,
    tls: ssl.SSLContext | None,
    server_name: str,
    progress: Progress,
) -> Connection:
    """Connect from `source` to exactly this address; no second address is tried. Raises ProbeFailed.

    HTTP/2 is spoken where `tls` offers it and the server takes it, otherwise HTTP/1.1.
    """
    loop = asyncio.get_running_loop()
    progress.phase = "connect"
    progress.peer = f"{address}:{port}"
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if source is not None:
            sock.bind((source, 0))
        await loop.sock_connect(sock, (address, port))
    except OSError as error:
        sock.close()
        raise ProbeFailed("connect", f"{address}:{port}: {describe(error)}") from None
    except BaseException:
        sock.close()
        raise
    if tls is not None:
        progress.phase = "tls"
    # From here on the transport owns the socket and closes it, also when it fails: closing it here as well would
    # free its number while the loop still knows it, and the next connection would get that number.
    try:
        if tls is None:
            transport, _ = await loop.create_connection(Http1Connection, sock=sock)
        else:
            transport, _ = await loop.create_connection(
                _Negotiating, sock=sock, ssl=tls, server_hostname=server_name, ssl_shutdown_timeout=2.0
            )
    except OSError as error:  # ssl.SSLError is one
        raise ProbeFailed(progress.phase, f"{address}:{port}: {describe(error)}") from None
    connection = transport.get_protocol()
    assert isinstance(connection, Connection)
    connection.peer = f"{address}:{port}"
    return connection

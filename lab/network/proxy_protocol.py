"""Proxy protocol, version 2: who the client of a relayed connection is, said before its first byte. Pure.

https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, section 2.2. IPv4 and TCP only.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED = struct.Struct("!12sBBH")
_ADDRESSES = struct.Struct("!4s4sHH")
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4 = 0x00, 0x11


class NoHeader(ValueError):
    """The bytes don't begin with a header of this version."""


class Client(NamedTuple):
    ip: str
    port: int


class Parsed(NamedTuple):
    """`length` bytes are the header. `client` is None where the sender speaks for itself (a health check)."""

    length: int
    client: Client | None


LOCAL = _FIXED.pack(SIGNATURE, _LOCAL, _UNSPECIFIED, 0)
"""What a balancer sends before a health check of its own."""


def header(client: Client, destination: Client) -> bytes:
    """What is sent before a relayed connection's bytes."""
    addresses = _ADDRESSES.pack(
        socket.inet_aton(client.ip), socket.inet_aton(destination.ip), client.port, destination.port
    )
    return _FIXED.pack(SIGNATURE, _PROXY, _TCP4, len(addresses)) + addresses


def parse(data: bytes) -> Parsed | None:
    """The header at the beginning of a connection; None while more bytes must come. Raises NoHeader."""
    if data[: len(SIGNATURE)] != SIGNATURE[: len(data)]:
        raise NoHeader(f"a connection that begins with {data[:12]!r}")
    if len(data) < _FIXED.size:
        return None
    _, command, family, length = _FIXED.unpack_from(data)
    if command not in (_LOCAL, _PROXY):
        raise NoHeader(f"version and command {command:#x}")
    whole = _FIXED.size + length
    if len(data) < whole:
        return None
    if command == _LOCAL or family != _TCP4 or length < _ADDRESSES.size:
        return Parsed(whole, None)
    source, _, port, _ = _ADDRESSES.unpack_from(data, _FIXED.size)
    return Parsed(whole, Client(socket.inet_ntoa(source), port))

"""Listening sockets that come and go with what they stand for."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

Place = tuple[str, int]
"""Address and port; for a Unix socket its path and 0."""
Handler = Callable[[socket.socket, Place, Place], None]
"""Called with the accepted socket (non-blocking; the handler owns it), the peer, and the place dialled."""

DatagramHandler = Callable[[bytes, Place, Place, socket.socket], None]
"""Called with a datagram, the peer, the place it was sent to, and the socket to answer from (the listener's own)."""

_ACCEPTS_A_TURN = 64
_LONGEST_DATAGRAM = 65_535
H = TypeVar("H")


class _Places(Generic[H]):
    """One owner's wishes never touch another's listeners."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sockets: dict[Place, socket.socket] = {}
        self._handlers: dict[Place, H] = {}
        self._wanted: dict[str, Mapping[Place, H]] = {}
        self.failed: dict[Place, str] = {}

    def sync(self, owner: str, wanted: Mapping[Place, H]) -> None:
        """Makes this owner's listeners exactly these. One that can't be opened is kept in `failed` for `retry`."""
        before = self._wanted.get(owner, {})
        for place in before.keys() - wanted.keys():
            self._close(place)
        self._wanted[owner] = dict(wanted)
        for place, handler in wanted.items():
            self._handlers[place] = handler
            if place not in self._sockets:
                self._open(place)

    def retry(self) -> None:
        for place in list(self.failed):
            self._open(place)

    def close(self) -> None:
        for place in list(self._sockets):
            self._close(place)

    def places(self) -> dict[str, list[Place]]:
        """What listens, by owner."""
        return {
            owner: sorted(place for place in wanted if place in self._sockets) for owner, wanted in self._wanted.items()
        }

    def _open(self, place: Place) -> None:
        try:
            sock = self._listen(place)
        except OSError as error:
            if place not in self.failed:
                log.warning("cannot listen on %s:%s: %s", *place, error)
            self.failed[place] = str(error)
            return
        self.failed.pop(place, None)
        self._sockets[place] = sock
        self._loop.add_reader(sock.fileno(), self._ready, place, sock)

    def _close(self, place: Place) -> None:
        self._handlers.pop(place, None)
        self.failed.pop(place, None)
        sock = self._sockets.pop(place, None)
        if sock is None:
            return
        self._loop.remove_reader(sock.fileno())
        sock.close()
        if sock.family == socket.AF_UNIX:
            Path(place[0]).unlink(missing_ok=True)

    @staticmethod
    def _listen(place: Place) -> socket.socket:
        """An open socket. Raises OSError."""
        raise NotImplementedError

    def _ready(self, place: Place, sock: socket.socket) -> None:
        """Something has come."""
        raise NotImplementedError


class Listeners(_Places[Handler]):
    """Listeners for connections."""

    @staticmethod
    def _listen(place: Place) -> socket.socket:
        return _listen(place)

    def _ready(self, place: Place, sock: socket.socket) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                client, peer = sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                log.warning("accept on %s:%s: %s", *place, error)
                return
            client.setblocking(False)
            if sock.family == socket.AF_INET:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            handler = self._handlers.get(place)
            if handler is None:
                client.close()
                continue
            try:
                handler(client, peer if sock.family == socket.AF_INET else place, place)
            except Exception:  # one connection's failure must not end the network
                log.exception("connection to %s:%s", *place)
                client.close()


class Datagrams(_Places[DatagramHandler]):
    """Listeners for UDP."""

    @staticmethod
    def _listen(place: Place) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind(place)
        except OSError:
            sock.close()
            raise
        return sock

    def _ready(self, place: Place, sock: socket.socket) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                data, peer = sock.recvfrom(_LONGEST_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # what an earlier answer met
                log.info("datagrams to %s:%s: %s", *place, error)
                return
            handler = self._handlers.get(place)
            if handler is None:
                return
            try:
                handler(data, peer, place, sock)
            except Exception:  # one datagram's failure must not end the network
                log.exception("datagram to %s:%s", *place)


def _listen(place: Place) -> socket.socket:
    address, port = place
    family = socket.AF_UNIX if address.startswith("/") else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_UNIX:
            Path(address).unlink(missing_ok=True)  # a former process's
            sock.bind(address)
            os.chmod(address, 0o600)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
        sock.listen(1_024)
    except OSError:
        sock.close()
        raise
    return sock

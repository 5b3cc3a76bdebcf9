"""Who is at the other end of a connection to a machine's port.

A client that bound its own address inside 127.0.0.0/8 is that address. One that didn't comes from 127.0.0.1, as
everything on loopback does; then the socket's owner tells: its process carries `LAB_MACHINE_IP`. Whoever has neither is
the operator's workstation.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import OrderedDict
from collections.abc import Iterable

Address = tuple[str, int]

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_REMEMBERED = 512


class Callers:
    """Finds and remembers callers. Everything here is a few system calls and never waits."""

    def __init__(self, operator_ip: str) -> None:
        self._operator = operator_ip
        self._diag = _open_diag()
        # pid → (start time, machine's address or None). Ordered by last use: connections come in bursts from one pid.
        self._pids: OrderedDict[int, tuple[str, str | None]] = OrderedDict()
        self.lookups = 0
        self.scans = 0

    def identify(self, peer: Address, local: Address) -> str:
        """The caller's address in the lab, given both ends of the accepted socket."""
        if peer[0] != "127.0.0.1":
            return peer[0]
        self.lookups += 1
        inode = self._inode(peer, local)
        if not inode:
            return self._operator  # closed meanwhile
        return self._machine_of(f"socket:[{inode}]") or self._operator

    def of_datagram(self, ip: str) -> str:
        """The caller's address in the lab. UDP has no peer to ask for: who binds none is the operator."""
        return self._operator if ip == "127.0.0.1" else ip

    def close(self) -> None:
        if self._diag is not None:
            self._diag.close()

    # The kernel is asked for one socket by its four-tuple: 6 µs here. Reading /proc/net/tcp walks the whole hash
    # table: 5 ms on the same machine, which is why it is only the way out where netlink is closed.
    def _inode(self, source: Address, target: Address) -> int:
        if self._diag is not None:
            try:
                return _diag_inode(self._diag, source, target)
            except OSError:
                self._diag.close()
                self._diag = _open_diag()
        return _proc_inode(source, target)

    def _machine_of(self, link: str) -> str | None:
        for pid in list(reversed(self._pids)):
            if _owns(pid, link):
                return self._remember(pid)
        self.scans += 1
        known = set(self._pids)
        for pid in _other_pids(known):
            if _owns(pid, link):
                return self._remember(pid)
        return None

    def _remember(self, pid: int) -> str | None:
        start = _start_time(pid)
        known = self._pids.pop(pid, None)
        if known is None or known[0] != start:  # a number can be given to another process
            known = (start, machine_ip(pid))
        self._pids[pid] = known
        while len(self._pids) > _REMEMBERED:
            self._pids.popitem(last=False)
        return known[1]

    def forget_dead(self) -> None:
        """Drops processes that are gone, so that nobody scans them in vain. To be called now and then."""
        for pid in [p for p in self._pids if not os.path.exists(f"/proc/{p}")]:
            del self._pids[pid]


def machine_ip(pid: int) -> str | None:
    """`LAB_MACHINE_IP` in a process's environment; None if it has none, is gone, or isn't ours to read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environ = file.read()
    except OSError:
        return None
    for item in environ.split(b"\0"):
        if item.startswith(b"LAB_MACHINE_IP="):
            return item[15:].decode() or None
    return None


def _other_pids(known: set[int]) -> Iterable[int]:
    """All others, youngest first: a process not seen yet is likely a new one."""
    own = os.getpid()
    pids = (int(name) for name in os.listdir("/proc") if name.isdecimal())
    return sorted((p for p in pids if p not in known and p != own), reverse=True)


def _owns(pid: int, link: str) -> bool:
    folder = f"/proc/{pid}/fd/"
    try:
        for descriptor in os.listdir(folder):
            try:
                if os.readlink(folder + descriptor) == link:
                    return True
            except OSError:
                continue
    except OSError:
        return False
    return False


def _start_time(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _open_diag() -> socket.socket | None:
    try:
        diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
        diag.settimeout(0.1)
        return diag
    except OSError:
        return None


def _diag_inode(diag: socket.socket, source: Address, target: Address) -> int:
    """inet_diag_req_v2 / inet_diag_msg, linux/inet_diag.h. 0 if there is no such socket. Raises OSError."""
    tuple_ = (
        struct.pack("!HH", source[1], target[1])
        + socket.inet_aton(source[0]) + bytes(12) + socket.inet_aton(target[0]) + bytes(12)
        + bytes(4) + b"\xff" * 8
    )  # fmt: skip
    request = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + tuple_
    diag.send(struct.pack("=IHHII", 16 + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + request)
    answer = diag.recv(4_096)
    if struct.unpack_from("=H", answer, 4)[0] != _SOCK_DIAG_BY_FAMILY:
        return 0
    return struct.unpack_from("=I", answer, 16 + 68)[0]


def _proc_inode(source: Address, target: Address) -> int:
    local, remote = _proc_address(source), _proc_address(target)
    with open("/proc/net/tcp") as file:
        for line in file:
            fields = line.split(None, 10)
            if fields[1] == local and fields[2] == remote:
                return int(fields[9])
    return 0


def _proc_address(address: Address) -> str:
    number = struct.unpack("=I", socket.inet_aton(address[0]))[0]
    return f"{number:08X}:{address[1]:04X}"

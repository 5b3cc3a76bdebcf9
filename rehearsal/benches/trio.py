"""A bare etcd cluster of three members on loopback, with mutual TLS: what leadership costs without anything else."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from lab import interrupt, processes
from lab.toolchain import tool_path
from migration.clients.etcd import Direct, Etcd, Member
from migration.etcd.drill.restored import LOOPBACK, free_port, mutual_tls
from migration.etcd.preflight import endpoint, healthy_voters
from migration.runtime.deadline import Deadline, OutOfTime, Retryable
from rehearsal.driver import RehearsalError

NAMES = ("a", "b", "c")
WHOLE_S = 60.0
"""How long three members may take until they are one cluster, or one again."""
KILLED_S = 5.0
KEY = b"bench"


@dataclass(kw_only=True)
class Trio:
    """Three members, their data below `folder`; `directory` is the lab's, whose `lab down` ends them, too.

    Used as a context manager they run, whole, inside, and nothing of them is left after it.
    """

    directory: Path
    folder: Path
    environment: Mapping[str, str]
    trust: ssl.SSLContext = field(init=False)
    _tls: list[str] = field(init=False)
    _clients: dict[str, str] = field(init=False)
    _peers: dict[str, str] = field(init=False)

    def __enter__(self) -> Self:
        self._end()
        self.folder.mkdir(parents=True, mode=0o700)
        self.trust, self._tls = mutual_tls(self.folder)
        self._clients = {name: f"https://{LOOPBACK}:{free_port()}" for name in NAMES}
        self._peers = {name: f"https://{LOOPBACK}:{free_port()}" for name in NAMES}
        try:
            for name in NAMES:
                self.start(name)
            self.whole()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        for name in NAMES:
            processes.stop(self.directory, _called(name))
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name: str) -> None:
        """Start a member, for the first time or again, with the data it has."""
        client, peer = self._clients[name], self._peers[name]
        flags = {
            "name": name,
            "data-dir": str(self.folder / name),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": ",".join(f"{one}={url}" for one, url in self._peers.items()),
            "initial-cluster-token": "bench",
            "log-level": "error",
        }
        command = [str(tool_path("etcd")), *(f"--{key}={value}" for key, value in flags.items()), *self._tls]
        processes.start(_called(name), command, directory=self.directory, environment=self.environment)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        identity = processes.find(self.directory, _called(name))
        if identity is None:
            raise Retryable(f"there is no etcd {name} to kill: its log says why it ended")
        os.kill(identity.pid, signal.SIGKILL)

    def buried(self, name: str) -> None:
        """Wait until a killed member is gone. Raises `Retryable` where it isn't."""
        identity = processes.find(self.directory, _called(name))
        if identity is not None and processes.gone([identity], KILLED_S):
            raise Retryable(f"etcd {name} was killed and still runs")

    def etcd(self) -> Etcd:
        """The product's client of all three."""
        return Etcd(self._clients.values(), Direct(self.trust))

    def whole(self) -> list[Member]:
        """Wait until all three are healthy, of one leader, and have all that was agreed on; then the members.

        Raises `RehearsalError`.
        """
        with self.etcd() as etcd:
            try:
                return Deadline(WHOLE_S).until(lambda: self._whole(etcd), "it", pause=0.2, alive=interrupt.check)
            except OutOfTime:
                logs = processes.log_path(self.directory, _called("*"))
                raise RehearsalError(f"the bench's etcd isn't whole after {WHOLE_S:.0f} s: see {logs}") from None

    def _whole(self, etcd: Etcd) -> list[Member]:
        members = healthy_voters(etcd, etcd.members())
        if len(members) != len(NAMES):
            raise Retryable(f"{len(members)} vote where {len(NAMES)} should")
        # Linearizable: a member that answers has applied whatever was agreed on before it was asked.
        for member in members:
            etcd.read(endpoint(member), KEY)
        return members


def led(etcd: Etcd, members: Sequence[Member], at: Member) -> Member | None:
    """Who leads, by the word of one of the members; None while that one knows none."""
    leader = etcd.status(endpoint(at)).leader
    return next((one for one in members if one.id == leader), None)


def _called(name: str) -> str:
    return f"bench-etcd-{name}"

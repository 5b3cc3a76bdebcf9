"""etcd asked on a member's own machine through Systems Manager, where its client port isn't open to the operator.

For the few questions of a gate: each is a command and takes a second or more. The machine's own client certificate
is used, at kubeadm's path; nothing secret travels.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from migration.clients.etcd import Etcd
from migration.etcd import machine
from migration.runtime.deadline import Deadline, Permanent, Retryable

if TYPE_CHECKING:
    from pathlib import Path

    from migration.clients.aws import Aws
    from migration.clients.etcd import Snapshot

# What runs on the machine. A status is asked twice: the second answer's time is one round trip on an open
# connection, without the handshake's computing.
_SCRIPT = """
import http.client, json, ssl, sys, time
trust = ssl.create_default_context(cafile="/etc/kubernetes/pki/etcd/ca.crt")
pair = "/etc/kubernetes/pki/apiserver-etcd-client"
trust.load_cert_chain(pair + ".crt", pair + ".key")
host, port, path, body = json.loads(sys.argv[1])
try:
    connection = http.client.HTTPSConnection(host, port, context=trust, timeout=8)
    for _ in range(2):
        started = time.monotonic()
        connection.request("POST", "/v3/" + path, body=json.dumps(body))
        answer = connection.getresponse()
        text = answer.read().decode()
        took = time.monotonic() - started
        if path != "maintenance/status":
            break
    print(json.dumps({"status": answer.status, "text": text, "seconds": took}))
except OSError as error:
    print(json.dumps({"status": 0, "text": repr(error), "seconds": 0}))
"""


class EtcdOverSsm(Etcd):
    """As `Etcd`, asked through machines: `machines` is instance id by address. Only for reading."""

    def __init__(
        self,
        aws: Aws,
        machines: Mapping[str, str],
        endpoints: Sequence[str],
        deadline: Deadline,
        alive: Callable[[], None],
    ) -> None:
        self.endpoints = list(dict.fromkeys(endpoints))
        self._aws = aws
        self._machines = dict(machines)
        self._deadline = deadline
        self._alive = alive

    def close(self) -> None:
        """Nothing is held open."""

    def _ask(self, endpoint: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        url = urlsplit(endpoint)
        # The member's own machine if it is known, or any other: members reach each other.
        via = self._machines.get(url.hostname or "") or next(iter(self._machines.values()))
        question = json.dumps([url.hostname, url.port, path, dict(body)])
        command = f"python3 - {shlex.quote(question)} <<'END'{_SCRIPT}END"
        try:
            said = machine.shell(self._aws, via, command, self._deadline, self._alive)
            return json.loads(said.strip().splitlines()[-1])
        except (Permanent, ValueError, IndexError) as error:
            raise Retryable(f"etcd can't be asked on {via}: {error}") from error

    def call(self, endpoint: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """POST `body` to one endpoint from a member's machine; raises `Retryable` with etcd's own message."""
        answer = self._ask(endpoint, path, body or {})
        if answer["status"] != 200:
            raise Retryable(f"etcd at {endpoint} says: {answer['text'][:200]}")
        return json.loads(answer["text"])

    def round_trip(self, endpoint: str) -> float:
        """Seconds of one small request between members' machines."""
        elsewhere = next((ip for ip in self._machines if ip != urlsplit(endpoint).hostname), None)
        if elsewhere is None:
            return 0.0
        others = EtcdOverSsm(
            self._aws, {elsewhere: self._machines[elsewhere]}, self.endpoints, self._deadline, self._alive
        )
        return float(others._ask(endpoint, "maintenance/status", {})["seconds"])

    def snapshot(self, path: Path) -> Snapshot:
        """A snapshot is too large for a command's output."""
        raise Permanent("a snapshot needs migration:etcd.access direct")

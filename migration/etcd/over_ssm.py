"""etcd asked on a member's own machine through Systems Manager, where its client port isn't open to the operator.

For the few questions of a gate: each is a command and takes a second or more. The machine's own client certificate
is used, at kubeadm's path; nothing secret travels.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from migration.clients.etcd import ALARMS, MEMBERS, STATUS
from migration.etcd.machine import shell
from migration.runtime.deadline import Deadline, Permanent, Retryable

if TYPE_CHECKING:
    from migration.clients.aws import Aws

READS = frozenset({MEMBERS, STATUS, ALARMS})

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


class _Answer(msgspec.Struct):
    """What the script prints: HTTP status (0 where nobody answered), body, and seconds of the last round trip."""

    status: int
    text: str
    seconds: float


class OverSsm:
    """The `Transport` through machines: `machines` is instance id by address. Takes reading calls only."""

    def __init__(self, aws: Aws, machines: Mapping[str, str], *, deadline: Deadline, alive: Callable[[], None]) -> None:
        self._aws = aws
        self._machines = dict(machines)
        self._deadline = deadline
        self._alive = alive

    def close(self) -> None:
        """Nothing is held open."""

    def post(self, endpoint: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """As `Transport.post`; raises `Permanent` for a call that changes something."""
        if path not in READS:
            raise Permanent(f"{path} changes etcd, and that needs migration:etcd.access direct")
        address = urlsplit(endpoint).hostname or ""
        # The member's own machine if it is known, or any other: members reach each other.
        answer = self._ask(self._machines.get(address) or next(iter(self._machines.values())), endpoint, path, body)
        return json.loads(answer.text)

    def round_trip(self, endpoint: str) -> float:
        """Seconds of one small request between two members' machines; 0 where there is only one."""
        address = urlsplit(endpoint).hostname
        elsewhere = next((id_ for ip, id_ in self._machines.items() if ip != address), None)
        return self._ask(elsewhere, endpoint, STATUS, {}).seconds if elsewhere else 0.0

    def stream(self, endpoint: str, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Raises `Permanent`: a snapshot is too large for a command's output."""
        raise Permanent("a snapshot needs migration:etcd.access direct")

    def _ask(self, machine: str, endpoint: str, path: str, body: Mapping[str, Any]) -> _Answer:
        url = urlsplit(endpoint)
        question = json.dumps([url.hostname, url.port, path, dict(body)])
        command = f"python3 - {shlex.quote(question)} <<'END'{_SCRIPT}END"
        try:
            said = shell(self._aws, machine, command, self._deadline, self._alive)
            answer = msgspec.json.decode(said.strip().splitlines()[-1], type=_Answer)
        except (Permanent, msgspec.MsgspecError, IndexError) as error:
            raise Retryable(f"etcd can't be asked on {machine}: {error}") from error
        if answer.status != 200:
            raise Retryable(f"etcd at {endpoint} says: {answer.text[:200]}")
        return answer

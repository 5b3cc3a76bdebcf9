"""etcd asked on a member's own machine through Systems Manager, where its client port isn't open to the operator.

For the few questions of a gate: each is a command and takes a second or more. The machine's own client certificate
is used, where the configuration says that it lies; nothing secret travels.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from migration.clients.etcd import READS, STATUS, TRANSFER
from migration.contracts.members import USUAL_FILES, OnMachine
from migration.etcd.machine import shell
from migration.runtime.deadline import Deadline, Permanent, Retryable

if TYPE_CHECKING:
    from migration.clients.aws import Aws

# What runs on the machine: `times` requests on one connection. The median of all but the first, which pays for the
# handshake, is the round trip. A command's output ends at 24,000 characters, so metrics are picked there.
_SCRIPT = """
import http.client, json, ssl, sys, time
ca, certificate, key, host, port, method, path, body, times, lines = json.loads(sys.argv[1])
try:
    trust = ssl.create_default_context(cafile=ca)
    trust.load_cert_chain(certificate, key)
    connection = http.client.HTTPSConnection(host, port, context=trust, timeout=8)
    took = []
    for _ in range(times):
        started = time.monotonic()
        connection.request(method, path, body=json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        text = answer.read().decode()
        took.append(time.monotonic() - started)
    if lines:
        text = "\\n".join(line for line in text.splitlines() if line.startswith(lines))
    rest = sorted(took[1:] or took)
    print(json.dumps({"status": answer.status, "text": text, "seconds": rest[len(rest) // 2]}))
except OSError as error:
    print(json.dumps({"status": 0, "text": repr(error), "seconds": 0}))
"""
# Streams a snapshot into a file on the machine and compares the hash that etcd put at its end; the newest are kept.
_SNAPSHOT = """
import base64, glob, hashlib, http.client, json, os, ssl, sys
ca, certificate, key, host, port, path, kept = json.loads(sys.argv[1])
trust = ssl.create_default_context(cafile=ca)
trust.load_cert_chain(certificate, key)
connection = http.client.HTTPSConnection(host, port, context=trust, timeout=60)
connection.request("POST", "/v3/maintenance/snapshot", body="{}")
answer = connection.getresponse()
if answer.status != 200:
    sys.exit("etcd says " + answer.read(200).decode(errors="replace"))
os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as sink:
    for line in answer:
        if line.strip():
            sink.write(base64.b64decode(json.loads(line)["result"].get("blob", "")))
    sink.flush()
    os.fsync(sink.fileno())
size, digest = os.path.getsize(path) - 32, hashlib.sha256()
with open(path, "rb") as source:
    while source.tell() < size:
        digest.update(source.read(min(1 << 20, size - source.tell())))
    if size <= 0 or digest.digest() != source.read(32):
        sys.exit("the snapshot is torn")
for old in sorted(glob.glob(os.path.dirname(path) + "/*.db"), key=os.path.getmtime)[:-kept]:
    os.unlink(old)
print(f"{size} bytes, SHA-256 {digest.hexdigest()}")
"""
# A TCP handshake is one round trip, and needs no certificate.
_CONNECTS = """
import json, socket, sys, time
host, port, times = json.loads(sys.argv[1])
took = []
try:
    for _ in range(times):
        started = time.monotonic()
        socket.create_connection((host, port), timeout=8).close()
        took.append(time.monotonic() - started)
    print(json.dumps({"status": 200, "text": "", "seconds": sorted(took)[len(took) // 2]}))
except OSError as error:
    print(json.dumps({"status": 0, "text": repr(error), "seconds": 0}))
"""
_USUAL = OnMachine.of(USUAL_FILES)
# How many snapshots stay on a machine.
KEPT = 3
# Requests on one connection for a round trip.
_TIMES = 6


@dataclass(frozen=True, kw_only=True)
class _Request:
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    times: int = 1
    lines: str = ""
    """Only the lines of the answer that start so; empty for all."""


class _Answer(msgspec.Struct):
    """What the script prints: HTTP status (0 where nobody answered), body, and seconds of one round trip."""

    status: int
    text: str
    seconds: float


class OverSsm:
    """The `Transport` through machines: `machines` is instance id by address. Takes reading calls, and hands over.

    `files` is what etcd is asked with there.
    """

    def __init__(
        self,
        aws: Aws,
        machines: Mapping[str, str],
        *,
        deadline: Deadline,
        alive: Callable[[], None],
        files: OnMachine = _USUAL,
    ) -> None:
        self._aws = aws
        self._shown = [files.ca, files.certificate, files.key]
        self._machines = dict(machines)
        self._deadline = deadline
        self._alive = alive

    def close(self) -> None:
        """Nothing is held open."""

    def post(self, endpoint: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """As `Transport.post`; raises `Permanent` for a call that changes data or members."""
        if path not in READS | {TRANSFER}:
            raise Permanent(f"{path} changes etcd, and that needs migration:etcd.access direct")
        asked = _Request(method="POST", path=f"/v3/{path}", body=dict(body))
        return json.loads(self._ask(self._nearest(endpoint), endpoint, asked).text)

    def metrics(self, endpoint: str, name: str) -> list[str]:
        """As `Transport.metrics`."""
        asked = _Request(method="GET", path="/metrics", lines=name)
        return self._ask(self._nearest(endpoint), endpoint, asked).text.splitlines()

    def round_trip(self, machine: str, endpoint: str) -> float:
        """Seconds of one small request from a member's machine (an instance id) to another member's endpoint."""
        asked = _Request(method="POST", path=f"/v3/{STATUS}", body={}, times=_TIMES)
        return self._ask(machine, endpoint, asked).seconds

    def connect_time(self, machine: str, endpoint: str) -> float:
        """The same by a connection alone, from a machine that has no certificate yet."""
        url = urlsplit(endpoint)
        question = json.dumps([url.hostname, url.port, _TIMES])
        return self._said(machine, endpoint, f"python3 - {shlex.quote(question)} <<'END'{_CONNECTS}END").seconds

    def keep_snapshot(self, machine: str, endpoint: str, path: str) -> str:
        """A snapshot of the member at `endpoint`, kept on a machine (an instance id) at `path`, read back there.

        Its size in bytes and its SHA-256, as a sentence. Raises `Retryable` where it can't be had, or is torn.
        """
        url = urlsplit(endpoint)
        question = json.dumps([*self._shown, url.hostname, url.port, path, KEPT])
        command = f"python3 - {shlex.quote(question)} <<'END'{_SNAPSHOT}END"
        try:
            return shell(self._aws, machine, command, self._deadline, self._alive).strip().splitlines()[-1]
        except (Permanent, IndexError) as error:
            raise Retryable(f"no snapshot could be kept on {machine}: {error}") from error

    def _nearest(self, endpoint: str) -> str:
        """The member's own machine if it is known, or any other: members reach each other."""
        return self._machines.get(urlsplit(endpoint).hostname or "") or next(iter(self._machines.values()))

    def stream(self, endpoint: str, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Raises `Permanent`: a snapshot is too large for a command's output."""
        raise Permanent("a snapshot needs migration:etcd.access direct")

    def _ask(self, machine: str, endpoint: str, asked: _Request) -> _Answer:
        url = urlsplit(endpoint)
        wanted = [url.hostname, url.port, asked.method, asked.path, asked.body, asked.times, asked.lines]
        question = json.dumps([*self._shown, *wanted])
        return self._said(machine, endpoint, f"python3 - {shlex.quote(question)} <<'END'{_SCRIPT}END")

    def _said(self, machine: str, endpoint: str, command: str) -> _Answer:
        try:
            said = shell(self._aws, machine, command, self._deadline, self._alive)
            answer = msgspec.json.decode(said.strip().splitlines()[-1], type=_Answer)
        except (Permanent, msgspec.MsgspecError, IndexError) as error:
            raise Retryable(f"etcd can't be asked on {machine}: {error}") from error
        if answer.status != 200:
            raise Retryable(f"etcd at {endpoint} says: {answer.text[:200]}")
        return answer

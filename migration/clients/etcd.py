"""etcd over its JSON gateway, with mutual TLS: members, status, and the few calls a member swap needs.

The gateway is etcd's own (https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/); 64-bit numbers travel as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import httpx2

from migration.runtime.deadline import Permanent, Retryable

T = TypeVar("T")

# A request to etcd is answered within its own request timeout, 7 s; a dead address shows sooner.
TIMEOUT = httpx2.Timeout(8.0, connect=3.0)
# etcd appends the SHA-256 of everything before it to a snapshot.
HASH_BYTES = 32
# The gateway's calls that change nothing.
MEMBERS, STATUS, ALARMS = "cluster/member/list", "maintenance/status", "maintenance/alarm"
SNAPSHOT = "maintenance/snapshot"
READS = frozenset({MEMBERS, STATUS, ALARMS})
# Reads keys, which may be Secrets: never by a command on a machine, whose output is kept elsewhere.
RANGE = "kv/range"
PUT = "kv/put"
# Hands leadership over: neither data nor members change.
TRANSFER = "maintenance/transfer-leadership"


@dataclass(frozen=True, kw_only=True)
class Member:
    """One entry of the member list. `name` is empty until the member has started; ids are decimal text."""

    id: str
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool


@dataclass(frozen=True, kw_only=True)
class Status:
    """What one endpoint says of itself. `leader` is "0" while it knows none; `version` is its binary's, ``3.6.16``."""

    id: str
    version: str
    leader: str
    learner: bool
    term: int
    raft_index: int
    errors: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Read:
    """One key at one time: the store's revision, the key's own last one (None where there is none), its value's digest.

    The value itself may be a Secret, and stays here.
    """

    revision: int
    modified: int | None
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A snapshot that was read back: bytes without the trailing hash, and that SHA-256."""

    size: int
    sha256: str


class Transport(Protocol):
    """One way to an endpoint's gateway; `path` is what follows ``/v3/``.

    Every method raises `Retryable` with etcd's own message, or when nobody answers.
    """

    def post(self, endpoint: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one call; `Permanent` for a call that this way doesn't take."""
        ...

    def stream(self, endpoint: str, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The parts of a streamed answer."""
        ...

    def metrics(self, endpoint: str, name: str) -> list[str]:
        """The endpoint's Prometheus samples whose name starts with `name`, one a line."""
        ...

    def close(self) -> None:
        """Let go of whatever is held open."""
        ...


class Direct:
    """To the members' client ports from here. `trust` None speaks plain HTTP; `source_address` binds connections."""

    def __init__(
        self,
        trust: ssl.SSLContext | None,
        *,
        timeout: httpx2.Timeout = TIMEOUT,
        source_address: str | None = None,
    ) -> None:
        transport = httpx2.HTTPTransport(verify=True if trust is None else trust, local_address=source_address)
        self._http = httpx2.Client(transport=transport, timeout=timeout)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def post(self, endpoint: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """As `Transport.post`."""
        return self._answer(endpoint, path, body).json()

    def metrics(self, endpoint: str, name: str) -> list[str]:
        """As `Transport.metrics`."""
        answer = self._send(endpoint, lambda: self._http.get(f"{endpoint}/metrics"))
        return [line for line in answer.text.splitlines() if line.startswith(name)]

    def stream(self, endpoint: str, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """As `Transport.stream`."""
        try:
            with self._http.stream("POST", f"{endpoint}/v3/{path}", json=dict(body)) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise Retryable(f"etcd at {endpoint} says: {message_of(answer)}")
                for line in answer.iter_lines():
                    if not line:
                        continue
                    part: dict[str, Any] = json.loads(line)
                    if "error" in part:
                        raise Retryable(f"etcd at {endpoint} broke off: {part['error']}")
                    yield part["result"]
        except httpx2.HTTPError as error:
            raise Retryable(f"etcd at {endpoint} broke off: {error!r}") from error

    def _answer(self, endpoint: str, path: str, body: Mapping[str, Any]) -> httpx2.Response:
        return self._send(endpoint, lambda: self._http.post(f"{endpoint}/v3/{path}", json=dict(body)))

    def _send(self, endpoint: str, request: Callable[[], httpx2.Response]) -> httpx2.Response:
        try:
            answer = request()
        except httpx2.HTTPError as error:
            raise Retryable(f"etcd at {endpoint} doesn't answer: {error!r}") from error
        if answer.status_code != 200:
            raise Retryable(f"etcd at {endpoint} says: {message_of(answer)}")
        return answer


class Etcd:
    """A cluster seen through `endpoints` (``https://address:2379``), tried in order until one answers.

    Used as a context manager it closes its transport at the end. `alive` is asked before every single request that
    changes something, also where the same change is tried at one endpoint after the other.
    """

    def __init__(
        self, endpoints: Iterable[str], transport: Transport, *, alive: Callable[[], None] = lambda: None
    ) -> None:
        self.endpoints = list(dict.fromkeys(endpoints))
        self._transport = transport
        self._alive = alive

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()

    def call(self, endpoint: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """POST `body` to one endpoint. Raises `Retryable` with etcd's own message, or when nobody answers."""
        if path not in READS:
            self._alive()
        return self._transport.post(endpoint, path, body or {})

    def anywhere(self, ask: Callable[[str], T]) -> T:
        """The first endpoint's answer to `ask`; raises `Retryable` with the last reason when none answers."""
        reason: Retryable | None = None
        for endpoint in self.endpoints:
            try:
                return ask(endpoint)
            except Retryable as error:
                reason = error
        raise reason or Permanent("no etcd endpoint is known")

    def members(self) -> list[Member]:
        """The member list, linearizable: from a member that has a leader. Learns further endpoints from it."""
        answer = self.anywhere(lambda at: self.call(at, MEMBERS, {"linearizable": True}))
        members = [member_of(item) for item in answer.get("members", [])]
        # Started members are endpoints too: of a swap's two, one is gone at the end. What isn't in the list comes last,
        # since a list of host names needn't be reachable from here.
        urls = [url for member in members if not member.learner for url in member.client_urls]
        known = [endpoint for endpoint in self.endpoints if endpoint in urls]
        self.endpoints = list(dict.fromkeys([*known, *urls, *self.endpoints]))
        return members

    def status(self, endpoint: str) -> Status:
        """One endpoint's view of itself. Raises `Retryable` when it doesn't answer."""
        return status_of(self.call(endpoint, STATUS))

    def metrics(self, endpoint: str, name: str) -> list[str]:
        """One endpoint's Prometheus samples whose name starts with `name`; raises as `call`."""
        return self._transport.metrics(endpoint, name)

    def alarms(self) -> list[str]:
        """Names of all raised alarms (NOSPACE, CORRUPT)."""
        answer = self.anywhere(lambda at: self.call(at, ALARMS, {"action": "GET"}))
        return [item.get("alarm", "NONE") for item in answer.get("alarms", [])]

    def read(self, endpoint: str, key: bytes) -> Read:
        """One key as one endpoint has it, linearizable: it has applied all that was agreed on by then."""
        return read_of(self.call(endpoint, RANGE, {"key": in_base64(key)}))

    def first_key(self, endpoint: str) -> bytes | None:
        """The first of all keys; None where there is none."""
        every = in_base64(b"\0")
        answer = self.call(endpoint, RANGE, {"key": every, "range_end": every, "limit": "1", "keys_only": True})
        return next((base64.b64decode(found["key"]) for found in answer.get("kvs", [])), None)

    def add_learner(self, peer_url: str) -> Member:
        """Add a member that doesn't vote yet."""
        body = {"peerURLs": [peer_url], "isLearner": True}
        return member_of(self.anywhere(lambda at: self.call(at, "cluster/member/add", body))["member"])

    def promote(self, member: str) -> None:
        """Give a learner its vote. Raises `Retryable` while it isn't in sync with the leader."""
        self.anywhere(lambda at: self.call(at, "cluster/member/promote", {"ID": member}))

    def remove(self, member: str, endpoint: str) -> None:
        """Remove a member through `endpoint`, which must be one that remains."""
        self.call(endpoint, "cluster/member/remove", {"ID": member})

    def update(self, member: str, peer_url: str, endpoint: str) -> None:
        """Write where a member's peers find it, through `endpoint`: another member's, since this one may be down."""
        self.call(endpoint, "cluster/member/update", {"ID": member, "peerURLs": [peer_url]})

    def transfer_leadership(self, leader_endpoint: str, member: str) -> None:
        """Ask the leader to hand over to `member`; only the leader itself takes this, and never for a learner."""
        self.call(leader_endpoint, TRANSFER, {"targetID": member})

    def snapshot(self, path: Path) -> Snapshot:
        """Stream a snapshot into `path` (0600), read it back, and compare the hash etcd put at its end."""
        self.anywhere(lambda at: self._save(at, path))
        content = path.stat().st_size - HASH_BYTES
        digest = hashlib.sha256()
        with path.open("rb") as source:
            remaining = content
            while remaining > 0:
                block = source.read(min(1 << 20, remaining))
                if not block:
                    break
                digest.update(block)
                remaining -= len(block)
            told = source.read(HASH_BYTES)
        if content <= 0 or digest.digest() != told:
            raise Retryable(f"the snapshot in {path} is torn: its hash isn't the one etcd sent with it")
        return Snapshot(size=content, sha256=digest.hexdigest())

    def _save(self, endpoint: str, path: Path) -> None:
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        with path.open("wb") as sink:
            for part in self._transport.stream(endpoint, SNAPSHOT, {}):
                sink.write(base64.b64decode(part.get("blob", "")))


def message_of(answer: httpx2.Response) -> str:
    """etcd's own words in an answer that is no success."""
    try:
        return str(answer.json().get("message", answer.text))
    except ValueError:
        return f"HTTP {answer.status_code}"


def member_of(item: Mapping[str, Any]) -> Member:
    """One entry of a member list, as the gateway writes it."""
    return Member(
        id=item["ID"],
        name=item.get("name", ""),
        peer_urls=tuple(item.get("peerURLs", [])),
        client_urls=tuple(url.rstrip("/") for url in item.get("clientURLs", [])),
        learner=bool(item.get("isLearner", False)),
    )


def status_of(answer: Mapping[str, Any]) -> Status:
    """An answer to `maintenance/status`; what is zero the gateway leaves out."""
    return Status(
        id=answer["header"]["member_id"],
        version=answer.get("version", ""),
        leader=answer.get("leader", "0"),
        learner=bool(answer.get("isLearner", False)),
        term=int(answer.get("raftTerm", 0)),
        raft_index=int(answer.get("raftIndex", 0)),
        errors=tuple(answer.get("errors", [])),
    )


def read_of(answer: Mapping[str, Any]) -> Read:
    """An answer to `RANGE` of a single key."""
    revision = int(answer["header"]["revision"])
    for found in answer.get("kvs", []):
        value = base64.b64decode(found.get("value", ""))
        return Read(revision=revision, modified=int(found["mod_revision"]), sha256=hashlib.sha256(value).hexdigest())
    return Read(revision=revision, modified=None, sha256="")


def in_base64(content: bytes) -> str:
    """Keys and values as the gateway takes them."""
    return base64.b64encode(content).decode()


def client_trust(aws_ssm: Any, prefix: str) -> ssl.SSLContext:
    """The operator's client certificate, read from SSM (`prefix`/ca.crt, client.crt, client.key) when needed.

    OpenSSL loads keys from files only: they lie in a folder of their own (0700) just until loaded. Raises
    `Permanent` naming the parameter that is missing.
    """
    values: dict[str, str] = {}
    for name in ("ca.crt", "client.crt", "client.key"):
        try:
            found = aws_ssm.get_parameter(Name=f"{prefix}/{name}", WithDecryption=True)["Parameter"].get("Value", "")
        except aws_ssm.exceptions.ParameterNotFound:
            raise Permanent(
                f"migration:etcd.certificates is {prefix!r}, but the SSM parameter {prefix}/{name} doesn't exist: "
                f"put the operator's etcd client certificate there"
            ) from None
        values[name] = found
    with tempfile.TemporaryDirectory(prefix="etcd-client-") as folder:
        paths = {name: Path(folder, name) for name in values}
        for name, path in paths.items():
            path.touch(mode=0o600)
            path.write_text(values[name])
        try:
            trust = ssl.create_default_context(cafile=str(paths["ca.crt"]))
            trust.load_cert_chain(str(paths["client.crt"]), str(paths["client.key"]))
        except ssl.SSLError as error:
            raise Permanent(f"the operator's etcd certificate under {prefix} can't be used: {error}") from error
    return trust

"""What to watch: one JSON or YAML file, validated whole.

The file is read again when it changes (see `LiveConfig`): `places`, `etcd` and `cpu_groups` may change
while the proof runs, because the new VPC and its members do not exist when it starts. Everything else is
fixed for a run.
"""

from __future__ import annotations

import ipaddress
import json
import os
import tempfile
from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

Kind = str
"""What a probe asks: one of `KINDS`, or a listener beside them (`listener_kind`)."""
KINDS: tuple[Kind, ...] = ("ingress_fresh", "ingress_kept", "api_fresh", "api_kept")
Livez = Literal["api_livez"]
LIVEZ: Livez = "api_livez"
"""Counted apart and never judged: a stopping API server denies being alive while it still serves out its requests."""


MIN_RATE_HZ = 1.0
"""Fewer probes a second show nothing of a cluster that is moved: an outage of seconds would fall between two."""


MAX_GAP_S = 5.0


_LISTENER = "listener-"


def listener_kind(name: str) -> Kind:
    """The kind of the probes of one more listener: each on a new connection, or by a datagram."""
    return f"{_LISTENER}{name}_fresh"


def listener_of(kind: Kind) -> str | None:
    """The listener's name of such a kind; None for one of `KINDS`."""
    return kind.removeprefix(_LISTENER).removesuffix("_fresh") if kind.startswith(_LISTENER) else None


class ConfigError(Exception):
    """The configuration can't be used; the message names every key, its value and the remedy."""


class Model(BaseModel):
    """Frozen, and refuses keys it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Place(Model):
    """Where probes come from. `active: false` is a place that is not there yet: nothing is due from it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    source_address: str | None = None
    """Address that DNS queries and connections are bound to; null leaves the choice to the system."""
    resolver: str | None = None
    """`address:port` of the DNS server this place asks; null takes the first one of /etc/resolv.conf."""
    active: bool = True

    @field_validator("source_address")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            ipaddress.IPv4Address(value)
        return value

    @field_validator("resolver")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        if value is not None:
            endpoint(value)
        return value


class Target(Model):
    """A URL to ask for. Only HTTP/1.1 without redirects: the status must be exactly `expect`."""

    url: str
    expect: int = 200
    ca: str | None = None
    """File of the certificate authority; null for https takes the kubeconfig's (API) or the system's
    (ingress).
    """
    client_cert: str | None = None
    client_key: str | None = None

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must look like http://name:port/path or https://name:port/path")
        return value


class Ingress(Target):
    """The probed application."""

    answers: str | None = Field(default=None, min_length=1)
    """A text that each of its answers' bodies holds, and no other's; null doesn't look who answers."""


class Listener(Target):
    """One more listener that clients use, asked from each place: http, https, or DNS by UDP, which is asked for a TXT
    record of its own name."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    answers: str = Field(min_length=1)
    """A text that each of its answers holds, and no other's."""

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https", "dns") or not parts.hostname:
            raise ValueError("must look like http://name:port/path, https://name:port/path or dns://name:port")
        if parts.scheme == "dns" and parts.path:
            raise ValueError("must have no path: a DNS server is asked for a TXT record of its own name")
        return value


class Api(Target):
    """The API server, by name, without a path: probes read the namespace kube-system as a client would."""

    cluster: str | None = Field(default=None, min_length=1)
    """UID of that namespace; null takes what the kubeconfig's cluster says as the run begins."""

    @field_validator("url")
    @classmethod
    def _no_path(cls, value: str) -> str:
        if urlsplit(value).path not in ("", "/"):
            raise ValueError("must have no path: probes read an object there, and count /livez apart")
        return value


class ProbeRate(Model):
    rate_hz: float = Field(default=10.0, ge=MIN_RATE_HZ, le=100)
    listener_rate_hz: float = Field(default=2.0, ge=MIN_RATE_HZ, le=100)
    """Of each of `listeners`."""
    timeout_s: float = Field(default=1.0, gt=0, le=60)
    """From the start of the request (name resolution, then connect) to the last byte of the answer."""
    api_timeout_s: float = Field(default=2.0, gt=0, le=60)
    """The same for reads of an object of the API. Kubernetes' own objective lets one in a hundred take longer than 1 s
    (SIG Scalability, API call latency: 99th percentile of reads of one object ≤ 1 s), so one such is no outage."""
    max_late_s: float = Field(default=0.25, gt=0, le=1)
    """The prober's own lateness from which on a request isn't sent, or isn't counted against the cluster when its time
    runs out: the machine that probes was too busy, and the run isn't believed."""

    def rate_of(self, kind: Kind) -> float:
        """Requests a second of a kind."""
        return self.rate_hz if listener_of(kind) is None else self.listener_rate_hz

    def timeout_of(self, kind: Kind | Livez) -> float:
        """How long a request of a kind may take, in seconds."""
        return self.api_timeout_s if kind.startswith("api_") else self.timeout_s


class WriterConfig(Model):
    namespace: str = "proof"
    rate_hz: float = Field(default=12.0, gt=0, le=200)
    """A little above `min_rate`, so that the average stays above it when single writes are retried."""
    min_rate: float = Field(default=10.0, ge=0)
    max_gap_s: float = Field(default=MAX_GAP_S, gt=0, le=60)
    """The longest time without an acknowledged write that isn't an outage: an election of etcd's leader takes a second
    or two, and a write that it refuses is repeated."""
    keep: bool = False
    """Leave the keys in the cluster after they were read back."""


class EtcdConfig(Model):
    endpoints: list[str] = Field(min_length=1)
    ca: str
    cert: str
    key: str
    source_address: str | None = None
    """On the lab: an address that the members' security groups admit."""
    rate_hz: float = Field(default=2.0, gt=0, le=20)
    timeout_s: float = Field(default=2.0, gt=0, le=30)


class ProcessGroup(Model):
    """Processes whose CPU is counted together: by pid files (globs) with their children, or by words of the
    command line.
    """

    pidfiles: list[str] = Field(default_factory=list[str])
    match: list[str] = Field(default_factory=list[str])


class Side(Model):
    """One of the two networks between which the cluster moves: what an answer, a member or a pod is counted to."""

    name: str = Field(min_length=1)
    cidr: str
    also: tuple[str, ...] = ()
    """Further addresses and networks that are this side's: balancers with public addresses, nodes' addresses where
    Kubernetes shows other ones."""

    @field_validator("cidr")
    @classmethod
    def _network(cls, value: str) -> str:
        ipaddress.IPv4Network(value)
        return value

    @field_validator("also")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            ipaddress.IPv4Network(one)
        return value

    @cached_property
    def networks(self) -> tuple[ipaddress.IPv4Network, ...]:
        """Everything that is this side's."""
        return tuple(ipaddress.IPv4Network(one) for one in (self.cidr, *self.also))


ELSEWHERE = "elsewhere"
"""The side of an address that belongs to none."""


def side_of(address: str, sides: Sequence[Side]) -> str:
    """The name of the side that `address` (with or without a port) belongs to, or `ELSEWHERE`."""
    try:
        ip = ipaddress.IPv4Address(address.partition(":")[0])
    except ValueError:
        return ELSEWHERE
    return next((side.name for side in sides if any(ip in network for network in side.networks)), ELSEWHERE)


class ProofConfig(Model):
    """Everything a run needs. Either URL may be missing: then its kinds are not probed (and the verdict
    says so).
    """

    places: list[Place]
    ingress: Ingress | None = None
    api: Api | None = None
    listeners: tuple[Listener, ...] = ()
    """More that must go on answering; a lost request of theirs is as bad."""
    kubeconfig: str | None = None
    probe: ProbeRate = ProbeRate()
    writer: WriterConfig | None = WriterConfig()
    """null: no writes. Needs `kubeconfig`."""
    budgets: bool = True
    owners: bool = True
    """Ready pods of every Deployment, StatefulSet, DaemonSet and ReplicaSet, before and after. Needs `kubeconfig`."""
    etcd: EtcdConfig | None = None
    cpu_groups: dict[str, ProcessGroup] = Field(default_factory=dict[str, ProcessGroup])
    sides: tuple[Side, ...] = ()
    """In the report, answers, members and pods are told by side. With sides, pods are counted (needs `kubeconfig`)."""

    @model_validator(mode="after")
    def _whole(self) -> ProofConfig:
        names = [place.name for place in self.places]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"places: {', '.join(twice)} is there twice; give every place its own name")
        called = [one.name for one in self.listeners]
        again = sorted({name for name in called if called.count(name) > 1})
        if again:
            raise ValueError(f"listeners: {', '.join(again)} is there twice; give every listener its own name")
        for one, other in combinations(self.sides, 2):
            if one.name == other.name or any(a.overlaps(b) for a in one.networks for b in other.networks):
                raise ValueError(f"sides: {one.name} and {other.name} must have names and networks of their own")
        if any(side.name == ELSEWHERE for side in self.sides):
            raise ValueError(f"sides: {ELSEWHERE} is what belongs to no side; choose another name")
        if not (self.ingress or self.api or self.listeners or self.writer or self.budgets or self.owners or self.etcd):
            raise ValueError("nothing is to be watched; name ingress or api, or leave writer, budgets and owners in")
        if not self.places and (self.ingress or self.api or self.listeners):
            raise ValueError(
                "places: is empty, so ingress, api and listeners would be probed from nowhere; name one place"
            )
        return self


def endpoint(text: str) -> tuple[str, int]:
    """Split `address:port`; a missing port is 53. Raises ValueError when the address is no IPv4 address."""
    host, _, port = text.partition(":")
    ipaddress.IPv4Address(host)
    return host, int(port or 53)


def parse(data: object, source: str) -> ProofConfig:
    """Validate `data`; raises ConfigError with every error at once, naming key and value."""
    try:
        return ProofConfig.model_validate(data)
    except ValidationError as error:
        lines: list[str] = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"]) or "(whole file)"
            value = "" if item["type"] in ("missing", "value_error") and not item["loc"] else f" (is {item['input']!r})"
            lines.append(f"{key}: {item['msg'].removeprefix('Value error, ')}{value if item['loc'] else ''}")
        raise ConfigError(f"{source} can't be used:\n  " + "\n  ".join(lines)) from None


def load(path: Path) -> ProofConfig:
    """Read JSON or YAML (JSON is YAML). Raises ConfigError, a sentence, for anything wrong with the file."""
    return parse(_read(path), str(path))


def _read(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8")
        # The C-free YAML reader is slow and stalls a running prober; JSON covers what programs write.
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; write it, or name another file with --config") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} can't be read: {error}") from None


def change_place(path: Path, name: str, **changes: Any) -> None:
    """Add the place `name`, or change it, in the file at `path`. The write is atomic, so a running proof
    reads a whole file.

    Raises ConfigError when the result would not be valid.
    """
    data = _read(path)
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold a mapping with the key `places`")
    whole = cast(dict[str, Any], data)
    places: list[dict[str, Any]] = whole.setdefault("places", [])
    known = next((place for place in places if place.get("name") == name), None)
    if known is None:
        known = {"name": name}
        places.append(known)
    known.update(changes)
    parse(whole, str(path))
    write_atomically(path, json.dumps(whole, indent=2) if path.suffix == ".json" else yaml.safe_dump(whole))


def write_atomically(path: Path, text: str) -> None:
    """Replace the file as a whole; a reader sees the old text or the new one, never a part."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.chmod(name, 0o644)
    os.replace(name, path)


class LiveConfig:
    """The configuration file, read again when it changes.

    A file that has become invalid leaves the last good configuration in force and is told once through
    `problem`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = self._stamp()
        self.current = load(path)
        self.problem: str | None = None

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def changed(self) -> bool:
        """Look once; true when a new valid configuration is now in `current`."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            self.current = load(self.path)
        except ConfigError as error:
            self.problem = str(error)
            return False
        self.problem = None
        return True

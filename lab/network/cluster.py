"""What kube-proxy knows of a cluster: nodes, Services, endpoints, pods; and its rules for choosing endpoints. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.addresses import unalias
from lab.kubernetes.follow import Name, name_of
from lab.network.state import TCP, UDP

_GONE_REMEMBERED = 4_096


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    ip: str
    ready: bool


@dataclass(frozen=True, slots=True)
class ServicePort:
    name: str
    port: int
    node_port: int | None
    transport: str = TCP


@dataclass(frozen=True, slots=True)
class Service:
    name: Name
    cluster_ip: str
    local: bool
    """`externalTrafficPolicy: Local`."""
    ports: tuple[ServicePort, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    address: str
    port: int
    node: str
    pod: Name | None
    uid: str
    ready: bool
    serving: bool
    terminating: bool


@dataclass(frozen=True, slots=True)
class Slice:
    service: Name
    endpoints: Mapping[str, tuple[Endpoint, ...]]
    """By port name."""


@dataclass(frozen=True, slots=True)
class Pod:
    name: Name
    uid: str
    terminating: bool
    serves: str
    """http, webhook or none: the annotation `lab/serves`."""
    tls_secret: Name | None
    proxy_protocol: bool = False
    """Whether its connections begin with the header of proxy protocol v2: the annotation `lab/proxy-protocol`."""


@dataclass
class Cluster:
    """The last known state, kept while the API is away, as kube-proxy keeps its rules."""

    nodes: dict[Name, Node] = field(default_factory=dict)
    services: dict[Name, Service] = field(default_factory=dict)
    slices: dict[Name, Slice] = field(default_factory=dict)
    pods: dict[Name, Pod] = field(default_factory=dict)
    gone: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """UIDs of pods that were deleted lately: an endpoint may still name them for a moment."""

    def forget_pod(self, uid: str) -> None:
        self.gone[uid] = None
        while len(self.gone) > _GONE_REMEMBERED:
            self.gone.popitem(last=False)

    def node(self, name: str) -> Node | None:
        return self.nodes.get(("", name))

    def endpoints(self, service: Name, port: str) -> Iterator[Endpoint]:
        for piece in self.slices.values():
            if piece.service == service:
                yield from piece.endpoints.get(port, ())

    def service_at(self, host: str) -> Service | None:
        """A Service by ClusterIP or by `name.namespace.svc[.…]`."""
        parts = host.split(".")
        if len(parts) >= 3 and parts[2] == "svc":
            return self.services.get((parts[1], parts[0]))
        return next((s for s in self.services.values() if s.cluster_ip == host), None)

    def endpoint_at(self, address: str, port: int) -> Endpoint | None:
        """A pod by its own address. Its port need not be one a Service names."""
        for piece in self.slices.values():
            for endpoints in piece.endpoints.values():
                for endpoint in endpoints:
                    if endpoint.address == address:
                        return Endpoint(
                            address, port, endpoint.node, endpoint.pod, endpoint.uid,
                            endpoint.ready, endpoint.serving, endpoint.terminating,
                        )  # fmt: skip
        return None


def usable(endpoints: Iterable[Endpoint], node: str | None = None) -> tuple[Endpoint, ...]:
    """kube-proxy's choice, on one node (`Local`) or anywhere: the ready ones; terminating ones that still serve only
    if no ready one is left (KEP-1669)."""
    mine = [e for e in endpoints if node is None or e.node == node]
    ready = tuple(e for e in mine if e.ready)
    return ready or tuple(e for e in mine if e.serving and e.terminating)


# --- objects of the API, read


def read_node(raw: Mapping[str, Any]) -> Node | None:
    status = raw.get("status") or {}
    ip = next((a["address"] for a in status.get("addresses") or () if a["type"] == "InternalIP"), None)
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    return Node(raw["metadata"]["name"], unalias(ip), ready) if ip else None


def read_service(raw: Mapping[str, Any]) -> Service | None:
    spec = raw["spec"]
    ports = tuple(
        ServicePort(p.get("name") or "", p["port"], p.get("nodePort"), transport)
        for p in spec.get("ports") or ()
        if (transport := p.get("protocol", "TCP").lower()) in (TCP, UDP)
    )
    local = spec.get("externalTrafficPolicy") == "Local"
    return Service(name_of(raw), spec.get("clusterIP") or "", local, ports)


def read_slice(raw: Mapping[str, Any]) -> Slice | None:
    namespace, _ = name_of(raw)
    service = (raw["metadata"].get("labels") or {}).get("kubernetes.io/service-name")
    if not service:
        return None
    ports = {p.get("name") or "": p["port"] for p in raw.get("ports") or () if p.get("port")}
    return Slice(
        (namespace, service),
        {
            name: tuple(e for item in raw.get("endpoints") or () if (e := _endpoint(namespace, item, port)))
            for name, port in ports.items()
        },
    )


def _endpoint(namespace: str, raw: Mapping[str, Any], port: int) -> Endpoint | None:
    addresses = raw.get("addresses") or ()
    if not addresses:
        return None
    conditions = raw.get("conditions") or {}
    # Unknown is to be read as ready, serving defaults to ready, terminating to false (discovery.k8s.io/v1).
    ready = conditions.get("ready") is not False
    serving = conditions.get("serving")
    reference = raw.get("targetRef") or {}
    pod = (reference.get("namespace") or namespace, reference["name"]) if reference.get("kind") == "Pod" else None
    return Endpoint(
        addresses[0], port, raw.get("nodeName") or "", pod, reference.get("uid") or "",
        ready, ready if serving is None else serving, bool(conditions.get("terminating")),
    )  # fmt: skip


def read_pod(raw: Mapping[str, Any]) -> Pod | None:
    meta = raw["metadata"]
    annotations = meta.get("annotations") or {}
    secret = annotations.get("lab/tls-secret") or ""
    namespace, _, name = secret.partition("/")
    return Pod(
        name_of(raw),
        meta["uid"],
        meta.get("deletionTimestamp") is not None,
        annotations.get("lab/serves") or "http",
        (namespace, name) if name else None,
        annotations.get("lab/proxy-protocol") == "v2",
    )

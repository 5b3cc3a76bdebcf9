"""The Kubernetes API: lightkube's configuration and transport, plain dictionaries, bounded retries.

Objects stay dictionaries because the planners read a dozen fields of each and a cluster holds thousands: models
of whole pods cost more than the calls. lightkube reads the kubeconfig (certificates, tokens, exec plugins).

The API moves while this program runs: connections are cut, balancers change. Every call except a watch is
repeated on a transport error or a passing server error until `patience` is over, then raises `Unreachable`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import httpx2
import msgspec
from lightkube.config.client_adapter import Client, ConnectionParams
from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError

from migration.clients.kubeconfig import KubeconfigError, authority_of, is_loopback, read_kubeconfig
from migration.runtime.deadline import Permanent, Retryable

T = TypeVar("T")

# Objects a list answers at once; what kubectl uses.
CHUNK = 500
FIELD_MANAGER = "vpc-migration"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
# Answers of an API server that lost its etcd leader, is starting or shedding load.
PASSING = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Kind:
    """A resource: group and version as in its URL (``api/v1``, ``apis/apps/v1``) and its plural."""

    prefix: str
    plural: str
    namespaced: bool = True


PODS = Kind("api/v1", "pods")
SERVICES = Kind("api/v1", "services")
CONFIG_MAPS = Kind("api/v1", "configmaps")
CLAIMS = Kind("api/v1", "persistentvolumeclaims")
NAMESPACES = Kind("api/v1", "namespaces", namespaced=False)
NODES = Kind("api/v1", "nodes", namespaced=False)
VOLUMES = Kind("api/v1", "persistentvolumes", namespaced=False)
ENDPOINT_SLICES = Kind("apis/discovery.k8s.io/v1", "endpointslices")
DEPLOYMENTS = Kind("apis/apps/v1", "deployments")
REPLICA_SETS = Kind("apis/apps/v1", "replicasets")
STATEFUL_SETS = Kind("apis/apps/v1", "statefulsets")
DAEMON_SETS = Kind("apis/apps/v1", "daemonsets")
BUDGETS = Kind("apis/policy/v1", "poddisruptionbudgets")
LEASES = Kind("apis/coordination.k8s.io/v1", "leases")
INGRESSES = Kind("apis/networking.k8s.io/v1", "ingresses")
VALIDATING_WEBHOOKS = Kind("apis/admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", namespaced=False)
MUTATING_WEBHOOKS = Kind("apis/admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", namespaced=False)
API_SERVICES = Kind("apis/apiregistration.k8s.io/v1", "apiservices", namespaced=False)
VOLUME_ATTACHMENTS = Kind("apis/storage.k8s.io/v1", "volumeattachments", namespaced=False)


class Unreachable(Retryable):
    """The API answered nothing usable for as long as the client is patient."""


class ApiFailure(Exception):
    """The API refused: its HTTP code, message, causes (reason → message) and Retry-After in seconds."""

    def __init__(self, code: int, body: Mapping[str, Any], what: str, retry_after: float | None = None) -> None:
        self.code = code
        self.message = str(body.get("message") or f"HTTP {code}")
        details: Mapping[str, Any] = body.get("details") or {}
        causes: list[Mapping[str, str]] = details.get("causes") or []
        self.causes = {cause.get("reason", ""): cause.get("message", "") for cause in causes}
        self.retry_after = retry_after
        super().__init__(f"{what}: {code} {self.message}")


class NotFound(ApiFailure):
    """404: there is no such object."""


class Conflict(ApiFailure):
    """409: the object changed meanwhile, exists already, or a precondition doesn't hold."""


class _PageMetadata(msgspec.Struct):
    resource_version: str = msgspec.field(default="", name="resourceVersion")
    continue_: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct, Generic[T]):
    metadata: _PageMetadata = msgspec.field(default_factory=_PageMetadata)
    items: list[T] | None = None


class _Event(msgspec.Struct, Generic[T]):
    type: str
    object: T


class Kubernetes:
    """One cluster's API. Safe to use from several threads. Times in seconds."""

    def __init__(
        self,
        *,
        kubeconfig: str | None = None,
        transport: httpx2.BaseTransport | None = None,
        patience: float = 30.0,
        timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        sleeper: Callable[[float], None] = time.sleep,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._transport = transport
        self._patience = patience
        self._timeout = timeout
        self._clock = clock
        self._sleep = sleeper

    def with_short_timeouts(self) -> Kubernetes:
        """The same cluster through connections of its own, with waits short enough to renew a lease in time."""
        return Kubernetes(
            kubeconfig=self._kubeconfig,
            transport=self._transport,
            patience=1.0,
            timeout=2.0,
            clock=self._clock,
            sleeper=self._sleep,
        )

    @cached_property
    def config(self) -> SingleConfig:
        """The kubeconfig's current context."""
        try:
            return read_kubeconfig(self._kubeconfig)
        except KubeconfigError as error:
            raise Permanent(f"{error}; set migration:kubeconfig") from error

    def authority(self) -> str | None:
        """PEM of what the kubeconfig trusts the API by; None where it names no certificate authority of its own."""
        try:
            return authority_of(self.config)
        except (ConfigError, OSError, ValueError) as error:
            raise Permanent(f"the kubeconfig's certificate authority can't be read: {error}") from error

    def at(self, server: str, *, token: str | None = None, patience: float = 3.0) -> Kubernetes:
        """One API server by its own URL, with these credentials, or as whoever a bearer `token` says."""
        other = Kubernetes(
            kubeconfig=self._kubeconfig,
            transport=self._transport,
            patience=patience,
            timeout=self._timeout,
            clock=self._clock,
            sleeper=self._sleep,
        )
        config = self.config._replace(cluster=msgspec.structs.replace(self.config.cluster, server=server))
        other.config = config if token is None else config._replace(user=User(token=token))
        return other

    @cached_property
    def _http(self) -> httpx2.Client:
        # As kubectl does, a server on loopback is reached without the environment's proxy.
        params = ConnectionParams(
            timeout=httpx2.Timeout(self._timeout),
            trust_env=not is_loopback(self.config.cluster.server),
            transport=self._transport,
        )
        try:
            return Client(self.config, params)
        except (ConfigError, OSError, ValueError) as error:
            raise Permanent(f"the kubeconfig's certificates can't be used: {error}") from error

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        repeat: frozenset[int] = PASSING,
        patience: float | None = None,
    ) -> Any:
        """One call; transport errors and codes in `repeat` are tried again within `patience`."""
        content = None if body is None else msgspec.json.encode(body)
        headers = {"Accept": accept, **({"Content-Type": content_type} if content is not None else {})}
        answer = self._send(method, path, headers, params=params, content=content, repeat=repeat, patience=patience)
        return msgspec.json.decode(answer) if answer else None

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        params: Mapping[str, Any] | None,
        content: bytes | None = None,
        repeat: frozenset[int] = PASSING,
        patience: float | None = None,
    ) -> bytes:
        """The same of bytes: what is sent, and what came."""
        query = {key: str(value) for key, value in (params or {}).items() if value is not None}
        end = self._clock() + (self._patience if patience is None else patience)
        pause = 0.1
        while True:
            try:
                response = self._http.request(method, path, params=query, content=content, headers=headers)
            except httpx2.TransportError as error:
                if self._clock() >= end:
                    server = self.config.cluster.server
                    raise Unreachable(f"the Kubernetes API at {server} doesn't answer ({error!r})") from error
            else:
                if response.is_success:
                    return response.content
                failure = failure_of(response, f"{method} {path}")
                passing = failure.code in repeat or (failure.code == 429 and not failure.causes and 429 in repeat)
                if not passing or self._clock() >= end:
                    raise failure
            self._sleep(pause)
            pause = min(2.0, pause * 2)

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any]:
        """One object; raises `NotFound`."""
        return self.request("GET", path_of(kind, namespace, name))

    def find(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """One object, or None where there is none."""
        try:
            return self.get(kind, name, namespace)
        except NotFound:
            return None

    def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
    ) -> list[dict[str, Any]]:
        """Every object as etcd holds it now (never from a cache); all namespaces when none is named."""
        return self.list_with_version(kind, namespace, labels=labels, fields=fields, metadata_only=metadata_only)[0]

    def list_with_version(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
    ) -> tuple[list[dict[str, Any]], str]:
        """As `list`, with the resource version from which a watch goes on."""
        items: list[dict[str, Any]] = []
        params: dict[str, Any] = {"limit": CHUNK, "labelSelector": labels, "fieldSelector": fields}
        accept = METADATA_ONLY if metadata_only else "application/json"
        while True:
            page = self.request("GET", path_of(kind, namespace), params=params, accept=accept)
            items += page.get("items") or []
            metadata: Mapping[str, Any] = page.get("metadata") or {}
            if not metadata.get("continue"):
                return items, str(metadata.get("resourceVersion") or "")
            params["continue"] = metadata["continue"]

    def pages(self, kind: Kind, item: type[T]) -> Iterator[tuple[list[T], str]]:
        """Every object as etcd holds it now, a page at a time and decoded into `item`; with each the list's version.

        All pages show the state of one version, from which a watch goes on. Raises `ApiFailure` (410) where reading
        took so long that the version is gone.
        """
        decoder = msgspec.json.Decoder(_Page[item])
        params: dict[str, Any] = {"limit": CHUNK}
        while True:
            answer = self._send("GET", path_of(kind, None), {"Accept": "application/json"}, params=params)
            page = decoder.decode(answer)
            yield page.items or [], page.metadata.resource_version
            if not page.metadata.continue_:
                return
            params["continue"] = page.metadata.continue_

    def create(self, kind: Kind, body: Mapping[str, Any], namespace: str | None = None) -> dict[str, Any]:
        """Create; raises `Conflict` when it exists."""
        path = path_of(kind, namespace or body["metadata"].get("namespace"))
        return self.request("POST", path, body=body, params={"fieldManager": FIELD_MANAGER})

    def replace(self, kind: Kind, body: Mapping[str, Any]) -> dict[str, Any]:
        """Put the whole object back; raises `Conflict` when its resourceVersion is not the current one."""
        metadata = body["metadata"]
        path = path_of(kind, metadata.get("namespace"), metadata["name"])
        return self.request("PUT", path, body=body, params={"fieldManager": FIELD_MANAGER})

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """A merge patch. With ``metadata.resourceVersion`` in `body` it raises `Conflict` on any change meanwhile."""
        return self.request(
            "PATCH",
            path_of(kind, namespace, name),
            body=body,
            content_type="application/merge-patch+json",
            params={"fieldManager": FIELD_MANAGER},
        )

    def delete(self, kind: Kind, name: str, namespace: str | None = None) -> None:
        """Delete; nothing to delete is no error."""
        try:
            self.request("DELETE", path_of(kind, namespace, name))
        except NotFound:
            return

    def evict(self, namespace: str, name: str, uid: str) -> None:
        """Ask for one eviction of exactly the pod `uid`; raises `ApiFailure` with what the API said.

        Transport errors are repeated, which is safe because of the precondition; answers are not, because each
        means something (`migration.drain.evict`).
        """
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        }
        self.request("POST", path_of(PODS, namespace, name) + "/eviction", body=body, repeat=frozenset())

    def events(self, kind: Kind, version: str, item: type[T], *, seconds: int = 25) -> Iterator[tuple[str, T]]:
        """Events (type, object decoded into `item`) after `version` for about `seconds`, bookmarks included, to an end.

        Raises `ApiFailure` (410: list again) or `Unreachable`; the caller goes on from the last version it saw.
        """
        decoder = msgspec.json.Decoder(_Event[item])
        for line in self._lines(kind, version, seconds):
            # An error's object is a Status, which nothing here may take for an item.
            if line.startswith(b'{"type":"ERROR"'):
                event_of(line)
            event = decoder.decode(line)
            yield event.type, event.object

    def _lines(self, kind: Kind, version: str, seconds: int) -> Iterator[bytes]:
        """What a watch says, an event a line."""
        params = watch_params(version, seconds)
        # Silence longer than the server's own end means that the connection leads nowhere any more.
        timeout = httpx2.Timeout(self._timeout, read=seconds + 5.0)
        try:
            with self._http.stream("GET", path_of(kind, None), params=params, timeout=timeout) as response:
                if not response.is_success:
                    response.read()
                    raise failure_of(response, f"watch {kind.plural}")
                rest = b""
                for some in response.iter_bytes():
                    *lines, rest = (rest + some).split(b"\n")
                    yield from filter(None, lines)
        except httpx2.TransportError as error:
            raise Unreachable(f"the watch of {kind.plural} ended ({error!r})") from error


def path_of(kind: Kind, namespace: str | None, name: str | None = None) -> str:
    """The path of one object, or of a list; all namespaces when none is named."""
    middle = f"/namespaces/{namespace}" if kind.namespaced and namespace else ""
    return f"/{kind.prefix}{middle}/{kind.plural}" + (f"/{name}" if name else "")


def failure_of(response: httpx2.Response, what: str) -> ApiFailure:
    """What an answer that is no success says; `response` must have been read."""
    try:
        body = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError:
        body = {"message": response.text[:200] or f"HTTP {response.status_code}"}
    header = response.headers.get("Retry-After", "")
    retry_after = float(header) if header.isdigit() else None
    kind = {404: NotFound, 409: Conflict}.get(response.status_code, ApiFailure)
    return kind(response.status_code, body, what, retry_after)


def watch_params(version: str, seconds: int, fields: str | None = None) -> dict[str, str]:
    """The query of a watch from `version` on, which the server ends after `seconds`."""
    return {
        "watch": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(seconds),
        "allowWatchBookmarks": "true",
        **({"fieldSelector": fields} if fields else {}),
    }


def event_of(line: bytes | str) -> tuple[str, dict[str, Any]]:
    """One line of a watch: what happened, and the object. Raises `ApiFailure` (410: list again)."""
    event = msgspec.json.decode(line)
    if event["type"] == "ERROR":
        raise ApiFailure(int(event["object"].get("code") or 500), event["object"], "watch")
    return event["type"], event["object"]

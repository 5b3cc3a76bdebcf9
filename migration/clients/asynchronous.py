"""The asynchronous faces of the same two protocols, for what must measure: the proof.

Paths, failures and the reading of answers are the synchronous clients' own. What differs is the loop around a
request: a client that acts (`Kubernetes`, `Etcd`) waits in its thread and repeats what may pass; one that measures
must not block an event loop and must try once, or what it measures is its own patience.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

import httpx2
import msgspec
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.config.kubeconfig import SingleConfig

from migration.clients.documents import mapping
from migration.clients.etcd import (
    MEMBERS,
    PUT,
    RANGE,
    STATUS,
    Member,
    Read,
    Status,
    in_base64,
    member_of,
    message_of,
    read_of,
    status_of,
)
from migration.clients.kubernetes import (
    CHUNK,
    ApiFailure,
    Kind,
    Unreachable,
    event_of,
    failure_of,
    path_of,
    watch_params,
)
from migration.runtime.deadline import Retryable

T = TypeVar("T")

# A watch is ended by the server after this many times the silence (bookmarks come about every minute).
_WATCH_SILENCES = 5

REFUSALS = (ApiFailure, Unreachable)
"""What every call of `AsyncKubernetes` raises: the API said no, or nothing."""


class AsyncKubernetes:
    """One cluster's API, each call tried once. Times in seconds. Calls raise `ApiFailure` or `Unreachable`."""

    def __init__(self, config: SingleConfig, *, timeout: float = 10.0) -> None:
        # Proxies of the environment are not used: they would be what is measured.
        self._http = AsyncClient(config, ConnectionParams(trust_env=False, timeout=httpx2.Timeout(timeout)))

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """One request; `timeout` bounds connecting and each wait for bytes."""
        try:
            answer = await self._http.request(
                method,
                path,
                params=params,
                content=None if body is None else msgspec.json.encode(body),
                headers={"Accept": "application/json"} | ({"Content-Type": "application/json"} if body else {}),
                timeout=httpx2.USE_CLIENT_DEFAULT if timeout is None else timeout,
            )
        except (httpx2.HTTPError, OSError) as error:
            raise Unreachable(f"{method} {path}: {type(error).__name__} {error}".strip()) from None
        if not answer.is_success:
            raise failure_of(answer, f"{method} {path}")
        try:
            return msgspec.json.decode(answer.content, type=dict[str, Any])
        except msgspec.DecodeError:
            raise Unreachable(f"{method} {path}: the answer is no JSON object") from None

    async def get(self, kind: Kind, name: str, namespace: str | None = None, *, timeout: float | None = None) -> Any:
        """One object; raises `NotFound`."""
        return await self.request("GET", path_of(kind, namespace, name), timeout=timeout)

    async def create(
        self, kind: Kind, body: Mapping[str, Any], namespace: str | None = None, *, timeout: float | None = None
    ) -> None:
        """Create; raises `Conflict` when it exists."""
        await self.request("POST", path_of(kind, namespace), body=body, timeout=timeout)

    async def delete_all(self, kind: Kind, namespace: str, *, labels: str, timeout: float | None = None) -> None:
        """Delete what the selector selects."""
        await self.request("DELETE", path_of(kind, namespace), params={"labelSelector": labels}, timeout=timeout)

    async def pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        chunk: int = CHUNK,
        timeout: float | None = None,
    ) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        """A list page by page, each with the version from which a watch goes on after the last.

        Raises `ApiFailure` 410 when the list took longer than its snapshot lives.
        """
        params = {"limit": str(chunk)} | ({"labelSelector": labels} if labels else {})
        while True:
            page = await self.request("GET", path_of(kind, namespace), params=params, timeout=timeout)
            metadata = mapping(page, "metadata")
            yield page.get("items") or [], str(metadata.get("resourceVersion") or "")
            if not metadata.get("continue"):
                return
            params["continue"] = metadata["continue"]

    async def watch(
        self, kind: Kind, version: str, *, silence: float = 60.0
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Events (type, object) after `version` until the server ends the watch, bookmarks included."""
        params = watch_params(version, int(silence * _WATCH_SILENCES))
        timeout = httpx2.Timeout(10.0, read=silence)
        try:
            async with self._http.stream("GET", path_of(kind, None), params=params, timeout=timeout) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise failure_of(answer, f"watch {kind.plural}")
                async for line in answer.aiter_lines():
                    if line.strip():
                        yield event_of(line)
        except (httpx2.HTTPError, OSError, msgspec.DecodeError) as error:
            raise Unreachable(f"watch {kind.plural}: {type(error).__name__} {error}".strip()) from None


class AsyncEtcd:
    """etcd's JSON gateway, one endpoint a question, each asked once. Raises `Retryable`.

    `timeout` in seconds; `connections` is how many may be open at once, None for as many as there are questions:
    whoever asks at fixed times must not wait for the answers before.
    """

    def __init__(
        self, trust: ssl.SSLContext, *, timeout: float, source_address: str | None = None, connections: int | None = 100
    ) -> None:
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=20)
        transport = httpx2.AsyncHTTPTransport(verify=trust, local_address=source_address, limits=limits)
        self._http = httpx2.AsyncClient(transport=transport, timeout=timeout)

    async def close(self) -> None:
        """Close all connections; whoever asks afterwards is told so."""
        await self._http.aclose()

    async def _ask(
        self, endpoint: str, path: str, read: Callable[[dict[str, Any]], T], body: Mapping[str, str] | None = None
    ) -> T:
        if self._http.is_closed:
            raise Retryable(f"etcd at {endpoint} isn't asked any more")
        try:
            answer = await self._http.post(f"{endpoint.rstrip('/')}/v3/{path}", json=dict(body or {}))
            if answer.status_code != 200:
                raise Retryable(f"etcd at {endpoint} says: {message_of(answer)}")
            return read(answer.json())
        except (httpx2.HTTPError, OSError, ValueError) as error:
            raise Retryable(f"etcd at {endpoint} doesn't answer: {type(error).__name__} {error}".strip()) from None
        except (KeyError, TypeError) as error:
            raise Retryable(f"what answers at {endpoint} isn't etcd: {error!r}") from None

    async def members(self, endpoint: str) -> list[Member]:
        """The member list as this endpoint knows it."""
        return await self._ask(
            endpoint, MEMBERS, lambda answer: [member_of(item) for item in answer.get("members", [])]
        )

    async def status(self, endpoint: str) -> Status:
        """This endpoint's view of itself."""
        return await self._ask(endpoint, STATUS, status_of)

    async def put(self, endpoint: str, key: bytes, value: bytes) -> int:
        """Write a key through this endpoint; the store's revision once a majority has it."""
        body = {"key": in_base64(key), "value": in_base64(value)}
        return await self._ask(endpoint, PUT, lambda answer: int(answer["header"]["revision"]), body)

    async def read(self, endpoint: str, key: bytes) -> Read:
        """One key through this endpoint, linearizable."""
        return await self._ask(endpoint, RANGE, read_of, {"key": in_base64(key)})

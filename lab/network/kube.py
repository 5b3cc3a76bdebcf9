"""List and watch against the cluster's API, for as long as the lab runs."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiohttp
import yaml

from lab.network.cluster import Name, name_of

log = logging.getLogger(__name__)

Object = Mapping[str, Any]
T = TypeVar("T")

METADATA_ONLY = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
"""Asks for objects without spec and status: a tenth of a pod. `{}` is "List" for a list."""

_WATCH_S = 45
_CHUNK = 250
_BACKOFF_S = (0.1, 2.0)


class ApiError(Exception):
    """The API answered with an error. `code` 410 means that the watch must begin with a new list."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class KubeApi:
    """A connection by kubeconfig, which may not exist yet: every call raises OSError until it does."""

    def __init__(self, kubeconfig: Path) -> None:
        self._path = kubeconfig
        self._session: aiohttp.ClientSession | None = None
        self._server = ""
        self._loaded: float | None = None

    async def get(self, path: str, *, accept: str | None = None, **query: str) -> Any:
        """Raises ApiError, aiohttp.ClientError, TimeoutError or OSError."""
        session = await self._ready()
        headers = {"Accept": accept} if accept else None
        timeout = aiohttp.ClientTimeout(total=20)
        async with session.get(self._server + path, params=query, headers=headers, timeout=timeout) as response:
            body = await response.read()
            if response.status != 200:
                raise ApiError(response.status, body[:200].decode(errors="replace"))
            return json.loads(body)

    async def watch(self, path: str, version: str, accept: str | None, seen: Callable[[str, Any], None]) -> None:
        """Calls `seen(type, object)` for each event until the server ends the watch."""
        session = await self._ready()
        query = {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_S),
        }
        headers = {"Accept": accept} if accept else None
        # A server that fell silent (its machine is gone) is noticed soon after the watch should have ended.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=_WATCH_S + 5)
        async with session.get(self._server + path, params=query, headers=headers, timeout=timeout) as response:
            if response.status != 200:
                raise ApiError(response.status, (await response.read())[:200].decode(errors="replace"))
            rest = b""
            async for data in response.content.iter_any():
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if line:
                        event = json.loads(line)
                        seen(event["type"], event["object"])

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _ready(self) -> aiohttp.ClientSession:
        stamp = self._path.stat().st_mtime
        if self._session is None or stamp != self._loaded:
            await self.close()
            self._server, context = load(yaml.safe_load(self._path.read_text()))
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0))
            self._loaded = stamp
        return self._session


def load(config: Mapping[str, Any]) -> tuple[str, ssl.SSLContext]:
    """Server and TLS context of a kubeconfig's current context. Raises ValueError where it isn't one."""
    try:
        contexts = {c["name"]: c["context"] for c in config["contexts"]}
        context = contexts[config["current-context"]]
        cluster = {c["name"]: c["cluster"] for c in config["clusters"]}[context["cluster"]]
        user = {u["name"]: u["user"] for u in config["users"]}[context["user"]]
        authority = _pem(cluster, "certificate-authority")
        tls = ssl.create_default_context(cadata=authority.decode()) if authority else ssl.create_default_context()
        certificate, key = _pem(user, "client-certificate"), _pem(user, "client-key")
        if certificate and key:
            load_chain(tls, certificate, key)
        return cluster["server"].rstrip("/"), tls
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a kubeconfig: {error!r} is missing") from error


def _pem(entry: Mapping[str, Any], key: str) -> bytes:
    if f"{key}-data" in entry:
        return base64.b64decode(entry[f"{key}-data"])
    return Path(entry[key]).read_bytes() if key in entry else b""


def load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """`load_cert_chain` from memory: Python takes files only, so one lives for a moment, readable by us alone."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.rstrip() + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)


class Mirror(Generic[T]):
    """Keeps a dictionary equal to what the API has. Survives API servers that come and go: it goes on from the last
    version it saw, and begins with a new list only where the server no longer has that one."""

    def __init__(
        self,
        api: KubeApi,
        path: str,
        read: Callable[[Object], T | None],
        into: dict[Name, T],
        changed: Callable[[Name, T | None, T | None], None],
        accept: str | None = None,
    ) -> None:
        self._api = api
        self.path = path
        self._read = read
        self._into = into
        self._changed = changed
        self._accept = accept
        self._version: str | None = None
        self.synced = False
        self.lists = 0
        self.failures = 0

    async def run(self) -> None:
        """Runs until cancelled."""
        backoff = _BACKOFF_S[0]
        while True:
            try:
                if self._version is None:
                    await self._list()
                accept = self._accept.format("") if self._accept else None
                await self._api.watch(self.path, self._version or "0", accept, self._seen)
                backoff = _BACKOFF_S[0]
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError) as error:
                if isinstance(error, ApiError) and error.code in (404, 410):
                    self._version = None
                if self.synced:
                    self.failures += 1
                    log.info("watch of %s: %s", self.path, error or type(error).__name__)
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, _BACKOFF_S[1])

    async def _list(self) -> None:
        items: dict[Name, T] = {}
        query = {"limit": str(_CHUNK)}
        accept = self._accept.format("List") if self._accept else None
        while True:
            page = await self._api.get(self.path, accept=accept, **query)
            for raw in page.get("items") or ():
                item = self._read(raw)
                if item is not None:
                    items[name_of(raw)] = item
            if not page["metadata"].get("continue"):
                break
            query["continue"] = page["metadata"]["continue"]
        for name in self._into.keys() - items.keys():
            self._set(name, None)
        for name, item in items.items():
            self._set(name, item)
        self._version = page["metadata"]["resourceVersion"]
        self.synced = True
        self.lists += 1

    def _seen(self, kind: str, raw: Any) -> None:
        if kind == "ERROR":
            raise ApiError(int(raw.get("code") or 0), str(raw.get("message")))
        if kind in ("ADDED", "MODIFIED", "DELETED"):
            self._set(name_of(raw), None if kind == "DELETED" else self._read(raw))
        self._version = raw["metadata"]["resourceVersion"]  # bookmarks too

    def _set(self, name: Name, item: T | None) -> None:
        before = self._into.get(name)
        if item == before:
            return
        if item is None:
            del self._into[name]
        else:
            self._into[name] = item
        self._changed(name, before, item)

"""The client that follows: calls, watches and mirrors on one event loop, for as long as the lab runs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiohttp

from lab.kubernetes.access import ApiError, access, read

log = logging.getLogger(__name__)

Name = tuple[str, str]
"""Namespace and name."""
Object = Mapping[str, Any]
T = TypeVar("T")

METADATA_ONLY = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
"""Asks for objects without spec and status: a tenth of a pod. `{}` is "List" for a list."""

_CALL_S = 20
_WATCH_S = 45
_CHUNK = 250
_BACKOFF_S = (0.1, 2.0)


class Api:
    """A connection by a kubeconfig that may not exist yet, or change. Every failure is an ApiError."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._session: aiohttp.ClientSession | None = None
        self._server = ""
        self._loaded: float | None = None

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content: str = "application/json",
        accept: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """What the API answers. Raises ApiError; `code` 410: the list is too old to go on."""
        session = await self._ready()
        try:
            async with session.request(
                method,
                self._server + path,
                params=query,
                data=None if body is None else json.dumps(body),
                headers={"Accept": accept, "Content-Type": content},
                timeout=aiohttp.ClientTimeout(total=_CALL_S),
            ) as answer:
                text = await answer.read()
                if answer.status >= 400:
                    raise ApiError(f"{answer.status}: {text[:300].decode(errors='replace')}", answer.status)
                return json.loads(text)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unanswered(error) from error

    async def watch(
        self, path: str, version: str, accept: str = "application/json"
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Kind and object of each event since `version`, bookmarks among them, until the server ends the watch.

        Raises ApiError.
        """
        session = await self._ready()
        query = {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_S),
        }
        # A server that fell silent (its machine is gone) is noticed soon after the watch should have ended.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=_WATCH_S + 5)
        try:
            async with session.get(
                self._server + path, params=query, headers={"Accept": accept}, timeout=timeout
            ) as answer:
                if answer.status != 200:
                    text = (await answer.read())[:300].decode(errors="replace")
                    raise ApiError(f"{answer.status}: {text}", answer.status)
                # Not StreamReader.readline: it refuses lines over its limit, and a Pod may well be longer.
                rest = b""
                async for data in answer.content.iter_any():
                    *lines, rest = (rest + data).split(b"\n")
                    for event in map(json.loads, filter(None, lines)):
                        if event["type"] == "ERROR":
                            raise ApiError(str(event["object"].get("message")), int(event["object"].get("code") or 0))
                        yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unanswered(error) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _ready(self) -> aiohttp.ClientSession:
        try:
            stamp = self.kubeconfig.stat().st_mtime
        except OSError as error:
            raise _unanswered(error) from error
        if self._session is None or stamp != self._loaded:
            await self.close()
            found = access(read(self.kubeconfig))
            self._server = found.server
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=found.tls, limit=0))
            self._loaded = stamp
        return self._session


def _unanswered(error: Exception) -> ApiError:
    return ApiError(str(error) or type(error).__name__)


def name_of(raw: Object) -> Name:
    meta = raw["metadata"]
    return meta.get("namespace") or "", meta["name"]


class Mirror(Generic[T]):
    """Keeps a dictionary equal to what the API has. Survives API servers that come and go: it goes on from the last
    version it saw, and begins with a new list only where the server no longer has that one."""

    def __init__(
        self,
        api: Api,
        path: str,
        read: Callable[[Object], T | None],
        into: dict[Name, T],
        changed: Callable[[Name, T | None, T | None], None],
        accept: str = "application/json",
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
                async for kind, raw in self._api.watch(self.path, self._version or "0", self._accept.format("")):
                    self._seen(kind, raw)
                backoff = _BACKOFF_S[0]
            except (ApiError, ValueError, KeyError) as error:
                if isinstance(error, ApiError) and error.code in (404, 410):
                    self._version = None
                if self.synced:
                    self.failures += 1
                    log.info("watch of %s: %s", self.path, error)
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, _BACKOFF_S[1])

    async def _list(self) -> None:
        items: dict[Name, T] = {}
        query = {"limit": str(_CHUNK)}
        while True:
            page = await self._api.call("GET", self.path, accept=self._accept.format("List"), query=query)
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

    def _seen(self, kind: str, raw: Object) -> None:
        if kind != "BOOKMARK":
            self._set(name_of(raw), None if kind == "DELETED" else self._read(raw))
        self._version = raw["metadata"]["resourceVersion"]

    def _set(self, name: Name, item: T | None) -> None:
        before = self._into.get(name)
        if item == before:
            return
        if item is None:
            del self._into[name]
        else:
            self._into[name] = item
        self._changed(name, before, item)

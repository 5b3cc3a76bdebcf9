"""A few calls to the Kubernetes API, asynchronous, for the stand-ins. Not the product's client."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from lab.machines.credentials import Credentials

TIMEOUT = aiohttp.ClientTimeout(total=10)


class KubeError(RuntimeError):
    """The API refused, or couldn't be reached (status 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Kube:
    """One API endpoint. Every failure is a KubeError, so that callers need one way of trying again."""

    def __init__(self, url: str, credentials: Credentials) -> None:
        self.url = url
        self._ssl = ssl.create_default_context(cafile=str(credentials.ca))
        self._ssl.load_cert_chain(credentials.certificate, credentials.key)
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._ssl, limit=20))
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            async with self.session.request(
                method,
                self.url + path,
                params=query or {},
                timeout=TIMEOUT,
                data=None if body is None else json.dumps(body),
                headers={"Content-Type": content},
            ) as answer:
                text = await answer.text()
                if answer.status >= 400:
                    raise KubeError(answer.status, text[:300])
                return json.loads(text)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KubeError(0, f"{type(error).__name__}: {error}") from error

    async def watch(self, path: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Lists (as ADDED), then watches, until the connection ends; the caller begins again."""
        listed = await self.call("GET", path)
        for item in listed.get("items") or []:
            yield "ADDED", item
        query = {"watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"], "timeoutSeconds": "240"}
        try:
            async with self.session.get(
                self.url + path, params=query, timeout=aiohttp.ClientTimeout(total=300, sock_connect=5)
            ) as answer:
                if answer.status >= 400:
                    raise KubeError(answer.status, await answer.text())
                async for line in _lines(answer.content):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KubeError(0, f"{type(error).__name__}: {error}") from error


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    # Not StreamReader.readline: it refuses lines over its limit, and a Pod may well be longer.
    rest = b""
    async for chunk in stream.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line

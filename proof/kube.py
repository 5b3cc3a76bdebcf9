"""The proof's own thin access to the Kubernetes API: plain JSON, so that nothing is retried or cached
behind its back.

The kubeconfig is read by lightkube (client certificates, tokens, exec plug-ins), which brings its HTTP
client `httpx2`.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError as KubeConfigError

from proof.config import ConfigError


class KubeError(Exception):
    """The API answered with an error, or not at all (`status` 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}" if status else message)
        self.status = status


def read_kubeconfig(path: str) -> SingleConfig:
    """The current context of a kubeconfig. Raises ConfigError, a sentence."""
    try:
        single = KubeConfig.from_file(Path(path)).get()
    except (KubeConfigError, OSError, ValueError, KeyError) as error:
        raise ConfigError(f"kubeconfig: {path} can't be used: {error}") from None
    if single is None:
        raise ConfigError(f"kubeconfig: {path} has no current context; choose one with kubectl config use-context")
    return single


def api_trust(single: SingleConfig) -> ssl.SSLContext:
    """A TLS context that trusts the kubeconfig's certificate authority and shows no client certificate."""
    cluster = single.cluster
    if cluster.certificate_auth:
        return ssl.create_default_context(cafile=str(single.abs_file(cluster.certificate_auth)))
    if cluster.certificate_auth_data:
        return ssl.create_default_context(cadata=base64.b64decode(cluster.certificate_auth_data).decode())
    return ssl.create_default_context()


def api_identity(single: SingleConfig) -> ssl.SSLContext | None:
    """As `api_trust`, showing the user's client certificate; None for a user without one. Raises OSError."""
    user = single.user
    if user is None or not (user.client_cert or user.client_cert_data):
        return None
    return client_adapter.verify_cluster(single.cluster, user, single.abs_file)


@dataclass(frozen=True, kw_only=True)
class Kube:
    """Requests to one API server address. Every call raises KubeError and never retries."""

    client: httpx2.AsyncClient

    async def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        params: dict[str, str] | None = None,
        timeout_s: float = 10.0,
    ) -> dict[str, Any]:
        """One request; returns the decoded answer. `timeout_s` bounds connecting and each wait for bytes."""
        try:
            answer = await self.client.request(method, path, json=body, params=params, timeout=timeout_s)
        except (httpx2.HTTPError, OSError) as error:
            raise KubeError(0, f"{method} {path}: {type(error).__name__} {error}".strip()) from None
        if answer.status_code >= 400:
            raise KubeError(answer.status_code, _message(answer.text))
        try:
            return answer.json()
        except ValueError:
            raise KubeError(0, f"{method} {path}: the answer is no JSON") from None

    async def watch(
        self, path: str, resource_version: str, *, silence_s: float = 60.0
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Events after `resource_version` until the server ends the watch. Bookmarks are passed on.

        Raises KubeError; status 410 means that the version is too old and a list is due.
        """
        params = {
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(silence_s * 5)),
        }
        limits = httpx2.Timeout(10.0, read=silence_s)
        try:
            async with self.client.stream("GET", path, params=params, timeout=limits) as answer:
                if answer.status_code >= 400:
                    raise KubeError(answer.status_code, _message((await answer.aread()).decode("utf-8", "replace")))
                async for line in answer.aiter_lines():
                    if not line.strip():
                        continue
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise KubeError(int(event["object"].get("code", 500)), str(event["object"].get("message")))
                    yield event["type"], event["object"]
        except (httpx2.HTTPError, OSError, ValueError) as error:
            raise KubeError(0, f"watch {path}: {type(error).__name__} {error}".strip()) from None

    async def pages(self, path: str, *, selector: str, limit: int = 500) -> AsyncIterator[dict[str, Any]]:
        """All items of a list, page by page. Raises KubeError (410 when the list took longer than its
        snapshot lives).
        """
        token = ""
        while True:
            params = {"labelSelector": selector, "limit": str(limit)} | ({"continue": token} if token else {})
            page = await self.call("GET", path, params=params, timeout_s=30.0)
            for item in page.get("items", []):
                yield item
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return

    async def close(self) -> None:
        await self.client.aclose()


def connect(single: SingleConfig) -> Kube:
    """A client for the kubeconfig's server; proxies of the environment are not used (they would be what is
    measured).
    """
    parameters = client_adapter.ConnectionParams(trust_env=False)
    return Kube(client=client_adapter.AsyncClient(single, parameters))


def _message(text: str) -> str:
    try:
        return str(json.loads(text).get("message", text))[:300]
    except (ValueError, AttributeError):
        return text[:300]

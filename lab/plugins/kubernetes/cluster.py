"""The Kubernetes API over httpx: discovery, get, apply, delete, and what its errors mean."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from lab.plugins.errors import PluginError
from lab.plugins.kubernetes.kubeconfig import Access

# Asked again on these: the API's members change one by one, and the next connection reaches another.
_PASSING = (429, 500, 502, 503, 504)
_PATIENCE_S = 30.0


class Unreachable(PluginError):
    """No answer from the API within the patience."""


class Conflict(PluginError):
    """A field belongs to another manager."""


@dataclass(frozen=True)
class Where:
    """One object's address."""

    api_version: str
    kind: str
    name: str
    namespace: str | None

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Cluster:
    """A client of one cluster. Thread-safe."""

    def __init__(
        self,
        access: Access,
        *,
        transport: httpx.BaseTransport | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.namespace = access.namespace
        self._server = access.server
        self._server_name = access.server_name
        headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        self._http = httpx.Client(
            base_url=access.server, verify=access.tls, headers=headers, timeout=30.0, transport=transport
        )
        self._now, self._sleep = now, sleep
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}

    def namespaced(self, api_version: str, kind: str) -> bool:
        """Whether objects of this kind live in namespaces. Raises PluginError for a kind the API doesn't have."""
        return self._kind(api_version, kind)[1]

    def _kind(self, api_version: str, kind: str) -> tuple[str, bool]:
        if kind not in self._kinds.get(api_version, {}):
            answer = self._ask("GET", _root(api_version))
            if answer.status_code == 404:
                raise PluginError(f"the API has no version '{api_version}'")
            self._raise_for(answer)
            self._kinds[api_version] = {
                r["kind"]: (r["name"], r["namespaced"]) for r in answer.json()["resources"] if "/" not in r["name"]
            }
        found = self._kinds[api_version].get(kind)
        if found is None:
            raise PluginError(f"the API has no kind '{kind}' in {api_version}")
        return found

    def _path(self, where: Where) -> str:
        plural, namespaced = self._kind(where.api_version, where.kind)
        inside = f"/namespaces/{where.namespace}" if namespaced else ""
        return f"{_root(where.api_version)}{inside}/{plural}/{where.name}"

    def get(self, where: Where) -> dict[str, Any] | None:
        """The live object, or None."""
        answer = self._ask("GET", self._path(where))
        if answer.status_code == 404:
            return None
        self._raise_for(answer)
        return answer.json()

    def apply(self, where: Where, body: Mapping[str, Any], *, manager: str, force: bool) -> dict[str, Any]:
        """Server-side apply. Raises Conflict, naming the manager that owns the field."""
        answer = self._ask(
            "PATCH",
            self._path(where),
            params={"fieldManager": manager, "force": "true" if force else "false"},
            content=json.dumps(body),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        if answer.status_code == 409:
            raise Conflict(_conflict(answer.json()))
        self._raise_for(answer)
        return answer.json()

    def release(self, where: Where, manager: str) -> None:
        """Gives up every field of `manager` and leaves the values standing, as the provider does for a patch."""
        for _ in range(5):
            live = self.get(where)
            if live is None:
                return
            entries = live["metadata"].get("managedFields") or []
            rest = [e for e in entries if e.get("manager") != manager]
            if len(rest) == len(entries):
                return
            patch = [
                {"op": "replace", "path": "/metadata/managedFields", "value": rest or [{}]},
                {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
            ]
            answer = self._ask(
                "PATCH",
                self._path(where),
                content=json.dumps(patch),
                headers={"Content-Type": "application/json-patch+json"},
            )
            if answer.status_code != 409:  # 409: somebody wrote in between; look again
                self._raise_for(answer)
                return
        raise PluginError(f"{where.kind} {where.id} keeps changing; its fields could not be released")

    def delete(self, where: Where, *, timeout_s: float) -> None:
        """Deletes and waits until the object is gone; gone already is fine."""
        answer = self._ask(
            "DELETE", self._path(where), content=json.dumps({"propagationPolicy": "Background"}),
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        if answer.status_code != 404:
            self._raise_for(answer)
        deadline = self._now() + timeout_s
        uid = (answer.json().get("metadata") or {}).get("uid") if answer.status_code < 300 else None
        while (live := self.get(where)) is not None and live["metadata"].get("uid") in (uid, None):
            if self._now() >= deadline:
                held = live["metadata"].get("finalizers") or []
                raise PluginError(f"{where.kind} {where.id} is not gone after {timeout_s:g} s; finalizers: {held}")
            self._sleep(0.2)

    def _ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        deadline, pause = self._now() + _PATIENCE_S, 0.2
        extensions = {"sni_hostname": self._server_name} if self._server_name else {}
        while True:
            try:
                answer = self._http.request(method, path, extensions=extensions, **arguments)
                if answer.status_code not in _PASSING:
                    return answer
                problem = f"{answer.status_code} {answer.text[:200]}"
            except httpx.TransportError as error:
                problem = str(error) or type(error).__name__
                if "CERTIFICATE_VERIFY_FAILED" in problem:  # asking again would get the same certificate
                    raise Unreachable(f"the Kubernetes API at {self._server}: {problem}") from error
            if self._now() >= deadline:
                raise Unreachable(f"the Kubernetes API at {self._server} does not answer: {problem}")
            self._sleep(pause)
            pause = min(pause * 2, 3.0)

    @staticmethod
    def _raise_for(answer: httpx.Response) -> None:
        if answer.status_code < 300:
            return
        try:
            status = answer.json()
            raise PluginError(f"{status.get('reason') or answer.status_code}: {status.get('message')}")
        except ValueError:
            raise PluginError(f"{answer.status_code}: {answer.text[:300]}") from None


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _conflict(status: Mapping[str, Any]) -> str:
    causes = (status.get("details") or {}).get("causes") or []
    fields = "; ".join(f"{c.get('field')}: {c.get('message')}" for c in causes)
    return (
        f"conflict: {fields or status.get('message')}. Let that manager give the field up, "
        'or set the annotation pulumi.com/patchForce to "true"'
    )

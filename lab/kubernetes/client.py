"""The client that blocks, with patience for API servers that come and go."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from lab.kubernetes.access import Access, ApiError

# Asked again on these: the API's members change one by one, and the next connection reaches another.
PASSING = frozenset({429, 500, 502, 503, 504})


class Unreachable(ApiError):
    """No answer from the API within the patience."""


class Conflict(ApiError):
    """A field belongs to another manager."""


@dataclass(frozen=True)
class Where:
    """One object's address."""

    api_version: str
    kind: str
    name: str
    namespace: str | None

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Where:
        """Where an object belongs by its own words."""
        metadata = item["metadata"]
        return cls(item["apiVersion"], item["kind"], metadata["name"], metadata.get("namespace"))

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Client:
    """One cluster's API. Thread-safe."""

    def __init__(
        self,
        access: Access,
        *,
        patience_s: float = 30.0,
        timeout_s: float = 30.0,
        passing: Collection[int] = PASSING,
        transport: httpx.BaseTransport | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._server = access.server
        # trust_env: a proxy variable must not catch a connection to loopback.
        self._http = httpx.Client(
            base_url=access.server, verify=access.tls, timeout=timeout_s, transport=transport, trust_env=False
        )
        self._patience_s, self._passing = patience_s, passing
        self._now, self._sleep = now, sleep
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}

    def namespaced(self, api_version: str, kind: str) -> bool:
        """Whether objects of this kind live in namespaces. Raises ApiError for a kind the API doesn't have."""
        return self._kind(api_version, kind)[1]

    def _kind(self, api_version: str, kind: str) -> tuple[str, bool]:
        if kind not in self._kinds.get(api_version, {}):
            answer = self._ask("GET", _root(api_version))
            if answer.status_code == 404:
                raise ApiError(f"the API has no version '{api_version}'", 404)
            self._kinds[api_version] = {
                r["kind"]: (r["name"], r["namespaced"])
                for r in _checked(answer).json()["resources"]
                if "/" not in r["name"]
            }
        found = self._kinds[api_version].get(kind)
        if found is None:
            raise ApiError(f"the API has no kind '{kind}' in {api_version}", 404)
        return found

    def _path(self, where: Where) -> str:
        plural, namespaced = self._kind(where.api_version, where.kind)
        inside = f"/namespaces/{where.namespace}" if namespaced else ""
        return f"{_root(where.api_version)}{inside}/{plural}/{where.name}"

    def get(self, where: Where) -> dict[str, Any] | None:
        """The live object, or None."""
        answer = self._ask("GET", self._path(where))
        return None if answer.status_code == 404 else _checked(answer).json()

    def list(self, path: str) -> list[dict[str, Any]]:
        """What a collection holds, by its path."""
        return _checked(self._ask("GET", path)).json()["items"]

    def text(self, path: str) -> str:
        """What a path that isn't an object's says (`/metrics`)."""
        return _checked(self._ask("GET", path)).text

    def apply(
        self, where: Where, body: Mapping[str, Any], *, manager: str, force: bool, part: str = ""
    ) -> dict[str, Any]:
        """Server-side apply, of the subresource `part` where one is named (`status`).

        Raises Conflict, naming the manager that owns the field.
        """
        answer = self._ask(
            "PATCH",
            f"{self._path(where)}/{part}" if part else self._path(where),
            params={"fieldManager": manager, "force": "true" if force else "false"},
            content=json.dumps(body),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        if answer.status_code == 409:
            raise Conflict(_conflict(answer.json()), 409)
        return _checked(answer).json()

    def delete(self, where: Where, *, timeout_s: float) -> None:
        """Deletes and waits until the object is gone; gone already is fine."""
        answer = self._ask(
            "DELETE", self._path(where), content=json.dumps({"propagationPolicy": "Background"}),
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        if answer.status_code == 404:
            return
        uid = (_checked(answer).json().get("metadata") or {}).get("uid")
        deadline = self._now() + timeout_s
        while (live := self.get(where)) is not None and live["metadata"].get("uid") in (uid, None):
            if self._now() >= deadline:
                held = live["metadata"].get("finalizers") or []
                raise ApiError(f"{where.kind} {where.id} is not gone after {timeout_s:g} s; finalizers: {held}")
            self._sleep(0.2)

    def _ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        deadline, pause = self._now() + self._patience_s, 0.2
        while True:
            try:
                answer = self._http.request(method, path, **arguments)
                if answer.status_code not in self._passing:
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


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.status_code < 300:
        return answer
    try:
        status = answer.json()
        raise ApiError(f"{status.get('reason') or answer.status_code}: {status.get('message')}", answer.status_code)
    except ValueError:
        raise ApiError(f"{answer.status_code}: {answer.text[:300]}", answer.status_code) from None


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _conflict(status: Mapping[str, Any]) -> str:
    causes = (status.get("details") or {}).get("causes") or []
    fields = "; ".join(f"{c.get('field')}: {c.get('message')}" for c in causes)
    return (
        f"conflict: {fields or status.get('message')}. Let that manager give the field up, "
        'or set the annotation pulumi.com/patchForce to "true"'
    )

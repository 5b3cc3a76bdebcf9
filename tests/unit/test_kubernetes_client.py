"""The thin client: what it sends, what it tries again and what it tells."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx2
import pytest

from migration.clients.kubernetes import (
    NODES,
    PODS,
    SERVICES,
    ApiFailure,
    Conflict,
    Kubernetes,
    NotFound,
    Unreachable,
)
from migration.runtime.deadline import Permanent
from tests.samples import KUBECONFIG
from tests.unit.drain.world import Clock

Answer = Callable[[httpx2.Request], httpx2.Response]


def client(
    *answers: Answer | httpx2.Response | Exception, clock: Clock | None = None
) -> tuple[Kubernetes, list[httpx2.Request]]:
    """A client whose requests get these answers in turn; the last one again and again."""
    seen: list[httpx2.Request] = []
    clock = clock or Clock()

    def handle(request: httpx2.Request) -> httpx2.Response:
        answer = answers[min(len(seen), len(answers) - 1)]
        seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx2.Response) else answer(request)

    transport = httpx2.MockTransport(handle)
    return Kubernetes(kubeconfig=KUBECONFIG, transport=transport, clock=clock, sleeper=clock.sleep), seen


def ok(body: object) -> httpx2.Response:
    return httpx2.Response(200, json=body)


def status(code: int, message: str = "", **more: object) -> httpx2.Response:
    return httpx2.Response(code, json={"kind": "Status", "message": message, **more})


def test_one_object_is_read_by_its_path_with_the_kubeconfigs_token() -> None:
    api, seen = client(ok({"kind": "Service"}))
    assert api.get(SERVICES, "ing", "ingress") == {"kind": "Service"}
    assert str(seen[0].url) == "http://127.0.0.1:8/api/v1/namespaces/ingress/services/ing"
    assert seen[0].headers["Authorization"] == "Bearer t"


def test_a_list_follows_its_pages() -> None:
    first = ok({"items": [{"n": 1}], "metadata": {"continue": "more", "resourceVersion": "7"}})
    api, seen = client(first, ok({"items": [{"n": 2}], "metadata": {"resourceVersion": "7"}}))
    assert api.list_with_version(NODES) == ([{"n": 1}, {"n": 2}], "7")
    assert [request.url.params.get("continue") for request in seen] == [None, "more"]


def test_missing_and_conflicting_objects_are_told_apart() -> None:
    api, _ = client(status(404, "no such pod"))
    with pytest.raises(NotFound, match="no such pod"):
        api.get(PODS, "a", "b")
    assert api.find(PODS, "a", "b") is None
    api, _ = client(status(409, "changed"))
    with pytest.raises(Conflict, match="changed"):
        api.patch(NODES, "a", {})


def test_an_eviction_names_the_very_pod_and_its_refusal_is_not_repeated() -> None:
    refusal = httpx2.Response(429, json={"message": "budget"}, headers={"Retry-After": "10"})
    api, seen = client(refusal)
    with pytest.raises(ApiFailure) as failure:
        api.evict("apps", "a-0", "uid-1")
    assert (failure.value.code, failure.value.retry_after, len(seen)) == (429, 10.0, 1)
    assert seen[0].url.path == "/api/v1/namespaces/apps/pods/a-0/eviction"
    body = json.loads(seen[0].content)
    assert body["apiVersion"] == "policy/v1"
    assert body["deleteOptions"] == {"preconditions": {"uid": "uid-1"}}


def test_a_cut_connection_and_a_passing_server_error_are_tried_again() -> None:
    api, seen = client(httpx2.ConnectError("refused"), status(503), status(429), ok({"x": 1}))
    assert api.get(NODES, "n") == {"x": 1}
    assert len(seen) == 4


def test_an_api_that_stays_away_is_told_after_a_bounded_while() -> None:
    clock = Clock()
    api, _ = client(httpx2.ConnectError("refused"), clock=clock)
    with pytest.raises(Unreachable, match=r"Kubernetes API at http://127\.0\.0\.1:8 doesn't answer"):
        api.get(NODES, "n")
    assert 30 <= clock.now < 35


def test_a_refusal_that_trying_again_does_not_change_is_told_at_once() -> None:
    api, seen = client(status(403, "nodes is forbidden"))
    with pytest.raises(ApiFailure, match="403 nodes is forbidden"):
        api.list(NODES)
    assert len(seen) == 1


def test_a_patch_is_a_merge_patch_with_our_field_manager() -> None:
    api, seen = client(ok({}))
    api.patch(SERVICES, "ing", {"spec": {"x": None}}, "ingress")
    assert seen[0].headers["Content-Type"] == "application/merge-patch+json"
    assert seen[0].url.params["fieldManager"] == "vpc-migration"
    assert json.loads(seen[0].content) == {"spec": {"x": None}}


def test_a_watch_yields_events_and_an_expired_version_is_an_error() -> None:
    lines = b'{"type":"ADDED","object":{"a":1}}\n{"type":"ERROR","object":{"code":410,"message":"too old"}}\n'
    api, seen = client(httpx2.Response(200, content=lines))
    events = api.events(PODS, "5", dict[str, int])
    assert next(events) == ("ADDED", {"a": 1})
    with pytest.raises(ApiFailure) as failure:
        next(events)
    assert failure.value.code == 410
    assert seen[0].url.params["resourceVersion"] == "5"


def test_an_unusable_kubeconfig_is_a_sentence() -> None:
    with pytest.raises(Permanent, match=r"kubeconfig '/nowhere' can't be used .* set migration:kubeconfig"):
        Kubernetes(kubeconfig="/nowhere").list(NODES)
    with pytest.raises(Permanent, match="can't be used"):
        Kubernetes(kubeconfig="{}").list(NODES)

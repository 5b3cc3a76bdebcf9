"""Objects as inputs and live: what differs, what replaces, what drifted; and the API's answers."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.kubernetes.access import Access, ApiError, access, read
from lab.kubernetes.client import Client, Conflict, Unreachable, Where
from lab.plugins.errors import PluginError
from lab.plugins.host import Request
from lab.plugins.kubernetes import rules
from lab.plugins.kubernetes.provider import KubernetesPlugin
from lab.plugins.wire import UNKNOWN

CONFIG_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "status", "namespace": "kube-system"},
    "data": {"stage": "1"},
}
SERVICE = Where("v1", "Service", "ingress", "web")

MAP, ROLE = "kubernetes:core/v1:ConfigMap", "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole"
# type, old inputs, new inputs, paths that update, paths that replace
CASES: list[tuple[str, dict[str, Any], dict[str, Any], set[str], set[str]]] = [
    (MAP, {"data": {"a": "1"}}, {"data": {"a": "2"}}, set(), {"data.a"}),
    (MAP, {"data": {"a": "1"}}, {"data": {"a": UNKNOWN}}, set(), {"data.a"}),
    (MAP, {"data": {"a": "1"}}, {}, set(), {"data"}),
    (MAP, {"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}, set(), {"metadata.name"}),
    (
        MAP,
        {"metadata": {"labels": {"a.b/c": "1"}}},
        {"metadata": {"labels": {}}},
        {'metadata.labels["a.b/c"]'},
        set(),
    ),
    (ROLE, {"rules": [{"verbs": ["get"]}]}, {"rules": [{"verbs": ["get", "list"]}]}, {"rules[0].verbs"}, set()),
    (ROLE, {"rules": [{"verbs": ["get"]}]}, {"rules": [{"verbs": ["list"]}]}, {"rules[0].verbs[0]"}, set()),
    (ROLE, {"rules": [{"a": 1}]}, {"rules": [{"a": 1, "b": 2}]}, {"rules[0].b"}, set()),
    (ROLE, {"rules": [1]}, {"rules": [1, 2]}, {"rules"}, set()),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0].rpartition(':')[2]}-{'-'.join(c[3] | c[4])}")
def test_a_change_updates_or_replaces_as_documented(
    case: tuple[str, dict[str, Any], dict[str, Any], set[str], set[str]],
) -> None:
    token, old, new, updates, replaces = case
    found = KubernetesPlugin().diff(Request(type=token, name="x", inputs=new, old_inputs=old)).changes
    assert {c.path for c in found if not c.replace} == updates
    assert {c.path for c in found if c.replace} == replaces


def test_equal_objects_have_no_difference() -> None:
    same = json.loads(json.dumps(CONFIG_MAP))
    assert KubernetesPlugin().diff(Request(type=MAP, name="x", inputs=same, old_inputs=CONFIG_MAP)).changes == []


def test_a_config_map_may_be_allowed_to_change_in_place() -> None:
    plugin = KubernetesPlugin()
    plugin.configure({"enableConfigMapMutable": True})
    changed = {**CONFIG_MAP, "data": {"stage": "2"}}
    changes = plugin.diff(Request(type=MAP, name="x", inputs=changed, old_inputs=CONFIG_MAP)).changes
    assert [(c.path, c.replace) for c in changes] == [("data.stage", False)]


@pytest.mark.parametrize(
    ("inputs", "before", "now", "expected"),
    [
        ({"cpu": "0.5"}, {"cpu": "500m"}, {"cpu": "500m"}, {"cpu": "0.5"}),
        ({"cpu": "0.5"}, {"cpu": "500m"}, {"cpu": "1"}, {"cpu": "1"}),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1}, {"a": 1}),
        ({"secret": "x"}, {}, {}, {"secret": "x"}),
        ({"l": [{"p": 1}]}, {"l": [{"p": 1, "q": 2}]}, {"l": [{"p": 3, "q": 2}]}, {"l": [{"p": 3}]}),
        ({"l": [1]}, {"l": [1]}, {"l": [1, 2]}, {"l": [1, 2]}),
    ],
)
def test_only_what_changed_in_the_cluster_is_drift(inputs: Any, before: Any, now: Any, expected: Any) -> None:
    assert rules.drifted(inputs, before, now) == expected


class Api:
    """An API server's answers, by method and path."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.objects: dict[str, dict[str, Any]] = {}
        self.answer: Callable[[httpx.Request], httpx.Response | None] = lambda request: None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if special := self.answer(request):
            return special
        if request.url.path == "/api/v1":
            kinds = [("ConfigMap", "configmaps"), ("Service", "services")]
            resources = [{"kind": k, "name": n, "namespaced": True} for k, n in kinds]
            return httpx.Response(200, json={"resources": resources})
        path = request.url.path
        if request.method == "PATCH" and request.headers["content-type"] == "application/apply-patch+yaml":
            body = json.loads(request.content)
            self.objects[path] = {**body, "metadata": {**body["metadata"], "uid": "u", "resourceVersion": "1"}}
        elif request.method == "DELETE":
            self.objects.pop(path, None)
            return httpx.Response(200, json={"kind": "Status"})
        if path not in self.objects:
            return httpx.Response(404, json={"reason": "NotFound", "message": "not found"})
        return httpx.Response(200, json=self.objects[path])


class Time:
    t = 0.0

    def sleep(self, seconds: float) -> None:
        self.t += seconds


def cluster_on(api: Api) -> Client:
    where, time = Access("https://api", ssl.create_default_context()), Time()
    return Client(where, transport=httpx.MockTransport(api), now=lambda: time.t, sleep=time.sleep)


def request_for(inputs: dict[str, Any], kind: str = "ConfigMap", **more: Any) -> Request:
    return Request(type=f"kubernetes:core/v1:{kind}", name="x", inputs=inputs, **more)


def test_an_object_is_made_by_server_side_apply_with_a_manager_of_its_own() -> None:
    api = Api()
    plugin = KubernetesPlugin(cluster_on(api))
    made, outputs = plugin.create(request_for(CONFIG_MAP))
    assert made == "kube-system/status"
    patch = api.asked[-1]
    assert patch.url.path == "/api/v1/namespaces/kube-system/configmaps/status"
    assert patch.url.params["fieldManager"] == outputs["__fieldManager"]
    assert patch.url.params["force"] == "false"
    assert json.loads(patch.content) == CONFIG_MAP
    assert outputs["metadata"] == {"name": "status", "namespace": "kube-system", "uid": "u"}


def test_an_object_that_is_there_already_is_refused() -> None:
    plugin = KubernetesPlugin(cluster_on(Api()))
    plugin.create(request_for(CONFIG_MAP))
    with pytest.raises(PluginError, match="ConfigMap kube-system/status already exists; import it"):
        plugin.create(request_for(CONFIG_MAP))


def test_a_conflict_names_the_manager_and_the_field() -> None:
    api = Api()
    cause = {"field": ".spec.externalTrafficPolicy", "message": 'conflict with "argocd"'}
    api.answer = lambda request: (
        httpx.Response(409, json={"message": "m", "details": {"causes": [cause]}})
        if request.method == "PATCH"
        else None
    )
    with pytest.raises(Conflict, match=r'conflict: .spec.externalTrafficPolicy: conflict with "argocd"'):
        cluster_on(api).apply(SERVICE, {}, manager="m", force=False)


def test_deleting_what_is_gone_is_done() -> None:
    cluster_on(Api()).delete(SERVICE, timeout_s=1)


def test_an_api_that_comes_back_is_waited_for_and_one_that_does_not_is_named() -> None:
    api = Api()
    api.answer = lambda request: httpx.Response(503, text="starting") if len(api.asked) < 4 else None
    assert cluster_on(api).get(SERVICE) is None
    api.answer = lambda request: httpx.Response(503, text="starting")
    with pytest.raises(Unreachable, match="the Kubernetes API at https://api does not answer: 503 starting"):
        cluster_on(api).get(SERVICE)


def test_a_read_without_change_gives_the_inputs_back_and_one_with_a_change_shows_it() -> None:
    api = Api()
    plugin = KubernetesPlugin(cluster_on(api))
    made, outputs = plugin.create(request_for(CONFIG_MAP))
    again = request_for({}, id=made, old_inputs=CONFIG_MAP, old_outputs=outputs)
    found = plugin.read(again)
    assert found is not None
    assert (found[1], found[2]) == (outputs, CONFIG_MAP)
    api.objects["/api/v1/namespaces/kube-system/configmaps/status"]["data"] = {"stage": "9"}
    found = plugin.read(again)
    assert found is not None
    assert found[2]["data"] == {"stage": "9"}


def test_an_import_needs_only_type_and_id() -> None:
    api = Api()
    api.objects["/api/v1/namespaces/kube-system/configmaps/status"] = {
        **CONFIG_MAP,
        "metadata": {**CONFIG_MAP["metadata"], "uid": "u", "resourceVersion": "3"},
        "status": {},
    }
    found = KubernetesPlugin(cluster_on(api)).read(request_for({}, id="kube-system/status"))
    assert found is not None
    assert found[2] == CONFIG_MAP


def test_check_asks_for_a_name_and_gives_a_namespace() -> None:
    plugin = KubernetesPlugin()
    inputs, failures = plugin.check(request_for({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}))
    assert (inputs["metadata"], failures) == ({"name": "a", "namespace": "default"}, [])
    assert plugin.check(Request(type=ROLE, name="x", inputs={"metadata": {"name": "a"}}))[0]["metadata"] == {
        "name": "a"
    }
    _, failures = plugin.check(request_for({"apiVersion": "v1", "kind": "ConfigMap"}))
    assert [f.property for f in failures] == ["metadata.name"]


@pytest.mark.parametrize("token", ["kubernetes:helm.sh/v3:Release", "kubernetes:yaml:ConfigFile"])
def test_what_is_no_object_is_an_unknown_type(token: str) -> None:
    with pytest.raises(PluginError, match="doesn't know the type"):
        KubernetesPlugin().check(Request(type=token, name="x"))


def test_a_replacement_that_keeps_the_name_deletes_first() -> None:
    plugin = KubernetesPlugin()
    changed = {**CONFIG_MAP, "data": {"stage": "2"}}
    assert plugin.diff(request_for(changed, old_inputs=CONFIG_MAP)).delete_before_replace
    renamed = {**CONFIG_MAP, "metadata": {"name": "other", "namespace": "kube-system"}}
    difference = plugin.diff(request_for(renamed, old_inputs=CONFIG_MAP))
    assert [c.replace for c in difference.changes] == [True]
    assert not difference.delete_before_replace


def test_only_another_cluster_replaces_the_provider() -> None:
    plugin = KubernetesPlugin()
    edited = {"kubeconfig": "a", "clusterIdentifier": "pet"}, {"kubeconfig": "b", "clusterIdentifier": "pet"}
    assert [(c.path, c.replace) for c in plugin.diff_config(*edited).changes] == [("kubeconfig", False)]
    other = {"clusterIdentifier": "pet"}, {"clusterIdentifier": "dog"}
    assert [(c.path, c.replace) for c in plugin.diff_config(*other).changes] == [("clusterIdentifier", True)]


def test_a_setting_that_is_not_known_is_named_and_so_is_one_that_is_missing() -> None:
    assert [f.reason for f in KubernetesPlugin().check_config({"colour": "red"})] == [
        "the lab's kubernetes plugin doesn't know the provider setting 'colour'",
        "give one: the lab's plugin tells clusters apart by it",
    ]


def config(user: str) -> str:
    return f"""
current-context: c
contexts: [{{name: c, context: {{cluster: k, user: u}}}}]
clusters: [{{name: k, cluster: {{server: "https://a/"}}}}]
users: [{{name: u, user: {user}}}]
"""


def test_a_kubeconfigs_current_context_says_the_server() -> None:
    assert access(config("{}")).server == "https://a"


@pytest.mark.parametrize("user", ["{exec: {}}", "{token: t}"])
def test_a_kubeconfig_without_a_certificate_is_refused(user: str) -> None:
    with pytest.raises(ApiError, match="takes certificates only"):
        access(config(user))


def test_a_kubeconfig_that_is_none_is_a_sentence() -> None:
    with pytest.raises(ApiError, match="kubeconfig /nowhere: No such file or directory"):
        read(Path("/nowhere"))
    with pytest.raises(ApiError, match="the kubeconfig has no entry 'd' under contexts"):
        access(config("{}"), "d")
    with pytest.raises(ApiError, match="the kubeconfig is empty"):
        access("")

"""Objects as inputs and live: what differs, what replaces, what drifted; and the API's answers."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lab.plugins.errors import PluginError
from lab.plugins.host import Request
from lab.plugins.kubernetes import kubeconfig, rules
from lab.plugins.kubernetes.cluster import Cluster, Conflict, Unreachable, Where
from lab.plugins.kubernetes.kubeconfig import Access
from lab.plugins.kubernetes.provider import KubernetesPlugin
from lab.plugins.wire import UNKNOWN

CONFIG_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "status", "namespace": "kube-system"},
    "data": {"stage": "1"},
}
SERVICE = Where("v1", "Service", "ingress", "web")

# apiVersion, kind, old spec, new spec, updates, replaces
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any], set[str], set[str]]] = [
    ("apps/v1", "Deployment", {"spec": {"replicas": 1}}, {"spec": {"replicas": 2}}, {"spec.replicas"}, set()),
    (
        "apps/v1",
        "Deployment",
        {"spec": {"selector": {"matchLabels": {"a": "b"}}}},
        {"spec": {"selector": {"matchLabels": {"a": "c"}}}},
        set(),
        {"spec.selector.matchLabels.a"},
    ),
    ("v1", "ConfigMap", {"data": {"a": "1"}}, {"data": {"a": "2"}}, set(), {"data.a"}),
    ("v1", "ConfigMap", {"data": {"a": "1"}}, {}, set(), {"data"}),
    ("v1", "Service", {"spec": {"type": "NodePort"}}, {"spec": {"type": "ClusterIP"}}, {"spec.type"}, set()),
    ("v1", "Service", {"spec": {"clusterIP": "a"}}, {"spec": {"clusterIP": UNKNOWN}}, set(), {"spec.clusterIP"}),
    (
        "v1",
        "Service",
        {"spec": {"ports": [{"port": 80}]}},
        {"spec": {"ports": [{"port": 80, "nodePort": 30080}]}},
        {"spec.ports[0].nodePort"},
        set(),
    ),
    ("v1", "Service", {"spec": {"ports": [1]}}, {"spec": {"ports": [1, 2]}}, {"spec.ports"}, set()),
    ("v1", "Service", {"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}, set(), {"metadata.name"}),
    (
        "v1",
        "Service",
        {"metadata": {"labels": {"a.b/c": "1"}}},
        {"metadata": {"labels": {}}},
        {'metadata.labels["a.b/c"]'},
        set(),
    ),
    (
        "apps/v1",
        "StatefulSet",
        {"spec": {"serviceName": "a"}},
        {"spec": {"serviceName": "b"}},
        set(),
        {"spec.serviceName"},
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        {"rules": [{"verbs": ["get"]}]},
        {"rules": [{"verbs": ["get", "list"]}]},
        {"rules[0].verbs"},
        set(),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[1]}-{'-'.join(c[4] | c[5])}")
def test_a_change_updates_or_replaces_as_documented(
    case: tuple[str, str, dict[str, Any], dict[str, Any], set[str], set[str]],
) -> None:
    api_version, kind, old, new, updates, replaces = case
    found = rules.differences(old, new, rules.replacing(api_version, kind))
    assert {c.path for c in found if not c.replace} == updates
    assert {c.path for c in found if c.replace} == replaces


def test_equal_objects_have_no_difference() -> None:
    assert rules.differences(CONFIG_MAP, json.loads(json.dumps(CONFIG_MAP)), rules.replacing("v1", "ConfigMap")) == []


def test_a_config_map_may_be_allowed_to_change_in_place() -> None:
    forced = rules.replacing("v1", "ConfigMap", mutable=frozenset({"ConfigMap"}))
    assert "data" not in forced


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


def cluster_on(api: Api) -> Cluster:
    access = Access("https://api", "default", ssl.create_default_context(), "token", None)
    time = Time()
    return Cluster(access, transport=httpx.MockTransport(api), now=lambda: time.t, sleep=time.sleep)


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


def test_a_patch_needs_its_object() -> None:
    plugin = KubernetesPlugin(cluster_on(Api()))
    inputs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "ingress", "namespace": "web"}}
    with pytest.raises(PluginError, match="Service web/ingress isn't there to be patched"):
        plugin.create(request_for(inputs, "ServicePatch"))


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


def test_releasing_a_patch_gives_up_the_fields_and_leaves_the_values() -> None:
    api = Api()
    path = "/api/v1/namespaces/web/services/ingress"
    managers = [{"manager": "mine"}, {"manager": "kubectl"}]
    api.objects[path] = {"metadata": {"managedFields": managers, "resourceVersion": "7"}, "spec": {"a": 1}}
    cluster_on(api).release(SERVICE, "mine")
    assert json.loads(api.asked[-1].content) == [
        {"op": "replace", "path": "/metadata/managedFields", "value": [{"manager": "kubectl"}]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
    ]


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
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "a"}}
    assert plugin.check(request_for(role))[0]["metadata"] == {"name": "a"}
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


def config(server: str) -> str:
    return json.dumps(
        {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        },
        indent=1,
    )


def test_only_another_cluster_replaces_the_provider() -> None:
    plugin = KubernetesPlugin()
    same = {"kubeconfig": config("https://a")}, {"kubeconfig": config("https://a") + "\n"}
    assert [c.replace for c in plugin.diff_config(*same).changes] == [False]
    other = {"kubeconfig": config("https://a")}, {"kubeconfig": config("https://b")}
    assert [c.replace for c in plugin.diff_config(*other).changes] == [True]
    fixed = ({**c, "clusterIdentifier": "pet"} for c in other)
    assert [c.replace for c in plugin.diff_config(*fixed).changes] == [False]


def test_a_setting_that_is_not_known_is_named() -> None:
    reasons = [f.reason for f in KubernetesPlugin().check_config({"colour": "red", "enableServerSideApply": "false"})]
    assert reasons == [
        "the lab's kubernetes plugin doesn't know the provider setting 'colour'",
        "the lab's kubernetes plugin only applies server-side",
    ]


def test_a_kubeconfig_that_needs_a_program_is_refused() -> None:
    text = config("https://a").replace('"token": "t"', '"exec": {}')
    with pytest.raises(PluginError, match="'exec', which isn't supported"):
        kubeconfig.access(text)


def test_a_missing_kubeconfig_is_a_sentence() -> None:
    with pytest.raises(PluginError, match="kubeconfig /nowhere: No such file or directory"):
        kubeconfig.text_of("/nowhere")

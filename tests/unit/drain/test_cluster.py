"""What a drain sees: the watch's cache, owners behind ReplicaSets, webhooks' backends, volumes; and its operation."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

import msgspec
import pytest

from migration.clients.aws import Instance
from migration.clients.kubernetes import (
    PODS,
    ApiFailure,
    Kind,
    Unreachable,
)
from migration.contracts.workers import DrainInputs, DrainResult
from migration.drain.cluster import Cluster
from migration.drain.model import pod_from, pod_of
from migration.drain.nodes import CORDONED, TAINT
from migration.drain.plan import owner_of
from migration.drain.store import Store
from migration.drain.wire import PodWire
from migration.operations import drain
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent
from tests.samples import COMMON, DRAIN_RULES
from tests.unit.drain.world import Clock

T = TypeVar("T")


def item(name: str, *, owner: tuple[str, str] | None = None, spec: Any = None, **metadata: Any) -> dict[str, Any]:
    references = [{"kind": owner[0], "name": owner[1], "uid": f"uid-{owner[1]}", "controller": True}] if owner else []
    base = {"namespace": "apps", "name": name, "uid": f"uid-{name}", "ownerReferences": references}
    return {"metadata": {**base, **metadata}, "spec": spec or {}, "status": {}}


class Api:
    """Lists by kind; watches that end at once."""

    def __init__(self, **lists: list[dict[str, Any]]) -> None:
        self.lists = lists
        self.patches: list[tuple[str, Any]] = []

    def list(self, kind: Kind, namespace: str | None = None, *, metadata_only: bool = False) -> list[dict[str, Any]]:
        return self.lists.get(kind.plural, [])

    def pages(self, kind: Kind, item: type[T]) -> Iterator[tuple[list[T], str]]:
        yield msgspec.convert(self.list(kind), list[item]), "1"

    def events(self, kind: Kind, version: str, item: type[T]) -> Iterator[tuple[str, T]]:
        raise Unreachable("no watch here")

    def find(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        return next((item for item in self.list(kind) if item["metadata"]["name"] == name), None)

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any]:
        found = self.find(kind, name, namespace)
        assert found is not None
        return found

    def patch(self, kind: Kind, name: str, body: Any, namespace: str | None = None) -> dict[str, Any]:
        self.patches.append((name, body))
        return {}

    def evict(self, namespace: str, name: str, uid: str) -> None:
        raise AssertionError("nothing to evict here")


def test_a_replica_sets_pods_belong_to_its_deployment_and_an_unknown_kind_stands_for_itself() -> None:
    pods = [
        item("web-1", owner=("ReplicaSet", "web-abc"), spec={"nodeName": "n"}),
        item("odd-1", owner=("Rollout", "odd"), spec={"nodeName": "n"}),
        item("odd-2", owner=("Rollout", "odd"), spec={"nodeName": "n"}),
    ]
    api = Api(
        pods=pods,
        deployments=[item("web", spec={"replicas": 3})],
        replicasets=[item("web-abc", owner=("Deployment", "web"))],
    )
    view = Cluster(api, frozenset({"n"}), Clock()).exact()
    owners = [owner_of(pod, view) for pod in view.pods]
    assert [(owner.key, owner.desired) for owner in owners if owner] == [
        ("Deployment apps/web", 3),
        ("Rollout apps/odd", 2),
        ("Rollout apps/odd", 2),
    ]


def test_an_unknown_controller_keeps_the_most_pods_it_was_seen_with() -> None:
    api = Api(pods=[item(f"odd-{n}", owner=("Rollout", "odd"), spec={"nodeName": "n"}) for n in range(4)])
    cluster = Cluster(api, frozenset({"n"}), Clock())
    cluster.exact()
    api.lists["pods"] = api.lists["pods"][:2]
    assert {owner.desired for owner in cluster.exact().owners.values()} == {4}


def test_backends_of_webhooks_are_known_by_their_services_selectors() -> None:
    hook = {**item("hook"), "webhooks": [{"clientConfig": {"service": {"namespace": "apps", "name": "hook-svc"}}}]}
    api = Api(
        validatingwebhookconfigurations=[hook],
        services=[item("hook-svc", spec={"selector": {"app": "hook"}})],
    )
    cluster = Cluster(api, frozenset(), Clock())
    cluster.start()
    cluster.close()
    facts = cluster.changes().facts
    assert facts is not None
    assert facts.admission == [("apps", {"app": "hook"})]


def test_volumes_on_the_nodes_are_held_unless_a_staying_pod_uses_them() -> None:
    def attached(volume: str, node: str) -> dict[str, Any]:
        return item(f"va-{volume}", spec={"nodeName": node, "source": {"persistentVolumeName": volume}})

    api = Api(
        volumeattachments=[attached("pv-1", "n"), attached("pv-2", "n"), attached("pv-3", "elsewhere")],
        persistentvolumeclaims=[item("kept", spec={"volumeName": "pv-2"})],
    )
    staying = pod_from(item("ds", spec={"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "kept"}}]}))
    cluster = Cluster(api, frozenset({"n"}), Clock())
    assert cluster.volumes_held(lambda: [staying]) == ["pv-1 on n"]
    assert cluster.volumes_held(list) == ["pv-1 on n", "pv-2 on n"]


class Script:
    """Lists and watches that follow a script; the last watch waits for `done`."""

    def __init__(self, lists: list[list[dict[str, Any]]], watches: list[Any]) -> None:
        self.lists, self.watches = lists, watches
        self.versions: list[str] = []
        self.done = threading.Event()

    def pages(self, kind: Kind, item: type[T]) -> Iterator[tuple[list[T], str]]:
        yield msgspec.convert(self.lists.pop(0), list[item]), "10"

    def events(self, kind: Kind, version: str, item: type[T]) -> Iterator[tuple[str, T]]:
        self.versions.append(version)
        if not self.watches:
            self.done.set()
            raise Unreachable("the script is over")
        step = self.watches.pop(0)
        if isinstance(step, Exception):
            raise step
        yield from ((event, msgspec.convert(found, item)) for event, found in step)


def names(store: Store[Any, Any]) -> list[str]:
    return sorted(entry.name for entry in store.items())


def test_a_broken_watch_goes_on_from_the_last_version_and_an_expired_one_lists_again() -> None:
    script = Script(
        [[item("a"), item("b")], [item("z")]],
        [
            [("ADDED", item("c", resourceVersion="11")), ("BOOKMARK", {"metadata": {"resourceVersion": "12"}})],
            [("DELETED", item("a", resourceVersion="13"))],
            ApiFailure(410, {}, "watch"),
            [("ADDED", item("y", resourceVersion="14"))],
        ],
    )
    store = Store(script, PODS, PodWire, pod_of, threading.Event())
    store.start()
    assert script.done.wait(20)
    store.close()
    assert script.versions[:5] == ["10", "12", "13", "10", "14"]
    assert names(store) == ["y", "z"]


class Aws:
    def groups(self, names: Sequence[str]) -> dict[str, Any]:
        return {name: {"AutoScalingGroupName": name, "DesiredCapacity": 1} for name in names}

    def instances_of_groups(self, groups: Sequence[str]) -> list[Instance]:
        return [Instance(id="i-1", ip="", zone="", vpc="", group=groups[0], state="running")]


INPUTS = DrainInputs(
    **COMMON, wanted="drained", tier="rest", groups=("a",), side="legacy", vpc_id="vpc-1", rules=DRAIN_RULES
)


def run(api: Api, **changes: Any) -> DrainResult:
    clock = Clock()
    clients: Any = SimpleNamespace(aws=Aws(), kubernetes=api)
    context = Context(log=lambda text: None, deadline=Deadline(60, clock, clock.sleep), clients=clients)
    return drain.run(INPUTS.model_copy(update=changes), None, context)


def node(**spec: Any) -> dict[str, Any]:
    return item("n", spec={"providerID": "aws:///z/i-1", **spec}, resourceVersion="1")


ELSEWHERE = item("elsewhere", spec={"nodeName": "other"})


def test_nodes_without_movable_pods_are_cordoned_and_nothing_else_happens() -> None:
    api = Api(nodes=[node(), item("other", spec={"providerID": "aws:///z/i-9"})], pods=[ELSEWHERE])
    result = run(api)
    assert [name for name, _ in api.patches] == ["n"]
    assert api.patches[0][1]["spec"] == {"taints": [TAINT], "unschedulable": True}
    assert (result.nodes, result.pods, result.evictions, result.blocked) == (1, 0, 0, ())


def test_the_way_back_takes_our_own_cordon_away() -> None:
    marked = {**node(unschedulable=True)}
    marked["metadata"]["annotations"] = {CORDONED: "true"}
    api = Api(nodes=[marked])
    run(api, wanted="present", returning=True)
    assert api.patches[0][1]["spec"] == {"unschedulable": None}


def test_blocked_pods_end_the_operation_with_every_name() -> None:
    api = Api(nodes=[node(unschedulable=True, taints=[TAINT])], pods=[item("bare", spec={"nodeName": "n"})])
    with pytest.raises(Permanent, match=r"1 can't be moved.*\n.*apps/bare \(owner none, budget none\): it has no"):
        run(api)


def test_ingress_pods_that_can_not_be_told_are_refused() -> None:
    api = Api(nodes=[node()], pods=[ELSEWHERE])
    with pytest.raises(Permanent, match=r"migration:drain\.ingressSelector"):
        run(api, tier="ingress")


def test_a_cluster_that_shows_no_node_of_the_groups_is_not_drained_but_refused() -> None:
    api = Api(nodes=[item("twin", spec={"providerID": "aws:///z/i-9"})], pods=[ELSEWHERE])
    with pytest.raises(Permanent, match=r"none of 1 running instances \(i-1 of a\) has a Node in this cluster"):
        run(api)
    assert api.patches == []


def test_where_no_pod_is_listed_at_all_no_node_is_cordoned() -> None:
    api = Api(nodes=[node()])
    with pytest.raises(Permanent, match="lists no pod at all"):
        run(api)
    assert api.patches == []


def fitting(cpu: str) -> Api:
    owned = item("web-1", owner=("ReplicaSet", "web"), spec={"nodeName": "n", "containers": [REQUEST]})
    new = {**item("new", spec={"providerID": "aws:///z/i-2"}), "status": {"allocatable": {"cpu": cpu, "pods": "9"}}}
    new["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    return Api(nodes=[node(), new], pods=[owned])


REQUEST = {"resources": {"requests": {"cpu": "2"}}}


def test_without_room_nothing_is_cordoned_and_the_key_is_named() -> None:
    api = fitting("1")
    with pytest.raises(Permanent, match=r"no room for the 1 pods .* 2\.0 cores where 1\.0 are free; .*requireRoom"):
        run(api)
    assert api.patches == []


def test_with_room_or_with_a_yes_the_drain_begins() -> None:
    for api, rules in (
        (fitting("2"), DRAIN_RULES),
        (fitting("1"), DRAIN_RULES.model_copy(update={"require_room": False})),
    ):
        with pytest.raises(AssertionError, match="nothing to evict here"):
            run(api, rules=rules)
        assert [name for name, _ in api.patches] == ["n"]


def test_claims_know_their_volumes_zone_and_node() -> None:
    expression = {"key": "topology.kubernetes.io/zone", "values": ["a"]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
    api = Api(
        pods=[item("web-1", owner=("ReplicaSet", "web"), spec={"nodeName": "n"})],
        persistentvolumeclaims=[item("ebs", spec={"volumeName": "pv-1"}), item("disk", spec={"volumeName": "pv-2"})],
        persistentvolumes=[item("pv-1", spec={"nodeAffinity": affinity}), item("pv-2", spec={"local": {}})],
    )
    view = Cluster(api, frozenset({"n"}), Clock()).exact()
    assert (view.zones, view.node_bound) == ({"apps/ebs": frozenset({"a"})}, {"apps/disk": "pv-2"})

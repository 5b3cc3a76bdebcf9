from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lab.addresses import LabAddresses
from lab.kubernetes.access import ApiError
from lab.machines.kwok import pod_range, stages
from lab.machines.nodes import A_SECOND, AT_ONCE, FAKE, Nodes, instance_of, node

INSTANCE = {"id": "i-1", "private_ip": "127.10.1.23", "zone": "eu-central-1b", "vpc": "vpc-1", "type": "m5.xlarge"}


def test_a_node_says_what_its_instance_and_its_kubelets_flags_say() -> None:
    made = node(INSTANCE, {"node-labels": "a=b,pool=x", "register-with-taints": "gpu=yes:NoSchedule,new:NoExecute"})
    assert made["metadata"]["name"] == "ip-127-10-1-23.eu-central-1.compute.internal"
    assert made["metadata"]["labels"] | {"a": "b", "pool": "x"} == made["metadata"]["labels"]
    assert made["metadata"]["labels"]["topology.kubernetes.io/zone"] == "eu-central-1b"
    assert made["metadata"]["labels"]["node.kubernetes.io/instance-type"] == "m5.xlarge"
    assert made["spec"]["providerID"] == "aws:///eu-central-1b/i-1"
    assert made["spec"]["taints"] == [
        {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
        {"key": "new", "effect": "NoExecute"},
    ]
    assert made["status"]["addresses"][0] == {"type": "InternalIP", "address": "10.10.1.23"}
    assert instance_of(made) == "i-1"


def test_the_two_sides_hand_out_different_pod_addresses_of_one_range() -> None:
    addresses = LabAddresses(index=1)
    assert pod_range(addresses, addresses.legacy_cidr) == "100.65.0.1/18"
    assert pod_range(addresses, addresses.main_cidr) == "100.65.64.1/18"


def test_pods_start_as_slowly_as_the_setting_says() -> None:
    assert "durationMilliseconds: 2500\n" in stages(2.5)
    assert "${" not in stages(0.5)


class FakeKube:
    """Nodes and pods by name, and what was asked for."""

    def __init__(self, *nodes: dict[str, Any]) -> None:
        self.nodes = {n["metadata"]["name"]: n for n in nodes}
        self.asked: list[str] = []

    async def call(self, method: str, path: str, body: Any = None, **_: Any) -> dict[str, Any]:
        self.asked.append(f"{method} {path}")
        name = path.rpartition("/")[2]
        if method == "POST":
            name = body["metadata"]["name"]
            if name in self.nodes:
                raise ApiError("exists", 409)
            self.nodes[name] = body
            return body
        if method == "PATCH":
            merge(self.nodes[path.removeprefix("/api/v1/nodes/").partition("/")[0]], body)
            return {}
        if method == "DELETE" and "/nodes/" in path:
            return self.nodes.pop(name)
        if path == "/api/v1/pods":
            return {"items": [{"metadata": {"namespace": "kube-system", "name": "agent", "uid": "u"}}]}
        return {"items": list(self.nodes.values())} if name == "nodes" else self.nodes.get(name, {})


def merge(into: dict[str, Any], change: Any) -> None:
    """A merge patch (RFC 7386)."""
    for key, value in change.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def registry(kube: FakeKube, *, cloud_controller: bool = False) -> Nodes:
    async def one(_: str) -> Any:
        return kube

    async def joined(_: str) -> None: ...

    return Nodes(one, lambda _: 0, lambda _: True, joined, cloud_controller=cloud_controller)


@pytest.mark.parametrize("state", ["terminated", "shutting-down", None])
def test_the_node_of_an_instance_that_is_gone_goes_with_its_pods(state: str | None) -> None:
    kube = FakeKube(node(INSTANCE, {}))
    asyncio.run(registry(kube).sweep(kube, {} if state is None else {"i-1": state}))  # type: ignore[arg-type]
    assert kube.nodes == {}
    assert "DELETE /api/v1/namespaces/kube-system/pods/agent" in kube.asked


def test_where_the_cloud_controller_runs_a_node_of_no_instance_isnt_ready_until_that_removes_it() -> None:
    gone = node(INSTANCE, {})
    gone["status"]["conditions"] = [{"type": "Ready", "status": "True"}, {"type": "MemoryPressure", "status": "False"}]
    kube = FakeKube(gone)
    nodes = registry(kube, cloud_controller=True)

    def sweep() -> None:
        asyncio.run(nodes.sweep(kube, {"i-1": "terminated"}))  # type: ignore[arg-type]

    sweep()
    [kept] = kube.nodes.values()
    assert {one["type"]: one["status"] for one in kept["status"]["conditions"]} == {
        "MemoryPressure": "False",
        "Ready": "False",
    }
    assert FAKE not in kept["metadata"]["annotations"], "KWOK would say that it is ready"
    asked = len(kube.asked)
    sweep()
    assert kube.asked[asked:] == ["GET /api/v1/nodes"]
    kube.nodes.clear()
    sweep()
    assert "DELETE /api/v1/namespaces/kube-system/pods/agent" in kube.asked
    asked = len(kube.asked)
    sweep()
    assert kube.asked[asked:] == ["GET /api/v1/nodes"]


def test_a_crowd_of_machines_joins_a_few_a_second() -> None:
    nodes = registry(FakeKube())
    waits = [nodes._turn(100.0) for _ in range(AT_ONCE + 8)]
    assert waits[:AT_ONCE] == [0.0] * AT_ONCE
    assert waits[AT_ONCE:] == [pytest.approx((n + 1) / A_SECOND) for n in range(8)]
    assert nodes._turn(200.0) == 0.0


def test_other_nodes_stay() -> None:
    kube = FakeKube(node(INSTANCE, {}), {"metadata": {"name": "by-hand"}, "spec": {}})
    asyncio.run(registry(kube).sweep(kube, {"i-1": "running"}))  # type: ignore[arg-type]
    assert len(kube.nodes) == 2


def test_a_kubelet_keeps_its_own_node_and_replaces_that_of_the_addresss_former_instance() -> None:
    async def run(former: str) -> FakeKube:
        kube = FakeKube(node({**INSTANCE, "id": former}, {}))
        nodes = registry(kube)
        nodes.register(INSTANCE, {})
        while "i-1" not in nodes.registered:
            await asyncio.sleep(0.01)
        return kube

    own = asyncio.run(run("i-1"))
    assert not [asked for asked in own.asked if asked.startswith("DELETE")]
    replaced = asyncio.run(run("i-0"))
    assert [instance_of(n) for n in replaced.nodes.values()] == ["i-1"]

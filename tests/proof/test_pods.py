"""Pods by side: what counts, and how the watcher keeps up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from migration.clients.asynchronous import AsyncKubernetes
from migration.clients.kubeconfig import read_kubeconfig
from proof.config import ELSEWHERE, ConfigError, Side, parse, side_of
from proof.pods import PodBook, PodWatcher, read_pod
from tests.proof.servers import FakeKube, pod
from tests.proof.test_probes import until

SIDES = (Side(name="legacy", cidr="10.0.0.0/16"), Side(name="main", cidr="10.1.0.0/16", also=("203.0.113.7",)))


@pytest.mark.parametrize(
    ("address", "side"),
    [
        ("10.0.3.4:6443", "legacy"),
        ("10.1.255.255", "main"),
        ("203.0.113.7:443", "main"),
        ("203.0.113.8", ELSEWHERE),
        ("", ELSEWHERE),
        ("a-name:80", ELSEWHERE),
    ],
)
def test_an_address_is_of_the_side_whose_networks_hold_it(address: str, side: str) -> None:
    assert side_of(address, SIDES) == side


@pytest.mark.parametrize(
    ("sides", "told"),
    [
        ([{"name": "a", "cidr": "10.0.0.0/16"}, {"name": "b", "cidr": "10.0.8.0/24"}], "networks of their own"),
        ([{"name": "a", "cidr": "10.0.0.0/16"}, {"name": "b", "cidr": "10.1.0.0/16", "also": ["10.0.0.9"]}], "a and b"),
        ([{"name": "a", "cidr": "10.0.0.0/16"}, {"name": "a", "cidr": "10.1.0.0/16"}], "names"),
        ([{"name": "elsewhere", "cidr": "10.0.0.0/16"}], "no side"),
        ([{"name": "a", "cidr": "10.0.0.1/16"}], "sides.0.cidr"),
    ],
)
def test_sides_that_could_be_taken_for_each_other_are_refused(sides: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse({"places": [], "sides": sides}, "proof.json")


def book(*pods: dict[str, Any]) -> PodBook:
    found = PodBook(SIDES)
    found.listed([read_pod(item) for item in pods])
    return found


def test_pods_that_a_drain_moves_are_counted_and_those_that_stay_are_not() -> None:
    mirror = pod("m", "n1", "10.0.0.4", owner="")
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    seen = book(
        pod("a", "n1", "10.0.0.4"),
        pod("bare", "n1", "10.0.0.4", owner=""),
        pod("starting", "n2", "10.1.0.4", phase="Pending"),
        pod("agent", "n1", "10.0.0.4", owner="DaemonSet"),
        pod("static", "n1", "10.0.0.4", owner="Node"),
        mirror,
        pod("done", "n1", "10.0.0.4", phase="Succeeded"),
        pod("nowhere", ""),
        pod("elsewhere", "n3", "192.0.2.1"),
    )
    assert seen.counts() == {"legacy": 2, "main": 1, ELSEWHERE: 1}


def test_a_pod_without_an_address_yet_counts_for_its_node_as_soon_as_another_has_told_it() -> None:
    seen = book(pod("a", "n1"))
    assert seen.counts() == {"legacy": 0, "main": 0}
    seen.seen("ADDED", read_pod(pod("agent", "n1", "10.0.0.4", owner="DaemonSet")))
    assert seen.counts() == {"legacy": 1, "main": 0}


def test_a_pod_that_is_deleted_or_ends_is_counted_no_more_and_never_twice() -> None:
    seen = book(pod("a", "n1", "10.0.0.4"), pod("b", "n1", "10.0.0.4"))
    for _ in range(2):
        seen.seen("MODIFIED", read_pod(pod("a", "n1", "10.0.0.4")))
    assert seen.counts()["legacy"] == 2
    for _ in range(2):
        seen.seen("DELETED", read_pod(pod("a", "n1", "10.0.0.4")))
    assert seen.counts()["legacy"] == 1
    seen.seen("MODIFIED", read_pod(pod("b", "n1", "10.0.0.4", phase="Failed")))
    assert seen.counts()["legacy"] == 0


def test_a_pod_counts_as_evicted_once_on_the_side_it_left_and_no_other_end_counts() -> None:
    seen = book(*(pod(name, "n1", "10.0.0.4") for name in ("evicted", "deleted", "taken", "stays")))
    gone = pod("evicted", "n1", "10.0.0.4", disrupted="EvictionByEvictionAPI")
    for event in ("MODIFIED", "MODIFIED", "DELETED"):
        seen.seen(event, read_pod(gone))
    seen.seen("DELETED", read_pod(pod("deleted", "n1", "10.0.0.4")))
    seen.seen("MODIFIED", read_pod(pod("taken", "n1", "10.0.0.4", disrupted="DeletionByTaintManager")))
    assert seen.evictions() == {"legacy": 1, "main": 0}
    seen.seen("ADDED", read_pod(pod("back", "n2", "10.1.0.4", disrupted="EvictionByEvictionAPI")))
    assert seen.evictions() == {"legacy": 1, "main": 1}
    seen.seen("ADDED", read_pod(pod("unseen", "n9", disrupted="EvictionByEvictionAPI")))
    assert seen.evictions() == {"legacy": 1, "main": 1, ELSEWHERE: 1}


def test_the_watcher_lists_all_pages_and_then_follows_what_changes(tmp_path: Path) -> None:
    async def main() -> None:
        api = FakeKube()
        api.pods = [pod(f"p{n}", "n1", "10.0.0.4") for n in range(230)]
        await api.start()
        kube = AsyncKubernetes(read_kubeconfig(api.kubeconfig(tmp_path)))
        watcher = PodWatcher(kube, SIDES, lambda *a, **k: None)
        assert watcher.counts() is None
        task = asyncio.create_task(watcher.run())
        await until(lambda: watcher.counts() == {"legacy": 230, "main": 0})
        await api.pod_events.put({"type": "DELETED", "object": pod("p7", "n1", "10.0.0.4", version=8)})
        await api.pod_events.put({"type": "ADDED", "object": pod("q7", "n2", "10.1.0.4", version=9)})
        await until(lambda: watcher.counts() == {"legacy": 229, "main": 1})
        task.cancel()
        await api.pod_events.put(None)
        await kube.close()
        await api.stop()

    asyncio.run(main())

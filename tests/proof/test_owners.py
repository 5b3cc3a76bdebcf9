"""Ready pods by owner: what is due of each, and how the watcher sees what changes and what is left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from migration.clients.asynchronous import AsyncKubernetes
from migration.clients.kubeconfig import read_kubeconfig
from proof.owners import OwnerBook, OwnerSeen, OwnerWatcher, read_owner
from tests.proof.servers import FakeKube, deployment
from tests.proof.test_probes import until


def web(wanted: int, ready: int) -> OwnerSeen:
    return OwnerSeen(name="Deployment shop/web", wanted=wanted, ready=ready)


def book(wanted: int = 3, ready: int = 3) -> OwnerBook:
    found = OwnerBook()
    found.listed("Deployment", [web(wanted, ready)], 0.0)
    return found


def test_an_owner_is_read_with_what_it_wants_and_what_is_ready() -> None:
    assert read_owner("Deployment", deployment("web", 3, 2)) == web(3, 2)
    assert read_owner("Deployment", {"metadata": {"namespace": "shop", "name": "web"}, "spec": {}}) == web(1, 0)
    agent = {"metadata": {"name": "agent"}, "status": {"desiredNumberScheduled": 12, "numberReady": 11}}
    assert read_owner("DaemonSet", agent) == OwnerSeen(
        name="DaemonSet default/agent", wanted=12, ready=11, scaled=False
    )


def test_a_replica_set_of_a_deployment_is_not_counted_beside_it() -> None:
    item = deployment("web-5f", 3, 3)
    assert read_owner("ReplicaSet", item) is not None
    item["metadata"]["ownerReferences"] = [{"kind": "Deployment", "name": "web", "controller": True}]
    assert read_owner("ReplicaSet", item) is None


def test_pods_that_come_back_are_whole_and_the_lowest_is_kept() -> None:
    found = book()
    found.seen("MODIFIED", web(3, 1), 5.0)
    assert not found.whole
    found.seen("MODIFIED", web(3, 3), 6.0)
    assert found.whole
    assert found.facts().short == 0
    assert found.facts().details == ()


def test_an_app_at_zero_is_remembered_also_when_it_was_given_its_pods_back() -> None:
    found = book()
    found.seen("MODIFIED", web(0, 0), 5.0)
    found.seen("MODIFIED", web(3, 3), 9.0)
    facts = found.facts()
    assert (facts.short, facts.details[0].zero_at, facts.details[0].ready_after) == (1, 5.0, 3)


def test_an_app_that_somebody_scaled_is_told_and_not_short() -> None:
    found = book()
    found.seen("MODIFIED", web(2, 3), 5.0)
    found.seen("MODIFIED", web(2, 2), 6.0)
    facts = found.facts()
    assert facts.short == 0
    assert [(change.before, change.after) for change in facts.details[0].rescaled] == [(3, 2)]


@pytest.mark.parametrize("by", ["watch", "list"])
def test_an_app_that_is_gone_is_short_whether_the_watch_or_a_list_tells(by: str) -> None:
    found = book()
    if by == "watch":
        found.seen("DELETED", web(3, 3), 7.0)
    else:
        found.listed("Deployment", [], 7.0)
    owner = found.facts().details[0]
    assert (owner.removed_at, owner.ready_after, found.facts().short) == (7.0, 0, 1)


def test_an_owner_of_another_kind_is_not_taken_for_gone() -> None:
    found = book()
    found.listed("DaemonSet", [], 1.0)
    found.listed("DaemonSet", [], 2.0)
    assert found.whole


def test_an_owner_that_was_made_later_is_not_judged() -> None:
    found = book()
    found.seen("ADDED", OwnerSeen(name="Deployment shop/new", wanted=5, ready=0), 5.0)
    assert found.facts().watched == 1


async def watched(tmp_path: Path, act: Any) -> OwnerWatcher:
    api = await FakeKube().start()
    kube = AsyncKubernetes(read_kubeconfig(api.kubeconfig(tmp_path)))
    watcher = OwnerWatcher(kube, lambda *a, **k: None)
    task = asyncio.create_task(watcher.run())
    await until(lambda: watcher.ready)
    await act(api)
    task.cancel()
    await watcher.last_look(patience_s=3.0)
    await kube.close()
    await api.stop()
    return watcher


def test_the_last_look_waits_for_pods_that_are_just_starting(tmp_path: Path) -> None:
    async def act(api: FakeKube) -> None:
        api.owners["deployments"] = [deployment("web", 3, 2)]
        later = asyncio.get_running_loop().call_later
        later(0.5, lambda: api.owners.update(deployments=[deployment("web", 3, 3)]))

    facts = asyncio.run(watched(tmp_path, act)).book.facts()
    assert (facts.looked_at_end, facts.short, facts.ready_after) == (True, 0, 3)


def test_a_last_look_that_can_not_see_is_none(tmp_path: Path) -> None:
    async def act(api: FakeKube) -> None:
        await api.stop()

    facts = asyncio.run(watched(tmp_path, act)).book.facts()
    assert (facts.watched, facts.looked_at_end) == (1, False)

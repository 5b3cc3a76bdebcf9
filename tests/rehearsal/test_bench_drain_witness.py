"""The witness of the benchmark can fail: a budget really violated is told, and so is a watch that sees nothing.

On a bare cluster, with commands that do what no drain may.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import processes
from lab.bare.cluster import Bare, bare
from lab.environment import REPOSITORY
from migration.clients.kubernetes import NODES, PODS, path_of
from rehearsal.benches.drain import watch
from rehearsal.benches.drain.commands import Ended
from rehearsal.benches.drain.run import Measuring
from rehearsal.benches.drain.state import AT_ONCE, State
from rehearsal.benches.drain.watch import Watcher
from rehearsal.benches.drain.world import NAMESPACE, NEW, OLD, Rule, Times, Workload, World, node_name

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

WORLD = World(
    nodes=2,
    pods=9,
    seed=1,
    times=Times(ready=(0.5, 2), end=(1, 3)),
    workloads=(
        Workload(name="app-001", stateful=False, replicas=5, rule=Rule.ONE, ready_s=2.0, end_s=1),
        Workload(name="set-000", stateful=True, replicas=4, rule=Rule.QUARTER, ready_s=0.5, end_s=3),
    ),
)


@dataclass(frozen=True)
class Standing:
    """A cluster with the world in it."""

    bare: Bare
    state: State

    def measuring(self) -> Measuring:
        self.state.restore(WORLD)
        return Measuring(bare=self.bare, state=self.state, world=WORLD, program="test", sitting="now")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with bare(tmp_path_factory.mktemp("bare"), print) as cluster:
        state = State(cluster.kubeconfig, print)
        state.build(WORLD)
        yield Standing(cluster, state)


def test_pods_deleted_past_a_budget_are_a_violation_by_both_sources(standing: Standing) -> None:
    async def vandal() -> Ended:
        victims = standing.state.kube.list(PODS, NAMESPACE, labels="app=app-001")[:3]
        for pod in victims:
            path = path_of(PODS, NAMESPACE, pod["metadata"]["name"])
            await asyncio.to_thread(standing.state.kube.request, "DELETE", path, params=AT_ONCE)
        await asyncio.sleep(1.5)
        return Ended(status=0, seconds=1.5)

    run = asyncio.run(standing.measuring().measure("vandal", vandal))
    assert {(breach.source, breach.budget) for breach in run.violations} == {
        ("pods", "bench/app-001"),
        ("status", "bench/app-001"),
    }
    assert run.watched == 2
    # And what was deleted was never evicted, and not all pods have gone.
    assert any("0 evictions" in reason for reason in run.trouble)
    assert any("still on old nodes" in reason for reason in run.trouble)


def test_one_eviction_that_its_budget_allows_is_none(standing: Standing) -> None:
    async def polite() -> Ended:
        pod = standing.state.kube.list(PODS, NAMESPACE, labels="app=set-000")[0]["metadata"]
        await asyncio.to_thread(standing.state.kube.evict, NAMESPACE, pod["name"], pod["uid"])
        await asyncio.sleep(1)
        return Ended(status=0, seconds=1)

    run = asyncio.run(standing.measuring().measure("polite", polite))
    assert (run.violations, run.evictions, run.refused) == ((), 1, 0)
    assert run.server is not None
    assert run.prober is not None
    assert run.cpu.apiservers > 0


def test_a_watch_that_was_cut_is_not_measured(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BLIND_S", 4.0)
    watchers: list[Watcher] = []

    class Caught(Watcher):
        def __init__(self, kubeconfig: Path, world: World) -> None:
            super().__init__(kubeconfig, world)
            watchers.append(self)

    monkeypatch.setattr("rehearsal.benches.drain.run.Watcher", Caught)

    async def cut() -> Ended:
        await watchers[0].clients["pods"].close()
        await asyncio.sleep(1)
        return Ended(status=0, seconds=1)

    run = asyncio.run(standing.measuring().measure("cut", cut))
    assert run.violations == ()
    assert any(reason.startswith("the watch of pods was blind for") for reason in run.trouble)
    assert run.blind > 4.0
    assert not run.ok


def test_what_a_run_leaves_on_nodes_and_pods_is_taken_back_and_looked_at(standing: Standing) -> None:
    kube = standing.state.kube
    taint = {"key": "somebody/s", "value": "x", "effect": "NoSchedule"}
    kube.patch(
        NODES,
        node_name(OLD, 0),
        {"metadata": {"annotations": {"somebody/s": "mark"}}, "spec": {"unschedulable": True, "taints": [taint]}},
    )
    kube.request("DELETE", path_of(PODS, NAMESPACE), params=AT_ONCE)
    standing.state.restore(WORLD)
    for side in (OLD, NEW):
        node = kube.get(NODES, node_name(side, 0))
        assert "somebody/s" not in node["metadata"]["annotations"]
        assert not node["spec"].get("unschedulable")
        assert not node["spec"].get("taints")
    pods = kube.list(PODS, NAMESPACE)
    assert len(pods) == WORLD.pods
    assert all(pod["spec"]["nodeName"].startswith(f"{OLD}-") for pod in pods)


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "LAB_DIR": str(tmp_path), "NODES": "2", "PODS": "10"}
    command = [sys.executable, "-m", "rehearsal.benches.drain", "--short"]
    bench = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True)
    assert bench.stdout is not None
    said = ""
    while "the control plane is ready" not in said:
        said = bench.stdout.readline()
        assert said, "it ended before"
    assert len(processes.running(tmp_path)) == 10
    bench.send_signal(signal.SIGINT)
    rest, _ = bench.communicate(timeout=60)
    assert (bench.returncode, rest.splitlines()[-1].endswith("interrupted")) == (130, True)
    end = time.monotonic() + 5
    while processes.of_lab(tmp_path) and time.monotonic() < end:
        time.sleep(0.1)
    assert processes.of_lab(tmp_path) == []

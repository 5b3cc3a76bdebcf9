"""A drain from beginning to end, on a cluster in memory whose budgets are really counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migration.drain.executor import Drainer, Pace
from migration.drain.plan import Rules
from migration.runtime.deadline import Deadline, OutOfTime, Permanent
from migration.runtime.lease import Orphaned
from tests.unit.drain.world import OLD, InlinePool, World, refusal

REST = Rules(tier="rest")
PACE = Pace(rescan=5, stall=60, per_second=1000)


def drainer(
    world: World,
    rules: Rules = REST,
    *,
    pace: Pace = PACE,
    seconds: float = 600,
    alive: Callable[[], None] = lambda: None,
) -> Drainer:
    def sleep(span: float) -> None:
        world.clock.sleep(span)
        world.settle()

    deadline = Deadline(seconds, world.clock, sleep)
    return Drainer(
        world, rules, InlinePool(), off="vpc-1", pace=pace, deadline=deadline, alive=alive, log=lambda t: None
    )


def left(world: World) -> list[str]:
    return sorted(pod.name for pod in world.pods.values() if pod.node == OLD)


def test_every_pod_moves_and_no_budget_is_ever_violated() -> None:
    world = World()
    for name, replicas, wanted in (("a", 10, 9), ("b", 5, 3), ("c", 4, 3)):
        world.deploy(name, replicas)
        world.protect(name, wanted)
    work = drainer(world)
    assert work.run() == []
    assert left(world) == []
    assert (work.tally.evictions, work.tally.rejected) == (19, 0)
    assert world.lowest == {"a": 9, "b": 3, "c": 3}


def test_budgets_advance_together_and_not_one_after_the_other() -> None:
    alone, together = World(), World()
    for world, names in ((alone, "a"), (together, "abcdefgh")):
        for name in names:
            world.deploy(name, 6)
            world.protect(name, 5)
        drainer(world).run()
    assert together.clock.now < alone.clock.now + 1


def test_an_owner_without_budget_loses_a_quarter_at_a_time() -> None:
    world = World()
    owner = world.deploy("free", 8)
    work = drainer(world)
    lowest = 8
    look = world.view

    def watched():
        nonlocal lowest
        view = look()
        lowest = min(lowest, sum(p.ready and not p.terminating for p in view.pods))
        return view

    world.view = watched
    assert work.run() == []
    assert (owner.desired, lowest) == (8, 6)


def test_webhooks_move_before_dns_and_dns_before_everything_else() -> None:
    world = World(admission=[("apps", {"app": "hook"})])
    world.deploy("app", 2)
    world.deploy("hook", 2)
    world.deploy("coredns", 2, labels={"k8s-app": "kube-dns"})
    drainer(world).run()
    assert [name.split("-")[0] for name in world.evictions] == ["hook"] * 2 + ["coredns"] * 2 + ["app"] * 2


def test_dns_waits_until_the_webhook_is_ready_again() -> None:
    world = World(admission=[("apps", {"app": "hook"})], starts=20)
    world.deploy("hook", 1)
    world.deploy("coredns", 1, labels={"k8s-app": "kube-dns"})
    begun: dict[str, float] = {}
    evict = world.evict

    def timed(namespace: str, name: str, uid: str) -> None:
        begun[name] = world.clock.now
        evict(namespace, name, uid)

    world.evict = timed
    drainer(world).run()
    assert begun["coredns-0"] - begun["hook-0"] >= 20


def test_a_webhook_that_never_gets_ready_stops_the_drain_before_dns() -> None:
    world = World(admission=[("apps", {"app": "hook"})], starts=10_000)
    world.deploy("hook", 1)
    world.deploy("coredns", 1, labels={"k8s-app": "kube-dns"})
    with pytest.raises(Permanent, match=r"stopped before CoreDNS: .*apps/hook.*only 0 of 1 ready"):
        drainer(world).run()
    assert left(world) == ["coredns-0"]


def test_the_ingress_tier_moves_ingress_pods_only() -> None:
    world = World()
    world.deploy("ing", 2, namespace="ingress")
    world.deploy("app", 2)
    drainer(world, Rules(tier="ingress", ingress_namespace="ingress", ingress_selector={"app": "ing"})).run()
    assert left(world) == ["app-0", "app-1"]


def test_a_deployment_whose_budget_never_allows_an_eviction_moves_by_one_rolling_restart() -> None:
    world = World(starts=3)
    world.deploy("single", 1, surges=True)
    world.protect("single", 1)
    work = drainer(world)
    assert work.run() == []
    assert left(world) == []
    assert (world.evictions, work.tally.restarts) == ([], 1)
    assert world.templates == {"single": "vpc-1/1"}


def test_blocked_pods_are_named_and_everything_else_proceeds() -> None:
    world = World()
    world.deploy("a", 3)
    world.deploy("kept", 1, leave_alone="karpenter.sh/do-not-disrupt=true")
    world.deploy("db", 1, kind="StatefulSet")
    world.protect("db", 1)
    blocked = drainer(world).run()
    assert left(world) == ["db-0", "kept-0"]
    assert [(item.pod, item.owner, item.budget) for item in blocked] == [
        ("apps/db-0", "StatefulSet apps/db", "apps/db"),
        ("apps/kept-0", "Deployment apps/kept", ""),
    ]


def test_a_budget_that_stays_closed_is_told_after_the_stall_and_the_rest_has_moved() -> None:
    world = World()
    world.deploy("a", 3)
    world.deploy("sick", 3)
    world.protect("sick", 2)
    first = next(uid for uid, pod in world.pods.items() if pod.name == "sick-0")
    world.pods.pop(first)
    blocked = drainer(world).run()
    assert left(world) == ["sick-1", "sick-2"]
    assert {item.budget for item in blocked} == {"apps/sick"}
    assert "2 healthy, wants 2" in blocked[0].reason


@pytest.mark.parametrize("code", [404, 409])
def test_a_pod_that_is_gone_or_another_one_by_now_is_not_asked_again(code: int) -> None:
    world = World()
    world.deploy("a", 1)
    world.refusals["a-0"] = [refusal(code, "the UID in the precondition does not match")]
    pod = next(iter(world.pods.values()))
    world._events.append((1.0, lambda: world.pods.pop(pod.uid)))
    world.owners.clear()
    work = drainer(world)
    assert work.run() == []
    assert (world.asked, work.tally.evictions) == (["a-0"], 0)


def test_a_429_is_counted_and_tried_again_later() -> None:
    world = World()
    world.deploy("a", 1)
    world.refusals["a-0"] = [refusal(429), refusal(429)]
    work = drainer(world)
    assert work.run() == []
    assert (work.tally.rejected, work.tally.evictions) == (2, 1)


def test_a_terminating_namespace_and_a_conflict_over_the_budget_are_waited_out() -> None:
    world = World()
    world.deploy("a", 1)
    cause = {"details": {"causes": [{"reason": "NamespaceTerminating"}]}}
    world.refusals["a-0"] = [refusal(403, "terminating", **cause), refusal(504), refusal(500, "etcd")]
    work = drainer(world)
    assert work.run() == []
    assert (work.tally.rejected, work.tally.evictions) == (0, 1)


def test_a_refusal_for_good_blocks_that_pod_alone() -> None:
    world = World()
    world.deploy("a", 2)
    world.refusals["a-0"] = [refusal(403, "admission webhook says no")]
    blocked = drainer(world).run()
    assert [item.pod for item in blocked] == ["apps/a-0"]
    assert "admission webhook says no" in blocked[0].reason
    assert left(world) == ["a-0"]


def test_without_the_right_to_evict_nothing_goes_on() -> None:
    world = World()
    world.deploy("a", 2)
    world.refusals["a-0"] = [refusal(403, 'cannot create resource "pods/eviction"')]
    with pytest.raises(Permanent, match="may not evict pods"):
        drainer(world).run()


def test_a_pod_that_slips_past_the_taint_is_found_by_the_second_look() -> None:
    world = World()
    owner = world.deploy("a", 2)
    world._events.append((4.0, lambda: world._add(owner, "late-0", OLD, ready=True)))
    assert drainer(world).run() == []
    assert left(world) == []
    assert "late-0" in world.evictions


def test_pods_that_tolerate_every_taint_are_not_chased_for_ever() -> None:
    world = World(back_to=OLD)
    world.deploy("a", 1)
    blocked = drainer(world).run()
    assert len(blocked) == 1
    assert "keep starting on the nodes" in blocked[0].reason
    assert len(world.evictions) < 15


def test_volumes_are_waited_for_before_the_second_look() -> None:
    world = World(attached=[["pv-1 on old-1"], ["pv-1 on old-1"], []])
    world.deploy("a", 1)
    assert drainer(world).run() == []
    assert world.attached == []


def test_an_orphaned_drain_stops_before_its_next_eviction() -> None:
    world = World()
    world.deploy("a", 4)
    world.protect("a", 0)
    calls = 0

    def alive() -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise Orphaned("the engine is gone")

    with pytest.raises(Orphaned):
        drainer(world, alive=alive).run()
    assert len(world.evictions) == 2


def test_a_second_run_after_a_kill_evicts_no_pod_twice_and_a_third_does_nothing() -> None:
    world = World()
    world.deploy("a", 6)
    world.protect("a", 5)
    with pytest.raises(OutOfTime, match="pods left"):
        drainer(world, seconds=4).run()
    assert drainer(world).run() == []
    assert sorted(world.evictions) == [f"a-{index}" for index in range(6)]
    third = drainer(world)
    assert third.run() == []
    assert third.tally.evictions == 0


def test_evictions_are_spaced_by_the_rate() -> None:
    world = World()
    world.deploy("a", 10)
    world.protect("a", 0)
    world.starts = 0
    drainer(world, pace=Pace(rescan=0, stall=60, per_second=1)).run()
    assert world.clock.now >= 9

"""A drain from beginning to end, on a cluster in memory whose budgets are really counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from migration.clients.kubernetes import Kind
from migration.drain.brake import WHILE_HEALTHY, Pace
from migration.drain.executor import Drainer
from migration.drain.model import Budget
from migration.drain.plan import Rules
from migration.runtime.deadline import Deadline, OutOfTime, Permanent
from migration.runtime.engine import Orphaned
from tests.unit.drain.world import MORNING, OLD, InlinePool, World, refusal, too_low

REST = Rules(tier="rest")
PACE = Pace(rescan=5, stall=60, per_second=1000)


def drainer(
    world: World,
    rules: Rules = REST,
    *,
    pace: Pace = PACE,
    seconds: float = 600,
    alive: Callable[[], None] = lambda: None,
    log: Callable[[str], None] = lambda text: None,
) -> Drainer:
    def sleep(span: float) -> None:
        world.clock.sleep(span)
        world.settle()

    world.told_anew()
    deadline = Deadline(seconds, world.clock, sleep)
    return Drainer(
        world,
        rules,
        InlinePool(),
        off="vpc-1",
        pace=pace,
        deadline=deadline,
        alive=alive,
        log=log,
        wall=lambda: MORNING + timedelta(seconds=world.clock.now),
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
    world.refusals["a-0"] = [too_low(), too_low()]
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


def singles(count: int, room: int) -> World:
    world = World(room=room)
    for index in range(count):
        world.deploy(f"a{index:03}", 1)
    return world


def test_when_moved_pods_find_no_node_the_rest_stays_and_the_scheduler_says_why() -> None:
    world = singles(300, 150)
    blocked = drainer(world).run()
    homeless = [item for item in blocked if "finds no node" in item.reason]
    assert 150 <= len(world.evictions) <= 150 + WHILE_HEALTHY * PACE.unplaced
    assert len(left(world)) == 300 - len(world.evictions)
    assert len(homeless) == len(world.evictions) - 150
    assert "0/9 nodes are available: 9 Insufficient cpu." in homeless[0].reason
    assert {item.reason for item in blocked} - {item.reason for item in homeless} == {
        "it waits, since pods that were moved find no node, or haven't come back at all"
    }


def test_one_moved_pod_without_a_node_for_long_stops_evictions_until_it_has_one() -> None:
    world = World(room=0, starts=1)
    world.deploy("first", 1)
    world.deploy("second", 4)
    world.protect("second", 4)
    owner = next(o for o in world.owners.values() if o.name == "second")
    seen: list[tuple[float, int]] = []
    wait = world.wait

    def waited(seconds: float) -> None:
        wait(seconds)
        if world.clock.now > 80 and "second" in world.selectors:
            del world.selectors["second"]  # from now on it may move, but for the brake
        if world.clock.now > 100 and world.room == 0:
            seen.append((world.clock.now, len(world.evictions)))
            world.grow(100)

    world.wait = waited
    assert drainer(world, pace=Pace(rescan=5, stall=600, per_second=1000, pending=60)).run() == []
    assert owner.desired == 4
    assert [count for _, count in seen] == [1]
    assert left(world) == []


def test_pods_that_had_no_node_before_the_drain_do_not_stop_it() -> None:
    world = World()
    broken = world.deploy("broken", 2)
    pod = next(p for p in world.pods.values() if p.name == "broken-1")
    world.pods[pod.uid] = replace(pod, node="", ready=False, phase="Pending", unschedulable="no")
    world.deploy("a", 4)
    drainer(world).run()
    assert broken.desired == 2
    assert [name for name in left(world) if name.startswith("a")] == []


def test_unready_pods_without_a_budget_go_a_share_at_a_time_and_wait_for_their_successors() -> None:
    world = World(starts=10)
    world.deploy("forming", 4)
    for uid, pod in list(world.pods.items()):
        world.pods[uid] = replace(pod, ready=False)
    away: list[int] = []
    look = world.view

    def watched():
        view = look()
        away.append(4 - sum(p.node == OLD and not p.terminating for p in view.pods))
        moved = [p for p in view.pods if p.node != OLD]
        assert sum(not p.ready for p in moved) + sum(p.terminating for p in view.pods) <= 1
        return view

    world.view = watched
    assert drainer(world).run() == []
    assert (max(away), left(world)) == (4, [])


def test_an_owner_whose_moved_pods_never_get_ready_keeps_the_rest_and_is_named() -> None:
    world = World(starts=100_000)
    world.deploy("crashing", 8)
    for uid, pod in list(world.pods.items()):
        world.pods[uid] = replace(pod, ready=False)
    blocked = drainer(world).run()
    assert len(world.evictions) == 2
    assert {item.owner for item in blocked} == {"Deployment apps/crashing"}
    assert "repair it, or scale it to zero" in blocked[0].reason


def test_a_jobs_pod_is_waited_for_longer_than_a_stall_and_never_evicted() -> None:
    world = World()
    world.deploy("a", 2)
    world.deploy("batch", 1, kind="Job", ends_itself=True)
    job = next(p for p in world.pods.values() if p.name == "batch-0")
    world._events.append((300.0, lambda: world.pods.update({job.uid: replace(job, phase="Succeeded", ready=False)})))
    assert drainer(world).run() == []
    assert "batch-0" not in world.evictions
    assert world.clock.now >= 300 > PACE.stall


def test_a_job_that_does_not_end_in_time_is_named_with_the_key() -> None:
    world = World()
    world.deploy("batch", 1, kind="Job", ends_itself=True)
    with pytest.raises(OutOfTime, match=r"apps/batch-0 .*hasn't ended; .*migration:drain\.jobs to evict"):
        drainer(world).run()
    assert world.evictions == []


def test_a_job_is_evicted_only_when_that_was_said() -> None:
    world = World()
    world.deploy("batch", 1, kind="Job", ends_itself=True)
    assert drainer(world, Rules(tier="rest", jobs="evict")).run() == []
    assert world.evictions == ["batch-0"]


def test_a_pod_that_takes_its_long_grace_period_is_no_stall() -> None:
    world = World(ends=300)
    world.deploy("slow", 1, grace_seconds=400)
    assert drainer(world).run() == []
    assert world.clock.now >= 300 > PACE.stall


def test_a_pod_that_outlives_its_grace_period_is_a_stall() -> None:
    world = World(ends=10_000)
    world.deploy("stuck", 1, grace_seconds=30)
    blocked = drainer(world).run()
    assert "told to end and is still there" in blocked[0].reason
    assert world.clock.now < 30 + PACE.stall + 10


def test_a_deployment_that_tolerates_everything_is_restarted_once_and_then_named() -> None:
    world = World(back_to=OLD)
    world.deploy("single", 1, surges=True, tolerates=True)
    world.protect("single", 1)
    blocked = drainer(world).run()
    assert (world.restarts, world.evictions) == (1, [])
    assert "started on the nodes being emptied again" in blocked[0].reason
    again = drainer(world)
    assert "started on the nodes being emptied again" in again.run()[0].reason
    assert world.restarts == 1


def test_a_budget_is_not_asked_before_its_evictions_and_refuses_none() -> None:
    world = World()
    world.deploy("a", 10)
    world.protect("a", 7)
    find, asked = world.find, []

    def counted(kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        asked.append(kind)
        return find(kind, name, namespace)

    world.find = counted
    work = drainer(world)
    assert work.run() == []
    assert (work.tally.evictions, work.tally.rejected, asked) == (10, 0, [])


def test_the_longest_chain_goes_first() -> None:
    world = World()
    for name, replicas, wanted in (("wide", 12, 8), ("long", 8, 7), ("short", 2, 1)):
        world.deploy(name, replicas, created="2026-01-01T05:00:00Z", ready_since="2026-01-01T05:00:10Z")
        world.protect(name, wanted)
    drainer(world).run()
    assert [name.split("-")[0] for name in world.evictions[:2]] == ["long", "wide"]


def test_a_pod_kept_in_disrupted_pods_is_named_with_the_time_it_still_takes() -> None:
    world = World(ends=0.1)
    world.deploy("db", 3, kind="StatefulSet")
    world.protect("db", 2)
    world.kept.add("db-0")
    count, said = world._budget, list[str]()

    def controller(name: str) -> Budget:
        budget = count(name)
        # While it counts a pod as leaving nothing else may go.
        return replace(budget, allowed=0) if budget.disrupted else budget

    def released(seconds: float) -> None:
        wait(seconds)
        if world.clock.now > 130:
            world.kept.clear()

    wait = world.wait

    world._budget, world.wait = controller, released
    work = drainer(world, pace=Pace(rescan=5, stall=600, per_second=1000), log=said.append)
    assert work.run() == []
    assert left(world) == []
    assert any("apps/db still counts apps/db-0 as leaving, which is there again" in line for line in said)


def test_all_wait_while_the_disruption_controller_has_not_seen_a_stateful_sets_pod_end() -> None:
    """Else the next pod of that name would be there before it looks, and its budget closed for two minutes."""
    world, when = World(starts=0.5, ends=6), dict[str, float]()
    world.deploy("db", 3, kind="StatefulSet", grace_seconds=4.0)
    world.protect("db", 2)
    world.deploy("web", 60, kind="CloneSet")
    world.protect("web", 0)
    world.kept.add("db-0")
    evict, wait = world.evict, world.wait

    def timed(namespace: str, name: str, uid: str) -> None:
        evict(namespace, name, uid)
        when[name] = world.clock.now

    def seen_late(seconds: float) -> None:
        wait(seconds)
        if world.clock.now > 5.5:
            world.kept.clear()

    world.evict, world.wait = timed, seen_late
    work = drainer(world, pace=Pace(rescan=5, stall=60, per_second=8, unplaced=2))
    assert work.run() == []
    assert left(world) == []
    first = when["db-0"]
    assert not [name for name, at in when.items() if first + 2.5 < at < 5.5], when
    assert [name for name, at in when.items() if at < first + 2.5 and name.startswith("web")]


def test_sets_go_first_and_no_more_at_once_than_the_disruption_controller_sees_in_time() -> None:
    """One that takes a fifth of a second for each, and a second until a set's next pod has the name of the last one."""
    world = World(starts=0.5, ends=1)
    for number in range(6):
        world.deploy(f"db{number}", 3, kind="StatefulSet", grace_seconds=1.0)
        world.protect(f"db{number}", 2)
    world.deploy("web", 60, kind="CloneSet")
    world.protect("web", 0)
    queue, trapped, free_at = list[str](), list[str](), 0.0
    evict, wait = world.evict, world.wait

    def queued(namespace: str, name: str, uid: str) -> None:
        evict(namespace, name, uid)
        world.kept.add(name)
        queue.append(name)

    def controller(seconds: float) -> None:
        nonlocal free_at
        wait(seconds)
        while queue and free_at <= world.clock.now:
            name = queue.pop(0)
            free_at = max(free_at, world.clock.now - seconds) + 0.2
            back = any(pod.name == name and not pod.terminating for pod in world.pods.values())
            # A set that has left altogether waits for no budget any more.
            if back and any(pod.name[:3] == name[:3] and pod.node == OLD for pod in world.pods.values()):
                trapped.append(name)
            world.kept.discard(name)

    world.evict, world.wait = queued, controller
    work = drainer(world, pace=Pace(rescan=5, stall=60, per_second=1000))
    assert work.run() == []
    assert left(world) == []
    assert [name[:2] for name in world.evictions[:4]] == ["db"] * 4
    assert trapped == []


def test_a_busy_server_is_told_from_a_low_budget_and_asked_less() -> None:
    world = World()
    world.deploy("a", 4)
    world.protect("a", 0)
    world.refusals["a-0"] = [refusal(429), refusal(503)]
    work = drainer(world)
    assert work.run() == []
    tally = work.tally
    assert (tally.throttled, tally.server_errors, tally.rejected, tally.evictions) == (1, 1, 0, 4)


def test_progress_says_how_much_is_done_how_fast_and_what_decides() -> None:
    world, said = World(starts=10), list[str]()
    world.deploy("a", 6, created="2026-01-01T05:00:00Z", ready_since="2026-01-01T05:00:10Z")
    world.protect("a", 5)
    drainer(world, log=said.append).run()
    told = [line for line in said if "pods and" in line]
    assert "0 of 6 pods and 0 of 1 nodes done" in told[0]
    assert "about 1 min" in told[0] or "about 60 s" in told[0]
    assert "longest: apps/a (6 pods, 1 at once)" in told[0]

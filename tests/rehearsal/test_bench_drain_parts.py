"""The benchmark of the drain without a cluster: what is drawn, what is asked for, what is seen, and the verdict."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from lab.environment import REPOSITORY
from rehearsal.benches.drain import idle, metrics, page
from rehearsal.benches.drain.bound import bound_of, overhead
from rehearsal.benches.drain.idle import IdleError, judged, pace, sample
from rehearsal.benches.drain.judge import COMPARED, COMPARISON, FULL, report_of, scale_of
from rehearsal.benches.drain.model import (
    DRAIN,
    SERIAL,
    Breach,
    Calibration,
    Cpu,
    Latency,
    Left,
    Report,
    Run,
    Single,
    Step,
    Told,
    parallel,
)
from rehearsal.benches.drain.plan import Plan, enough_memory, needed_mb, plan
from rehearsal.benches.drain.run import POINTS, thinned
from rehearsal.benches.drain.watch import Beats, PodBook, PodSeen
from rehearsal.benches.drain.world import (
    BadWorld,
    Rule,
    Times,
    Workload,
    World,
    budget_object,
    workload_object,
)
from rehearsal.benches.written import Header


def one(**change: object) -> Workload:
    base = Workload(name="app-001", stateful=False, replicas=10, rule=Rule.ONE, ready_s=4.0, end_s=2)
    return base.model_copy(update=change)


def a_world(*workloads: Workload) -> World:
    pods = sum(workload.replicas for workload in workloads)
    return World(nodes=2, pods=pods, seed=1, times=Times(ready=(1, 2), end=(1, 1)), workloads=workloads)


WORLD = a_world(one(), one(name="set-002", stateful=True, replicas=5, rule=Rule.TWO))


def seen(**change: object) -> Calibration:
    base = Calibration(
        program="p",
        at="now",
        world=WORLD,
        singles=(),
        overhead_deployment=0.5,
        overhead_stateful=1.0,
        steps=(),
        per_second=20.0,
        saturated=True,
    )
    return base.model_copy(update=change)


def a_run(name: str = DRAIN, **change: object) -> Run:
    base = Run(
        program="p",
        sitting="now",
        at="now",
        name=name,
        world=WORLD,
        wall=50.0,
        emptied=48.0,
        pods=15,
        evictions=15,
        refused=0,
        violations=(),
        watched=2,
        blind=0.4,
        prober=Latency(samples=100, p50=0.01, p99=0.2, worst=0.3),
        server=Latency(samples=1000, p50=0.01, p99=0.1),
        cpu=Cpu(commands=1, apiservers=1, etcd=1, controllers=1, scheduler=1, kwok=1, entry=1, bench=1),
        memory_mb=60.0,
        cluster_mb=1500.0,
        left=(Left(at=0, pods=15), Left(at=48, pods=0)),
        told=Told(pods=15, evictions=15, rejected429=0, seconds=49, bound_seconds=44, streaming_bound_seconds=44),
        trouble=(),
    )
    return base.model_copy(update=change)


def a_report(*runs: Run, calibration: Calibration | None = None, names: tuple[str, ...] = (DRAIN,)) -> Report:
    scale = scale_of(COMPARISON if len(names) > 1 else FULL, WORLD, calibration or seen(), runs)
    return report_of(Header.now("x"), "chosen", [scale], [names], compared=len(names) > 1)


# What is drawn


@pytest.mark.parametrize(("nodes", "pods"), [(200, 4000), (20, 300), (66, 500), (1, 10), (3, 17)])
def test_a_world_has_exactly_the_pods_asked_for_and_no_budget_is_closed(nodes: int, pods: int) -> None:
    for seed in range(20):
        world = World.draw(nodes, pods, seed)
        assert sum(workload.replicas for workload in world.workloads) == pods
        assert all(0 < workload.allowed <= workload.replicas for workload in world.workloads)
        assert all(2 <= workload.ready_s <= 20 and 1 <= workload.end_s <= 5 for workload in world.workloads)


def test_the_same_seed_draws_the_same_world_and_another_one_another() -> None:
    assert World.draw(200, 4000, 7) == World.draw(200, 4000, 7)
    assert World.draw(200, 4000, 7).workloads != World.draw(200, 4000, 8).workloads


def test_the_large_world_is_of_the_kinds_the_reference_has() -> None:
    world = World.draw(200, 4000, 1)
    assert sum(workload.stateful for workload in world.workloads) == 20
    assert len(world.workloads) == 100
    assert {workload.rule for workload in world.workloads} == set(Rule)


@pytest.mark.parametrize(
    ("rule", "replicas", "least", "allowed"),
    [("5%", 10, 0, 1), ("5%", 41, 0, 3), ("25%", 8, 0, 2), ("1", 9, 0, 1), ("2", 9, 0, 2), ("minAvailable", 9, 7, 2)],
)
def test_a_budget_allows_what_kubernetes_makes_of_it(rule: str, replicas: int, least: int, allowed: int) -> None:
    workload = one(rule=Rule(rule), replicas=replicas, min_available=least)
    assert (workload.allowed, workload.desired) == (allowed, replicas - allowed)


def test_objects_say_how_long_their_pods_take() -> None:
    pod = workload_object(one(ready_s=7.5, end_s=3))["spec"]["template"]
    assert pod["metadata"]["annotations"] == {"lab/start": "7.5s"}
    assert pod["spec"]["terminationGracePeriodSeconds"] == 3
    assert budget_object(one())["spec"]["maxUnavailable"] == 1
    assert budget_object(one(rule=Rule.FIVE))["spec"]["maxUnavailable"] == "5%"
    assert budget_object(one(rule=Rule.MIN, min_available=9))["spec"]["minAvailable"] == 9


# What is asked for


def test_the_default_is_the_references_size_beside_a_smaller_comparison() -> None:
    wanted = plan({})
    assert [(part.name, part.world.nodes, part.world.pods) for part in wanted.parts] == [
        (COMPARISON, 50, 500),
        (FULL, 200, 4000),
    ]
    assert [part.runs for part in wanted.parts] == [COMPARED, (DRAIN,)]
    assert wanted.command == "make bench-drain NODES=200 PODS=4000 SEED=1"


def test_a_small_world_is_compared_as_a_whole() -> None:
    assert [part.name for part in plan({"NODES": "20", "PODS": "300"}).parts] == [COMPARISON]


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"NODES": "10", "PODS": "1101"}, "PODS=1101: 10 nodes hold 1100"),
        ({"NODES": "many"}, "NODES='many': must be a whole number"),
        ({"PODS": "-4"}, "PODS='-4': must be a whole number"),
        ({"SEED": "1.5"}, "SEED='1.5': must be a whole number"),
        ({"NODES": "0", "PODS": "10"}, "NODES=0: must be at least 1"),
        ({"PODS": "3"}, "PODS=3: must be at least 10"),
        ({"COMPARE": "5"}, "COMPARE='5': must be nodes:pods"),
        ({"COMPARE": "201:40"}, "COMPARE='201:40': must be no more than NODES=200"),
        ({"COMPARE": "1:500"}, "PODS=500: 1 nodes hold 110"),
    ],
)
def test_what_cant_be_asked_for_is_refused_in_one_sentence(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(BadWorld) as refused:
        plan(environ)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_memory_that_doesnt_suffice_is_said_before_anything_starts() -> None:
    wanted = plan({})
    with pytest.raises(BadWorld, match=r"memory: 1000 MB are available and about \d+ MB are needed"):
        enough_memory(wanted, 1000)
    enough_memory(wanted, max(map(needed_mb, wanted.parts)))


# The floor


def test_the_bound_is_the_longest_budget_or_the_rate() -> None:
    bound = bound_of(WORLD, seen())
    assert [(term.budget, term.seconds) for term in bound.terms] == [("app-001", 45.0), ("set-002", 21.0)]
    assert (bound.seconds, bound.rate_seconds, bound.streaming_seconds) == (45.0, 0.75, 45.0)
    assert bound_of(WORLD, seen(per_second=0.1)).seconds == 150.0


def test_overhead_is_of_one_kind_and_none_where_none_was_seen() -> None:
    ones = [Single(workload="a", stateful=False, seeded=4, measured=measured) for measured in (4.2, 4.4, 9.0)]
    assert overhead(ones, stateful=False) == pytest.approx(0.4)
    assert overhead(ones, stateful=True) is None


def test_single_evictions_are_of_both_kinds_and_of_different_times() -> None:
    chosen = sample(World.draw(200, 4000, 1), 10)
    assert len({workload.name for workload in chosen}) == 10
    assert sum(workload.stateful for workload in chosen) == 5
    assert len({workload.ready_s for workload in chosen}) > 5


def _step(asked: float, sustained: float, p99: float) -> Step:
    return Step(asked=asked, evictions=10, sustained=sustained, p99=p99)


def test_q_is_the_highest_rate_that_left_writes_quick() -> None:
    assert judged([_step(4, 4, 0.1), _step(8, 8, 0.4), _step(16, 12, 0.9)]) == (12, True)
    assert judged([_step(4, 4, 0.1), _step(8, 8, 1.4)]) == (4, True)
    assert judged([_step(4, 4, 0.1)]) == (4, False)
    with pytest.raises(IdleError, match="even 4 evictions a second"):
        judged([_step(4, 4, 1.2)])


def test_the_rate_goes_up_while_it_is_kept_and_down_where_even_the_first_is_too_fast() -> None:
    assert idle.next_rate([_step(4, 4, 0.1)]) == 6
    assert idle.next_rate([_step(4, 4, 0.1), _step(6, 3, 0.1)]) is None
    assert idle.next_rate([_step(4, 4, 0.1), _step(6, 6, 1.1)]) is None
    assert idle.next_rate([_step(4, 4, 1.2)]) == 2
    assert idle.next_rate([_step(4, 4, 1.2), _step(2, 2, 0.5)]) is None
    assert idle.next_rate([_step(0.6, 0.6, 1.2)]) is None
    assert judged([_step(4, 4, 1.2), _step(2, 2, 0.5)]) == (2, True)


def test_pace_leaves_out_the_start_and_a_straggler() -> None:
    arrivals = [0.0, *(5 + number / 10 for number in range(19)), 60.0]
    assert pace(arrivals) == pytest.approx(10)
    assert pace([1.0, 1.0]) == math.inf


# What the API servers count

METRICS = """# HELP apiserver_request_total x
apiserver_request_total{code="201",resource="pods",subresource="eviction",verb="POST"} 7
apiserver_request_total{code="429",resource="pods",subresource="eviction",verb="POST"} 2
apiserver_request_total{code="201",resource="pods",subresource="",verb="POST"} 99
apiserver_request_duration_seconds_bucket{resource="pods",verb="POST",le="0.1"} 90
apiserver_request_duration_seconds_bucket{resource="pods",verb="POST",le="1"} 100
apiserver_request_duration_seconds_bucket{resource="pods",verb="POST",le="+Inf"} 100
apiserver_request_duration_seconds_bucket{resource="pods",verb="LIST",le="+Inf"} 5000
"""


def test_evictions_and_writes_are_read_from_metrics() -> None:
    counts = metrics.parse(METRICS)
    assert dict(counts.evictions) == {"201": 7, "429": 2}
    assert counts.latency() == Latency(samples=100, p50=0.0556, p99=0.91)


def test_a_difference_shows_a_server_that_began_anew_and_no_writes_are_no_latency() -> None:
    counts = metrics.parse(METRICS)
    same = counts.since(counts)
    assert (same.latency(), same.went_back) == (None, False)
    assert metrics.Counts().since(counts).latency() is None
    assert metrics.parse(METRICS.replace("} 7", "} 3")).since(counts).went_back


# What is seen


def _pod(uid: str, *, healthy: bool = True, old: bool = True) -> PodSeen:
    return PodSeen(uid=uid, app="app-001", beat=None, old=old, healthy=healthy)


def test_the_pods_history_shows_a_budget_that_wasnt_kept() -> None:
    book = PodBook({"app-001": 2})
    book.listed([_pod("a"), _pod("b"), _pod("c")], 0)
    book.seen("MODIFIED", _pod("a", healthy=False), 1)
    assert book.breaches == []
    book.seen("MODIFIED", _pod("b", healthy=False), 2)
    book.seen("MODIFIED", _pod("c", healthy=False), 3)
    assert [(breach.at, breach.healthy, breach.desired) for breach in book.breaches] == [(2, 1, 2)]
    for uid in "de":
        book.seen("ADDED", _pod(uid, old=False), 4)
    book.seen("DELETED", _pod("d", old=False), 5)
    assert len(book.breaches) == 2


def test_pods_left_are_those_that_were_there_at_the_start() -> None:
    book = PodBook({"app-001": 0})
    book.listed([_pod("a"), _pod("b"), _pod("n", old=False)], 0)
    book.seen("DELETED", _pod("a"), 1)
    book.seen("DELETED", _pod("n", old=False), 2)
    book.seen("DELETED", _pod("b"), 3)
    assert [(left.at, left.pods) for left in book.history] == [(0, 2), (1, 1), (3, 0)]


def test_a_workload_that_was_short_at_the_start_is_named_and_not_judged() -> None:
    book = PodBook({"app-001": 2})
    book.listed([_pod("a")], 0)
    book.seen("DELETED", _pod("a"), 1)
    assert (book.unmet, book.breaches) == (["app-001"], [])


def test_a_beat_that_doesnt_come_is_how_long_the_watch_is_blind() -> None:
    beats = Beats()
    beats.send(1, 0.0)
    beats.see(1, 0.3)
    beats.send(2, 1.0)
    beats.send(3, 2.0)
    assert beats.lag(5.0) == 4.0
    beats.see(3, 6.0)
    assert (beats.lag(100.0), beats.sent) == (5.0, {})
    # The event came before the answer to the write.
    beats.see(4, 7.0)
    beats.send(4, 6.9)
    assert beats.sent == {}


def test_a_long_history_is_thinned_with_its_ends() -> None:
    points = [Left(at=number, pods=4000 - number) for number in range(4001)]
    kept = thinned(points)
    assert len(kept) <= POINTS + 1
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert thinned(points[:1]) == (points[0],)


# The verdict


def test_a_missed_aim_is_told_and_no_failure() -> None:
    report = a_report(a_run(wall=80.0))
    assert report.trouble == ()
    missed = [aim for aim in report.aims if not aim.kept]
    assert [aim.name for aim in missed] == ["drain ÷ LB (2 nodes, 15 pods)"]
    assert report.scales[0].ratios == {DRAIN: pytest.approx(1.778)}


def test_a_violation_is_a_failure() -> None:
    breach = Breach(source="pods", budget="bench/app-001", at=3, healthy=8, desired=9)
    [sentence] = a_report(a_run(violations=(breach,))).trouble
    assert sentence == "full, this drain: 1 violations, the first of bench/app-001 (8 healthy of 9, by pods)"


@pytest.mark.parametrize(
    ("run", "word"),
    [
        (None, "not measured"),
        (a_run(prober=None), "how long writes took"),
        (a_run(server=None), "how long writes took"),
        (a_run(memory_mb=None), "memory"),
        (a_run(evictions=0), "429s an eviction"),
        (a_run(trouble=("the watch of pods was blind for 20 s",)), "blind"),
    ],
)
def test_what_wasnt_measured_is_a_failure(run: Run | None, word: str) -> None:
    report = a_report(*([] if run is None else [run]))
    assert any(word in sentence for sentence in report.trouble)


def test_a_run_in_trouble_counts_for_no_ratio() -> None:
    report = a_report(a_run(trouble=("blind",)))
    assert report.scales[0].ratios == {}
    assert all(aim.measured is None for aim in report.aims)


def test_kubectl_is_beside_the_drain_and_a_missing_one_is_a_failure() -> None:
    runs = [a_run(), a_run(SERIAL, wall=300), a_run(parallel(25), wall=100), a_run(parallel(100), wall=60)]
    report = a_report(*runs, names=COMPARED)
    found = {aim.name: aim.measured for aim in report.aims}
    assert (found["serial kubectl ÷ drain"], found["drain ÷ 25 kubectls"]) == (6, 0.5)
    assert report.trouble == ()
    assert any(SERIAL in sentence for sentence in a_report(runs[0], *runs[2:], names=COMPARED).trouble)


def test_the_report_is_read_back_as_it_was_written() -> None:
    report = a_report(a_run())
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_the_plot_shows_each_run_and_the_bound() -> None:
    svg = page.plot(a_report(a_run(), a_run(SERIAL), names=COMPARED).scales)
    assert svg.count("<svg") == 1
    for word in (DRAIN, SERIAL, "LB: 45 s", "pods left"):
        assert word in svg


def test_the_drains_own_words_are_read_and_what_else_it_says_is_no_matter() -> None:
    text = '{"nodes": 2, "pods": 3, "evictions": 3, "rejected429": 1, "seconds": 2.5, "boundSeconds": 2, "terms": []}'
    assert Told.model_validate_json(text).rejected429 == 1
    with pytest.raises(ValueError, match="boundSeconds"):
        Told.model_validate_json(text.replace("boundSeconds", "bound"))


def test_a_plan_in_short_is_one_world_without_kubectl() -> None:
    wanted: Plan = plan({}, short=True)
    assert [part.runs for part in wanted.parts] == [(DRAIN,)]
    assert not wanted.compared
    assert (wanted.parts[0].world.nodes, wanted.parts[0].world.pods) == (20, 300)


def test_the_makefile_has_the_command() -> None:
    assert "rehearsal.benches.drain" in Path(REPOSITORY / "Makefile").read_text()
    assert idle.P99_S == 1.0

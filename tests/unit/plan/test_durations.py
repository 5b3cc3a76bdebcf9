"""How long an `up` is said to take: each wait as long as its own key, and nothing where nobody can see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from migration.contracts.durations import Checks, Prediction, Timings
from migration.contracts.plan import Blocked, DrainBound, GateNow, Limit, PodsMove, WorkersMove
from migration.contracts.seen import Unseen
from migration.plan.durations import Ahead, of
from migration.settings import Settings
from migration.settings.model import ApiServer
from tests.samples import settings

NOTHING = (0.0, 0.0)
# Every time of the cloud's own is 0: what is left is the configuration's.
INSTANT = Timings.model_validate(
    {name: NOTHING for name, field in Timings.model_fields.items() if isinstance(field.default, tuple)}
    | {"drain_to_bound": (1.0, 1.0)}
)
HIDDEN = Unseen(unseen="AWS doesn't answer")
NO_PODS = PodsMove(stage=6, nodes=3, pods=0, limits=(), restarts=(), blocked=(), bound=None)
BOUND = DrainBound(seconds=40.0, streaming_seconds=30.0, evictions=12, per_second=50, terms=())


def workers(now: int = 0, then: int = 5) -> list[WorkersMove]:
    return [WorkersMove(side="main", groups=2, groups_then=2, instances=now, instances_then=then)]


def ahead(origin: int, **seen: Any) -> Ahead:
    return Ahead(**{"origin": origin, "workers": workers(), "pods": NO_PODS, **seen})


def said(stage: int, timings: Timings = INSTANT, within: Settings | None = None, **seen: Any) -> Prediction:
    return of(within or settings(stage), ahead(seen.pop("origin", stage - 1), **seen), timings)


def spans(found: Prediction) -> dict[str, tuple[float, float]]:
    return {one.what: (one.low, one.high) for one in found.terms if one.high}


def changed(stage: int, **keys: Any) -> Settings:
    """The sample with other values of the configuration's own models."""
    found = settings(stage)
    return replace(found, configuration=found.configuration.model_copy(update=keys))


def limits(stage: int, **values: int) -> Settings:
    return changed(stage, limits=settings(stage).configuration.limits.model_copy(update=values))


# Each wait is its key's


def test_the_old_ttl_is_waited_out_at_2_as_long_as_the_longest_record_has_it() -> None:
    traffic = settings(2).configuration.traffic
    slow = traffic.model_copy(
        update={"records": tuple(one.model_copy(update={"ttl": 300 + n}) for n, one in enumerate(traffic.records))}
    )
    most = 299 + len(traffic.records)
    assert spans(said(2, within=changed(2, traffic=slow)))["old TTL waited out"] == (most, most)
    short = traffic.model_copy(
        update={"records": tuple(one.model_copy(update={"ttl": traffic.ttl}) for one in traffic.records)}
    )
    assert "old TTL waited out" not in spans(said(2, within=changed(2, traffic=short)))


def test_names_are_waited_for_as_often_as_they_change() -> None:
    slow = INSTANT.model_copy(update={"in_sync": (10.0, 20.0)})
    assert spans(said(2, slow))["one change batch on all name servers"] == (10, 20)
    assert spans(said(4, slow)) == {"weights on all name servers": (20, 40)}
    assert spans(said(8, slow)) == {"one change batch on all name servers": (10, 20)}


def test_quiet_is_the_window_that_the_gate_asks_for_and_metrics_that_come_late() -> None:
    late = INSTANT.model_copy(update={"metric_lag": (7.0, 9.0)})
    low, high = spans(said(5, late))["old balancers quiet (gate ingress-quiet)"]
    quick = limits(5, metric_period_seconds=5, quiet_periods=1)
    c = settings(5).configuration
    window, kept = c.limits.quiet_window(c.traffic.kept(60)), c.traffic.kept(60)
    assert (low, high) == (window - 60 + 7, kept + window + 120 + 9)
    assert spans(said(5, late, quick))["old balancers quiet (gate ingress-quiet)"][1] < high


def test_a_quiet_gate_before_a_stage_waits_only_where_it_does_not_hold_now() -> None:
    def judged(state: Any) -> Prediction:
        return said(6, gates_before=[GateNow(check="ingress-quiet", state=state, detail="CloudWatch doesn't answer")])

    assert "gate ingress-quiet" not in spans(judged("holds"))
    assert spans(judged("refuses"))["gate ingress-quiet"][0] == 0
    assert judged("unseen").unseen == ("gate ingress-quiet: CloudWatch doesn't answer",)


def test_new_workers_boot_side_by_side_and_answer_their_checks() -> None:
    slow = INSTANT.model_copy(update={"boot": (200.0, 300.0), "join": (30.0, 60.0), "launch": (1.0, 2.0)})
    found = spans(said(3, slow, limits(3, health_interval_seconds=10)))
    assert found == {"5 instances boot and join": (231, 362), "new ingress targets healthy": (10, 20)}
    assert spans(said(3, slow, workers=workers(5, 5))) == {}


def test_a_cloud_that_looks_at_targets_in_its_own_way_says_so() -> None:
    quick = INSTANT.model_copy(update={"checks": Checks(interval=0.5, healthy_threshold=4, unhealthy_threshold=2)})
    assert spans(said(3, quick))["new ingress targets healthy"] == (1.5, 2.0)


def test_the_drain_takes_its_bound_and_machines_their_targets_delay() -> None:
    found = spans(
        said(6, INSTANT, limits(6, deregistration_seconds=120), pods=NO_PODS.model_copy(update={"bound": BOUND}))
    )
    assert found["pods moved"] == (40, 40)
    assert found["looks again"] == (10, 10)
    assert found["old machines gone"] == (120, 120)
    assert found["ingress's policy back to Local"][0] >= 120
    cut = INSTANT.model_copy(update={"deregistration_at_most": 2.0})
    assert spans(said(6, cut, limits(6, deregistration_seconds=120)))["old machines gone"] == (2, 2)


def test_each_member_waits_for_its_own_delay() -> None:
    whole = spans(said(7, INSTANT, limits(7, deregistration_seconds=120)))
    assert whole["3 × the old one's out of the balancers"] == (360, 360)
    again = spans(said(7, INSTANT, limits(7, deregistration_seconds=120), origin=7, voters={"legacy": 1, "main": 2}))
    assert again["1 × the old one's out of the balancers"] == (120, 120)


def test_a_stage_that_is_reached_takes_the_engine_alone() -> None:
    known = Timings()
    assert [one.what for one in said(6, known, origin=6, settled=True).terms] == ["the engine's own work"]
    assert said(6, known, origin=6, settled=True).low == known.engine[0]


def test_stages_in_one_up_add_up() -> None:
    slow = Timings()
    whole = of(settings(3), ahead(0), slow)
    assert whole.high is not None
    parts = {one.what for number in (1, 2, 3) for one in said(number, slow).terms}
    assert {one.what for one in whole.terms} == parts


# What can't be seen is said, and is never nothing


@pytest.mark.parametrize(
    ("stage", "seen", "word"),
    [
        (3, {"workers": HIDDEN}, "new workers' boot: AWS doesn't answer"),
        (3, {"workers": None}, "new workers' boot: nobody looked"),
        (6, {"pods": HIDDEN}, "drain: AWS doesn't answer"),
        (6, {"pods": None}, "drain: nobody looked"),
        (7, {"origin": 7, "voters": HIDDEN}, "swaps, how many of 3 are still to be made: AWS doesn't answer"),
        (7, {"origin": 7, "voters": None}, "swaps, how many of 3"),
        (8, {"origin": 8, "settled": True, "rolls": HIDDEN}, "what is rolled out: AWS doesn't answer"),
        (8, {"origin": 8, "settled": True, "rolls": ("group a",)}, "1 rolls"),
    ],
)
def test_what_is_not_seen_leaves_no_upper_end(stage: int, seen: dict[str, Any], word: str) -> None:
    found = said(stage, Timings(), **seen)
    assert found.high is None
    assert any(one.startswith(word) for one in found.unseen)


def test_pods_that_nothing_moves_leave_no_upper_end() -> None:
    stuck = NO_PODS.model_copy(update={"blocked": (Blocked(reason="its budget never allows it", pods=("a/b",)),)})
    closed = NO_PODS.model_copy(update={"limits": (Limit(key="apps/db", protected=True, pods=3, allowed=0),)})
    assert said(6, pods=stuck).high is None
    assert said(6, pods=closed).unseen == ("drain: 1 budgets allow no eviction now, the first is apps/db",)


def test_api_machines_beside_members_are_named_as_not_seen() -> None:
    apart = (ApiServer(name="api-a", group="api-a", zone="eu-central-1a"),)
    members = tuple(one.model_copy(update={"api_servers": apart}) for one in settings(7).configuration.members)
    assert said(7, within=changed(7, members=members)).unseen == ("API machines that move with their members",)


# What a cloud takes


def test_timings_that_fall_are_refused() -> None:
    with pytest.raises(ValidationError, match="the shorter one first"):
        Timings(boot=(9, 3))


def test_aws_and_the_reference_agree_on_a_node() -> None:
    known = Timings()
    assert (known.boot[0] + known.join[0], known.boot[1] + known.join[1]) == (4 * 60, 7 * 60)

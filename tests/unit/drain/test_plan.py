"""What may go, what waits and what is blocked, on literals."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from migration.drain.model import Budget, Controller, Owner, Pod
from migration.drain.plan import ADMISSION, DNS, OTHERS, Rules, View, admission_services, phase_of, plan_drain

REST = Rules(tier="rest")
OWNER = Owner(kind="Deployment", namespace="apps", name="web", uid="d1", desired=4, surges=True)


def pod(name: str = "web-1", **changes: Any) -> Pod:
    base = Pod(
        namespace="apps",
        name=name,
        uid=f"uid-{name}",
        node="old-1",
        labels={"app": "web"},
        controller=Controller(kind="ReplicaSet", name="web-abc", uid="rs1"),
    )
    return replace(base, **changes)


def budget(name: str = "web", **changes: Any) -> Budget:
    base = Budget(
        namespace="apps",
        name=name,
        selector={"matchLabels": {"app": "web"}},
        allowed=1,
        current_healthy=4,
        desired_healthy=3,
        expected=4,
    )
    return replace(base, **changes)


def view(pods: list[Pod], budgets: list[Budget] | None = None, **changes: Any) -> View:
    base = View(nodes=frozenset({"old-1"}), pods=pods, budgets=budgets or [], owners={"rs1": OWNER})
    return replace(base, **changes)


def reason(pods: list[Pod], budgets: list[Budget] | None = None, rules: Rules = REST, **changes: Any) -> str:
    plan = plan_drain(view(pods, budgets, **changes), rules)
    assert len(plan.blocked) == 1, plan
    assert not plan.lanes
    return plan.blocked[0].reason


def test_daemon_mirror_and_finished_pods_and_those_elsewhere_are_left_out() -> None:
    pods = [
        pod("ds", controller=Controller(kind="DaemonSet", name="ds", uid="x")),
        pod("static", controller=Controller(kind="Node", name="old-1", uid="x")),
        pod("mirror", mirror=True),
        pod("done", phase="Succeeded", empty_dir=True),
        pod("crashed", phase="Failed", controller=None),
        pod("elsewhere", node="new-1"),
        pod("unscheduled", node=""),
    ]
    plan = plan_drain(view(pods), REST)
    assert (plan.lanes, plan.blocked, plan.leaving, plan.remaining) == ((), (), (), 0)


def test_a_pod_under_a_budget_goes_with_that_budgets_lane() -> None:
    plan = plan_drain(view([pod()], [budget()]), REST)
    lane = plan.lanes[0]
    assert (lane.key, lane.allowed, [p.name for p in lane.pods], lane.free) == ("apps/web", 1, ["web-1"], ())


def test_a_budget_of_another_namespace_does_not_protect() -> None:
    plan = plan_drain(view([pod()], [budget(namespace="other")]), REST)
    assert plan.lanes[0].key == "Deployment apps/web"


def test_pods_told_to_go_are_leaving_and_not_asked_again() -> None:
    plan = plan_drain(view([pod(terminating=True), pod("web-2")]), REST, frozenset({"uid-web-2"}))
    assert ([p.name for p in plan.leaving], plan.lanes, plan.remaining) == (["web-1", "web-2"], (), 2)


def test_two_budgets_on_one_pod_block_it_because_the_api_answers_500_for_good() -> None:
    plan = plan_drain(view([pod()], [budget("a"), budget("b")]), REST)
    assert plan.blocked[0].budget == "apps/a, apps/b"
    assert "more than one budget" in plan.blocked[0].reason


@pytest.mark.parametrize(
    ("changes", "rules", "word"),
    [
        ({"controller": None}, REST, "migration:drain.barePods"),
        ({"empty_dir": True}, REST, "migration:drain.emptyDir"),
        ({"leave_alone": "karpenter.sh/do-not-disrupt=true"}, Rules(tier="rest", empty_dir=True), "do-not-disrupt"),
    ],
)
def test_what_needs_a_yes_is_blocked_and_says_which(changes: dict[str, Any], rules: Rules, word: str) -> None:
    assert word in reason([pod(**changes)], rules=rules)


def test_with_a_yes_bare_pods_and_empty_dir_data_go() -> None:
    rules = Rules(tier="rest", bare_pods=True, empty_dir=True)
    plan = plan_drain(view([pod("bare", controller=None, empty_dir=True), pod("scratch", empty_dir=True)]), rules)
    assert [lane.key for lane in plan.lanes] == ["Deployment apps/web", "Pod apps/bare"]
    assert not plan.blocked


# 25 % of 4 is 1; owners that miss pods already have less to give.
@pytest.mark.parametrize(("unready", "allowed"), [(0, 1), (1, 0), (2, 0)])
def test_the_default_budget_counts_what_the_owner_has_ready(unready: int, allowed: int) -> None:
    pods = [
        pod(f"web-{index}", node="new-1" if index < unready else "old-1", ready=index >= unready) for index in range(4)
    ]
    assert plan_drain(view(pods), REST).lanes[0].allowed == allowed


@pytest.mark.parametrize(("limit", "desired", "allowed"), [("25%", 1, 1), ("25%", 10, 3), ("50%", 4, 2), (2, 10, 2)])
def test_the_default_budget_is_rounded_up_and_at_least_one(limit: int | str, desired: int, allowed: int) -> None:
    pods = [pod(f"web-{index}") for index in range(desired)]
    owners = {"rs1": replace(OWNER, desired=desired)}
    plan = plan_drain(view(pods, owners=owners), Rules(tier="rest", unprotected=limit))
    assert plan.lanes[0].allowed == allowed


def test_an_evicted_pod_no_longer_counts_as_ready_though_the_view_still_shows_it_whole() -> None:
    plan = plan_drain(view([pod(f"web-{index}") for index in range(4)]), REST, frozenset({"uid-web-0"}))
    assert plan.lanes[0].allowed == 0


def test_the_pods_of_two_replica_sets_of_one_deployment_share_its_limit() -> None:
    other = Controller(kind="ReplicaSet", name="web-def", uid="rs2")
    pods = [pod("web-1"), pod("web-2"), pod("web-3", controller=other), pod("web-4", controller=other)]
    plan = plan_drain(view(pods, owners={"rs1": OWNER, "rs2": OWNER}), REST)
    assert [(lane.key, lane.allowed, len(lane.pods)) for lane in plan.lanes] == [("Deployment apps/web", 1, 4)]


def test_unready_pods_pass_a_closed_budget_only_by_its_policy() -> None:
    sick = pod(ready=False)
    closed = budget(allowed=0, current_healthy=2)
    assert plan_drain(view([sick], [closed]), REST).lanes[0].free == ()
    assert plan_drain(view([sick], [replace(closed, current_healthy=3)]), REST).lanes[0].free == (sick,)
    assert plan_drain(view([sick], [replace(closed, evicts_unhealthy=True)]), REST).lanes[0].free == (sick,)
    pending = replace(sick, phase="Pending")
    assert plan_drain(view([pending], [closed]), REST).lanes[0].free == (pending,)


NEVER = budget(allowed=0, current_healthy=4, desired_healthy=4, expected=4)


def test_a_budget_that_never_allows_leads_to_a_rolling_restart_of_a_surging_deployment() -> None:
    plan = plan_drain(view([pod()], [NEVER]), REST)
    assert [(item.owner.name, item.budget, len(item.pods)) for item in plan.restarts] == [("web", "apps/web", 1)]
    assert (plan.lanes, plan.blocked) == ((), ())


@pytest.mark.parametrize(
    ("owner", "changes", "word"),
    [
        (replace(OWNER, surges=False), {}, "let the Deployment surge"),
        (replace(OWNER, paused=True), {}, "resume the Deployment"),
        (replace(OWNER, kind="StatefulSet", surges=False), {}, "add replicas or relax the budget"),
        (OWNER, {"claims": ("data",)}, "one node at a time"),
    ],
)
def test_where_a_rolling_restart_can_not_help_the_pod_is_blocked(
    owner: Owner, changes: dict[str, Any], word: str
) -> None:
    single = frozenset({"apps/data"})
    assert word in reason([pod(**changes)], [NEVER], owners={"rs1": owner}, single_writer=single)


def test_a_stale_budget_is_waited_for_and_neither_restarted_nor_blocked() -> None:
    plan = plan_drain(view([pod()], [replace(NEVER, fresh=False)]), REST)
    assert [(lane.key, lane.allowed) for lane in plan.lanes] == [("apps/web", 0)]


def test_phases_are_webhooks_then_dns_then_everything_else() -> None:
    seen = view([], admission=[("apps", {"app": "hook"})])
    assert phase_of(pod(labels={"app": "hook", "x": "y"}), seen, REST) == ADMISSION
    assert phase_of(pod(labels={"app": "hook"}, namespace="other"), seen, REST) == OTHERS
    assert phase_of(pod(labels={"k8s-app": "kube-dns"}), seen, REST) == DNS
    assert phase_of(pod(), seen, REST) == OTHERS


def test_the_ingress_tier_is_namespace_and_selector_and_never_empty_by_accident() -> None:
    pods = [pod("a", labels={"app": "ing"}), pod("b"), pod("c", labels={"app": "ing"}, namespace="other")]
    chosen = plan_drain(view(pods), Rules(tier="ingress", ingress_namespace="apps", ingress_selector={"app": "ing"}))
    assert sorted(chosen.phases) == ["uid-a"]
    assert not plan_drain(view(pods), Rules(tier="ingress", ingress_namespace="apps")).phases


def test_services_behind_webhooks_and_aggregated_apis_are_found() -> None:
    webhooks = [
        {
            "webhooks": [
                {"clientConfig": {"service": {"namespace": "a", "name": "hook"}}},
                {"clientConfig": {"url": "x"}},
            ]
        },
        {},
    ]
    apis = [{"spec": {"service": {"namespace": "kube-system", "name": "metrics"}}}, {"spec": {}}]
    assert admission_services(webhooks, apis) == {("a", "hook"), ("kube-system", "metrics")}


@pytest.mark.parametrize(
    ("changes", "rules", "word"),
    [
        ({"host_path": True}, REST, "migration:drain.hostPath"),
        ({"claims": ("data",)}, REST, "its volume pv-7 lives on this node alone .* migration:drain.localVolumes"),
        ({"ends_itself": True}, replace(REST, jobs="refuse"), "migration:drain.jobs"),
    ],
)
def test_data_of_one_node_and_jobs_are_blocked_with_the_key(changes: dict[str, Any], rules: Rules, word: str) -> None:
    assert re.search(word, reason([pod(**changes)], rules=rules, node_bound={"apps/data": "pv-7"}))


def test_with_a_yes_node_files_and_node_volumes_are_left_behind() -> None:
    rules = Rules(tier="rest", host_path=True, local_volumes=True)
    seen = view([pod(host_path=True, claims=("data",))], node_bound={"apps/data": "pv-7"})
    assert plan_drain(seen, rules).blocked == ()


def test_a_jobs_pod_ends_by_itself_whatever_it_would_lose() -> None:
    plan = plan_drain(view([pod(ends_itself=True, controller=None, empty_dir=True, host_path=True)]), REST)
    assert ([p.name for p in plan.ending], plan.blocked, plan.lanes, plan.remaining) == (["web-1"], (), (), 1)


def test_ended_pods_are_left_unless_they_may_not_be() -> None:
    done = pod("done", phase="Succeeded", ready=False)
    assert plan_drain(view([done]), REST).blocked == ()
    assert "migration:drain.finishedPods" in reason([done], rules=Rules(tier="rest", finished="refuse"))


# Four wanted, 25 %: one may be on its way. Unready ones on the old node, unready ones elsewhere, pods missing.
@pytest.mark.parametrize(
    ("unready", "starting", "missing", "unready_may", "ready_may"),
    [(0, 0, 0, 0, 1), (1, 0, 0, 1, 0), (4, 0, 0, 1, 0), (2, 1, 0, 0, 0), (3, 0, 1, 0, 0)],
)
def test_unready_pods_without_a_budget_count_against_their_owners_share(
    unready: int, starting: int, missing: int, unready_may: int, ready_may: int
) -> None:
    there = 4 - missing
    pods = [
        pod(f"web-{n}", ready=n >= unready + starting, node="new-1" if unready <= n < unready + starting else "old-1")
        for n in range(there)
    ]
    lane = plan_drain(view(pods), REST).lanes[0]
    assert (len(lane.free), lane.free_allowed, lane.allowed) == (unready, unready_may, ready_may)


def test_of_eight_pods_two_may_go_and_the_unready_one_is_among_them() -> None:
    pods = [pod(f"web-{n}", ready=n > 0) for n in range(8)]
    lane = plan_drain(view(pods, owners={"rs1": replace(OWNER, desired=8)}), REST).lanes[0]
    assert (lane.free_allowed, lane.allowed) == (1, 1)

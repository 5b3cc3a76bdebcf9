"""The applications of the large profile: how many, how large, under which budgets."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from lab.profiles import PROFILES
from lab.workload import objects, room
from lab.workload.apps import APPS, DEPLOYMENTS, NAMESPACES, STATEFUL_SETS, App, apps_of, fewest

LARGE = PROFILES["large"]
MANY = apps_of("large", 4000)


def allows(app: App) -> int:
    """How many of an application's pods may be away, as Kubernetes rounds: both of a budget's fields up.

    https://kubernetes.io/docs/tasks/run-application/configure-pdb/#rounding-logic-when-specifying-percentages
    """
    if app.budget is None:
        return app.replicas
    value = app.budget.value
    number = math.ceil(int(value[:-1]) * app.replicas / 100) if isinstance(value, str) else value
    return number if app.budget.field == "maxUnavailable" else app.replicas - number


def test_the_small_profile_has_the_applications_that_it_always_had() -> None:
    assert apps_of("small", 218) == APPS
    assert sum(app.replicas for app in APPS) == 218 == PROFILES["small"].pods


def test_the_large_profile_has_eighty_deployments_and_twenty_stateful_sets_no_two_of_a_name() -> None:
    assert Counter(app.stateful for app in MANY) == {False: DEPLOYMENTS, True: STATEFUL_SETS} == {False: 80, True: 20}
    assert len({(app.namespace, app.name) for app in MANY}) == 100
    assert {app.namespace for app in MANY} == set(NAMESPACES)
    assert MANY[: len(APPS)] == APPS


@pytest.mark.parametrize("pods", [fewest(), 1000, 3999, 4000, 4001, 10_000])
def test_there_are_as_many_pods_as_are_asked_for_and_the_same_ones_every_time(pods: int) -> None:
    apps = apps_of("large", pods)
    assert sum(app.replicas for app in apps) == pods
    assert apps == apps_of("large", pods)
    names = [(app.namespace, app.name) for app in apps]
    assert names == [(app.namespace, app.name) for app in MANY]


def test_budgets_are_of_every_kind_and_all_but_the_single_replicas_let_a_pod_go() -> None:
    for pods in (fewest(), 4000):
        others = apps_of("large", pods)[len(APPS) :]
        kinds = {(app.budget.field, app.budget.value) for app in others if app.budget and not app.stateful}
        assert {("maxUnavailable", value) for value in (1, 2, "5%", "10%", "25%")} < kinds
        assert {("minAvailable", int), ("minAvailable", str)} <= {(field, type(value)) for field, value in kinds}
        assert [app.name for app in others if allows(app) < 1] == []


def test_small_budgets_belong_to_small_applications() -> None:
    rounds = {app.name: math.ceil(app.replicas / allows(app)) for app in MANY[len(APPS) :]}
    assert max(rounds.values()) < 30, "an application that is longer than all of the others' hides how fast a drain is"


def test_every_replica_that_keeps_data_has_a_volume_of_its_own_and_each_zone_has_some() -> None:
    claims = objects.claims(MANY)
    assert len({(space, claim) for space, claim, _ in claims}) == len(claims)
    assert len(claims) == sum(app.replicas for app in MANY if app.stateful)
    assert {zone for _, _, zone in claims} == {f"eu-central-1{letter}" for letter in "abc"}
    volumes = {f"{space}/{claim}": f"vol-{number}" for number, (space, claim, _) in enumerate(claims)}
    made = objects.storage(MANY, volumes)
    handles = [one["spec"]["csi"]["volumeHandle"] for one in made if one["kind"] == "PersistentVolume"]
    assert sorted(handles) == sorted(volumes.values())


def test_no_two_objects_have_one_name() -> None:
    names = Counter((o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in objects.teams(MANY))
    assert max(names.values()) == 1


def test_what_a_profile_can_not_have_is_refused_with_what_it_can() -> None:
    with pytest.raises(ValueError, match=r"'huge'.*small, wide, large"):
        apps_of("huge", 10)
    with pytest.raises(ValueError, match=r"profile small has 218 pods of the teams'; as many as asked for has large"):
        apps_of("small", 219)
    with pytest.raises(ValueError, match=rf"the 100 applications of profile large have {fewest()} pods at least"):
        apps_of("large", fewest() - 1)


def test_nodes_hold_what_they_hold_beside_what_else_runs_on_them() -> None:
    assert objects.beside(200) == 200 + 6 + 2 + 2
    assert room.refusal("large", LARGE.pods) == "" == room.refusal("small", 218)
    most = room.most("large")
    assert room.refusal("large", most) == ""
    assert room.refusal("large", most + 1) == (f"the 200 nodes of profile large hold {most} at most, beside 210 others")
    assert "at least" in room.refusal("large", 1) and "218" in room.refusal("small", 1)

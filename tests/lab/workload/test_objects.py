from __future__ import annotations

from lab.profiles import POD_MIB, POD_MILLICORES, PROFILES
from lab.settings import LabSettings
from lab.workload import awkward, objects
from lab.workload.apps import APPS, NAMESPACES

SMALL = PROFILES["small"]
VOLUMES = {f"{space}/{claim}": f"vol-{number}" for number, (space, claim, _) in enumerate(objects.claims(APPS))}
ALL = [
    *objects.ingress(), *objects.system(), *objects.storage(APPS, VOLUMES), *objects.admission("c", "k"),
    objects.webhook("ca"), *objects.teams(APPS),
]  # fmt: skip


def of(kind: str) -> list[objects.Object]:
    return [item for item in ALL if item["kind"] == kind]


def test_about_240_pods_run_on_twelve_nodes() -> None:
    replicas = sum(item["spec"]["replicas"] for item in of("Deployment") + of("StatefulSet"))
    assert replicas + 12 * len(of("DaemonSet")) == 240 == SMALL.pods + objects.beside(SMALL.nodes)


def test_every_pod_asks_for_what_is_counted_with_where_room_is_asked_for() -> None:
    templates = [item["spec"]["template"] for item in ALL if "template" in item.get("spec", {})]
    asked = [one["resources"]["requests"] for pod in templates for one in pod["spec"]["containers"]]
    assert asked and all(one == {"cpu": "20m", "memory": "64Mi"} for one in asked)
    assert (POD_MILLICORES, POD_MIB) == (20, 64)


def test_the_teams_have_sixteen_deployments_with_budgets_one_without_and_two_stateful_sets() -> None:
    assert len([a for a in APPS if a.budget and not a.stateful]) == 16
    assert [a.name for a in APPS if a.budget is None] == ["scratchpad"]
    assert len([a for a in APPS if a.stateful]) == 2
    assert {a.namespace for a in APPS} == set(NAMESPACES)


def test_budgets_are_of_every_kind() -> None:
    kinds = {(a.budget.field, type(a.budget.value)) for a in APPS if a.budget}
    assert kinds == {("maxUnavailable", int), ("maxUnavailable", str), ("minAvailable", int), ("minAvailable", str)}


def test_no_pod_has_two_budgets() -> None:
    names = [
        (b["metadata"]["namespace"], b["spec"]["selector"]["matchLabels"]["app"]) for b in of("PodDisruptionBudget")
    ]
    assert len(names) == len(set(names))


def test_a_single_replica_that_may_never_be_evicted_can_be_rolled() -> None:
    strategy = next(d for d in of("Deployment") if d["metadata"]["name"] == "license-server")["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_ingress_keeps_client_addresses_and_outlives_its_deregistration() -> None:
    service = next(s for s in of("Service") if s["metadata"]["name"] == "ingress")
    assert service["spec"]["externalTrafficPolicy"] == "Local"
    assert service["spec"]["ports"][0]["nodePort"] == 30080
    pod = next(d for d in of("Deployment") if d["metadata"]["name"] == "ingress")["spec"]["template"]
    stop = pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert 2 < stop < pod["spec"]["terminationGracePeriodSeconds"]


def test_the_webhook_fails_closed_and_does_not_judge_its_own_pods() -> None:
    hook = of("ValidatingWebhookConfiguration")[0]["webhooks"][0]
    assert hook["failurePolicy"] == "Fail"
    judged = {n["metadata"]["name"] for n in of("Namespace") if n["metadata"]["labels"].get(objects.ADMITTED)}
    assert judged == set(NAMESPACES)


def test_every_claim_has_a_volume_in_one_zone() -> None:
    zones = [v["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] for v in
             of("PersistentVolume")]  # fmt: skip
    assert len(zones) == 6 and all(len(values) == 1 for values in zones)


def test_a_service_of_type_load_balancer_has_pods_and_a_status() -> None:
    made = {item["kind"]: item for item in awkward.checkout("k8s.lab.internal")}
    service = made["Service"]
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["spec"]["ports"][0]["nodePort"] == awkward.SERVICE_NODE_PORT
    assert service["spec"]["selector"] == made["Deployment"]["spec"]["selector"]["matchLabels"]
    told = awkward.status("a5.elb.eu-central-1.amazonaws.com")
    assert (told["metadata"]["namespace"], told["metadata"]["name"]) == ("shop", "checkout")
    assert told["status"]["loadBalancer"]["ingress"][0]["hostname"].startswith("a5.")


def test_the_second_ingress_is_kept_as_the_first_and_takes_proxy_protocol_and_datagrams() -> None:
    made = {item["kind"]: item for item in awkward.intranet()}
    first = next(s for s in of("Service") if s["metadata"]["name"] == "ingress")
    spec, pod = made["Service"]["spec"], made["Deployment"]["spec"]["template"]
    assert spec["externalTrafficPolicy"] == first["spec"]["externalTrafficPolicy"] == "Local"
    assert {(p["protocol"], p["nodePort"]) for p in spec["ports"]} == {("TCP", 30_081), ("UDP", 30_053)}
    assert spec["selector"].items() <= pod["metadata"]["labels"].items()
    assert pod["metadata"]["annotations"][objects.PROXY_PROTOCOL] == "v2"
    # The plain ingress' pods are known by how their names begin.
    assert not made["Deployment"]["metadata"]["name"].startswith("ingress-")


def test_pods_behind_balancers_serve_on_for_longer_than_a_target_drains() -> None:
    for item in [*awkward.intranet(), *awkward.checkout("k8s.lab.internal")]:
        if item["kind"] == "Deployment":
            hook = item["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]
            assert hook["sleep"]["seconds"] > LabSettings().deregistration_s


def test_a_claim_is_only_bound_where_its_volume_is() -> None:
    # With a provisioner a scheduler may take any zone for one where the volume is yet to be made.
    [kind] = of("StorageClass")
    assert kind["provisioner"] == "kubernetes.io/no-provisioner"
    assert {item["spec"]["storageClassName"] for item in of("PersistentVolume")} == {kind["metadata"]["name"]}

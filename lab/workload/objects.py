"""The workload as Kubernetes objects. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lab.addresses import INGRESS_NODE_PORT, ZONES
from lab.profiles import POD_MIB, POD_MILLICORES
from lab.workload.apps import NAMESPACES, App, Budget, at_least, at_most

Object = dict[str, Any]
ADMITTED = "pet.lab.internal/admission"
SERVES = "lab/serves"
TLS_SECRET = "lab/tls-secret"
PROXY_PROTOCOL = "lab/proxy-protocol"
"""Value `v2`: the pod takes connections with that header only."""
DRIVER = "ebs.csi.aws.com"
DATABASE_STOP_S = 6
PRE_STOP_S = 4
"""Longer than a target's deregistration in lab time (2 s), or open requests would break."""
INGRESS_REPLICAS = 6


def _meta(name: str, namespace: str | None = None, **more: Any) -> Object:
    return {"name": name, **({"namespace": namespace} if namespace else {}), "labels": {"app": name}, **more}


def namespace(name: str, *, admitted: bool = False) -> Object:
    labels = {ADMITTED: "enabled"} if admitted else {}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def budget(name: str, namespace: str, wanted: Budget) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _meta(name, namespace),
        "spec": {"selector": {"matchLabels": {"app": name}}, wanted.field: wanted.value},
    }


def service(name: str, namespace: str, port: int, target: int, **spec: Any) -> Object:
    port_spec = {"name": "main", "port": port, "targetPort": target, "protocol": "TCP"}
    if "nodePort" in spec:
        port_spec["nodePort"] = spec.pop("nodePort")
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(name, namespace),
        "spec": {"selector": {"app": name}, "ports": [port_spec], **spec},
    }


def pod_template(name: str, *, port: int = 8080, annotations: Mapping[str, str] | None = None, **spec: Any) -> Object:
    """A pod's template with one container; `container` among the rest is merged into that."""
    container: Object = {
        "name": "main",
        "image": f"registry.pet.lab.internal/{name}:1",
        "ports": [{"name": "main", "containerPort": port, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": f"{POD_MILLICORES}m", "memory": f"{POD_MIB}Mi"}},
        **spec.pop("container", {}),
    }
    meta: Object = {"labels": {"app": name}}
    if annotations:
        meta["annotations"] = dict(annotations)
    return {"metadata": meta, "spec": {"terminationGracePeriodSeconds": 5, "containers": [container], **spec}}


def _spread(name: str, key: str) -> Object:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": name}},
    }


def deployment(name: str, namespace: str, replicas: int, pod: Object, strategy: Object | None = None) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(name, namespace),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": pod,
            "revisionHistoryLimit": 2,
            **({"strategy": strategy} if strategy else {}),
        },
    }


def rolling(surge: int | str, unavailable: int | str) -> Object:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def app(wanted: App) -> list[Object]:
    """An application: its Deployment or StatefulSet, and its budget."""
    objects = (
        [stateful_set(wanted), service(wanted.name, wanted.namespace, 8080, 8080, clusterIP="None")]
        if wanted.stateful
        else [
            deployment(
                wanted.name,
                wanted.namespace,
                wanted.replicas,
                pod_template(wanted.name),
                rolling(1, 0) if wanted.surge else None,
            )
        ]
    )
    if wanted.budget is not None:
        objects.append(budget(wanted.name, wanted.namespace, wanted.budget))
    return objects


def stateful_set(wanted: App) -> Object:
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "ebs",
            "resources": {"requests": {"storage": "10Gi"}},
        },
    }
    pod = pod_template(
        wanted.name,
        terminationGracePeriodSeconds=2 * DATABASE_STOP_S,
        container={
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            # As a database would. A pod that ends within a moment is replaced, by name, before the budgets' controller
            # has seen it go; the budget then counts the new pod as disrupted for up to two minutes.
            "lifecycle": {"preStop": {"sleep": {"seconds": DATABASE_STOP_S}}},
        },
        topologySpreadConstraints=[_spread(wanted.name, "topology.kubernetes.io/zone")],
    )
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _meta(wanted.name, wanted.namespace),
        "spec": {
            "serviceName": wanted.name,
            "replicas": wanted.replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": wanted.name}},
            "template": pod,
            "volumeClaimTemplates": [claim],
        },
    }


def claims(apps: Iterable[App]) -> list[tuple[str, str, str]]:
    """Namespace, claim and zone of every replica that keeps data."""
    return [
        (wanted.namespace, f"data-{wanted.name}-{number}", ZONES[number % len(ZONES)])
        for wanted in apps
        if wanted.stateful
        for number in range(wanted.replicas)
    ]


def storage(apps: Iterable[App], volumes: Mapping[str, str]) -> list[Object]:
    """Class, driver and one PersistentVolume for each claim, given the EBS volume ids by claim name."""
    objects: list[Object] = [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSIDriver",
            "metadata": {"name": DRIVER},
            "spec": {"attachRequired": True, "podInfoOnMount": False},
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "ebs"},
            # As long as it takes for a claim not to be bound yet, a scheduler takes a class with a provisioner for one
            # that makes a volume wherever the pod goes; and if the claim is bound before it reserves the node, it looks
            # no more at where that volume is (AssumePodVolumes). Every volume is there already, and nothing makes any.
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Retain",
        },
    ]
    for space, claim, zone in claims(apps):
        objects.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"{space}-{claim}"},
                "spec": {
                    "capacity": {"storage": "10Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": "ebs",
                    "persistentVolumeReclaimPolicy": "Retain",
                    "claimRef": {
                        "apiVersion": "v1",
                        "kind": "PersistentVolumeClaim",
                        "namespace": space,
                        "name": claim,
                    },
                    "csi": {"driver": DRIVER, "volumeHandle": volumes[f"{space}/{claim}"], "fsType": "ext4"},
                    "nodeAffinity": {
                        "required": {
                            "nodeSelectorTerms": [
                                {
                                    "matchExpressions": [
                                        {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}
                                    ]
                                }
                            ]
                        }
                    },
                },
            }
        )
    return objects


def ingress_pod(name: str, annotations: Mapping[str, str]) -> Object:
    """Pods over zones and machines that serve on until no balancer sends them anything more."""
    return pod_template(
        name,
        annotations=annotations,
        terminationGracePeriodSeconds=3 * PRE_STOP_S,
        container={
            "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_S}}},
            "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        },
        topologySpreadConstraints=[
            _spread(name, "topology.kubernetes.io/zone"),
            _spread(name, "kubernetes.io/hostname"),
        ],
    )


def ingress() -> list[Object]:
    pod = ingress_pod("ingress", {SERVES: "http"})
    return [
        namespace("ingress"),
        deployment("ingress", "ingress", INGRESS_REPLICAS, pod, rolling(2, 0)),
        service(
            "ingress", "ingress", 80, 8080, type="NodePort", externalTrafficPolicy="Local", nodePort=INGRESS_NODE_PORT
        ),
        budget("ingress", "ingress", at_most(2)),
    ]


def system() -> list[Object]:
    """CoreDNS and an agent on every node, whatever its taints."""
    agent = pod_template("node-agent", tolerations=[{"operator": "Exists"}])
    dns = pod_template(
        "coredns",
        port=1053,
        topologySpreadConstraints=[_spread("coredns", "kubernetes.io/hostname")],
        tolerations=[{"key": "CriticalAddonsOnly", "operator": "Exists"}],
        priorityClassName="system-cluster-critical",
    )
    dns["metadata"]["labels"]["k8s-app"] = "kube-dns"
    dns_service = service("coredns", "kube-system", 53, 1053, clusterIP="172.20.0.10")
    dns_service["metadata"] |= {"name": "kube-dns"}
    return [
        deployment("coredns", "kube-system", 2, dns),
        dns_service,
        budget("coredns", "kube-system", at_most(1)),
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": _meta("node-agent", "kube-system"),
            "spec": {"selector": {"matchLabels": {"app": "node-agent"}}, "template": agent},
        },
    ]


def admission(certificate: str, key: str) -> list[Object]:
    """What decides about every new pod of the teams: without it, none starts."""
    pod = pod_template(
        "webhook",
        port=8443,
        annotations={SERVES: "webhook", TLS_SECRET: "admission/webhook-tls"},
        terminationGracePeriodSeconds=5,
        container={"lifecycle": {"preStop": {"sleep": {"seconds": 2}}}},
        topologySpreadConstraints=[_spread("webhook", "kubernetes.io/hostname")],
    )
    return [
        namespace("admission"),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {"name": "webhook-tls", "namespace": "admission"},
            "stringData": {"tls.crt": certificate, "tls.key": key},
        },
        service("webhook", "admission", 443, 8443),
        deployment("webhook", "admission", 2, pod, rolling(1, 0)),
        budget("webhook", "admission", at_least(1)),
    ]


def webhook(ca: str) -> Object:
    """Fail-closed, on pod creation in the teams' namespaces. `ca` is base64."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "pods.admission.pet.lab.internal"},
        "webhooks": [
            {
                "name": "pods.admission.pet.lab.internal",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "timeoutSeconds": 5,
                "matchPolicy": "Equivalent",
                "clientConfig": {
                    "caBundle": ca,
                    "service": {"namespace": "admission", "name": "webhook", "path": "/validate", "port": 443},
                },
                "namespaceSelector": {"matchLabels": {ADMITTED: "enabled"}},
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                        "scope": "Namespaced",
                    }
                ],
            }
        ],
    }


def teams(apps: Iterable[App]) -> list[Object]:
    return [namespace(name, admitted=True) for name in NAMESPACES] + [o for wanted in apps for o in app(wanted)]


def beside(nodes: int) -> int:
    """How many pods there are on so many nodes that belong to no team."""
    items = [*ingress(), *system(), *admission("", "")]
    daemons = sum(item["kind"] == "DaemonSet" for item in items)
    return daemons * nodes + sum(item["spec"]["replicas"] for item in items if item["kind"] == "Deployment")

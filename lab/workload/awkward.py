"""What shape `awkward` has in the cluster beside the plain workload: a second ingress, and a Service with a balancer of
its own. Pure."""

from __future__ import annotations

from lab.controllers import EXTERNAL_DNS
from lab.legacy.awkward.balancers import SECOND_NODE_PORT, SERVICE, SERVICE_NODE_PORT, UDP_NODE_PORT
from lab.workload.apps import Budget, at_most
from lab.workload.objects import (
    PRE_STOP_S,
    PROXY_PROTOCOL,
    SERVES,
    Object,
    budget,
    deployment,
    ingress_pod,
    namespace,
    pod_template,
    rolling,
    service,
)

NAMESPACE, NAME = SERVICE.split("/")
NLB = "service.beta.kubernetes.io/aws-load-balancer-type"
INTERNAL = "service.beta.kubernetes.io/aws-load-balancer-internal"
CHECKOUT_PORT = 9_000
EXTERNAL_DNS_NAMESPACE = "kube-system"
MANAGER = "system:kube-controller-manager"
"""Whose certificate the cloud controller shows: the one that every member's boot makes."""


INTRANET = "intranet"
INTRANET_SERVICE = "ingress-intranet"


def intranet() -> list[Object]:
    """The second ingress: HTTP behind proxy protocol and DNS, each at a node port of one Service, kept as the first."""
    found = service(INTRANET_SERVICE, "ingress", 80, 8080, type="NodePort", externalTrafficPolicy="Local")
    found["spec"]["selector"] = {"app": INTRANET}
    found["spec"]["ports"] = [
        {"name": "main", "port": 80, "targetPort": 8080, "protocol": "TCP", "nodePort": SECOND_NODE_PORT},
        {"name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP", "nodePort": UDP_NODE_PORT},
    ]
    pod = ingress_pod(INTRANET, annotations={SERVES: "http", PROXY_PROTOCOL: "v2"})
    return [
        namespace("ingress"),
        deployment(INTRANET, "ingress", 4, pod, rolling(1, 0)),
        found,
        budget(INTRANET, "ingress", at_most(1)),
    ]


def checkout(zone_name: str, *, real: bool = False, ttl_s: int = 5) -> list[Object]:
    """Pods that answer HTTP behind a Service of type LoadBalancer, whose name external-dns is told to keep.

    `real`: the controllers themselves go by it, so it says all that they ask.
    """
    port = CHECKOUT_PORT if real else 80
    found = service(NAME, NAMESPACE, port, 8080, type="LoadBalancer", nodePort=SERVICE_NODE_PORT)
    found["metadata"]["annotations"] = {
        NLB: "nlb",
        "external-dns.alpha.kubernetes.io/hostname": f"{NAME}.{zone_name}",
        **({INTERNAL: "true", "external-dns.alpha.kubernetes.io/ttl": str(ttl_s)} if real else {}),
    }
    return [
        namespace(NAMESPACE),
        deployment(NAME, NAMESPACE, 3, _checkout_pod()),
        budget(NAME, NAMESPACE, Budget(field="maxUnavailable", value=1)),
        found,
    ]


def _checkout_pod() -> Object:
    # It serves on until no proxy sends it anything more, or every drain would lose requests.
    lifecycle = {"lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_S}}}}
    return pod_template(
        NAME, annotations={SERVES: "http"}, terminationGracePeriodSeconds=3 * PRE_STOP_S, container=lifecycle
    )


def status(dns_name: str) -> Object:
    """What the cloud controller has written into the Service's status: the balancer's name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "status": {"loadBalancer": {"ingress": [{"hostname": dns_name}]}},
    }


def cloud_controller() -> list[Object]:
    """What the cloud controller may do, as upstream's manifests have it.

    https://github.com/kubernetes/cloud-provider-aws/blob/master/examples/existing-cluster/base/cluster-role.yaml
    """
    name, group = "system:cloud-controller-manager", "rbac.authorization.k8s.io"
    rules = [
        ("", "events", "create patch update"),
        ("", "nodes", "*"),
        ("", "nodes/status", "patch"),
        ("", "services", "list patch update watch"),
        ("", "services/status", "list patch update watch"),
        ("", "serviceaccounts", "create get list watch"),
        ("", "persistentvolumes", "get list update watch"),
        ("", "endpoints", "create get list watch update"),
        ("coordination.k8s.io", "leases", "create get list watch update"),
        ("", "serviceaccounts/token", "create"),
    ]
    role: Object = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [{"apiGroups": [api], "resources": [kind], "verbs": verbs.split()} for api, kind, verbs in rules],
    }
    binding: Object = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": MANAGER}],
    }
    return [role, binding]


def external_dns() -> list[Object]:
    """external-dns's Deployment: who scales it to zero pauses it (`lab/machines/external_dns.py`)."""
    return [
        deployment(EXTERNAL_DNS, EXTERNAL_DNS_NAMESPACE, 1, pod_template(EXTERNAL_DNS), {"type": "Recreate"}),
    ]
